mod emits;
mod reach;
mod standing;

use super::*;
use crate::{
    audit::spool::{Batch, Place},
    config::{AuditConfig, ExecutorConfig},
    identity::Identity,
    modules::store::Store,
    run::{breaker::REST, ledger::RunsOn},
    state::{
        plan::{Planner, VersionInfo},
        update::VersionUpsert,
    },
    testing::{Shelf, action, bundle, engine, slug},
};
use prost::Message as _;
use semver::Version;
use serde_json::{Value, json};
use sluice_model::{Attachment, Bundle, FlowRevision, Grants, OutcomeKind, Slot, Slug};
use std::collections::HashMap;
use tempfile::TempDir;
use wire::run_result::Result as How;

/// An attachment of a test's slot.
struct Piece {
    bundle: Bundle,
    attachment: Attachment,
    limits: Limits,
    outcomes: Option<Vec<OutcomeKind>>,
    schema: Option<Object>,
    grants: Grants,
    is_on_the_shelf: bool,
    is_revoked: bool,
}

/// An Action that returns this expression.
fn piece(expression: &str) -> Piece {
    code(action(expression))
}

fn code(bundle: Bundle) -> Piece {
    Piece {
        bundle,
        attachment: Attachment {
            id: String::new(),
            slug: slug("a"),
            version: Version::new(1, 0, 0),
            enabled: true,
            config: Object::new(),
            on_error: OnFailure::Block,
            on_unavailable: OnFailure::Block,
            on_counters_unavailable: sluice_model::OnCountersUnavailable::Local,
            wall_ms: None,
        },
        limits: Limits { cpu_ms: 1_000, wall_ms: 5_000 },
        outcomes: None,
        schema: None,
        grants: Grants::default(),
        is_on_the_shelf: true,
        is_revoked: false,
    }
}

impl Piece {
    fn with(mut self, change: impl FnOnce(&mut Piece)) -> Piece {
        change(&mut self);
        self
    }

    fn on_error(self, policy: OnFailure) -> Piece {
        self.with(|p| p.attachment.on_error = policy)
    }

    fn missing(self, policy: OnFailure) -> Piece {
        self.with(|p| (p.is_on_the_shelf, p.attachment.on_unavailable) = (false, policy))
    }
}

/// A runner with one flow.
struct Stage {
    runner: Runner,
    plan: Arc<Plan>,
    trigger: Trigger,
    folder: TempDir,
    runs_on: Arc<RunsOn>,
    /// What came with the plan.
    sent: ByName,
    keys: Option<Arc<KeyMaker>>,
}

/// A flow with these attachments (`att-1`, ...) in one slot.
fn stage(trigger: Trigger, pieces: Vec<Piece>) -> Stage {
    stage_with(trigger, 10_000, AuditConfig::default(), pieces)
}

fn stage_with(trigger: Trigger, budget_ms: u32, audit: AuditConfig, pieces: Vec<Piece>) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let (metrics, shelf) = (Metrics::for_tests(), Shelf::new());
    let store = Store::open(&folder.path().join("cache"), engine().identity(), 1 << 30, Arc::clone(&metrics)).unwrap();
    let modules = Modules::new(engine(), store, Arc::clone(&shelf) as _, 1 << 30, 2, Arc::clone(&metrics));
    let planner = Planner::new(modules.clone());
    let mut versions: HashMap<Slug, Arc<VersionInfo>> = HashMap::new();
    let mut attachments = Vec::new();
    for (piece, n) in pieces.into_iter().zip(1..) {
        let name = slug(&format!("action-{n}"));
        let bundle_digest = match piece.is_on_the_shelf {
            true => shelf.put(&piece.bundle),
            false => "0".repeat(64),
        };
        let version = planner.version(&VersionUpsert {
            tenant: slug("acme"),
            slug: name.clone(),
            version: Version::new(1, 0, 0),
            digest: "1".repeat(64),
            bundle_digest,
            limits: piece.limits,
            grants: piece.grants,
            outcomes: piece.outcomes,
            schema: piece.schema,
            revoked: piece.is_revoked,
            template: false,
        });
        versions.insert(name.clone(), Arc::new(version));
        attachments.push(Attachment { id: format!("att-{n}"), slug: name, ..piece.attachment });
    }
    let revision = FlowRevision {
        tenant: slug("acme"),
        flow: slug("login"),
        revision: 7,
        created_at: Timestamp::UNIX_EPOCH,
        slots: vec![Slot { trigger, budget_ms, attachments }],
    };
    let plan = planner.plan(revision, |slug, _| versions.get(slug).cloned()).unwrap();
    let identity = Identity { id: "executor-test".into(), epoch: 1 };
    let (audit, _) = Audit::open(folder.path(), &identity, &audit, Arc::clone(&metrics)).unwrap();
    let standing = Standing::of(Arc::default());
    let runner = Runner {
        engine: engine(),
        modules,
        audit: Arc::new(audit),
        metrics,
        http_localhost: false,
        standing,
        reach: Reach::new(&ExecutorConfig::default(), Arc::default()).unwrap(),
        vault: Vault::of(Arc::default()),
    };
    let runs_on = RunsOn { executor: identity.id, engine: wire::EngineIdentity::default() };
    let (plan, runs_on) = (Arc::new(plan), Arc::new(runs_on));
    Stage { runner, plan, trigger, folder, runs_on, sent: ByName::new(), keys: None }
}

