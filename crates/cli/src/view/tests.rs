//! The JSON forms, which scripts rely on, and the forms for people, side by side.

mod deliveries;
mod edits;

use super::{
    Entry, Page,
    action::{Action, PublishResult, Published, Version},
    audit::AuditEntry,
    case::{CaseResult, Cases},
    execution::Execution,
    executor::Executor,
    flow::{Flow, FlowEntry, Saved},
    run::Run,
    tenant::{Origin, OriginChanged, Tenant},
};
use crate::{
    screen::{Look, View},
    stop::{Refusal, Told},
};
use prost_types::Timestamp;
use serde_json::json;
use sluice_api::{
    control::v1 as control,
    convert::json::{to_struct, to_value},
    executor::v1 as executor,
    types::v1 as wire,
};
use sluice_control_plane::catalogue::cases::Spent;
use sluice_model::{Error, Failure, FailureReason, LogLevel, LogLine, Outcome, RunResult, Slug, case::differences};

/// Both forms of a view, one snapshot.
fn both(view: &impl View) -> String {
    let json = serde_json::to_string_pretty(view).unwrap();
    format!("{}\n---\n{json}", view.render(&Look::plain()))
}

/// Noon of 31 January 2026 and some seconds.
fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_769_860_800 + seconds, nanos: 0 })
}

fn page<T, W>(entries: Vec<W>, token: &str) -> Page<T>
where
    T: Entry + TryFrom<W>,
    T::Error: std::fmt::Debug,
{
    let entries = entries.into_iter().map(|e| T::try_from(e).unwrap()).collect();
    Page { entries, next_page_token: token.to_owned() }
}

fn warning() -> wire::Warning {
    wire::Warning {
        code: "on_error_continue".into(),
        message: "a check that fails lets users in".into(),
        pointer: Some("/domains".into()),
    }
}

