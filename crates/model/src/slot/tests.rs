//! The rules of a slot, one sentence each.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::FailureReason;
use serde_json::json;

fn origins() -> Vec<Origin> {
    ["https://app.example.com", "https://b.example.com"].iter().map(|o| Origin::parse(o).unwrap()).collect()
}

fn slot(trigger: Trigger) -> SlotState {
    let state = json!({"seen": 1}).as_object().unwrap().clone();
    SlotState::new(trigger, state, None)
}

fn outcome(value: Value) -> Outcome {
    Outcome::from_json(value).unwrap()
}

fn apply(slot: &mut SlotState, attachment: &str, value: Value) -> Result<Vec<Lost>, Invalid> {
    let origins = origins();
    let rules = HostRules { redirect_origins: &origins, http_localhost: false };
    slot.apply(attachment, &outcome(value), None, rules)
}

#[test]
fn an_empty_slot_continues_with_the_state_it_got() {
    let answer = slot(Trigger::PostLogin).finish();
    assert_eq!(answer.verdict, OutcomeKind::Continue);
    assert_eq!(answer.decided_by, None);
    assert_eq!(Value::Object(answer.state), json!({"seen": 1}));
}

#[test]
fn a_block_after_a_redirect_and_a_demand_wins_and_discards_state_and_claims() {
    let mut s = slot(Trigger::PostLogin);
    apply(&mut s, "a", json!({"kind": "redirect", "url": "https://app.example.com/x", "state": {"k": 2}})).unwrap();
    let claims = json!([{"token": "both", "name": "plan", "value": "gold"}]);
    apply(&mut s, "b", json!({"kind": "demand_mfa", "claims": claims})).unwrap();
    assert!(!s.is_blocked());
    let block = json!({"kind": "block", "reason_code": "no", "user_message": "No.", "retry_after_s": 5});
    apply(&mut s, "c", block).unwrap();
    assert!(s.is_blocked());
    let answer = s.finish();
    assert_eq!(answer.verdict, OutcomeKind::Block);
    let by = answer.decided_by.unwrap();
    assert_eq!((by.attachment.as_str(), by.reason_code.as_deref()), ("c", Some("no")));
    assert_eq!((by.error, by.retry_after_s), (Some(BlockError::AccessDenied), Some(5)));
    assert_eq!(Value::Object(answer.state), json!({"seen": 1}));
    assert!(answer.claims.is_empty());
    assert_eq!(answer.pending, Pending::default());
}

#[test]
fn mfa_stands_over_a_redirect_and_both_are_pending() {
    let mut s = slot(Trigger::PostLogin);
    apply(&mut s, "a", json!({"kind": "redirect", "url": "https://app.example.com/x", "query": {"q": "1"}})).unwrap();
    apply(&mut s, "b", json!({"kind": "demand_mfa"})).unwrap();
    let answer = s.finish();
    assert_eq!(answer.verdict, OutcomeKind::DemandMfa);
    assert_eq!(answer.decided_by.unwrap().attachment, "b");
    let pending = serde_json::to_value(&answer.pending).unwrap();
    assert_eq!(
        pending,
        json!({
            "mfa": {"factors": [], "max_age_s": 0, "allow_remember": false, "on_unenrolled": "block", "on_non_interactive": "block"},
            "redirect": {"url": "https://app.example.com/x", "mode": "landing", "query": {"q": "1"}, "attachment": "a"},
        })
    );
}

