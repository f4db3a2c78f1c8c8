//! One run: the input in, `execute` called and settled, its answer out.

use crate::js::{Thrown, Value};
use crate::promise::{self, Settled};
use crate::reader::Reader;
use crate::state::State;
use crate::writer::{self, Stop};
use crate::{failure, host, web, wire};
use alloc::vec::Vec;
use core::cell::UnsafeCell;

/// On pages of its own, so that the input dirties none that hold anything else.
#[repr(align(4096))]
struct Area(UnsafeCell<[u8; wire::INPUT_AREA]>);

// SAFETY: the module has one thread.
unsafe impl Sync for Area {}

static INPUT: Area = Area(UnsafeCell::new([0; wire::INPUT_AREA]));

/// The static input buffer.
pub(crate) fn input_area() -> *mut u8 {
    INPUT.0.get().cast()
}

/// Hands bytes to the host. They stay where they are: the instance ends with the call, or the host frees them.
pub(crate) fn report(status: u8, bytes: Vec<u8>) -> u64 {
    let bytes = bytes.leak();
    wire::pack(status, bytes.len() as u32, bytes.as_ptr() as u32)
}

/// What becomes of the memory after a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It ends. To free what the run made, object by object, would take a tenth of its time and only dirty pages of it that
    /// the host then has to restore.
    End,
    /// Another run may follow.
    GoOn,
}

impl After {
    /// Lets go of a value.
    fn leave(self, value: Value) {
        match self {
            After::End => core::mem::forget(value),
            After::GoOn => drop(value),
        }
    }
}

/// Calls `execute` with the tagged value in `input`.
pub(crate) fn run(input: &[u8], after: After) -> u64 {
    let state = State::get();
    state.enter();
    state.log_open.set(true);
    state.rejections.take();
    state.after.set(after);
    let called = Reader::new(input).value().and_then(|input| {
        let called = state.execute.borrow().call(&Value::UNDEFINED, &[&input]);
        after.leave(input);
        called
    });
    let settled = match called.and_then(promise::adopt) {
        Ok(promise) => go_on(promise),
        Err(Thrown) => {
            let thrown = Value::exception();
            if thrown.is_uncatchable() {
                Err(thrown)
            } else {
                // What was started before it threw still runs, as after a rejected promise.
                promise::run_jobs().map(|()| Settled::Rejected(thrown))
            }
        }
    };
    end(settled)
}

/// Goes on with a run that waits: hands over the answers that came, and does what is due.
pub(crate) fn resume(answers: &[u8]) -> u64 {
    let state = State::get();
    state.enter();
    let promise = state.pending.replace(Value::UNDEFINED);
    end(web::settle(answers).and_then(|()| go_on(promise)))
}

/// Runs jobs, and the callbacks of timers that are due, until there are none or the promise is settled.
fn go_on(mut promise: Value) -> Result<Settled, Value> {
    promise::run_jobs()?;
    loop {
        match promise::look(promise) {
            Settled::Pending(pending) => promise = pending,
            settled => return Ok(settled),
        }
        if !web::fire_next()? {
            return Ok(Settled::Pending(promise));
        }
    }
}

/// Reports what has become of the run.
fn end(settled: Result<Settled, Value>) -> u64 {
    let state = State::get();
    let report = match settled {
        Ok(Settled::Fulfilled(value)) => {
            let written = writer::outcome(&value);
            state.after.get().leave(value);
            match written {
                Ok(bytes) => report(wire::STATUS_OK, bytes),
                Err(Stop::Refused(refusal)) => report(wire::STATUS_REFUSED, refusal),
                Err(Stop::Thrown) => thrown(&Value::exception()),
            }
        }
        Ok(Settled::Rejected(error)) => thrown(&error),
        Ok(Settled::Pending(promise)) => {
            let next = web::next_timer();
            if next.is_some() || state.calls.get() > 0 {
                state.pending.replace(promise);
                return report(wire::STATUS_WAITING, next.unwrap_or(f64::NAN).to_le_bytes().to_vec());
            }
            state.after.get().leave(promise);
            report(wire::STATUS_NEVER_SETTLED, Vec::new())
        }
        Err(stop) => return self::report(wire::STATUS_STOPPED, failure::describe(&stop)),
    };
    promise::report_rejections();
    report
}

/// Reports what was thrown.
pub(crate) fn thrown(error: &Value) -> u64 {
    let stopped = error.is_uncatchable() || host::stopped();
    report(if stopped { wire::STATUS_STOPPED } else { wire::STATUS_THREW }, failure::describe(error))
}
