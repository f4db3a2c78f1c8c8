//! What every store promises: one suite, run over each adapter, each case a test of its own name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{
    Batch, Change, Changes, CommitError, Key, MAX_BATCH_BYTES, MAX_BATCH_WRITES, MAX_KEY_BYTES, MAX_PAGE,
    MAX_VALUE_BYTES, MemoryStore, MetaStore, Op, Revision, Scan, SledStore, StoreError,
};
use sluice_model::Slug;
use std::sync::Arc;

mod life;
mod sabotage;

use life::a_commit_whose_caller_went_away_is_finished;

/// A store that is empty, and what has to outlive it.
struct Fresh {
    store: Arc<dyn MetaStore>,
    folder: Option<tempfile::TempDir>,
}

impl Fresh {
    async fn reopened(self) -> Fresh {
        let Fresh { store, folder: Some(folder) } = self else { return self };
        drop(store);
        let store = SledStore::open(folder.path().join("store"), CHANGES_KEPT).await.unwrap();
        Fresh { store: Arc::new(store), folder: Some(folder) }
    }
}

const CHANGES_KEPT: u64 = 10_000;

fn memory(changes_kept: u64) -> Fresh {
    Fresh { store: Arc::new(MemoryStore::new(changes_kept)), folder: None }
}

async fn sled(changes_kept: u64) -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path().join("store"), changes_kept).await.unwrap();
    Fresh { store: Arc::new(store), folder: Some(folder) }
}

/// Every case runs over every adapter, and once more over a store with the defect beside it, where it has to fail: see
/// `sabotage.rs`.
macro_rules! conformance {
    ($($case:ident: $defect:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fresh = super::memory(super::CHANGES_KEPT);
                super::$case(std::sync::Arc::clone(&fresh.store)).await;
            })+
        }
        mod on_sled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fresh = super::sled(super::CHANGES_KEPT).await;
                super::$case(std::sync::Arc::clone(&fresh.store)).await;
            })+
        }
        mod notices_a_defect {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = super::sabotage::store(super::sabotage::Defect::$defect);
                super::sabotage::assert_noticed(super::$case(store)).await;
            })+
        }
    };
}

type Store = Arc<dyn MetaStore>;

conformance! {
    a_new_store_is_empty: BeginsAtOne,
    what_is_committed_is_read_with_its_revision: OlderEtags,
    an_empty_value_is_a_value: EmptyIsAbsent,
    revisions_count_commits_without_gaps: CountsWhatItRefused,
    preconditions_hold_as_they_say: NoPreconditions,
    a_precondition_that_fails_names_itself_and_nothing_is_written: WritesWhatItRefused,
    preconditions_see_the_store_before_the_batch: ChecksAfterwards,
    one_of_many_compare_and_sets_wins: NoPreconditions,
    a_counter_under_contention_loses_nothing: NoPreconditions,
    a_batch_is_there_whole_or_not_at_all: CommitsRowByRow,
    a_deleted_key_is_gone_and_rewritten_has_a_new_revision: AnyEtagWillDo,
    a_batch_without_writes_only_checks: CountsChecks,
    what_is_out_of_bounds_is_refused_and_nothing_is_written: NoBounds,
    a_scan_keeps_to_its_prefix_and_its_order: NoPrefixes,
    pages_are_stable_while_rows_come_and_go: PagesRepeatARow,
    a_scan_after_a_key_outside_its_prefix_stays_inside: PlacesLeaveThePrefix,
    a_page_sees_no_commit_in_part: CommitsRowByRow,
    a_queue_numbers_its_rows_without_gaps: QueuesSkipNumbers,
    a_queue_goes_on_counting_when_its_rows_are_gone: QueuesForget,
    an_edit_and_its_outbox_row_stand_or_fall_together: WritesWhatItRefused,
    changes_tell_what_each_commit_did: ChangesInAnotherOrder,
    changes_have_no_gap_under_concurrent_commits: ChangesSkipACommit,
    changes_replay_after_any_cursor: ChangesRepeatACommit,
    changes_never_split_a_commit: ChangesAreCut,
    a_cursor_that_is_ahead_is_told_to_start_over: AheadIsNothingNew,
    the_watch_brings_a_reader_to_the_newest: WatchesNothing,
    a_wake_up_for_nothing_is_harmless: NothingNewIsCompacted,
    a_commit_whose_caller_went_away_is_finished: StopsWithItsCaller,
    tenants_are_apart: NoPrefixes,
}

