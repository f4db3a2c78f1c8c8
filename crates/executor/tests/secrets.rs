//! Secrets on an executor's disk: sealed by its own key, or not there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{Fake, start, story};
use sluice_api::distribution::v1::{SecretState, resource::Resource};
use sluice_executor::{Executor, StartError, Surroundings, config::ExecutorConfig};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

const CANARY: &str = "canary-9f27c1e4b8d35a60";
const ROTATED: &str = "canary-2b61d0f8377ca94e";

fn secret(version: u64, value: &'static str) -> Resource {
    Resource::Secret(SecretState { tenant: "acme".into(), name: "API_KEY".into(), version, value: value.into() })
}

/// Every file under a folder that has this text.
fn with_text(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(with_text(&path, needle));
        } else if fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// An executor has applied a state with a secret, and then a change of the secret, and was killed.
async fn killed(fake: &mut Fake, data: &Path, key: Option<&Path>) {
    let running = start(fake, data, |config| config.secrets.cache_key_file = key.map(Path::to_owned)).await;
    let mut first = story(fake, "({ kind: 'continue' })");
    first.insert(1, secret(1, CANARY));
    fake.push(1, true, first);
    fake.acked(1).await;
    fake.push(2, false, vec![secret(2, ROTATED)]);
    fake.acked(2).await;
    drop(running);
    for value in [CANARY, ROTATED] {
        assert_eq!(with_text(data, value), [""; 0]);
    }
    assert!(!with_text(data, "API_KEY").is_empty(), "the test looks where it is");
}

fn key_file(folder: &Path, byte: u8) -> std::path::PathBuf {
    let path = folder.join(format!("key-{byte}"));
    fs::write(&path, [byte; 32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test]
async fn with_a_key_a_secret_is_kept_sealed_and_there_again_without_a_control_plane() {
    let (data, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = key_file(keys.path(), 1);
    let mut fake = Fake::start().await;
    killed(&mut fake, data.path(), Some(&key)).await;
    fake.go_away().await;
    let running = start(&fake, data.path(), |config| config.secrets.cache_key_file = Some(key)).await;
    assert!(running.readiness.is_ready());
    fake.happened();
    fake.come_back().await;
    let hello = fake.hello().await;
    assert_eq!((hello.resume_cursor, hello.send_full), (2, false), "it has everything");
}

#[tokio::test]
async fn without_a_key_or_with_another_one_secrets_are_left_out_and_everything_is_asked_for() {
    let (data, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (key, other) = (key_file(keys.path(), 1), key_file(keys.path(), 2));
    for (kept_by, read_by) in [(None, None), (None, Some(&key)), (Some(&key), None), (Some(&key), Some(&other))] {
        let mut fake = Fake::start().await;
        let folder = data.path().join(format!("{}-{}", kept_by.is_some(), read_by.is_some()));
        killed(&mut fake, &folder, kept_by.map(|key| &**key)).await;
        fake.go_away().await;
        let running = start(&fake, &folder, |config| config.secrets.cache_key_file = read_by.cloned()).await;
        assert!(running.readiness.is_ready(), "what needs no secret is served");
        fake.happened();
        fake.come_back().await;
        assert!(fake.hello().await.send_full, "{kept_by:?} {read_by:?}");
        drop(running);
    }
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_is_refused_by_its_setting() {
    let (data, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shared = key_file(keys.path(), 1);
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o644)).unwrap();
    let telemetry = sluice_serve::Telemetry::new(
        &sluice_serve::About::new("test", "0"),
        &sluice_serve::config::TelemetryConfig::default(),
    );
    let (telemetry, readiness) = (telemetry.unwrap(), sluice_serve::Readiness::new());
    for (path, says) in [(shared, "chmod 600"), (keys.path().join("none"), "there is no key file")] {
        let mut config = ExecutorConfig::default();
        config.secrets.cache_key_file = Some(path);
        let around = Surroundings { data: data.path(), readiness: &readiness, telemetry: &telemetry };
        let refused = Executor::start(&config, fake::ENGINE.clone(), around).await.unwrap_err();
        assert!(matches!(refused, StartError::CacheKey(_)), "{refused}");
        let told = refused.to_string();
        assert!(told.starts_with("secrets.cache_key_file: ") && told.contains(says), "{told}");
    }
}
