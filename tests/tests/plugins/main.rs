//! Plugins, balancing and the command line, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod admin;
mod balancing;
mod chain;
mod command_line;
mod configuration;
mod demo;
mod edits;
mod failure;
mod guests;
mod hostile;
mod hub_hooks;
mod hub_publish;
mod instances;
mod limits;
mod modifier;
mod output;
mod reload;
mod reload_upstreams;
mod request_body;
mod response_body;
mod stock_body_mutate;
mod stock_header_rewrite;
mod stock_hub_guard;
mod stock_url_rewrite;
mod upgrades;
