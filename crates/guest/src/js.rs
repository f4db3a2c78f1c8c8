//! Counted references to JavaScript values, and the few operations on them that the glue needs.
//!
//! Everything takes the one context from [`State`]. A [`Thrown`] means that an exception is pending in it.

use crate::state::State;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::ManuallyDrop;
use q::{JSAtom, JSContext, JSValue};
use rquickjs_sys as q;

/// An exception is pending in the context.
pub(crate) struct Thrown;

/// A value that is owned: its reference is given up when it is dropped.
pub(crate) struct Value(JSValue);

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { q::JS_FreeValue(context(), self.0) }
    }
}

/// The one context.
pub(crate) fn context() -> *mut JSContext {
    State::get().context
}

/// Keys of an object, with the atoms that name them.
pub(crate) struct Keys {
    table: *mut q::JSPropertyEnum,
    len: u32,
}

impl Drop for Keys {
    fn drop(&mut self) {
        // SAFETY: the table comes from the engine with this length.
        unsafe { q::JS_FreePropertyEnum(context(), self.table, self.len) }
    }
}

impl Keys {
    /// The atoms; they live as long as the keys.
    pub(crate) fn atoms(&self) -> impl Iterator<Item = JSAtom> + '_ {
        // SAFETY: the engine filled `len` entries; an object without keys has no table.
        let table =
            if self.len == 0 { &[][..] } else { unsafe { core::slice::from_raw_parts(self.table, self.len as usize) } };
        table.iter().map(|entry| entry.atom)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }
}

/// Text of the engine as UTF-8, in which a lone surrogate stands as three bytes that UTF-8 does not know.
pub(crate) struct Text {
    ptr: *const c_char,
    len: usize,
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from the engine's own conversion.
        unsafe { q::JS_FreeCString(context(), self.ptr) }
    }
}

impl Text {
    fn new(ptr: *const c_char, len: usize) -> Result<Text, Thrown> {
        if ptr.is_null() { Err(Thrown) } else { Ok(Text { ptr, len }) }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the engine gave pointer and length.
        unsafe { core::slice::from_raw_parts(self.ptr.cast(), self.len) }
    }

    /// The text, or nothing where it holds a lone surrogate.
    pub(crate) fn strict(&self) -> Option<&str> {
        core::str::from_utf8(self.bytes()).ok()
    }

    /// The text with U+FFFD for each lone surrogate, at most `max` bytes of it.
    pub(crate) fn lossy(&self, max: usize) -> String {
        let bytes = self.bytes();
        let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned();
        if bytes.len() > max {
            // The cut may have gone through a character.
            while text.ends_with('\u{fffd}') {
                text.pop();
            }
            text.push('…');
        }
        text
    }
}

impl Value {
    pub(crate) const UNDEFINED: Value = Value(q::JS_UNDEFINED);

    /// Takes over a reference.
    ///
    /// # Safety
    /// The reference is the caller's to give away, or the value has none.
    pub(crate) unsafe fn take(raw: JSValue) -> Result<Value, Thrown> {
        // SAFETY: looks at the tag only.
        if unsafe { q::JS_IsException(raw) } { Err(Thrown) } else { Ok(Value(raw)) }
    }

    /// What was compiled, read from [`Value::bytecode`] of another guest of the same engine.
    pub(crate) fn from_bytecode(bytes: &[u8]) -> Result<Value, Thrown> {
        let flags = q::JS_READ_OBJ_BYTECODE as c_int;
        // SAFETY: reading copies; the raw value is new and ours.
        unsafe { Value::take(q::JS_ReadObject(context(), bytes.as_ptr(), bytes.len() as _, flags)) }
    }

    /// A script or a module that was compiled and not evaluated, as bytecode without its text.
    pub(crate) fn bytecode(&self) -> Result<Vec<u8>, Thrown> {
        let flags = (q::JS_WRITE_OBJ_BYTECODE | q::JS_WRITE_OBJ_STRIP_SOURCE) as c_int;
        let mut size = 0;
        // SAFETY: what is written is copied before it is freed.
        unsafe {
            let written = q::JS_WriteObject(context(), &mut size, self.0, flags);
            if written.is_null() {
                return Err(Thrown);
            }
            let bytes = core::slice::from_raw_parts(written, size as usize).to_vec();
            q::js_free(context(), written.cast());
            Ok(bytes)
        }
    }

    /// Another reference to a value that someone else owns.
    ///
    /// # Safety
    /// The value is alive.
    pub(crate) unsafe fn share(raw: JSValue) -> Value {
        // SAFETY: the caller's promise.
        Value(unsafe { q::JS_DupValue(context(), raw) })
    }

    /// `true` or `false`.
    pub(crate) fn truth(truth: bool) -> Value {
        Value(if truth { q::JS_TRUE } else { q::JS_FALSE })
    }