#[test]
fn demands_merge_to_the_stricter_and_what_is_not_said_is_neutral() {
    let mut s = slot(Trigger::PostLogin);
    let first = json!({"kind": "demand_mfa", "factors": ["otp", "webauthn", "otp"], "max_age_s": 600, "allow_remember": true, "on_unenrolled": "continue"});
    apply(&mut s, "a", first).unwrap();
    apply(&mut s, "b", json!({"kind": "demand_mfa"})).unwrap();
    let third = json!({"kind": "demand_mfa", "factors": ["webauthn", "sms"], "max_age_s": 60, "allow_remember": true, "on_unenrolled": "enroll", "on_non_interactive": "continue"});
    apply(&mut s, "c", third).unwrap();
    let mfa = s.pending().mfa.clone().unwrap();
    assert_eq!(mfa.factors, [Factor::Webauthn]);
    assert_eq!(mfa.max_age_s, 60);
    assert!(mfa.allow_remember);
    assert_eq!(mfa.on_unenrolled, OnUnenrolled::Enroll);
    assert_eq!(mfa.on_non_interactive, OnNonInteractive::Continue);

    let lost =
        apply(&mut s, "d", json!({"kind": "demand_mfa", "factors": ["email"], "allow_remember": false})).unwrap();
    let mfa = s.pending().mfa.clone().unwrap();
    assert_eq!(mfa.factors, [Factor::Webauthn], "where nothing is left, the first by position stands");
    assert!(!mfa.allow_remember);
    assert_eq!(
        lost,
        [Lost { kind: LostKind::Factors, name: "email".into(), attachment: "d".into(), winner: "a".into() }]
    );
    assert_eq!(s.finish().decided_by.unwrap().attachment, "a");
}

#[test]
fn the_first_redirect_wins_and_the_second_is_told_as_lost() {
    let mut s = slot(Trigger::PostLogin);
    apply(&mut s, "a", json!({"kind": "redirect", "url": "https://app.example.com/x"})).unwrap();
    let lost =
        apply(&mut s, "b", json!({"kind": "redirect", "url": "https://b.example.com/", "mode": "resumable"})).unwrap();
    assert_eq!(lost[0].kind, LostKind::Redirect);
    assert_eq!(s.finish().pending.redirect.unwrap().attachment, "a");
}

#[test]
fn claims_keep_the_first_unless_the_later_overwrites() {
    let claim = |value: &str, if_exists: &str| json!({"kind": "continue", "claims": [{"token": "access", "name": "plan", "value": value, "if_exists": if_exists}]});
    let mut s = slot(Trigger::PreTokenIssue);
    apply(&mut s, "a", claim("gold", "keep")).unwrap();
    let lost = apply(&mut s, "b", claim("iron", "keep")).unwrap();
    assert_eq!(
        (lost[0].attachment.as_str(), lost[0].winner.as_str(), lost[0].name.as_str()),
        ("b", "a", "access/plan")
    );
    let lost = apply(&mut s, "c", claim("tin", "overwrite")).unwrap();
    assert_eq!((lost[0].attachment.as_str(), lost[0].winner.as_str()), ("a", "c"));
    let error = apply(&mut s, "d", claim("lead", "error")).unwrap_err();
    assert_eq!(error.pointer, "/claims/0");
    let answer = s.finish();
    assert_eq!(answer.claims.len(), 1);
    assert_eq!((answer.claims[0].value.as_str(), answer.claims[0].attachment.as_str()), (Some("tin"), "c"));
}

#[test]
fn claims_of_the_token_exist_already_for_that_token_alone() {
    let claims = json!({"plan": "old"}).as_object().unwrap().clone();
    let token = Token { kind: "id".into(), audience: String::new(), claims };
    let mut s = SlotState::new(Trigger::PreTokenIssue, Object::new(), Some(&token));
    let lost =
        apply(&mut s, "a", json!({"kind": "continue", "claims": [{"token": "both", "name": "plan", "value": "new"}]}))
            .unwrap();
    assert_eq!(lost.len(), 1);
    let answer = s.finish();
    assert_eq!(answer.claims.iter().map(|c| c.token).collect::<Vec<_>>(), [ClaimToken::Access]);
}

