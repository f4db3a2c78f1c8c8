//! The platform's templates in tenants' catalogues, and what a save asks of a config: `checkConfig`, and what only the host knows.

use crate::support::{Plane, answered, assert_refused, attachment, package, with_config};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_api::control::v1 as control;
use sluice_api::convert::json as wire_json;
use sluice_api::distribution::v1 as distribution;
use sluice_api::types::v1::{ActionKind, OnFailure};
use sluice_model::{Code, Error};
use std::path::Path;

const SLUGS: [&str; 10] = [
    "block-by-risk-score",
    "decorate-token",
    "demand-mfa-by-risk-score",
    "domain-allowlist",
    "domain-blocklist",
    "rate-limit-by-ip",
    "rate-limit-by-user",
    "redirect-by-group",
    "slack-notify",
    "webhook-emit",
];

impl Plane {
    async fn page(&self, token: &str, page_size: u32) -> control::ListActionsResponse {
        let request = control::ListActionsRequest { tenant: "acme".into(), page_size, page_token: token.into() };
        self.catalog().list_actions(request).await.unwrap().into_inner()
    }

    async fn check(
        &self,
        slug: &str,
        trigger: &str,
        config: &Value,
        wall_ms: Option<u32>,
    ) -> Result<control::CheckConfigResponse, Error> {
        let request = control::CheckConfigRequest {
            tenant: "acme".into(),
            slug: slug.into(),
            trigger: trigger.into(),
            config: Some(wire_json::to_struct(config.as_object().unwrap().clone())),
            wall_ms,
            ..Default::default()
        };
        answered(self.flows().check_config(request).await)
    }

    async fn version_of(&self, tenant: &str, slug: &str) -> sluice_api::types::v1::Version {
        let request = control::GetVersionRequest { tenant: tenant.into(), slug: slug.into(), version: String::new() };
        answered(self.catalog().get_version(request).await).unwrap().version.unwrap()
    }
}

fn json_of(config: Option<prost_types::Struct>) -> Value {
    Value::Object(wire_json::object(config.unwrap()).unwrap())
}

#[tokio::test]
async fn every_catalogue_has_the_templates_among_its_own_actions() {
    let plane = Plane::with_gate().await;
    let mut expected: Vec<&str> = SLUGS.into_iter().chain(["gate"]).collect();
    expected.sort_unstable();
    for page_size in [1, 3, 10, 11, 100] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = plane.page(&token, page_size).await;
            assert!(page.actions.len() <= page_size as usize);
            found.extend(page.actions.into_iter().map(|action| action.slug));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {page_size}");
    }
    let actions = plane.page("", 100).await.actions;
    let kinds = actions.iter().filter(|action| action.kind() == ActionKind::Template).count();
    assert_eq!(kinds, SLUGS.len());
    let version = plane.version_of("acme", "platform/domain-allowlist").await;
    assert_eq!((version.tenant.as_str(), version.slug.as_str()), ("acme", "domain-allowlist"));
    assert_eq!((version.kind(), version.published_by.as_str()), (ActionKind::Template, "platform"));
    assert_eq!(plane.versions("acme", "domain-allowlist").await, ["1.0.0"]);
    // What is the platform's alone is never a tenant's.
    let request =
        control::GetVersionRequest { tenant: "acme".into(), slug: "platform/gate".into(), version: String::new() };
    assert_refused(
        answered(plane.catalog().get_version(request).await),
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["slug"],
    );
}

#[tokio::test]
async fn a_template_is_attached_as_any_action_and_never_deleted() {
    let plane = Plane::with_gate().await;
    let blocks = with_config(attachment("platform/domain-blocklist", ""), json!({"domains": ["BÜCHER.de"]}));
    let tells = with_config(
        attachment("slack-notify", "1.0.0"),
        json!({"webhook_url_ref": "SLACK", "text": "{{user.id}} has signed in"}),
    );
    plane.attach(blocks).await.unwrap();
    plane.attach(tells).await.unwrap();
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    let attached = &flow.slots[0].attachments;
    assert_eq!(attached[0].slug, "domain-blocklist");
    assert_eq!(json_of(attached[0].config.clone()), json!({"domains": ["xn--bcher-kva.de"]}));
    assert_eq!((attached[0].on_error(), attached[0].on_unavailable()), (OnFailure::Block, OnFailure::Block));
    assert_eq!((attached[1].on_error(), attached[1].on_unavailable()), (OnFailure::Continue, OnFailure::Continue));
    let request = control::GetActionRequest { tenant: "acme".into(), slug: "slack-notify".into() };
    assert_eq!(plane.catalog().get_action(request).await.unwrap().into_inner().action.unwrap().attached, 1);
    let request =
        control::DeleteActionRequest { tenant: "acme".into(), slug: "rate-limit-by-ip".into(), ..Default::default() };
    let refused = answered(plane.catalog().delete_action(request).await);
    assert_refused(refused, Code::FailedPrecondition, "ACTION_IS_TEMPLATE", &[]);
}

