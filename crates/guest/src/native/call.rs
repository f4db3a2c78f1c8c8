//! Calls of the host: what an Action asks for beyond its own memory.

use super::{Arguments, buffer};
use crate::host::{self, Started};
use crate::js::{self, Thrown, Value, context};
use crate::reader::Reader;
use crate::state::State;
use crate::web::Web;
use crate::writer::{self, Stop};
use crate::{promise, wire};
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

/// `take(key, options)`: `counters.take` itself, the way that most calls go: a run may take once for each sign-in, and what it
/// costs over a run that does not is the price of a rate limit. Whatever is not plain goes to the script's own `take`, with the
/// number of the call where one has begun, or the answer where it is an error.
pub(super) fn take(arguments: &Arguments) -> Result<Value, Thrown> {
    let (key, options) = (arguments.value(0), arguments.value(1));
    let slowly = |begun| Web::call(|web| &web.take, &[&key, &options, &begun]);
    let [_, plain, ..] = State::get().plain_classes;
    let is_plain = options.is_object() && options.class() == plain && !host::frozen();
    let (true, Some(name)) = (is_plain, key.as_text()) else { return slowly(Value::UNDEFINED) };
    let Some(name) = name.strict() else { return slowly(Value::UNDEFINED) };
    let asked = match writer::argument(&options) {
        Ok(asked) => asked,
        Err(Stop::Refused(_)) => return slowly(Value::UNDEFINED),
        Err(Stop::Thrown) => {
            let thrown = Value::exception();
            if thrown.is_uncatchable() {
                // SAFETY: what was thrown is thrown again.
                unsafe { q::JS_Throw(context(), thrown.into_raw()) };
                return Err(Thrown);
            }
            return promise::settled(Err(thrown));
        }
    };
    match host::start(wire::TAKE_NUMBER as i32, name.as_bytes(), Some(&asked)) {
        Started::Pending(id) => {
            State::get().calls.set(State::get().calls.get() + 1);
            // SAFETY: an integer has no reference.
            slowly(unsafe { Value::take(q::JS_MKVAL(q::JS_TAG_INT, id)) }?)
        }
        Started::Answered { meta, body: Some(taken) } if meta.is_empty() => {
            promise::settled(Ok(Reader::new(&taken).value()?))
        }
        Started::Answered { meta, body } => slowly(answer(&meta, body.as_deref())?),
    }
}
