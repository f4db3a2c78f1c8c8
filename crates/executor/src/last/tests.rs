use super::*;
use sluice_api::types::v1 as types;
use std::collections::BTreeSet;
use tempfile::TempDir;
use wire::{resource::Resource, resource_name::Name as WireName};

fn all() -> wire::hello::Subscription {
    wire::hello::Subscription::All(wire::AllTenants {})
}

fn kept_in(folder: &Path) -> LastState {
    LastState::new(folder, &all(), None, Metrics::for_tests())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn tenant(name: &str) -> Resource {
    Resource::Tenant(wire::TenantState {
        counters_key: Vec::new().into(),
        tenant: name.into(),
        allowed_redirect_origins: Vec::new(),
        break_glass: false,
    })
}

fn version(version: &str) -> Resource {
    let version = wire::VersionState {
        tenant: "acme".into(),
        slug: "check".into(),
        version: version.into(),
        ..Default::default()
    };
    Resource::Version(version)
}

fn revision(revision: u64, pins: &str, newest: bool, expires_at: Option<i64>) -> Resource {
    let attachment = types::Attachment { slug: "check".into(), version: pins.into(), ..Default::default() };
    let slot = types::Slot { attachments: vec![attachment], ..Default::default() };
    let flow =
        types::Flow { tenant: "acme".into(), flow: "login".into(), revision, slots: vec![slot], ..Default::default() };
    let expires_at = expires_at.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
    Resource::FlowRevision(wire::FlowRevision { flow: Some(flow), newest, expires_at })
}

fn state(cursor: u64, full: bool, resources: Vec<Resource>) -> wire::State {
    let upserts = resources.into_iter().map(|resource| wire::Resource { resource: Some(resource) }).collect();
    wire::State { cursor, full, last: true, upserts, connected_executors: 2, ..Default::default() }
}

/// The names of what a folded state holds, and its cursor.
fn names(parts: &[wire::State]) -> (u64, Vec<String>) {
    assert!(parts.iter().all(|part| part.full && part.removals.is_empty()));
    assert!(parts.last().unwrap().last && parts.iter().zip(0..).all(|(part, n)| part.part == n));
    let name = |resource: &Resource| match resource {
        Resource::Tenant(tenant) => tenant.tenant.clone(),
        Resource::Version(version) => format!("check@{}", version.version),
        Resource::Secret(secret) => format!("secret {}", secret.name),
        Resource::FlowRevision(revision) => format!("login {}", revision.flow.as_ref().unwrap().revision),
    };
    let upserts = parts.iter().flat_map(|part| &part.upserts);
    (parts[0].cursor, upserts.map(|upsert| name(upsert.resource.as_ref().unwrap())).collect())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A whole state and two changes, of which the last has two parts.
async fn story(folder: &Path) -> LastState {
    let last = kept_in(folder);
    let first = state(1, true, vec![tenant("acme"), version("1.0.0"), revision(1, "1.0.0", true, None)]);
    last.keep(AsItCame::of(&[first], at(10))).await;
    let second = state(2, false, vec![version("1.1.0"), revision(2, "1.1.0", true, None)]);
    last.keep(AsItCame::of(&[second], at(20))).await;
    let third = [
        wire::State { last: false, ..state(3, false, vec![version("1.2.0")]) },
        wire::State { part: 1, ..state(3, false, vec![revision(3, "1.2.0", true, None)]) },
    ];
    last.keep(AsItCame::of(&third, at(30))).await;
    last
}

const WHOLE: [&str; 7] = ["acme", "check@1.0.0", "check@1.1.0", "check@1.2.0", "login 1", "login 2", "login 3"];

#[tokio::test]
async fn what_was_kept_comes_back_with_its_changes_and_its_time() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path()).await;
    let kept = kept_in(folder.path()).load().unwrap();
    assert_eq!(names(&kept.parts), (3, words(&WHOLE)));
    assert_eq!((kept.applied_at, kept.parts[0].connected_executors), (at(30), 2));
}

#[tokio::test]
async fn changes_are_added_to_what_was_kept_before_a_restart_and_a_whole_state_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path()).await;
    let second = kept_in(folder.path());
    second.load().unwrap();
    let gone = wire::TenantName { tenant: "acme".into() };
    let removals = vec![wire::ResourceName { name: Some(WireName::Tenant(gone)) }];
    let change = wire::State { removals, ..state(4, false, vec![tenant("other")]) };
    second.keep(AsItCame::of(&[change], at(40))).await;
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts), (4, words(&["other"])));
    second.keep(AsItCame::of(&[state(9, true, vec![tenant("third")])], at(50))).await;
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts), (9, words(&["third"])));
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_cut_and_what_was_whole_serves() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path()).await;
    let path = folder.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    let mut lengths = BTreeSet::new();
    // Killed at any byte of the last two changes. What had been whole before is what serves; nothing is set aside.
    let first = frame::read(&bytes, &kept_in(folder.path()).0.subscription).unwrap().first_bytes;
    for len in usize::try_from(first).unwrap()..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let last = kept_in(folder.path());
        let (cursor, _) = names(&last.load().unwrap().parts);
        assert!((1..=2).contains(&cursor), "a change with a part missing is none");
        lengths.insert((cursor, fs::metadata(&path).unwrap().len()));
        // And what comes next is added where the whole ended.
        last.keep(AsItCame::of(&[state(7, false, vec![tenant("next")])], at(70))).await;
        assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts).0, 7);
    }
    assert_eq!(lengths.len(), 2, "each cursor has one length: {lengths:?}");
    // The power failed: the file grew, what should be in it did not come.
    fs::write(&path, [&bytes[..], &[0; 4_096]].concat()).unwrap();
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts).0, 3);
    assert!(!folder.path().join("damaged").exists());
}

