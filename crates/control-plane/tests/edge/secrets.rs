//! Secrets: set, listed, removed; told to the executors that need them and to nobody else; nowhere on the disk in clear.

use crate::support::{GATE, Plane, TestClock, answered, assert_refused, attachment, tools, with_config};
use crate::watching::{Executor, State, hello, only};
use serde_json::json;
use sluice_api::control::v1::{self as control, publish_header::Next};
use sluice_api::distribution::v1::{self as wire, resource::Resource, resource_name};
use sluice_control_plane::ControlPlane;
use sluice_control_plane::config::{PlaneConfig, SecretsConfig};
use sluice_control_plane::export::{export, restore};
use sluice_model::{Code, Error};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

const CANARY: &str = "canary-9f27c1e4b8d35a60";

fn set(tenant: &str, name: &str, value: &str) -> control::SetSecretRequest {
    control::SetSecretRequest { tenant: tenant.into(), name: name.into(), value: value.into(), ..Default::default() }
}

async fn sets(plane: &Plane, tenant: &str, name: &str, value: &str) -> control::Secret {
    plane.secrets().set_secret(set(tenant, name, value)).await.unwrap().into_inner().secret.unwrap()
}

async fn removes(plane: &Plane, name: &str) -> Result<control::RemoveSecretResponse, Error> {
    let request = control::RemoveSecretRequest { tenant: "acme".into(), name: name.into(), ..Default::default() };
    answered(plane.secrets().remove_secret(request).await)
}

async fn listed(plane: &Plane, tenant: &str) -> Vec<control::Secret> {
    let request = control::ListSecretsRequest { tenant: tenant.into(), ..Default::default() };
    plane.secrets().list_secrets(request).await.unwrap().into_inner().secrets
}

/// Publishes an Action `keeper` that reads `API_KEY`, and what its config names.
async fn keeper(plane: &Plane, tenant: &str) {
    let manifest = GATE.replace("gate", "keeper") + "secrets = [\"API_KEY\"]\nsecrets_from_config = [\"/hook_ref\"]\n";
    let code = "export const execute = () => ({ kind: 'continue' })\n";
    let schema = r#"{"type": "object", "additionalProperties": false, "properties": {
        "hook_ref": {"type": "string", "x-secret-ref": true, "title": "Hook", "description": "The hook's secret."}}}"#;
    let files = [("action.toml", manifest.as_str()), ("src/index.ts", code), ("schema.json", schema)];
    plane.publish(tenant, &files).await.unwrap();
}

async fn with_keeper() -> Plane {
    let plane = Plane::with_gate().await;
    keeper(&plane, "acme").await;
    plane
}

/// The secrets in a state: `tenant/name@version=value`, and `-tenant/name` for those that are gone.
fn secrets(state: &State) -> Vec<String> {
    let told = state.upserts.iter().filter_map(|resource| match resource {
        Resource::Secret(secret) => {
            let value = String::from_utf8(secret.value.to_vec()).unwrap();
            Some(format!("{}/{}@{}={value}", secret.tenant, secret.name, secret.version))
        }
        _ => None,
    });
    let gone = state.removals.iter().filter_map(|name| match &name.name {
        Some(resource_name::Name::Secret(name)) => Some(format!("-{}/{}", name.tenant, name.name)),
        _ => None,
    });
    told.chain(gone).collect()
}