impl Stage {
    fn execution(&self) -> Execution {
        Execution {
            subject: Subject {
                tenant: slug("acme"),
                flow: slug("login"),
                revision: 7,
                trigger: self.trigger,
                principal: "auth".into(),
                sign_in_id: "sign-in-1".into(),
                execution_id: "execution-1".into(),
                user_id: "u1".into(),
                risk_unusable: false,
                runs_on: Arc::clone(&self.runs_on),
            },
            origins: Arc::from([Origin::parse("https://app.example.com").unwrap()]),
            plan: Arc::clone(&self.plan),
            break_glass: false,
            secrets: Arc::new(self.sent.clone()),
            keys: self.keys.clone(),
            repeatable: false,
            trigger: self.trigger,
            deadline: None,
            include_logs: false,
        }
    }

    async fn run(&self) -> Ran {
        self.run_with(json!({ "user": { "id": "u1" } })).await
    }

    /// Has its modules made, those that can be: otherwise a run's time would go to that.
    async fn prepare(&self) {
        for module in self.plan.modules() {
            let _some_cannot_be_had = self.runner.modules.load(&slug("acme"), module).await;
        }
    }

    async fn run_with(&self, input: Value) -> Ran {
        self.prepare().await;
        self.runner.run(&self.execution(), CallerInput::from_json(input, self.trigger).unwrap()).await.unwrap()
    }

    /// What is in audit.
    fn audited(&self) -> Vec<wire::AuditRecord> {
        let Batch { records, .. } = self.runner.audit.log().read(&mut Place::at(1)).unwrap();
        records.into_iter().map(|bytes| wire::AuditRecord::decode(bytes).unwrap()).collect()
    }
}

/// Each result in a word: the outcome's kind, the failure's reason, or why it was skipped.
fn words(ran: &Ran) -> Vec<String> {
    let word = |result: &wire::RunResult| match result.result.as_ref().unwrap() {
        How::Outcome(outcome) => Outcome::try_from(outcome.clone()).unwrap().kind().to_string(),
        How::Failure(failure) => Failure::try_from(failure.clone()).unwrap().reason.to_string(),
        How::Skipped(skipped) => wire::SkipReason::try_from(*skipped).unwrap().as_str_name().to_lowercase(),
    };
    ran.results.iter().map(word).collect()
}

fn failure(ran: &Ran, index: usize) -> Failure {
    match ran.results[index].result.clone().unwrap() {
        How::Failure(failure) => failure.try_into().unwrap(),
        other => panic!("{other:?}"),
    }
}

const FOREVER: &str = "(() => { while (true) {} })()";

