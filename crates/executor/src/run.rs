//! Runs: one execution of a slot, from its input to its verdict.
//!
//! The attachments run in order of position; each sees the state and the demands merged so far
//! ([`sluice_model::slot`]). A run's limit by the clock is the smallest of the attachment's, the version's, what is left of
//! the slot's budget, and what is left of the caller's patience. Whatever becomes of an attachment (it ran, failed, was
//! skipped) is in the answer and in audit, and its failure policy decides how the slot goes on.

pub(crate) mod breaker;
pub(crate) mod ledger;
#[cfg(test)]
mod tests;

use crate::{
    audit::Audit,
    modules::Modules,
    reach::{self, Reach, Trace},
    redact,
    secrets::{ByName, Vault},
    standing::{Bar, Standing},
    state::plan::{AttachmentPlan, Plan, SlotPlan},
    telemetry::Metrics,
};
use jiff::Timestamp;
use ledger::{Ledger, Subject};
use sluice_api::types::v1 as wire;
use sluice_counters::KeyMaker;
use sluice_model::{
    CallerInput, Failure, FailureReason, Input, Limits, Object, OnFailure, Outcome, Skipped, Trigger,
    emit::{By, Held},
    input::{ActionRef, AttachmentRef, FlowRef, Host, Mode},
    redirect::Origin,
    slot::{HostRules, Lost, SlotAnswer, SlotState},
};
use sluice_sandbox::{EncodedInput, Engine, RunReport, RunRequest};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What is kept back of the caller's time, so that the answer arrives before it stops listening.
const ANSWER_TIME: Duration = Duration::from_millis(2);
/// Where nothing bounds a slot but its own budget.
const SHORTEST_RUN: Duration = Duration::from_millis(1);

/// Runs slots.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) engine: Engine,
    pub(crate) modules: Modules,
    pub(crate) audit: Arc<Audit>,
    pub(crate) metrics: Arc<Metrics>,
    /// `redirect.http_localhost`.
    pub(crate) http_localhost: bool,
    /// What the platform says of what is about to run.
    pub(crate) standing: Standing,
    /// What runs may reach.
    pub(crate) reach: Arc<Reach>,
    /// The secrets that they may read.
    pub(crate) vault: Vault,
}

/// One execution. It is pinned to one plan from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) subject: Subject,
    pub(crate) origins: Arc<[Origin]>,
    pub(crate) plan: Arc<Plan>,
    /// Whether the tenant's custom Actions were turned off when the plan was found.
    pub(crate) break_glass: bool,
    /// The secrets that came with the plan, where it was fetched.
    pub(crate) secrets: Arc<ByName>,
    /// What makes the keys of the tenant's counters and of kv.
    pub(crate) keys: Option<Arc<KeyMaker>>,
    /// Whether the caller sent the execution's id, and so can ask for the same again.
    pub(crate) repeatable: bool,
    pub(crate) trigger: Trigger,
    /// When the caller stops waiting.
    pub(crate) deadline: Option<Instant>,
    pub(crate) include_logs: bool,
}

/// What became of an execution.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) answer: SlotAnswer,
    pub(crate) results: Vec<wire::RunResult>,
}

/// What became of one attachment.
enum End {
    /// With what lost against it in merging, and what it emits.
    Outcome(Box<Outcome>, Vec<Lost>, Vec<Held>),
    Failure(Failure),
    Skipped(Skipped),
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_us: u64,
    pub(crate) wall_us: u64,
    pub(crate) memory_bytes: u64,
}

/// How long a run may take, and why not longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Its own limit.
    Own(Limits),
    /// Less than its own limit.
    Less(Limits),
    /// The slot's budget is used up.
    NoBudget,
    /// The caller's time is.
    NoPatience,
}

impl Runner {
    /// Runs a slot and keeps its audit. Dropping the future stops the run that goes on; what ran is audited all the same.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`.
    pub(crate) async fn run(&self, execution: &Execution, input: CallerInput) -> Result<Ran, sluice_model::Error> {
        let began = Instant::now();
        let mut slot_state = SlotState::new(execution.trigger, input.state.clone(), input.token.as_ref());
        let Some(slot) = execution.plan.slot(execution.trigger).filter(|slot| !slot.attachments.is_empty()) else {
            return Ok(Ran { answer: slot_state.finish(), results: Vec::new() });
        };
        let mut ledger = Ledger::new(&self.audit, &execution.subject);
        let mut input = assemble(execution, input);
        let mut results = Vec::with_capacity(slot.attachments.len());
        for attachment in &slot.attachments {
            let (end, cost, logs) = if slot_state.is_blocked() {
                (End::Skipped(Skipped::AfterBlock), Cost::default(), Vec::new())
            } else if !attachment.enabled {
                (End::Skipped(Skipped::Disabled), Cost::default(), Vec::new())
            } else if let Some(bar) = self.standing.bar(&execution.subject.tenant, execution.break_glass, attachment) {
                (barred(bar, attachment), Cost::default(), Vec::new())
            } else {
                let left = time_left(began, Instant::now(), slot, attachment, execution.deadline);
                let trace = Trace::default();
                ledger.begins(attachment, &trace);
                let ran = self.attachment(execution, attachment, left, &mut input, &mut slot_state, &trace).await;
                ledger.ended();
                ran
            };
            if let End::Failure(failure) = &end
                && policy(attachment, failure) == OnFailure::Block
            {
                slot_state.block_by_failure(&attachment.id, failure);
            }
            self.metrics.run_ended(execution.trigger, end.label(), cost.wall_us);
            results.push(ledger.tell(attachment, end, cost, logs));
            ledger.stands(slot_state.is_blocked());
        }
        ledger.close().await?;
        let answer = slot_state.finish();
        Ok(Ran { answer, results })
    }