#[tokio::test]
async fn a_secret_is_set_again_and_removed_and_counts_on() {
    let plane = with_keeper().await;
    let first = sets(&plane, "acme", "API_KEY", "one").await;
    assert_eq!((first.name.as_str(), first.version), ("API_KEY", 1));
    let second = sets(&plane, "acme", "API_KEY", "two").await;
    assert_eq!((second.version, second.created_at), (2, first.created_at));
    assert_ne!(second.etag, first.etag);
    sets(&plane, "acme", "a.b-c_1", "three").await;
    let found = listed(&plane, "acme").await;
    assert_eq!(found.iter().map(|secret| &*secret.name).collect::<Vec<_>>(), ["API_KEY", "a.b-c_1"]);

    plane.attach(with_config(attachment("keeper", ""), json!({}))).await.unwrap();
    assert_eq!(listed(&plane, "acme").await[0].used_by, ["login"]);
    let removed = removes(&plane, "API_KEY").await.unwrap();
    assert_eq!((removed.version, &*removed.warnings[0].code), (2, "secret_in_use"));
    assert!(removed.warnings[0].message.contains("flow login needs"), "{removed:?}");
    assert_refused(removes(&plane, "API_KEY").await, Code::NotFound, "SECRET_NOT_FOUND", &[]);
    assert_eq!(sets(&plane, "acme", "API_KEY", "four").await.version, 3, "its number never means another value");

    let kinds = plane.records("acme").await;
    let kinds: Vec<_> = kinds.iter().filter(|record| record.kind.starts_with("secret.")).collect();
    let names: Vec<&str> = kinds.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(names, ["secret.set", "secret.set", "secret.set", "secret.removed", "secret.set"]);
    assert!(!format!("{kinds:?}").contains("three"), "{kinds:?}");
}

#[tokio::test]
async fn what_is_no_secret_is_refused_by_its_field_and_not_repeated() {
    let plane = Plane::with_acme().await;
    let long = "x".repeat(8193);
    for (name, value, field) in [
        ("", "v", "name"),
        ("sk live/51H8xQ", "v", "name"),
        ("1A", "v", "name"),
        ("A", "", "value"),
        ("A", &*long, "value"),
    ] {
        let refused = answered(plane.secrets().set_secret(set("acme", name, value)).await);
        let error = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &[field]);
        assert!(!format!("{error:?}").contains("51H8xQ"), "{error:?}");
    }
    let nobody = answered(plane.secrets().set_secret(set("nobody", "A", "v")).await);
    assert_refused(nobody, Code::NotFound, "TENANT_NOT_FOUND", &[]);
    sets(&plane, "acme", "A", &long[..8192]).await;
    for number in 1..200 {
        sets(&plane, "acme", &format!("S{number}"), "v").await;
    }
    let more = answered(plane.secrets().set_secret(set("acme", "ONE_MORE", "v")).await);
    assert_refused(more, Code::FailedPrecondition, "TOO_MANY_SECRETS", &[]);
    assert_eq!(sets(&plane, "acme", "S1", "w").await.version, 2, "those that are there can be set");
    let request = control::ListSecretsRequest { tenant: "acme".into(), page_size: 150, ..Default::default() };
    let page = plane.secrets().list_secrets(request.clone()).await.unwrap().into_inner();
    let rest = control::ListSecretsRequest { page_token: page.next_page_token, ..request };
    let rest = plane.secrets().list_secrets(rest).await.unwrap().into_inner();
    assert_eq!((page.secrets.len(), rest.secrets.len(), &*rest.next_page_token), (150, 50, ""));
}

#[tokio::test]
async fn what_is_attached_without_its_secrets_is_warned_of_and_a_value_in_the_place_of_a_name_is_refused() {
    let plane = with_keeper().await;
    let saved = plane.attach(with_config(attachment("keeper", ""), json!({ "hook_ref": "HOOK" }))).await.unwrap();
    let unset = |warnings: &[sluice_api::types::v1::Warning]| {
        let unset = warnings.iter().filter(|warning| warning.code == "secret_not_set");
        unset.map(|warning| (warning.message.clone(), warning.pointer.clone())).collect::<Vec<_>>()
    };
    let found = unset(&saved.warnings);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].0.contains("API_KEY") && found[0].1.is_none(), "{found:?}");
    assert!(found[1].0.contains("HOOK") && found[1].1.as_deref() == Some("/hook_ref"), "{found:?}");
    sets(&plane, "acme", "API_KEY", "v").await;
    let request = control::GetFlowRequest { tenant: "acme".into(), flow: "login".into(), revision: 0 };
    let shown = plane.flows().get_flow(request).await.unwrap().into_inner();
    assert_eq!(unset(&shown.warnings).len(), 1, "{:?}", shown.warnings);

    let wrong = with_config(attachment("keeper", ""), json!({ "hook_ref": "https://hooks.example/s3cr3t" }));
    let error = assert_refused(plane.attach(wrong).await, Code::InvalidArgument, "INVALID_FIELD", &["config/hook_ref"]);
    assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
}