fn key(name: &str) -> Key {
    Key::platform("test").text(name)
}

fn all() -> Key {
    Key::platform("test")
}

async fn put(store: &Store, name: &str, value: &str) -> Revision {
    store.commit(Batch::new().put(key(name), value.into())).await.unwrap()
}

async fn value(store: &Store, name: &str) -> Option<String> {
    let found = store.get(&key(name)).await.unwrap();
    found.map(|found| String::from_utf8(found.value).unwrap())
}

async fn names(store: &Store, scan: Scan) -> Vec<String> {
    let page = store.scan(scan).await.unwrap();
    page.entries.iter().map(|entry| entry.key.parts_after(&all()).unwrap().text().unwrap()).collect()
}

async fn entries(store: &Store, after: u64, limit: usize) -> (Vec<Change>, Revision) {
    match store.changes(Revision(after), limit).await.unwrap() {
        Changes::Entries { entries, through } => (entries, through),
        Changes::Compacted { oldest } => panic!("compacted up to {oldest}"),
    }
}

async fn a_new_store_is_empty(store: Store) {
    assert_eq!(store.newest().await.unwrap(), Revision(0));
    assert_eq!(*store.watch().borrow(), Revision(0));
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    let page = store.scan(Scan::of(all())).await.unwrap();
    assert!(page.entries.is_empty() && page.next.is_none());
    assert_eq!(entries(&store, 0, 10).await, (vec![], Revision(0)));
    assert_eq!(store.last_appended(&key("queue")).await.unwrap(), 0);
}

async fn what_is_committed_is_read_with_its_revision(store: Store) {
    put(&store, "other", "x").await;
    let revision = put(&store, "a", "one").await;
    let found = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((found.value, found.revision), (b"one".to_vec(), revision));
    let again = put(&store, "a", "two").await;
    assert!(again > revision);
    let found = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((found.value, found.revision), (b"two".to_vec(), again));
}

async fn an_empty_value_is_a_value(store: Store) {
    put(&store, "a", "").await;
    assert_eq!(value(&store, "a").await, Some(String::new()));
    store.commit(Batch::new().exists(key("a"))).await.unwrap();
}

async fn revisions_count_commits_without_gaps(store: Store) {
    for expected in 1..=5 {
        assert_eq!(put(&store, "a", "x").await, Revision(expected));
        let refused = store.commit(Batch::new().absent(key("a")).put(key("a"), vec![])).await;
        assert!(matches!(refused, Err(CommitError::PreconditionFailed { .. })));
    }
    assert_eq!(store.newest().await.unwrap(), Revision(5));
}

async fn preconditions_hold_as_they_say(store: Store) {
    let revision = put(&store, "there", "x").await;
    let held = [
        Batch::new().absent(key("missing")),
        Batch::new().exists(key("there")),
        Batch::new().at(key("there"), revision),
    ];
    for batch in held {
        store.commit(batch.clone()).await.unwrap_or_else(|error| panic!("{batch:?}: {error}"));
    }
    let failed = [
        (Batch::new().absent(key("there")), Some(revision)),
        (Batch::new().exists(key("missing")), None),
        (Batch::new().at(key("missing"), revision), None),
        (Batch::new().at(key("missing"), Revision(0)), None),
        (Batch::new().at(key("there"), Revision(revision.0 + 1)), Some(revision)),
        (Batch::new().at(key("there"), Revision(0)), Some(revision)),
    ];
    for (batch, was) in failed {
        match store.commit(batch.clone()).await {
            Err(CommitError::PreconditionFailed { index: 0, found, .. }) => assert_eq!(found, was, "{batch:?}"),
            other => panic!("{batch:?}: {other:?}"),
        }
    }
}

