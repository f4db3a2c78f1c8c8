//! How wasmtime is set up. Every number was measured; see DESIGN "Engine" for the table.

use crate::rewrite::PAGE_BYTES;
use sluice_model::limits::MEMORY_BYTES;
use std::num::NonZeroUsize;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// The most pages that a guest's memory can have: the hard limit of 64 MiB.
pub(crate) const MAX_PAGES: u64 = MEMORY_BYTES / PAGE_BYTES as u64;

/// Native stack for wasm. The engine's own limit on recursion (256 KiB of its stack in linear memory) has to be met first, so
/// that endless recursion is a RangeError with a stack and not a trap: calls of any form need up to 1 MiB for that, the
/// parser up to 4. `JSON.stringify` of arrays nested ten thousands deep needs more; its trap is reported as the same
/// RangeError.
const WASM_STACK_BYTES: usize = 4 << 20;

/// Stack of a fiber: the above, and room for what the host does when it is called from the depth of it.
const FIBER_STACK_BYTES: usize = WASM_STACK_BYTES + (512 << 10);

/// Memory that a slot keeps between runs, restored by copying every page that was written to since the slot was new. It must
/// exceed what a usual run dirties (some 170 KiB), or the rest is given back to the system and costs a page fault each the
/// next time, and the run twice as much. It also bounds what one large run costs all that come after it in its slot: 12 us
/// at most, where keeping 4 MiB would cost 100.
const KEEP_MEMORY_BYTES: usize = 512 << 10;

/// As above, for the table of functions.
const KEEP_TABLE_BYTES: usize = 64 << 10;

/// Slots that stay warm when nothing runs in them.
const WARM_SLOTS: u32 = 100;

/// Entries that the engine's table of functions may have; it has 527.
pub(crate) const TABLE_ELEMENTS: usize = 2048;

/// Core instances that a component may have: its own, and the small ones that its tool chain makes. One in Python has 38.
const COMPONENT_INSTANCES: u32 = 64;

/// Memories that a component may have; those of today's tool chains have one.
const COMPONENT_MEMORIES: u32 = 2;

/// Tables that a component may have; those of today's tool chains have two.
const COMPONENT_TABLES: u32 = 8;

/// Entries that each table of a component may have.
pub(crate) const COMPONENT_TABLE_ELEMENTS: usize = 65_536;

/// For runs: a pool with room for `slots` instances at once.
pub(crate) fn serving(slots: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .total_stacks(slots)
        .max_memory_size(usize::try_from(MEMORY_BYTES).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS)
        .max_core_instance_size(256 << 10)
        .linear_memory_keep_resident(KEEP_MEMORY_BYTES)
        .table_keep_resident(KEEP_TABLE_BYTES)
        .max_unused_warm_slots(WARM_SLOTS.min(slots))
        // Where the kernel has it (6.7 and later): resetting a slot copies only the pages that were written to.
        .pagemap_scan(Enabled::Auto);

    let mut config = evaluating();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// For evaluating top levels: each instance is mapped when it is needed and unmapped afterwards. It takes longer, but in the
/// pool it would cost every later run: what a slot's memory was ever written to is copied back at each reset, and a parser
/// writes a lot. The code that both run is the same.
pub(crate) fn evaluating() -> Config {
    let mut config = Config::new();
    config
        .memory_init_cow(true)
        // The whole 32-bit address space is reserved, so that no access needs a bounds check.
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_may_move(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        // An Action's stack is the JavaScript engine's; the host's view of the wasm below it helps nobody.
        .wasm_backtrace_max_frames(None)
        // What the engine does not use cannot be used against us.
        .gc_support(false)
        .concurrency_support(false)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false);
    config
}

/// Frames of a component's stack that are kept for a failure.
const COMPONENT_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// For compiling components: what decides the machine code is the same as for running them.
pub(crate) fn compiling() -> Config {
    let mut config = evaluating();
    config
        .wasm_component_model(true)
        // The author's functions are the stack's frames.
        .wasm_backtrace_max_frames(Some(COMPONENT_FRAMES))
        .wasm_tail_call(true);
    config
}

/// For running components: a pool with room for `slots` of them at once.
pub(crate) fn components(slots: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    // Whatever a component has, there is room for as many as may run: nobody's leave none for others'.
    pool.total_component_instances(slots)
        .max_component_instance_size(1 << 20)
        .max_core_instances_per_component(COMPONENT_INSTANCES)
        .max_memories_per_component(COMPONENT_MEMORIES)
        .max_tables_per_component(COMPONENT_TABLES)
        .total_core_instances(slots.saturating_mul(COMPONENT_INSTANCES))
        .total_memories(slots.saturating_mul(COMPONENT_MEMORIES))
        .total_tables(slots.saturating_mul(COMPONENT_TABLES))
        .total_stacks(slots)
        .max_memory_size(usize::try_from(MEMORY_BYTES).unwrap_or(usize::MAX))
        .table_elements(COMPONENT_TABLE_ELEMENTS)
        .max_core_instance_size(1 << 20)
        .linear_memory_keep_resident(KEEP_MEMORY_BYTES)
        .table_keep_resident(KEEP_TABLE_BYTES)
        .max_unused_warm_slots(WARM_SLOTS.min(slots))
        .pagemap_scan(Enabled::Auto);
    let mut config = compiling();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
