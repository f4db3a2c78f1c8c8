//! One guest: a store with its limits, what it may ask of the host, and the calls into it.

use crate::base::Ready;
use crate::calls::{Begun, Calls, Reply};
use crate::codec::wire;
use crate::config::TABLE_ELEMENTS;
use crate::log::Log;
use crate::meter::{Meter, Stop};
use crate::port::Ports;
use sluice_model::{LogLevel, LogLine};
use std::sync::Arc;
use wasmtime::{
    Caller, Instance, Linker, Memory, Module, ModuleExport, ResourceLimiter, Store, StoreContextMut, UpdateDeadline,
};

/// Ticks of the epoch until a run gives way for the first time, and may have to move to the slow lane.
const FIRST_TICKS: u64 = 2;

/// Ticks that a run gets to end by itself, with a stack to show, once it is over a limit.
const GRACE_TICKS: u64 = 3;

/// The hard limit, which the memory's own maximum keeps as well.
const HARD_MEMORY_BYTES: usize = 64 << 20;

/// Where growth of the memory is denied for the first time: what is left to the hard limit is for making the error.
const SOFT_MEMORY_BYTES: usize = 60 << 20;

/// What the clock and the random generator say.
pub(crate) enum World {
    /// Constants, while a top level is evaluated: what it computes is in the snapshot, and would be frozen there anyway.
    Frozen,
    /// The real ones; the clock stands still at the given time (microseconds since 1970) where there is one.
    Live(Option<f64>),
}

impl World {
    /// The real one, with its clock at `now` where there is one.
    pub(crate) fn at(now: Option<jiff::Timestamp>) -> World {
        World::Live(now.map(|now| now.as_microsecond() as f64))
    }
}

/// The clock while a top level is evaluated: 2026-01-01T00:00:00Z.
const FROZEN_NOW_US: f64 = 1_767_225_600_000_000.0;

/// Math.random() while a top level is evaluated.
const FROZEN_RANDOM: f64 = 0.5;

/// What a store holds for one run.
pub(crate) struct RunState {
    meter: Arc<Meter>,
    memory: MemoryLimit,
    world: World,
    random: Random,
    log: Log,
    calls: Calls,
    /// The answer of a call that the guest takes next.
    ready: Option<Reply>,
    /// The guest's memory; its start function calls no import.
    own: Option<Memory>,
}

impl RunState {
    /// The calls of the host.
    pub(crate) fn calls(&mut self) -> &mut Calls {
        &mut self.calls
    }

    /// Whether the guest was denied memory, ever.
    pub(crate) fn met_memory_limit(&self) -> bool {
        self.memory.denied
    }

    /// Takes the log.
    pub(crate) fn take_log(&mut self) -> Vec<LogLine> {
        self.log.take()
    }
}

/// The limit on memory. Growth is denied once at [`SOFT_MEMORY_BYTES`], so that a run that met it is known for certain and
/// an error can still be made; after that only the hard limit counts.
#[derive(Default)]
struct MemoryLimit {
    denied: bool,
    /// The host itself grows the memory, to the size of a snapshot.
    by_host: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed =
            if self.denied || self.by_host { desired <= HARD_MEMORY_BYTES } else { desired <= SOFT_MEMORY_BYTES };
        self.denied |= !allowed;
        Ok(allowed)
    }

    /// The engine's table is made with its final size.
    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(current == 0 && desired <= TABLE_ELEMENTS)
    }
}

/// Random numbers from the operating system, fetched some at a time.
#[derive(Default)]
struct Random {
    buffer: Vec<u8>,
}

