//! Why a run failed.

use crate::decode::words;
use serde::{Deserialize, Serialize};

words! {
    /// The one enum of failure reasons, everywhere: proto `FAILURE_REASON_*`, JSON and metrics in lower case.
    FailureReason {
        /// The Action threw, or its promise was rejected.
        Threw = "threw",
        /// It used more CPU time than its limit.
        CpuLimit = "cpu_limit",
        /// It took longer than its limit by the clock.
        WallLimit = "wall_limit",
        /// It asked for more memory than a run has.
        MemoryLimit = "memory_limit",
        /// What it answered is no outcome, or none that is allowed here.
        InvalidOutcome = "invalid_outcome",
        /// Its promise can never settle: nothing is left that could do so.
        NeverSettled = "never_settled",
        /// It used something that its version does not declare.
        CapabilityDenied = "capability_denied",
        /// Its module, or another part that it needs, cannot be had now.
        Unavailable = "unavailable",
        /// It failed so often that its circuit breaker is open.
        CircuitOpen = "circuit_open",
        /// The platform has revoked its version.
        Revoked = "revoked",
        /// A fault of the service itself.
        Internal = "internal",
    }
}

impl FailureReason {
    /// Whether the attachment's `on_unavailable` policy applies; all other reasons follow `on_error`.
    pub const fn follows_on_unavailable(self) -> bool {
        matches!(self, FailureReason::Unavailable | FailureReason::Revoked | FailureReason::Internal)
    }
}

/// What went wrong in a run, with the author's own file, line and column where they are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason, for machines.
    pub reason: FailureReason,
    /// What happened, for the author. Holds what the Action threw, at most 4 KiB.
    pub message: String,
    /// For `invalid_outcome`: the JSON pointer to the mistake in the outcome.
    pub pointer: Option<String>,
    /// The author's file, relative to the package.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The column in it, from 1.
    pub column: Option<u32>,
    /// The stack in the author's files, a frame a line, at most 8 KiB.
    pub stack: Option<String>,
}

impl Failure {
    /// A failure without a place.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Failure {
        Failure { reason, message: message.into(), pointer: None, file: None, line: None, column: None, stack: None }
    }

    /// An outcome that does not fit, at a pointer.
    pub fn invalid_outcome(invalid: crate::Invalid) -> Failure {
        Failure { pointer: Some(invalid.pointer), ..Failure::new(FailureReason::InvalidOutcome, invalid.message) }
    }
}
