//! The ledger of an execution: one audit record for each attachment that came up, kept also when the caller is gone.
//!
//! When the future of an execution is dropped, because its caller went away or its deadline passed, the run that goes on
//! is stopped. It has no outcome, but it was run: its record says `wall_limit`, "the caller went away", with the time that
//! it took. What had not begun has no record.
//!
//! What a run emits rides in its record, so that it is kept as surely as the record is. Whether it goes out is decided by how the
//! slot ends; from the first record that has an emit on, records wait here for that. Of an execution that was dropped nobody knows how
//! it would have ended, and nothing goes out, unless its slot was blocked already or its trigger is one where nothing can block.

use super::{Cost, End};
use crate::{
    audit::{Audit, spool::Frames},
    reach::Trace,
    state::plan::AttachmentPlan,
};
use jiff::Timestamp;
use sluice_api::{
    convert::{Word as _, json, to_timestamp},
    types::v1 as wire,
};
use sluice_model::{AuditKind, Emitted, Error, Failure, FailureReason, LogLine, Slug, Trigger, emit::Held};
use std::{sync::Arc, time::Instant};

/// The message of a failure in audit, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 10;

/// Whose execution it is: what all of its records have in common.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) tenant: Slug,
    pub(crate) flow: Slug,
    pub(crate) revision: u64,
    pub(crate) trigger: Trigger,
    /// The caller of Execute.
    pub(crate) principal: String,
    pub(crate) sign_in_id: String,
    pub(crate) execution_id: String,
    /// Empty where the account is not known.
    pub(crate) user_id: String,
    /// Whether the caller's risk score could not be used.
    pub(crate) risk_unusable: bool,
    /// Who runs it.
    pub(crate) runs_on: Arc<RunsOn>,
}

/// Where runs happen.
#[derive(Debug)]
pub(crate) struct RunsOn {
    pub(crate) executor: String,
    pub(crate) engine: wire::EngineIdentity,
}