impl Random {
    /// Fills it; false where the system has none.
    fn fill(place: &mut [u8]) -> bool {
        let mut filled = 0;
        while filled < place.len() {
            match rustix::rand::getrandom(&mut place[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(got) if got > 0 => filled += got,
                Err(rustix::io::Errno::INTR) => {}
                _ => return false,
            }
        }
        true
    }

    /// A number, 0 <= x < 1, with 53 random bits.
    fn next(&mut self) -> f64 {
        const FETCH_BYTES: usize = 256;
        if self.buffer.len() < 8 {
            self.buffer.resize(FETCH_BYTES, 0);
            let got = rustix::rand::getrandom(&mut self.buffer, rustix::rand::GetRandomFlags::empty());
            // The call cannot fail for so few bytes once the system has booted; fewer bytes than asked for are not used.
            self.buffer.truncate(got.unwrap_or(0));
        }
        match self.buffer.split_last_chunk() {
            Some((rest, bytes)) => {
                let bits = u64::from_le_bytes(*bytes) >> 11;
                self.buffer.truncate(rest.len());
                bits as f64 / (1_u64 << 53) as f64
            }
            None => FROZEN_RANDOM,
        }
    }
}

/// The imports of the engine, as `crates/guest/src/host.rs` declares them.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<RunState>> {
    let mut linker = Linker::new(engine);
    // The name is rquickjs-sys's.
    linker.func_wrap("env", "__rquickjs_host_now_us", |caller: Caller<'_, RunState>| match caller.data().world {
        World::Frozen => FROZEN_NOW_US,
        World::Live(Some(now)) => now,
        World::Live(None) => jiff::Timestamp::now().as_microsecond() as f64,
    })?;
    linker.func_wrap("sluice", "random", |mut caller: Caller<'_, RunState>| match caller.data().world {
        World::Frozen => FROZEN_RANDOM,
        World::Live(_) => caller.data_mut().random.next(),
    })?;
    linker.func_wrap("sluice", "stopped", |caller: Caller<'_, RunState>| {
        i32::from(caller.data().meter.stopped().is_some())
    })?;
    linker.func_wrap("sluice", "log", |mut caller: Caller<'_, RunState>, level: i32, ptr: u32, len: u32| {
        let Some((bytes, state)) = memory_and_state(&mut caller) else { return 0 };
        let Some(text) = place(ptr, len).and_then(|place| bytes.get(place)) else { return 0 };
        let level = match level {
            0 => LogLevel::Debug,
            1 => LogLevel::Info,
            2 => LogLevel::Warn,
            _ => LogLevel::Error,
        };
        i32::from(state.log.push(level, &String::from_utf8_lossy(text)))
    })?;
    linker.func_wrap("sluice", "now", |caller: Caller<'_, RunState>| match caller.data().world {
        World::Frozen => 0.0,
        World::Live(_) => caller.data().meter.wall().as_micros() as f64 / 1_000.0,
    })?;
    linker.func_wrap("sluice", "frozen", |caller: Caller<'_, RunState>| {
        i32::from(matches!(caller.data().world, World::Frozen))
    })?;
    linker.func_wrap("sluice", "entropy", |mut caller: Caller<'_, RunState>, ptr: u32, len: u32| {
        let Some((bytes, state)) = memory_and_state(&mut caller) else { return 0 };
        match place(ptr, len).and_then(|place| bytes.get_mut(place)) {
            Some(place) if matches!(state.world, World::Live(_)) => i32::from(Random::fill(place)),
            _ => 0,
        }
    })?;
    linker.func_wrap(
        "sluice",
        "start",
        |mut caller: Caller<'_, RunState>, kind: u32, meta: u32, meta_len: u32, body: u32, body_len: u32| {
            let Some((bytes, state)) = memory_and_state(&mut caller) else { return 0 };
            let meta = place(meta, meta_len).and_then(|place| bytes.get(place)).unwrap_or_default();
            let body = if body == 0 { None } else { place(body, body_len).and_then(|place| bytes.get(place)) };
            match state.calls.start(kind, meta, body) {
                Begun::Pending(id) => u64::from(id),
                Begun::Answered(reply) => {
                    // Replies are bounded far below 2 GiB.
                    let lens = (reply.meta.len() as u64) << 32 | reply.body.as_ref().map_or(0, |b| b.len() as u64 + 1);
                    state.ready = Some(reply);
                    1 << 63 | lens
                }
            }
        },
    )?;
    linker.func_wrap("sluice", "take", |mut caller: Caller<'_, RunState>, ptr: u32| {
        let Some((bytes, state)) = memory_and_state(&mut caller) else { return };
        let Some(reply) = state.ready.take() else { return };
        let body = reply.body.unwrap_or_default();
        if let Some(place) = bytes.get_mut(ptr as usize..).and_then(|b| b.get_mut(..reply.meta.len() + body.len())) {
            let (meta_place, body_place) = place.split_at_mut(reply.meta.len());
            meta_place.copy_from_slice(reply.meta.as_bytes());
            body_place.copy_from_slice(&body);
        }
    })?;
    linker.func_wrap("sluice", "cancel", |mut caller: Caller<'_, RunState>, id: u32| {
        i32::from(caller.data_mut().calls.cancel(id))
    })?;
    Ok(linker)
}

