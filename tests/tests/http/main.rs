//! HTTP as the gateway speaks it, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod attacks;
mod bodies;
mod broken_bodies;
mod connections;
mod drain;
mod failing_upstreams;
mod faults;
mod forwarding;
mod health_checks;
mod interim;
mod limits;
mod malformed_requests;
mod malformed_responses;
mod names;
mod record;
mod smuggling;
mod streaming;
mod target;
mod tunnels;
mod unix_sockets;
mod unreachable;
mod upstream_limits;
