//! Shows values in a log, modestly like Node's `util.inspect`: on one line, two levels deep, without running author code
//! beyond what proxies force.

use crate::js::{self, Value, clear};
use crate::state::State;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use q::{JSContext, JSValue};
use rquickjs_sys as q;

/// Levels of nesting that are shown.
const MAX_DEPTH: usize = 2;
/// Elements and properties that are shown of one value.
const MAX_ITEMS: usize = 100;

/// Text with an upper bound; what is past it is dropped.
pub(crate) struct Out {
    text: String,
    max: usize,
}

impl Out {
    pub(crate) fn new(max: usize) -> Out {
        Out { text: String::new(), max }
    }

    pub(crate) fn text(&mut self, text: &str) {
        let room = self.max.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn is_full(&self) -> bool {
        self.text.len() >= self.max
    }
}

/// The value as the console would show it.
pub(crate) fn to_string(value: &Value) -> String {
    let mut out = Out::new(crate::wire::MAX_REPORT_TEXT);
    self::value(&mut out, value);
    out.text
}

/// Shows a value.
pub(crate) fn value(out: &mut Out, value: &Value) {
    Inspect { out, open: Vec::new() }.value(value);
}

struct Inspect<'a> {
    out: &'a mut Out,
    open: Vec<*mut c_void>,
}

impl Inspect<'_> {
    fn value(&mut self, value: &Value) {
        if value.is_string() {
            let text = value.as_text().map(|t| t.lossy(self.out.max)).unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
            let escaped = if quote == '\'' { escaped.replace('\'', "\\'") } else { escaped };
            self.out.text(&format!("{quote}{escaped}{quote}"));
        } else if value.is_object() {
            self.object(value);
        } else if value.tag() == q::JS_TAG_FLOAT64 && value.double() == 0.0 && value.double().is_sign_negative() {
            self.out.text("-0");
        } else if value.tag() == q::JS_TAG_SYMBOL {
            // A symbol has no text of its own accord; its description is read without asking its prototype.
            let description = value.get(c"description").or_else(clear).ok();
            let description = description.and_then(|d| d.as_text()).map(|t| t.lossy(256)).unwrap_or_default();
            self.out.text(&format!("Symbol({description})"));
        } else {
            let text = value.to_text().or_else(clear).map(|t| t.lossy(self.out.max)).unwrap_or_default();
            self.out.text(&text);
            if value.is_big_int() {
                self.out.text("n");
            }
        }
    }

    fn object(&mut self, value: &Value) {
        if value.is_function() {
            let name = own_text(value, c"name").unwrap_or_default();
            let shown =
                if name.is_empty() { "[Function (anonymous)]".to_string() } else { format!("[Function: {name}]") };
            return self.out.text(&shown);
        }
        if self.open.contains(&value.address()) {
            return self.out.text("[Circular]");
        }
        if value.is_error() {
            return self.error(value);
        }
        if value.is_date() {
            // `toJSON` may be the author's by now; the engine's own JSON asks for it, so the result is only shown.
            let text = value.json().map(|t| t.lossy(64)).unwrap_or_default();
            return self.out.text(text.trim_matches('"'));
        }
        let target = value.behind_proxies();
        let [array, plain, arguments, strict_arguments] = State::get().plain_classes;
        let class = target.class();
        if self.open.len() > MAX_DEPTH {
            let name = if class == array { "Array".to_string() } else { target.class_name() };
            return self.out.text(&format!("[{name}]"));
        }
        self.open.push(value.address());
        if [array, arguments, strict_arguments].contains(&class) {
            self.elements(value);
        } else if class == plain {
            self.properties(value, "");
        // SAFETY: plain calls.
        } else if unsafe { q::JS_IsMap(value.raw()) } {
            self.collection(value, 0);
        // SAFETY: as above.
        } else if unsafe { q::JS_IsSet(value.raw()) } {
            self.collection(value, 1);
        // SAFETY: as above.
        } else if unsafe { q::JS_IsRegExp(value.raw()) } {
            let text = value.to_text().or_else(clear).map(|t| t.lossy(1024)).unwrap_or_default();
            self.out.text(&text);
        } else {
            let name = target.class_name();
            self.properties(value, &format!("{name} "));
        }
        self.open.pop();
    }

    fn error(&mut self, error: &Value) {
        let name = own_or_inherited_text(error, c"name").unwrap_or_else(|| "Error".to_string());
        let message = own_or_inherited_text(error, c"message").unwrap_or_default();
        self.out.text(&name);
        if !message.is_empty() {
            self.out.text(": ");
            self.out.text(&message);
        }
        if let Some(stack) = stack_of(error).filter(|s| !s.is_empty()) {
            self.out.text("\n");
            self.out.text(stack.trim_end());
        }
    }

    fn elements(&mut self, array: &Value) {
        let count = array.length().or_else(clear).unwrap_or(0);
        if count == 0 {
            return self.out.text("[]");
        }
        self.out.text("[ ");
        for index in 0..count {
            if index as usize == MAX_ITEMS || self.out.is_full() {
                self.out.text(&format!(", ... {} more", count - index));
                break;
            }
            if index > 0 {
                self.out.text(", ");
            }
            if let Ok(element) = array.get_index(index).or_else(clear) {
                self.value(&element);
            }
        }
        self.out.text(" ]");
    }

    fn properties(&mut self, object: &Value, prefix: &str) {
        self.out.text(prefix);
        let Ok(keys) = object.keys().or_else(clear) else { return self.out.text("{}") };
        if keys.len() == 0 {
            return self.out.text("{}");
        }
        self.out.text("{ ");
        for (shown, key) in keys.atoms().enumerate() {
            if shown == MAX_ITEMS || self.out.is_full() {
                self.out.text(&format!(", ... {} more", keys.len() as usize - shown));
                break;
            }
            if shown > 0 {
                self.out.text(", ");
            }
            let name = js::atom_text(key).or_else(clear).map(|t| t.lossy(256)).unwrap_or_default();
            let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
            let plain = plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
            self.out.text(&if plain { format!("{name}: ") } else { format!("'{name}': ") });
            self.property(object, key);
        }
        self.out.text(" }");
    }

    /// A property's value; a getter is not called for it.
    fn property(&mut self, object: &Value, key: q::JSAtom) {
        // SAFETY: the descriptor is filled where the answer is positive, with references that are ours.
        unsafe {
            let mut descriptor = core::mem::zeroed::<q::JSPropertyDescriptor>();
            if q::JS_GetOwnProperty(js::context(), &mut descriptor, object.raw(), key) <= 0 {
                let _ = clear::<()>(js::Thrown);
                return self.out.text("?");
            }
            let parts = [descriptor.value, descriptor.getter, descriptor.setter].map(|raw| Value::take(raw).ok());
            let [value, getter, setter] = parts;
            if descriptor.flags & q::JS_PROP_GETSET as c_int == 0 {
                if let Some(value) = value {
                    self.value(&value);
                }
            } else {
                let has = |part: Option<Value>| part.is_some_and(|p| !p.is_undefined());
                self.out.text(match (has(getter), has(setter)) {
                    (true, true) => "[Getter/Setter]",
                    (true, false) => "[Getter]",
                    _ => "[Setter]",
                });
            }
        }
    }

    /// A Map or a Set, walked by the `forEach` that was taken before an Action could replace it.
    fn collection(&mut self, collection: &Value, kind: usize) {
        let mut items: Vec<(Value, Value)> = Vec::new();
        // SAFETY: the callback runs only during the call, and gets the vector's address as its data.
        let walked = unsafe {
            let mut data = [q::JS_NewFloat64((&raw mut items) as usize as f64)];
            let callback = q::JS_NewCFunctionData(js::context(), Some(collect), 2, 0, 1, data.as_mut_ptr());
            let callback = Value::take(callback);
            callback.and_then(|callback| State::get().for_each[kind].call(collection, &[&callback]))
        };
        if let Err(thrown) = walked {
            let _ = clear::<()>(thrown);
        }
        let name = ["Map", "Set"][kind];
        self.out.text(&format!("{name}({}) {{", items.len()));
        for (shown, (value, key)) in items.iter().enumerate() {
            if shown == MAX_ITEMS || self.out.is_full() {
                self.out.text(&format!(", ... {} more", items.len() - shown));
                break;
            }
            self.out.text(if shown == 0 { " " } else { ", " });
            if kind == 0 {
                self.value(key);
                self.out.text(" => ");
            }
            self.value(value);
        }
        self.out.text(if items.is_empty() { "}" } else { " }" });
    }
}

