//! Reads a tagged value of the host into JavaScript. The host is trusted to write well; a mistake of its traps.

use crate::js::{Thrown, Value, context};
use crate::state::State;
use crate::wire;
use alloc::vec::Vec;
use core::cell::Ref;
use core::ffi::c_int;
use q::{JSAtom, JSValue};
use rquickjs_sys as q;

/// A cursor over tagged bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    keys: Ref<'static, Vec<JSAtom>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, keys: State::get().keys.borrow() }
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Result<Value, Thrown> {
        // SAFETY: the raw value is new and ours.
        unsafe { Value::take(self.raw()) }
    }

    #[inline(always)]
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let Some((head, rest)) = self.rest.split_at_checked(len) else { core::arch::wasm32::unreachable() };
        self.rest = rest;
        head
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let Some((head, rest)) = self.rest.split_first_chunk() else { core::arch::wasm32::unreachable() };
        self.rest = rest;
        *head
    }

    #[inline(always)]
    fn len(&mut self) -> usize {
        u32::from_le_bytes(self.array()) as usize
    }

    /// The next value, a reference that the caller must own; an exception where there is no memory.
    fn raw(&mut self) -> JSValue {
        let [tag] = self.array();
        match tag {
            wire::NULL => q::JS_NULL,
            wire::FALSE => q::JS_FALSE,
            wire::TRUE => q::JS_TRUE,
            wire::INT => q::JS_MKVAL(q::JS_TAG_INT, i32::from_le_bytes(self.array())),
            wire::DOUBLE => q::JS_NewFloat64(f64::from_le_bytes(self.array())),
            wire::TEXT => {
                let len = self.len();
                let text = self.bytes(len);
                // SAFETY: the engine copies the bytes.
                unsafe { q::JS_NewStringLen(context(), text.as_ptr().cast(), len as _) }
            }
            wire::ARRAY => self.elements(),
            wire::OBJECT => self.object(),
            _ => core::arch::wasm32::unreachable(),
        }
    }

    fn elements(&mut self) -> JSValue {
        let count = self.len();
        let mut values: Vec<JSValue> = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            values.push(self.raw());
        }
        // SAFETY: the array takes the references over. An element that is an exception can only mean that memory is out;
        // it ends as the next allocation's failure.
        unsafe {
            if values.iter().any(|v| q::JS_IsException(*v)) {
                return q::JS_EXCEPTION;
            }
            q::JS_NewArrayFrom(context(), count as c_int, values.as_ptr())
        }
    }

    fn object(&mut self) -> JSValue {
        let count = self.len();
        let context = context();
        // SAFETY: the object is new; each value's reference goes to it. Defining, unlike setting, makes `__proto__` a
        // property like any other.
        unsafe {
            let object = q::JS_NewObject(context);
            for _ in 0..count {
                let key = u16::from_le_bytes(self.array());
                let atom = if key == wire::KEY_INLINE {
                    let len = self.len();
                    let name = self.bytes(len);
                    q::JS_NewAtomLen(context, name.as_ptr().cast(), len as _)
                } else {
                    match self.keys.get(usize::from(key)) {
                        Some(atom) => *atom,
                        None => core::arch::wasm32::unreachable(),
                    }
                };
                let value = self.raw();
                if q::JS_IsException(value)
                    || q::JS_DefinePropertyValue(context, object, atom, value, q::JS_PROP_C_W_E as c_int) < 0
                {
                    return q::JS_EXCEPTION;
                }
            }
            object
        }
    }
}