async fn a_precondition_that_fails_names_itself_and_nothing_is_written(store: Store) {
    put(&store, "a", "x").await;
    let batch = Batch::new().exists(key("a")).absent(key("b")).exists(key("c")).put(key("b"), vec![1]).delete(key("a"));
    match store.commit(batch.append(key("queue"), vec![])).await {
        Err(CommitError::PreconditionFailed { index, key: failed, found }) => {
            assert_eq!((index, failed, found), (2, key("c"), None));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(value(&store, "a").await.as_deref(), Some("x"));
    assert_eq!(value(&store, "b").await, None);
    assert_eq!(store.last_appended(&key("queue")).await.unwrap(), 0);
    assert_eq!(entries(&store, 1, 10).await.0, vec![]);
}

async fn preconditions_see_the_store_before_the_batch(store: Store) {
    store.commit(Batch::new().absent(key("a")).put(key("a"), vec![])).await.unwrap();
    store.commit(Batch::new().exists(key("a")).delete(key("a"))).await.unwrap();
    assert_eq!(value(&store, "a").await, None);
}

async fn one_of_many_compare_and_sets_wins(store: Store) {
    let first = put(&store, "a", "start").await;
    let tries = (0..32).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let batch = Batch::new().at(key("a"), first).put(key("a"), format!("{number}").into_bytes());
            store.commit(batch).await.is_ok().then_some(number)
        })
    });
    let done = futures_util::future::join_all(tries).await;
    let winners: Vec<i32> = done.into_iter().filter_map(|won| won.unwrap()).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(value(&store, "a").await, Some(winners[0].to_string()));
}

async fn a_counter_under_contention_loses_nothing(store: Store) {
    put(&store, "a", "0").await;
    let adders = (0..4).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut added = 0;
            while added < 10 {
                let found = store.get(&key("a")).await.unwrap().unwrap();
                let count: u32 = String::from_utf8(found.value).unwrap().parse().unwrap();
                let batch = Batch::new().at(key("a"), found.revision);
                match store.commit(batch.put(key("a"), (count + 1).to_string().into_bytes())).await {
                    Ok(_) => added += 1,
                    Err(CommitError::PreconditionFailed { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for adder in futures_util::future::join_all(adders).await {
        adder.unwrap();
    }
    assert_eq!(value(&store, "a").await.as_deref(), Some("40"));
}

async fn a_batch_is_there_whole_or_not_at_all(store: Store) {
    put(&store, "guard", "x").await;
    let rows = |last: Key| {
        let batch = Batch::new().put(key("a"), vec![1]).put(key("b"), vec![2]).append(key("queue"), vec![3]);
        batch.delete(key("guard")).put(last, vec![4])
    };
    // The last write does not pass: those before it are not there either.
    let refused = store.commit(rows(Key::from_bytes(vec![b'k'; MAX_KEY_BYTES + 1]))).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Invalid { .. }))), "{refused:?}");
    assert_eq!(names(&store, Scan::of(all())).await, ["guard"]);
    assert_eq!((store.newest().await.unwrap(), entries(&store, 1, 10).await.0), (Revision(1), vec![]));
    // And all of a batch is one commit.
    let revision = store.commit(rows(key("c"))).await.unwrap();
    let page = store.scan(Scan::of(all())).await.unwrap();
    assert_eq!(page.entries.len(), 4);
    assert!(page.entries.iter().all(|entry| entry.revision == revision), "{page:?}");
}

async fn a_deleted_key_is_gone_and_rewritten_has_a_new_revision(store: Store) {
    let first = put(&store, "a", "x").await;
    store.commit(Batch::new().delete(key("a"))).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert!(names(&store, Scan::of(all())).await.is_empty());
    store.commit(Batch::new().delete(key("a"))).await.unwrap();
    let second = put(&store, "a", "x").await;
    assert!(second > first);
    let stale = store.commit(Batch::new().at(key("a"), first).put(key("a"), vec![])).await;
    assert!(matches!(stale, Err(CommitError::PreconditionFailed { .. })), "an etag came back to life");
}

async fn a_batch_without_writes_only_checks(store: Store) {
    put(&store, "a", "x").await;
    assert_eq!(store.commit(Batch::new()).await.unwrap(), Revision(1));
    assert_eq!(store.commit(Batch::new().exists(key("a"))).await.unwrap(), Revision(1));
    assert!(store.commit(Batch::new().absent(key("a"))).await.is_err());
    assert_eq!(store.newest().await.unwrap(), Revision(1));
}