#[test]
fn a_token_takes_eight_kib_of_claims_and_nothing_of_the_outcome_over_it_is_merged() {
    let mut s = slot(Trigger::PreTokenIssue);
    let big = |name: &str| json!({"kind": "continue", "state": {name: 1}, "claims": [{"token": "id", "name": name, "value": "x".repeat(3_900)}]});
    apply(&mut s, "a", big("one")).unwrap();
    apply(&mut s, "b", big("two")).unwrap();
    let error = apply(&mut s, "c", big("three")).unwrap_err();
    assert_eq!(error.pointer, "/claims");
    assert!(!s.state().contains_key("three"), "all or nothing");
    let answer = s.finish();
    assert_eq!(answer.claims.len(), 2);
}

#[test]
fn state_is_a_merge_patch_of_the_top_level_with_the_last_write_winning() {
    let mut s = slot(Trigger::PreLogin);
    apply(&mut s, "a", json!({"kind": "continue", "state": {"seen": null, "deep": {"x": 1, "y": 2}}})).unwrap();
    let lost = apply(&mut s, "b", json!({"kind": "continue", "state": {"deep": {"x": 3}}})).unwrap();
    assert_eq!(lost[0].kind, LostKind::State);
    assert_eq!(Value::Object(s.finish().state), json!({"deep": {"x": 3}}));
}

#[test]
fn the_merged_state_is_bounded() {
    let mut s = slot(Trigger::PreLogin);
    let fill = |key: &str| json!({"kind": "continue", "state": {key: "x".repeat(8_000)}});
    apply(&mut s, "a", fill("one")).unwrap();
    apply(&mut s, "b", fill("two")).unwrap();
    assert_eq!(apply(&mut s, "c", fill("three")).unwrap_err().pointer, "/state");
}

#[test]
fn what_the_trigger_or_the_version_or_the_tenant_does_not_allow_is_an_invalid_outcome() {
    let mut s = slot(Trigger::PreLogin);
    let refused = [
        (json!({"kind": "redirect", "url": "https://app.example.com/"}), "/kind"),
        (json!({"kind": "demand_mfa"}), "/kind"),
        (json!({"kind": "continue", "claims": [{"token": "id", "name": "a", "value": 1}]}), "/claims"),
    ];
    for (value, pointer) in refused {
        assert_eq!(apply(&mut s, "a", value).unwrap_err().pointer, pointer);
    }
    let mut s = slot(Trigger::PostLogin);
    for url in ["https://evil.example/", "https://app.example.com:444/", "https://app.example.com.evil.example/"] {
        assert_eq!(apply(&mut s, "a", json!({"kind": "redirect", "url": url})).unwrap_err().pointer, "/url");
    }
    let rules = HostRules { redirect_origins: &[], http_localhost: false };
    let error = s.apply("a", &outcome(json!({"kind": "block"})), Some(&[OutcomeKind::Continue]), rules).unwrap_err();
    assert!(error.message.contains("declares"));
    assert_eq!(s.finish().verdict, OutcomeKind::Continue);
}

#[test]
fn at_an_asynchronous_trigger_everything_is_recorded_and_nothing_blocks() {
    let mut s = slot(Trigger::LoginFailed);
    apply(&mut s, "a", json!({"kind": "block", "state": {"n": 1}})).unwrap();
    s.block_by_failure("b", &Failure::new(FailureReason::Threw, "x"));
    assert!(!s.is_blocked());
    let answer = s.finish();
    assert_eq!(answer.verdict, OutcomeKind::Continue);
    assert_eq!(Value::Object(answer.state), json!({"seen": 1, "n": 1}));
}

#[test]
fn a_failure_under_block_says_why_by_its_reason_code() {
    for (reason, code) in [
        (FailureReason::Threw, "action_failed"),
        (FailureReason::CircuitOpen, "action_failed"),
        (FailureReason::Unavailable, "action_unavailable"),
        (FailureReason::Internal, "action_unavailable"),
    ] {
        let mut s = slot(Trigger::PreLogin);
        s.block_by_failure("a", &Failure::new(reason, "x"));
        assert_eq!(s.finish().decided_by.unwrap().reason_code.as_deref(), Some(code));
    }
}