/// The guest's memory, and what the store holds.
fn memory_and_state<'a>(caller: &'a mut Caller<'_, RunState>) -> Option<(&'a mut [u8], &'a mut RunState)> {
    let memory = caller.data().own?;
    Some(memory.data_and_store_mut(caller))
}

/// Bytes that the guest names.
fn place(ptr: u32, len: u32) -> Option<std::ops::Range<usize>> {
    let start = ptr as usize;
    Some(start..start.checked_add(len as usize)?)
}

/// The exports of the engine, looked up once.
pub(crate) struct Exports {
    memory: ModuleExport,
    init: ModuleExport,
    compile: ModuleExport,
    install: ModuleExport,
    intern: ModuleExport,
    alloc: ModuleExport,
    free: ModuleExport,
    input: ModuleExport,
    compile_modules: ModuleExport,
    load: ModuleExport,
    unload: ModuleExport,
    seal: ModuleExport,
    collect: ModuleExport,
    run: ModuleExport,
    resume: ModuleExport,
}

impl Exports {
    /// Looks them up; the error names the one that is missing.
    pub(crate) fn find(module: &Module) -> Result<Exports, &'static str> {
        let find = |name: &'static str| module.get_export_index(name).ok_or(name);
        Ok(Exports {
            memory: find("memory")?,
            init: find("sluice_init")?,
            compile: find("sluice_compile")?,
            install: find("sluice_install")?,
            intern: find("sluice_intern")?,
            alloc: find("sluice_alloc")?,
            free: find("sluice_free")?,
            input: find("sluice_input")?,
            compile_modules: find("sluice_compile_modules")?,
            load: find("sluice_load")?,
            unload: find("sluice_unload")?,
            seal: find("sluice_seal")?,
            collect: find("sluice_collect")?,
            run: find("sluice_run")?,
            resume: find("sluice_resume")?,
        })
    }
}

/// A guest that is alive.
pub(crate) struct Guest<'a> {
    store: Store<RunState>,
    instance: Instance,
    memory: Memory,
    exports: &'a Exports,
}

/// What a guest answered: a status of [`wire`], and where the bytes are.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u8,
    at: usize,
    len: usize,
}

impl<'a> Guest<'a> {
    /// A fresh guest; the meter and the ports are the run's.
    pub(crate) async fn new(
        ready: &'a Ready,
        meter: Arc<Meter>,
        world: World,
        ports: Arc<dyn Ports>,
    ) -> wasmtime::Result<Guest<'a>> {
        let state = RunState {
            meter,
            memory: MemoryLimit::default(),
            world,
            random: Random::default(),
            log: Log::default(),
            calls: Calls::new(ports),
            ready: None,
            own: None,
        };
        let mut store = Store::new(ready.pre.module().engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(FIRST_TICKS);
        store.epoch_deadline_callback(on_tick);
        let instance = ready.pre.instantiate_async(&mut store).await?;
        let memory = instance
            .get_module_export(&mut store, &ready.exports.memory)
            .and_then(wasmtime::Extern::into_memory)
            .ok_or_else(|| wasmtime::Error::msg("the export memory is no memory"))?;
        store.data_mut().own = Some(memory);
        Ok(Guest { store, instance, memory, exports: &ready.exports })
    }