async fn what_is_out_of_bounds_is_refused_and_nothing_is_written(store: Store) {
    let long = |bytes: usize| Key::from_bytes(vec![b'k'; bytes]);
    let many = |count: u64| (0..count).fold(Batch::new(), |batch, at| batch.put(all().number(at), vec![]));
    let refused = [
        Batch::new().put(Key::from_bytes(vec![]), vec![]),
        Batch::new().put(long(MAX_KEY_BYTES + 1), vec![]),
        Batch::new().append(long(MAX_KEY_BYTES - 7), vec![]),
        Batch::new().put(key("a"), vec![0; MAX_VALUE_BYTES + 1]),
        Batch::new().append(key("a"), vec![0; MAX_VALUE_BYTES + 1]),
        Batch::new().put(key("a"), vec![1]).put(key("a"), vec![2]),
        Batch::new().put(key("a"), vec![1]).delete(key("a")),
        many(MAX_BATCH_WRITES as u64 + 1),
        (0..=MAX_BATCH_BYTES as u64 / MAX_VALUE_BYTES as u64)
            .fold(Batch::new(), |batch, at| batch.put(all().number(at), vec![0; MAX_VALUE_BYTES])),
    ];
    for batch in refused {
        let answer = store.commit(batch).await;
        assert!(matches!(answer, Err(CommitError::Store(StoreError::Invalid { .. }))), "{answer:?}");
    }
    for limit in [0, MAX_PAGE + 1] {
        assert!(matches!(store.scan(Scan::of(all()).limit(limit)).await, Err(StoreError::Invalid { .. })));
        assert!(matches!(store.changes(Revision(0), limit).await, Err(StoreError::Invalid { .. })));
    }
    assert_eq!(store.newest().await.unwrap(), Revision(0));
    let taken = [
        Batch::new().put(long(MAX_KEY_BYTES), vec![0; MAX_VALUE_BYTES]),
        Batch::new().append(long(MAX_KEY_BYTES - 8), vec![]),
        many(MAX_BATCH_WRITES as u64),
    ];
    for batch in taken {
        store.commit(batch).await.unwrap();
    }
    assert_eq!(store.get(&long(MAX_KEY_BYTES)).await.unwrap().unwrap().value.len(), MAX_VALUE_BYTES);
}

async fn a_scan_keeps_to_its_prefix_and_its_order(store: Store) {
    for name in ["b", "a", "ab", "c", "B"] {
        put(&store, name, name).await;
    }
    store.commit(Batch::new().put(Key::platform("tes").text("x"), vec![])).await.unwrap();
    store.commit(Batch::new().put(Key::platform("test2").text("x"), vec![])).await.unwrap();
    assert_eq!(names(&store, Scan::of(all())).await, ["B", "a", "ab", "b", "c"]);
    assert_eq!(names(&store, Scan::of(all()).descending()).await, ["c", "b", "ab", "a", "B"]);
    assert_eq!(names(&store, Scan::of(all()).limit(2)).await, ["B", "a"]);
    let whole = store.scan(Scan::of(Key::from_bytes(vec![]))).await.unwrap();
    assert_eq!(whole.entries.len(), 7, "an empty prefix is everything");
    let high = Key::from_bytes(vec![0xFF; 3]);
    store.commit(Batch::new().put(high.clone(), b"high".to_vec())).await.unwrap();
    let page = store.scan(Scan::of(Key::from_bytes(vec![0xFF]))).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| &entry.key).collect::<Vec<_>>(), [&high]);
}

async fn pages_are_stable_while_rows_come_and_go(store: Store) {
    for name in ["b", "d", "f", "h"] {
        put(&store, name, name).await;
    }
    for (mut scan, expected) in
        [(Scan::of(all()), ["b", "d", "f", "h"]), (Scan::of(all()).descending(), ["h", "f", "d", "b"])]
    {
        let mut seen = Vec::new();
        // A walk that does not get further has to end too.
        while seen.len() < expected.len() {
            let page = store.scan(scan.clone().limit(1)).await.unwrap();
            seen.extend(page.entries.into_iter().map(|entry| String::from_utf8(entry.value).unwrap()));
            scan.after = page.next;
        }
        assert_eq!((seen, scan.after), (expected.map(str::to_owned).to_vec(), None), "each once");
    }
    let first = store.scan(Scan::of(all()).limit(2)).await.unwrap();
    assert_eq!(first.next, Some(key("d")));
    // One before the place, one behind it, and the row of the place itself goes.
    store.commit(Batch::new().put(key("a"), vec![]).put(key("e"), vec![]).delete(key("d"))).await.unwrap();
    assert_eq!(names(&store, Scan::of(all()).after(first.next).limit(2)).await, ["e", "f"]);
    let last = store.scan(Scan::of(all()).after(Some(key("f"))).limit(1)).await.unwrap();
    assert_eq!((last.entries.len(), last.next), (1, None), "a page that ends with the last row has no next");

    let first = store.scan(Scan::of(all()).descending().limit(2)).await.unwrap();
    assert_eq!(first.next, Some(key("f")));
    store.commit(Batch::new().put(key("g"), vec![]).delete(key("f")).delete(key("e"))).await.unwrap();
    assert_eq!(names(&store, Scan::of(all()).descending().after(first.next).limit(9)).await, ["b", "a"]);
}

