//! Everything in one file, and a control plane made of it again.

use crate::ingest::{Spool, acked, executions, run};
use crate::support::{PROGRAM, Plane, attachment, gate};
use crate::watching::{Executor, hello};
use sluice_api::control::v1 as control;
use sluice_api::distribution::v1 as wire;
use sluice_api::types::v1 as types;
use sluice_control_plane::config::PlaneConfig;
use sluice_control_plane::export::{export, restore};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// All that can be asked of a control plane.
#[derive(Debug, PartialEq)]
struct Seen {
    tenants: Vec<control::Tenant>,
    actions: Vec<(String, Vec<control::Action>)>,
    versions: Vec<control::ListVersionsResponse>,
    flows: Vec<types::Flow>,
    records: Vec<types::AuditRecord>,
    bundles: Vec<Vec<u8>>,
    /// What executors are told, but for the cursor.
    state: Vec<wire::resource::Resource>,
}

async fn bundle(plane: &Plane, tenant: &str, bundle_digest: &str) -> Vec<u8> {
    let request = wire::FetchBundleRequest { tenant: tenant.into(), bundle_digest: bundle_digest.into() };
    let mut parts = plane.distribution().fetch_bundle(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        bytes.extend_from_slice(&part.chunk);
    }
    bytes
}

async fn seen(plane: &Plane) -> Seen {
    let tenants = plane.tenants().list_tenants(control::ListTenantsRequest::default()).await.unwrap();
    let tenants = tenants.into_inner().tenants;
    let (mut actions, mut versions, mut flows, mut records, mut bundles) = (vec![], vec![], vec![], vec![], vec![]);
    for tenant in tenants.iter().map(|tenant| tenant.tenant.as_str()) {
        let found = plane.actions(tenant).await;
        for action in &found {
            let request =
                control::ListVersionsRequest { tenant: tenant.into(), slug: action.slug.clone(), ..Default::default() };
            let found = plane.catalog().list_versions(request).await.unwrap().into_inner();
            for version in &found.versions {
                bundles.push(bundle(plane, tenant, &version.bundle_digest).await);
            }
            versions.push(found);
        }
        actions.push((tenant.to_owned(), found));
        for revision in 0.. {
            match plane.flow(tenant, "login", revision).await {
                Ok(flow) => flows.push(flow),
                Err(_) => break,
            }
        }
        records.extend(plane.records(tenant).await);
    }
    let state = Executor::connect(plane, hello("seer")).await.applied().await;
    assert!(state.full);
    Seen { tenants, actions, versions, flows, records, bundles, state: state.upserts }
}

/// A control plane with two tenants, versions, three revisions, and runs in audit.
async fn lived() -> Plane {
    let plane = Plane::with_gate().await;
    plane.create_tenant("beta").await;
    plane.publish("beta", &gate("b")).await.unwrap();
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    plane.publish("acme", &gate("2")).await.unwrap();
    plane.pin("login", &saved.attachment, "1.0.1").await.unwrap();
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    let batch = (1..=3).map(|number| run(&plane, number)).collect();
    assert_eq!(spool.sends(1, batch).await.unwrap(), acked(3));
    plane
}

/// A folder whose `data` is restored from an export.
async fn restored(from: &Path) -> TempDir {
    let folder = TempDir::new().unwrap();
    restore(&folder.path().join("data"), from).await.unwrap();
    folder
}

/// The key of secrets is in no export: whoever restores brings it along. The names of counters are made by it, too.
fn bring_key(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("keys")).unwrap();
    fs::copy(from.join("keys/secrets.key"), to.join("keys/secrets.key")).unwrap();
}

fn program(verb: &str, data: &Path, flag: &str, file: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(verb).arg("--data").arg(data).arg(flag).arg(file);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_restored_control_plane_holds_what_was_exported_and_goes_on() {
    let mut plane = lived().await;
    let expected = seen(&plane).await;
    plane.stop().await;
    let files = TempDir::new().unwrap();
    let (one, two) = (files.path().join("one"), files.path().join("two"));
    let contents = export(&plane.data(), &one).await.unwrap();
    // Those of the ten templates, and three of its own.
    assert_eq!((contents.bundles, contents.audit_records), (13, expected.records.len() as u64));
    export(&plane.data(), &two).await.unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap(), "the same data is the same file");

    let folder = TempDir::new().unwrap();
    assert_eq!(restore(&folder.path().join("data"), &one).await.unwrap(), contents);
    bring_key(&plane.data(), &folder.path().join("data"));
    let again = Plane::on(folder, PlaneConfig::default()).await;
    assert_eq!(seen(&again).await, expected);
    // The etag that somebody has seen stands, numbers go on, and the old one still works as well.
    let etag = expected.flows[0].etag.clone();
    let request = control::PinAttachmentRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        attachment: expected.flows[0].slots[0].attachments[0].attachment.clone(),
        version: "1.0.0".into(),
        etag,
        ..Default::default()
    };
    let saved = again.flows().pin_attachment(request).await.unwrap().into_inner().saved.unwrap();
    assert_eq!(saved.revision, 4);
    assert_eq!(again.publish("acme", &gate("3")).await.unwrap().version.unwrap().version, "1.0.2");
    assert_eq!(again.records("acme").await.len(), expected.records.iter().filter(|r| r.tenant == "acme").count() + 2);
    plane.begin().await;
    assert_eq!(seen(&plane).await, expected);
}