    /// The value as the engine knows it; the reference stays here.
    pub(crate) fn raw(&self) -> JSValue {
        self.0
    }

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> JSValue {
        ManuallyDrop::new(self).0
    }

    /// The exception that is pending, which is pending no more.
    pub(crate) fn exception() -> Value {
        // SAFETY: plain call.
        Value(unsafe { q::JS_GetException(context()) })
    }

    /// A string.
    pub(crate) fn text(text: &[u8]) -> Result<Value, Thrown> {
        // SAFETY: the engine copies the bytes.
        unsafe { Value::take(q::JS_NewStringLen(context(), text.as_ptr().cast(), text.len() as _)) }
    }

    /// The value's property of a name that is no index.
    pub(crate) fn get(&self, name: &CStr) -> Result<Value, Thrown> {
        // SAFETY: plain call; what it runs is the Action's.
        unsafe { Value::take(q::JS_GetPropertyStr(context(), self.0, name.as_ptr())) }
    }

    /// The value's property.
    pub(crate) fn get_atom(&self, key: JSAtom) -> Result<Value, Thrown> {
        // SAFETY: plain call; the atom is alive.
        unsafe { Value::take(q::JS_GetProperty(context(), self.0, key)) }
    }

    /// An element.
    pub(crate) fn get_index(&self, index: i64) -> Result<Value, Thrown> {
        // SAFETY: plain call.
        unsafe { Value::take(q::JS_GetPropertyInt64(context(), self.0, index)) }
    }

    /// `length`.
    pub(crate) fn length(&self) -> Result<i64, Thrown> {
        let mut length = 0;
        // SAFETY: plain call with a place for the answer.
        if unsafe { q::JS_GetLength(context(), self.0, &mut length) } < 0 { Err(Thrown) } else { Ok(length) }
    }

    /// The enumerable own keys that are strings.
    pub(crate) fn keys(&self) -> Result<Keys, Thrown> {
        let mut keys = Keys { table: core::ptr::null_mut(), len: 0 };
        let flags = (q::JS_GPN_STRING_MASK | q::JS_GPN_ENUM_ONLY) as c_int;
        // SAFETY: plain call with places for the answer; an exception leaves them empty.
        let status = unsafe { q::JS_GetOwnPropertyNames(context(), &mut keys.table, &mut keys.len, self.0, flags) };
        if status < 0 {
            core::mem::forget(keys);
            return Err(Thrown);
        }
        Ok(keys)
    }

    /// Calls it.
    pub(crate) fn call(&self, this: &Value, arguments: &[&Value]) -> Result<Value, Thrown> {
        let mut raw: Vec<JSValue> = arguments.iter().map(|a| a.0).collect();
        // SAFETY: the arguments outlive the call, which does not take them over.
        unsafe { Value::take(q::JS_Call(context(), self.0, this.0, raw.len() as c_int, raw.as_mut_ptr())) }
    }

    /// Its text, as `String(value)` would have it; runs author code for an object.
    pub(crate) fn to_text(&self) -> Result<Text, Thrown> {
        let mut len: usize = 0;
        // SAFETY: plain call with a place for the length; `size_t` is as wide as `usize` here.
        let ptr = unsafe { q::JS_ToCStringLen2(context(), (&raw mut len).cast(), self.0, false) };
        Text::new(ptr, len)
    }

    /// Its text where it is a string already.
    pub(crate) fn as_text(&self) -> Option<Text> {
        if self.is_string() { self.to_text().or_else(clear).ok() } else { None }
    }

    /// Its tag; [`q::JS_TAG_FLOAT64`] for every double.
    pub(crate) fn tag(&self) -> i32 {
        // SAFETY: looks at the bits only.
        unsafe { q::JS_VALUE_GET_NORM_TAG(self.0) }
    }

    /// The payload of an integer or a boolean.
    pub(crate) fn int(&self) -> i32 {
        // SAFETY: looks at the bits only.
        unsafe { q::JS_VALUE_GET_INT(self.0) }
    }

    /// The payload of a double.
    pub(crate) fn double(&self) -> f64 {
        // SAFETY: looks at the bits only.
        unsafe { q::JS_VALUE_GET_FLOAT64(self.0) }
    }

    /// The address of an object, to know it again.
    pub(crate) fn address(&self) -> *mut c_void {
        // SAFETY: looks at the bits only.
        unsafe { q::JS_VALUE_GET_PTR(self.0) }
    }

    pub(crate) fn is_undefined(&self) -> bool {
        self.tag() == q::JS_TAG_UNDEFINED
    }

    pub(crate) fn is_null(&self) -> bool {
        self.tag() == q::JS_TAG_NULL
    }