async fn a_scan_after_a_key_outside_its_prefix_stays_inside(store: Store) {
    let (low, high) = (Key::platform("a").text("x"), Key::platform("z").text("x"));
    store.commit(Batch::new().put(low.clone(), vec![]).put(high.clone(), vec![])).await.unwrap();
    put(&store, "a", "x").await;
    let scan = |after: &Key| Scan::of(all()).after(Some(after.clone()));
    assert_eq!(names(&store, scan(&low)).await, ["a"]);
    assert!(names(&store, scan(&high)).await.is_empty());
    assert_eq!(names(&store, scan(&high).descending()).await, ["a"]);
    assert!(names(&store, scan(&low).descending()).await.is_empty());
}

async fn a_page_sees_no_commit_in_part(store: Store) {
    let rows = ["a", "b", "c", "d"];
    let write = move |value: u32| {
        rows.iter().fold(Batch::new(), |batch, name| batch.put(key(name), value.to_string().into_bytes()))
    };
    store.commit(write(0)).await.unwrap();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for value in 1..60 {
                store.commit(write(value)).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let page = store.scan(Scan::of(all())).await.unwrap();
        let seen: std::collections::HashSet<_> = page.entries.iter().map(|entry| &entry.value).collect();
        assert_eq!(seen.len(), 1, "{page:?}");
    }
    writer.await.unwrap();
}

async fn a_queue_numbers_its_rows_without_gaps(store: Store) {
    let writers = (0..8).map(|writer: u8| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..5 {
                let batch = Batch::new().append(key("queue"), vec![writer]).append(key("queue"), vec![writer]);
                store.commit(batch.append(key("other"), vec![])).await.unwrap();
            }
        })
    });
    for writer in futures_util::future::join_all(writers).await {
        writer.unwrap();
    }
    let page = store.scan(Scan::of(key("queue"))).await.unwrap();
    let numbers: Vec<u64> =
        page.entries.iter().map(|entry| entry.key.parts_after(&key("queue")).unwrap().number().unwrap()).collect();
    assert_eq!(numbers, (1..=80).collect::<Vec<u64>>());
    for pair in page.entries.chunks(2) {
        assert_eq!(pair[0].value, pair[1].value, "rows of one commit stand together");
        assert_eq!(pair[0].revision, pair[1].revision);
    }
    assert_eq!(store.last_appended(&key("queue")).await.unwrap(), 80);
    assert_eq!(store.last_appended(&key("other")).await.unwrap(), 40);
}

async fn a_queue_goes_on_counting_when_its_rows_are_gone(store: Store) {
    let queue = key("queue");
    store.commit(Batch::new().append(queue.clone(), vec![1]).append(queue.clone(), vec![2])).await.unwrap();
    store.commit(Batch::new().delete(queue.clone().number(1)).delete(queue.clone().number(2))).await.unwrap();
    assert_eq!(store.last_appended(&queue).await.unwrap(), 2);
    store.commit(Batch::new().append(queue.clone(), vec![3])).await.unwrap();
    assert_eq!(store.get(&queue.number(3)).await.unwrap().unwrap().value, [3]);
}

async fn an_edit_and_its_outbox_row_stand_or_fall_together(store: Store) {
    let revision = put(&store, "flow", "1").await;
    let edit =
        Batch::new().at(key("flow"), revision).put(key("flow"), b"2".to_vec()).append(key("outbox"), b"2".to_vec());
    store.commit(edit.clone()).await.unwrap();
    assert!(store.commit(edit).await.is_err());
    assert_eq!(store.last_appended(&key("outbox")).await.unwrap(), 1);
    assert_eq!(store.get(&key("outbox").number(1)).await.unwrap().unwrap().value, b"2");
}

