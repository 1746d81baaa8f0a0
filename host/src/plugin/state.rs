//! What the host functions of one instance work on.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::deadline::Deadline;
use super::hooks::Hooks;
use super::interest::Interests;
use super::wasi;
use crate::config::PluginLimits;
use crate::exchange::Exchange;

/// The data of an instance's store.
pub struct State {
    /// The exchange that is inside of the instance for the time of a call; a vacant one otherwise.
    pub exchange: Box<Exchange>,
    /// The plugin's name, for its log lines.
    pub plugin: Arc<str>,
    /// Hooks that the guest said, while it was configured, it does not need.
    pub skipped: Hooks,
    /// Bodies that the guest said, while it was configured, it is for.
    pub interests: Interests,
    /// What a hook has of time.
    pub deadline: Deadline,
    /// Memory and table limits.
    pub limits: StoreLimits,
    wasi: WasiCtx,
    table: ResourceTable,
    random: WasiRandomCtx,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl State {
    /// The state of a fresh instance of a plugin with these limits.
    pub fn new(plugin: Arc<str>, limits: &PluginLimits) -> Self {
        Self {
            exchange: Box::new(Exchange::vacant()),
            skipped: Hooks::default(),
            interests: Interests::default(),
            deadline: Deadline::new(limits.time, limits.wall),
            wasi: wasi::nothing_granted(&plugin),
            plugin,
            limits: StoreLimitsBuilder::new()
                .memory_size(limits.memory)
                .table_elements(100_000)
                .build(),
            table: ResourceTable::new(),
            random: WasiRandomCtx::default(),
        }
    }

    /// Random numbers for the guest.
    pub fn randomness(&mut self) -> &mut WasiRandomCtx {
        &mut self.random
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