    /// What the run has left behind for the host.
    pub(crate) fn state(&mut self) -> &mut RunState {
        self.store.data_mut()
    }

    /// The whole memory.
    pub(crate) fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// The whole memory, to be written to.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    /// Grows the memory to a snapshot's size.
    pub(crate) fn grow_to(&mut self, pages: u32) -> wasmtime::Result<()> {
        let now = self.memory.size(&self.store);
        if u64::from(pages) > now {
            self.store.data_mut().memory.by_host = true;
            self.memory.grow(&mut self.store, u64::from(pages) - now)?;
            self.store.data_mut().memory.by_host = false;
        }
        Ok(())
    }

    /// The bytes of an answer; nothing where the guest named a place that it does not have.
    pub(crate) fn bytes(&self, answer: Answer) -> Option<&[u8]> {
        self.memory().get(answer.at..answer.at.checked_add(answer.len)?)
    }

    async fn call<P, R>(&mut self, export: &ModuleExport, parameters: P) -> wasmtime::Result<R>
    where
        P: wasmtime::WasmParams + Sync,
        R: wasmtime::WasmResults + Sync,
    {
        let function = self
            .instance
            .get_module_export(&mut self.store, export)
            .and_then(wasmtime::Extern::into_func)
            .ok_or_else(|| wasmtime::Error::msg("an export of the engine is no function"))?;
        function.typed::<P, R>(&self.store)?.call_async(&mut self.store, parameters).await
    }

    /// Makes the engine's runtime; once, for a base image.
    pub(crate) async fn init(&mut self, keys: &str) -> wasmtime::Result<()> {
        self.call::<_, ()>(&self.exports.init, ()).await?;
        let (at, len) = self.put(keys.as_bytes()).await?;
        self.call::<_, ()>(&self.exports.intern, (at, len)).await?;
        self.call::<_, ()>(&self.exports.free, (at, len)).await
    }

    /// Compiles a script of the web's APIs, in a guest that is thrown away.
    pub(crate) async fn compile(&mut self, name: &str, code: &str) -> wasmtime::Result<Answer> {
        let script = [name.as_bytes(), b"\0", code.as_bytes(), b"\0"].concat();
        let (at, len) = self.put(&script).await?;
        Ok(Answer::new(self.call(&self.exports.compile, (at, len)).await?))
    }

    /// Evaluates a script that was compiled; once, for a base image.
    pub(crate) async fn install(&mut self, compiled: &[u8], input_area: u32) -> wasmtime::Result<Answer> {
        let (at, len) = self.put_input(compiled, input_area).await?;
        Ok(Answer::new(self.call(&self.exports.install, (at, len)).await?))
    }

    /// Where the static input buffer is.
    pub(crate) async fn input_area(&mut self) -> wasmtime::Result<u32> {
        self.call(&self.exports.input, ()).await
    }

    /// Writes bytes to a new buffer of the guest; answers its place and length.
    async fn put(&mut self, bytes: &[u8]) -> wasmtime::Result<(u32, u32)> {
        let len = u32::try_from(bytes.len())?;
        let at: u32 = self.call(&self.exports.alloc, len).await?;
        let place = at as usize..at as usize + bytes.len();
        match self.memory_mut().get_mut(place) {
            Some(place) if at != 0 => place.copy_from_slice(bytes),
            _ => return Err(wasmtime::Error::msg("the guest has no memory for what the host gives it")),
        }
        Ok((at, len))
    }