async fn changes_tell_what_each_commit_did(store: Store) {
    store.commit(Batch::new().put(key("b"), vec![]).put(key("a"), vec![]).append(key("q"), vec![])).await.unwrap();
    store.commit(Batch::new().delete(key("a"))).await.unwrap();
    let change = |revision, key, op| Change { revision: Revision(revision), key, op };
    let expected = vec![
        change(1, key("b"), Op::Put),
        change(1, key("a"), Op::Put),
        change(1, key("q").number(1), Op::Put),
        change(2, key("a"), Op::Delete),
    ];
    assert_eq!(entries(&store, 0, 100).await, (expected, Revision(2)));
}

async fn changes_have_no_gap_under_concurrent_commits(store: Store) {
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for at in 0..25 {
                    put(&store, &format!("{writer}-{at}"), "x").await;
                }
            })
        })
        .collect();
    // Read while it is written: what is told of must be all there is up to the cursor.
    let mut watch = store.watch();
    let (mut cursor, mut seen) = (Revision(0), Vec::new());
    while cursor < Revision(100) {
        watch.wait_for(|newest| *newest > cursor).await.unwrap();
        let (entries, through) = entries(&store, cursor.0, 7).await;
        assert!(through > cursor, "the hint came before what it hints at");
        seen.extend(entries);
        cursor = through;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(seen.iter().map(|change| change.revision.0).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    let names: std::collections::HashSet<_> = seen.iter().map(|change| &change.key).collect();
    assert_eq!(names.len(), 100);
}

async fn changes_replay_after_any_cursor(store: Store) {
    for at in 0..12 {
        put(&store, &format!("{}", at % 5), "x").await;
    }
    let (whole, _) = entries(&store, 0, 1000).await;
    for after in 0..=12 {
        let expected: Vec<Change> = whole.iter().filter(|change| change.revision.0 > after).cloned().collect();
        assert_eq!(entries(&store, after, 1000).await, (expected, Revision(12)), "after {after}");
    }
}

async fn changes_never_split_a_commit(store: Store) {
    let wide = |name: &str| (0..5).fold(Batch::new(), |batch, at| batch.put(key(name).number(at), vec![]));
    store.commit(wide("a")).await.unwrap();
    store.commit(wide("b")).await.unwrap();
    let (first, through) = entries(&store, 0, 1).await;
    assert_eq!((first.len(), through), (5, Revision(1)));
    let (second, through) = entries(&store, 1, 6).await;
    assert_eq!((second.len(), through), (5, Revision(2)));
}

async fn a_cursor_that_is_ahead_is_told_to_start_over(store: Store) {
    put(&store, "a", "x").await;
    assert!(matches!(store.changes(Revision(2), 10).await.unwrap(), Changes::Compacted { .. }));
}

async fn the_watch_brings_a_reader_to_the_newest(store: Store) {
    let mut watch = store.watch();
    put(&store, "a", "x").await;
    put(&store, "a", "y").await;
    watch.wait_for(|newest| *newest == Revision(2)).await.unwrap();
}

async fn a_wake_up_for_nothing_is_harmless(store: Store) {
    put(&store, "a", "x").await;
    let mut watch = store.watch();
    for _ in 0..3 {
        watch.mark_changed();
        watch.changed().await.unwrap();
        assert_eq!(entries(&store, 1, 10).await, (vec![], Revision(1)), "there is nothing new to read");
    }
    put(&store, "a", "y").await;
    watch.wait_for(|newest| *newest == Revision(2)).await.unwrap();
    assert_eq!(entries(&store, 1, 10).await.1, Revision(2));
}

async fn tenants_are_apart(store: Store) {
    let slugs = ["a", "a-b", "ab", "b"];
    let tenants: Vec<Slug> = slugs.iter().map(|slug| slug.parse().unwrap()).collect();
    for tenant in &tenants {
        let flow = Key::tenant(tenant, "flow").text("main");
        store.commit(Batch::new().absent(flow.clone()).put(flow, tenant.as_str().into())).await.unwrap();
    }
    for tenant in &tenants {
        for prefix in [Key::all_of(tenant), Key::tenant(tenant, "flow")] {
            let page = store.scan(Scan::of(prefix)).await.unwrap();
            let values: Vec<_> = page.entries.iter().map(|entry| entry.value.as_slice()).collect();
            assert_eq!(values, [tenant.as_str().as_bytes()]);
        }
        assert!(store.scan(Scan::of(Key::tenant(tenant, "flo"))).await.unwrap().entries.is_empty());
    }
}