    /// One attachment, from its breaker to its merged outcome.
    async fn attachment(
        &self,
        execution: &Execution,
        attachment: &AttachmentPlan,
        left: Left,
        input: &mut Input,
        slot_state: &mut SlotState,
        trace: &Trace,
    ) -> (End, Cost, Vec<sluice_model::LogLine>) {
        let nothing = |failure| (End::Failure(failure), Cost::default(), Vec::new());
        let (limits, own_time) = match left {
            Left::Own(limits) => (limits, true),
            Left::Less(limits) => (limits, false),
            Left::NoBudget => return nothing(wall_limit("the slot's budget was used up before this Action could run")),
            Left::NoPatience => {
                return nothing(wall_limit("the caller's deadline left no time for this Action to run"));
            }
        };
        let Some(permit) = attachment.breaker.admit(Instant::now()) else {
            return nothing(Failure::new(
                FailureReason::CircuitOpen,
                "failed so often that it is not tried for a while",
            ));
        };
        let (report, limits) = match self.report(execution, attachment, limits, input, slot_state, trace).await {
            Ok(report) => report,
            Err(failure) => {
                // Nothing ran: the breaker learns nothing. A permit that is dropped does not count.
                return nothing(failure);
            }
        };
        let cost = Cost { cpu_us: report.cpu_us, wall_us: report.wall_us, memory_bytes: report.memory_bytes };
        let rules = HostRules { redirect_origins: &execution.origins, http_localhost: self.http_localhost };
        let merged = report.outcome.and_then(|outcome| {
            let emits = match outcome.emit.is_empty() {
                true => Vec::new(),
                false => self.emits(execution, attachment, &outcome, input.context.now)?,
            };
            let lost = slot_state.apply(&attachment.id, &outcome, attachment.outcomes.as_deref(), rules);
            lost.map(|lost| (outcome, lost, emits)).map_err(Failure::invalid_outcome)
        });
        let own_time = own_time && limits.wall_ms == attachment.limits.wall_ms;
        permit.tell(merged.as_ref().is_err_and(|failure| breaker::counts(failure, own_time)), Instant::now());
        let end = match merged {
            Ok((outcome, lost, emits)) => End::Outcome(Box::new(outcome), lost, emits),
            Err(failure) => End::Failure(failure),
        };
        (end, cost, report.logs)
    }