#[test]
fn executors() {
    use sluice_api::distribution::v1 as watch;
    let plain = control::Executor {
        executor: "executor-0198-a".into(),
        epoch: 3,
        sluice_version: "0.1.0".into(),
        engine: Some(wire::EngineIdentity { engine: "a".repeat(64), base_image: "b".repeat(64) }),
        subscription: control::SubscriptionKind::All.into(),
        connected_at: at(0),
        cursor: 17,
        lag: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let name =
        |version: &str| watch::VersionName { tenant: "acme".into(), slug: "check".into(), version: version.into() };
    let behind = control::Executor {
        executor: "executor-0198-b".into(),
        subscription: control::SubscriptionKind::OnDemand.into(),
        tenants: vec!["acme".into()],
        tenant_count: 1,
        lag_commits: 2,
        lag: Some(prost_types::Duration { seconds: 12, nanos: 500_000_000 }),
        nacks: 4,
        last_nack: Some(control::LastNack {
            time: at(5),
            cursor: 19,
            cause: watch::NackCause::Unresolved.into(),
            reason: "attachment att-1 pins check@9.9.9, which was never sent".into(),
            resource: "flow revision acme/login/7".into(),
        }),
        missing_modules: vec![watch::MissingModule { version: Some(name("1.0.0")), reason: "no such bundle".into() }],
        missing_module_count: 1,
        ..plain.clone()
    };
    insta::assert_snapshot!("executor_list", both(&page::<Executor, _>(vec![plain, behind], "")));
}

#[test]
fn tenants() {
    let tenant = |name: &str| control::Tenant { tenant: name.into(), created_at: at(0), ..control::Tenant::default() };
    insta::assert_snapshot!("tenant_created", both(&Tenant::try_from(tenant("acme")).unwrap()));
    insta::assert_snapshot!("tenant_list", both(&page::<Tenant, _>(vec![tenant("acme"), tenant("zoo")], "next")));
    insta::assert_snapshot!("tenant_list_empty", both(&page::<Tenant, control::Tenant>(Vec::new(), "")));
    let origins = vec![Origin { origin: "https://app.example.com".into() }];
    insta::assert_snapshot!("origins", both(&Page { entries: origins, next_page_token: String::new() }));
    let changed = OriginChanged { tenant: "acme".into(), origin: "https://app.example.com".into(), allowed: true };
    insta::assert_snapshot!("origin_added", both(&changed));
}

fn version(number: &str) -> wire::Version {
    wire::Version {
        tenant: "acme".into(),
        slug: "domain-check".into(),
        version: number.into(),
        name: "Domain check".into(),
        triggers: vec!["post-login".into(), "pre-user-registration".into()],
        outcomes: vec![wire::OutcomeKind::Continue.into(), wire::OutcomeKind::Block.into()],
        digest: "0123456789abcdef".repeat(4),
        bundle_digest: "fedcba9876543210".repeat(4),
        limits: Some(wire::VersionLimits { cpu_ms: 50, wall_ms: 500 }),
        published_on: Some(wire::EngineIdentity::default()),
        published_at: at(60),
        published_by: "platform-operator".into(),
        ..wire::Version::default()
    }
}

#[test]
fn secrets() {
    use super::secret::{Removed, Secret, Set};
    let secret = |name: &str, used_by: &[&str]| control::Secret {
        name: name.into(),
        version: 2,
        created_at: at(0),
        updated_at: at(60),
        updated_by: "platform-operator".into(),
        etag: "s1".into(),
        used_by: used_by.iter().map(ToString::to_string).collect(),
    };
    let listed = page::<Secret, _>(vec![secret("API_KEY", &["login", "sign-up"]), secret("HOOK", &[])], "");
    insta::assert_snapshot!("secret_list", both(&listed));
    let rollout = Some(wire::Rollout { have: 2, waiting: 0 });
    let set = control::SetSecretResponse { secret: Some(secret("API_KEY", &[])), rollout };
    insta::assert_snapshot!("secret_set", both(&Set::new(set, true).unwrap()));
    let warnings = vec![wire::Warning { code: "secret_in_use".into(), pointer: None, ..warning() }];
    let removed = control::RemoveSecretResponse { name: "API_KEY".into(), version: 2, warnings, rollout };
    insta::assert_snapshot!("secret_removed", both(&Removed::new(removed, true)));
}

#[test]
fn publishing() {
    let answer = |created| control::PublishVersionResponse {
        version: Some(version("1.2.0")),
        created,
        warnings: vec![warning()],
    };
    let one = Published { results: vec![PublishResult::new("acme".into(), answer(true))] };
    insta::assert_snapshot!("published", both(&one));
    let refusal = Error::not_found("TENANT_NOT_FOUND", "tenant zoo does not exist");
    let two = Published {
        results: vec![
            PublishResult::new("acme".into(), answer(false)),
            PublishResult::refused("zoo".into(), Some("domain-check".into()), &refusal),
        ],
    };
    insta::assert_snapshot!("published_to_two", both(&two));
    let told = Published { results: vec![PublishResult::refused("zoo".into(), None, &refusal)] };
    assert_eq!(told.render(&Look::plain()), "", "a single refusal is told on standard error");
}

#[test]
fn catalogue() {
    let action = control::Action {
        slug: "domain-check".into(),
        name: "Domain check".into(),
        kind: wire::ActionKind::Custom.into(),
        triggers: vec!["post-login".into(), "pre-user-registration".into()],
        attached: 2,
        newest: "1.2.0".into(),
        etag: "a1".into(),
    };
    insta::assert_snapshot!("action_list", both(&page::<Action, _>(vec![action], "")));
    insta::assert_snapshot!("action_versions", both(&page::<Version, _>(vec![version("1.2.0"), version("1.0.0")], "")));
}

fn saved(have: u32, waiting: u32) -> Saved {
    let saved = control::SavedFlow {
        flow: "login".into(),
        revision: 3,
        etag: "e3".into(),
        attachment: "att-1".into(),
        warnings: vec![warning()],
        generated_secrets: Vec::new(),
        rollout: Some(wire::Rollout { have, waiting }),
    };
    Saved { done: "domain-check@1.2.0 attached to login at post-login".into(), waited: waiting > 0, ..saved.into() }
}

#[test]
fn saves_of_flows() {
    insta::assert_snapshot!("saved", both(&saved(3, 0)));
    insta::assert_snapshot!("saved_waiting", saved(2, 1).render(&Look::plain()));
    insta::assert_snapshot!("saved_without_executors", saved(0, 0).render(&Look::plain()));
    let created =
        Saved::from(control::SavedFlow { flow: "login".into(), revision: 1, ..control::SavedFlow::default() });
    assert_eq!(serde_json::to_value(created).unwrap()["attachment"], json!(null));
}

#[test]
fn flows() {
    let attachment = |position, enabled| wire::Attachment {
        attachment: format!("att-{position}"),
        slug: "domain-check".into(),
        version: "1.2.0".into(),
        position,
        enabled,
        config: Some(to_struct(json!({ "domains": ["example.com"] }).as_object().unwrap().clone())),
        on_error: wire::OnFailure::Block.into(),
        on_unavailable: wire::OnFailure::Continue.into(),
        on_counters_unavailable: match position {
            1 => wire::OnCountersUnavailable::Local.into(),
            _ => wire::OnCountersUnavailable::Fail.into(),
        },
        wall_ms: enabled.then_some(300),
    };
    let slots = vec![wire::Slot {
        trigger: "post-login".into(),
        budget_ms: 2000,
        attachments: vec![attachment(1, true), attachment(2, false)],
    }];
    let flow = wire::Flow {
        tenant: "acme".into(),
        flow: "login".into(),
        revision: 3,
        etag: "e3".into(),
        slots,
        created_at: at(90),
    };
    let of_slot = wire::Warning {
        code: "wall_budget_exceeded".into(),
        message: "the Actions of post-login may take 2300 ms together, and the slot has 2000 ms".into(),
        pointer: None,
    };
    let worst_cases = vec![control::SlotWorstCase { trigger: "post-login".into(), worst_case_ms: 300 }];
    let shown = control::GetFlowResponse { flow: Some(flow.clone()), warnings: vec![warning(), of_slot], worst_cases };
    insta::assert_snapshot!("flow_show", both(&Flow::try_from(shown).unwrap()));
    let empty = control::GetFlowResponse { flow: Some(wire::Flow { slots: Vec::new(), ..flow }), ..Default::default() };
    insta::assert_snapshot!("flow_show_empty", both(&Flow::try_from(empty).unwrap()));
    let summary = control::FlowSummary {
        flow: "login".into(),
        revision: 3,
        etag: "e3".into(),
        triggers: vec!["post-login".into()],
        attachments: 2,
        updated_at: at(90),
    };
    insta::assert_snapshot!("flow_list", both(&page::<FlowEntry, _>(vec![summary], "")));
}

fn run(outcome: Result<serde_json::Value, Failure>) -> RunResult {
    let (outcome, failure) = match outcome {
        Ok(value) => (Some(Outcome::from_json(value).unwrap()), None),
        Err(failure) => (None, Some(failure)),
    };
    RunResult {
        attachment: "att-1".into(),
        slug: Slug::parse("domain-check").unwrap(),
        version: "1.2.0".into(),
        outcome,
        failure,
        skipped: None,
        cpu_us: 61,
        wall_us: 1_240,
        memory_bytes: 1_310_720,
        logs: vec![LogLine { level: LogLevel::Warn, text: "example.com is new".into() }],
    }
}

fn threw() -> Failure {
    Failure {
        file: Some("src/index.ts".into()),
        line: Some(3),
        column: Some(9),
        stack: Some((1..=10).map(|n| format!("at f{n} (src/index.ts:{n}:1)\n")).collect()),
        ..Failure::new(FailureReason::Threw, "TypeError: not a function")
    }
}

#[test]
fn runs() {
    let block = json!({ "kind": "block", "reason_code": "email_domain_not_allowed", "user_message": "Sorry." });
    insta::assert_snapshot!("run_outcome", both(&Run { run: run(Ok(block)), emits: Some(Vec::new()) }));
    insta::assert_snapshot!("run_failure", both(&Run { run: run(Err(threw())), emits: Some(Vec::new()) }));
}

#[test]
fn executions() {
    let skipped = RunResult {
        outcome: None,
        skipped: Some(sluice_model::Skipped::AfterBlock),
        cpu_us: 0,
        wall_us: 0,
        memory_bytes: 0,
        logs: Vec::new(),
        ..run(Ok(json!({ "kind": "continue" })))
    };
    let blocked = executor::ExecuteResponse {
        verdict: wire::OutcomeKind::Block.into(),
        decided_by: Some(executor::DecidedBy {
            attachment: "att-1".into(),
            reason_code: Some("email_domain_not_allowed".into()),
            error: Some(wire::BlockError::AccessDenied.into()),
            user_message: Some("Sorry.".into()),
            retry_after_s: Some(30),
        }),
        flow_revision: 3,
        execution_id: "e1".into(),
        results: vec![
            run(Err(threw())).into(),
            run(Ok(json!({ "kind": "block", "reason_code": "email_domain_not_allowed" }))).into(),
            skipped.into(),
        ],
        ..executor::ExecuteResponse::default()
    };
    insta::assert_snapshot!("execute_block", both(&Execution::try_from(blocked).unwrap()));
    let mfa = executor::ExecuteResponse {
        verdict: wire::OutcomeKind::DemandMfa.into(),
        decided_by: Some(executor::DecidedBy { attachment: "att-1".into(), ..executor::DecidedBy::default() }),
        claims: vec![wire::MergedClaim {
            token: wire::ClaimToken::Access.into(),
            name: "plan".into(),
            value: Some(to_value(json!("pro"))),
            attachment: "att-1".into(),
        }],
        state: Some(to_struct(json!({ "seen": 1 }).as_object().unwrap().clone())),
        pending: Some(wire::Pending {
            mfa: Some(wire::PendingMfa {
                factors: vec![wire::Factor::Webauthn.into()],
                max_age_s: 300,
                allow_remember: true,
                on_unenrolled: wire::OnUnenrolled::Block.into(),
                on_non_interactive: wire::OnNonInteractive::Continue.into(),
            }),
            redirect: Some(wire::PendingRedirect {
                url: "https://app.example.com/welcome".into(),
                mode: wire::RedirectMode::Landing.into(),
                query: [("lang".to_owned(), "de".to_owned())].into(),
                attachment: "att-1".into(),
            }),
        }),
        flow_revision: 3,
        execution_id: "e2".into(),
        results: vec![run(Ok(json!({ "kind": "demand_mfa", "factors": ["webauthn"] }))).into()],
    };
    insta::assert_snapshot!("execute_mfa", both(&Execution::try_from(mfa).unwrap()));
}

#[test]
fn an_answer_from_the_future_is_told_as_such() {
    let answer = executor::ExecuteResponse { verdict: 99, ..executor::ExecuteResponse::default() };
    let error = Execution::try_from(answer).unwrap_err().error.unwrap();
    assert_eq!(error.reason, "UNREADABLE_ANSWER");
    assert!(error.message.contains("verdict"), "{}", error.message);
}

#[test]
fn cases() {
    let block = json!({ "outcome": { "kind": "block" } });
    let case = |name: &str, got: serde_json::Value| CaseResult {
        file: "tests/outsiders.json".into(),
        spent: Spent { cpu_us: 240, wall_us: 310, memory_bytes: 131_072 },
        logs: vec![LogLine { level: LogLevel::Warn, text: "no address".into() }],
        name: name.into(),
        passed: got == block,
        differences: differences(&block, &got),
        expected: block.clone(),
        step: (got != block).then_some(2),
        got,
        refused: None,
    };
    let other = json!({ "outcome": { "kind": "continue" } });
    let failure = json!({ "failure": Failure { stack: None, ..threw() } });
    let cases = |all| Cases {
        cases: all,
        took_us: 3_400,
        code_bytes: 2_100,
        language: "JavaScript",
        logs: vec![],
        coverage: None,
        slug: "domain-check".into(),
    };
    let three = vec![case("outsiders are blocked", block.clone()), case("guests too", other), case("nobody", failure)];
    insta::assert_snapshot!("cases", both(&cases(three)));
    let passed = vec![case("a", block.clone()), case("b", block.clone())];
    insta::assert_snapshot!("cases_passed", cases(passed).render(&Look::plain()));
    insta::assert_snapshot!("cases_none", both(&cases(Vec::new())));
}

#[test]
fn audit_entries() {
    let executed = wire::AuditRecord {
        cursor: "c3".into(),
        time: at(120),
        kind: "flow.action_executed".into(),
        tenant: "acme".into(),
        principal: "platform-operator".into(),
        flow: "login".into(),
        flow_revision: 3,
        trigger: "post-login".into(),
        attachment: "att-1".into(),
        slug: "domain-check".into(),
        version: "1.2.0".into(),
        sign_in_id: "s1".into(),
        execution_id: "e1".into(),
        user_id: "u1".into(),
        outcome: wire::OutcomeKind::Block.into(),
        reason_code: "email_domain_not_allowed".into(),
        run: Some(wire::AuditRun { executor_id: "x1".into(), cpu_us: 61, wall_us: 62, ..wire::AuditRun::default() }),
        ..wire::AuditRecord::default()
    };
    let failed = wire::AuditRecord {
        outcome: 0,
        reason_code: String::new(),
        failure: Some(wire::Failure { stack: None, ..threw().into() }),
        ..executed.clone()
    };
    let pinned = wire::AuditRecord {
        cursor: "c2".into(),
        time: at(100),
        kind: "flow.action_updated".into(),
        tenant: "acme".into(),
        principal: "platform-operator".into(),
        flow: "login".into(),
        flow_revision: 3,
        slug: "domain-check".into(),
        version: "1.2.0".into(),
        from: Some(to_value(json!({ "version": "1.0.0", "enabled": true }))),
        to: Some(to_value(json!({ "version": "1.2.0", "enabled": true }))),
        ..wire::AuditRecord::default()
    };
    let unknown = wire::AuditRecord {
        cursor: "c1".into(),
        time: at(0),
        kind: "something.new".into(),
        tenant: "acme".into(),
        ..wire::AuditRecord::default()
    };
    let entries = vec![failed, executed, pinned, unknown];
    insta::assert_snapshot!("audit_list", both(&page::<AuditEntry, _>(entries, "c1")));
}

#[test]
fn refusals() {
    let error = Error::field("input/user/id", "is required where there is a user").with_field("tenant", "is required");
    insta::assert_snapshot!(
        "refusal",
        format!("{}\n---\n{}", Told(&error), serde_json::to_string_pretty(&Refusal::from(&error)).unwrap())
    );
    let found = sluice_model::Diagnostic::error("syntax", "src/index.ts", "unexpected token").at("let x = ;\n", 8..9);
    let stop = crate::stop::Stop::package(&[found]);
    insta::assert_snapshot!("refused_package", Told(&stop.error.unwrap()).to_string());
}

#[test]
fn colours_are_only_for_those_who_see_them() {
    let look = Look { colour: true, hints: true, ..Look::plain() };
    let text = saved(3, 0).render(&look);
    assert!(text.contains("\x1b[32m"), "{text:?}");
    assert!(!saved(3, 0).render(&Look::plain()).contains('\x1b'));
    let table = page::<Tenant, _>(
        vec![control::Tenant { tenant: "acme".into(), created_at: at(0), ..control::Tenant::default() }],
        "",
    );
    assert!(table.render(&look).contains('\x1b'));
    assert!(!table.render(&Look::plain()).contains('\x1b'));
}

#[test]
fn what_an_action_says_has_no_colours_of_its_own() {
    let logs = [LogLine { level: LogLevel::Info, text: "a\x1b[8mb".into() }];
    let failure = Failure { message: "no\x1b[31mway".into(), stack: Some("at \x1b[0mx".into()), ..threw() };
    let look = Look::plain();
    let text = [super::run::printed(&logs, &look), super::run::failed(&failure, &look)].concat();
    assert!(!text.contains('\x1b') && text.contains("a\\x1b[8mb") && text.contains("no\\x1b[31mway"), "{text}");
    let mut table = super::Table::new(&[]);
    table.row([super::Cell::new("claim\x1b[8m")]);
    assert!(!table.render(&look).contains('\x1b'));
}

#[test]
fn sizes_and_times_are_for_people() {
    assert_eq!(
        [0, 999, 1_000, 61_540, 2_340_000].map(super::duration),
        ["0 µs", "999 µs", "1.0 ms", "61.5 ms", "2.34 s"]
    );
    assert_eq!([0, 1_023, 20_480, 1_310_720].map(super::size), ["0 B", "1023 B", "20 KiB", "1.2 MiB"]);
}
