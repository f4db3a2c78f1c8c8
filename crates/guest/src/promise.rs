//! Settling promises: the job queue, and rejections that nobody listens to.

use crate::js::{Thrown, Value, context};
use crate::state::State;
use crate::{console, host, inspect};
use core::ffi::c_void;
use q::{JSContext, JSRuntime, JSValue};
use rquickjs_sys as q;

/// How a promise stands when nothing is left to do.
pub(crate) enum Settled {
    Fulfilled(Value),
    Rejected(Value),
    Pending(Value),
}

/// Follows rejections from here on.
///
/// # Safety
/// The runtime is alive.
pub(crate) unsafe fn track(runtime: *mut JSRuntime) {
    // SAFETY: the caller's promise.
    unsafe { q::JS_SetHostPromiseRejectionTracker(runtime, Some(on_rejection), core::ptr::null_mut()) }
}

/// What running jobs comes to: the error is the exception that stopped the run.
pub(crate) type Jobs = Result<(), Value>;

/// Runs jobs until none is left. The error is the exception that stopped the run.
pub(crate) fn run_jobs() -> Jobs {
    let mut at: *mut JSContext = core::ptr::null_mut();
    loop {
        // SAFETY: plain call with a place for the answer.
        match unsafe { q::JS_ExecutePendingJob(State::get().runtime, &mut at) } {
            0 => return Ok(()),
            1.. => {
                // A chain of short jobs would never reach the engine's own poll.
                if host::stopped() {
                    return Err(Value::UNDEFINED);
                }
            }
            _ => {
                let thrown = Value::exception();
                if thrown.is_uncatchable() || host::stopped() {
                    return Err(thrown);
                }
                console::line(console::ERROR, |out| {
                    out.text("uncaught in a microtask: ");
                    inspect::value(out, &thrown);
                });
            }
        }
    }
}

/// What `value` comes to once all jobs have run: itself unless it is a promise, or an object with a `then`, as `await` has
/// it. The error is the exception that stopped the run.
pub(crate) fn settle(value: Value) -> Result<Settled, Value> {
    let promise = match adopt(value) {
        Ok(promise) => promise,
        Err(Thrown) => return Ok(Settled::Rejected(Value::exception())),
    };
    run_jobs()?;
    Ok(look(promise))
}

/// A promise that is settled: of a value, or of an error.
pub(crate) fn settled(how: Result<Value, Value>) -> Result<Value, Thrown> {
    let (is_reject, value) = match how {
        Ok(value) => (false, value),
        Err(error) => (true, error),
    };
    // SAFETY: the promise is new and ours; the value is only looked at.
    unsafe { Value::take(q::JS_NewSettledPromise(context(), is_reject, value.raw())) }
}

/// How a promise stands; a value that is none stands for itself.
pub(crate) fn look(promise: Value) -> Settled {
    // SAFETY: plain calls; the result of a promise is a reference of ours.
    let result = |promise: &Value| unsafe { Value::take(q::JS_PromiseResult(context(), promise.raw())) };
    // SAFETY: looks at the promise only.
    let settled = match unsafe { q::JS_PromiseState(context(), promise.raw()) } {
        q::JSPromiseStateEnum_JS_PROMISE_PENDING => return Settled::Pending(promise),
        q::JSPromiseStateEnum_JS_PROMISE_FULFILLED => match result(&promise) {
            Ok(value) => Settled::Fulfilled(value),
            Err(Thrown) => Settled::Rejected(Value::exception()),
        },
        q::JSPromiseStateEnum_JS_PROMISE_REJECTED => match result(&promise) {
            Ok(value) => Settled::Rejected(value),
            Err(Thrown) => Settled::Rejected(Value::exception()),
        },
        _ => return Settled::Fulfilled(promise),
    };
    let address = promise.address();
    State::get().rejections.borrow_mut().retain(|(rejected, _)| rejected.address() != address);
    settled
}

/// A promise for an object with a `then` that is no promise of the engine's own; anything else as it is.
pub(crate) fn adopt(value: Value) -> Result<Value, Thrown> {
    // SAFETY: plain calls. The two functions of the capability are references of ours.
    unsafe {
        if !value.is_object() || q::JS_IsPromise(value.raw()) {
            return Ok(value);
        }
        if !value.get_atom(State::get().then)?.is_function() {
            return Ok(value);
        }
        let mut functions = [q::JS_UNDEFINED; 2];
        let promise = Value::take(q::JS_NewPromiseCapability(context(), functions.as_mut_ptr()))?;
        let [resolve, reject] = functions;
        drop(Value::take(reject));
        Value::take(resolve)?.call(&Value::UNDEFINED, &[&value])?;
        Ok(promise)
    }
}

/// Logs the rejections that nobody listened to.
pub(crate) fn report_rejections() {
    for (_, reason) in State::get().rejections.take() {
        console::line(console::ERROR, |out| {
            out.text("unhandled rejection: ");
            inspect::value(out, &reason);
        });
    }
}

unsafe extern "C" fn on_rejection(_: *mut JSContext, promise: JSValue, reason: JSValue, handled: bool, _: *mut c_void) {
    let mut rejections = State::get().rejections.borrow_mut();
    if handled {
        // SAFETY: looks at the bits only.
        let address = unsafe { q::JS_VALUE_GET_PTR(promise) };
        rejections.retain(|(rejected, _)| rejected.address() != address);
    } else {
        // SAFETY: the engine holds both for the call.
        rejections.push(unsafe { (Value::share(promise), Value::share(reason)) });
    }
}
