//! Calls of the host: what an Action asks for beyond its own memory.

use super::{Arguments, buffer};
use crate::host::{self, Started};
use crate::js::{self, Thrown, Value, context};
use crate::state::State;
use crate::wire;
use core::ffi::c_int;
use rquickjs_sys as q;

/// `start(kind, meta, body)`: a number names a call that will be settled; a list is the answer, which came at once.
pub(super) fn start(arguments: &Arguments) -> Result<Value, Thrown> {
    let kind = arguments.scalars(0)?;
    let Some(kind) = wire::CALLS.iter().position(|known| *known == kind) else {
        return Err(js::throw("a call that the host does not know"));
    };
    let meta = arguments.scalars(1)?;
    let body = if arguments.value(2).is_undefined() { None } else { Some(arguments.whole(2)?) };
    match host::start(kind as i32, meta.as_bytes(), body) {
        Started::Pending(id) => {
            State::get().calls.set(State::get().calls.get() + 1);
            // SAFETY: an integer has no reference.
            unsafe { Value::take(q::JS_MKVAL(q::JS_TAG_INT, id)) }
        }
        Started::Answered { meta, body } => answer(&meta, body.as_deref()),
    }
}

fn answer(meta: &[u8], body: Option<&[u8]>) -> Result<Value, Thrown> {
    let meta = Value::text(meta)?;
    let body = body.map_or(Ok(Value::UNDEFINED), buffer)?;
    // SAFETY: the new array is ours, and takes over both.
    unsafe {
        let answer = Value::take(q::JS_NewArray(context()))?;
        for (value, index) in [meta, body].into_iter().zip(0..) {
            let flags = q::JS_PROP_C_W_E as c_int;
            if q::JS_DefinePropertyValueUint32(context(), answer.raw(), index, value.into_raw(), flags) < 0 {
                return Err(Thrown);
            }
        }
        Ok(answer)
    }
}

/// `cancel(id)`: nobody waits for it any more.
pub(super) fn cancel(arguments: &Arguments) -> Result<Value, Thrown> {
    if host::cancel(arguments.size(0)? as i32) {
        State::get().calls.set(State::get().calls.get().saturating_sub(1));
    }
    Ok(Value::UNDEFINED)
}
