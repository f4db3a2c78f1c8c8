//! Either plane is killed at any moment, under load and while the flow is edited: no answered run is missing from audit or
//! there twice, no acknowledged edit is lost or done twice, and no sign-in runs a version that its revision does not pin.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_tests::{
    control_plane,
    load::Load,
    rounds,
    trail::{self, Difference},
    world::{Editor, FLOW, TENANT, VERSIONS, World},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long records may be under way in the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Callers for each executor.
const CALLERS: usize = 6;

/// The versions by the revision that pins them.
type Pins = Arc<Mutex<BTreeMap<u64, &'static str>>>;

/// Pins one version after the other until it is stopped; each edit is answered before the next.
async fn edit(mut editor: Editor, pins: Pins, stop: CancellationToken) -> u32 {
    let mut again = 0;
    for number in 1_usize.. {
        if stop.is_cancelled() {
            break;
        }
        let version = VERSIONS[number % 2];
        let (saved, attempts) = editor.pin(version, &format!("edit-{number}")).await;
        again += attempts - 1;
        let before = pins.lock().unwrap().insert(saved.revision, version);
        assert_eq!(before, None, "two edits were told that they made revision {}", saved.revision);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    again
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_that_is_killed_loses_nothing() {
    let rounds = rounds(6, 50);
    let mut world = World::start(2);
    let pins: Pins = Arc::new(Mutex::new(BTreeMap::from([(world.revision, VERSIONS[0])])));
    let stop = CancellationToken::new();
    let editing = tokio::spawn(edit(world.editor(), Arc::clone(&pins), stop.clone()));
    let mut load = Load::start(&world.urls(), CALLERS, TENANT, FLOW);
    for round in 1..=rounds {
        for victim in ["control plane", "executor"] {
            load.answered_by_all(20).await;
            let executor = round % 2;
            if victim == "executor" {
                let in_flight = load.in_flight(executor);
                world.executors[executor].kill();
                println!("round {round}: killed executor {executor} with {in_flight} calls in flight");
                world.executors[executor].start_again();
            } else {
                let in_flight = load.in_flight(0) + load.in_flight(1);
                world.control.kill();
                println!(
                    "round {round}: killed the control plane with {in_flight} calls in flight, and the editor at work"
                );
                // Sign-ins go on without it.
                load.answered_by_all(20).await;
                world.control.start_again();
            }
        }
    }
    load.answered_by_all(20).await;
    stop.cancel();
    let again = editing.await.unwrap();
    let failed = load.failed();
    let answers = load.stop().await;
    let pins = pins.lock().unwrap().clone();

    let control = world.control.url("control");
    let difference = trail::compare(&control, TENANT, &answers, PATIENCE).await;
    println!(
        "{} answered runs ({failed} calls failed), {} acknowledged edits ({again} asked again): {difference:?}",
        answers.len(),
        pins.len()
    );
    assert_eq!(difference, Difference::default());

    // Every edit is there once, in audit and as a revision of the flow that pins what was asked for.
    let mut edits: Vec<(u64, String)> = trail::records(&control, TENANT, "flow.action_updated")
        .await
        .into_iter()
        .map(|record| (record.flow_revision, record.version))
        .collect();
    edits.sort();
    let acknowledged: Vec<(u64, String)> =
        pins.iter().skip(1).map(|(revision, version)| (*revision, (*version).to_owned())).collect();
    assert_eq!(edits, acknowledged, "audit's edits, and those that were acknowledged");
    let cli = world.cli();
    for (revision, version) in &pins {
        let shown = cli.run(&["flow", "show", FLOW, "--revision", &revision.to_string()]);
        assert_eq!(shown["slots"][0]["attachments"][0]["version"], *version, "revision {revision}");
    }

    // No answer came from another version than its revision pins.
    for answer in &answers {
        let pinned = pins.get(&answer.revision).copied();
        assert_eq!((Some(answer.version.as_str()), Some(answer.ran.as_str())), (pinned, pinned), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_restarts_while_the_control_plane_is_dead_serves_and_keeps_audit() {
    let mut world = World::start(2);
    let mut load = Load::start(&world.urls(), 2, TENANT, FLOW);
    load.answered_by_all(20).await;
    world.control.kill();
    load.answered_by_all(20).await;
    for executor in &mut world.executors {
        executor.kill();
        executor.start_again();
    }
    load.answered_by_all(50).await;
    let answers = load.stop().await;
    assert!(answers.iter().all(|a| a.version == VERSIONS[0] && a.ran == VERSIONS[0]), "nothing else was ever pinned");

    world.control.start_again();
    let difference = trail::compare(&world.control.url("control"), TENANT, &answers, PATIENCE).await;
    println!("{} runs answered, before and without a control plane: {difference:?}", answers.len());
    assert_eq!(difference, Difference::default());
}

/// What the tests above rest on: that a single record which is lost without a word is found to be missing.
#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_the_spool_loses_is_noticed() {
    let control = control_plane();
    let url = control.url("control");
    let hook = [("FAULT_INJECTION_SPOOL_LOSES_RECORD", "yes, lose record 7")];
    let world = World::start_with(control, &url, 1, &hook);
    let mut load = Load::start(&world.urls(), 2, TENANT, FLOW);
    load.answered_by_all(100).await;
    let answers = load.stop().await;
    let difference = trail::compare(&url, TENANT, &answers, Duration::from_secs(3)).await;
    println!("with the hook on, of {} answered runs: {difference:?}", answers.len());
    assert_eq!(difference.missing.len(), 1, "{difference:?}");
    assert_eq!((difference.doubled.len(), difference.other.len()), (0, 0), "{difference:?}");
}