#[tokio::test]
async fn each_action_sees_what_the_ones_before_left_and_who_it_is() {
    let stage = stage(
        Trigger::PostLogin,
        vec![
            piece("({ kind: 'demand_mfa', factors: ['otp'], state: { seen: [input.context.action.slug] } })"),
            piece(
                "({ kind: 'continue', state: { seen: [...input.state.seen, input.context.action.slug] }, \
             annotations: { mfa: input.context.pending.mfa.factors[0], at: input.context.attachment.position, \
             id: input.context.attachment.id, from: input.state.from, request: input.request.id, \
             revision: input.context.flow.revision, mode: input.context.mode, left: input.context.deadline_ms } })",
            ),
        ],
    );
    let ran = stage.run_with(json!({ "user": { "id": "u1" }, "state": { "from": "caller" } })).await;
    assert_eq!(words(&ran), ["demand_mfa", "continue"]);
    assert_eq!(ran.answer.verdict, OutcomeKind::DemandMfa);
    assert_eq!(ran.answer.decided_by.unwrap().attachment, "att-1");
    assert_eq!(Value::Object(ran.answer.state), json!({ "from": "caller", "seen": ["action-1", "action-2"] }));
    let notes = stage.audited()[1].run.clone().unwrap().annotations.unwrap();
    let notes = Value::Object(sluice_api::convert::json::object(notes).unwrap());
    assert_eq!(
        notes,
        json!({ "mfa": "otp", "at": 2, "id": "att-2", "from": "caller", "request": "execution-1", "revision": 7,
                "mode": "live", "left": 5000 })
    );
}

#[tokio::test]
async fn a_block_ends_the_slot_and_the_rest_is_skipped() {
    let stage = stage(
        Trigger::PostLogin,
        vec![
            piece("({ kind: 'redirect', url: 'https://app.example.com/x', state: { a: 1 } })"),
            piece("({ kind: 'block', reason_code: 'not_today', user_message: 'no', retry_after_s: 5 })"),
            piece("({ kind: 'continue' })"),
            piece("({ kind: 'continue' })").with(|p| p.attachment.enabled = false),
        ],
    );
    let ran = stage.run_with(json!({ "state": { "before": true } })).await;
    assert_eq!(words(&ran), ["redirect", "block", "skip_reason_after_block", "skip_reason_after_block"]);
    let decided = ran.answer.decided_by.unwrap();
    assert_eq!((decided.attachment.as_str(), decided.reason_code.as_deref()), ("att-2", Some("not_today")));
    assert_eq!((decided.user_message.as_deref(), decided.retry_after_s), (Some("no"), Some(5)));
    assert_eq!(Value::Object(ran.answer.state), json!({ "before": true }), "as it was sent");
    assert_eq!(ran.answer.pending, sluice_model::slot::Pending::default());
}

#[tokio::test]
async fn every_run_is_audited_as_it_is_answered() {
    let stage = stage(
        Trigger::PostLogin,
        vec![
            piece("({ kind: 'continue', reason_code: 'fine' })"),
            piece("(() => { throw new Error('oops') })()").on_error(OnFailure::Continue),
            piece("({ kind: 'continue' })").with(|p| p.attachment.enabled = false),
            piece("({ kind: 'block' })"),
            piece("({ kind: 'continue' })"),
        ],
    );
    let ran = stage.run().await;
    let audited = stage.audited();
    assert_eq!(audited.len(), 5);
    for (record, result) in audited.iter().zip(&ran.results) {
        assert_eq!(record.kind, "flow.action_executed");
        assert_eq!((record.tenant.as_str(), record.flow.as_str(), record.flow_revision), ("acme", "login", 7));
        assert_eq!((record.trigger.as_str(), record.principal.as_str()), ("post-login", "auth"));
        assert_eq!((record.sign_in_id.as_str(), record.execution_id.as_str()), ("sign-in-1", "execution-1"));
        assert_eq!(
            (&record.attachment, &record.slug, &record.version),
            (&result.attachment, &result.slug, &result.version)
        );
        assert_eq!(record.user_id, "u1");
        let run = record.run.as_ref().unwrap();
        assert_eq!(
            (run.cpu_us, run.wall_us, run.executor_id.as_str()),
            (result.cpu_us, result.wall_us, "executor-test")
        );
        // What executors write is what the control plane can read.
        sluice_model::AuditRecord::try_from(record.clone()).unwrap();
    }
    assert_eq!(audited[0].reason_code, "fine");
    let thrown = audited[1].failure.as_ref().unwrap();
    assert_eq!(thrown.message, "Error: oops");
    assert_eq!((thrown.file.as_deref(), thrown.line, thrown.stack.as_deref()), (Some("src/index.js"), Some(1), None));
    assert_eq!(audited[2].skipped, wire::SkipReason::Disabled as i32);
    assert_eq!(audited[3].outcome, wire::OutcomeKind::Block as i32);
    assert_eq!(audited[4].skipped, wire::SkipReason::AfterBlock as i32);
    assert!(ran.results[0].wall_us > 0 && ran.results[0].memory_bytes > 0);
}

