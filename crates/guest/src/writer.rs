//! Writes what `execute` returned as a tagged value, and refuses what JSON would lose in silence.
//!
//! The rules are those of `JSON.stringify` where it loses nothing: own enumerable string keys, a property that is
//! `undefined` is absent, `toJSON` is honoured, boxed primitives are unboxed. What it would turn into `null`, `{}` or
//! nothing is refused with a JSON pointer: numbers that are not finite, functions, symbols, holes and `undefined` in arrays,
//! maps, sets and the like, invalid dates, cycles; and so are BigInts, lone surrogates, and nesting or sizes past the
//! bounds of [`wire`]. Getters, proxies and `toJSON` run author code, under the limits of the run.

use crate::js::{self, Text, Thrown, Value};
use crate::state::State;
use crate::wire;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::ffi::c_void;
use q::JSAtom;
use rquickjs_sys as q;

/// Why there is no outcome.
pub(crate) enum Stop {
    /// It cannot cross; the `{pointer, message}` to report.
    Refused(Vec<u8>),
    /// Author code that ran on the way threw; the exception is pending.
    Thrown,
}

impl From<Thrown> for Stop {
    fn from(_: Thrown) -> Stop {
        Stop::Thrown
    }
}

/// The outcome as a tagged value.
pub(crate) fn outcome(value: &Value) -> Result<Vec<u8>, Stop> {
    let mut walk = Walk { out: Vec::with_capacity(1024), path: Vec::new(), open: Vec::new() };
    // SAFETY: the caller holds the value.
    let resolved = walk.resolve(unsafe { Value::share(value.raw()) })?;
    if resolved.is_undefined() {
        return Err(walk.refuse("undefined; execute has to return an outcome such as { kind: 'continue' }"));
    }
    walk.write(&resolved)?;
    Ok(walk.out)
}

/// Writes a small object that is an argument of a call of the host, by the same rules. What could not be an outcome is refused, and
/// may be an argument all the same.
pub(crate) fn argument(object: &Value) -> Result<Vec<u8>, Stop> {
    let mut walk = Walk { out: Vec::with_capacity(128), path: Vec::new(), open: Vec::new() };
    walk.write(object)?;
    Ok(walk.out)
}

#[derive(Clone, Copy)]
enum Step {
    Key(JSAtom),
    Index(u32),
}

struct Walk {
    out: Vec<u8>,
    path: Vec<Step>,
    /// The objects that the walk is inside of, to know a cycle.
    open: Vec<*mut c_void>,
}

impl Walk {
    /// `toJSON` and unboxing.
    fn resolve(&mut self, value: Value) -> Result<Value, Stop> {
        if !value.is_object() && !value.is_big_int() {
            return Ok(value);
        }
        let state = State::get();
        let to_json = value.get_atom(state.to_json)?;
        if to_json.is_function() {
            let key = match self.path.last() {
                None => Value::text(b"")?,
                Some(Step::Index(index)) => Value::text(index.to_string().as_bytes())?,
                // SAFETY: the atom is alive while its step stands.
                Some(Step::Key(atom)) => unsafe { Value::take(q::JS_AtomToString(js::context(), *atom))? },
            };
            let shown = to_json.call(&value, &[&key])?;
            if value.is_object() && value.is_date() && shown.is_null() {
                return Err(self.refuse("an invalid date"));
            }
            return Ok(shown);
        }
        if value.is_object() && state.boxed_classes.contains(&value.class()) {
            let unboxed = value.get_atom(state.value_of)?;
            let unboxed = if unboxed.is_function() { unboxed.call(&value, &[])? } else { return Ok(value) };
            return Ok(if unboxed.is_object() { value } else { unboxed });
        }
        Ok(value)
    }

    fn write(&mut self, value: &Value) -> Result<(), Stop> {
        match value.tag() {
            q::JS_TAG_NULL => self.put(&[wire::NULL])?,
            q::JS_TAG_BOOL => self.put(&[if value.int() == 0 { wire::FALSE } else { wire::TRUE }])?,
            q::JS_TAG_INT => {
                self.put(&[wire::INT])?;
                self.put(&value.int().to_le_bytes())?;
            }
            q::JS_TAG_FLOAT64 => {
                let number = value.double();
                if !number.is_finite() {
                    return Err(self.refuse(&format!("{}, which JSON has no number for", number_name(number))));
                }
                // Arithmetic can leave an integer as a double; one value has one form on the wire.
                let whole = number as i32;
                if f64::from(whole).to_bits() == number.to_bits() {
                    self.put(&[wire::INT])?;
                    self.put(&whole.to_le_bytes())?;
                } else {
                    self.put(&[wire::DOUBLE])?;
                    self.put(&number.to_le_bytes())?;
                }
            }
            q::JS_TAG_STRING | q::JS_TAG_STRING_ROPE => {
                let text = value.to_text()?;
                self.put(&[wire::TEXT])?;
                self.text(&text)?;
            }
            q::JS_TAG_UNDEFINED => return Err(self.refuse("undefined, which JSON has no value for")),
            q::JS_TAG_SYMBOL => return Err(self.refuse("a symbol, which JSON has no value for")),
            q::JS_TAG_OBJECT => self.object(value)?,
            _ if value.is_big_int() => {
                return Err(self.refuse("a BigInt, which JSON has no number for; use a number or a string"));
            }
            _ => return Err(self.refuse("a value that JSON does not know")),
        }
        Ok(())
    }

