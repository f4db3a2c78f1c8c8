use super::*;
use sluice_api::types::v1 as wire;

fn request() -> ExecuteRequest {
    ExecuteRequest { tenant: "acme".into(), flow: "login".into(), trigger: "post-login".into(), ..Default::default() }
}

/// The fields that are named, after a change to a good request.
fn refused(change: impl FnOnce(&mut ExecuteRequest)) -> Vec<String> {
    let mut request = request();
    change(&mut request);
    let error = Asked::read(request).unwrap_err();
    assert_eq!((error.code, error.reason.as_ref()), (sluice_model::Code::InvalidArgument, "INVALID_FIELD"));
    assert!(error.fields.iter().all(|f| !f.message.is_empty()));
    error.fields.into_iter().map(|f| f.field).collect()
}

fn with_user(change: impl FnOnce(&mut wire::User)) -> Option<wire::Input> {
    let mut user = wire::User { id: "u1".into(), ..Default::default() };
    change(&mut user);
    Some(wire::Input { user: Some(user), ..Default::default() })
}

#[test]
fn a_bad_field_is_named() {
    assert_eq!(refused(|r| r.tenant.clear()), ["tenant"]);
    assert_eq!(refused(|r| r.tenant = "Acme Inc".into()), ["tenant"]);
    assert_eq!(refused(|r| r.flow = "log in".into()), ["flow"]);
    assert_eq!(refused(|r| r.trigger = "after-login".into()), ["trigger"]);
    assert_eq!(refused(|r| r.trigger.clear()), ["trigger"]);
    assert_eq!(refused(|r| r.sign_in_id = "a b".into()), ["sign_in_id"]);
    assert_eq!(refused(|r| r.execution_id = "x".repeat(129)), ["execution_id"]);
    assert_eq!(refused(|r| r.execution_id = "é".into()), ["execution_id"]);
    assert_eq!(refused(|r| r.input = with_user(|u| u.id.clear())), ["input.user.id"]);
    assert_eq!(refused(|r| r.input = with_user(|u| u.logins_count = Some(1 << 53))), ["input.user.logins_count"]);
    let mfa = wire::Mfa { enrolled: vec![99] };
    assert_eq!(refused(|r| r.input = with_user(|u| u.mfa = Some(mfa))), ["input.user.mfa.enrolled[0]"]);
    let headers = [("cookie".to_owned(), wire::HeaderValues { values: vec!["a=b".into()] })].into();
    let input = wire::Input { request: Some(wire::Request { headers, ..Default::default() }), ..Default::default() };
    assert_eq!(refused(|r| r.input = Some(input)), ["input.request.headers.cookie"]);
    let nameless = prost_types::Value { kind: None };
    let state = prost_types::Struct { fields: [("k".to_owned(), nameless)].into() };
    assert_eq!(
        refused(|r| r.input = Some(wire::Input { state: Some(state), ..Default::default() })),
        ["input.state.k"]
    );
    assert_eq!(refused(|r| r.input = with_user(|u| u.name = Some("x".repeat(MAX_INPUT_BYTES)))), ["input"]);
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let all = refused(|r| {
        *r = ExecuteRequest { sign_in_id: " ".into(), input: with_user(|u| u.id.clear()), ..Default::default() };
    });
    assert_eq!(all, ["tenant", "flow", "trigger", "sign_in_id", "input.user.id"]);
}

#[test]
fn ids_that_were_left_out_are_made() {
    let asked = Asked::read(request()).unwrap();
    assert_eq!(asked.execution_id.len(), 36);
    assert_eq!(asked.sign_in_id, asked.execution_id);
    let asked = Asked::read(ExecuteRequest { execution_id: "e".into(), ..request() }).unwrap();
    assert_eq!((asked.execution_id.as_str(), asked.sign_in_id.as_str()), ("e", "e"));
    let asked = Asked::read(ExecuteRequest { sign_in_id: "s".into(), ..request() }).unwrap();
    assert_eq!(asked.sign_in_id, "s");
}

#[test]
fn a_risk_score_that_cannot_be_used_becomes_null_and_is_told() {
    for (score, unusable) in
        [(Some(0.0), false), (Some(100.0), false), (Some(100.1), true), (Some(f64::NAN), true), (None, true)]
    {
        let risk = wire::Risk { score, ..Default::default() };
        let context = wire::Context { risk: Some(risk), ..Default::default() };
        let input = wire::Input { context: Some(context), ..Default::default() };
        let asked = Asked::read(ExecuteRequest { input: Some(input), ..request() }).unwrap();
        assert_eq!((asked.risk_unusable, asked.input.risk.is_none()), (unusable, unusable), "{score:?}");
    }
}