#[tokio::test]
async fn failures_follow_their_policy() {
    use OnFailure::{Block, Continue};
    let throws = || piece("(() => { throw new Error('no') })()");
    for (piece, reason, verdict, code) in [
        (throws().on_error(Block), "threw", OutcomeKind::Block, Some("action_failed")),
        (throws().on_error(Continue), "threw", OutcomeKind::Continue, None),
        (
            throws().on_error(Continue).with(|p| p.attachment.on_unavailable = Block),
            "threw",
            OutcomeKind::Continue,
            None,
        ),
        (piece("({})").missing(Block), "unavailable", OutcomeKind::Block, Some("action_unavailable")),
        (piece("({})").missing(Continue), "unavailable", OutcomeKind::Continue, None),
        (
            code(bundle("throw 1; export function execute() {}")),
            "unavailable",
            OutcomeKind::Block,
            Some("action_unavailable"),
        ),
        (piece("({ kind: 'maybe' })"), "invalid_outcome", OutcomeKind::Block, Some("action_failed")),
        (piece("new Promise(() => {})"), "never_settled", OutcomeKind::Block, Some("action_failed")),
        (piece(FOREVER).with(|p| p.limits.cpu_ms = 10), "cpu_limit", OutcomeKind::Block, Some("action_failed")),
        (piece(FOREVER).with(|p| p.limits.wall_ms = 10), "wall_limit", OutcomeKind::Block, Some("action_failed")),
        (
            piece("({ kind: 'redirect', url: 'https://evil.example/' })"),
            "invalid_outcome",
            OutcomeKind::Block,
            Some("action_failed"),
        ),
        (
            piece("({ kind: 'block' })").with(|p| p.outcomes = Some(vec![OutcomeKind::Continue])),
            "invalid_outcome",
            OutcomeKind::Block,
            Some("action_failed"),
        ),
    ] {
        let stage = stage(Trigger::PostLogin, vec![piece]);
        let ran = stage.run().await;
        assert_eq!(words(&ran), [reason]);
        assert_eq!(ran.answer.verdict, verdict, "{reason}");
        assert_eq!(ran.answer.decided_by.and_then(|by| by.reason_code).as_deref(), code, "{reason}");
        assert_eq!(stage.audited().len(), 1);
    }
}

#[tokio::test]
async fn at_an_asynchronous_trigger_nothing_blocks() {
    let stage = stage(
        Trigger::PostLogout,
        vec![
            piece("(() => { throw new Error('no') })()"),
            piece("({ kind: 'block' })"),
            piece("({ kind: 'continue', state: { done: true } })"),
        ],
    );
    let ran = stage.run().await;
    assert_eq!(words(&ran), ["threw", "block", "continue"]);
    assert_eq!(ran.answer.verdict, OutcomeKind::Continue);
    assert!(ran.answer.decided_by.is_none());
}

#[tokio::test]
async fn a_slot_that_is_empty_or_not_there_continues_without_a_run() {
    let stage = stage(Trigger::PostLogin, Vec::new());
    for trigger in [Trigger::PostLogin, Trigger::PreLogin] {
        let execution = Execution { trigger, ..stage.execution() };
        let input = CallerInput::from_json(json!({ "state": { "k": 1 } }), trigger).unwrap();
        let ran = stage.runner.run(&execution, input).await.unwrap();
        assert_eq!((ran.answer.verdict, ran.results.len()), (OutcomeKind::Continue, 0));
        assert_eq!(Value::Object(ran.answer.state), json!({ "k": 1 }));
    }
    assert!(stage.audited().is_empty());
}

#[tokio::test]
async fn defaults_of_the_schema_are_in_the_config() {
    let schema = json!({ "type": "object", "properties": {
        "mode": { "type": "string", "default": "strict" }, "limit": { "type": "integer", "default": 3 } } });
    let stage = stage(
        Trigger::PostLogin,
        vec![piece("({ kind: 'continue', state: { config: input.context.config } })").with(|p| {
            p.schema = schema.as_object().cloned();
            p.attachment.config = json!({ "limit": 9 }).as_object().cloned().unwrap();
        })],
    );
    assert_eq!(Value::Object(stage.run().await.answer.state), json!({ "config": { "mode": "strict", "limit": 9 } }));
}

