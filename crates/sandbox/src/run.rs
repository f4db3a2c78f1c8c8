//! Making a snapshot and running it.

mod check;

use crate::base::Base;
use crate::codec::decode::{DecodeError, decode};
use crate::codec::{EncodedInput, wire};
use crate::component::{self, Compiled, NotCompiled};
use crate::delta::Delta;
use crate::engine::Engine;
use crate::failure::{self, Places};
use crate::guest::{Answer, Guest, World};
use crate::lane::Cut;
use crate::meter::{Meter, Stop};
use crate::modules;
use crate::port::{NoPorts, Ports};
use crate::snapshot::{Kind, Script, Snapshot};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sluice_model::limits::{MAX_BUNDLE_BYTES, MAX_CPU_MS, MAX_OUTCOME_BYTES, MAX_WALL_MS, MEMORY_BYTES};
use sluice_model::{Artifact, Bundle, Failure, FailureReason, Invalid, Limits, LogLine, Outcome};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{PoolConcurrencyLimitError, Trap};

/// What a top level may use while it is evaluated for its snapshot.
const PUBLISH_LIMITS: Limits = Limits { cpu_ms: MAX_CPU_MS, wall_ms: MAX_WALL_MS };

/// The most that a snapshot may add to the base image: an executor holds thousands of them.
const MAX_SNAPSHOT_BYTES: usize = 16 << 20;

/// What a guest reports of a failure is bounded by the guest; this bounds a corrupted one, as JSON.
const MAX_REPORT_BYTES: usize = 512 << 10;

/// One run to be done.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What `execute` is given.
    pub input: EncodedInput,
    /// What it may use. The caller has clipped the wall limit to what is left of the slot's budget and of its own deadline.
    pub limits: Limits,
    /// Where the clock stands still for this run; `None` is the real clock. Timers and `performance.now()` go on all the same.
    pub now: Option<Timestamp>,
    /// What it may ask of the host.
    pub ports: Arc<dyn Ports>,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The outcome, checked; or why there is none.
    pub outcome: Result<Outcome, Failure>,
    /// CPU time in microseconds, the host's part included.
    pub cpu_us: u64,
    /// Time by the clock in microseconds, waiting included.
    pub wall_us: u64,
    /// The memory's size at the end, in bytes; 0 where the run did not begin or was cut off.
    pub memory_bytes: u64,
    /// What it logged, at most 16 KiB in all. The stacks of errors have the places of the compiled code: who shows them asks
    /// [`Snapshot::in_the_authors_places`] first.
    pub logs: Vec<LogLine>,
}

/// What a run leaves when it ends by itself.
struct Ended<T = Outcome> {
    outcome: Result<T, Failure>,
    memory_bytes: u64,
    logs: Vec<LogLine>,
}

impl Engine {
    /// Evaluates a bundle's modules and keeps what they have become: within 1 s of CPU time, 5 s by the clock and the memory of
    /// a run, with a clock and random numbers that stand still. Takes about a millisecond for a small Action. Call it in a
    /// tokio runtime; it never blocks its worker for longer than two milliseconds.
    ///
    /// # Errors
    /// What the top level did wrong, with the author's file, line and column: it threw or has a syntax error (`threw`), met a
    /// limit, never settled, or exports no function `execute` (`threw`).
    pub async fn snapshot(&self, bundle: &Bundle) -> Result<Snapshot, Failure> {
        if bundle.code_bytes() > MAX_BUNDLE_BYTES {
            let message = format!("the bundle has {} bytes of code; at most {MAX_BUNDLE_BYTES}", bundle.code_bytes());
            return Err(Failure::new(FailureReason::MemoryLimit, message));
        }
        let modules = modules::for_guest(bundle)?;
        let places = Places::new(bundle);
        let shared = self.shared();
        let meter = meter(PUBLISH_LIMITS);
        let permit = permit(&shared.snapshots, &meter).await?;
        let work = evaluate(shared.base.clone(), modules, places, meter.clone(), permit);
        shared.lane.run(work, &meter).await.unwrap_or_else(|cut| Err(cut_off(&cut, PUBLISH_LIMITS)))
    }

    /// Makes an Action ready to run, whatever it is: see [`Engine::snapshot`] and [`Engine::component`].
    ///
    /// # Errors
    /// Those of the two.
    pub async fn prepare(&self, artifact: &Artifact) -> Result<Snapshot, Failure> {
        match artifact {
            Artifact::Bundle(bundle) => self.snapshot(bundle).await,
            Artifact::Component(bytes) => self.component(bytes).await,
        }
    }

