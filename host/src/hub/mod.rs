//! WebSocket hubs: connections that the gateway itself upgrades and keeps, and pushes messages to.
//!
//! - [`hooks`]: the seam to the plugins that decide about connections and messages

pub mod hooks;
