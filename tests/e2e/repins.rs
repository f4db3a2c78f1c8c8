//! A flow is re-pinned again and again under load: no sign-in runs a wrong version, none goes back behind what was told to
//! be everywhere, and how long a pin takes to be everywhere is printed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_tests::{
    load::Load,
    rounds,
    trail::{self, Difference},
    world::{FLOW, TENANT, VERSIONS, World, package_of_200_lines, publish},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const EXECUTORS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_everywhere_at_once_and_no_sign_in_runs_another() {
    let pins = rounds(100, 1000);
    let world = World::start(EXECUTORS);
    let mut editor = world.editor();
    let mut load = Load::start(&world.urls(), 2, TENANT, FLOW);
    load.answered_by_all(20).await;

    let mut versions = BTreeMap::from([(world.revision, VERSIONS[0])]);
    let mut everywhere: Vec<(Instant, u64)> = Vec::new();
    let (mut saving, mut spreading) = (Vec::new(), Vec::new());
    for number in 1..=pins {
        let version = VERSIONS[number % 2];
        let asked = Instant::now();
        let (saved, attempts) = editor.pin(version, &format!("pin-{number}")).await;
        let saved_at = Instant::now();
        assert_eq!(attempts, 1);
        versions.insert(saved.revision, version);
        assert_eq!(editor.rolled_out(saved.revision).await as usize, EXECUTORS);
        everywhere.push((Instant::now(), saved.revision));
        saving.push(saved_at - asked);
        spreading.push(asked.elapsed());
    }
    load.answered_by_all(20).await;
    let answers = load.stop().await;
    println!("{} answers beside {pins} pins, {EXECUTORS} executors", answers.len());
    println!("a pin, to its answer:      {}", spread(&mut saving));
    println!("a pin, to all executors:   {}", spread(&mut spreading));

    for answer in &answers {
        let pinned = versions.get(&answer.revision).copied();
        assert_eq!((Some(answer.version.as_str()), Some(answer.ran.as_str())), (pinned, pinned), "{answer:?}");
        let told = everywhere.partition_point(|(at, _)| *at <= answer.sent);
        let least = told.checked_sub(1).map_or(world.revision, |i| everywhere[i].1);
        assert!(answer.revision >= least, "revision {least} was everywhere before this was asked: {answer:?}");
    }
    let control = world.control.url("control");
    assert_eq!(trail::compare(&control, TENANT, &answers, Duration::from_secs(60)).await, Difference::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_published_pinned_and_running_at_once() {
    let world = World::start(1);
    let control = world.control.url("control");
    let mut editor = world.editor();
    let (mut publishing, mut running) = (Vec::new(), Vec::new());
    for number in 1..=rounds(20, 200) {
        let version = format!("2.0.{number}");
        let package = package_of_200_lines(&version);
        let asked = Instant::now();
        publish(&control, package, &version).await;
        publishing.push(asked.elapsed());
        let (saved, _) = editor.pin(&version, &format!("new-{number}")).await;
        // An executor tells that it has a revision once what the revision pins can run.
        assert_eq!(editor.rolled_out(saved.revision).await, 1);
        running.push(asked.elapsed());
    }
    println!("a publish of 200 lines, to its answer:                 {}", spread(&mut publishing));
    println!("the same, pinned and runnable on the executor:         {}", spread(&mut running));
    let mut load = Load::start(&world.urls(), 1, TENANT, FLOW);
    load.answered_by_all(1).await;
    let last = format!("2.0.{}", rounds(20, 200));
    assert!(load.stop().await.iter().all(|a| a.version == last && a.ran == last));
}

fn spread(all: &mut [Duration]) -> String {
    all.sort();
    let at = |part: usize| all[(all.len() - 1) * part / 100];
    format!("p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(50), at(99), at(100))
}