    /// Makes a component ready, of the world `proto/wit/action.wit`: from the cache folder, or by compiling it in a process of its
    /// own, which takes up to seconds. Call it in a tokio runtime; it never blocks a worker.
    ///
    /// # Errors
    /// What is wrong with the component (`threw`), as [`component::check_component`] says it and the types of its imports and exports;
    /// `unavailable` where this machine cannot compile now.
    pub async fn component(&self, bytes: &Bytes) -> Result<Snapshot, Failure> {
        let wrong = |message: String| Failure::new(FailureReason::Threw, message);
        component::check_head(bytes).map_err(wrong)?;
        let (engine, options) = (self.components()?, self.shared().compiling.clone());
        let (serving, bytes) = (engine.clone(), bytes.clone());
        let compiled = tokio::task::spawn_blocking(move || {
            let (digest, dir) = (Bundle::digest(&bytes), options.cache_dir.as_deref());
            let compiled = match dir.and_then(|dir| component::from_cache(&engine, dir, &digest)) {
                Some(compiled) => compiled,
                None => component::compile(&engine, options.compiler.as_ref(), dir, &bytes)?,
            };
            Ok((compiled, digest))
        });
        let (compiled, digest) = match compiled.await {
            Ok(Ok((compiled, digest))) => (Arc::new(compiled), digest),
            Ok(Err(NotCompiled::Refused(message))) => return Err(wrong(message)),
            Ok(Err(NotCompiled::Unavailable(message))) => {
                return Err(Failure::new(FailureReason::Unavailable, message));
            }
            Err(lost) => return Err(Failure::new(FailureReason::Internal, lost.to_string())),
        };
        self.start(&serving, &compiled).await?;
        Ok(Snapshot::of_component(compiled, digest, self.identity()))
    }

    /// Instantiates a component once, within the limits of a top level.
    async fn start(&self, engine: &wasmtime::Engine, compiled: &Arc<Compiled>) -> Result<(), Failure> {
        let shared = self.shared();
        let meter = meter(PUBLISH_LIMITS);
        let permit = permit(&shared.snapshots, &meter).await?;
        let (engine, compiled, own) = (engine.clone(), compiled.clone(), meter.clone());
        let work = async move {
            let started = component::start(&engine, &compiled, own).await;
            drop(permit);
            started
        };
        let started = shared.lane.run(work, &meter).await.unwrap_or_else(|cut| Err(cut_off(&cut, PUBLISH_LIMITS)));
        started.map_err(|failure| {
            let failure = limited(failure, &meter, PUBLISH_LIMITS);
            Failure { message: format!("the component cannot be started: {}", failure.message), ..failure }
        })
    }

    /// Runs an Action once: in memory of its own, made from its snapshot, of which nothing is left afterwards. Call it in a
    /// tokio runtime with its timer on. Dropping the future ends the run within milliseconds.
    ///
    /// The report always comes; every way to fail is in its outcome.
    pub async fn run(&self, snapshot: &Arc<Snapshot>, request: RunRequest) -> RunReport {
        let RunRequest { input, limits, now, ports } = request;
        let meter = meter(limits);
        let ended = self.run_metered(snapshot, input, limits, now, ports, &meter).await;
        let ended = ended.unwrap_or_else(|failure| Ended { outcome: Err(failure), memory_bytes: 0, logs: Vec::new() });
        RunReport {
            outcome: ended.outcome,
            cpu_us: meter.cpu_us(),
            wall_us: u64::try_from(meter.wall().as_micros()).unwrap_or(u64::MAX),
            memory_bytes: ended.memory_bytes,
            logs: ended.logs,
        }
    }

