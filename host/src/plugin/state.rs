//! What the host functions of one instance work on.

use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::deadline::Deadline;
use super::hooks::Hooks;
use super::host_hub::Caller;
use super::host_hub_publish::Grant;
use super::host_log::Output;
use super::interest::Interests;
use super::registry::Layer;
use super::wasi;
use crate::exchange::Exchange;

/// Streams and other things of WASI that a guest may have open at a time.
const MAX_RESOURCES: usize = 1_000;

/// The data of an instance's store.
pub struct State {
    /// The exchange that is inside of the instance for the time of a call; a vacant one otherwise.
    pub exchange: Box<Exchange>,
    /// The connection that a hub's hook is called for, for the time of the call.
    pub caller: Option<Caller>,
    /// The hubs that the plugin may send into: none while it is configured.
    pub hubs: Grant,
    /// The plugin's own lines in the log.
    pub output: Output,
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
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("plugin", &self.output.plugin)
            .finish_non_exhaustive()
    }
}

impl State {
    /// The state of a fresh instance.
    pub fn new(layer: &Layer) -> Self {
        let limits = &layer.limits;
        let output = Output::new(layer);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            exchange: Box::new(Exchange::vacant()),
            caller: None,
            hubs: Grant::default(),
            skipped: Hooks::default(),
            interests: Interests::default(),
            deadline: Deadline::new(limits.time, limits.wall),
            wasi: wasi::nothing_granted(&output),
            output,
            limits: StoreLimitsBuilder::new()
                .memory_size(limits.memory)
                .table_elements(100_000)
                .build(),
            table,
        }
    }

    /// Random numbers for the guest.
    pub fn randomness(&mut self) -> &mut WasiRandomCtx {
        self.wasi.random()
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
