//! What became of one attachment in an execution: the `R` that the wire and the command line show.

use crate::{Failure, Outcome, Slug, decode::words};
use serde::Serialize;

words! {
    /// The level of a log line.
    LogLevel {
        /// `console.debug`.
        Debug = "debug",
        /// `console.log` and `console.info`.
        Info = "info",
        /// `console.warn`.
        Warn = "warn",
        /// `console.error`, and what the host has to say.
        Error = "error",
    }
}

/// A line that an Action logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// Its text.
    pub text: String,
}

words! {
    /// Why an attachment was not run.
    Skipped {
        /// An earlier one blocked.
        AfterBlock = "after_block",
        /// It is turned off.
        Disabled = "disabled",
        /// The tenant has turned custom Actions off.
        BreakGlass = "break_glass",
    }
}

/// The result of one attachment. Exactly one of `outcome`, `failure` and `skipped` is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunResult {
    /// The attachment's id.
    pub attachment: String,
    /// The Action.
    pub slug: Slug,
    /// Its version.
    pub version: String,
    /// What it answered.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it was not run.
    pub skipped: Option<Skipped>,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Time by the clock in microseconds.
    pub wall_us: u64,
    /// Memory at the end, in bytes.
    pub memory_bytes: u64,
    /// What it logged; empty where the caller did not ask.
    pub logs: Vec<LogLine>,
}
