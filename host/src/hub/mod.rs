//! WebSocket hubs: connections that the gateway itself upgrades and keeps, and pushes messages to.
//!
//! A request on a hub's path passes [`admit`], and its connection then belongs to [`connection`]. What clients say is
//! judged by [`worker`], in the words of [`protocol`] or as raw messages; [`hooks`] is the seam to plugins, and
//! [`actions`] carries out what they want.
//!
//! # How a message gets to a thousand clients
//!
//! ```text
//! connection → worker → backplane: numbers it, keeps it → directory: which workers
//!   → one delivery for each worker → local → room → outbox of each client → one write for all that has come together
//! ```
//!
//! The message is framed, and deflated, once ([`Frame`](crate::websocket::frame::Frame)); what crosses workers, waits in
//! queues and stands in the history is a reference to it. Every delivery passes its worker's queue, also the publisher's own:
//! so all see a room's messages in the order of their numbers, and a burst of messages becomes one write for each client.
//!
//! - [`backplane`]: the order of messages, histories, presence; the seam to a hub of several gateways
//! - [`directory`]: who is where, over all workers
//! - [`shared`]: what all workers share; [`local`]: what one worker has to itself, and both live through reloads
//! - [`api`]: what operators and plugins can do from outside; `end_log`: why connections were ended
//! - [`client`], [`room`], [`outbox`], [`delivery`], [`rate`], [`name`], [`codes`]: the pieces

pub mod actions;
pub mod admit;
pub mod api;
pub mod backplane;
pub mod client;
pub mod codes;
pub mod connection;
pub mod delivery;
pub mod directory;
mod end_log;
pub mod hooks;
pub mod local;
pub mod name;
pub mod outbox;
pub mod protocol;
pub mod rate;
pub mod room;
pub mod shared;
pub mod worker;

pub use admit::{Accepted, NotAccepted};
pub use connection::serve;
pub use shared::Hub;
pub use worker::WorkerHub;
