//! What executors could not do: states that they refused, modules that they cannot have.

use jiff::Timestamp;
use semver::Version;
use sluice_model::Slug;
use std::time::Duration;

/// What kind of mistake made an executor refuse a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It did not say, or says what this build does not know.
    #[default]
    Unspecified,
    /// A resource cannot be read.
    Unreadable,
    /// A part is missing.
    Incomplete,
    /// It is older than what serves.
    Outdated,
    /// It changes another state than the one that serves.
    Gap,
    /// A resource needs one that was never sent.
    Unresolved,
    /// What never changes was changed.
    Conflict,
    /// A fault of the executor.
    Internal,
}

impl Cause {
    /// Its word, in metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Cause::Unspecified => "unspecified",
            Cause::Unreadable => "unreadable",
            Cause::Incomplete => "incomplete",
            Cause::Outdated => "outdated",
            Cause::Gap => "gap",
            Cause::Unresolved => "unresolved",
            Cause::Conflict => "conflict",
            Cause::Internal => "internal",
        }
    }
}

/// A state that was refused, as its executor says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nack {
    /// The cursor of the state.
    pub(crate) cursor: u64,
    /// What kind of mistake it is.
    pub(crate) cause: Cause,
    /// What is wrong.
    pub(crate) reason: String,
    /// The resource at fault, for people; empty where it is none.
    pub(crate) resource: String,
    /// The next state should be everything.
    pub(crate) send_full: bool,
}

/// The last refusal of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastNack {
    /// When it came.
    pub(crate) time: Timestamp,
    /// What it was.
    pub(crate) nack: Nack,
}

/// A version whose module an executor cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The Action.
    pub(crate) slug: Slug,
    /// The exact version.
    pub(crate) version: Version,
    /// Why.
    pub(crate) reason: String,
}

/// A state that was refused is told again after this at the latest, though nothing has changed.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// The least time between two refusals, from the second on: however often something changes, an executor is not made to
/// read again and again what it cannot apply.
const PAUSE: Duration = Duration::from_secs(1);
/// Both double with every refusal, up to this.
const LONGEST: Duration = Duration::from_secs(300);

/// Refusals in a row, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    in_a_row: u32,
    /// The last state that was told was everything, because everything was asked for.
    told_full: bool,
}

impl Refusals {
    /// Whether the last state was not refused.
    pub(super) fn is_none(&self) -> bool {
        self.in_a_row == 0
    }

    /// A state was applied.
    pub(super) fn applied(&mut self) {
        *self = Refusals::default();
    }

    /// A state was refused. The answer is whether everything is told now: what was asked for is told at once, but not twice
    /// in a row.
    pub(super) fn refused(&mut self, send_full: bool) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let now = send_full && !self.told_full;
        self.told_full = now;
        now
    }

    /// How long to wait at least, even for what has changed.
    pub(super) fn pause(&self) -> Duration {
        match self.in_a_row {
            0 | 1 => Duration::ZERO,
            n => PAUSE.saturating_mul(1 << (n - 2).min(16)).min(LONGEST),
        }
    }

    /// How long to wait where nothing changes.
    pub(super) fn retry_after(&self) -> Duration {
        RETRY_AFTER.saturating_mul(1 << self.in_a_row.saturating_sub(1).min(16)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_refused_the_longer_it_takes_to_be_told_again() {
        let mut refusals = Refusals::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(!refusals.refused(false));
            waits.push((refusals.pause().as_secs(), refusals.retry_after().as_secs()));
        }
        assert_eq!(waits, [(0, 10), (1, 20), (2, 40), (4, 80), (8, 160), (16, 300), (32, 300), (64, 300)]);
        refusals.applied();
        refusals.refused(false);
        assert_eq!(refusals.pause(), Duration::ZERO);
        for _ in 0..100 {
            refusals.refused(false);
        }
        assert_eq!((refusals.pause(), refusals.retry_after()), (LONGEST, LONGEST));
    }

    #[test]
    fn everything_is_told_at_once_but_not_twice_in_a_row() {
        let mut refusals = Refusals::default();
        assert!(refusals.refused(true));
        assert!(!refusals.refused(true), "everything was refused too");
        assert!(refusals.refused(true), "after a while it is worth another try");
        refusals.applied();
        assert!(refusals.refused(true));
    }
}