unsafe extern "C" fn collect(
    _: *mut JSContext,
    _: JSValue,
    argc: c_int,
    argv: *mut JSValue,
    _: c_int,
    data: *mut JSValue,
) -> JSValue {
    // SAFETY: `forEach` calls with value, key and collection, and the data is the address that `collection` gave; it is
    // alive, since the callback is not reachable once `forEach` is done.
    unsafe {
        if argc >= 2 {
            let mut address = 0.0;
            q::JS_ToFloat64(js::context(), &mut address, *data);
            let items = &mut *(address as usize as *mut Vec<(Value, Value)>);
            items.push((Value::share(*argv), Value::share(*argv.add(1))));
        }
    }
    q::JS_UNDEFINED
}

/// The engine's stack of an error, whatever the Action has made of the property `stack`; without the first frame where
/// that is the error's own constructor: `at RangeError (native)`.
pub(crate) fn stack_of(error: &Value) -> Option<String> {
    let stack = State::get().stack.call(error, &[]).or_else(clear).ok();
    let stack = stack.and_then(|s| s.as_text()).map(|t| t.lossy(crate::wire::MAX_REPORT_TEXT));
    // What is no Error by birth, a DOMException, has a property of its own.
    let stack = stack.or_else(|| own_text(error, c"stack"))?;
    match stack.split_once('\n') {
        Some((first, rest)) if first.ends_with("Error (native)") => Some(rest.to_string()),
        _ => Some(stack),
    }
}

/// An own data property that is text.
fn own_text(object: &Value, name: &core::ffi::CStr) -> Option<String> {
    let key = js::atom(name.to_bytes());
    // SAFETY: as in `property`.
    unsafe {
        let mut descriptor = core::mem::zeroed::<q::JSPropertyDescriptor>();
        if q::JS_GetOwnProperty(js::context(), &mut descriptor, object.raw(), key) <= 0 {
            let _ = clear::<()>(js::Thrown);
            return None;
        }
        let [value, _getter, _setter] =
            [descriptor.value, descriptor.getter, descriptor.setter].map(|raw| Value::take(raw).ok());
        value?.as_text().map(|t| t.lossy(crate::wire::MAX_REPORT_TEXT))
    }
}

fn own_or_inherited_text(object: &Value, name: &core::ffi::CStr) -> Option<String> {
    let value = object.get(name).or_else(clear).ok()?;
    value.as_text().map(|t| t.lossy(crate::wire::MAX_REPORT_TEXT))
}