    pub(crate) fn is_object(&self) -> bool {
        self.tag() == q::JS_TAG_OBJECT
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.tag(), q::JS_TAG_STRING | q::JS_TAG_STRING_ROPE)
    }

    pub(crate) fn is_big_int(&self) -> bool {
        matches!(self.tag(), q::JS_TAG_BIG_INT | q::JS_TAG_SHORT_BIG_INT)
    }

    /// Whether it can be called.
    pub(crate) fn is_function(&self) -> bool {
        // SAFETY: plain call.
        unsafe { q::JS_IsFunction(context(), self.0) }
    }

    /// Whether it is an Error, by its slot and not by what it inherits from, or a DOMException.
    pub(crate) fn is_error(&self) -> bool {
        // SAFETY: plain call.
        unsafe { q::JS_IsError(self.0) || (self.is_object() && self.class_name() == "DOMException") }
    }

    /// Whether it is a Date.
    pub(crate) fn is_date(&self) -> bool {
        // SAFETY: plain call.
        unsafe { q::JS_IsDate(self.0) }
    }

    /// Whether it is the exception by which the engine ends a run that was stopped.
    pub(crate) fn is_uncatchable(&self) -> bool {
        // SAFETY: plain call.
        unsafe { q::JS_IsUncatchableError(self.0) }
    }

    /// The engine's class of an object.
    pub(crate) fn class(&self) -> q::JSClassID {
        // SAFETY: plain call.
        unsafe { q::JS_GetClassID(self.0) }
    }

    /// The name of the engine's class of an object: `Map`, `RegExp`.
    pub(crate) fn class_name(&self) -> String {
        // SAFETY: the class is one that the runtime knows; the answer is an atom of ours.
        let name = unsafe {
            let atom = q::JS_GetClassName(State::get().runtime, self.class());
            let name = atom_text(atom).map(|t| t.lossy(64));
            q::JS_FreeAtom(context(), atom);
            name
        };
        name.or_else(clear).unwrap_or_default()
    }

    /// The innermost target of a proxy, or the value itself.
    pub(crate) fn behind_proxies(&self) -> Value {
        // SAFETY: the value is alive, and so is each target while its proxy is; a revoked proxy has none.
        unsafe {
            let mut value = Value::share(self.0);
            while q::JS_IsProxy(value.0) {
                match Value::take(q::JS_GetProxyTarget(context(), value.0)) {
                    Ok(target) if target.is_object() => value = target,
                    _ => {
                        let _ = clear::<()>(Thrown);
                        break;
                    }
                }
            }
            value
        }
    }

    /// Its JSON text, or nothing where JSON knows no such value or making it threw.
    pub(crate) fn json(&self) -> Option<Text> {
        // SAFETY: plain call; what it runs is the Action's.
        let text = unsafe { Value::take(q::JS_JSONStringify(context(), self.0, q::JS_UNDEFINED, q::JS_UNDEFINED)) };
        text.or_else(clear).ok()?.as_text()
    }
}

/// Forgets the pending exception.
pub(crate) fn clear<T>(_: Thrown) -> Result<T, ()> {
    drop(Value::exception());
    Err(())
}

/// Makes a TypeError pending.
pub(crate) fn throw(message: &str) -> Thrown {
    let message = CString::new(message).unwrap_or_default();
    // SAFETY: the engine copies both texts.
    unsafe { q::JS_ThrowTypeError(context(), c"%s".as_ptr(), message.as_ptr()) };
    Thrown
}

/// An atom of this name, never given back.
pub(crate) fn atom(name: &[u8]) -> JSAtom {
    // SAFETY: the engine copies the bytes.
    unsafe { q::JS_NewAtomLen(context(), name.as_ptr().cast(), name.len() as _) }
}

/// The text of an atom.
pub(crate) fn atom_text(atom: JSAtom) -> Result<Text, Thrown> {
    let mut len: usize = 0;
    // SAFETY: the atom is alive; a place for the length.
    let ptr = unsafe { q::JS_AtomToCStringLen(context(), (&raw mut len).cast(), atom) };
    Text::new(ptr, len)
}

/// A function of the glue, as a property of `object` that a script may replace.
pub(crate) fn define(object: &Value, name: &CStr, function: q::JSCFunctionMagic, length: c_int, magic: c_int) {
    let flags = (q::JS_PROP_CONFIGURABLE | q::JS_PROP_WRITABLE) as c_int;
    // SAFETY: with the kind `generic_magic` the engine calls the pointer with exactly this signature; the new function's
    // reference goes to the object.
    unsafe {
        let plain = core::mem::transmute::<q::JSCFunctionMagic, q::JSCFunction>(function);
        let kind = q::JSCFunctionEnum_JS_CFUNC_generic_magic;
        let function = q::JS_NewCFunction2(context(), plain, name.as_ptr(), length, kind, magic);
        q::JS_DefinePropertyValueStr(context(), object.0, name.as_ptr(), function, flags);
    }
}