#[tokio::test]
async fn no_byte_can_change_without_being_noticed() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path()).await;
    let path = folder.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        let last = kept_in(folder.path());
        let refused = last.load().expect_err("a damaged state is not believed");
        match refused {
            NoState::Damaged { .. } => assert!(!path.exists(), "it is set aside"),
            // The digit of the layout.
            other => assert!(matches!(other, NoState::OtherFormat { .. }) && place == 7, "{place}: {other}"),
        }
    }
    let aside = fs::read_dir(folder.path().join("damaged")).unwrap().count();
    assert!((1..=32).contains(&aside), "{aside} are kept to look at");
}

#[tokio::test]
async fn a_state_of_another_subscription_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path()).await;
    let one = wire::hello::Subscription::Tenants(wire::TenantSet { tenants: vec!["acme".into()] });
    let other = LastState::new(folder.path(), &one, None, Metrics::for_tests());
    assert!(matches!(other.load(), Err(NoState::OtherSubscription(_))));
    // Its changes do not go into that file; its whole state replaces it.
    other.keep(AsItCame::of(&[state(5, false, vec![tenant("acme")])], at(1))).await;
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts).0, 3);
    other.keep(AsItCame::of(&[state(6, true, vec![tenant("acme")])], at(1))).await;
    assert!(matches!(kept_in(folder.path()).load(), Err(NoState::OtherSubscription(_))));
}

#[test]
fn an_empty_folder_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let reason = kept_in(folder.path()).load().unwrap_err();
    assert!(matches!(reason, NoState::Nothing(_)));
    assert!(reason.to_string().contains(FILE), "{reason}");
}

#[tokio::test]
async fn changes_that_cannot_be_written_wait_and_are_written_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let last = story(folder.path()).await;
    let path = folder.path().join(FILE);
    let good = last.0.writer.lock().file.replace(File::open(&path).unwrap());
    for cursor in 4..=6 {
        last.keep(AsItCame::of(&[state(cursor, false, vec![tenant(&format!("t-{cursor}"))])], at(40))).await;
    }
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts).0, 3, "what is on disk is whole");
    last.0.writer.lock().file = good;
    last.force();
    let (cursor, found) = names(&kept_in(folder.path()).load().unwrap().parts);
    assert_eq!(cursor, 6);
    assert!(["t-4", "t-5", "t-6"].iter().all(|name| found.contains(&(*name).to_owned())), "{found:?}");
}

#[tokio::test]
async fn nothing_is_added_after_a_gap_until_a_whole_state_comes() {
    let folder = tempfile::tempdir().unwrap();
    let last = story(folder.path()).await;
    let cannot_be_written = folder.path().join("gone");
    fs::rename(folder.path().join(FILE), &cannot_be_written).unwrap();
    fs::create_dir(folder.path().join(FILE)).unwrap();
    last.keep(AsItCame::of(&[state(4, true, vec![tenant("acme")])], at(40))).await;
    fs::remove_dir(folder.path().join(FILE)).unwrap();
    fs::rename(&cannot_be_written, folder.path().join(FILE)).unwrap();
    last.keep(AsItCame::of(&[state(5, false, vec![tenant("late")])], at(50))).await;
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts).0, 3, "5 changes 4, which is not there");
    last.keep(AsItCame::of(&[state(6, true, vec![tenant("acme")])], at(60))).await;
    last.keep(AsItCame::of(&[state(7, false, vec![tenant("late")])], at(70))).await;
    assert_eq!(names(&kept_in(folder.path()).load().unwrap().parts).0, 7);
}

