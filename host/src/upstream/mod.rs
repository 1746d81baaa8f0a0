//! The way to the upstreams: targets, kept connections, and one attempt to send a request.
//!
//! - [`target`]: an upstream and its targets, with what is counted about them
//! - [`connection`]: one connection, driven by the exchange that uses it
//! - [`pool`]: connections that wait for their next exchange, per worker
//! - [`attempt`]: pick a target, connect, send, wait for the head
//! - [`body`]: a response's body, which gives its connection back when it ends

pub mod attempt;
pub mod body;
pub mod connection;
pub mod pool;
pub mod target;