#[tokio::test]
async fn an_executor_that_heard_of_more_than_the_export_has_is_told_everything() {
    let mut plane = lived().await;
    plane.stop().await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("export");
    export(&plane.data(), &file).await.unwrap();
    plane.begin().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let before = executor.applied().await.cursor;
    plane.attach(attachment("gate", "1.0.0")).await.unwrap();
    let ahead = executor.applied().await.cursor;
    drop(executor);
    assert!(ahead > before);
    // The original goes on from the cursor that it gave.
    let mut executor = Executor::connect(&plane, wire::Hello { resume_cursor: before, ..hello("e1") }).await;
    assert!(!executor.applied().await.full);

    let again = Plane::on(restored(&file).await, PlaneConfig::default()).await;
    for resume_cursor in [before, ahead] {
        let mut executor = Executor::connect(&again, wire::Hello { resume_cursor, ..hello("e1") }).await;
        let state = executor.applied().await;
        assert!(state.full, "a cursor of another life of the store");
        assert_eq!(state.revisions().last().unwrap().1, 3, "what the export has");
    }
    // Also when it has counted as many commits as the executor has heard of.
    for _ in 0..3 {
        again.attach(attachment("gate", "1.0.0")).await.unwrap();
    }
    let mut executor = Executor::connect(&again, wire::Hello { resume_cursor: ahead, ..hello("e2") }).await;
    let state = executor.applied().await;
    assert!(state.full);
    drop(executor);
    let mut executor = Executor::connect(&again, wire::Hello { resume_cursor: state.cursor, ..hello("e2") }).await;
    again.create_tenant("gamma").await;
    assert!(!executor.applied().await.full, "its own cursors hold");
}

#[tokio::test]
async fn audit_is_kept_once_across_an_export_and_what_it_lacks_is_told() {
    let mut plane = lived().await;
    plane.stop().await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("export");
    export(&plane.data(), &file).await.unwrap();
    let again = Plane::on(restored(&file).await, PlaneConfig::default()).await;
    // Not acknowledged before the export: sent again.
    let mut spool = Spool::at(&again, 1, 2, 3).await;
    let batch = (2..=4).map(|number| run(&again, number)).collect();
    assert_eq!(spool.sends(2, batch).await.unwrap(), acked(4));
    assert_eq!(executions(&again).await, ["x1", "x2", "x3", "x4"]);
    drop(spool);
    // Acknowledged after the export: the executor has them no more, and the log never had them.
    let mut spool = Spool::at(&again, 1, 9, 4).await;
    assert_eq!(spool.sends(9, vec![run(&again, 9)]).await.unwrap(), acked(9));
    assert_eq!(executions(&again).await, ["x1", "x2", "x3", "x4", "x9"]);
    let records = again.records("acme").await;
    let gap = records.iter().find(|record| record.kind == "audit.gap").unwrap();
    let to = sluice_api::convert::json::value(gap.to.clone().unwrap()).unwrap();
    assert_eq!(to["missing"], 4);
}

#[tokio::test]
async fn an_export_that_is_not_whole_is_refused_by_its_place_and_leaves_nothing() {
    let mut plane = lived().await;
    plane.stop().await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("export");
    export(&plane.data(), &file).await.unwrap();
    let whole = fs::read(&file).unwrap();
    let place = files.path().join("data");
    let mut damaged: Vec<(Vec<u8>, &str)> =
        (0..whole.len()).step_by(whole.len() / 40).map(|cut| (whole[..cut].to_vec(), "cut short")).collect();
    damaged.extend((0..whole.len()).step_by(whole.len() / 40).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        (bytes, "")
    }));
    damaged.push((b"{}".to_vec(), "cut short"));
    damaged.push((b"something else that is long enough".to_vec(), "no export of Sluice"));
    for (bytes, says) in damaged {
        fs::write(&file, &bytes).unwrap();
        let refused = restore(&place, &file).await.unwrap_err().to_string();
        let names = format!("{} is damaged at byte", file.display());
        assert!(refused.starts_with(&names) && refused.contains(says), "{} bytes: {refused}", bytes.len());
        assert!(!place.exists(), "{refused}");
    }
    let missing = restore(&place, &files.path().join("nowhere")).await.unwrap_err().to_string();
    assert!(missing.contains("nowhere") && !place.exists(), "{missing}");
}

