//! The JavaScript engine that runs **inside** the sandbox: QuickJS-ng, and the glue between it and the host.
//!
//! The module is instantiated once for a base image, snapshotted, and then copied for every run; see
//! `crates/sandbox`. It knows nothing of Actions, tenants or outcomes: it loads ES modules, calls the function
//! `execute` with a value and hands back what it returned, or how it failed.
//!
//! # The contract with the host
//!
//! | export | what it does |
//! | --- | --- |
//! | `sluice_init()` | makes the runtime and its globals; once, in the base image |
//! | `sluice_compile(ptr, len) -> report` | compiles a script of the web's APIs ([`web`]); in a guest that is thrown away |
//! | `sluice_install(ptr, len) -> report` | evaluates what that made; once for each script, in the base image |
//! | `sluice_intern(ptr, len)` | takes the table of key names, one a line, as atoms; once, in the base image |
//! | `sluice_alloc(len) -> ptr` | a zeroed buffer for the host to write to |
//! | `sluice_free(ptr, len)` | wipes and gives it back |
//! | `sluice_input() -> ptr` | the static buffer for inputs of up to `INPUT_AREA` bytes |
//! | `sluice_compile_modules(ptr, len) -> report` | compiles modules ([`modules`]); in a guest that is thrown away |
//! | `sluice_load(ptr, len) -> report` | evaluates what that made and keeps `execute` ([`modules`]) |
//! | `sluice_unload()` | drops what was loaded; for the base image, whose dummy Action must not stay |
//! | `sluice_seal()` | gives what follows a place of its own in memory; in the base image |
//! | `sluice_collect(always)` | collects garbage where that can be worth it, and wipes what is free, before a snapshot |
//! | `sluice_run(ptr, len, last) -> report` | calls `execute` with the tagged value at `ptr` ([`reader`]); `last` is 1 where the memory ends with this run |
//! | `sluice_resume(ptr, len) -> report` | hands over answers that `execute` waits for, and the time that has passed ([`run`]) |
//!
//! Imports, all synchronous: [`host`]. A report packs a status, a length and an address ([`wire::pack`]); what lies there
//! is a tagged value.
//!
//! # Why a hostile Action cannot bend the glue
//!
//! The glue is Rust and calls the engine's C functions, which work on internal slots: it settles promises, reads
//! properties and encodes values without looking up any global, prototype or iterator that an Action can replace. The few
//! JavaScript functions that it needs are taken in `sluice_init`, before an Action exists ([`state::State`]). What an
//! Action corrupts beyond that is its own memory, which nothing else ever reads: the host checks every byte that comes out.
//!
//! # Unsafe
//!
//! One thread, one runtime, one context. Every `unsafe` here is a call of the engine's C functions with that context and
//! with values that the caller owns ([`js::Value`] counts references), or access to the one [`state::State`]; a place
//! that needs more than that says so. Whatever goes wrong all the same stays inside the sandbox's memory.

#![no_std]

extern crate alloc;

mod console;
mod failure;
mod heap;
mod host;
mod inspect;
mod js;
mod modules;
mod native;
mod promise;
mod reader;
mod run;
mod state;
mod web;
#[allow(dead_code, reason = "each side of the wire uses a part of it")]
#[path = "../../sandbox/src/codec/wire.rs"]
mod wire;
mod writer;

use crate::run::After;
use crate::state::State;
use alloc::vec::Vec;
use core::panic::PanicInfo;

/// A panic is a bug of the glue: it ends the run as a trap, and the host reports `internal`.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Makes the runtime. The host calls it once, before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_init() {
    // SAFETY: naming the C constructors keeps the linker from wrapping every export in a call of them, which would run
    // them again on each call; so they are called here, once.
    unsafe { heap::__wasm_call_ctors() };
    State::init();
    heap::spare();
}

/// Compiles a script: its name and its text, a zero byte behind each.
///
/// # Safety
/// `ptr` and `len` are a buffer of [`sluice_alloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_compile(ptr: *const u8, len: usize) -> u64 {
    State::get().enter();
    // SAFETY: the caller's promise.
    web::compile(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// Evaluates a script that another guest of the same engine has compiled.
///
/// # Safety
/// `ptr` and `len` are the static input buffer, holding what [`sluice_compile`] reported.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_install(ptr: *const u8, len: usize) -> u64 {
    State::get().enter();
    // SAFETY: the caller's promise.
    web::install(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// Takes the table of key names, one a line.
///
/// # Safety
/// `ptr` and `len` are a buffer of [`sluice_alloc`] that the host has written UTF-8 to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_intern(ptr: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    let table = unsafe { core::slice::from_raw_parts(ptr, len) };
    let keys: Vec<_> = table.split(|b| *b == b'\n').filter(|k| !k.is_empty()).map(js::atom).collect();
    let mut numbers: Vec<_> = keys.iter().copied().zip(0..).collect();
    numbers.sort_unstable();
    State::get().keys.replace(keys);
    State::get().key_numbers.replace(numbers);
}

/// A zeroed buffer of `len` bytes, or null where there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_alloc(len: usize) -> *mut u8 {
    heap::zeroed(len)
}

/// Wipes a buffer of [`sluice_alloc`] and gives it back: what a snapshot does not need should be zero in it.
///
/// # Safety
/// `ptr` and `len` are a buffer of [`sluice_alloc`] that is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_free(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { heap::wipe(ptr, len) };
}

/// The static buffer for inputs.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_input() -> *mut u8 {
    run::input_area()
}

/// Compiles modules for another guest of the same engine.
///
/// # Safety
/// `ptr` and `len` are a buffer of [`sluice_alloc`] laid out as [`modules`] says; it stays until the call returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_compile_modules(ptr: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise.
    modules::compile(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// Evaluates compiled modules and keeps the entry's `execute`.
///
/// # Safety
/// `ptr` and `len` are a buffer of [`sluice_alloc`] holding what [`sluice_compile_modules`] reported; it stays until the call
/// returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_load(ptr: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise.
    modules::load(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// Drops `execute`, and with it all that only it holds.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_unload() {
    State::get().execute.replace(js::Value::UNDEFINED);
}

/// Collects garbage if `always` is not 0 or there may be much, and leaves the heap so that what follows lies side by side.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_collect(always: u32) {
    if always != 0 {
        State::get().collect();
    }
    if heap::settle() && always == 0 {
        State::get().collect();
        heap::settle();
    }
}

/// Keeps what there is apart from what follows; for a base image, before what Actions do not change and after it.
#[unsafe(no_mangle)]
pub extern "C" fn sluice_seal() {
    heap::seal();
}

/// Calls `execute`.
///
/// # Safety
/// `ptr` and `len` are the static input buffer, or one of [`sluice_alloc`], holding one tagged value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_run(ptr: *const u8, len: usize, last: u32) -> u64 {
    let after = if last == 0 { After::GoOn } else { After::End };
    // SAFETY: the caller's promise.
    run::run(unsafe { core::slice::from_raw_parts(ptr, len) }, after)
}

/// Goes on with a run that waits.
///
/// # Safety
/// `ptr` and `len` are a buffer of [`sluice_alloc`] with the answers of calls ([`wire`]), or the length is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sluice_resume(ptr: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise; an empty slice needs no place of its own.
    run::resume(if len == 0 { &[] } else { unsafe { core::slice::from_raw_parts(ptr, len) } })
}