#[tokio::test]
async fn executors_are_told_what_executable_revisions_need_and_nothing_else() {
    let plane = with_keeper().await;
    plane.create_tenant("other").await;
    keeper(&plane, "other").await;
    for tenant in ["acme", "other"] {
        for name in ["API_KEY", "HOOK", "UNUSED"] {
            sets(&plane, tenant, name, &format!("{tenant}-{name}")).await;
        }
    }
    let mut executor = Executor::connect(&plane, wire::Hello { subscription: only(&["acme"]), ..hello("e1") }).await;
    assert_eq!(secrets(&executor.applied().await), [""; 0], "nothing needs any");

    let saved = plane.attach(with_config(attachment("keeper", ""), json!({}))).await.unwrap();
    let told = executor.applied().await;
    assert_eq!(secrets(&told), ["acme/API_KEY@1=acme-API_KEY"], "with the revision that needs it");
    assert_eq!(told.revisions().last().unwrap(), &("login".to_owned(), 2, true));
    let config = sluice_api::convert::json::to_struct(json!({ "hook_ref": "HOOK" }).as_object().unwrap().clone());
    let request = control::UpdateAttachmentRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        attachment: saved.attachment.clone(),
        config: Some(config),
        ..Default::default()
    };
    plane.flows().update_attachment(request).await.unwrap();
    assert!(secrets(&executor.applied().await).contains(&"acme/HOOK@1=acme-HOOK".to_owned()));

    // Rotated, it is told at once, and nothing else.
    sets(&plane, "acme", "HOOK", "rotated").await;
    let told = executor.applied().await;
    assert_eq!((secrets(&told), told.upserts.len()), (vec!["acme/HOOK@2=rotated".to_owned()], 1));
    sets(&plane, "acme", "UNUSED", "rotated").await;
    sets(&plane, "other", "API_KEY", "rotated").await;
    removes(&plane, "API_KEY").await.unwrap();
    let mut told = Vec::new();
    while !told.contains(&"-acme/API_KEY".to_owned()) {
        told.extend(secrets(&executor.applied().await));
    }
    assert_eq!(told, ["-acme/API_KEY"], "neither what nothing needs nor another tenant's");

    // Who comes later is told the same, whole.
    let mut late = Executor::connect(&plane, wire::Hello { subscription: only(&["acme"]), ..hello("e2") }).await;
    assert_eq!(secrets(&late.applied().await), ["acme/HOOK@2=rotated"]);
    let mut of_all = Executor::connect(&plane, hello("e3")).await;
    assert_eq!(secrets(&of_all.applied().await), ["acme/HOOK@2=rotated"]);
    // The revision that needs nothing from its config is executable still, and fetched with what it needs.
    let request = wire::FetchFlowRevisionRequest { tenant: "acme".into(), flow: "login".into(), revision: 3 };
    let fetched = plane.distribution().fetch_flow_revision(request).await.unwrap().into_inner();
    let names: Vec<&str> = fetched.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["HOOK"]);
    let request = wire::FetchFlowRevisionRequest { tenant: "acme".into(), flow: "login".into(), revision: 1 };
    let fetched = plane.distribution().fetch_flow_revision(request).await.unwrap().into_inner();
    assert!(fetched.secrets.is_empty());
}

