//! What the scripts of the base image (`src/web`) are given: bytes, URLs, clock, random numbers and calls of the host.
//!
//! The web's APIs are written in JavaScript, evaluated once when the base image is made, on top of these few functions. An
//! Action never sees them: it sees what the scripts make of them.

mod bytes;
mod call;
mod url;

use crate::host;
use crate::js::{self, Text, Thrown, Value, context};
use alloc::string::String;
use core::ffi::{CStr, c_int};
use q::{JSContext, JSValue};
use rquickjs_sys as q;

/// A function: its name, how many arguments it takes, and what it does.
type Entry = (&'static CStr, c_int, fn(&Arguments) -> Result<Value, Thrown>);

const FUNCTIONS: [Entry; 16] = [
    (c"encode", 1, bytes::encode),
    (c"decode", 5, bytes::decode),
    (c"digest", 4, bytes::digest),
    (c"hmac", 7, bytes::hmac),
    (c"equal", 6, bytes::equal),
    (c"entropy", 3, bytes::entropy),
    (c"url_parse", 2, url::parse),
    (c"url_set", 3, url::set),
    (c"form_parse", 1, url::form_parse),
    (c"form_serialize", 1, url::form_serialize),
    (c"now", 0, now),
    (c"frozen", 0, frozen),
    (c"start", 3, call::start),
    (c"cancel", 1, call::cancel),
    (c"take", 2, call::take),
    (c"log", 2, log),
];

/// The object that has them all.
pub(crate) fn object() -> Result<Value, Thrown> {
    // SAFETY: the new object is ours.
    let object = unsafe { Value::take(q::JS_NewObject(context()))? };
    for ((name, length, _), magic) in FUNCTIONS.iter().zip(0..) {
        js::define(&object, name, Some(dispatch), *length, magic);
    }
    Ok(object)
}

unsafe extern "C" fn dispatch(_: *mut JSContext, _: JSValue, argc: c_int, argv: *mut JSValue, magic: c_int) -> JSValue {
    let Some((.., function)) = FUNCTIONS.get(magic as usize) else { core::arch::wasm32::unreachable() };
    match function(&Arguments { argc, argv }) {
        Ok(value) => value.into_raw(),
        Err(Thrown) => q::JS_EXCEPTION,
    }
}

/// What a function was called with. The scripts call with what is expected; what is not is a mistake of theirs, and throws.
pub(crate) struct Arguments {
    argc: c_int,
    argv: *mut JSValue,
}

impl Arguments {
    /// An argument; `undefined` where there is none.
    pub(crate) fn value(&self, index: c_int) -> Value {
        if index >= self.argc {
            return Value::UNDEFINED;
        }
        // SAFETY: the engine gives `argc` values that live for the call.
        unsafe { Value::share(*self.argv.offset(index as isize)) }
    }

    /// An argument as text.
    pub(crate) fn text(&self, index: c_int) -> Result<Text, Thrown> {
        self.value(index).to_text()
    }

    /// An argument as the text that the web calls a USVString: U+FFFD stands for half of a surrogate pair.
    pub(crate) fn scalars(&self, index: c_int) -> Result<String, Thrown> {
        Ok(scalars(&self.text(index)?))
    }

    /// An argument as a number that is no smaller than 0.
    pub(crate) fn size(&self, index: c_int) -> Result<usize, Thrown> {
        let mut number = 0;
        // SAFETY: plain call with a place for the answer.
        if unsafe { q::JS_ToInt64(context(), &mut number, self.value(index).raw()) } < 0 {
            return Err(Thrown);
        }
        usize::try_from(number).map_err(|_| js::throw("a size below 0"))
    }

    /// An argument as a truth.
    pub(crate) fn is_true(&self, index: c_int) -> bool {
        // SAFETY: plain call; it runs nothing.
        unsafe { q::JS_ToBool(context(), self.value(index).raw()) > 0 }
    }

    /// Three arguments, an ArrayBuffer, an offset and a length, as the bytes that they name.
    pub(crate) fn bytes(&self, index: c_int) -> Result<&[u8], Thrown> {
        // SAFETY: the buffer is an argument, which outlives the call; nothing is written to it while the bytes are read.
        self.place(index).map(|(at, len)| unsafe { core::slice::from_raw_parts(at, len) })
    }

    /// An argument, an ArrayBuffer, as all of its bytes.
    pub(crate) fn whole(&self, index: c_int) -> Result<&[u8], Thrown> {
        // SAFETY: as in `bytes`.
        self.buffer(index).map(|(at, len)| unsafe { core::slice::from_raw_parts(at, len) })
    }

    /// As [`Arguments::bytes`], to be written to.
    fn place(&self, index: c_int) -> Result<(*mut u8, usize), Thrown> {
        let (offset, length) = (self.size(index + 1)?, self.size(index + 2)?);
        let (at, size) = self.buffer(index)?;
        match offset.checked_add(length) {
            // SAFETY: within the buffer, or at its end.
            Some(end) if end <= size => Ok((unsafe { at.add(offset) }, length)),
            _ => Err(js::throw("bytes outside of a buffer")),
        }
    }

    fn buffer(&self, index: c_int) -> Result<(*mut u8, usize), Thrown> {
        let mut size = 0;
        // SAFETY: plain call with a place for the answer; null with an exception where it is no buffer.
        let at = unsafe { q::JS_GetArrayBuffer(context(), &mut size, self.value(index).raw()) };
        // SAFETY: looks at what is pending only.
        match at.is_null() {
            false => Ok((at, size as usize)),
            true if unsafe { q::JS_HasException(context()) } => Err(Thrown),
            // An empty buffer may have no place.
            true => Ok((core::ptr::NonNull::dangling().as_ptr(), 0)),
        }
    }
}

/// Text with U+FFFD for each half of a surrogate pair, which the engine writes as three bytes that UTF-8 does not know.
pub(crate) fn scalars(text: &Text) -> String {
    let mut bytes = text.bytes().to_vec();
    for at in 0..bytes.len().saturating_sub(2) {
        if bytes[at] == 0xed && bytes[at + 1] >= 0xa0 {
            bytes[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        }
    }
    // What is left is UTF-8; nothing else could come from the engine.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A list of texts.
pub(crate) fn list<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Value, Thrown> {
    // SAFETY: the new array is ours, and takes over each text.
    unsafe {
        let list = Value::take(q::JS_NewArray(context()))?;
        for (text, index) in texts.zip(0..) {
            let text = Value::text(text.as_bytes())?;
            if q::JS_DefinePropertyValueUint32(context(), list.raw(), index, text.into_raw(), q::JS_PROP_C_W_E as c_int)
                < 0
            {
                return Err(Thrown);
            }
        }
        Ok(list)
    }
}

/// A new ArrayBuffer.
pub(crate) fn buffer(bytes: &[u8]) -> Result<Value, Thrown> {
    // SAFETY: the engine copies the bytes.
    unsafe { Value::take(q::JS_NewArrayBufferCopy(context(), bytes.as_ptr(), bytes.len() as _)) }
}

fn now(_: &Arguments) -> Result<Value, Thrown> {
    // SAFETY: a number has no reference.
    unsafe { Value::take(q::JS_NewFloat64(host::now())) }
}

fn frozen(_: &Arguments) -> Result<Value, Thrown> {
    Ok(Value::truth(host::frozen()))
}

/// A level, and what `console` would be called with.
fn log(arguments: &Arguments) -> Result<Value, Thrown> {
    let level = arguments.size(0)?;
    crate::console::values(level as c_int, (1..arguments.argc).map(|index| arguments.value(index)));
    Ok(Value::UNDEFINED)
}