    async fn run_metered(
        &self,
        snapshot: &Arc<Snapshot>,
        input: EncodedInput,
        limits: Limits,
        now: Option<Timestamp>,
        ports: Arc<dyn Ports>,
        meter: &Arc<Meter>,
    ) -> Result<Ended, Failure> {
        let shared = self.shared();
        if !snapshot.belongs_to(self.identity()) {
            return Err(Failure::new(FailureReason::Internal, "the snapshot belongs to another engine"));
        }
        let permit = permit(&shared.runs, meter).await?;
        let ended = match &snapshot.kind {
            Kind::Script(script) => {
                let run = Run { base: shared.base.clone(), script: script.clone(), limits, meter: meter.clone() };
                let work = async move {
                    let ended = run.execute(&input, World::at(now), ports, outcome).await;
                    // The slot is free once the guest is gone, and not before.
                    drop(permit);
                    ended
                };
                shared.lane.run(work, meter).await
            }
            Kind::Component(compiled, _) => {
                let (engine, compiled, own) = (self.components()?, compiled.clone(), meter.clone());
                let work = async move {
                    let done = component::execute(&engine, &compiled, &input, own, now, ports).await;
                    drop(permit);
                    let component::Done { outcome, memory_bytes, logs } = done;
                    Ended { outcome, memory_bytes, logs }
                };
                let ended = shared.lane.run(work, meter).await;
                // A limit that was met comes before everything that followed from it.
                ended.map(|ended| {
                    let outcome = ended.outcome.map_err(|failure| limited(failure, meter, limits));
                    Ended { outcome, ..ended }
                })
            }
        };
        ended.map_err(|cut| cut_off(&cut, limits))
    }
}

/// A component's failure; where it met a limit of time, that limit.
fn limited(failure: Failure, meter: &Meter, limits: Limits) -> Failure {
    let Some(stop) = meter.stopped() else { return failure };
    let limit = limit(stop, limits);
    let message = match failure.message.starts_with("waiting for ") {
        true => format!("{}, {}", limit.message, failure.message),
        false => limit.message,
    };
    Failure { message, stack: failure.stack, ..Failure::new(limit.reason, "") }
}

fn meter(limits: Limits) -> Arc<Meter> {
    let (cpu, wall) = (Duration::from_millis(limits.cpu_ms.into()), Duration::from_millis(limits.wall_ms.into()));
    Arc::new(Meter::new(cpu, wall))
}

/// Waits for a slot, within the wall limit.
async fn permit(slots: &Arc<Semaphore>, meter: &Meter) -> Result<OwnedSemaphorePermit, Failure> {
    if let Ok(permit) = slots.clone().try_acquire_owned() {
        return Ok(permit);
    }
    match tokio::time::timeout_at(meter.deadline().into(), slots.clone().acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Failure::new(FailureReason::Unavailable, "too many runs in flight: none ended within the wall limit")),
    }
}

fn cut_off(cut: &Cut, limits: Limits) -> Failure {
    match cut {
        Cut::Wall => limit(Stop::Wall, limits),
        Cut::Lost => {
            tracing::error!("a run ended without an answer");
            Failure::new(FailureReason::Internal, "the run ended without an answer")
        }
    }
}

fn limit(stop: Stop, limits: Limits) -> Failure {
    match stop {
        Stop::Cpu => Failure::new(FailureReason::CpuLimit, format!("used more than {} ms of CPU time", limits.cpu_ms)),
        Stop::Wall => Failure::new(FailureReason::WallLimit, format!("took longer than {} ms", limits.wall_ms)),
    }
}

fn memory_limit() -> Failure {
    Failure::new(FailureReason::MemoryLimit, format!("asked for more than {} MiB of memory", MEMORY_BYTES >> 20))
}

/// Compiles modules, in a guest that then ends: what parsing leaves behind is in nobody's snapshot.
async fn compile(base: &Base, modules: &[u8], judge: &Judge<'_>, meter: Arc<Meter>) -> Result<Vec<u8>, Failure> {
    let guest = Guest::new(&base.evaluating, meter, World::Frozen, Arc::new(NoPorts)).await;
    let mut guest = guest.map_err(|error| judge.trap(false, &error))?;
    let answer = guest.compile_modules(modules).await;
    let denied = guest.state().met_memory_limit();
    let answer = answer.map_err(|error| judge.trap(denied, &error))?;
    if answer.status != wire::STATUS_OK || judge.meter.stopped().is_some() {
        return Err(judge.failure(&guest, answer, denied));
    }
    Ok(guest.bytes(answer).unwrap_or_default().to_vec())
}