/// See the [module](self).
pub(super) struct Ledger<'a> {
    audit: &'a Arc<Audit>,
    subject: &'a Subject,
    frames: Frames,
    /// Records from the first on that emits something, in order.
    waiting: Vec<(wire::AuditRecord, Vec<Held>)>,
    /// Whether the slot blocks, as far as that is known.
    blocked: Option<bool>,
    running: Option<(&'a AttachmentPlan, Instant)>,
    /// What the attachment that came up last has reached.
    trace: Trace,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(audit: &'a Arc<Audit>, subject: &'a Subject) -> Ledger<'a> {
        Ledger {
            audit,
            subject,
            frames: Frames::default(),
            waiting: Vec::new(),
            blocked: subject.trigger.is_asynchronous().then_some(false),
            running: None,
            trace: Trace::default(),
        }
    }

    /// An attachment's run begins.
    pub(super) fn begins(&mut self, attachment: &'a AttachmentPlan, trace: &Trace) {
        self.running = Some((attachment, Instant::now()));
        self.trace = trace.clone();
    }

    /// It has ended; [`Ledger::tell`] follows.
    pub(super) fn ended(&mut self) {
        self.running = None;
    }

    /// Writes down how an attachment ended, and makes its result of it.
    pub(super) fn tell(
        &mut self,
        attachment: &AttachmentPlan,
        end: End,
        cost: Cost,
        logs: Vec<LogLine>,
    ) -> wire::RunResult {
        use wire::run_result::Result as How;
        let mut record = self.record(attachment, cost);
        let mut emits = Vec::new();
        let how = match end {
            End::Outcome(outcome, lost, held) => {
                emits = held;
                record.outcome = outcome.kind().to_wire();
                record.reason_code = outcome.reason_code.clone().unwrap_or_default();
                if let Some(run) = &mut record.run {
                    run.lost = lost.into_iter().map(Into::into).collect();
                    run.annotations = json::to_struct_unless_empty(
                        outcome.annotations.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                    );
                }
                How::Outcome((*outcome).into())
            }
            End::Failure(failure) => {
                record.failure = Some(audited(&failure));
                How::Failure(failure.into())
            }
            End::Skipped(skipped) => {
                record.skipped = skipped.to_wire();
                How::Skipped(skipped.to_wire())
            }
        };
        self.keep(record, emits);
        // What comes up next and is not run has reached nothing.
        self.trace = Trace::default();
        wire::RunResult {
            attachment: attachment.id.clone(),
            slug: attachment.slug.to_string(),
            version: attachment.version.clone(),
            result: Some(how),
            cpu_us: cost.cpu_us,
            wall_us: cost.wall_us,
            memory_bytes: cost.memory_bytes,
            logs: logs.into_iter().map(Into::into).collect(),
        }
    }

    /// How the slot stands after what was told. A block is for good.
    pub(super) fn stands(&mut self, blocked: bool) {
        if blocked {
            self.blocked = Some(true);
        }
    }

    /// Everything is told: the records are kept, as surely as the operator wants, before the answer leaves.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        self.blocked.get_or_insert(false);
        self.settle();
        self.audit.keep(&mut self.frames, &self.subject.tenant).await
    }

    fn keep(&mut self, record: wire::AuditRecord, emits: Vec<Held>) {
        match self.waiting.is_empty() && emits.is_empty() {
            true => self.push(&record),
            false => self.waiting.push((record, emits)),
        }
    }

    /// Lets the records go that waited, each with what goes out of it.
    fn settle(&mut self) {
        for (mut record, held) in std::mem::take(&mut self.waiting) {
            let goes = |held: &Held| self.blocked.is_some_and(|blocked| held.goes(blocked));
            let out: Vec<Emitted> = held.into_iter().filter(goes).map(|held| held.emitted).collect();
            if let Some(run) = &mut record.run {
                for id in out.iter().flat_map(|emitted| &emitted.to).map(|target| &target.id) {
                    // One key may stand in two emits, which are one delivery.
                    if !run.deliveries.contains(id) {
                        run.deliveries.push(id.clone());
                    }
                }
            }
            record.emits = out.into_iter().map(Into::into).collect();
            self.push(&record);
        }
    }

    fn push(&mut self, record: &wire::AuditRecord) {
        if !self.frames.push(record) {
            self.audit.too_large(&self.subject.tenant);
        }
    }

    fn record(&self, attachment: &AttachmentPlan, cost: Cost) -> wire::AuditRecord {
        let subject = self.subject;
        wire::AuditRecord {
            time: Some(to_timestamp(Timestamp::now())),
            kind: AuditKind::ActionExecuted.as_str().to_owned(),
            tenant: subject.tenant.to_string(),
            principal: subject.principal.clone(),
            flow: subject.flow.to_string(),
            flow_revision: subject.revision,
            trigger: subject.trigger.as_str().to_owned(),
            attachment: attachment.id.clone(),
            slug: attachment.slug.to_string(),
            version: attachment.version.clone(),
            sign_in_id: subject.sign_in_id.clone(),
            execution_id: subject.execution_id.clone(),
            user_id: subject.user_id.clone(),
            run: Some(wire::AuditRun {
                executor_id: subject.runs_on.executor.clone(),
                engine: Some(subject.runs_on.engine.clone()),
                cpu_us: cost.cpu_us,
                wall_us: cost.wall_us,
                risk_unusable: subject.risk_unusable,
                fetches: self.trace.attempts().into_iter().map(Into::into).collect(),
                counters_fallback: self.trace.fell_back(),
                ..wire::AuditRun::default()
            }),
            ..wire::AuditRecord::default()
        }
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        if let Some((attachment, began)) = self.running.take() {
            let took = began.elapsed();
            let cost = Cost { wall_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX), ..Cost::default() };
            let message = format!("the caller went away after {} ms; the run was stopped", took.as_millis());
            let mut record = self.record(attachment, cost);
            record.failure = Some(audited(&Failure::new(FailureReason::WallLimit, message)));
            self.keep(record, Vec::new());
        }
        self.settle();
        if self.frames.count() > 0 {
            // Nobody is left to be refused.
            self.audit.write_for_nobody(&mut self.frames, &self.subject.tenant);
        }
    }
}

/// A failure as audit keeps it: a short message, no stack.
fn audited(failure: &Failure) -> wire::Failure {
    let mut message = failure.message.clone();
    if message.len() > MAX_MESSAGE_BYTES {
        let mut end = MAX_MESSAGE_BYTES;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    wire::Failure {
        reason: failure.reason.to_wire(),
        message,
        pointer: failure.pointer.clone(),
        file: failure.file.clone(),
        line: failure.line,
        column: failure.column,
        stack: None,
    }
}