/// Waits until no fold goes on.
async fn folded(last: &LastState) {
    while last.0.writer.lock().is_folding {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_outweigh_the_whole_are_folded_into_it_while_more_come() {
    let folder = tempfile::tempdir().unwrap();
    let last = kept_in(folder.path());
    let origins = |cursor: u64| {
        let allowed_redirect_origins = (0..50).map(|n| format!("https://app-{cursor}-{n}.example.com")).collect();
        Resource::Tenant(wire::TenantState {
            counters_key: Vec::new().into(),
            tenant: format!("t-{}", cursor % 10),
            allowed_redirect_origins,
            break_glass: false,
        })
    };
    last.keep(AsItCame::of(&[state(1, true, vec![origins(1)])], at(1))).await;
    let mut written = 0;
    for cursor in 2..=1_500 {
        let change = AsItCame::of(&[state(cursor, false, vec![origins(cursor)])], at(2));
        written += change.bytes.len();
        last.keep(change).await;
    }
    folded(&last).await;
    last.force();
    let len = fs::metadata(folder.path().join(FILE)).unwrap().len();
    assert!(written > 2 << 20 && len < 1 << 20, "{written} bytes of changes are {len} on disk");
    assert_eq!(last.0.writer.lock().bytes, len);
    let kept = kept_in(folder.path()).load().unwrap();
    assert_eq!(kept.parts[0].cursor, 1_500);
    let mut found: Vec<_> = kept.parts.into_iter().flat_map(|part| part.upserts).map(|u| u.resource.unwrap()).collect();
    let mut expected: Vec<_> = (1_491..=1_500).map(origins).collect();
    let name = |resource: &Resource| {
        if let Resource::Tenant(tenant) = resource { tenant.tenant.clone() } else { String::new() }
    };
    found.sort_by_key(name);
    expected.sort_by_key(name);
    assert_eq!(found, expected, "the last of each");
    let halves = fs::read_dir(folder.path()).unwrap().filter(|e| files::is_half(&e.as_ref().unwrap().path())).count();
    assert_eq!(halves, 0);
}

#[test]
fn folding_applies_what_an_executor_would() {
    let now = at(100_000);
    let removed = |name| wire::ResourceName { name: Some(name) };
    let flow_gone =
        WireName::FlowRevision(wire::FlowRevisionName { tenant: "acme".into(), flow: "login".into(), revision: 1 });
    let folded = fold::fold(
        vec![
            vec![state(
                1,
                true,
                vec![
                    tenant("acme"),
                    tenant("gone"),
                    version("1.0.0"),
                    version("1.1.0"),
                    version("1.2.0"),
                    version("9.9.9"),
                    revision(1, "1.0.0", false, None),
                    // Over for hours; over for a moment, which clocks may see otherwise; and the newest.
                    revision(2, "1.1.0", false, Some(90_000)),
                    revision(3, "1.2.0", false, Some(99_999)),
                    revision(4, "1.2.0", true, None),
                ],
            )],
            vec![wire::State {
                removals: vec![
                    removed(flow_gone),
                    removed(WireName::Tenant(wire::TenantName { tenant: "gone".into() })),
                ],
                ..state(5, false, vec![])
            }],
        ],
        now,
    );
    assert_eq!(names(&folded), (5, words(&["acme", "check@1.2.0", "login 3", "login 4"])));
}

#[test]
fn what_comes_of_tenants_that_are_not_served_is_left_out_and_what_is_gone_is_not() {
    let gone = wire::ResourceName { name: Some(WireName::Tenant(wire::TenantName { tenant: "let-go".into() })) };
    let change = wire::State {
        removals: vec![gone],
        ..state(2, false, vec![tenant("let-go"), tenant("acme"), version("1.0.0"), revision(1, "1.0.0", true, None)])
    };
    let served = fold::of_served(vec![change], |tenant| tenant == "acme");
    assert_eq!((served[0].upserts.len(), served[0].removals.len(), served[0].last), (3, 1, true));
    let first = state(1, true, vec![tenant("let-go")]);
    let folded = fold::fold(vec![vec![first], served], at(0));
    assert_eq!(names(&folded).1, words(&["acme", "check@1.0.0", "login 1"]));
}

#[test]
fn of_two_newest_revisions_the_later_comes_last() {
    let changes = vec![
        vec![state(1, true, vec![tenant("acme"), version("1.0.0"), revision(7, "1.0.0", true, None)])],
        vec![state(2, false, vec![revision(8, "1.0.0", true, None)])],
        vec![state(3, false, vec![revision(7, "1.0.0", true, None)])],
    ];
    assert_eq!(names(&fold::fold(changes, at(0))).1, words(&["acme", "check@1.0.0", "login 8", "login 7"]));
}

#[test]
fn a_large_state_is_folded_into_parts() {
    let origin = "x".repeat(1_000);
    let large = (0..3_000).map(|n| {
        let allowed_redirect_origins = vec![origin.clone()];
        Resource::Tenant(wire::TenantState { tenant: format!("t-{n}"), allowed_redirect_origins, ..Default::default() })
    });
    let parts = fold::fold(vec![vec![state(1, true, large.collect())]], at(0));
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| part.encoded_len() <= (1 << 20) + 64));
    assert_eq!(names(&parts).1.len(), 3_000);
}

/// What a folder holds must never be more than what was put there.
#[test]
fn a_folder_of_files_that_are_not_believed_is_bounded() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    for n in 0..100 {
        let path = folder.path().join(format!("file-{n}"));
        fs::write(&path, b"x").unwrap();
        files::set_aside(folder.path(), &path).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path().join("damaged")).unwrap().count(), 32);
}
