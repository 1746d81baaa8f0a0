//! Writes plugins for the Sluicegate HTTP gateway.
//!
//! A plugin is a WebAssembly component that the gateway calls at the stations of a request's way. This crate wraps
//! the contract in `wit/`: implement [`Plugin`] for the configuration and one trait for each hook, and name the hooks
//! in [`export!`].
//!
//! ```
//! use sluicegate_plugin::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Who a request without `x-user` is.
//!     user: String,
//! }
//!
//! struct Hello {
//!     user: String,
//! }
//!
//! impl Plugin for Hello {
//!     type Config = Config;
//!
//!     fn new(config: Config) -> Result<Self> {
//!         if config.user.is_empty() {
//!             return Err("user: a name is needed".into());
//!         }
//!         Ok(Self { user: config.user })
//!     }
//! }
//!
//! impl Director for Hello {
//!     fn direct(&self, request: &Request) -> Result<Direction> {
//!         if request.path().starts_with("/internal/") {
//!             log::warn!("{} asked for an internal path", request.client_address());
//!             return Ok(Reply::text(403, "not for you").into());
//!         }
//!         if request.header("x-user").is_none() {
//!             request.set_header("x-user", self.user.as_bytes())?;
//!         }
//!         Ok(Direction::Forward)
//!     }
//! }
//!
//! impl Modifier for Hello {
//!     fn modify(&self, _request: &Request, response: &Response) -> Result<Change> {
//!         response.remove_header("server");
//!         Ok(Change::Forward)
//!     }
//! }
//!
//! sluicegate_plugin::export!(Hello: Director, Modifier);
//! # fn main() {}
//! ```
//!
//! Its `Cargo.toml` says `crate-type = ["cdylib", "rlib"]` and depends on `sluicegate-plugin` and on `serde` with its
//! feature `derive`. `cargo build --release --target wasm32-wasip2` or `cargo component build --release` makes the
//! component, which the gateway's TOML names:
//!
//! ```toml
//! [plugins.hello]
//! component = "target/wasm32-wasip2/release/hello.wasm"
//! config = { user = "anonymous" }
//!
//! [[routes]]
//! path = "/{*rest}"
//! upstream = "users"
//! plugins = ["hello"]
//! ```
//!
//! # Bodies
//!
//! A plugin that names [`RequestBody`] or [`ResponseBody`] is asked for each body what it wants of it: nothing
//! ([`Plan::Pass`]), every chunk ([`Plan::Stream`] with a [`Transform`]), or the whole of it ([`Plan::Collect`]).
//!
//! ```
//! use sluicegate_plugin::prelude::*;
//!
//! struct Shout;
//!
//! impl Plugin for Shout {
//!     type Config = NoConfig;
//!
//!     fn new(_: NoConfig) -> Result<Self> {
//!         Ok(Self)
//!     }
//! }
//!
//! struct Upper;
//!
//! impl Transform for Upper {
//!     fn push(&mut self, mut chunk: Vec<u8>) -> Result<Vec<u8>> {
//!         chunk.make_ascii_uppercase();
//!         Ok(chunk)
//!     }
//! }
//!
//! impl ResponseBody for Shout {
//!     fn open(&self, _: &Request, response: &Response, body: BodyKind) -> Result<Plan> {
//!         let text = response.header_str("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
//!         Ok(if text && body != BodyKind::None { Plan::stream(Upper) } else { Plan::Pass })
//!     }
//! }
//!
//! sluicegate_plugin::export!(Shout: ResponseBody);
//! # fn main() {}
//! ```
//!
//! # Hubs
//!
//! A plugin that names [`Hub`] is listed in `hubs.NAME.plugins` and decides about a WebSocket hub's connections and messages;
//! see the module [`hub`]. Any plugin can send into hubs that the configuration grants it; see the module [`hubs`].
//!
//! # Testing
//!
//! `cargo test` builds a plugin natively, where the handles lead nowhere: calling a method of [`Request`] panics
//! there. Keep the logic in plain functions, or generic over [`Headers`], and test those.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod component;
pub mod config;
pub mod error;
pub mod headers;
pub mod hub;
pub mod hubs;
pub mod log;
pub mod plugin;
#[cfg(feature = "regex")]
pub mod substitution;
pub mod template;

pub use config::{ByteSize, NoConfig};
pub use error::{EditError, Error, Result, SendError};
pub use headers::Headers;
pub use hub::{Action, Admission, Client, Hub, Message, Welcome};
pub use plugin::{
    BodyKind, Change, Direction, Director, HeaderEdit, Hook, Interest, Modifier, Plan, Plugin,
    Reply, Request, RequestBody, Response, ResponseBody, Transform, Verdict,
};

/// Counters and histograms, marked with the plugin's name. Names are `[a-z0-9_]+`; others are ignored.
pub mod metrics {
    pub use crate::bindings::sluicegate::plugin::metrics::{increment, observe};
}

/// What nearly every plugin needs.
pub mod prelude {
    pub use crate::{
        Action, Admission, BodyKind, ByteSize, Change, Client, Direction, Director, HeaderEdit,
        Hook, Hub, Interest, Message, Modifier, NoConfig, Plan, Plugin, Reply, Request,
        RequestBody, Response, ResponseBody, Result, Transform, Verdict, Welcome, hubs, log,
        metrics,
    };
    pub use serde::Deserialize;
}
