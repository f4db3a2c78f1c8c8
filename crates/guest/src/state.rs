//! What the glue keeps: the engine, the function to run, and what it took before an Action could change it.

use crate::js::{self, Value};
use crate::run::After;
use crate::web::Web;
use crate::{console, heap, host, promise};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell, UnsafeCell};
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use q::{JSAtom, JSContext, JSRuntime, JSValue};
use rquickjs_sys as q;

/// How much of the C stack scripts may use. The stack has 512 KiB, so that an endless recursion is a RangeError long before
/// the stack's end, and the glue still has room when it is called from the depth.
const MAX_SCRIPT_STACK: u32 = 256 << 10;

/// Cycles are collected when this much was allocated. Few runs get there, and those that do not are never paused.
const COLLECT_AFTER: u32 = 4 << 20;

/// The state of the glue.
pub(crate) struct State {
    pub(crate) runtime: *mut JSRuntime,
    pub(crate) context: *mut JSContext,
    /// The entry's `execute`.
    pub(crate) execute: RefCell<Value>,
    /// The table of key names.
    pub(crate) keys: RefCell<Vec<JSAtom>>,
    /// Their lines in it, by atom.
    pub(crate) key_numbers: RefCell<Vec<(JSAtom, u16)>>,
    /// Promises that were rejected while nobody listened, with their reasons, in order.
    pub(crate) rejections: RefCell<Vec<(Value, Value)>>,
    /// What `execute` returned, while it is pending.
    pub(crate) pending: RefCell<Value>,
    /// What becomes of the memory after the run.
    pub(crate) after: Cell<After>,
    /// Calls of the host that are under way.
    pub(crate) calls: Cell<u32>,
    /// What the scripts of the base image have for the glue.
    pub(crate) web: RefCell<Web>,
    /// Whether the host takes more lines for the log.
    pub(crate) log_open: Cell<bool>,
    /// `toJSON`, `valueOf` and `then`.
    pub(crate) to_json: JSAtom,
    pub(crate) value_of: JSAtom,
    pub(crate) then: JSAtom,
    /// The getter of `Error.prototype.stack`, as it was.
    pub(crate) stack: Value,
    /// `Map.prototype.forEach` and `Set.prototype.forEach`, as they were.
    pub(crate) for_each: [Value; 2],
    /// Engine classes of arrays, plain objects and the two kinds of `arguments`, and of boxed numbers, strings and booleans.
    pub(crate) plain_classes: [q::JSClassID; 4],
    pub(crate) boxed_classes: [q::JSClassID; 3],
}

struct Slot(UnsafeCell<MaybeUninit<State>>);

// SAFETY: the module has one thread.
unsafe impl Sync for Slot {}

static STATE: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));

impl State {
    /// The state.
    pub(crate) fn get() -> &'static State {
        // SAFETY: the host calls `sluice_init` before anything else, which writes it; from then on it is only shared, and
        // what changes is in cells.
        unsafe { (*STATE.0.get()).assume_init_ref() }
    }

    /// Makes the engine and its globals.
    pub(crate) fn init() {
        // SAFETY: the first call in a fresh instance; null would mean that there is no memory for an empty engine, which
        // the first use would trap on.
        unsafe {
            let runtime = q::JS_NewRuntime2(&heap::FUNCTIONS, core::ptr::null_mut());
            q::JS_SetMaxStackSize(runtime, MAX_SCRIPT_STACK as _);
            q::JS_SetGCThreshold(runtime, COLLECT_AFTER as _);
            let context = new_context(runtime);
            (*STATE.0.get()).write(State {
                runtime,
                context,
                execute: RefCell::new(Value::UNDEFINED),
                keys: RefCell::new(Vec::new()),
                key_numbers: RefCell::new(Vec::new()),
                rejections: RefCell::new(Vec::new()),
                pending: RefCell::new(Value::UNDEFINED),
                after: Cell::new(After::GoOn),
                calls: Cell::new(0),
                web: RefCell::new(Web::NONE),
                log_open: Cell::new(true),
                to_json: q::JS_ATOM_NULL,
                value_of: q::JS_ATOM_NULL,
                then: q::JS_ATOM_NULL,
                stack: Value::UNDEFINED,
                for_each: [Value::UNDEFINED, Value::UNDEFINED],
                plain_classes: [0; 4],
                boxed_classes: [0; 3],
            });
            q::JS_SetInterruptHandler(runtime, Some(on_interrupt), core::ptr::null_mut());
            promise::track(runtime);
            crate::modules::install(runtime);
            // What follows uses the context through the state above, and fills in the rest of it; nothing of it runs when a
            // reference to what is filled in is alive.
            let taken = Taken::take(context);
            let state = (*STATE.0.get()).assume_init_mut();
            [state.to_json, state.value_of, state.then] = taken.atoms;
            state.stack = taken.stack;
            state.for_each = taken.for_each;
            state.plain_classes = taken.plain_classes;
            state.boxed_classes = taken.boxed_classes;
        }
    }

    /// The number of a key that is in the table.
    pub(crate) fn key_number(&self, key: JSAtom) -> Option<u16> {
        let numbers = self.key_numbers.borrow();
        let at = numbers.binary_search_by_key(&key, |(atom, _)| *atom).ok()?;
        numbers.get(at).map(|(_, number)| *number)
    }

    /// Collects garbage, cycles included.
    pub(crate) fn collect(&self) {
        // SAFETY: plain call.
        unsafe { q::JS_RunGC(self.runtime) }
    }

    /// Tells the engine where the stack stands; it measures recursion from there.
    pub(crate) fn enter(&self) {
        // SAFETY: plain call.
        unsafe { q::JS_UpdateStackTop(self.runtime) }
    }
}