    fn object(&mut self, value: &Value) -> Result<(), Stop> {
        if value.is_function() {
            return Err(self.refuse("a function, which JSON has no value for"));
        }
        if self.open.contains(&value.address()) {
            return Err(self.refuse("a cycle: this object holds itself"));
        }
        if self.open.len() == wire::MAX_DEPTH {
            return Err(self.refuse(&format!("nested more than {} deep", wire::MAX_DEPTH)));
        }
        let target = value.behind_proxies();
        let [array, ..] = State::get().plain_classes;
        if !State::get().plain_classes.contains(&target.class()) {
            let name = target.class_name();
            return Err(self.refuse(&format!("an instance of {name}, which JSON has no value for")));
        }
        self.open.push(value.address());
        if target.class() == array {
            self.elements(value)?
        } else {
            self.properties(value)?
        }
        self.open.pop();
        Ok(())
    }

    fn elements(&mut self, array: &Value) -> Result<(), Stop> {
        let count = array.length()?;
        if count > wire::MAX_OUTCOME_TAGGED as i64 {
            return Err(self.too_large());
        }
        self.put(&[wire::ARRAY])?;
        self.put(&(count as u32).to_le_bytes())?;
        for index in 0..count {
            self.path.push(Step::Index(index as u32));
            let element = array.get_index(index)?;
            let element = self.resolve(element)?;
            self.write(&element)?;
            self.path.pop();
        }
        Ok(())
    }

    fn properties(&mut self, object: &Value) -> Result<(), Stop> {
        let keys = object.keys()?;
        if keys.len() as usize > wire::MAX_OUTCOME_TAGGED {
            return Err(self.too_large());
        }
        self.put(&[wire::OBJECT])?;
        let count_at = self.out.len();
        self.put(&[0; 4])?;
        let mut count: u32 = 0;
        for key in keys.atoms() {
            self.path.push(Step::Key(key));
            let value = object.get_atom(key)?;
            let value = self.resolve(value)?;
            if !value.is_undefined() {
                count += 1;
                match State::get().key_number(key) {
                    Some(known) => self.put(&known.to_le_bytes())?,
                    None => {
                        let name = js::atom_text(key)?;
                        self.put(&wire::KEY_INLINE.to_le_bytes())?;
                        self.text(&name)?;
                    }
                }
                self.write(&value)?;
            }
            self.path.pop();
        }
        self.out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
        Ok(())
    }

    fn text(&mut self, text: &Text) -> Result<(), Stop> {
        if text.strict().is_none() {
            return Err(self.refuse("a string with half of a surrogate pair, which UTF-8 has no bytes for"));
        }
        self.put(&(text.bytes().len() as u32).to_le_bytes())?;
        self.put(text.bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.out.len() + bytes.len() > wire::MAX_OUTCOME_TAGGED {
            return Err(self.too_large());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn too_large(&self) -> Stop {
        self.refuse("the outcome is larger than 64 KiB of JSON")
    }

    fn refuse(&self, message: &str) -> Stop {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Index(index) => pointer.push_str(&index.to_string()),
                Step::Key(atom) => {
                    let name = js::atom_text(*atom).or_else(js::clear).map(|t| t.lossy(256)).unwrap_or_default();
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
            }
        }
        let mut record = Record::new();
        record.text(b"pointer", &pointer);
        record.text(b"message", message);
        Stop::Refused(record.finish())
    }
}

fn number_name(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// An object of texts, as the glue reports it.
pub(crate) struct Record {
    out: Vec<u8>,
    count: u32,
}

impl Record {
    pub(crate) fn new() -> Record {
        Record { out: vec![wire::OBJECT, 0, 0, 0, 0], count: 0 }
    }

    pub(crate) fn text(&mut self, key: &[u8], text: &str) {
        self.count += 1;
        self.out.extend_from_slice(&wire::KEY_INLINE.to_le_bytes());
        self.out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.out.extend_from_slice(key);
        self.out.push(wire::TEXT);
        self.out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out[1..5].copy_from_slice(&self.count.to_le_bytes());
        self.out
    }
}
