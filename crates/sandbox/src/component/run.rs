//! One run of a component.

use super::{Compiled, State, store};
use crate::codec::EncodedInput;
use crate::meter::Meter;
use crate::port::{NoPorts, Ports};
use jiff::Timestamp;
use serde_json::Value;
use sluice_model::limits::{MAX_OUTCOME_BYTES, MEMORY_BYTES};
use sluice_model::{Failure, FailureReason, Invalid, LogLine, Outcome};
use std::sync::Arc;
use wasmtime::{Error, FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// The most of a failure's text, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// The most of a function's name, as its language has it and as the component does.
const MAX_NAME_BYTES: usize = 200;
const MAX_MANGLED_BYTES: usize = 1 << 10;
/// Frames of a stack that are shown.
const MAX_FRAMES: usize = 32;

/// What a run leaves. Whether a limit of time was met is the meter's to say.
pub(crate) struct Done {
    pub(crate) outcome: Result<Outcome, Failure>,
    pub(crate) memory_bytes: u64,
    pub(crate) logs: Vec<LogLine>,
}

/// Instantiates a component and calls its `execute`.
pub(crate) async fn execute(
    engine: &wasmtime::Engine,
    compiled: &Compiled,
    input: &EncodedInput,
    meter: Arc<Meter>,
    now: Option<Timestamp>,
    ports: Arc<dyn Ports>,
) -> Done {
    let deadline = meter.deadline();
    let mut store = store(engine, State::new(meter, now, ports));
    let run = async {
        let action = compiled.pre.instantiate_async(&mut store).await?;
        let input = input.to_json().ok_or_else(|| Error::msg("the input cannot be read"))?;
        action.call_execute(&mut store, &input).await
    };
    let answer = tokio::time::timeout_at(deadline.into(), run).await;
    let state = store.data_mut();
    let outcome = match answer.unwrap_or_else(|_late| Err(waited(state))) {
        // What was needed and could not be had decides, whatever the component makes of it.
        _ if let Some(what) = state.calls.unavailable() => Err(Failure::new(FailureReason::Unavailable, what)),
        Ok(Ok(answer)) => outcome(&answer).map_err(Failure::invalid_outcome),
        Ok(Err(text)) => Err(said(state, &text)),
        Err(error) => Err(trap(state, &error)),
    };
    Done { outcome, memory_bytes: state.memory.bytes as u64, logs: state.log.take() }
}

/// Instantiates a component and no more: what its languages do when they start must work.
///
/// # Errors
/// What ended it.
pub(crate) async fn start(engine: &wasmtime::Engine, compiled: &Compiled, meter: Arc<Meter>) -> Result<(), Failure> {
    let deadline = meter.deadline();
    let mut store = store(engine, State::new(meter, None, Arc::new(NoPorts)));
    let started = tokio::time::timeout_at(deadline.into(), compiled.pre.instantiate_async(&mut store)).await;
    let state = store.data_mut();
    match started.unwrap_or_else(|_late| Err(waited(state))) {
        Ok(_) => Ok(()),
        Err(error) => Err(trap(state, &error)),
    }
}

/// Calls a component's `check-config`, with nothing to reach. `None` where it exports none; else whether it takes the config, or its
/// words.
///
/// # Errors
/// What ended it.
pub(crate) async fn check_config(
    engine: &wasmtime::Engine,
    compiled: &Compiled,
    config: &str,
    meter: Arc<Meter>,
) -> Result<Option<Result<(), String>>, Failure> {
    let deadline = meter.deadline();
    let mut store = store(engine, State::new(meter, None, Arc::new(NoPorts)));
    let asked = async {
        let instance = compiled.pre.instance_pre().instantiate_async(&mut store).await?;
        let Some(check) = instance.get_func(&mut store, "check-config") else { return Ok(None) };
        let check = check.typed::<(&str,), (Result<(), String>,)>(&store)?;
        let (said,) = check.call_async(&mut store, (config,)).await?;
        Ok(Some(said.map_err(|text| cut(&text))))
    };
    let said = tokio::time::timeout_at(deadline.into(), asked).await;
    let state = store.data_mut();
    said.unwrap_or_else(|_late| Err(waited(state))).map_err(|error| trap(state, &error))
}

/// Its time by the clock was over while it waited: the meter is told, and the author what it waited for.
fn waited(state: &mut State) -> Error {
    // The deadline has passed, so it stops by that.
    let _ = state.meter.check();
    Error::msg(format!("waiting for {}", state.waits_for.as_deref().unwrap_or("a clock")))
}

/// The outcome in what `execute` answered.
fn outcome(answer: &str) -> Result<Outcome, Invalid> {
    if answer.len() > MAX_OUTCOME_BYTES {
        return Err(Invalid::here(format!("the outcome has {} bytes; at most {MAX_OUTCOME_BYTES}", answer.len())));
    }
    let value: Value = serde_json::from_str(answer).map_err(|error| Invalid::here(format!("is no JSON: {error}")))?;
    Outcome::from_json(value)
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_MESSAGE_BYTES);
    if end == text.len() { text.to_owned() } else { format!("{} ...", &text[..end]) }
}

