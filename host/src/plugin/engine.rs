//! One engine for all plugins: compiler settings, the pool of memories, the ticker, the cache.

use std::path::PathBuf;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig,
};

/// The unit in which computing time is measured. A deadline is missed by at most one tick. Each tick
/// wakes a thread: at 1 ms that was 1 % of a core that did nothing else.
pub const TICK: Duration = Duration::from_millis(2);

/// What the engine needs to know about the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Instances that may exist at a time, over all plugins and workers.
    pub instances: u32,
    /// The largest linear memory that any plugin may have, bytes.
    pub memory: usize,
    /// Where compiled components are kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
}

impl Settings {
    /// Whether an engine with these settings can be used where `needed` ones are asked for.
    pub fn suffices_for(&self, needed: &Self) -> bool {
        self.instances >= needed.instances
            && self.memory >= needed.memory
            && self.cache == needed.cache
    }
}

/// Makes the engine and starts its ticker, which ends with it.
///
/// # Errors
/// Settings that this machine can't give (address space), or a cache folder that can't be used.
pub fn new(settings: &Settings) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        // Deadlines: guests look at a counter that the ticker advances.
        .epoch_interruption(true)
        // No component-model async in the contract: less to set up for each call.
        .concurrency_support(false)
        // A deep recursion is the guest's failure, long before it is the worker's.
        .max_wasm_stack(256 * 1024)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(settings)))
        .cache(settings.cache.clone().map(cache).transpose()?);
    let engine = Engine::new(&config)?;
    start_ticker(engine.weak())?;
    Ok(engine)
}

fn pooling(settings: &Settings) -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::new();
    // A component of one language is one core module and up to two adapters around it.
    let core_instances = settings.instances.saturating_mul(4);
    pooling
        .total_component_instances(settings.instances)
        .total_core_instances(core_instances)
        .total_memories(settings.instances)
        .total_tables(core_instances)
        .max_core_instances_per_component(8)
        .max_memories_per_component(1)
        .max_tables_per_component(8)
        .max_memory_size(settings.memory)
        // A retired instance's first pages are zeroed in place, which is cheaper than asking the
        // system for them again with isolation = "request".
        .linear_memory_keep_resident(64 * 1024)
        .table_keep_resident(4 * 1024)
        .max_unused_warm_slots(16);
    pooling
}

fn cache(directory: PathBuf) -> wasmtime::Result<Cache> {
    let mut config = CacheConfig::new();
    config.with_directory(directory);
    Cache::new(config)
}

/// One thread advances the engine's epoch, never one timer per call.
fn start_ticker(engine: wasmtime::EngineWeak) -> wasmtime::Result<()> {
    std::thread::Builder::new()
        .name("epoch-ticker".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
    Ok(())
}

/// The ticks after which `time` of computing has certainly been had: one more, because the first
/// tick may come at once.
pub fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2) + 1
}

/// Where compiled components are kept by default: `$SLUICEGATE_CACHE`, or `sluicegate` in the
/// user's cache folder. `None` where the system names no such folder.
///
/// What lies there is machine code that this program runs: nobody else may write to it. wasmtime
/// creates it for the user alone.
pub fn default_cache() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SLUICEGATE_CACHE") {
        return std::path::absolute(path).ok();
    }
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .map(|path| path.join("sluicegate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_shorter_than_asked_for() {
        assert_eq!(ticks(Duration::from_millis(10)), 6);
        assert_eq!(ticks(Duration::from_micros(1)), 2);
        assert_eq!(ticks(Duration::MAX), u64::MAX / 2 + 1);
    }
}
