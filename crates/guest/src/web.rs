//! The web's APIs: scripts that are evaluated when the base image is made, and the few calls of the glue into them.
//!
//! A run that uses none of them pays nothing for them: they lie in pages of the base image that it never touches. For that
//! they are compiled by another guest, which is thrown away: what a parser leaves behind would be full of holes, and what an
//! Action makes in its snapshot would lie in them, scattered over more pages.

use crate::js::{Thrown, Value, clear, context};
use crate::promise::{self, Jobs};
use crate::run::{report, thrown};
use crate::state::State;
use crate::{console, host, inspect, native, wire};
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use rquickjs_sys as q;

/// What the scripts have for the glue, and what they are given.
pub(crate) struct Web {
    native: Value,
    shared: Value,
    settle: Value,
    next_timer: Value,
    fire: Value,
    denial: Value,
    /// `counters.take` of what is not plain.
    pub(crate) take: Value,
}

impl Web {
    /// Before any script was evaluated.
    pub(crate) const NONE: Web = Web {
        native: Value::UNDEFINED,
        shared: Value::UNDEFINED,
        settle: Value::UNDEFINED,
        next_timer: Value::UNDEFINED,
        fire: Value::UNDEFINED,
        denial: Value::UNDEFINED,
        take: Value::UNDEFINED,
    };

    /// With the objects that the scripts are given.
    fn new() -> Result<Web, Thrown> {
        // SAFETY: the new object is ours.
        let shared = unsafe { Value::take(q::JS_NewObject(context()))? };
        Ok(Web { native: native::object()?, shared, ..Web::NONE })
    }

    /// Calls a function of the scripts.
    pub(crate) fn call(function: impl FnOnce(&Web) -> &Value, arguments: &[&Value]) -> Result<Value, Thrown> {
        function(&State::get().web.borrow()).call(&Value::UNDEFINED, arguments)
    }
}

/// Compiles a script, its name and its text with a zero byte behind each. Its text is not kept: it would take most of the room,
/// and is nobody's to read.
pub(crate) fn compile(script: &[u8]) -> u64 {
    let Ok(name) = CStr::from_bytes_until_nul(script) else { core::arch::wasm32::unreachable() };
    let code = &script[name.count_bytes() + 1..];
    let flags = (q::JS_EVAL_TYPE_GLOBAL | q::JS_EVAL_FLAG_COMPILE_ONLY) as c_int;
    let (text, len): (*const c_char, _) = (code.as_ptr().cast(), code.len() - 1);
    // SAFETY: both texts end in a zero byte.
    let compiled = unsafe { Value::take(q::JS_Eval(context(), text, len as _, name.as_ptr(), flags)) };
    match compiled.and_then(|compiled| compiled.bytecode()) {
        Ok(bytes) => report(wire::STATUS_OK, bytes),
        Err(Thrown) => thrown(&Value::exception()),
    }
}

/// Evaluates a script that [`compile`] made, and calls what it comes to with what the host has for it and what the scripts
/// share.
pub(crate) fn install(compiled: &[u8]) -> u64 {
    match evaluate(compiled) {
        Ok(()) => report(wire::STATUS_OK, Vec::new()),
        Err(Thrown) => thrown(&Value::exception()),
    }
}

fn evaluate(compiled: &[u8]) -> Result<(), Thrown> {
    let mut web = State::get().web.borrow_mut();
    if web.shared.is_undefined() {
        *web = Web::new()?;
    }
    let read = Value::from_bytecode(compiled)?;
    // SAFETY: evaluating takes the reference over.
    let script = unsafe { Value::take(q::JS_EvalFunction(context(), read.into_raw()))? };
    script.call(&Value::UNDEFINED, &[&web.native, &web.shared])?;
    web.settle = web.shared.get(c"settle")?;
    web.next_timer = web.shared.get(c"next_timer")?;
    web.fire = web.shared.get(c"fire")?;
    web.denial = web.shared.get(c"denial")?;
    web.take = web.shared.get(c"take")?;
    Ok(())
}

/// Hands the answers of calls over, as [`crate::wire`] lays them out, each followed by what waits for it. The error is the
/// exception that stopped the run.
pub(crate) fn settle(answers: &[u8]) -> Jobs {
    let mut answers = Answers(answers);
    while !answers.0.is_empty() {
        let (id, meta) = (answers.number(), answers.bytes());
        let body = match answers.number() {
            0 => Ok(Value::UNDEFINED),
            len => native::buffer(answers.take(len - 1)),
        };
        let calls = &State::get().calls;
        calls.set(calls.get().saturating_sub(1));
        // SAFETY: an integer has no reference.
        let id = unsafe { Value::take(q::JS_MKVAL(q::JS_TAG_INT, id as i32)) };
        let settled = id.and_then(|id| Web::call(|web| &web.settle, &[&id, &Value::text(meta)?, &body?]));
        ended("settling a call", settled)?;
        promise::run_jobs()?;
    }
    Ok(())
}

/// A cursor over answers. The host is trusted to write well.
struct Answers<'a>(&'a [u8]);

impl<'a> Answers<'a> {
    fn number(&mut self) -> u32 {
        let Some((head, rest)) = self.0.split_first_chunk() else { core::arch::wasm32::unreachable() };
        self.0 = rest;
        u32::from_le_bytes(*head)
    }

    fn take(&mut self, len: u32) -> &'a [u8] {
        let Some((head, rest)) = self.0.split_at_checked(len as usize) else { core::arch::wasm32::unreachable() };
        self.0 = rest;
        head
    }

    /// A length, and that many bytes.
    fn bytes(&mut self) -> &'a [u8] {
        let len = self.number();
        self.take(len)
    }
}

/// When the next timer is due, in milliseconds since the run began.
pub(crate) fn next_timer() -> Option<f64> {
    let due = Web::call(|web| &web.next_timer, &[]).or_else(clear).ok()?;
    match due.tag() {
        q::JS_TAG_INT => Some(f64::from(due.int())),
        q::JS_TAG_FLOAT64 => Some(due.double()),
        _ => None,
    }
}

/// Calls the next timer's callback where it is due, and what waits for that; false where none is. The error is the exception that
/// stopped the run.
pub(crate) fn fire_next() -> Result<bool, Value> {
    if next_timer().is_none_or(|due| due > host::now()) {
        return Ok(false);
    }
    // A chain of short callbacks would never reach the engine's own poll.
    if host::stopped() {
        return Err(Value::UNDEFINED);
    }
    ended("a timer", Web::call(|web| &web.fire, &[]))?;
    promise::run_jobs()?;
    Ok(true)
}

/// Logs what a callback threw: nobody is there to catch it. The error is the exception that stopped the run.
fn ended(what: &str, called: Result<Value, Thrown>) -> Jobs {
    if let Err(Thrown) = called {
        let thrown = Value::exception();
        if thrown.is_uncatchable() || host::stopped() {
            return Err(thrown);
        }
        console::line(console::ERROR, |out| {
            out.text("uncaught in ");
            out.text(what);
            out.text(": ");
            inspect::value(out, &thrown);
        });
    }
    Ok(())
}

/// What an error says was denied, where it is one of the platform's own that says so.
pub(crate) fn denial(error: &Value) -> Option<String> {
    let said = Web::call(|web| &web.denial, &[error]).or_else(clear).ok()?;
    Some(said.as_text()?.lossy(crate::wire::MAX_REPORT_TEXT))
}
