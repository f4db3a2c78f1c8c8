//! What is kept on disk: the compiled engine and snapshots, and what is damaged or foreign is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_sandbox::{Engine, EngineOptions, Snapshot, SnapshotError};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use support::*;

fn small(cache: Option<&Path>) -> Engine {
    let options = EngineOptions {
        cache_dir: cache.map(Path::to_owned),
        max_runs_in_flight: 4,
        slow_threads: 1,
        ..EngineOptions::default()
    };
    Engine::new(options).unwrap()
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

const CODE: &str = "const allowed = new Set(['example.com']); console.log('once');
    export function execute(input) { if (input.boom) throw new Error('boom'); return { kind: allowed.has(input.domain) ? 'continue' : 'block' } }";

#[tokio::test]
async fn an_image_is_the_same_however_it_is_come_by() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("a/b");
    let built = small(Some(&cache));
    let file = only_file(&cache);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    assert_eq!(small(Some(&cache)).identity(), built.identity());

    // Damaged, writable by others, or cut: it is made anew, the same.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(&file, damaged).unwrap();
    assert_eq!(small(Some(&cache)).identity(), built.identity());
    assert!(fs::read(&file).unwrap() == bytes, "compiling is deterministic, and the file is whole again");

    // A snapshot of the one runs on the other, and is byte for byte the one that the other makes.
    let one = built.snapshot(&bundle(CODE)).await.unwrap();
    assert!(one.to_bytes(&built) == ENGINE.snapshot(&bundle(CODE)).await.unwrap().to_bytes(&ENGINE));
    assert_eq!(built.identity(), ENGINE.identity());
}

#[tokio::test]
async fn an_image_that_others_can_write_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    drop(small(Some(&cache)));
    let file = only_file(&cache);
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    drop(small(Some(&cache)));
    let after = fs::metadata(&file).unwrap();
    assert!(after.modified().unwrap() > before, "it was made anew");
    assert_eq!(after.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_snapshot_from_bytes_runs_as_the_one_it_came_from() {
    let snapshot = snapshot(CODE).await;
    let bytes = snapshot.to_bytes(&ENGINE);
    let again = Snapshot::from_bytes(&ENGINE, &bytes).unwrap();
    assert!(again.logs().is_empty());
    assert_eq!(again.to_bytes(&ENGINE), bytes);
    let again = Arc::new(again);
    for (domain, kind) in [("example.com", "continue"), ("example.org", "block")] {
        let report = ENGINE.run(&again, request(&json!({"domain": domain}))).await;
        assert_eq!(report.outcome.unwrap().kind().as_str(), kind);
    }
    let failure = ENGINE.run(&again, request(&json!({"boom": true}))).await.outcome.unwrap_err();
    assert_eq!((failure.file.as_deref(), failure.line), (Some("src/index.ts"), Some(2)));
}

#[tokio::test]
async fn damaged_and_foreign_snapshots_are_refused() {
    let bytes = snapshot(CODE).await.to_bytes(&ENGINE);
    for at in (0..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let foreign = (8..72).contains(&at);
        let expected = if foreign { SnapshotError::OtherEngine } else { SnapshotError::Damaged };
        assert_eq!(Snapshot::from_bytes(&ENGINE, &damaged).unwrap_err(), expected, "byte {at}");
    }
    for len in [0, 8, 50, 103, 104, bytes.len() - 1] {
        assert_eq!(Snapshot::from_bytes(&ENGINE, &bytes[..len]).unwrap_err(), SnapshotError::Damaged, "{len} bytes");
    }
}

#[tokio::test]
async fn the_same_bundle_makes_the_same_snapshot() {
    let one = snapshot(CODE).await.to_bytes(&ENGINE);
    snapshot("globalThis.other = [1, 2, 3]; export function execute() {}").await;
    assert!(one == snapshot(CODE).await.to_bytes(&ENGINE));
}

#[tokio::test]
async fn a_small_actions_snapshot_is_small() {
    let snapshot = snapshot(CODE).await;
    // 6,280 bytes while the guest's blocks lie side by side and nothing is collected (ADR 0016).
    assert!(snapshot.memory_bytes() < 7 << 10, "{} bytes", snapshot.memory_bytes());
}
