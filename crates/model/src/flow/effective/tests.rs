//! Each warning: what has it, and what looks like it and does not.
#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;
use crate::{Grants, Limits, version::ActionKind};
use semver::Version;
use serde_json::json;

macro_rules! released {
    ($($slug:literal),*) => { &[$(($slug, include_str!(concat!("../../../../templates/released/", $slug, "/1.0.0/schema.json")))),*] };
}

/// The schemas of the templates, as they were released.
const SCHEMAS: &[(&str, &str)] = released!(
    "domain-allowlist",
    "domain-blocklist",
    "block-by-risk-score",
    "demand-mfa-by-risk-score",
    "rate-limit-by-user",
    "redirect-by-group"
);

/// A version with a template's schema where it is one.
fn version(slug: &str, outcomes: Option<Vec<OutcomeKind>>, wall_ms: u32) -> ActionVersion {
    let schema = SCHEMAS.iter().find(|(template, _)| *template == slug);
    let schema = schema.map(|(_, text)| serde_json::from_str(text).unwrap());
    ActionVersion {
        tenant: Slug::parse("acme").unwrap(),
        slug: Slug::parse(slug).unwrap(),
        version: Version::new(1, 0, 0),
        kind: ActionKind::Template,
        name: slug.to_owned(),
        description: String::new(),
        triggers: Vec::new(),
        outcomes,
        limits: Limits { wall_ms, ..Limits::default() },
        grants: Grants::default(),
        schema,
        content_digest: String::new(),
        bundle_digest: String::new(),
        engine: String::new(),
        published_at: jiff::Timestamp::UNIX_EPOCH,
        published_by: String::new(),
        deprecated: false,
        yanked: false,
        revoked: false,
    }
}

fn attachment(id: &str, slug: &str, config: Value) -> Attachment {
    Attachment {
        id: id.to_owned(),
        slug: Slug::parse(slug).unwrap(),
        version: Version::new(1, 0, 0),
        enabled: true,
        config: config.as_object().unwrap().clone(),
        on_error: OnFailure::Block,
        on_unavailable: OnFailure::Block,
        on_counters_unavailable: Default::default(),
        wall_ms: None,
    }
}

fn slot(trigger: Trigger, attachments: Vec<Attachment>) -> Slot {
    Slot { attachments, ..Slot::new(trigger) }
}

/// The Actions that are looked up: templates with their own schemas, and two of a tenant.
fn found(slots: &[Slot]) -> Vec<SlotWarning> {
    let slugs: BTreeSet<&str> = slots.iter().flat_map(|slot| &slot.attachments).map(|a| a.slug.as_str()).collect();
    let versions: Vec<ActionVersion> = slugs
        .into_iter()
        .map(|slug| match slug {
            "wall" => version(slug, Some(vec![OutcomeKind::Block]), 500),
            _ => version(slug, None, 500),
        })
        .collect();
    let version_of = |attachment: &Attachment| versions.iter().find(|version| version.slug == attachment.slug);
    warnings(&Slug::parse("login").unwrap(), slots, version_of)
}

/// The codes, each with its pointer.
fn codes(slots: &[Slot]) -> Vec<(&'static str, Option<String>)> {
    found(slots).into_iter().map(|warning| (warning.code, warning.pointer)).collect()
}

const POST_LOGIN: Trigger = Trigger::PostLogin;

fn one(code: &'static str, pointer: &str) -> Vec<(&'static str, Option<String>)> {
    vec![(code, Some(pointer.to_owned()))]
}

#[test]
fn limits_that_come_to_more_than_the_slots_budget_are_told_with_the_sum_and_the_cure() {
    let limited = |id: &str, wall_ms| Attachment { wall_ms, ..attachment(id, "gate", json!({ "id": id })) };
    let with = |budget_ms, attachments| [Slot { budget_ms, ..slot(POST_LOGIN, attachments) }];
    let told = found(&with(900, vec![limited("a", None), limited("b", Some(450))]));
    let [SlotWarning { code: "wall_budget_exceeded", message, .. }] = told.as_slice() else { unreachable!("{told:?}") };
    assert!(message.contains("950 ms") && message.contains("900 ms"), "{message}");
    assert!(message.contains("`sluice flow slot login --trigger post-login --budget-ms 950`"), "{message}");
    assert!(!message.contains("no time at all"), "{message}");

    let told = found(&with(500, vec![limited("a", None), limited("b", None)]));
    assert!(told[0].message.contains("attachment b (gate) and what follows it may get no time at all"), "{told:?}");
    // Exactly as much; a limit over the version's own counts no more than that; what is disabled takes none.
    let off = Attachment { enabled: false, ..limited("c", None) };
    assert_eq!(found(&with(1000, vec![limited("a", None), limited("b", Some(4000)), off])), []);
    assert_eq!(worst_case_ms(&with(900, vec![limited("a", None), limited("b", None)])[0], |_| 500), 900);
    assert_eq!(worst_case_ms(&with(900, vec![limited("a", Some(30)), limited("b", None)])[0], |_| 500), 530);
}

