//! The web's APIs: scripts that are evaluated when the base image is made, and the few calls of the glue into them.
//!
//! A run that uses none of them pays nothing for them: they lie in pages of the base image that it never touches.

use crate::js::{Thrown, Value, clear, context};
use crate::promise::{self, Jobs};
use crate::state::State;
use crate::{console, host, inspect, native};
use alloc::string::String;
use core::ffi::{CStr, c_char, c_int};
use rquickjs_sys as q;

/// A script: where it says that it is, and its text with a zero byte behind it.
macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        [$((concat!(":web/", $name, "\0"), concat!(include_str!(concat!("web/", $name)), "\0"))),*]
    };
}

/// In the order in which they build upon each other.
const SCRIPTS: &[(&str, &str)] = &scripts!(
    "core.js",
    "events.js",
    "timers.js",
    "abort.js",
    "encoding.js",
    "clone.js",
    "url.js",
    "crypto.js",
    "headers.js",
    "body.js",
    "request.js",
    "response.js",
    "fetch.js",
    "console.js",
    "globals.js",
    "platform.js",
);

/// What the scripts have for the glue.
pub(crate) struct Web {
    settle: Value,
    next_timer: Value,
    fire: Value,
    denial: Value,
}

impl Web {
    /// Before the scripts were evaluated.
    pub(crate) const NONE: Web = Web {
        settle: Value::UNDEFINED,
        next_timer: Value::UNDEFINED,
        fire: Value::UNDEFINED,
        denial: Value::UNDEFINED,
    };
}

/// Evaluates the scripts; while a base image is made. What goes wrong then is a mistake of this build, told by the log of the
/// guest that is being initialised, and ends it.
pub(crate) fn install() -> Web {
    match evaluate() {
        Ok(web) => web,
        Err(Thrown) => {
            let thrown = Value::exception();
            console::line(console::ERROR, |out| inspect::value(out, &thrown));
            core::arch::wasm32::unreachable()
        }
    }
}

fn evaluate() -> Result<Web, Thrown> {
    let native = native::object()?;
    // SAFETY: the new object is ours.
    let web = unsafe { Value::take(q::JS_NewObject(context()))? };
    for (name, code) in SCRIPTS {
        let script = script(name, code)?;
        script.call(&Value::UNDEFINED, &[&native, &web])?;
    }
    let function = |name: &CStr| web.get(name);
    Ok(Web {
        settle: function(c"settle")?,
        next_timer: function(c"next_timer")?,
        fire: function(c"fire")?,
        denial: function(c"denial")?,
    })
}

/// What a script comes to. Its text is not kept: it would take most of the room, and is nobody's to read.
fn script(name: &str, code: &str) -> Result<Value, Thrown> {
    let flags = (q::JS_EVAL_TYPE_GLOBAL | q::JS_EVAL_FLAG_COMPILE_ONLY) as c_int;
    let (text, len): (*const c_char, _) = (code.as_ptr().cast(), code.len() - 1);
    // SAFETY: both texts end in a zero byte. What is written is freed once it is read, and reading copies; evaluating takes the
    // reference over.
    unsafe {
        let compiled = Value::take(q::JS_Eval(context(), text, len as _, name.as_ptr().cast(), flags))?;
        let mut size = 0;
        let flags = (q::JS_WRITE_OBJ_BYTECODE | q::JS_WRITE_OBJ_STRIP_SOURCE) as c_int;
        let bytes = q::JS_WriteObject(context(), &mut size, compiled.raw(), flags);
        if bytes.is_null() {
            return Err(Thrown);
        }
        let read = Value::take(q::JS_ReadObject(context(), bytes, size, q::JS_READ_OBJ_BYTECODE as c_int));
        q::js_free(context(), bytes.cast());
        Value::take(q::JS_EvalFunction(context(), read?.into_raw()))
    }
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
        let web = &State::get().web;
        let settled = id.and_then(|id| web.settle.call(&Value::UNDEFINED, &[&id, &Value::text(meta)?, &body?]));
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
    let due = State::get().web.next_timer.call(&Value::UNDEFINED, &[]).or_else(clear).ok()?;
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
    ended("a timer", State::get().web.fire.call(&Value::UNDEFINED, &[]))?;
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
    let said = State::get().web.denial.call(&Value::UNDEFINED, &[error]).or_else(clear).ok()?;
    Some(said.as_text()?.lossy(crate::wire::MAX_REPORT_TEXT))
}