#[tokio::test]
async fn logs_come_only_when_asked_for() {
    let stage = stage(Trigger::PostLogin, vec![piece("(console.warn('look'), { kind: 'continue' })")]);
    assert!(stage.run().await.results[0].logs.is_empty());
    let execution = Execution { include_logs: true, ..stage.execution() };
    let ran = stage.runner.run(&execution, CallerInput::default()).await.unwrap();
    assert_eq!(ran.results[0].logs.len(), 1);
    assert_eq!(ran.results[0].logs[0].text, "look");
}

#[tokio::test]
async fn the_slots_budget_ends_the_run_that_goes_on_and_those_after_it() {
    let forever = || piece(FOREVER).on_error(OnFailure::Continue);
    let stage = stage_with(Trigger::PostLogin, 60, AuditConfig::default(), vec![forever(), forever()]);
    stage.prepare().await;
    let ran = stage.run().await;
    assert_eq!(words(&ran), ["wall_limit", "wall_limit"]);
    assert!(failure(&ran, 1).message.contains("slot's budget"), "{:?}", failure(&ran, 1));
    assert_eq!(ran.results[1].cpu_us, 0);
}

#[tokio::test]
async fn the_callers_deadline_ends_the_run_in_time_to_answer() {
    let stage = stage(Trigger::PostLogin, vec![piece(FOREVER), piece("({ kind: 'continue' })")]);
    stage.prepare().await;
    let deadline = Instant::now() + Duration::from_millis(150);
    let execution = Execution { deadline: Some(deadline), ..stage.execution() };
    let ran = stage.runner.run(&execution, CallerInput::default()).await.unwrap();
    assert_eq!(words(&ran), ["wall_limit", "skip_reason_after_block"]);

    let execution = Execution { deadline: Some(Instant::now()), ..stage.execution() };
    let ran = stage.runner.run(&execution, CallerInput::default()).await.unwrap();
    assert!(failure(&ran, 0).message.contains("deadline"), "{:?}", failure(&ran, 0));
}

#[test]
fn the_smallest_limit_counts() {
    let stage = stage(
        Trigger::PostLogin,
        vec![piece("1").with(|p| (p.limits.wall_ms, p.attachment.wall_ms) = (300, Some(200)))],
    );
    let slot = stage.plan.slot(Trigger::PostLogin).unwrap();
    let (attachment, began) = (&slot.attachments[0], Instant::now());
    let ms = Duration::from_millis;
    let left = |used: u64, deadline: Option<u64>| {
        time_left(began, began + ms(used), slot, attachment, deadline.map(|d| began + ms(d)))
    };
    let wall = |wall_ms| Limits { wall_ms, ..attachment.limits };
    assert_eq!(attachment.limits.wall_ms, 200, "the attachment's, which is smaller than the version's");
    assert_eq!(left(0, None), Left::Own(wall(200)));
    assert_eq!(left(0, Some(1_000)), Left::Own(wall(200)));
    assert_eq!(left(0, Some(102)), Left::Less(wall(100)), "2 ms are kept back for the answer");
    assert_eq!(left(9_900, None), Left::Less(wall(100)));
    assert_eq!(left(9_900, Some(9_952)), Left::Less(wall(50)));
    assert_eq!(left(10_000, None), Left::NoBudget);
    assert_eq!(left(50, Some(52)), Left::NoPatience);
    assert_eq!(left(50, Some(10)), Left::NoPatience);
}

#[tokio::test]
async fn what_fails_ten_times_in_a_row_is_not_tried() {
    let stage = stage(
        Trigger::PostLogin,
        vec![piece("(() => { throw new Error('no') })()").with(|p| p.attachment.on_unavailable = OnFailure::Continue)],
    );
    for _ in 0..10 {
        assert_eq!(words(&stage.run().await), ["threw"]);
    }
    let ran = stage.run().await;
    assert_eq!(words(&ran), ["circuit_open"]);
    assert_eq!(ran.answer.decided_by.unwrap().reason_code.as_deref(), Some("action_failed"), "it follows on_error");
    assert_eq!(stage.audited().len(), 11);
    assert!(REST > Duration::ZERO);
}

#[tokio::test]
async fn what_cannot_be_had_does_not_open_the_breaker() {
    let stage = stage(Trigger::PostLogin, vec![piece("({})").missing(OnFailure::Continue)]);
    for _ in 0..12 {
        assert_eq!(words(&stage.run().await), ["unavailable"]);
    }
}

