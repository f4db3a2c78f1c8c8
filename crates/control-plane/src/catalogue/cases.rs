//! Runs the cases of a package (`tests/*.json`) in the sandbox: when it is published, and by `sluice test`.
//!
//! A case sees what a sign-in would: its config is checked and filled in, what it leaves in the state of one step is there
//! in the next, and what it answers is held against the trigger, the declared outcomes and the reserved claims. Where
//! redirects may lead is the tenant's choice and not the package's, so here any https origin will do. One on localhost by
//! http is refused, as it is by an executor whose operator has not set `redirect.http_localhost`.

use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_compiler::Package;
use sluice_model::case::{Case, Difference, Step};
use sluice_model::input::{ActionRef, CallerInput, Host};
use sluice_model::outcome::Decision;
use sluice_model::redirect::{self, Origin};
use sluice_model::slot::{HostRules, SlotState};
use sluice_model::{Failure, FailureReason, Object, Outcome, schema};
use sluice_sandbox::{EncodedInput, Engine, RunRequest, Snapshot};
use std::sync::Arc;

/// The attachment's id.
const TEST: &str = "test";

/// What became of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    /// The file, relative to the package.
    pub file: String,
    /// The case's name.
    pub name: String,
    /// The step that was not as expected, from 0; `None` where all were, or where the case could not be run.
    pub step: Option<usize>,
    /// Where what came differs from what was expected; empty where the case passed.
    pub differences: Vec<Difference>,
    /// Why the case could not be run: its config or its input is not what the Action takes.
    pub refused: Option<String>,
    /// What the last run gave: `{"outcome": ... | null, "failure": ... | null}`.
    pub got: Value,
}

impl CaseResult {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty() && self.refused.is_none()
    }
}

/// Runs all cases of a package, one after the other, in the order of the files.
pub async fn run(engine: &Engine, package: &Package, snapshot: &Arc<Snapshot>) -> Vec<CaseResult> {
    let mut results = Vec::new();
    for (file, cases) in &package.cases {
        for case in cases {
            results.push(run_case(engine, package, snapshot, file, case).await);
        }
    }
    results
}

/// Runs one case.
pub async fn run_case(
    engine: &Engine,
    package: &Package,
    snapshot: &Arc<Snapshot>,
    file: &str,
    case: &Case,
) -> CaseResult {
    let mut result = CaseResult {
        file: file.to_owned(),
        name: case.name.clone(),
        step: None,
        differences: Vec::new(),
        refused: None,
        got: Value::Null,
    };
    let config = match schema::validate(package.schema.as_ref(), &case.config) {
        Ok(Value::Object(config)) => config,
        Ok(_) => Object::new(),
        Err(found) => {
            let mistakes: Vec<String> = found.into_iter().map(|wrong| wrong.under("/config").to_string()).collect();
            result.refused = Some(mistakes.join("; "));
            return result;
        }
    };
    let mut state = Object::new();
    for (index, step) in case.steps.iter().enumerate() {
        match run_step(engine, package, snapshot, case, step, &config, &mut state).await {
            Ok(got) => {
                result.differences = step.expect.differences(&got);
                result.got = got;
            }
            Err(refused) => result.refused = Some(refused),
        }
        if !result.passed() {
            result.step = Some(index);
            break;
        }
    }
    result
}

async fn run_step(
    engine: &Engine,
    package: &Package,
    snapshot: &Arc<Snapshot>,
    case: &Case,
    step: &Step,
    config: &Object,
    state: &mut Object,
) -> Result<Value, String> {
    let mut caller =
        CallerInput::from_json(step.input.clone(), case.trigger).map_err(|wrong| wrong.under("/input").to_string())?;
    // What an earlier step left, unless the step brings its own.
    if caller.state.is_empty() {
        caller.state = state.clone();
    }
    caller.drop_unusable_risk();
    let mut slot = SlotState::new(case.trigger, caller.state.clone(), caller.token.as_ref());
    let limits = package.manifest.limits;
    let version = package.manifest.version.as_ref().map_or_else(|| "0.0.0-test".to_owned(), ToString::to_string);
    let action = ActionRef { slug: package.manifest.slug.clone(), version };
    let now = step.now.unwrap_or_else(Timestamp::now);
    let input = Host::test(action, config.clone(), now, u64::from(limits.wall_ms)).input(case.trigger, caller);
    let input = EncodedInput::new(&input).map_err(|wrong| wrong.under("/input").to_string())?;
    let report = engine.run(snapshot, RunRequest { input, limits, now: step.now }).await;
    let outcome = report.outcome.and_then(|outcome| {
        let origins: Vec<Origin> = origin_of(&outcome).into_iter().collect();
        let rules = HostRules { redirect_origins: &origins, http_localhost: false };
        let declared = package.manifest.outcomes.as_deref();
        sluice_model::emit::check_declared(&outcome)?;
        slot.apply(TEST, &outcome, declared, rules).map_err(Failure::invalid_outcome)?;
        Ok(outcome)
    });
    *state = slot.finish().state;
    Ok(match outcome {
        Ok(outcome) => json!({ "outcome": outcome, "failure": null }),
        Err(failure) => json!({ "outcome": null, "failure": shown(&failure) }),
    })
}

/// Stacks differ from build to build; a case that names one would be worth nothing.
fn shown(failure: &Failure) -> Value {
    let Failure { reason, message, pointer, file, line, column, stack: _ } = failure;
    json!({ "reason": reason, "message": message, "pointer": pointer, "file": file, "line": line, "column": column })
}

fn origin_of(outcome: &Outcome) -> Option<Origin> {
    let Decision::Redirect(to) = &outcome.decision else { return None };
    let url = redirect::parse(&to.url).ok()?;
    Origin::parse(&url.origin().ascii_serialization()).ok()
}

/// The failure of a case that says nothing about the package: the sandbox itself could not work.
pub(super) fn platform_fault(result: &CaseResult) -> bool {
    let reason = result.got.pointer("/failure/reason").and_then(Value::as_str);
    let faults = [FailureReason::Internal, FailureReason::Unavailable];
    !result.passed() && faults.iter().any(|fault| reason == Some(fault.as_str()))
}
