//! The sandbox: tenants' Actions run here, and only here. The only crate that uses wasmtime.
//!
//! # Design
//!
//! All Actions share one **engine** (`crates/guest`: QuickJS-ng as wasm), compiled once. It is initialised once, and its
//! memory is kept as the **base image**, which every run gets copy-on-write. An Action's **snapshot** is what evaluating its
//! modules changes in that memory: some 20 KB, copied over the base before each run. So a run costs tens of microseconds,
//! has memory of its own, and leaves nothing behind; ten thousand Actions fit into one executor.
//!
//! - [`Engine::new`] compiles or loads the base image; [`Engine::snapshot`] evaluates a bundle; [`Engine::run`] runs it.
//! - Limits on CPU, wall time, memory, outcome and logs each end a run with a reason of their own ([`RunReport`]).
//! - Values cross as tagged bytes (`codec`); what comes out is checked here byte by byte, since an Action may have corrupted
//!   its guest. Whatever it does, it does to a memory that nobody else reads.
//! - What a run asks of the host (HTTP, secrets, counters, kv) goes through its [`Ports`]; while it waits it costs no thread.
//! - What does not end within two milliseconds moves to a slow lane (`lane`), so that it costs its neighbours nothing.
//!
//! # What it leaves to others
//!
//! Compiling TypeScript (`sluice-compiler`), what an outcome means and which are allowed where (`sluice-model`), which
//! Action runs when (`sluice-executor`).
//!
//! # Unsafe
//!
//! Two blocks, where machine code is taken from the cache (`cache`, `component/compile`). Each has its argument beside it.

#![warn(unsafe_op_in_unsafe_fn)]
#![allow(unsafe_code, reason = "the one crate that may; see above")]

mod base;
mod cache;
mod calls;
mod codec;
mod component;
mod config;
mod delta;
mod engine;
mod failure;
mod guest;
mod lane;
mod log;
mod meter;
mod modules;
mod port;
#[cfg(feature = "probe")]
pub mod probe;
mod rewrite;
mod run;
mod snapshot;

pub use codec::EncodedInput;
pub use component::{COMPILE_CHILD_COMMAND, ComponentCompiler, check_component, run_component_child_if_asked};
pub use engine::{Engine, EngineError, EngineIdentity, EngineOptions};
pub use port::{Answer, NoPorts, Ports, Refusal};
pub use run::{RunReport, RunRequest};
pub use snapshot::{Snapshot, SnapshotError};
