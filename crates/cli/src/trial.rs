//! A trial: an unpublished package run on this machine, through the same compiler, sandbox and checks as a published one.
//!
//! What differs from an executor: the mode is `test`, what the host fills in says so, redirects may lead to any https origin
//! unless some are named, since no tenant is known that could allow them, and no server is asked: what it would answer, and
//! the values of secrets, are in the package's cases or in files.

use crate::{stop::Stop, view::run::Run};
use jiff::Timestamp;
use sluice_compiler::{ChildOptions, CompileError, CountedLine, Package, compile_counting_in_child, compile_in_child};
use sluice_control_plane::{
    catalogue::{cases, ports::TestPorts, refusal},
    config::EngineConfig,
};
use sluice_model::{
    Artifact, CallerInput, Error, Failure, FailureReason, Grants, Invalid, LogLine, Object, Outcome, OutcomeKind,
    RunResult, Slug, Trigger,
    case::HttpAnswer,
    emit::Emitting,
    input::{ActionRef, Host},
    manifest::Provided,
    outcome::Decision,
    redirect::{self, Origin},
    schema,
    slot::{HostRules, SlotState},
};
use sluice_sandbox::{ComponentCompiler, EncodedInput, Engine, EngineOptions, RunRequest, Snapshot};
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

/// The attachment's id in a trial.
const ID: &str = "test";
/// The version of a package whose action.toml names none. It sorts before all others, and can never be published to.
const UNPUBLISHED: &str = "0.0.0-test";

/// A package that is compiled, evaluated, and ready to run.
pub(crate) struct Trial {
    pub(crate) package: Package,
    engine: Engine,
    snapshot: Arc<Snapshot>,
    slug: Slug,
    version: String,
    redirects: Redirects,
    /// What counts against the bound on a bundle.
    pub(crate) code_bytes: usize,
    /// Where the statements begin that are counted.
    pub(crate) lines: Vec<CountedLine>,
}

/// Where redirects may lead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redirects {
    /// `None` is any origin.
    pub(crate) origins: Option<Vec<Origin>>,
    /// Whether http leads to localhost, as it does where an operator sets `redirect.http_localhost`.
    pub(crate) http_localhost: bool,
}

/// One run of a trial. The config has its defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) trigger: Trigger,
    pub(crate) config: Object,
    pub(crate) input: CallerInput,
    /// What the clock says; `None` is the clock of this machine.
    pub(crate) now: Option<Timestamp>,
    pub(crate) reach: Reach,
}

/// What a run finds beyond its memory. Counters and kv are in memory, and empty.
#[derive(Clone, Default)]
pub(crate) struct Reach {
    /// Secrets, by name.
    pub(crate) secrets: BTreeMap<String, String>,
    /// What servers answer; `None` where nobody has said it.
    pub(crate) http: Option<Vec<HttpAnswer>>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("secrets", &self.secrets.len()).field("http", &self.http).finish()
    }
}

impl Trial {
    /// Compiles a package in a child process, and evaluates it in the sandbox. The engine is that of the trial before, or is
    /// kept for the next. Counting, it knows which lines run.
    ///
    /// # Errors
    /// What the package has wrong, as a publish would refuse it; or what this machine lacks.
    pub(crate) async fn prepare(
        package: Package,
        redirects: Redirects,
        kept: &mut Option<Engine>,
        counting: bool,
    ) -> Result<Trial, Stop> {
        if let Some(refused) = refusal::unsupported(&package.unmet(&Provided::THIS_BUILD)) {
            return Err(refused.into());
        }
        if let Some(found) = refusal::reserved(&package) {
            return Err(Stop::package(&[found]));
        }
        // The compiler waits for its child, and an engine that is not in the cache is compiled for seconds: side by side.
        let compiled = tokio::task::spawn_blocking(move || {
            let options = ChildOptions::this_program().map_err(CompileError::Unavailable)?;
            if let Some(component) = package.component.clone() {
                let code_bytes = component.len();
                return Ok((package, Artifact::Component(component), Vec::new(), code_bytes));
            }
            let bundle = compile_in_child(&package, &options)?;
            // Counters do not count: the size is that of what would be published.
            let code_bytes = bundle.code_bytes();
            let (bundle, lines) = match counting {
                true => compile_counting_in_child(&package, &options)?,
                false => (bundle, Vec::new()),
            };
            Ok((package, Artifact::Bundle(bundle), lines, code_bytes))
        });
        let before = kept.clone();
        let engine = tokio::task::spawn_blocking(move || match before {
            Some(engine) => Ok(engine),
            None => Engine::new(EngineOptions {
                cache_dir: engine_cache(),
                max_runs_in_flight: 1,
                component_compiler: ComponentCompiler::this_program().ok(),
                ..EngineOptions::default()
            }),
        });
        let (package, artifact, lines, code_bytes) = joined(compiled.await)?.map_err(|error| match error {
            CompileError::Refused(found) => Stop::package(&found),
            CompileError::Unavailable(_) => Stop::local("COMPILER_UNAVAILABLE", error.to_string()),
        })?;
        let engine = joined(engine.await)?.map_err(|e| Stop::local("ENGINE_UNAVAILABLE", e.to_string()))?;
        *kept = Some(engine.clone());
        let snapshot = engine.prepare(&artifact).await.map_err(|failure| match failure.reason {
            FailureReason::Unavailable => Stop::local("COMPILER_UNAVAILABLE", failure.message),
            _ => Stop::package(&[refusal::evaluation(&package, &failure)]),
        })?;
        let version = package.manifest.version.as_ref().map_or_else(|| UNPUBLISHED.to_owned(), ToString::to_string);
        let slug = package.manifest.slug.clone();
        Ok(Trial { package, engine, snapshot: Arc::new(snapshot), slug, version, redirects, code_bytes, lines })
    }

