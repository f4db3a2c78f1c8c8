//! Runs the cases of a package (`tests/*.json`) in the sandbox: when it is published, and by `sluice test`.
//!
//! A case sees what a sign-in would: its config is checked and filled in, what it leaves in the state of one step is there
//! in the next, and what it answers is held against the trigger, the declared outcomes and the reserved claims. Where
//! redirects may lead is the tenant's choice and not the package's, so here any https origin will do. One on localhost by
//! http is refused, as it is by an executor whose operator has not set `redirect.http_localhost`. What it reaches beyond its
//! memory is what the case brings ([`TestPorts`]): no server is asked.

use super::ports::{self, TestPorts};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sluice_compiler::Package;
use sluice_model::case::{self, Case, Difference, Step};
use sluice_model::emit::Emitting;
use sluice_model::input::{ActionRef, CallerInput, Host};
use sluice_model::outcome::Decision;
use sluice_model::redirect::{self, Origin};
use sluice_model::slot::{HostRules, SlotState};
use sluice_model::{Diagnostic, Failure, FailureReason, Grants, Invalid, LogLine, Object, Outcome, schema};
use sluice_sandbox::{EncodedInput, Engine, RunRequest, Snapshot};
use std::sync::Arc;

/// The most differences of a case that are told.
const MAX_DIFFERENCES: usize = 5;
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
    /// What the runs took together; memory is that of the largest.
    pub spent: Spent,
    /// What the runs printed, in their order.
    pub logs: Vec<LogLine>,
    /// Which of the file's cases it is, from 0.
    pub index: usize,
    /// Whether it ended as `unavailable` because the case brings no value for a secret.
    pub lacks_a_secret: bool,
}

/// What runs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// Time by the clock, in microseconds.
    pub wall_us: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

impl CaseResult {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty() && self.refused.is_none()
    }

    /// A case that did not pass, as a mistake of the package: at what it expects, with what came instead.
    pub fn mistake(&self, package: &Package) -> Diagnostic {
        let text = package.files.get(&self.file).map_or("", String::as_str);
        let run = case::pointer_to_run(text, self.index, self.step.unwrap_or_default());
        let step = self.step.filter(|_| run.contains("/steps/")).map(|step| format!(", step {}", step + 1));
        let step = step.unwrap_or_default();
        let (under, why) = match &self.refused {
            Some(refused) => ("", refused.clone()),
            None => {
                let more = self.differences.len().saturating_sub(MAX_DIFFERENCES);
                let told = self.differences.iter().take(MAX_DIFFERENCES).map(ToString::to_string);
                let more = (more > 0).then(|| format!("and {more} more differences"));
                ("/expect", told.chain(more).collect::<Vec<_>>().join("; "))
            }
        };
        let message = format!("case {:?}{step}: {why}", self.name);
        let found = Diagnostic::in_json("case", self.file.clone(), text, Invalid::at(format!("{run}{under}"), message));
        Diagnostic { pointer: None, ..found }
    }
}

/// What no run could make right: configs and inputs of cases that the Action can never be given, and answers of servers that it
/// may not ask. Told with their places, before anything is run.
pub fn mistakes(package: &Package) -> Vec<Diagnostic> {
    let grants = Grants::of(&package.manifest);
    let mut found = Vec::new();
    for (file, cases) in &package.cases {
        let text = package.files.get(file).map_or("", String::as_str);
        for (index, case) in cases.iter().enumerate() {
            let mut mistake = |invalid: Invalid, under: &str| {
                // What stands where a secret's name belongs may be its value.
                let is_secret = grants.secrets_from_config.contains(&invalid.pointer);
                let told = Diagnostic::in_json("test_case", file.as_str(), text, invalid.under(under));
                let excerpt = if is_secret { None } else { told.excerpt.clone() };
                found.push(Diagnostic { excerpt, ..told });
            };
            let run = |step| case::pointer_to_run(text, index, step);
            let here = run(0).trim_end_matches("/steps/0").to_owned();
            let (wrong, under) = match config(package, case) {
                Ok(config) => (undeclared(&grants, &config, case), here),
                Err(refused) => (refused, format!("{here}/config")),
            };
            wrong.into_iter().for_each(|invalid| mistake(invalid, &under));
            for (number, step) in case.steps.iter().enumerate() {
                if let Err(invalid) = CallerInput::from_json(step.input.clone(), case.trigger) {
                    mistake(invalid, &format!("{}/input", run(number)));
                }
            }
        }
    }
    found
}

/// A case's config, checked by the schema and where it names secrets, with its defaults. The error is every mistake.
fn config(package: &Package, case: &Case) -> Result<Object, Vec<Invalid>> {
    let config = match schema::validate(package.schema.as_ref(), &case.config)? {
        Value::Object(config) => config,
        // A schema's top level is an object.
        _ => Object::new(),
    };
    Grants::of(&package.manifest).check_secret_names(&config)?;
    Ok(config)
}