#[test]
fn a_budget_is_never_raised_over_its_ceiling() {
    let all = |count: usize| (0..count).map(|n| attachment(&n.to_string(), "gate", json!({ "n": n }))).collect();
    let told = found(&[Slot { budget_ms: 5_000, ..slot(POST_LOGIN, all(30)) }]);
    assert!(told[0].message.contains("--budget-ms 10000` raises it to the most there is"), "{told:?}");
    let told = found(&[Slot { budget_ms: 10_000, ..slot(POST_LOGIN, all(30)) }]);
    assert!(!told[0].message.contains("--budget-ms") && told[0].message.contains("sluice flow update"), "{told:?}");
}

#[test]
fn what_stands_behind_a_certain_block_never_runs() {
    let gate = || attachment("g", "gate", json!({}));
    let wall = || attachment("w", "wall", json!({}));
    let told = found(&[slot(POST_LOGIN, vec![wall(), gate()])]);
    assert_eq!((told.len(), told[0].code, &told[0].attachments), (1, "never_runs", &vec!["g".to_owned()]));
    let lenient = Attachment { on_error: OnFailure::Continue, ..wall() };
    let unavailable = Attachment { on_unavailable: OnFailure::Continue, ..wall() };
    let off = Attachment { enabled: false, ..wall() };
    for first in [lenient, unavailable, off, attachment("x", "gate", json!({ "x": 1 }))] {
        assert_eq!(found(&[slot(POST_LOGIN, vec![first, gate()])]), []);
    }
    assert_eq!(found(&[slot(POST_LOGIN, vec![gate(), wall()])]), []);
    assert_eq!(found(&[slot(Trigger::PostLogout, vec![wall(), gate()])]), [], "nothing can block there");
}

#[test]
fn the_same_action_with_the_same_config_is_there_twice() {
    let twice = |a: Value, b: Value| {
        [slot(POST_LOGIN, vec![attachment("a", "block-by-risk-score", a), attachment("b", "block-by-risk-score", b)])]
    };
    assert_eq!(codes(&twice(json!({}), json!({ "threshold": 80 }))), [("duplicate_attachment", None)], "the default");
    assert_eq!(found(&twice(json!({}), json!({ "threshold": 90 }))), []);
    let other = slot(Trigger::PreTokenIssue, vec![attachment("b", "block-by-risk-score", json!({}))]);
    let [first] = [slot(POST_LOGIN, vec![attachment("a", "block-by-risk-score", json!({}))])];
    assert_eq!(found(&[first, other]), [], "in another slot it runs at another time");
}

#[test]
fn a_domain_that_is_allowed_and_blocked_is_told() {
    let both = |allow: Value, block: Value| {
        codes(&[slot(
            POST_LOGIN,
            vec![attachment("a", "domain-allowlist", allow), attachment("b", "domain-blocklist", block)],
        )])
    };
    let below = |domains: Value| json!({ "domains": domains, "include_subdomains": true });
    let only = |domains: Value| json!({ "domains": domains });
    let told = |at: &str| one("domain_in_both_lists", at);
    assert_eq!(both(only(json!(["a.example", "b.example"])), only(json!(["b.example"]))), told("/domains/1"));
    assert_eq!(both(only(json!(["x.b.example"])), only(json!(["*.b.example"]))), told("/domains/0"));
    assert_eq!(both(only(json!(["x.b.example"])), below(json!(["b.example"]))), told("/domains/0"));
    assert_eq!(both(below(json!(["b.example"])), only(json!(["b.example"]))), told("/domains/0"));
    assert_eq!(both(only(json!(["*.b.example"])), below(json!(["b.example"]))), told("/domains/0"));
    let fine = [
        // The one domain, and those below it.
        (only(json!(["b.example"])), only(json!(["*.b.example"]))),
        (only(json!(["*.b.example"])), only(json!(["b.example"]))),
        (only(json!(["x.b.example"])), only(json!(["b.example"]))),
        // A part of what is allowed is blocked: that is what two lists are for.
        (below(json!(["b.example"])), only(json!(["old.b.example"]))),
        (only(json!(["evilb.example"])), below(json!(["b.example"]))),
        (
            json!({ "domains": ["b.example"], "apply_to_clients": ["web"] }),
            json!({ "domains": ["b.example"], "apply_to_clients": ["cli"] }),
        ),
    ];
    for (allow, block) in fine {
        assert_eq!(both(allow.clone(), block.clone()), [], "{allow} {block}");
    }
}

