//! States that are garbled, cannot be resolved, come in half, are cut off or old: each is refused with its reason, where the
//! operator sees it, while the last good one serves; and what is right afterwards is taken.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use sluice_tests::{
    control_plane,
    load::Load,
    meddler::{Meddler, Trick},
    world::{FLOW, TENANT, VERSIONS, World},
};
use std::time::{Duration, Instant};

const EXECUTORS: usize = 2;

/// A trick, and what the executors say of it; a state that is only cut off is never whole, so there is nothing to refuse.
const TRICKS: &[(Trick, Option<&str>)] = &[
    (Trick::Garbled, Some("unreadable")),
    (Trick::Unresolved, Some("unresolved")),
    (Trick::Half, Some("incomplete")),
    (Trick::Cut, None),
    (Trick::Old, Some("outdated")),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_state_is_refused_and_the_last_good_one_serves() {
    let control = control_plane();
    let meddler = Meddler::start(&control.url("control")).await;
    let world = World::start_with(control, meddler.url(), EXECUTORS, &[]);
    let mut editor = world.editor();
    let mut load = Load::start(&world.urls(), 2, TENANT, FLOW);
    load.answered_by_all(20).await;
    let mut good = (world.revision, VERSIONS[0]);

    for (number, (trick, cause)) in TRICKS.iter().enumerate() {
        let nacks = nacks(&world);
        let played = meddler.played();
        meddler.play(*trick);
        let version = VERSIONS[(number + 1) % 2];
        let (saved, _) = editor.pin(version, &format!("spoilt-{number}")).await;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let spoilt = meddler.played() >= played + EXECUTORS as u64;
            let told = match cause {
                Some(cause) => last_causes(&world, &nacks) == vec![(*cause).to_owned(); EXECUTORS],
                None => spoilt,
            };
            if spoilt && told {
                break;
            }
            assert!(Instant::now() < until, "{trick:?}: {:?}", executors(&world));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The one before it serves on.
        let before = load.answers().len();
        load.answered_by_all(20).await;
        for answer in &load.answers()[before..] {
            assert_eq!(
                (answer.revision, answer.version.as_str(), answer.ran.as_str()),
                (good.0, good.1, good.1),
                "{trick:?}"
            );
        }
        println!("{trick:?}: refused as {cause:?} by {EXECUTORS} executors; revision {} serves on", good.0);

        // And what comes rightly is taken.
        meddler.play(Trick::Honest);
        while executors(&world).len() < EXECUTORS {
            assert!(Instant::now() < until, "they do not come back after {trick:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let version = VERSIONS[number % 2];
        let (right, _) = editor.pin(version, &format!("right-{number}")).await;
        assert!(right.revision > saved.revision);
        assert_eq!(editor.rolled_out(right.revision).await as usize, EXECUTORS, "after {trick:?}");
        good = (right.revision, version);
    }
    drop(load);
}

fn executors(world: &World) -> Vec<Value> {
    world.cli().run(&["executor", "list"])["entries"].as_array().unwrap().clone()
}

/// How many states each executor has refused so far.
fn nacks(world: &World) -> Vec<(String, u64)> {
    let of = |e: &Value| (e["executor"].as_str().unwrap().to_owned(), e["nacks"].as_u64().unwrap());
    executors(world).iter().map(of).collect()
}

/// The cause of the last refusal of each executor that has refused something since `before`.
fn last_causes(world: &World, before: &[(String, u64)]) -> Vec<String> {
    let since = |e: &&Value| {
        let known = before.iter().find(|(id, _)| e["executor"] == id.as_str()).map_or(0, |(_, n)| *n);
        e["nacks"].as_u64().unwrap() > known
    };
    let all = executors(world);
    all.iter().filter(since).map(|e| e["last_nack"]["cause"].as_str().unwrap_or("none").to_owned()).collect()
}