/// What `execute` answered as an error. One that passes on what it was denied is told as that.
fn said(state: &State, text: &str) -> Failure {
    match state.calls.denied().find(|denied| text.contains(denied)) {
        Some(denied) => Failure::new(FailureReason::CapabilityDenied, denied),
        None => Failure::new(FailureReason::Threw, cut(text)),
    }
}

/// What ended the run from outside, or what it did itself to end so.
fn trap(state: &State, error: &Error) -> Failure {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Failure::new(FailureReason::Unavailable, "too many runs in flight");
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        let message = format!("the component ended itself with status {status}: execute has to answer");
        return Failure { stack: stack(&frames(error)), ..Failure::new(FailureReason::Threw, message) };
    }
    // A program that is refused memory ends as its language has it, most by a trap.
    if state.memory.denied {
        let message = format!("asked for more than {} MiB of memory", MEMORY_BYTES >> 20);
        return Failure { stack: stack(&frames(error)), ..Failure::new(FailureReason::MemoryLimit, message) };
    }
    let frames = frames(error);
    let place = frames.first().map(|name| format!(" in {name}")).unwrap_or_default();
    let message = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => format!("stack overflow{place}: calls are nested too deeply"),
        Some(Trap::UnreachableCodeReached) => {
            format!("it gave up{place} (unreachable): what it printed last may say why")
        }
        Some(trap) => format!("it trapped{place}: {trap}"),
        None => cut(&error.root_cause().to_string()),
    };
    Failure { stack: stack(&frames), ..Failure::new(FailureReason::Threw, message) }
}

/// What languages end a program with: the frames above them are the author's.
const MACHINERY: [&str; 6] = ["abort", "std::", "core::", "alloc::", "__rustc::", "rust_"];

/// The component's own functions, the innermost first, as their language has them.
fn frames(error: &Error) -> Vec<String> {
    let name = |frame: &FrameInfo| match frame.func_name() {
        Some(name) => {
            let name = format!("{:#}", rustc_demangle::demangle(&name[..name.floor_char_boundary(MAX_MANGLED_BYTES)]));
            name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned()
        }
        None => format!("function {}", frame.func_index()),
    };
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let mut names: Vec<String> = frames.iter().take(MAX_FRAMES).map(name).collect();
    // Those at the end are of the language too, and stay: who calls `execute` is worth knowing.
    let is_machinery = |name: &String| MACHINERY.iter().any(|begins| name.starts_with(begins));
    let authors = names.iter().position(|name| !is_machinery(name)).unwrap_or_default();
    names.drain(..authors);
    names
}

/// A stack for a failure.
fn stack(frames: &[String]) -> Option<String> {
    let lines: Vec<String> = frames.iter().map(|name| format!("at {name}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