/// A tenant's marks of a template are its own; a restart changes nothing of what a version is.
#[tokio::test]
async fn marks_are_the_tenants_and_bundles_are_for_all() {
    let mut plane = Plane::with_gate().await;
    plane.create_tenant("globex").await;
    let before = plane.version_of("acme", "webhook-emit").await;
    let yank = control::YankVersionRequest {
        tenant: "acme".into(),
        slug: "webhook-emit".into(),
        version: "1.0.0".into(),
        ..Default::default()
    };
    plane.catalog().yank_version(yank).await.unwrap();
    let hook = || with_config(attachment("webhook-emit", "1.0.0"), json!({"url": "https://example.com/"}));
    assert_refused(plane.attach(hook()).await, Code::FailedPrecondition, "VERSION_YANKED", &[]);
    assert_refused(plane.attach(attachment("webhook-emit", "")).await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    plane.restart().await;
    let exact =
        control::GetVersionRequest { tenant: "acme".into(), slug: "webhook-emit".into(), version: "1.0.0".into() };
    let after = plane.catalog().get_version(exact).await.unwrap().into_inner().version.unwrap();
    assert!(after.yanked && !before.yanked);
    let others = plane.version_of("globex", "webhook-emit").await;
    assert!(!others.yanked);
    for version in [&after, &others] {
        assert_eq!((&version.bundle_digest, version.published_at), (&before.bundle_digest, before.published_at));
        let request = distribution::FetchBundleRequest {
            tenant: version.tenant.clone(),
            bundle_digest: version.bundle_digest.clone(),
        };
        let mut chunks = plane.distribution().fetch_bundle(request).await.unwrap().into_inner();
        assert!(!chunks.message().await.unwrap().unwrap().chunk.is_empty());
    }
}

/// `configs.json` of a template.
#[derive(Deserialize)]
struct Configs {
    refused: Vec<Refused>,
    #[serde(default)]
    accepted: Vec<Accepted>,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    trigger: String,
    config: Value,
    pointer: String,
    says: String,
    by: String,
}

#[derive(Deserialize)]
struct Accepted {
    name: String,
    trigger: String,
    config: Value,
    normalised: Value,
}

/// Whether everything that is expected is there; null is what is absent.
fn holds(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected.iter().all(|(key, value)| match got.get(key) {
            Some(got) => holds(value, got),
            None => value.is_null(),
        }),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| holds(expected, got))
        }
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    }
}