#[tokio::test]
async fn a_run_whose_caller_went_away_is_audited() {
    let stage = stage(
        Trigger::PostLogin,
        vec![piece("({ kind: 'continue' })"), piece(FOREVER), piece("({ kind: 'continue' })")],
    );
    stage.prepare().await;
    let execution = stage.execution();
    let gone =
        tokio::time::timeout(Duration::from_millis(30), stage.runner.run(&execution, CallerInput::default())).await;
    assert!(gone.is_err());
    stage.runner.audit.settled().await;
    let audited = stage.audited();
    assert_eq!(audited.len(), 2, "the third had not begun");
    assert_eq!(audited[0].outcome, wire::OutcomeKind::Continue as i32);
    let cut = audited[1].failure.as_ref().unwrap();
    assert_eq!(cut.reason, wire::FailureReason::WallLimit as i32);
    assert!(cut.message.starts_with("the caller went away after "), "{}", cut.message);
    assert!(audited[1].run.as_ref().unwrap().wall_us >= 20_000);
}

#[tokio::test]
async fn what_lost_is_in_the_record_of_the_run_that_was_merged() {
    let claim = |value: u32| {
        piece(&format!("({{ kind: 'continue', claims: [{{ token: 'id', name: 'plan', value: {value} }}] }})"))
    };
    let stage = stage(Trigger::PostLogin, vec![claim(1), claim(2)]);
    let ran = stage.run().await;
    assert_eq!(ran.answer.claims.len(), 1);
    let lost = stage.audited()[1].run.clone().unwrap().lost;
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].attachment.as_str(), lost[0].winner.as_str(), lost[0].name.as_str()),
        ("att-2", "att-1", "id/plan")
    );
}

#[tokio::test]
async fn without_room_for_audit_a_run_is_refused_or_its_gap_is_counted() {
    use crate::config::OnSpoolFailure;
    for policy in [OnSpoolFailure::Refuse, OnSpoolFailure::CountGap] {
        let audit = AuditConfig { spool_max_bytes: 1 << 10, on_spool_failure: policy, ..AuditConfig::default() };
        let stage = stage_with(Trigger::PostLogin, 10_000, audit, vec![piece("({ kind: 'continue' })")]);
        let mut written = 0;
        let refused = loop {
            let admitted = stage.runner.audit.admit(Instant::now());
            let ran = match admitted {
                Ok(()) => stage.runner.run(&stage.execution(), CallerInput::default()).await,
                Err(refused) => Err(refused),
            };
            match ran {
                Err(refused) => break Some(refused),
                Ok(_) if stage.audited().len() == written => break None,
                Ok(_) => written = stage.audited().len(),
            }
        };
        match policy {
            OnSpoolFailure::Refuse => assert_eq!(refused.unwrap().reason, "AUDIT_UNAVAILABLE"),
            OnSpoolFailure::CountGap => {
                assert!(refused.is_none());
                stage.runner.audit.tell_gaps();
                let audited = stage.audited();
                let gap = audited.last().unwrap();
                assert_eq!((gap.kind.as_str(), gap.tenant.as_str()), ("audit.gap", "acme"));
                let to = sluice_api::convert::json::value(gap.to.clone().unwrap()).unwrap();
                assert_eq!(to["missing"], json!(1));
                stage.runner.audit.tell_gaps();
                assert_eq!(stage.audited().len(), audited.len(), "a gap is told once");
            }
        }
    }
}

#[tokio::test]
async fn a_spool_that_cannot_be_written_refuses_until_it_can() {
    let stage = stage(Trigger::PostLogin, vec![piece("({ kind: 'continue' })")]);
    let spool = stage.folder.path().join("spool");
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::write(&spool, b"in the way").unwrap();
    let refused = stage.runner.run(&stage.execution(), CallerInput::default()).await.unwrap_err();
    assert_eq!(refused.reason, "AUDIT_UNAVAILABLE");
    let now = Instant::now();
    assert_eq!(stage.runner.audit.admit(now).unwrap_err().reason, "AUDIT_UNAVAILABLE", "no run that could not be kept");
    std::fs::remove_file(&spool).unwrap();
    std::fs::create_dir_all(crate::audit::spool::epoch_folder(&spool, 1)).unwrap();
    stage.runner.audit.admit(now + Duration::from_secs(2)).unwrap();
    stage.runner.audit.tell_gaps();
    assert_eq!(stage.audited()[0].kind, "audit.gap", "the run that was refused had run: it is counted");
    stage.run().await;
    assert_eq!(stage.audited().len(), 2);
}