/// Evaluates a top level and takes its snapshot.
async fn evaluate(
    base: Arc<Base>,
    modules: Vec<u8>,
    places: Places,
    meter: Arc<Meter>,
    permit: OwnedSemaphorePermit,
) -> Result<Snapshot, Failure> {
    let judge = Judge { limits: PUBLISH_LIMITS, meter: &meter, places: &places };
    let compiled = compile(&base, &modules, &judge, meter.clone()).await?;
    let mut guest = match Guest::new(&base.evaluating, meter.clone(), World::Frozen, Arc::new(NoPorts)).await {
        Ok(guest) => guest,
        Err(error) => return Err(judge.trap(false, &error)),
    };
    let loaded = async {
        let answer = guest.load(&compiled).await?;
        if answer.status == wire::STATUS_OK {
            guest.collect().await?;
        }
        wasmtime::Result::Ok(answer)
    };
    let answer = loaded.await;
    let denied = guest.state().met_memory_limit();
    let answer = answer.map_err(|error| judge.trap(denied, &error))?;
    if answer.status != wire::STATUS_OK || meter.stopped().is_some() {
        return Err(judge.failure(&guest, answer, denied));
    }
    let delta = Delta::between(&base.memory, guest.memory(), &base.dead());
    if delta.held_bytes() > MAX_SNAPSHOT_BYTES {
        let message =
            format!("the top level leaves {} MiB; at most {}", delta.held_bytes() >> 20, MAX_SNAPSHOT_BYTES >> 20);
        return Err(Failure::new(FailureReason::MemoryLimit, message));
    }
    let logs = places.in_logs(guest.state().take_log());
    drop(guest);
    drop(permit);
    Ok(Snapshot::new(delta, places, logs, &base.identity))
}

/// One run in its slot.
struct Run {
    base: Arc<Base>,
    script: Arc<Script>,
    limits: Limits,
    meter: Arc<Meter>,
}

impl Run {
    /// `read` makes of the bytes that were returned what they say.
    async fn execute<T>(
        &self,
        input: &EncodedInput,
        world: World,
        ports: Arc<dyn Ports>,
        read: fn(Option<&[u8]>) -> Result<T, Invalid>,
    ) -> Ended<T> {
        let judge = Judge { limits: self.limits, meter: &self.meter, places: &self.script.places };
        let mut guest = match Guest::new(&self.base.serving, self.meter.clone(), world, ports).await {
            Ok(guest) => guest,
            Err(error) => return Ended { outcome: Err(judge.trap(false, &error)), memory_bytes: 0, logs: Vec::new() },
        };
        let answer = match self.prepare(&mut guest) {
            Ok(()) => guest.run(input.as_bytes(), self.base.input_area, true).await,
            Err(error) => Err(error),
        };
        let answer = match answer {
            Ok(answer) if answer.status == wire::STATUS_WAITING => self.wait(&mut guest, answer).await,
            answer => answer.map(Ok),
        };
        let denied = guest.state().met_memory_limit();
        let outcome = match answer {
            Err(error) => Err(judge.trap(denied, &error)),
            Ok(Err(waited_for)) => Err(judge.waited(&waited_for)),
            Ok(Ok(_)) if let Some(what) = guest.state().calls().unavailable() => {
                Err(Failure::new(FailureReason::Unavailable, what))
            }
            Ok(Ok(answer)) if answer.status == wire::STATUS_OK && self.meter.stopped().is_none() => {
                read(guest.bytes(answer)).map_err(Failure::invalid_outcome)
            }
            Ok(Ok(answer)) => Err(judge.failure(&guest, answer, denied)),
        };
        let memory_bytes = guest.memory().len() as u64;
        Ended { outcome, memory_bytes, logs: guest.state().take_log() }
    }

    /// Waits with a run for the host, or for its timers, until it waits no more; where its time by the clock is over first, what
    /// it waited for.
    async fn wait(&self, guest: &mut Guest<'_>, mut answer: Answer) -> wasmtime::Result<Result<Answer, Vec<String>>> {
        while answer.status == wire::STATUS_WAITING {
            let timer =
                guest.bytes(answer).and_then(|bytes| bytes.try_into().ok()).map_or(f64::NAN, f64::from_le_bytes);
            let deadline = self.meter.deadline();
            // A timer past the deadline, or none, has no time that matters.
            let due = Duration::try_from_secs_f64(timer / 1_000.0).ok().map(|since| self.meter.started() + since);
            let due = due.map_or(deadline, |due| due.min(deadline));
            let waits_for: Vec<String> = guest.state().calls().pending().map(str::to_owned).collect();
            let answers = tokio::time::timeout_at(due.into(), guest.state().calls().answers()).await;
            if Instant::now() >= deadline {
                return Ok(Err(waits_for));
            }
            answer = guest.resume(&answers.unwrap_or_default()).await?;
        }
        Ok(Ok(answer))
    }

