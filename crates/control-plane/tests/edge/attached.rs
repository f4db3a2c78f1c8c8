//! What may be attached where, and with which config.

use crate::edits::update;
use crate::support::{Plane, archive, assert_refused, attachment, bump, domain_check, exactly, package, with_config};
use serde_json::json;
use sluice_api::control::v1 as control;
use sluice_api::convert::json as wire_json;
use sluice_api::types::v1::{OnCountersUnavailable, OnFailure};
use sluice_model::Code;

const CONTINUE: &str = "export const execute = () => ({ kind: 'continue' })\n";

/// A plane with `domain-check` and an empty flow `login`.
async fn with_domain_check() -> Plane {
    let plane = Plane::with_acme().await;
    plane.publish("acme", &domain_check()).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    plane
}

async fn assert_unchanged(plane: &Plane) {
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, 1);
    assert!(plane.actions("acme").await.iter().all(|action| action.attached == 0));
    assert!(!plane.kinds("acme").await.contains(&"flow.action_attached".to_owned()));
}

#[tokio::test]
async fn a_config_that_the_schema_refuses_names_every_pointer() {
    let plane = with_domain_check().await;
    for (config, fields) in [
        (json!({}), &["config"][..]),
        (json!({"domains": ["ok.example", "x", 7]}), &["config/domains/1", "config/domains/2"]),
        (json!({"domains": [], "stric": true}), &["config/domains", "config/stric"]),
        (json!({"domains": "example.com"}), &["config/domains"]),
    ] {
        let refused = plane.attach(with_config(attachment("domain-check", ""), config)).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", fields);
    }
    assert_unchanged(&plane).await;
}