/// Every file under a folder that has these bytes.
fn with_bytes(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(with_bytes(&path, needle));
        } else if fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_value_is_nowhere_on_the_disk_and_in_no_export_in_clear() {
    let mut plane = with_keeper().await;
    let request = control::SetSecretRequest { request_id: "r1".into(), ..set("acme", "API_KEY", CANARY) };
    let answer = plane.secrets().set_secret(request.clone()).await.unwrap().into_inner();
    assert_eq!(plane.secrets().set_secret(request).await.unwrap().into_inner().secret, answer.secret);
    plane.attach(with_config(attachment("keeper", ""), json!({}))).await.unwrap();
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    assert!(secrets(&executor.applied().await)[0].contains(CANARY), "executors get it");
    let all = format!("{answer:?} {:?} {:?}", listed(&plane, "acme").await, plane.records("acme").await);
    assert!(!all.contains(CANARY), "{all}");
    drop(executor);
    plane.stop().await;

    let (data, to) = (plane.data(), TempDir::new().unwrap());
    let file = to.path().join("export");
    export(&data, &file).await.unwrap();
    let restored = to.path().join("restored");
    restore(&restored, &file).await.unwrap();
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&CANARY[..CANARY.len() / 3 * 3]);
    for needle in [CANARY.as_bytes(), encoded.as_bytes()] {
        assert_eq!(with_bytes(&data, needle), [""; 0]);
        assert_eq!(with_bytes(to.path(), needle), [""; 0]);
    }
    let key = fs::read(data.join("keys/secrets.key")).unwrap();
    assert_eq!(with_bytes(to.path(), &key), [""; 0], "the key is in no export");

    // Restored, it does not begin without the key, and has the secret with it.
    let clock = TestClock::new();
    let meter = plane.telemetry.meter();
    let refused = ControlPlane::open(&restored, &PlaneConfig::default(), tools(&clock).await, &meter).await;
    let says = refused.unwrap_err().to_string();
    assert!(
        says.starts_with("secrets.key_file: ") && says.contains("keys/secrets.key: there is no key file"),
        "{says}"
    );
    let secrets = SecretsConfig { key_file: Some(data.join("keys/secrets.key")), ..SecretsConfig::default() };
    let config = PlaneConfig { secrets, ..PlaneConfig::default() };
    ControlPlane::open(&restored, &config, tools(&clock).await, &meter).await.unwrap().close().await;
}

#[tokio::test]
async fn a_control_plane_does_not_begin_with_another_key_and_says_which_file() {
    let mut plane = Plane::with_acme().await;
    sets(&plane, "acme", "API_KEY", CANARY).await;
    plane.stop().await;
    let (file, clock, meter) = (plane.data().join("keys/secrets.key"), TestClock::new(), plane.telemetry.meter());
    let refused = async |config: PlaneConfig| {
        let opened = ControlPlane::open(&plane.data(), &config, tools(&clock).await, &meter).await;
        opened.unwrap_err().to_string()
    };
    let key = fs::read(&file).unwrap();
    fs::write(&file, [7; 32]).unwrap();
    let says = refused(PlaneConfig::default()).await;
    assert!(says.contains("keys/secrets.key: is key ") && says.contains("were sealed by key"), "{says}");
    fs::write(&file, &key[1..]).unwrap();
    assert!(refused(PlaneConfig::default()).await.contains("a key file has 32 bytes, this one has 31"));
    fs::write(&file, &key).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(PlaneConfig::default()).await.contains("chmod 600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let nowhere = SecretsConfig { key_file: Some(plane.data().join("nowhere")), ..SecretsConfig::default() };
    let says = refused(PlaneConfig { secrets: nowhere, ..PlaneConfig::default() }).await;
    assert!(says.contains("nowhere: there is no key file"), "{says}");
    plane.begin().await;
    assert_eq!(listed(&plane, "acme").await.len(), 1);
}

#[tokio::test]
async fn a_version_tells_what_it_reaches() {
    let plane = with_keeper().await;
    let request = control::GetVersionRequest { tenant: "acme".into(), slug: "keeper".into(), version: "1.0.0".into() };
    let version = plane.catalog().get_version(request).await.unwrap().into_inner().version.unwrap();
    let grants = version.grants.unwrap();
    assert_eq!(
        (&*grants.secrets, &*grants.secrets_from_config),
        (&["API_KEY".to_owned()][..], &["/hook_ref".to_owned()][..])
    );
    let header = control::PublishHeader { next: Some(Next::Version("9.0.0".into())), ..crate::support::header("acme") };
    let again = plane.publish_as(header, crate::support::archive(&crate::support::gate("9"))).await.unwrap();
    assert!(again.version.unwrap().grants.is_none(), "nothing is absent");
}
