//! Packages that reach beyond their memory: their cases bring what they reach, and what they declare is what they are granted.

use crate::support::{Plane, assert_refused};
use sluice_model::Code;

const MANIFEST: &str = "slug = \"plans\"\nname = \"Plans\"\ntriggers = [\"post-login\"]\nhosts_from_config = [\"/url\"]\n\
                        secrets = [\"API_KEY\"]\nsecrets_from_config = [\"/hook_ref\"]\n\
                        capabilities = [\"counters\", \"kv\"]\n";
const SCHEMA: &str = r#"{"type": "object", "required": ["url"], "additionalProperties": false, "properties": {
    "url": {"type": "string"}, "hook_ref": {"type": "string", "x-secret-ref": true, "default": "HOOK"}}}"#;
const CODE: &str = "export async function execute(input: any) {
  const { url, hook_ref } = input.context.config
  const { allowed } = await counters.take('all', { limit: 1, window_s: 60 })
  if (!allowed) return { kind: 'continue', reason_code: 'kept', annotations: { plan: await kv.get('plan') } }
  const response = await fetch(url, { method: 'POST', headers: { key: secrets.get('API_KEY') + secrets.get(hook_ref) } })
  const { plan } = await response.json()
  await kv.set('plan', plan, { ttl_s: 60 })
  return { kind: 'continue', reason_code: 'asked', annotations: { plan, status: String(response.status) } }
}
";
/// With `SECRETS` and `URL` to be filled in.
const CASE: &str = r#"{"name": "asks once", "trigger": "post-login", "config": {"url": "https://api.example.com/plan"},
    "secrets": {SECRETS},
    "http": [{"method": "POST", "url": "URL", "status": 201, "json": {"plan": "team"}}],
    "steps": [
        {"input": {}, "now": "2026-01-31T12:00:00Z", "expect": {"outcome": {"reason_code": "asked", "annotations": {"plan": "team", "status": "201"}}}},
        {"input": {}, "now": "2026-01-31T12:00:01Z", "expect": {"outcome": {"reason_code": "kept", "annotations": {"plan": "team"}}}},
        {"input": {}, "now": "2026-01-31T12:05:00Z", "expect": {"outcome": {"reason_code": "asked"}}}]}"#;

fn case(secrets: &str, url: &str) -> String {
    CASE.replace("SECRETS", secrets).replace("URL", url)
}

fn package(case: &str) -> Vec<(&'static str, &str)> {
    vec![("action.toml", MANIFEST), ("schema.json", SCHEMA), ("src/index.ts", CODE), ("tests/a.json", case)]
}

#[tokio::test]
async fn a_package_whose_case_brings_all_that_it_reaches_is_published() {
    let plane = Plane::with_acme().await;
    let case = case(r#""API_KEY": "k", "HOOK": "h""#, "https://api.example.com/plan");
    let published = plane.publish("acme", &package(&case)).await.unwrap();
    assert!(published.created);
    let grants = published.version.unwrap().grants.unwrap();
    assert_eq!((grants.hosts_from_config, grants.secrets), (vec!["/url".to_owned()], vec!["API_KEY".to_owned()]));
    assert_eq!(grants.secrets_from_config, ["/hook_ref"]);
}

#[tokio::test]
async fn a_case_without_a_secret_is_a_mistake_of_the_package_and_no_fault_of_the_platform() {
    let plane = Plane::with_acme().await;
    let case = case(r#""API_KEY": "k""#, "https://api.example.com/plan");
    let refused = plane.publish("acme", &package(&case)).await;
    let error = assert_refused(refused, Code::InvalidArgument, "INVALID_PACKAGE", &["tests/a.json:5:54"]);
    let told = &error.fields[0].message;
    assert!(told.contains("step 1: ") && told.contains("the secret HOOK is not set"), "{told}");
    assert_eq!(plane.actions("acme").await, []);
}

#[tokio::test]
async fn a_case_whose_servers_may_not_be_asked_is_refused_before_it_runs() {
    let plane = Plane::with_acme().await;
    let case = case(r#""API_KEY": "k""#, "https://other.example.com/plan");
    let refused = plane.publish("acme", &package(&case)).await;
    let error = assert_refused(refused, Code::InvalidArgument, "INVALID_PACKAGE", &["tests/a.json:3:33"]);
    let told = &error.fields[0].message;
    let says = "the host other.example.com is not declared by the version, nor that of the URL in the config at /url: add \
                \"other.example.com\" to hosts in action.toml";
    assert!(told.contains("/http/0/url") && told.contains(says), "{told}");
}