#[tokio::test]
async fn an_action_without_a_schema_takes_only_the_empty_config() {
    let plane = Plane::with_gate().await;
    let refused = plane.attach(with_config(attachment("gate", ""), json!({"a/b": 1}))).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config/a~1b"]);
    assert_unchanged(&plane).await;
    plane.attach(with_config(attachment("gate", ""), json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_config_that_is_no_json_is_refused() {
    let plane = with_domain_check().await;
    let mut request = with_config(attachment("domain-check", ""), json!({"domains": ["a.example"]}));
    let kind = prost_types::value::Kind::NumberValue(f64::NAN);
    let config = request.config.as_mut().unwrap();
    config.fields.insert("strict".into(), prost_types::Value { kind: Some(kind) });
    let refused = plane.attach(request).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config.strict"]);
    assert_unchanged(&plane).await;
}

#[tokio::test]
async fn an_action_goes_only_where_it_is_made_for() {
    let plane = with_domain_check().await;
    let request = control::AttachActionRequest { trigger: "pre-login".into(), ..attachment("domain-check", "") };
    let error =
        assert_refused(plane.attach(request).await, Code::InvalidArgument, "TRIGGER_NOT_SUPPORTED", &["trigger"]);
    assert!(error.message.contains("post-login"), "{error}");
    for trigger in ["", "post-logn", "POST-LOGIN"] {
        let request = control::AttachActionRequest { trigger: trigger.into(), ..attachment("domain-check", "") };
        assert_refused(plane.attach(request).await, Code::InvalidArgument, "INVALID_FIELD", &["trigger"]);
    }
    assert_unchanged(&plane).await;
}

#[tokio::test]
async fn an_outcome_that_a_trigger_does_not_allow_cannot_be_declared_there() {
    let plane = Plane::with_acme().await;
    plane.create_flow("acme", "login").await.unwrap();
    let manifest = "slug = \"mfa\"\nname = \"MFA\"\ntriggers = [\"post-login\", \"pre-login\"]\noutcomes = [\"continue\", \"demand_mfa\"]\n";
    plane.publish("acme", &package(manifest, CONTINUE)).await.unwrap();
    let request = control::AttachActionRequest { trigger: "pre-login".into(), ..attachment("mfa", "") };
    let error = assert_refused(plane.attach(request).await, Code::InvalidArgument, "OUTCOME_NOT_ALLOWED", &["trigger"]);
    assert!(error.message.contains("demand_mfa"), "{error}");
    assert_unchanged(&plane).await;
    plane.attach(attachment("mfa", "")).await.unwrap();
}

#[tokio::test]
async fn actions_and_versions_that_are_not_there_are_not_found() {
    let plane = Plane::with_gate().await;
    assert_refused(plane.attach(attachment("other", "")).await, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    assert_refused(plane.attach(attachment("gate", "1.0.1")).await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert_refused(plane.attach(attachment("gate", "^2")).await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert_refused(
        plane.attach(attachment("gate", "1.0.0+x")).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["version"],
    );
    assert_refused(plane.attach(attachment("", "1.0.0")).await, Code::InvalidArgument, "INVALID_FIELD", &["slug"]);
    assert_unchanged(&plane).await;
}

#[tokio::test]
async fn an_action_with_prereleases_alone_has_to_be_named_exactly() {
    let plane = Plane::with_acme().await;
    plane.create_flow("acme", "login").await.unwrap();
    plane.publish_as(exactly("1.0.0-beta.1"), archive(&crate::support::gate("1"))).await.unwrap();
    assert_refused(plane.attach(attachment("gate", "")).await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    plane.attach(attachment("gate", "1.0.0-beta.1")).await.unwrap();
}

#[tokio::test]
async fn policy_and_wall_limit_are_kept_and_bounded() {
    let plane = with_domain_check().await;
    let request = |wall_ms| control::AttachActionRequest {
        on_error: OnFailure::Continue.into(),
        on_unavailable: OnFailure::Continue.into(),
        on_counters_unavailable: OnCountersUnavailable::Fail.into(),
        wall_ms: Some(wall_ms),
        ..with_config(attachment("domain-check", ""), json!({"domains": ["a.example"]}))
    };
    for wall_ms in [0, 5001] {
        assert_refused(plane.attach(request(wall_ms)).await, Code::InvalidArgument, "INVALID_FIELD", &["wall_ms"]);
    }
    let unknown = control::AttachActionRequest { on_error: 9, ..request(1) };
    assert_refused(plane.attach(unknown).await, Code::InvalidArgument, "INVALID_FIELD", &["on_error"]);
    assert_unchanged(&plane).await;
    let saved = plane.attach(request(5000)).await.unwrap();
    let codes: Vec<&str> = saved.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(
        codes,
        ["on_error_continue", "on_unavailable_continue", "on_counters_unavailable_unused", "wall_ms_above_version"]
    );
    let shown = control::GetFlowRequest { tenant: "acme".into(), flow: "login".into(), revision: 0 };
    let shown = plane.flows().get_flow(shown).await.unwrap().into_inner();
    assert_eq!(shown.warnings.len(), 4);
    let attached = &shown.flow.unwrap().slots[0].attachments[0];
    assert_eq!(
        (attached.on_error(), attached.on_unavailable(), attached.wall_ms),
        (OnFailure::Continue, OnFailure::Continue, Some(5000))
    );
    assert_eq!(attached.on_counters_unavailable(), OnCountersUnavailable::Fail);
}

#[tokio::test]
async fn a_slot_takes_50_attachments() {
    let plane = Plane::with_gate().await;
    for _ in 0..50 {
        plane.attach(attachment("gate", "1.0.0")).await.unwrap();
    }
    assert_refused(plane.attach(attachment("gate", "1.0.0")).await, Code::FailedPrecondition, "SLOT_FULL", &[]);
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().slots[0].attachments.len(), 50);
}

#[tokio::test]
async fn a_flow_that_grows_too_large_is_refused() {
    let plane = Plane::with_acme().await;
    plane.create_flow("acme", "login").await.unwrap();
    let mut files = package("slug = \"big\"\nname = \"Big\"\ntriggers = [\"post-login\"]\n", CONTINUE);
    files.push(("schema.json", r#"{"type": "object", "properties": {"text": {"type": "string"}}}"#));
    plane.publish("acme", &files).await.unwrap();
    let of = |bytes: usize| with_config(attachment("big", ""), json!({"text": "x".repeat(bytes)}));
    let refused = plane.attach(of(64 << 10)).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config"]);
    for _ in 0..8 {
        plane.attach(of(60 << 10)).await.unwrap();
    }
    assert_refused(plane.attach(of(60 << 10)).await, Code::FailedPrecondition, "FLOW_TOO_LARGE", &[]);
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, 9);
}

#[tokio::test]
async fn a_secret_in_a_config_is_never_shown_again() {
    let plane = with_domain_check().await;
    let config = json!({"domains": ["a.example"], "token": "hunter2"});
    let saved = plane.attach(with_config(attachment("domain-check", ""), config)).await.unwrap();
    let shown = plane.flow("acme", "login", 0).await.unwrap();
    let shown = wire_json::object(shown.slots[0].attachments[0].config.clone().unwrap()).unwrap();
    assert_eq!(serde_json::Value::Object(shown), json!({"domains": ["a.example"], "token": "(hidden)"}));
    plane.publish_as(bump(control::Bump::Minor), archive(&domain_check())).await.unwrap();
    plane.pin("login", &saved.attachment, "1.1.0").await.unwrap();
    // A version that shows what an earlier one hid cannot be had by a pin.
    let mut open = domain_check();
    let schema = open[2].1.replace(", \"x-secret\": true", "");
    open[2].1 = &schema;
    plane.publish_as(exactly("1.2.0"), archive(&open)).await.unwrap();
    let refused = plane.pin("login", &saved.attachment, "1.2.0").await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["version"]);
    let audit = format!("{:?}", plane.records("acme").await);
    assert!(audit.contains("(hidden)") && !audit.contains("hunter2"), "{audit}");
}

#[tokio::test]
async fn a_config_is_kept_as_it_was_sent_without_its_defaults() {
    let plane = with_domain_check().await;
    plane.attach(with_config(attachment("domain-check", ""), json!({"domains": ["a.example"]}))).await.unwrap();
    let shown = plane.flow("acme", "login", 0).await.unwrap();
    let shown = wire_json::object(shown.slots[0].attachments[0].config.clone().unwrap()).unwrap();
    assert_eq!(serde_json::Value::Object(shown), json!({"domains": ["a.example"]}));
}

#[tokio::test]
async fn a_config_is_kept_as_the_platforms_formats_have_it() {
    let plane = Plane::with_acme().await;
    let schema = r#"{"type": "object", "properties": {
        "domains": {"type": "array", "items": {"type": "string", "format": "domain-pattern"}},
        "networks": {"type": "array", "items": {"type": "string", "format": "cidr"}}}}"#;
    let files = [domain_check()[0], domain_check()[1], ("schema.json", schema)];
    plane.publish("acme", &files).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    let attach = |config| plane.attach(with_config(attachment("domain-check", ""), config));
    let refused = attach(json!({"domains": ["BÜCHER.de", "*.co.uk"], "networks": ["10.0.0.0/33"]})).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config/domains/1", "config/networks/0"]);
    assert_unchanged(&plane).await;
    let typed = json!({"domains": ["BÜCHER.de", " Example.COM. "], "networks": ["10.1.2.3/8"]});
    let saved = attach(typed.clone()).await.unwrap();
    let shown = async || {
        let shown = plane.flow("acme", "login", 0).await.unwrap();
        let config = shown.slots[0].attachments[0].config.clone().unwrap();
        serde_json::Value::Object(wire_json::object(config).unwrap())
    };
    let kept = json!({"domains": ["xn--bcher-kva.de", "example.com"], "networks": ["10.0.0.0/8"]});
    assert_eq!(shown().await, kept);
    // One that takes its place is kept so too.
    let config = json!({"domains": ["faß.de"]}).as_object().cloned().map(wire_json::to_struct);
    let update = control::UpdateAttachmentRequest { config, ..update(&saved.attachment) };
    plane.update(update).await.unwrap();
    assert_eq!(shown().await, json!({"domains": ["xn--fa-hia.de"]}));
}
