//! TLS, and what else a connection passes before HTTP, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bad_handshakes;
mod client_certificates;
mod command_line;
mod gateway;
mod listeners;
mod proxy_protocol;
mod redirect;
mod reload;
mod targets;
mod tunnels;
