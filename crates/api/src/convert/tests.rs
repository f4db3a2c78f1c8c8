#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;
use crate::{control::v1 as control, distribution::v1 as distribution, executor::v1 as executor, types::v1 as wire};
use prost::Message;
use serde_json::json;
use sluice_model::{
    Attachment, AuditKind, AuditRecord, Emitted, Failure, FailureReason, FlowRevision, Grants, Invalid, Limits,
    LogLevel, LogLine, OnFailure, Outcome, OutcomeKind, RunResult, Skipped, Slot, Slug, Trigger,
    audit::{AuditFailure, AuditRun},
    claim::ClaimToken,
    delivery::{Address, EmittedTarget},
    http::{HttpAttempt, HttpFailure},
    manifest::Capability,
    outcome::{BlockError, EmitFormat, Factor, OnNonInteractive, OnUnenrolled, RedirectMode},
    slot::{DecidedBy, Lost, LostKind, MergedClaim, Pending, PendingMfa, PendingRedirect, SlotAnswer},
    version::{ActionKind, ActionVersion, Bump},
};
use std::time::Duration;

/// Encodes and decodes, as the wire does.
fn sent<M: Message + Default + PartialEq + std::fmt::Debug>(message: M) -> M {
    M::decode(&*message.encode_to_vec()).unwrap()
}

fn object(value: serde_json::Value) -> sluice_model::Object {
    value.as_object().unwrap().clone()
}

