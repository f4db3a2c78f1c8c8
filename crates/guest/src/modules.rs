//! Loads a bundle: ES modules that import each other by exact path.
//!
//! One guest compiles them and is thrown away, another evaluates what that made: what a parser leaves behind is not in the
//! snapshot, and neither are the modules' texts, of which every function would keep its own part.
//!
//! The host writes, in little endian: u32 the entry's index; u32 the number of modules; then for each its path and its code,
//! both as u32 length, bytes, and a zero byte that the length does not count (the engine's parser needs it). What was compiled
//! is laid out in the same way, the entry first, with bytecode for code; a module that nothing imports is not in it.

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
    /// Text or bytecode, with a zero byte behind it.
    code: &'static [u8],
}

struct Table {
    modules: UnsafeCell<Vec<Module>>,
    /// The modules that were compiled from text, by path; nothing else is noted.
    compiled: UnsafeCell<Option<Vec<(&'static CStr, Value)>>>,
}

// SAFETY: the module has one thread.
unsafe impl Sync for Table {}

/// The modules of the bundle that is being compiled or loaded; empty at any other time, so that nothing can be imported in a run.
static TABLE: Table = Table { modules: UnsafeCell::new(Vec::new()), compiled: UnsafeCell::new(None) };

impl Table {
    /// Fills it from what the host wrote, for one call with the index of the entry.
    fn with(&self, bundle: &[u8], call: impl FnOnce(usize) -> u64) -> u64 {
        // SAFETY: the buffer outlives this call, and the table is emptied before it returns. One thread; the engine reads the table
        // only in the call.
        unsafe {
            let (entry, modules) = parse(core::mem::transmute::<&[u8], &'static [u8]>(bundle));
            *self.modules.get() = modules;
            let report = call(entry);
            *self.modules.get() = Vec::new();
            report
        }
    }

    /// A module by its index.
    fn module(&self, index: usize) -> &Module {
        // SAFETY: one thread, and the table stays as it is while the engine has it.
        let Some(module) = unsafe { &*self.modules.get() }.get(index) else { core::arch::wasm32::unreachable() };
        module
    }
}

/// Makes imports come from the table.
///
/// # Safety
/// The runtime is alive.
pub(crate) unsafe fn install(runtime: *mut JSRuntime) {
    // SAFETY: the caller's promise.
    unsafe { q::JS_SetModuleLoaderFunc(runtime, Some(normalize), Some(load_module), core::ptr::null_mut()) }
}

/// Compiles the entry and what it imports. The answer is for [`load`], of another guest.
pub(crate) fn compile(bundle: &[u8]) -> u64 {
    State::get().enter();
    TABLE.with(bundle, |entry| {
        // SAFETY: one thread; the engine's calls of the loader only add to it.
        let compiled = unsafe {
            *TABLE.compiled.get() = Some(Vec::new());
            let parsed = parsed(TABLE.module(entry));
            let compiled = (*TABLE.compiled.get()).take().unwrap_or_default();
            parsed.map(|_| compiled)
        };
        match compiled.and_then(|compiled| packed(TABLE.module(entry).path, &compiled)) {
            Ok(packed) => report(wire::STATUS_OK, packed),
            Err(Thrown) => thrown(&Value::exception()),
        }
    })
}

/// Lays compiled modules out as bytecode, the entry first.
fn packed(entry: &CStr, compiled: &[(&'static CStr, Value)]) -> Result<Vec<u8>, Thrown> {
    let mut out = Vec::new();
    let number = |out: &mut Vec<u8>, number: usize| out.extend_from_slice(&(number as u32).to_le_bytes());
    number(&mut out, 0);
    number(&mut out, compiled.len());
    let (entries, others): (Vec<_>, Vec<_>) = compiled.iter().partition(|(path, _)| *path == entry);
    for (path, module) in entries.into_iter().chain(others) {
        number(&mut out, path.count_bytes());
        out.extend_from_slice(path.to_bytes_with_nul());
        let code = module.bytecode()?;
        number(&mut out, code.len());
        out.extend_from_slice(&code);
        out.push(0);
    }
    Ok(out)
}

/// Evaluates what [`compile`] made and keeps the entry's `execute`.
pub(crate) fn load(compiled: &[u8]) -> u64 {
    let state = State::get();
    state.enter();
    state.log_open.set(true);
    let report = TABLE.with(compiled, evaluate);
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
        let Ok(compiled) = read(TABLE.module(entry)) else { return thrown(&Value::exception()) };
        let definition = compiled.address().cast::<JSModuleDef>();
        if q::JS_ResolveModule(context(), compiled.raw()) < 0 {
            return thrown(&Value::exception());
        }
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

/// Parses a module and what it imports, and notes each of them.
fn parsed(module: &Module) -> Result<*mut JSModuleDef, Thrown> {
    let [code @ .., 0] = module.code else { core::arch::wasm32::unreachable() };
    let flags = (q::JS_EVAL_TYPE_MODULE | q::JS_EVAL_FLAG_COMPILE_ONLY) as c_int;
    // SAFETY: the code is followed by a zero byte, as the parser needs it. One thread.
    unsafe {
        let (text, len) = (code.as_ptr().cast(), code.len() as _);
        let compiled = Value::take(q::JS_Eval(context(), text, len, module.path.as_ptr(), flags))?;
        let definition = compiled.address().cast();
        if let Some(noted) = &mut *TABLE.compiled.get() {
            noted.push((module.path, compiled));
        }
        Ok(definition)
    }
}

/// Reads a module's bytecode. The engine's own list of modules keeps it alive, so its address stays good.
fn read(module: &Module) -> Result<Value, Thrown> {
    let [code @ .., 0] = module.code else { core::arch::wasm32::unreachable() };
    Value::from_bytecode(code)
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
    // SAFETY: the engine gives a string that lives for the call. One thread.
    unsafe {
        let path = CStr::from_ptr(name);
        let Some(module) = (*TABLE.modules.get()).iter().find(|module| module.path == path) else {
            q::JS_ThrowReferenceError(context, c"cannot import '%s': no such module in the bundle".as_ptr(), name);
            return core::ptr::null_mut();
        };
        let definition = match (*TABLE.compiled.get()).is_some() {
            true => parsed(module),
            false => read(module).map(|read| read.address().cast()),
        };
        definition.unwrap_or(core::ptr::null_mut())
    }
}
