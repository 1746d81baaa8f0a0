//! Sends into WebSocket hubs, from any hook: from a director on a route, say, whose backend tells a room about an event.
//!
//! The plugin's entry in the gateway's TOML has to grant each hub, or the component is refused when it is loaded:
//!
//! ```toml
//! [plugins.notify]
//! component = "notify.wasm"
//! allow = { hubs = ["chat"] }
//! ```
//!
//! ```
//! use sluicegate_plugin::prelude::*;
//!
//! struct Notify;
//!
//! impl Plugin for Notify {
//!     type Config = NoConfig;
//!
//!     fn new(_: NoConfig) -> Result<Self> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Director for Notify {
//!     fn direct(&self, request: &Request) -> Result<Direction> {
//!         let room = request.path_parameter("room").ok_or("the route has no {room}")?;
//!         Ok(match hubs::publish("chat", &room, "news") {
//!             Ok(()) => Reply::new(202).into(),
//!             Err(error) => Reply::text(409, error.to_string()).into(),
//!         })
//!     }
//! }
//!
//! sluicegate_plugin::export!(Notify: Director);
//! # fn main() {}
//! ```
//!
//! Nothing here waits: `Ok` says that the hub has taken the message, not that somebody has received it.

use crate::bindings::publisher::sluicegate::plugin::hub_publish;
use crate::error::SendError;
use crate::hub::Message;

/// To all who are in a room of the hub.
pub fn publish(hub: &str, room: &str, message: impl Into<Message>) -> Result<(), SendError> {
    hub_publish::publish(hub, room, &message.into())
}

/// To all clients of the hub.
pub fn publish_all(hub: &str, message: impl Into<Message>) -> Result<(), SendError> {
    hub_publish::publish_all(hub, &message.into())
}

/// To one client of the hub. If there is none of that id the message is lost.
pub fn send_to(hub: &str, client: &str, message: impl Into<Message>) -> Result<(), SendError> {
    hub_publish::send_to(hub, client, &message.into())
}
