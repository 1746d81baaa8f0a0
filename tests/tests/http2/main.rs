//! HTTP/2 as the gateway speaks it to its clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod clients;
mod conformance;
mod drain;
mod exchanges;
mod flow;
mod grpc;
mod hostile;
mod record;
mod smuggling;
mod upstream;
mod web_sockets;
