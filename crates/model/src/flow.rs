//! Flows: named sequences of slots, kept as immutable revisions.

mod diff;
mod effective;

pub use diff::{FlowChange, Placed, diff};
pub use effective::{SlotWarning, warnings, worst_case_ms};

use crate::{Failure, Object, Slug, Trigger, decode::words, limits};
use semver::Version;
use serde::{Deserialize, Serialize};

words! {
    /// What one revision of a flow has different from another.
    FlowChangeKind {
        /// An attachment that the other does not have.
        Attached = "attached",
        /// An attachment that is not there any more.
        Detached = "detached",
        /// Another pin, config, place, policy or limit.
        Updated = "updated",
        /// Another time for a slot's Actions together.
        SlotUpdated = "slot_updated",
    }
}

words! {
    /// What happens when an attachment's Action fails.
    OnFailure {
        /// The slot ends as a block.
        Block = "block",
        /// The slot goes on as if the Action had answered a bare continue.
        Continue = "continue",
    }
}

words! {
    /// What becomes of `counters.take` while the counters that executors share cannot be reached.
    #[derive(Default)]
    OnCountersUnavailable {
        /// Each executor counts for itself, at the limit divided by the number of executors; the run's audit says so.
        #[default]
        Local = "local",
        /// The run ends as `unavailable`, whatever its Action answers.
        Fail = "fail",
    }
}

/// The id of an attachment; made by the control plane, unique in its tenant, kept through re-pinning.
pub type AttachmentId = String;

/// An Action at an exact version, in a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// The Action.
    pub slug: Slug,
    /// The pin: an exact version, never a range.
    pub version: Version,
    /// Whether it runs.
    pub enabled: bool,
    /// Its config as saved: checked against the version's schema, defaults not filled in.
    pub config: Object,
    /// When the Action threw, went over a limit or answered no valid outcome.
    pub on_error: OnFailure,
    /// When its module, or another part that it needs, cannot be had.
    pub on_unavailable: OnFailure,
    /// While the shared counters cannot be reached.
    #[serde(default)]
    pub on_counters_unavailable: OnCountersUnavailable,
    /// Its limit by the clock in milliseconds; `None` leaves it to the version.
    pub wall_ms: Option<u32>,
}

impl Attachment {
    /// What its policy says to a failure.
    pub fn policy(&self, failure: &Failure) -> OnFailure {
        if failure.reason.follows_on_unavailable() { self.on_unavailable } else { self.on_error }
    }
}

/// The attachments of one trigger, in the order in which they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// The trigger; a flow has at most one slot of each.
    pub trigger: Trigger,
    /// What the whole slot may take by the clock, in milliseconds.
    pub budget_ms: u32,
    /// In order of position; the position is the index plus one.
    pub attachments: Vec<Attachment>,
}

impl Slot {
    /// An empty slot with the default budget.
    pub fn new(trigger: Trigger) -> Slot {
        Slot { trigger, budget_ms: limits::DEFAULT_SLOT_BUDGET_MS, attachments: Vec::new() }
    }
}

/// An immutable picture of a whole flow; every save makes the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRevision {
    /// The tenant.
    pub tenant: Slug,
    /// The flow's slug.
    pub flow: Slug,
    /// From 1, without gaps.
    pub revision: u64,
    /// When it was saved.
    pub created_at: jiff::Timestamp,
    /// Its slots, in the order of the triggers' definition.
    pub slots: Vec<Slot>,
}

impl FlowRevision {
    /// The slot of a trigger, where there is one.
    pub fn slot(&self, trigger: Trigger) -> Option<&Slot> {
        self.slots.iter().find(|s| s.trigger == trigger)
    }

    /// An attachment with its slot.
    pub fn attachment(&self, id: &str) -> Option<(&Slot, &Attachment)> {
        self.slots.iter().find_map(|s| s.attachments.iter().find(|a| a.id == id).map(|a| (s, a)))
    }
}
