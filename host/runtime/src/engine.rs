//! The one engine configuration. The compiler and the host make their engines of it, so an artifact fits.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use loong_manifest::Meter;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Changes whenever the configuration below changes in a way that artifacts notice; part of their key.
pub const GENERATION: &str = "wasmtime-48.1";

/// How often guest code yields. Two cores share a runaway and its neighbours fairly at this grain, and a
/// deadline is overrun by at most about this much.
const EPOCH: Duration = Duration::from_millis(5);

/// Calls that start from outside at once in one process; further ones wait.
pub const CALLS_MAX: usize = 32;
/// Instances in one process: every call with its nested calls. What goes beyond is refused.
pub(crate) const INSTANCES_MAX: u32 = 256;
/// Linear memories and tables in one component.
const MEMORIES_PER_COMPONENT_MAX: u32 = 64;
/// Largest linear memory that any tier allows, in bytes.
const MEMORY_BYTES_MAX: usize = 512 << 20;
/// Guest stack, in bytes. The fiber's own stack is larger, so that host functions have room too.
pub(crate) const STACK_BYTES_MAX: usize = 512 << 10;
/// Memory of a slot that is kept and zeroed instead of given back; measured best for small components.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// The configuration for a meter; `tiers.toml` says which meter a tier has. The compiler makes its artifacts with it.
///
/// It takes every component that wasmtime takes with the same proposals: those that are on by default, without
/// 64-bit memories and memories shared between threads. Fuel, epochs and the size of the stack end what runs; they
/// refuse nothing.
pub fn config(meter: Meter) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(meter == Meter::EpochAndFuel)
        // Components are called one at a time and export no asynchronous functions; without support for
        // them a call costs a half to a third.
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        .async_stack_size(STACK_BYTES_MAX + (512 << 10))
        .memory_init_cow(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_memory64(false)
        .shared_memory(false);
    config
}

/// The configuration that components run with: that of [`config`] and pools for instances. What the pools have no
/// room for is refused when it is loaded. Whoever builds wasmtime with its compiler can compile with it too, such as
/// to run the tests of a specification through it.
pub fn host_config(meter: Meter) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 4)
        .total_memories(INSTANCES_MAX * 2)
        .total_tables(INSTANCES_MAX * 4)
        .total_stacks(INSTANCES_MAX)
        .max_core_instances_per_component(512)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(MEMORIES_PER_COMPONENT_MAX)
        // One module may have all of them; without saying so it may have one of each.
        .max_memories_per_module(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_module(MEMORIES_PER_COMPONENT_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(1 << 20)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = config(meter);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The engines of a process, one per meter, each made when it is first needed.
#[derive(Default)]
pub struct Engines {
    epoch: OnceLock<Engine>,
    epoch_and_fuel: OnceLock<Engine>,
    alive: Arc<()>,
}

impl Engines {
    /// The engine for a meter. The first use starts the thread that lets its epochs pass.
    pub fn get(&self, meter: Meter) -> wasmtime::Result<&Engine> {
        let slot = match meter {
            Meter::Epoch => &self.epoch,
            Meter::EpochAndFuel => &self.epoch_and_fuel,
        };
        if let Some(engine) = slot.get() {
            return Ok(engine);
        }
        let engine = Engine::new(&host_config(meter))?;
        let weak = engine.weak();
        let alive: Weak<()> = Arc::downgrade(&self.alive);
        if slot.set(engine).is_ok() {
            std::thread::Builder::new().name("loong-epoch".into()).spawn(move || {
                while alive.strong_count() > 0
                    && let Some(engine) = weak.upgrade()
                {
                    engine.increment_epoch();
                    std::thread::sleep(EPOCH);
                }
            })?;
        }
        slot.get().ok_or_else(|| wasmtime::Error::msg("the engine was not kept"))
    }
}
