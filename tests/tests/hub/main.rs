//! WebSocket hubs over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod admin;
mod chat;
mod connection;
mod gateway;
mod handshake;
mod operators;
mod outside;
mod plugins;
mod raw_modes;
mod redis;
mod rooms;
mod workers;