/// Answers of servers that the Action may not ask: nothing is ever answered by them.
fn undeclared(grants: &Grants, config: &Object, case: &Case) -> Vec<Invalid> {
    if case.http.is_empty() {
        return Vec::new();
    }
    let hosts = ports::hosts(grants, config, &case.secrets);
    let answers = case.http.iter().enumerate();
    let wrong = answers.filter_map(|(index, answer)| {
        let host = answer.url.host_str().unwrap_or_default();
        let may_be_asked = hosts.iter().any(|pattern| pattern.matches(host));
        (!may_be_asked).then(|| Invalid::at(format!("/http/{index}/url"), grants.host_denied(host)))
    });
    wrong.collect()
}

/// Runs all cases of a package, one after the other, in the order of the files.
pub async fn run(engine: &Engine, package: &Package, snapshot: &Arc<Snapshot>) -> Vec<CaseResult> {
    let mut results = Vec::new();
    for (file, cases) in &package.cases {
        for (index, case) in cases.iter().enumerate() {
            results.push(CaseResult { index, ..run_case(engine, package, snapshot, file, case).await });
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
        spent: Spent::default(),
        logs: Vec::new(),
        index: 0,
        lacks_a_secret: false,
    };
    let config = match config(package, case) {
        Ok(config) => config,
        Err(found) => {
            let mistakes: Vec<String> = found.into_iter().map(|wrong| wrong.under("/config").to_string()).collect();
            result.refused = Some(mistakes.join("; "));
            return result;
        }
    };
    let ports = TestPorts::of_case(&package.manifest, &config, case);
    let emitting = Emitting::of(&package.manifest, &config);
    let running = Running { engine, package, snapshot, case, config, ports, emitting };
    let mut state = Object::new();
    for (index, step) in case.steps.iter().enumerate() {
        match running.step(step, &mut state).await {
            Ok((got, spent, logs)) => {
                result.differences = step.expect.differences(&got);
                result.got = got;
                result.spent.cpu_us += spent.cpu_us;
                result.spent.wall_us += spent.wall_us;
                result.spent.memory_bytes = result.spent.memory_bytes.max(spent.memory_bytes);
                result.logs.extend(logs);
            }
            Err(refused) => result.refused = Some(refused),
        }
        if !result.passed() {
            result.step = Some(index);
            break;
        }
    }
    result.lacks_a_secret = running.ports.lacked_a_secret();
    result
}

/// A case that is run.
struct Running<'a> {
    engine: &'a Engine,
    package: &'a Package,
    snapshot: &'a Arc<Snapshot>,
    case: &'a Case,
    /// With its defaults.
    config: Object,
    ports: TestPorts,
    emitting: Emitting,
}

impl Running<'_> {
    async fn step(&self, step: &Step, state: &mut Object) -> Result<(Value, Spent, Vec<LogLine>), String> {
        let Running { engine, package, snapshot, case, config, ports, emitting } = self;
        let mut caller = CallerInput::from_json(step.input.clone(), case.trigger)
            .map_err(|wrong| wrong.under("/input").to_string())?;
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
        let request = RunRequest { input, limits, now: step.now, ports: Arc::new(ports.at(step.now)) };
        let report = engine.run(snapshot, request).await;
        let spent = Spent { cpu_us: report.cpu_us, wall_us: report.wall_us, memory_bytes: report.memory_bytes };
        let logs = snapshot.in_the_authors_places(report.logs);
        let outcome = report.outcome.and_then(|outcome| {
            let origins: Vec<Origin> = origin_of(&outcome).into_iter().collect();
            let rules = HostRules { redirect_origins: &origins, http_localhost: false };
            let declared = package.manifest.outcomes.as_deref();
            emitting.check(&outcome, now)?;
            slot.apply(TEST, &outcome, declared, rules).map_err(Failure::invalid_outcome)?;
            Ok(outcome)
        });
        *state = slot.finish().state;
        let got = match outcome {
            Ok(outcome) => json!({ "outcome": outcome, "failure": null }),
            Err(failure) => json!({ "outcome": null, "failure": shown(&failure) }),
        };
        Ok((got, spent, logs))
    }
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

/// The failure of a case that says nothing about the package: the sandbox itself could not work. A secret that the case does
/// not bring is the case's.
pub(super) fn platform_fault(result: &CaseResult) -> bool {
    let reason = result.got.pointer("/failure/reason").and_then(Value::as_str);
    let faults = [FailureReason::Internal, FailureReason::Unavailable];
    !result.passed() && !result.lacks_a_secret && faults.iter().any(|fault| reason == Some(fault.as_str()))
}
