//! `sluicegate.hub.v1`: what clients and a hub of mode "rooms" say to each other, as JSON in text messages.
//!
//! - [`command`]: what clients say
//! - [`event`]: what the hub says
//! - [`fields`]: the members of a JSON object as they stand in its text, so that what clients send each other is passed
//!   on byte for byte
//! - [`problem`]: what is wrong with a command, with the code that the client is told

pub mod command;
pub mod event;
pub mod fields;
pub mod problem;

/// The name of the subprotocol.
pub const NAME: &str = "sluicegate.hub.v1";