#[tokio::test]
async fn a_folder_that_holds_something_is_never_restored_into() {
    let mut plane = lived().await;
    plane.stop().await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("export");
    export(&plane.data(), &file).await.unwrap();
    let refused = restore(&plane.data(), &file).await.unwrap_err().to_string();
    assert!(refused.contains("is not empty"), "{refused}");
    plane.begin().await;
    plane.stop().await;
    let other = files.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), b"precious").unwrap();
    let refused = restore(&other, &file).await.unwrap_err().to_string();
    assert!(refused.contains("is not empty (it has mine)"), "{refused}");
    assert_eq!(fs::read(other.join("mine")).unwrap(), b"precious");
    // An export neither overwrites a file nor makes a folder.
    let there = export(&plane.data(), &file).await.unwrap_err().to_string();
    assert!(there.contains("is there already"), "{there}");
    let nothing = export(&files.path().join("none"), &files.path().join("x")).await.unwrap_err().to_string();
    assert!(nothing.contains("holds no control plane's data"), "{nothing}");
    assert!(!files.path().join("none").exists() && !files.path().join("x").exists());
}

#[tokio::test]
async fn the_program_exports_and_restores_and_refuses_in_one_line_while_a_server_runs() {
    let mut plane = lived().await;
    let files = TempDir::new().unwrap();
    let (file, place) = (files.path().join("export"), files.path().join("data"));
    let refused = program("export", &plane.data(), "--to", &file).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let line = told(&refused);
    assert!(line.lines().count() == 1 && line.contains("another process holds it"), "{line}");
    assert!(!file.exists());
    let expected = seen(&plane).await;
    plane.stop().await;
    let exported = program("export", &plane.data(), "--to", &file).output().unwrap();
    assert!(exported.status.success(), "{}", told(&exported));
    let counted = String::from_utf8(exported.stdout).unwrap();
    assert!(counted.starts_with("exported ") && counted.contains("3 bundles"), "{counted}");
    let done = program("restore", &place, "--from", &file).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    let folder = TempDir::new().unwrap();
    fs::rename(&place, folder.path().join("data")).unwrap();
    bring_key(&plane.data(), &folder.path().join("data"));
    assert_eq!(seen(&Plane::on(folder, PlaneConfig::default()).await).await, expected);
    let help = Command::new(PROGRAM).args(["export", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for word in ["bundles", "audit log", "no settings"] {
        assert!(help.contains(word), "{help}");
    }
}

/// What it takes to kill a program at many of its moments: it is given a little longer each round.
fn killed_after(mut command: Command, after: Duration) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = std::time::Instant::now();
    while started.elapsed() < after && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // It may have ended by itself.
    drop(child.kill());
    child.wait().unwrap();
}

#[tokio::test]
async fn an_export_or_a_restore_that_is_killed_is_there_whole_or_not_at_all() {
    let mut plane = lived().await;
    let expected = seen(&plane).await;
    plane.stop().await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("export");
    let (mut exports, mut cut_short) = (0, 0);
    for round in 0..25 {
        fs::remove_file(&file).ok();
        killed_after(program("export", &plane.data(), "--to", &file), Duration::from_millis(round * 4));
        if file.exists() {
            exports += 1;
            restore(&files.path().join(format!("whole-{round}")), &file).await.unwrap();
        }
    }
    fs::remove_file(&file).ok();
    export(&plane.data(), &file).await.unwrap();
    plane.begin().await;
    assert_eq!(seen(&plane).await, expected, "what was exported from is as it was");

    let folder = TempDir::new().unwrap();
    let place = folder.path().join("data");
    for round in 0..25 {
        fs::remove_dir_all(&place).ok();
        killed_after(program("restore", &place, "--from", &file), Duration::from_millis(round * 6));
        if place.join("RESTORING").exists() {
            cut_short += 1;
            // No server takes it for a control plane, nor does an export.
            let started = Command::new(PROGRAM)
                .arg("--data")
                .arg(&place)
                .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--set", "log.level=off"])
                .output()
                .unwrap();
            assert!(
                !started.status.success() && told(&started).contains("a restore was cut short here"),
                "{}",
                told(&started)
            );
            let refused = export(&place, &files.path().join("x")).await.unwrap_err().to_string();
            assert!(refused.contains("cut short") || refused.contains("holds no control plane's data"), "{refused}");
            // The same restore again makes it whole.
            restore(&place, &file).await.unwrap();
        } else if !place.join("meta").exists() {
            // Killed before it had begun.
            restore(&place, &file).await.unwrap();
        }
        export(&place, &files.path().join(format!("again-{round}"))).await.unwrap();
    }
    bring_key(&plane.data(), &folder.path().join("data"));
    eprintln!("{exports} of 25 exports were ended in time, {cut_short} of 25 restores were cut short");
    assert_eq!(seen(&Plane::on(folder, PlaneConfig::default()).await).await, expected);
}