    /// Writes bytes to the static input buffer, or to a new one where they are too many for it.
    async fn put_input(&mut self, input: &[u8], input_area: u32) -> wasmtime::Result<(u32, u32)> {
        match self.memory_mut().get_mut(input_area as usize..) {
            Some(area) if input.len() <= wire::INPUT_AREA && input.len() <= area.len() => {
                let (place, _) = area.split_at_mut(input.len());
                place.copy_from_slice(input);
                Ok((input_area, u32::try_from(input.len())?))
            }
            _ => self.put(input).await,
        }
    }

    /// Compiles modules, laid out as the guest reads them, in a guest that is thrown away.
    pub(crate) async fn compile_modules(&mut self, modules: &[u8]) -> wasmtime::Result<Answer> {
        let (at, len) = self.put(modules).await?;
        Ok(Answer::new(self.call(&self.exports.compile_modules, (at, len)).await?))
    }

    /// Evaluates modules that were compiled.
    pub(crate) async fn load(&mut self, modules: &[u8]) -> wasmtime::Result<Answer> {
        let (at, len) = self.put(modules).await?;
        let report: u64 = self.call(&self.exports.load, (at, len)).await?;
        if wire::unpack(report).0 == wire::STATUS_OK {
            self.call::<_, ()>(&self.exports.free, (at, len)).await?;
        }
        Ok(Answer::new(report))
    }

    /// Drops what was loaded; for a base image.
    pub(crate) async fn unload(&mut self) -> wasmtime::Result<()> {
        self.call(&self.exports.unload, ()).await
    }

    /// Keeps what there is apart from what follows in memory; for a base image.
    pub(crate) async fn seal(&mut self) -> wasmtime::Result<()> {
        self.call(&self.exports.seal, ()).await
    }

    /// Collects all garbage; for a base image.
    pub(crate) async fn collect_all(&mut self) -> wasmtime::Result<()> {
        self.call(&self.exports.collect, (1_u32,)).await
    }

    /// Makes the memory ready for a snapshot: collects garbage where there may be enough to be worth the pages that it writes to.
    pub(crate) async fn collect(&mut self) -> wasmtime::Result<()> {
        self.call(&self.exports.collect, (0_u32,)).await
    }

    /// Calls `execute`. The static input buffer is at `input_area`; `last` says that the guest ends with this run, which then
    /// frees nothing.
    pub(crate) async fn run(&mut self, input: &[u8], input_area: u32, last: bool) -> wasmtime::Result<Answer> {
        let (at, len) = self.put_input(input, input_area).await?;
        Ok(Answer::new(self.call(&self.exports.run, (at, len, u32::from(last))).await?))
    }

    /// Goes on with a run that waits, with the answers of calls as [`Calls::answers`] lays them out; none where only time has
    /// passed.
    pub(crate) async fn resume(&mut self, answers: &[u8]) -> wasmtime::Result<Answer> {
        let (at, len) = if answers.is_empty() { (0, 0) } else { self.put(answers).await? };
        Ok(Answer::new(self.call(&self.exports.resume, (at, len)).await?))
    }
}

impl Answer {
    fn new(report: u64) -> Answer {
        let (status, len, at) = wire::unpack(report);
        Answer { status, at, len }
    }
}

/// At each tick: go on after letting others run; or, over a limit, a few ticks to end by itself, and then a trap.
fn on_tick(store: StoreContextMut<'_, RunState>) -> wasmtime::Result<UpdateDeadline> {
    let meter = &store.data().meter;
    let stopped_before: Option<Stop> = meter.stopped();
    Ok(match (stopped_before, meter.check()) {
        (None, None) => {
            meter.gives_way();
            UpdateDeadline::Yield(1)
        }
        (None, Some(_)) => UpdateDeadline::Continue(GRACE_TICKS),
        (Some(_), _) => UpdateDeadline::Interrupt,
    })
}
