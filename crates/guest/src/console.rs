//! `console`: five functions on four levels, each call a line for the host. The host keeps what it has room for and says when it is full.

use crate::inspect::{self, Out};
use crate::js::{self, Value};
use crate::state::State;
use crate::{host, wire};
use core::ffi::c_int;
use q::{JSContext, JSValue};
use rquickjs_sys as q;

/// The level of `console.error`, and of what the glue logs itself.
pub(crate) const ERROR: c_int = 3;

/// Makes the global `console`. The numbers of the levels are the host's.
pub(crate) fn install(global: &Value) {
    // SAFETY: the new object's reference goes to the global.
    unsafe {
        let Ok(console) = Value::take(q::JS_NewObject(js::context())) else { core::arch::wasm32::unreachable() };
        for (name, level) in [(c"debug", 0), (c"log", 1), (c"info", 1), (c"warn", 2), (c"error", ERROR)] {
            js::define(&console, name, Some(log), 0, level);
        }
        let flags = (q::JS_PROP_CONFIGURABLE | q::JS_PROP_WRITABLE) as c_int;
        q::JS_DefinePropertyValueStr(js::context(), global.raw(), c"console".as_ptr(), console.into_raw(), flags);
    }
}

/// Logs a line, unless the host has no room left for one: then nothing is even formatted.
pub(crate) fn line(level: c_int, write: impl FnOnce(&mut Out)) {
    if State::get().log_open.get() {
        let mut out = Out::new(wire::MAX_REPORT_TEXT);
        write(&mut out);
        State::get().log_open.set(host::log(level, out.as_bytes()));
    }
}

/// Logs values as one line, with spaces between them.
pub(crate) fn values(level: c_int, values: impl Iterator<Item = Value>) {
    line(level, |out| {
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.text(" ");
            }
            match value.as_text() {
                Some(text) => out.text(&text.lossy(wire::MAX_REPORT_TEXT)),
                None => inspect::value(out, &value),
            }
        }
    });
}

unsafe extern "C" fn log(_: *mut JSContext, _: JSValue, argc: c_int, argv: *mut JSValue, level: c_int) -> JSValue {
    // SAFETY: the engine gives `argc` values that live for the call.
    values(level, (0..usize::try_from(argc).unwrap_or(0)).map(|index| unsafe { Value::share(*argv.add(index)) }));
    q::JS_UNDEFINED
}