#[test]
fn a_second_factor_that_only_the_blocked_are_asked_for_is_told() {
    let thresholds = |at: Trigger, mfa: Value, block: Value| {
        let mfa = attachment("m", "demand-mfa-by-risk-score", mfa);
        let block = attachment("b", "block-by-risk-score", block);
        match at {
            POST_LOGIN => codes(&[slot(POST_LOGIN, vec![mfa, block])]),
            at => codes(&[slot(POST_LOGIN, vec![mfa]), slot(at, vec![block])]),
        }
    };
    let told = || one("mfa_threshold_not_below_block", "/threshold");
    assert_eq!(thresholds(POST_LOGIN, json!({ "threshold": 80 }), json!({})), told(), "the default of the block is 80");
    assert_eq!(thresholds(Trigger::PreTokenIssue, json!({ "threshold": 70 }), json!({ "threshold": 60.5 })), told());
    assert_eq!(thresholds(POST_LOGIN, json!({ "threshold": 79.5 }), json!({})), []);
    assert_eq!(thresholds(Trigger::PreUserRegistration, json!({ "threshold": 90 }), json!({})), [], "another journey");
    let web = json!({ "threshold": 90, "apply_to_clients": ["web"] });
    assert_eq!(thresholds(POST_LOGIN, web, json!({ "apply_to_clients": ["cli"] })), []);
}

#[test]
fn a_key_by_which_anybody_locks_anybody_out_is_told() {
    let keyed = |at: Trigger, config: Value| codes(&[slot(at, vec![attachment("r", "rate-limit-by-user", config)])]);
    let told = || one("lockout_key", "/key");
    assert_eq!(keyed(Trigger::PostCredentialValidation, json!({})), told(), "user is the default there");
    assert_eq!(keyed(Trigger::PreLogin, json!({ "key": "identifier" })), told());
    assert_eq!(keyed(Trigger::PreLogin, json!({})), [], "user_and_ip is the default there");
    assert_eq!(keyed(Trigger::PostIdentifier, json!({ "key": "user_and_ip" })), []);
    assert_eq!(keyed(Trigger::PostMfaChallenge, json!({ "key": "user" })), [], "who comes there has a credential");
}

#[test]
fn a_redirect_to_where_sign_ins_begin_is_told() {
    let leads = |url: &str, more: Value| {
        let mut config =
            json!({ "rules": [{ "group": "a", "url": "https://app.example.com/" }, { "group": "b", "url": url }] });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        codes(&[slot(POST_LOGIN, vec![attachment("r", "redirect-by-group", config)])])
    };
    for url in [
        "https://id.example.com/oauth2/authorize",
        "https://id.example.com/Login/",
        "https://id.example.com/start?response_type=code&client_id=x",
    ] {
        assert_eq!(leads(url, json!({})), one("redirect_loop", "/rules/1/url"), "{url}");
        assert_eq!(leads(url, json!({ "mode": "resumable" })), one("redirect_loop", "/rules/1/url"), "a new sign-in");
        assert_eq!(leads(url, json!({ "only_first_login": true })), [], "{url}");
    }
    for url in
        ["https://app.example.com/login-help", "https://app.example.com/authorized", "https://login.example.com/"]
    {
        assert_eq!(leads(url, json!({})), [], "{url}");
    }
}

#[test]
fn what_is_disabled_is_nobodys_warning() {
    let all = [
        attachment("w", "wall", json!({})),
        attachment("w2", "wall", json!({})),
        attachment("a", "domain-allowlist", json!({ "domains": ["a.example"] })),
        attachment("b", "domain-blocklist", json!({ "domains": ["a.example"] })),
        attachment("m", "demand-mfa-by-risk-score", json!({ "threshold": 90 })),
        attachment("r", "block-by-risk-score", json!({})),
    ];
    let on = found(&[slot(POST_LOGIN, all.to_vec())]);
    let codes: BTreeSet<&str> = on.iter().map(|warning| warning.code).collect();
    let expected = [
        "domain_in_both_lists",
        "duplicate_attachment",
        "mfa_threshold_not_below_block",
        "never_runs",
        "wall_budget_exceeded",
    ];
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), expected);
    let off = all.map(|attachment| Attachment { enabled: false, ..attachment });
    assert_eq!(found(&[slot(POST_LOGIN, off.to_vec())]), []);
}
