//! What is there again after a restart, and what the binary does.

use crate::support::{PROGRAM, Plane, attachment, gate};
use std::process::Command;

#[tokio::test]
async fn everything_that_was_answered_is_there_again() {
    let mut plane = Plane::with_gate().await;
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    let (flow, records) = (plane.flow("acme", "login", 0).await.unwrap(), plane.records("acme").await);
    plane.restart().await;
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap(), flow);
    assert_eq!(plane.records("acme").await, records);
    assert_eq!(plane.actions("acme").await[0].attached, 1);
    // Numbers go on where they were.
    assert!(!plane.publish("acme", &gate("1")).await.unwrap().created);
    assert_eq!(plane.publish("acme", &gate("2")).await.unwrap().version.unwrap().version, "1.0.1");
    assert_eq!(plane.pin("login", &saved.attachment, "1.0.1").await.unwrap().revision, 3);
    assert_eq!(plane.records("acme").await.len(), records.len() + 2);
}

#[test]
fn a_setting_that_is_wrong_is_refused_at_start_by_its_name() {
    let folder = tempfile::TempDir::new().unwrap();
    for (setting, takes) in [
        ("flows.revision_ttl_s=5", "60 to 2592000 seconds"),
        ("publish.at_once=0", "1 to 256 packages"),
        ("store.changes_kept=some", "100 to 100000000 commits"),
        ("listen=0.0.0.0:7070", "loopback"),
        ("colour=red", "colour"),
    ] {
        let ended = Command::new(PROGRAM).arg("--data").arg(folder.path()).args(["--set", setting]).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        let name = setting.split('=').next().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains(name) && told.contains(takes), "{setting}: {told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was begun");
}

/// Figures: `cargo test --release -p sluice-control-plane --test edge figures -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures_of_edits() {
    use std::time::{Duration, Instant};
    fn shown(what: &str, mut took: Vec<Duration>) {
        took.sort_unstable();
        eprintln!("{what}: p50 {:?}, p99 {:?} of {}", took[took.len() / 2], took[took.len() * 99 / 100], took.len());
    }
    let plane = Plane::with_gate().await;
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    let mut publishes = Vec::new();
    for number in 0..100 {
        let package = gate(&number.to_string());
        let began = Instant::now();
        plane.publish("acme", &package).await.unwrap();
        publishes.push(began.elapsed());
    }
    let mut pins = Vec::new();
    for number in 0..300 {
        let version = format!("1.0.{}", number % 50);
        let began = Instant::now();
        plane.pin("login", &saved.attachment, &version).await.unwrap();
        pins.push(began.elapsed());
    }
    shown("publish", publishes);
    shown("pin", pins);
}
