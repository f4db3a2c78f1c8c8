//! Loads a bundle: ES modules that import each other by exact path.
//!
//! The host writes, in little endian: u32 the entry's index; u32 the number of modules; then for each its path and its code,
//! both as u32 length, bytes, and a zero byte that the length does not count (the engine's parser needs it).

use crate::js::{Thrown, Value, context};
use crate::promise::{self, Settled};
use crate::run::{report, thrown};
use crate::state::State;
use crate::{failure, wire};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use q::{JSContext, JSModuleDef, JSRuntime};
use rquickjs_sys as q;

struct Module {
    path: &'static CStr,
    code: &'static [u8],
}

struct Table(UnsafeCell<Vec<Module>>);

// SAFETY: the module has one thread.
unsafe impl Sync for Table {}

/// The modules of the bundle that is being loaded; empty at any other time, so that nothing can be imported in a run.
static TABLE: Table = Table(UnsafeCell::new(Vec::new()));

/// Makes imports come from the table.
///
/// # Safety
/// The runtime is alive.
pub(crate) unsafe fn install(runtime: *mut JSRuntime) {
    // SAFETY: the caller's promise.
    unsafe { q::JS_SetModuleLoaderFunc(runtime, Some(normalize), Some(load_module), core::ptr::null_mut()) }
}

/// Evaluates the bundle and keeps the entry's `execute`.
pub(crate) fn load(bundle: &[u8]) -> u64 {
    let state = State::get();
    state.enter();
    state.log_open.set(true);
    // SAFETY: the buffer outlives this call, and the table is emptied before it returns.
    let (entry, modules) = unsafe { parse(core::mem::transmute::<&[u8], &'static [u8]>(bundle)) };
    // SAFETY: one thread; the engine reads the table only in the calls below.
    unsafe { *TABLE.0.get() = modules };
    let report = evaluate(entry);
    // SAFETY: as above.
    unsafe { *TABLE.0.get() = Vec::new() };
    promise::report_rejections();
    report
}

fn parse(mut rest: &'static [u8]) -> (usize, Vec<Module>) {
    let mut number = || {
        let Some((head, tail)) = rest.split_first_chunk() else { core::arch::wasm32::unreachable() };
        rest = tail;
        u32::from_le_bytes(*head) as usize
    };
    let entry = number();
    let count = number();
    let mut modules = Vec::with_capacity(count);
    let mut text = || {
        let Some((head, tail)) = rest.split_first_chunk() else { core::arch::wasm32::unreachable() };
        let len = u32::from_le_bytes(*head) as usize;
        let Some((text, tail)) = tail.split_at_checked(len + 1) else { core::arch::wasm32::unreachable() };
        rest = tail;
        text
    };
    for _ in 0..count {
        let Ok(path) = CStr::from_bytes_with_nul(text()) else { core::arch::wasm32::unreachable() };
        modules.push(Module { path, code: text() });
    }
    (entry, modules)
}

fn evaluate(entry: usize) -> u64 {
    // SAFETY: plain calls. Evaluating takes the reference of the compiled module over; the engine's own list of loaded
    // modules keeps the module alive, so its address stays good.
    unsafe {
        let Some(module) = (&*TABLE.0.get()).get(entry) else { core::arch::wasm32::unreachable() };
        let Ok(compiled) = compile(module) else { return thrown(&Value::exception()) };
        let definition = compiled.address().cast::<JSModuleDef>();
        let Ok(evaluated) = Value::take(q::JS_EvalFunction(context(), compiled.into_raw())) else {
            return thrown(&Value::exception());
        };
        match promise::settle(evaluated) {
            Ok(Settled::Fulfilled(_)) => {}
            Ok(Settled::Rejected(error)) => return thrown(&error),
            Ok(Settled::Pending(_)) => return report(wire::STATUS_NEVER_SETTLED, Vec::new()),
            Err(stop) => return report(wire::STATUS_STOPPED, failure::describe(&stop)),
        }
        let namespace = Value::take(q::JS_GetModuleNamespace(context(), definition));
        match namespace.and_then(|namespace| namespace.get(c"execute")) {
            Ok(execute) if execute.is_function() => {
                State::get().execute.replace(execute);
                report(wire::STATUS_OK, Vec::new())
            }
            Ok(_) => report(wire::STATUS_NO_EXECUTE, Vec::new()),
            Err(Thrown) => thrown(&Value::exception()),
        }
    }
}

fn compile(module: &Module) -> Result<Value, Thrown> {
    let [code @ .., 0] = module.code else { core::arch::wasm32::unreachable() };
    let flags = (q::JS_EVAL_TYPE_MODULE | q::JS_EVAL_FLAG_COMPILE_ONLY) as c_int;
    // SAFETY: the code is followed by a zero byte, as the parser needs it.
    unsafe { Value::take(q::JS_Eval(context(), code.as_ptr().cast(), code.len() as _, module.path.as_ptr(), flags)) }
}

/// The compiler has already written exact paths.
unsafe extern "C" fn normalize(
    context: *mut JSContext,
    _: *const c_char,
    name: *const c_char,
    _: *mut c_void,
) -> *mut c_char {
    // SAFETY: the engine gives a string, and frees the copy.
    unsafe { q::js_strdup(context, name) }
}

unsafe extern "C" fn load_module(context: *mut JSContext, name: *const c_char, _: *mut c_void) -> *mut JSModuleDef {
    // SAFETY: the engine gives a string that lives for the call. The reference of the compiled module is given up, as the
    // engine's list of modules holds another.
    unsafe {
        let path = CStr::from_ptr(name);
        match (*TABLE.0.get()).iter().find(|module| module.path == path) {
            Some(module) => match compile(module) {
                Ok(compiled) => compiled.address().cast(),
                Err(Thrown) => core::ptr::null_mut(),
            },
            None => {
                q::JS_ThrowReferenceError(context, c"cannot import '%s': no such module in the bundle".as_ptr(), name);
                core::ptr::null_mut()
            }
        }
    }
}