    /// Makes the guest's memory the snapshot's.
    fn prepare(&self, guest: &mut Guest<'_>) -> wasmtime::Result<()> {
        guest.grow_to(self.script.delta.pages())?;
        if self.script.delta.apply(guest.memory_mut()) {
            Ok(())
        } else {
            Err(wasmtime::Error::msg("the snapshot does not fit into the memory"))
        }
    }
}

/// The outcome in what a guest returned. The guest is not believed: form, size and meaning are checked here.
fn outcome(bytes: Option<&[u8]>) -> Result<Outcome, Invalid> {
    let value = bytes.ok_or(DecodeError::Corrupt).and_then(|bytes| decode(bytes, MAX_OUTCOME_BYTES));
    match value {
        Ok(value) => Outcome::from_json(value),
        Err(DecodeError::TooLarge(invalid)) => Err(invalid),
        Err(DecodeError::Corrupt) => Err(Invalid::here("the outcome cannot be read")),
    }
}

/// Says why there is no outcome.
struct Judge<'a> {
    limits: Limits,
    meter: &'a Meter,
    places: &'a Places,
}

impl Judge<'_> {
    /// From what the guest answered. A limit that was met comes before everything that followed from it.
    fn failure(&self, guest: &Guest<'_>, answer: Answer, denied_memory: bool) -> Failure {
        let record = guest.bytes(answer).and_then(|bytes| decode(bytes, MAX_REPORT_BYTES).ok());
        let record = record.unwrap_or_else(|| Value::Object(Map::new()));
        if let Some(stop) = self.meter.stopped() {
            // Where it was stopped is worth more to the author than that it was.
            let at = failure::thrown(FailureReason::Threw, &record, self.places);
            let limit = limit(stop, self.limits);
            return Failure { reason: limit.reason, message: limit.message, ..at };
        }
        match answer.status {
            wire::STATUS_THREW if denied_memory && failure::is_out_of_memory(&record) => {
                let at = failure::thrown(FailureReason::MemoryLimit, &record, self.places);
                Failure { message: memory_limit().message, ..at }
            }
            wire::STATUS_THREW if record.get("denied").is_some() => {
                failure::thrown(FailureReason::CapabilityDenied, &record, self.places)
            }
            wire::STATUS_THREW => failure::thrown(FailureReason::Threw, &record, self.places),
            wire::STATUS_NEVER_SETTLED if denied_memory => memory_limit(),
            wire::STATUS_NEVER_SETTLED => {
                Failure::new(FailureReason::NeverSettled, "waits for a promise that nothing is left to settle")
            }
            wire::STATUS_REFUSED => {
                let text = |key| record.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let message = format!("expected a value that JSON can hold, got {}", text("message"));
                Failure::invalid_outcome(Invalid::at(text("pointer"), message))
            }
            wire::STATUS_NO_EXECUTE => {
                let message = format!("{} exports no function named execute", self.places.entry());
                Failure { file: Some(self.places.entry().to_owned()), ..Failure::new(FailureReason::Threw, message) }
            }
            status => {
                tracing::error!(status, "a guest answered with an unknown status");
                Failure::new(FailureReason::Internal, "the engine gave an answer that is not known")
            }
        }
    }

    /// Its time was over while it waited.
    fn waited(&self, calls: &[String]) -> Failure {
        let failure = limit(Stop::Wall, self.limits);
        let what = if calls.is_empty() { "a timer".to_owned() } else { calls.join(", ") };
        Failure { message: format!("{}, waiting for {what}", failure.message), ..failure }
    }

    /// From the trap that ended the guest.
    fn trap(&self, denied_memory: bool, error: &wasmtime::Error) -> Failure {
        if let Some(stop) = self.meter.stopped() {
            return limit(stop, self.limits);
        }
        // The glue, too, needs memory; where it gets none, it traps.
        if denied_memory {
            return memory_limit();
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Failure::new(FailureReason::Unavailable, "too many runs in flight");
        }
        if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
            return Failure::new(FailureReason::Threw, "RangeError: Maximum call stack size exceeded");
        }
        tracing::error!(error = format!("{error:#}"), "a guest failed");
        Failure::new(FailureReason::Internal, "the engine failed")
    }
}