    /// What an outcome emits, until its slot's end decides what of it goes out.
    fn emits(
        &self,
        execution: &Execution,
        attachment: &AttachmentPlan,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<Vec<Held>, Failure> {
        let Subject { tenant, execution_id, .. } = &execution.subject;
        let by = By { tenant, slug: &attachment.slug, execution: execution_id, attachment: &attachment.id, at };
        self.reach.emits(attachment, outcome, by)
    }

    /// Has the module run, within the limits; loading it counts.
    async fn report(
        &self,
        execution: &Execution,
        attachment: &AttachmentPlan,
        mut limits: Limits,
        input: &mut Input,
        slot_state: &SlotState,
        trace: &Trace,
    ) -> Result<(RunReport, Limits), Failure> {
        let snapshot = match self.modules.for_run(&attachment.module) {
            Some(snapshot) => snapshot,
            None => {
                let wall = Duration::from_millis(limits.wall_ms.into());
                let began = Instant::now();
                let late = |_| {
                    let message = format!("its module could not be had within the {} ms that it has", limits.wall_ms);
                    Failure::new(FailureReason::Unavailable, message)
                };
                let load = self.modules.load(&execution.subject.tenant, &attachment.module);
                let loaded = tokio::time::timeout(wall, load).await;
                let snapshot = loaded.map_err(late)??;
                let used = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
                limits.wall_ms = limits.wall_ms.saturating_sub(used).max(1);
                snapshot
            }
        };
        input.state.clone_from(slot_state.state());
        let context = &mut input.context;
        context.attachment.id.clone_from(&attachment.id);
        context.attachment.position = attachment.position;
        context.action.slug = attachment.slug.clone();
        context.action.version.clone_from(&attachment.version);
        context.config.clone_from(&attachment.config);
        context.pending.clone_from(slot_state.pending());
        context.now = Timestamp::now();
        context.deadline_ms = limits.wall_ms.into();
        let encoded = EncodedInput::new(input).map_err(|invalid| {
            let message = format!("the input cannot be handed on: {}: {}", invalid.pointer, invalid.message);
            Failure::new(FailureReason::Internal, message)
        })?;
        let secrets = self.vault.readable(&execution.subject.tenant, &execution.secrets, attachment.secrets());
        let run = reach::Run {
            attachment,
            execution: execution.repeatable.then_some(execution.subject.execution_id.as_str()),
            secrets: secrets.clone(),
            keys: execution.keys.clone(),
            deadline: tokio::time::Instant::now() + Duration::from_millis(limits.wall_ms.into()),
        };
        let ports = self.reach.ports(run, trace);
        let mut report = self.engine.run(&snapshot, RunRequest { input: encoded, limits, now: None, ports }).await;
        report.logs = match execution.include_logs {
            true => snapshot.in_the_authors_places(report.logs),
            // Nobody reads them: source maps are not looked into for every sign-in.
            false => Vec::new(),
        };
        let secrets = secrets.all();
        if !secrets.is_empty() {
            redact::logs(secrets, &mut report.logs);
            let denied = match &mut report.outcome {
                Ok(outcome) => {
                    redact::outcome(secrets, outcome);
                    redact::emits(secrets, outcome).err()
                }
                Err(failure) => {
                    redact::failure(secrets, failure);
                    None
                }
            };
            if let Some(denied) = denied {
                report.outcome = Err(denied);
            }
        }
        Ok((report, limits))
    }
}

impl End {
    /// The word of it in metrics.
    fn label(&self) -> crate::telemetry::RunLabel {
        use crate::telemetry::RunLabel;
        match self {
            End::Outcome(outcome, ..) => RunLabel::Outcome(outcome.kind()),
            End::Failure(failure) => RunLabel::Failure(failure.reason),
            End::Skipped(skipped) => RunLabel::Skipped(*skipped),
        }
    }
}

/// What an attachment's policy says to a failure.
fn policy(attachment: &AttachmentPlan, failure: &Failure) -> OnFailure {
    if failure.reason.follows_on_unavailable() { attachment.on_unavailable } else { attachment.on_error }
}

fn wall_limit(message: &str) -> Failure {
    Failure::new(FailureReason::WallLimit, message)
}

/// The smallest of all limits by the clock.
fn time_left(
    began: Instant,
    now: Instant,
    slot: &SlotPlan,
    attachment: &AttachmentPlan,
    deadline: Option<Instant>,
) -> Left {
    let budget = (began + slot.budget).saturating_duration_since(now);
    if budget < SHORTEST_RUN {
        return Left::NoBudget;
    }
    let patience = deadline.map(|d| d.saturating_duration_since(now).saturating_sub(ANSWER_TIME));
    if patience.is_some_and(|p| p < SHORTEST_RUN) {
        return Left::NoPatience;
    }
    let least = patience.map_or(budget, |p| p.min(budget));
    let least_ms = u32::try_from(least.as_millis()).unwrap_or(u32::MAX);
    if least_ms < attachment.limits.wall_ms {
        return Left::Less(Limits { wall_ms: least_ms, ..attachment.limits });
    }
    Left::Own(attachment.limits)
}

/// How an attachment ends that must not be run.
fn barred(bar: Bar, attachment: &AttachmentPlan) -> End {
    match bar {
        Bar::BreakGlass => End::Skipped(Skipped::BreakGlass),
        Bar::Revoked => {
            let message = format!("the platform has revoked {}@{}", attachment.slug, attachment.version);
            End::Failure(Failure::new(FailureReason::Revoked, message))
        }
    }
}

/// The input, but for what each attachment has of its own.
fn assemble(execution: &Execution, caller: CallerInput) -> Input {
    let subject = &execution.subject;
    let host = Host {
        tenant: subject.tenant.clone(),
        sign_in_id: subject.sign_in_id.clone(),
        execution_id: subject.execution_id.clone(),
        flow: FlowRef { id: execution.plan.flow.clone(), revision: execution.plan.revision },
        attachment: AttachmentRef { id: String::new(), position: 0 },
        action: ActionRef { slug: execution.plan.flow.clone(), version: String::new() },
        config: Object::new(),
        now: Timestamp::now(),
        deadline_ms: 0,
        mode: Mode::Live,
    };
    host.input(execution.trigger, caller)
}