fn name(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn failure() -> Failure {
    Failure {
        reason: FailureReason::Threw,
        message: "TypeError: x\nis not a function".to_owned(),
        pointer: Some(String::new()),
        file: Some("src/index.ts".to_owned()),
        line: Some(3),
        column: Some(14),
        stack: Some("at execute (src/index.ts:3:14)".to_owned()),
    }
}

fn result() -> RunResult {
    RunResult {
        attachment: "att1".to_owned(),
        slug: name("domain-check"),
        version: "1.2.0".to_owned(),
        outcome: None,
        failure: None,
        skipped: None,
        cpu_us: 61,
        wall_us: 70,
        memory_bytes: 64 << 20,
        logs: vec![LogLine { level: LogLevel::Warn, text: "hm".to_owned() }],
    }
}

fn flow() -> FlowRevision {
    let attachment = |id: &str, wall_ms| Attachment {
        id: id.to_owned(),
        slug: name("domain-check"),
        version: semver::Version::parse("1.2.0-beta.1").unwrap(),
        enabled: true,
        config: object(json!({ "domains": ["example.com"], "n": 3 })),
        on_error: OnFailure::Block,
        on_unavailable: OnFailure::Continue,
        on_counters_unavailable: sluice_model::OnCountersUnavailable::Fail,
        wall_ms,
    };
    FlowRevision {
        tenant: name("acme"),
        flow: name("main"),
        revision: 7,
        created_at: "2026-01-31T12:00:00.5Z".parse().unwrap(),
        slots: vec![
            Slot { trigger: Trigger::PreLogin, budget_ms: 2_000, attachments: Vec::new() },
            Slot {
                trigger: Trigger::PostLogin,
                budget_ms: 10_000,
                attachments: vec![attachment("att1", None), attachment("att2", Some(100))],
            },
        ],
    }
}

fn version() -> ActionVersion {
    ActionVersion {
        tenant: name("acme"),
        slug: name("domain-check"),
        version: semver::Version::new(1, 2, 0),
        kind: ActionKind::Template,
        name: "Domain check".to_owned(),
        description: String::new(),
        triggers: vec![Trigger::PostLogin, Trigger::PreUserRegistration],
        outcomes: Some(vec![OutcomeKind::Continue, OutcomeKind::Block]),
        limits: Limits { cpu_ms: 50, wall_ms: 500 },
        grants: Grants {
            hosts: vec!["api.example.com".to_owned()],
            hosts_from_config: vec!["/url".to_owned()],
            secrets: vec!["API_KEY".to_owned()],
            secrets_from_config: vec!["/url_ref".to_owned()],
            capabilities: vec![Capability::Counters, Capability::Kv],
        },
        schema: Some(object(json!({ "type": "object", "properties": { "n": { "maximum": 100 } } }))),
        content_digest: "a".repeat(64),
        bundle_digest: "b".repeat(64),
        engine: format!("{}/{}", "c".repeat(64), "d".repeat(64)),
        published_at: "2026-01-31T12:00:00Z".parse().unwrap(),
        published_by: "operator".to_owned(),
        deprecated: true,
        yanked: true,
        revoked: true,
    }
}

fn emitted() -> Emitted {
    let target = EmittedTarget {
        id: "msg_a".to_owned(),
        address: Address::Url("https://hooks.example/x".parse().unwrap()),
        format: EmitFormat::Standard,
        signing_secret: Some("SIGNING".to_owned()),
        headers: [("x-a".to_owned(), "1".to_owned())].into(),
        timeout_ms: 15_000,
        max_attempts: 8,
        max_per_minute: None,
        digest: false,
    };
    let address = |own_host| Address::UrlSecret { name: "HOOK".to_owned(), own_host };
    Emitted {
        kind: "sluice.post-login".to_owned(),
        body: json!({ "text": "x" }).to_string(),
        hosts: vec!["*.hooks.example".to_owned()],
        to: vec![
            EmittedTarget { address: address(true), format: EmitFormat::Slack, signing_secret: None, ..target.clone() },
            EmittedTarget { address: address(false), max_per_minute: Some(7), digest: true, ..target.clone() },
            target,
        ],
    }
}

fn audit() -> AuditRecord {
    AuditRecord {
        flow: Some(name("main")),
        flow_revision: Some(7),
        trigger: Some(Trigger::PostLogin),
        attachment: Some("att1".to_owned()),
        slug: Some(name("domain-check")),
        version: Some(semver::Version::new(1, 2, 0)),
        sign_in_id: Some("s1".to_owned()),
        execution_id: Some("e1".to_owned()),
        user_id: Some("u1".to_owned()),
        outcome: Some(OutcomeKind::Block),
        failure: Some(AuditFailure {
            reason: FailureReason::InvalidOutcome,
            message: "x".to_owned(),
            pointer: Some("/claims/0".to_owned()),
            file: None,
            line: None,
            column: None,
        }),
        reason_code: Some("email_domain_not_allowed".to_owned()),
        skipped: Some(Skipped::AfterBlock),
        from: Some(serde_json::Value::Null),
        to: Some(json!({ "version": "1.2.0", "position": 1 })),
        run: Some(AuditRun {
            executor: "x1".to_owned(),
            engine: "c/d".to_owned(),
            cpu_us: 61,
            wall_us: 70,
            lost: vec![Lost {
                kind: LostKind::Claim,
                name: "id/plan".to_owned(),
                attachment: "att1".to_owned(),
                winner: String::new(),
            }],
            annotations: object(json!({ "a": 1, "b": true })),
            risk_unusable: true,
            fetches: vec![
                HttpAttempt { host: "a.example".to_owned(), status: Some(204), failure: None, duration_us: 1_500 },
                HttpAttempt { host: String::new(), status: None, failure: Some(HttpFailure::TimedOut), duration_us: 9 },
            ],
            counters_fallback: true,
            deliveries: vec!["msg_a".to_owned(), "msg_b".to_owned()],
        }),
        emits: vec![emitted()],
        ..AuditRecord::new("2026-01-31T12:00:00Z".parse().unwrap(), AuditKind::ActionExecuted, name("acme"), "engine")
    }
}

#[test]
fn run_results_come_back_as_they_went() {
    let outcome = Outcome::from_json(json!({ "kind": "block", "reason_code": "x" })).unwrap();
    for run in [
        RunResult { outcome: Some(outcome), ..result() },
        RunResult { failure: Some(failure()), ..result() },
        RunResult { failure: Some(Failure::new(FailureReason::Internal, "")), ..result() },
        RunResult { skipped: Some(Skipped::AfterBlock), logs: Vec::new(), ..result() },
    ] {
        assert_eq!(RunResult::try_from(sent(wire::RunResult::from(run.clone()))).unwrap(), run);
    }
}

#[test]
fn a_run_without_a_result_is_refused() {
    let error = RunResult::try_from(wire::RunResult::from(result())).unwrap_err();
    assert_eq!((error.field.as_str(), error.message.as_str()), ("result", "is required"));
}

#[test]
fn slot_answers_come_back_as_they_went() {
    let full = SlotAnswer {
        verdict: OutcomeKind::DemandMfa,
        decided_by: Some(DecidedBy {
            attachment: "att1".to_owned(),
            reason_code: Some("mfa_by_risk".to_owned()),
            error: Some(BlockError::RiskDenied),
            user_message: Some(String::new()),
            retry_after_s: Some(0),
        }),
        claims: vec![MergedClaim {
            token: ClaimToken::Access,
            name: "plan".to_owned(),
            value: serde_json::Value::Null,
            attachment: "att1".to_owned(),
        }],
        state: object(json!({ "step": 2 })),
        pending: Pending {
            mfa: Some(PendingMfa {
                factors: vec![Factor::Webauthn],
                max_age_s: 86_400,
                allow_remember: true,
                on_unenrolled: OnUnenrolled::Enroll,
                on_non_interactive: OnNonInteractive::Continue,
            }),
            redirect: Some(PendingRedirect {
                url: "https://app.example.com".to_owned(),
                mode: RedirectMode::Resumable,
                query: [("a".to_owned(), String::new())].into(),
                attachment: "att2".to_owned(),
            }),
        },
    };
    let bare = SlotAnswer {
        verdict: OutcomeKind::Continue,
        decided_by: None,
        claims: Vec::new(),
        state: sluice_model::Object::new(),
        pending: Pending::default(),
    };
    for answer in [full, bare] {
        assert_eq!(SlotAnswer::try_from(sent(executor::ExecuteResponse::from(answer.clone()))).unwrap(), answer);
    }
}

#[test]
fn flow_revisions_come_back_as_they_went() {
    let message = sent(wire::Flow::from(flow()));
    let positions: Vec<u32> = message.slots[1].attachments.iter().map(|a| a.position).collect();
    assert_eq!(positions, [1, 2]);
    assert_eq!(FlowRevision::try_from(message).unwrap(), flow());
}

#[test]
fn a_broken_flow_revision_is_refused_by_its_field() {
    type Break = fn(&mut wire::Flow);
    let cases: [(Break, &str, &str); 9] = [
        (|f| f.revision = 0, "revision", "count from 1"),
        (|f| f.tenant = "Acme".to_owned(), "tenant", "not a slug"),
        (|f| f.created_at = None, "created_at", "is required"),
        (|f| f.slots[0].trigger = "pre-lunch".to_owned(), "slots[0].trigger", "pre-login"),
        (|f| f.slots[1].attachments[1].position = 1, "slots[1].attachments[1].position", "place 2"),
        (|f| f.slots[1].attachments[0].version = "^1".to_owned(), "slots[1].attachments[0].version", "not a version"),
        (|f| f.slots[1].attachments[0].attachment.clear(), "slots[1].attachments[0].attachment", "is required"),
        (|f| f.slots[1].attachments[0].on_error = 0, "slots[1].attachments[0].on_error", "block, continue"),
        (|f| f.slots[1].attachments[0].on_unavailable = 9, "slots[1].attachments[0].on_unavailable", "9 is not known"),
    ];
    for (spoil, field, message) in cases {
        let mut flow = wire::Flow::from(flow());
        spoil(&mut flow);
        let error = FlowRevision::try_from(flow).unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn versions_come_back_as_they_went() {
    let bare = ActionVersion {
        outcomes: None,
        schema: None,
        engine: "unknown".to_owned(),
        grants: Grants::default(),
        ..version()
    };
    for version in [version(), bare] {
        assert_eq!(ActionVersion::try_from(sent(wire::Version::from(version.clone()))).unwrap(), version);
    }
    let empty_schema = ActionVersion { schema: Some(sluice_model::Object::new()), ..version() };
    let read = ActionVersion::try_from(sent(wire::Version::from(empty_schema.clone()))).unwrap();
    assert_eq!(read, empty_schema, "a schema that takes anything is not the absence of one");
    let state = distribution::VersionState::from(&version());
    assert_eq!(Limits::try_from(state.limits.unwrap()).unwrap(), version().limits);
    assert_eq!(OutcomeKind::from_list(&state.outcomes).unwrap(), version().outcomes.unwrap());
    assert_eq!(grants(state.grants).unwrap(), version().grants);
}

#[test]
fn what_a_version_reaches_is_bounded() {
    let wrong = |grants: wire::VersionGrants| Grants::try_from(grants).unwrap_err().to_string();
    let many = wire::VersionGrants { hosts: vec!["a.example".to_owned(); 51], ..Default::default() };
    assert_eq!(wrong(many), "hosts: has 51 entries; it takes at most 50");
    let odd = wire::VersionGrants { secrets: vec!["A".to_owned(), "sk live".to_owned()], ..Default::default() };
    assert_eq!(wrong(odd), "secrets[1]: is not the name of a secret");
    let unknown = wire::VersionGrants { capabilities: vec![9], ..Default::default() };
    assert!(wrong(unknown).starts_with("capabilities[0]: 9 is not known here"));
}

#[test]
fn limits_beyond_the_ceiling_are_refused() {
    let error = Limits::try_from(wire::VersionLimits { cpu_ms: 1_001, wall_ms: 500 }).unwrap_err();
    assert_eq!(error.to_string(), "cpu_ms: is 1001; it takes 1 to 1000");
    let error = Limits::try_from(wire::VersionLimits { cpu_ms: 1, wall_ms: 0 }).unwrap_err();
    assert_eq!(error.field, "wall_ms");
}

#[test]
fn what_a_publish_asks_for_comes_back_as_it_went() {
    for bump in [Bump::Patch, Bump::Minor, Bump::Major, Bump::Exact(semver::Version::new(1, 0, 1))] {
        let next = control::publish_header::Next::from(bump.clone());
        assert_eq!(next_version(Some(next)).unwrap(), Some(bump));
    }
    assert_eq!(next_version(None).unwrap(), None);
    assert_eq!(next_version(Some(control::publish_header::Next::Bump(0))).unwrap(), None);
    let wrong = |next| next_version(Some(next)).unwrap_err().field;
    assert_eq!(wrong(control::publish_header::Next::Bump(7)), "bump");
    assert_eq!(wrong(control::publish_header::Next::Version("1.0".to_owned())), "version");
}

#[test]
fn audit_records_come_back_as_they_went() {
    let bare =
        AuditRecord::new("1969-12-31T23:59:59.5Z".parse().unwrap(), AuditKind::TenantCreated, name("acme"), "operator");
    for record in [audit(), bare] {
        assert_eq!(AuditRecord::try_from(sent(wire::AuditRecord::from(record.clone()))).unwrap(), record);
    }
}

#[test]
fn a_kind_of_audit_from_the_future_is_refused_by_name() {
    let record = wire::AuditRecord { kind: "flow.reticulated".to_owned(), ..audit().into() };
    assert_eq!(AuditRecord::try_from(record).unwrap_err().field, "kind");
}

#[test]
fn times_keep_their_nanoseconds_before_the_epoch_too() {
    for text in
        ["1969-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z", "9999-12-30T21:59:59Z", "1970-01-01T00:00:00Z"]
    {
        let time: jiff::Timestamp = text.parse().unwrap();
        let message = to_timestamp(time);
        assert!((0..1_000_000_000).contains(&message.nanos), "{text}: {message:?}");
        assert_eq!(timestamp(message).unwrap(), time, "{text}");
    }
    for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0), (i64::MIN, 0), (-62_135_596_801, 0)] {
        assert!(timestamp(prost_types::Timestamp { seconds, nanos }).is_err(), "{seconds} {nanos}");
    }
}

#[test]
fn durations_have_a_greatest_value() {
    let max = Duration::from_secs(10);
    assert_eq!(duration(None, max).unwrap(), Duration::ZERO);
    assert_eq!(duration(Some(to_duration(max)), max).unwrap(), max);
    for (seconds, nanos) in [(10, 1), (-1, 0), (0, -1), (0, i32::MAX), (i64::MAX, 0)] {
        let error = duration(Some(prost_types::Duration { seconds, nanos }), max).unwrap_err();
        assert!(error.message.contains("expected 0 to 10s"), "{error}");
    }
}

#[test]
fn a_pointer_of_the_model_becomes_a_path_of_the_wire() {
    for (pointer, path) in [
        ("", "input"),
        ("/user/id", "input.user.id"),
        ("/user/emails/0/address", "input.user.emails[0].address"),
        ("/state/a~1b~0c", "input.state[\"a/b~c\"]"),
        ("/state/", "input.state[\"\"]"),
    ] {
        let result: Result<(), _> = Err(Invalid::at(pointer, "is wrong"));
        assert_eq!(result.ctx("input").unwrap_err().field, path);
    }
}

#[test]
fn empty_names_are_told_as_missing() {
    for error in [slug("").unwrap_err(), trigger("").unwrap_err(), exact_version("").unwrap_err()] {
        assert!(error.message.starts_with("is required"), "{error}");
    }
    assert!(trigger("").unwrap_err().message.contains("post-login"));
    assert!(exact_version("1.0.0+b").unwrap_err().message.contains("build metadata"));
}