/// What is taken from a context that no Action has touched.
struct Taken {
    atoms: [JSAtom; 3],
    stack: Value,
    for_each: [Value; 2],
    plain_classes: [q::JSClassID; 4],
    boxed_classes: [q::JSClassID; 3],
}

impl Taken {
    /// Takes it, and puts the glue's own functions in.
    ///
    /// # Safety
    /// The context is the state's.
    unsafe fn take(context: *mut JSContext) -> Taken {
        // SAFETY: plain calls.
        unsafe {
            let global = Value::take(q::JS_GetGlobalObject(context)).unwrap_or_else(|_| trap());
            let math = intrinsic(&global, c"Math");
            js::define(&math, c"random", Some(random), 0, 0);
            console::install(&global);
            let for_each = |name| intrinsic(&intrinsic(&intrinsic(&global, name), c"prototype"), c"forEach");
            let sample = c"(function () {
                const strict = (function () { 'use strict'; return arguments })();
                return [[], {}, arguments, strict, Object(1), Object(''), Object(true)]
            })()";
            let samples = script(context, sample);
            let class = |i| samples.get_index(i).unwrap_or_else(|_| trap()).class();
            Taken {
                atoms: [js::atom(b"toJSON"), js::atom(b"valueOf"), js::atom(b"then")],
                stack: script(context, c"Object.getOwnPropertyDescriptor(Error.prototype, 'stack').get"),
                for_each: [for_each(c"Map"), for_each(c"Set")],
                plain_classes: [class(0), class(1), class(2), class(3)],
                boxed_classes: [class(4), class(5), class(6)],
            }
        }
    }
}

/// The language, as the engine has it. `performance` is the scripts' own: this one's clock would start with the base image.
unsafe fn new_context(runtime: *mut JSRuntime) -> *mut JSContext {
    // SAFETY: plain calls on a runtime that lives on.
    unsafe {
        let context = q::JS_NewContextRaw(runtime);
        grow_tables(context);
        let parts: [unsafe extern "C" fn(*mut JSContext) -> c_int; 11] = [
            q::JS_AddIntrinsicBaseObjects,
            q::JS_AddIntrinsicDate,
            q::JS_AddIntrinsicEval,
            q::JS_AddIntrinsicRegExp,
            q::JS_AddIntrinsicJSON,
            q::JS_AddIntrinsicProxy,
            q::JS_AddIntrinsicMapSet,
            q::JS_AddIntrinsicTypedArrays,
            q::JS_AddIntrinsicPromise,
            q::JS_AddIntrinsicWeakRef,
            q::JS_AddIntrinsicAToB,
        ];
        for add in parts {
            if add(context) != 0 {
                trap();
            }
        }
        context
    }
}

/// Has the engine grow its tables of atoms and shapes before anything else is there, to the size that they will need. They then lie
/// with what else every run writes to, and not where the scripts of the web's APIs do.
unsafe fn grow_tables(context: *mut JSContext) {
    const ATOMS: u32 = 1800;
    const SHAPES: usize = 700;
    // SAFETY: plain calls; each reference is given back.
    unsafe {
        let mut atoms = Vec::with_capacity(ATOMS as usize);
        for n in 0..ATOMS {
            let name = [1, b'0' + (n >> 8) as u8, 1 + (n >> 4 & 15) as u8, 1 + (n & 15) as u8];
            atoms.push(q::JS_NewAtomLen(context, name.as_ptr().cast(), name.len() as _));
        }
        // Backwards, so that the first index is the next to be taken.
        for atom in atoms.into_iter().rev() {
            q::JS_FreeAtom(context, atom);
        }
        let mut objects = Vec::with_capacity(SHAPES);
        for _ in 0..SHAPES {
            let proto = objects.last().copied().unwrap_or(q::JS_NULL);
            objects.push(q::JS_NewObjectProto(context, proto));
        }
        for object in objects.into_iter().rev() {
            q::JS_FreeValue(context, object);
        }
    }
}

fn intrinsic(object: &Value, name: &core::ffi::CStr) -> Value {
    object.get(name).unwrap_or_else(|_| trap())
}

/// What a script of the glue's own comes to; only while a base image is made.
fn script(context: *mut JSContext, code: &core::ffi::CStr) -> Value {
    let (len, kind) = (code.to_bytes().len() as _, q::JS_EVAL_TYPE_GLOBAL as c_int);
    // SAFETY: the code is followed by a zero byte, as the parser needs it.
    let value = unsafe { Value::take(q::JS_Eval(context, code.as_ptr(), len, c"glue".as_ptr(), kind)) };
    value.unwrap_or_else(|_| trap())
}

/// Ends a guest that cannot go on; only while a base image is made.
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

unsafe extern "C" fn on_interrupt(_: *mut JSRuntime, _: *mut c_void) -> c_int {
    c_int::from(host::stopped())
}

unsafe extern "C" fn random(_: *mut JSContext, _: JSValue, _: c_int, _: *mut JSValue, _: c_int) -> JSValue {
    q::JS_NewFloat64(host::random())
}
