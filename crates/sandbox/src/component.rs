//! Actions that are WebAssembly components, of the world `proto/wit/action.wit`.
//!
//! A component is compiled once by this build, in a process of its own ([`compile`]), and kept by its digest in the engine's cache
//! folder, which nobody else can write to; compiled code never comes from anywhere else. Each run has a fresh instance, from a
//! pool, under the same meter, in the same lanes and with the same ports as a run of the JavaScript engine. Of WASI it finds
//! clocks, random numbers and its two outputs, which go to the run's log; everything else that a language needs to start is
//! there and empty.

mod check;
mod compile;
mod run;
mod stdio;
mod world;

pub use check::check_component;
pub(crate) use check::check_head;
pub use compile::{COMPILE_CHILD_COMMAND, ComponentCompiler, run_component_child_if_asked};
pub(crate) use compile::{NotCompiled, compile, from_cache};
pub(crate) use run::{Done, check_config, execute, start};

use crate::calls::Calls;
use crate::config::COMPONENT_TABLE_ELEMENTS;
use crate::log::Log;
use crate::meter::Meter;
use crate::port::Ports;
use jiff::Timestamp;
use parking_lot::Mutex;
use sluice_model::limits::MEMORY_BYTES;
use sluice_model::{LogLevel, LogLine};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, HasData, Linker, ResourceTable};
use wasmtime::{ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{HostWallClock, WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The most of random bytes that one call gives.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// The most that one call of the host may bring with it, in bytes, and the most that `execute` may answer before it is looked at: more
/// than any of them takes. What a component says has that size need not, where its parts lie on each other.
const MAX_CALL_BYTES: usize = 2 << 20;

/// The most handles (streams, pollables, errors) that a run may hold at once.
const MAX_HANDLES: usize = 1_000;

/// A component that is ready to run.
pub(crate) struct Compiled {
    pre: world::ActionPre<State>,
    /// What its machine code and initial memory take, in bytes.
    code_bytes: usize,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("code_bytes", &self.code_bytes).finish_non_exhaustive()
    }
}

impl Compiled {
    /// Looks up its imports and exports.
    ///
    /// # Errors
    /// What it imports and does not find, or exports by another type.
    pub(crate) fn new(engine: &wasmtime::Engine, component: &Component) -> wasmtime::Result<Compiled> {
        let range = component.image_range();
        let pre = world::ActionPre::new(linker(engine)?.instantiate_pre(component)?)?;
        Ok(Compiled { pre, code_bytes: range.end.addr() - range.start.addr() })
    }

    /// What it holds in this process's memory, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.code_bytes
    }
}

/// What a store holds during a run.
pub(crate) struct State {
    meter: Arc<Meter>,
    memory: MemoryLimit,
    calls: Calls,
    log: Arc<SharedLog>,
    /// What the host is doing for it, while it waits.
    waits_for: Option<String>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl State {
    fn new(meter: Arc<Meter>, now: Option<Timestamp>, ports: Arc<dyn Ports>) -> State {
        let log = Arc::new(SharedLog::default());
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdio::Output::new(log.clone(), LogLevel::Info))
            .stderr(stdio::Output::new(log.clone(), LogLevel::Warn))
            .max_random_size(MAX_RANDOM_BYTES);
        if let Some(now) = now {
            wasi.wall_clock(Standing(now));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let calls = Calls::new(ports);
        State { meter, memory: MemoryLimit::default(), calls, log, waits_for: None, wasi: wasi.build(), table }
    }
}

/// A clock that stands still, for a case.
struct Standing(Timestamp);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0.duration_since(Timestamp::UNIX_EPOCH).try_into().unwrap_or_default()
    }
}

/// The log of a run, which its two outputs write to as well.
#[derive(Debug, Default)]
pub(crate) struct SharedLog(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    log: Log,
    /// What was printed and is no whole line yet, of each output.
    info: Vec<u8>,
    warn: Vec<u8>,
}

impl SharedLog {
    /// Keeps a line.
    fn line(&self, level: LogLevel, text: &str) {
        self.0.lock().log.push(level, text);
    }

    /// Keeps what was printed, line by line.
    fn printed(&self, level: LogLevel, bytes: &[u8]) {
        let Lines { log, info, warn } = &mut *self.0.lock();
        let open = if level == LogLevel::Info { info } else { warn };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if log.is_full() {
                return;
            }
            open.extend_from_slice(part);
            if part.ends_with(b"\n") || open.len() > sluice_model::limits::MAX_LOG_BYTES {
                let text = String::from_utf8_lossy(open);
                log.push(level, text.trim_end_matches(['\r', '\n']));
                open.clear();
            }
        }
    }

    /// Takes the lines, the last ones included that have no end.
    fn take(&self) -> Vec<LogLine> {
        let Lines { log, info, warn } = &mut *self.0.lock();
        for (level, open) in [(LogLevel::Info, info), (LogLevel::Warn, warn)] {
            if !open.is_empty() {
                log.push(level, &String::from_utf8_lossy(open));
                open.clear();
            }
        }
        log.take()
    }
}

/// The limit on all memories of an instance together.
#[derive(Default)]
struct MemoryLimit {
    bytes: usize,
    denied: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes + desired.saturating_sub(current);
        let allowed = bytes as u64 <= MEMORY_BYTES;
        if allowed {
            self.bytes = bytes;
        }
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= COMPONENT_TABLE_ELEMENTS)
    }
}

/// What `wasi:io` is given.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// What a component may import.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
    type Own = wasmtime::component::HasSelf<State>;

    let mut linker = Linker::new(engine);
    let l = &mut linker;
    world::sluice::action::types::add_to_linker::<State, Own>(l, |state| state)?;
    world::sluice::action::log::add_to_linker::<State, Own>(l, |state| state)?;
    world::sluice::action::http::add_to_linker::<State, Own>(l, |state| state)?;
    world::sluice::action::secrets::add_to_linker::<State, Own>(l, |state| state)?;
    world::sluice::action::counters::add_to_linker::<State, Own>(l, |state| state)?;
    world::sluice::action::kv::add_to_linker::<State, Own>(l, |state| state)?;

    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<State, Io>(l, |state| &mut state.table)?;
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<State, Io>(l, |state| &mut state.table)?;
    wasmtime_wasi_io::bindings::wasi::io::streams::add_to_linker::<State, Io>(l, |state| &mut state.table)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    random::random::add_to_linker::<State, WasiRandom>(l, |state| state.wasi.random())?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, |state| state.wasi.random())?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, |state| state.wasi.random())?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    Ok(linker)
}

/// A store for one run.
fn store(engine: &wasmtime::Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(MAX_CALL_BYTES);
    store.epoch_deadline_callback(on_tick);
    store
}

/// At each tick: go on after letting others run; or, over a limit, a trap.
fn on_tick(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let meter = &store.data().meter;
    Ok(match meter.check() {
        None => {
            meter.gives_way();
            UpdateDeadline::Yield(1)
        }
        Some(_) => UpdateDeadline::Interrupt,
    })
}
