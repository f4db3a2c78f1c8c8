//! The executor: runs the Actions of a flow's slot, and answers Execute.
//!
//! # Design
//!
//! An executor owns nothing but audit that is not yet acknowledged. It [watches](watch) the control plane and keeps an
//! immutable picture of what may run ([`state`], [`catalog`]); makes and caches [modules] before a sign-in needs them;
//! [runs](run) a slot's attachments in order, each under its limits, its circuit breaker and its failure policy; and writes
//! a record of every run to its [audit] spool before the answer leaves. An Execute is pinned to one picture of one flow
//! revision from its beginning to its end, and takes no lock that another one holds for longer than a write.
//!
//! `sluice-executor` is [`Executor`] on a [`sluice_serve::App`]; `sluice dev` puts the same [`Executor`] beside a control
//! plane, on one [`sluice_sandbox::Engine`].
//!
//! # The data folder
//!
//! | what | where |
//! | --- | --- |
//! | its id and its epoch, which goes up at each start | `executor.json` |
//! | audit until it is acknowledged, an epoch a folder | `spool/<epoch>/<first sequence>.seg` |
//! | the state that served last, to start with while the control plane is away | `cache/state.log` |
//! | bundles and snapshots, which can be had again | `cache/bundles`, `cache/snapshots/<engine>` |
//! | files of the cache that did not check, for somebody to look at | `cache/damaged` |
//!
//! # What it leaves to others
//!
//! How outcomes are merged and what may be answered where (`sluice-model`), how a guest is confined (`sluice-sandbox`),
//! ports, settings and drain (`sluice-serve`), and every decision about what runs where (the control plane).

mod audit;
mod backoff;
mod catalog;
pub mod config;
mod demand;
mod executor;
pub mod fault;
mod files;
pub mod identity;
mod last;
mod modules;
mod reach;
mod redact;
mod remote;
mod retries;
mod run;
mod secrets;
mod service;
mod standing;
mod state;
mod telemetry;
#[cfg(test)]
mod testing;
mod upkeep;
mod watch;

pub use config::ExecutorConfig;
pub use executor::{END_TIMEOUT, Executor, StartError, Surroundings};
pub use identity::Identity;
pub use service::Execute;

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
