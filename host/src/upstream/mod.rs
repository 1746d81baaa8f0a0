//! The way to the upstreams: targets, kept connections, and one attempt to send a request.
//!
//! - [`target`]: an upstream and its targets, with what is counted about them
//! - [`view`]: which of the targets are there for a request
//! - [`limits`]: how many exchanges at the same time
//! - [`connect`]: how a target is reached
//! - [`connection`]: one connection, driven by the exchange that uses it
//! - [`http2`]: connections that carry many exchanges at the same time
//! - [`link`]: what carries one exchange, of either kind
//! - [`pool`]: connections that wait for their next exchange, per worker
//! - [`health`]: which targets are left out because they failed again and again
//! - [`checks`]: what active health checks have found out; [`prober`] makes them
//! - [`slow_start`]: how a target that comes back warms up
//! - [`retries`]: what is sent again, and how often
//! - [`key`]: what a hashing balancer picks by
//! - [`attempt`]: pick a target, connect, send, wait for the head
//! - [`deadline`]: until when the head must have come
//! - [`body`]: a response's body, which gives its connection back when it ends

pub mod attempt;
pub mod body;
pub mod checks;
pub mod connect;
pub mod connection;
pub mod deadline;
pub mod health;
pub mod http2;
pub mod key;
pub mod limits;
pub mod link;
pub mod pool;
pub mod prober;
mod request;
pub mod retries;
pub mod slow_start;
pub mod target;
pub mod view;
