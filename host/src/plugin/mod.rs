//! Plugins: WebAssembly components against the WIT package `sluicegate:plugin`.
//!
//! - [`bindings`]: what the contract looks like in Rust
//! - [`engine`]: one compiler and runtime for all plugins, its ticker, and the cache on disk
//! - [`builtin`]: the stock plugins that are built into this program
//! - [`component`]: a component that was loaded, checked and compiled
//! - [`registry`]: the plugins of a configuration, each use of one with its own settings
//! - [`hooks`]: which hooks of a plugin are called; [`interest`]: for which bodies
//! - [`deadline`]: computing time of a hook
//! - [`instance`]: one instance of a component, and calls of its hooks
//! - [`pool`]: instances that wait for their next use, per worker
//! - [`state`]: what an instance's host functions work on; [`host_http`], [`host_hub`], [`host_hub_publish`], [`host_log`],
//!   [`host_metrics`] and [`wasi`] are those functions, a file per interface
//! - [`chain`]: the layers of a route around an exchange, in order on the way in, in reverse out; its `bodies` are the hooks of bodies
//! - [`hub_chain`]: the layers of a hub around its connections and their messages; [`hub_state`]: what they keep with a connection
//! - [`running_hubs`]: the hubs that plugins on routes send into
//! - [`reply`]: answers that plugins make themselves
//! - [`transform`]: a body that streams through a plugin
//! - [`breaker`]: leaves a plugin alone that keeps failing
//! - [`failure`]: how a hook can fail; [`undo`]: what a plugin that is skipped leaves behind: nothing

pub mod bindings;
#[cfg(test)]
mod border;
pub mod breaker;
pub mod builtin;
pub mod chain;
pub mod component;
pub mod deadline;
pub mod engine;
pub mod failure;
pub mod hooks;
pub mod host_http;
pub mod host_hub;
pub mod host_hub_publish;
pub mod host_log;
pub mod host_metrics;
pub mod hub_chain;
pub mod hub_state;
pub mod instance;
pub mod interest;
pub mod pool;
pub mod registry;
pub mod reply;
pub mod running_hubs;
pub mod state;
pub mod transform;
pub mod undo;
pub mod wasi;
