//! Audit records: every edit and every run, one shape for both.

use crate::{
    Emitted, FailureReason, OutcomeKind, Skipped, Slug, Trigger, decode::words, http::HttpAttempt, slot::Lost,
};
use jiff::Timestamp;
use semver::Version;
use serde_json::Value;

words! {
    /// What happened.
    AuditKind {
        /// An Action was added to a slot.
        ActionAttached = "flow.action_attached",
        /// It was removed.
        ActionDetached = "flow.action_detached",
        /// Its config, pin, order or policy was changed: see `from` and `to`.
        ActionUpdated = "flow.action_updated",
        /// An attachment came up in an execution: it ran, failed, or was skipped.
        ActionExecuted = "flow.action_executed",
        /// A version was published.
        ActionPublished = "flow.action_published",
        /// The time that a slot's Actions may take together was changed: see `from` and `to`.
        SlotUpdated = "flow.slot_updated",
        /// A flow was made.
        FlowCreated = "flow.created",
        /// An earlier revision was saved as the newest: see `from` and `to`. What that changed has records of its own.
        FlowRolledBack = "flow.rolled_back",
        /// A flow was deleted. What was attached in it has records of its own.
        FlowDeleted = "flow.deleted",
        /// A version was marked as deprecated, or the mark was taken away: see `from` and `to`.
        ActionDeprecated = "action.deprecated",
        /// A version was yanked, or that was undone: see `from` and `to`.
        ActionYanked = "action.yanked",
        /// The platform revoked a version.
        ActionRevoked = "action.revoked",
        /// An Action was taken out of the catalogue.
        ActionDeleted = "action.deleted",
        /// A tenant was made.
        TenantCreated = "tenant.created",
        /// Where redirects may lead was changed: see `from` and `to`.
        RedirectOriginsUpdated = "tenant.redirect_origins_updated",
        /// A tenant's custom Actions were turned off, or on again: see `from` and `to`.
        BreakGlassUpdated = "tenant.break_glass_updated",
        /// A secret was set: its name and version are in `to`.
        SecretSet = "secret.set",
        /// A secret was removed: its name and version are in `from`.
        SecretRemoved = "secret.removed",
        /// A delivery will not be attempted again by itself: its id, its endpoint and why are in `to`.
        DeliveryDead = "delivery.dead",
        /// A delivery was asked to be sent again: its id and its endpoint are in `to`.
        DeliveryResent = "delivery.resent",
        /// An endpoint said that it is gone; nothing is sent to it until it is enabled: which, and what it said, is in `to`.
        EndpointDisabled = "delivery.endpoint_disabled",
        /// A disabled endpoint was enabled: which is in `to`.
        EndpointEnabled = "delivery.endpoint_enabled",
        /// A spool could not be written and the operator chose to go on: how many records are missing is in `to`.
        AuditGap = "audit.gap",
    }
}

/// One record. `None` where a field does not apply. No secret, no config marked secret and no raw identifier of an
/// unknown account is ever in one.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub kind: AuditKind,
    /// Whose it is.
    pub tenant: Slug,
    /// Who did it; for runs the caller of Execute.
    pub principal: String,
    /// The flow.
    pub flow: Option<Slug>,
    /// The flow's revision: that ran, or that the edit made.
    pub flow_revision: Option<u64>,
    /// The slot.
    pub trigger: Option<Trigger>,
    /// The attachment.
    pub attachment: Option<String>,
    /// The Action.
    pub slug: Option<Slug>,
    /// Its version.
    pub version: Option<Version>,
    /// The sign-in.
    pub sign_in_id: Option<String>,
    /// The Execute call.
    pub execution_id: Option<String>,
    /// The account, where it is known.
    pub user_id: Option<String>,
    /// What the Action answered.
    pub outcome: Option<OutcomeKind>,
    /// Why it failed.
    pub failure: Option<AuditFailure>,
    /// The Action's reason code.
    pub reason_code: Option<String>,
    /// Why it did not run.
    pub skipped: Option<Skipped>,
    /// Before an edit.
    pub from: Option<Value>,
    /// After an edit.
    pub to: Option<Value>,
    /// What a run cost and where it ran.
    pub run: Option<AuditRun>,
    /// What a run emitted, on its way to the control plane, which makes deliveries of it. Never in the log, nor in what is
    /// queried: [`AuditRun::deliveries`] names them there.
    pub emits: Vec<Emitted>,
}

/// A failure as audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditFailure {
    /// The reason.
    pub reason: FailureReason,
    /// What happened, at most 1 KiB.
    pub message: String,
    /// Into the outcome.
    pub pointer: Option<String>,
    /// The author's file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
}

/// What a run cost and where it ran.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AuditRun {
    /// The executor's id.
    pub executor: String,
    /// Engine hash and base image hash, as `engine/image`.
    pub engine: String,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Time by the clock in microseconds.
    pub wall_us: u64,
    /// What it said and another's word stood over.
    pub lost: Vec<Lost>,
    /// The Action's own notes.
    pub annotations: crate::Object,
    /// Whether the caller's risk score could not be used and was handed on as null.
    pub risk_unusable: bool,
    /// The HTTP requests that it made, in the order in which they ended.
    pub fetches: Vec<HttpAttempt>,
    /// Whether a counter was answered by the executor alone, because the one that all share was away.
    pub counters_fallback: bool,
    /// The ids of the deliveries of what it emitted.
    pub deliveries: Vec<String>,
}

impl AuditRecord {
    /// A record with everything left out that may be.
    pub fn new(time: Timestamp, kind: AuditKind, tenant: Slug, principal: impl Into<String>) -> AuditRecord {
        AuditRecord {
            time,
            kind,
            tenant,
            principal: principal.into(),
            flow: None,
            flow_revision: None,
            trigger: None,
            attachment: None,
            slug: None,
            version: None,
            sign_in_id: None,
            execution_id: None,
            user_id: None,
            outcome: None,
            failure: None,
            reason_code: None,
            skipped: None,
            from: None,
            to: None,
            run: None,
            emits: Vec::new(),
        }
    }
}