    /// Checks a config by the package's schema and where it names secrets, and fills in its defaults. The error is every
    /// mistake.
    pub(crate) fn config(&self, config: &Object) -> Result<Object, Vec<Invalid>> {
        let filled = schema::validate(self.package.schema.as_ref(), &serde_json::Value::Object(config.clone()))?;
        match filled {
            serde_json::Value::Object(config) => {
                Grants::of(&self.package.manifest).check_secret_names(&config)?;
                Ok(config)
            }
            // A schema's top level is an object.
            _ => Err(vec![Invalid::here("expected an object")]),
        }
    }

    /// Whether the package is made for a trigger.
    pub(crate) fn check_trigger(&self, trigger: Trigger) -> Result<(), Stop> {
        let triggers = &self.package.manifest.triggers;
        if triggers.contains(&trigger) {
            return Ok(());
        }
        let made_for: Vec<&str> = triggers.iter().map(|t| t.as_str()).collect();
        let message = format!("{} is made for {}", self.slug, made_for.join(", "));
        let error = Error::field("trigger", message);
        Err(Error { reason: "TRIGGER_NOT_SUPPORTED".into(), ..error }.into())
    }

    /// What [`Trial::code_bytes`] counts.
    pub(crate) fn language(&self) -> &'static str {
        if self.package.component.is_some() { "WebAssembly" } else { "JavaScript" }
    }

    /// What the top level printed while it was evaluated.
    pub(crate) fn logs(&self) -> &[LogLine] {
        self.snapshot.logs()
    }

    /// Runs the package's own cases, as a publish does.
    pub(crate) async fn cases(&self) -> Vec<cases::CaseResult> {
        cases::run(&self.engine, &self.package, &self.snapshot).await
    }

    /// Runs it once.
    pub(crate) async fn run(&self, attempt: Attempt) -> Run {
        let Attempt { trigger, config, input: mut caller, now, reach } = attempt;
        let ports = TestPorts::of_flags(&self.package.manifest, &config, reach.secrets, reach.http).at(now);
        let emitting = Emitting::of(&self.package.manifest, &config);
        caller.drop_unusable_risk();
        let limits = self.package.manifest.limits;
        let action = ActionRef { slug: self.slug.clone(), version: self.version.clone() };
        let host = Host::test(action, config, now.unwrap_or_else(Timestamp::now), u64::from(limits.wall_ms));
        let input = host.input(trigger, caller);
        let mut slot = SlotState::new(trigger, input.state.clone(), input.context.token.as_ref());
        let (outcome, report) = match EncodedInput::new(&input) {
            Ok(input) => {
                let request = RunRequest { input, limits, now, ports: Arc::new(ports) };
                let report = self.engine.run(&self.snapshot, request).await;
                let now = now.unwrap_or_else(Timestamp::now);
                (
                    report.outcome.clone().and_then(|outcome| self.judge(outcome, &emitting, now, &mut slot)),
                    Some(report),
                )
            }
            Err(invalid) => (Err(Failure::new(FailureReason::Internal, format!("input: {invalid}"))), None),
        };
        let (outcome, failure) = match outcome {
            Ok(outcome) => (Some(outcome), None),
            Err(failure) => (None, Some(failure)),
        };
        let emits = outcome.as_ref().map(|o| o.emit.clone()).unwrap_or_default();
        let run = RunResult {
            attachment: ID.to_owned(),
            slug: self.slug.clone(),
            version: self.version.clone(),
            outcome,
            failure,
            skipped: None,
            cpu_us: report.as_ref().map_or(0, |r| r.cpu_us),
            wall_us: report.as_ref().map_or(0, |r| r.wall_us),
            memory_bytes: report.as_ref().map_or(0, |r| r.memory_bytes),
            logs: report.map(|r| self.snapshot.in_the_authors_places(r.logs)).unwrap_or_default(),
        };
        Run { run, emits: Some(emits) }
    }

    /// What the host checks of every outcome, as an executor does.
    fn judge(
        &self,
        outcome: Outcome,
        emitting: &Emitting,
        now: Timestamp,
        slot: &mut SlotState,
    ) -> Result<Outcome, Failure> {
        let anywhere: Vec<Origin>;
        let origins = match (&self.redirects.origins, &outcome.decision) {
            (Some(origins), _) => origins.as_slice(),
            (None, Decision::Redirect(redirect)) => {
                anywhere = origin_of(&redirect.url).into_iter().collect();
                anywhere.as_slice()
            }
            (None, _) => &[],
        };
        emitting.check(&outcome, now)?;
        let declared: Option<&[OutcomeKind]> = self.package.manifest.outcomes.as_deref();
        let rules = HostRules { redirect_origins: origins, http_localhost: self.redirects.http_localhost };
        slot.apply(ID, &outcome, declared, rules).map_err(Failure::invalid_outcome)?;
        Ok(outcome)
    }
}

/// The origin of a URL, where it is one that could ever be allowed.
fn origin_of(url: &str) -> Option<Origin> {
    let url = redirect::parse(url).ok()?;
    Origin::parse(&url.origin().ascii_serialization()).ok()
}

fn joined<T>(done: Result<T, tokio::task::JoinError>) -> Result<T, Stop> {
    done.map_err(|e| Stop::local("INTERNAL", format!("a part of this command failed: {e}")))
}

/// Where the compiled engine is kept between commands: where the control plane keeps it.
pub(crate) fn engine_cache() -> Option<PathBuf> {
    EngineConfig::default().cache
}
