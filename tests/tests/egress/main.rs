//! Upstreams that are reached through forward proxies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod fake_http;
mod fake_socks;
mod over_tls;
mod pools;
mod proxies;
mod real;