/// Every config that a template refuses is refused by a save, at its field; every other is kept as it should be.
#[tokio::test]
async fn a_save_refuses_what_a_template_refuses() {
    let plane = Plane::with_gate().await;
    let not_slack = control::SetSecretRequest {
        tenant: "acme".into(),
        name: "NOT_SLACK".into(),
        value: "https://hooks.example.com/services/T/B/x".into(),
        ..Default::default()
    };
    plane.secrets().set_secret(not_slack).await.unwrap();
    for origin in ["https://example.com", "https://app.example.com"] {
        let request =
            control::AddRedirectOriginRequest { tenant: "acme".into(), origin: origin.into(), ..Default::default() };
        plane.tenants().add_redirect_origin(request).await.unwrap();
    }
    let (mut wrong, mut counted) = (Vec::new(), 0);
    for slug in SLUGS {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/released").join(slug).join("1.0.0/configs.json");
        let configs: Configs = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for Refused { name, trigger, config, pointer, says, by } in configs.refused {
            counted += 1;
            let field = format!("config{pointer}");
            match plane.check(slug, &trigger, &config, None).await {
                // Where the schema's formats are first, the words are theirs.
                Err(error)
                    if error
                        .fields
                        .iter()
                        .any(|f| f.field == field && (by == "check" || f.message.contains(&says))) => {}
                other => wrong.push(format!("{slug}: {name}: expected {field} {says:?}, got {other:?}")),
            }
        }
        for Accepted { name, trigger, config, normalised } in configs.accepted {
            counted += 1;
            match plane.check(slug, &trigger, &config, None).await {
                Ok(checked) if holds(&normalised, &json_of(checked.effective_config.clone())) => {}
                other => {
                    let got = other.map(|checked| json_of(checked.effective_config));
                    wrong.push(format!("{slug}: {name}: expected {normalised}, got {got:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {counted}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counted > 300, "{counted}");
}

const CHECKED: &str = "
export const execute = () => ({ kind: 'continue' })
export async function checkConfig(config, { trigger }) {
  if (config.low > config.high) return { errors: [{ pointer: '/low', message: `is over high at ${trigger}` }] }
  if (config.low === 13) throw new Error('bad luck')
  if (config.low === 14) return { verdict: 'fine' }
  if (config.low === 15) return { config: { ...config, high: 1000 } }
  if (config.low === 16) while (true) {}
  return { config: { ...config, high: config.high + 1 }, warnings: [{ pointer: '/high', message: 'was raised' }] }
}
";

/// Any Action may check its configs; what it makes of them is checked in its turn.
#[tokio::test]
async fn an_actions_own_check_is_asked_at_every_save() {
    let plane = Plane::with_gate().await;
    let schema = r#"{"type": "object", "additionalProperties": false, "properties": {
        "low": {"type": "integer", "title": "Low", "description": "The least.", "default": 0},
        "high": {"type": "integer", "title": "High", "description": "The most.", "maximum": 100, "default": 10}}}"#;
    let mut files =
        package("slug = \"span\"\nname = \"Span\"\ntriggers = [\"post-login\"]\nschema = \"schema.json\"\n", CHECKED);
    files.push(("schema.json", schema));
    plane.publish("acme", &files).await.unwrap();
    let attach = |config| plane.attach(with_config(attachment("span", ""), config));
    let refused = attach(json!({"low": 11})).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config/low"]);
    assert_eq!(refused.fields[0].message, "is over high at post-login");
    for (low, says) in [(13, "bad luck (src/index.ts:5"), (14, "verdict"), (16, "cpu_limit")] {
        let refused = attach(json!({"low": low, "high": 50})).await;
        let refused = assert_refused(refused, Code::FailedPrecondition, "CONFIG_CHECK_FAILED", &[]);
        assert!(refused.message.contains(says), "{}", refused.message);
    }
    assert_refused(
        attach(json!({"low": 15, "high": 50})).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["config/high"],
    );
    let saved = attach(json!({})).await.unwrap();
    let warning = saved.warnings.iter().find(|warning| warning.code == "config").unwrap();
    assert_eq!((warning.message.as_str(), warning.pointer.as_deref()), ("was raised", Some("/config/high")));
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    // What nobody sent and is the schema's own stays the schema's.
    assert_eq!(json_of(flow.slots[0].attachments[0].config.clone()), json!({"high": 11}));
}

#[tokio::test]
async fn a_run_that_waits_for_its_webhook_has_the_time_for_it() {
    let plane = Plane::with_gate().await;
    let config = json!({"url": "https://example.com/", "mode": "sync", "timeout_ms": 900});
    plane.check("webhook-emit", "post-login", &config, None).await.unwrap();
    let refused = plane.check("webhook-emit", "post-login", &config, Some(800)).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config/timeout_ms"]);
}

/// A signing secret that nobody names is made with the save, shown once and to a retry, and stays where it is.
#[tokio::test]
async fn a_signing_secret_is_made_with_the_save() {
    let plane = Plane::with_gate().await;
    let request = control::AttachActionRequest {
        request_id: "one".into(),
        ..with_config(attachment("webhook-emit", ""), json!({"url": "https://example.com/hook"}))
    };
    let saved = plane.attach(request.clone()).await.unwrap();
    let [made] = &saved.generated_secrets[..] else { panic!("{saved:?}") };
    assert!(!saved.warnings.iter().any(|warning| warning.code == "secret_not_set"), "{:?}", saved.warnings);
    assert_eq!(made.field, "secret_ref");
    assert!(made.value.strip_prefix("whsec_").is_some_and(|key| key.len() == 44), "32 bytes");
    let again = plane.attach(request.clone()).await.unwrap();
    assert_eq!((again.revision, &again.generated_secrets), (saved.revision, &saved.generated_secrets));
    let attached = |flow: sluice_api::types::v1::Flow| json_of(flow.slots[0].attachments[0].config.clone());
    let config = attached(plane.flow("acme", "login", 0).await.unwrap());
    assert_eq!(config["secret_ref"], made.name.as_str());
    // Another config without the field keeps the secret that it had.
    let update = control::UpdateAttachmentRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        attachment: saved.attachment.clone(),
        config: with_config(attachment("webhook-emit", ""), json!({"url": "https://example.com/other"})).config,
        ..Default::default()
    };
    let updated = plane.flows().update_attachment(update).await.unwrap().into_inner().saved.unwrap();
    assert!(updated.generated_secrets.is_empty());
    assert_eq!(attached(plane.flow("acme", "login", 0).await.unwrap())["secret_ref"], made.name.as_str());
    plane.clock.advance(jiff::SignedDuration::from_mins(6));
    assert!(plane.attach(request).await.unwrap().generated_secrets.is_empty());
    let records = plane.records("acme").await;
    assert!(records.iter().any(|record| record.kind == "secret.set"));
    assert!(!format!("{records:?}").contains(&made.value));
}
