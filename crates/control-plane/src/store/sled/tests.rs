//! What only a store on a disk can get wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use super::codec;
use crate::store::{Batch, Changes, Key, MetaStore, Revision, Scan, SledStore, StoreError};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const KEPT: u64 = 100_000;

async fn open(folder: &Path) -> SledStore {
    SledStore::open(folder.to_owned(), KEPT).await.unwrap()
}

async fn refusal(folder: &Path) -> String {
    match SledStore::open(folder.to_owned(), KEPT).await {
        Err(StoreError::Folder { folder: named, detail }) => {
            assert_eq!(named, folder);
            detail
        }
        other => panic!("opened: {other:?}"),
    }
}

fn key(name: &str) -> Key {
    Key::platform("test").text(name)
}

/// Opens sled itself, as nobody should, to damage what is in it.
fn raw(folder: &Path, damage: impl FnOnce(&::sled::Db)) {
    let db = super::recovery::open_sled(&folder.join("sled")).unwrap();
    damage(&db);
    db.flush().unwrap();
}

#[tokio::test]
async fn reopening_keeps_everything_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=5u64 {
        let store = open(folder.path()).await;
        assert_eq!(store.newest().await.unwrap(), Revision(round - 1));
        assert_eq!(*store.watch().borrow(), Revision(round - 1));
        store.commit(Batch::new().put(key("a"), vec![1]).append(key("q"), vec![])).await.unwrap();
        assert_eq!(store.last_appended(&key("q")).await.unwrap(), round);
    }
}

#[tokio::test]
async fn a_folder_has_one_store_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    assert!(refusal(folder.path()).await.contains("another process holds it"));
    drop(store);
    open(folder.path()).await;
}

#[tokio::test]
async fn a_crash_between_database_and_marker_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    std::fs::remove_file(folder.path().join("MARKER")).unwrap();
    open(folder.path()).await.commit(Batch::new().put(key("a"), vec![])).await.unwrap();
    assert!(folder.path().join("MARKER").exists());
    std::fs::remove_file(folder.path().join("MARKER")).unwrap();
    let detail = refusal(folder.path()).await;
    assert!(detail.contains("no MARKER, but the journal in it has commits"), "{detail}");
}

#[tokio::test]
async fn a_corrupt_value_is_an_error_and_never_absent() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.commit(Batch::new().put(key("a"), b"value".to_vec()).put(key("b"), b"value".to_vec())).await.unwrap();
    drop(store);
    let row = codec::key(codec::Space::Rows, &key("a"));
    let other = codec::key(codec::Space::Rows, &key("b"));
    let sealed = codec::seal_row(&row, Revision(1), b"value");
    let mut damaged: Vec<Vec<u8>> = (0..sealed.len())
        .map(|at| {
            let mut bytes = sealed.clone();
            bytes[at] ^= 1;
            bytes
        })
        .collect();
    damaged.extend((0..sealed.len()).map(|length| sealed[..length].to_vec()));
    damaged.push(codec::seal_row(&other, Revision(1), b"value"));
    for bytes in damaged {
        raw(folder.path(), |db| drop(db.insert(&row, bytes.clone()).unwrap()));
        let store = open(folder.path()).await;
        for answer in [
            store.get(&key("a")).await.map(|_| ()),
            store.scan(Scan::of(Key::platform("test"))).await.map(|_| ()),
            store.commit(Batch::new().absent(key("a")).put(key("c"), vec![])).await.map(|_| ()).map_err(|error| {
                match error {
                    crate::store::CommitError::Store(error) => error,
                    other => panic!("{other}"),
                }
            }),
        ] {
            match answer {
                Err(StoreError::Corrupt { key, .. }) => assert_eq!(key, "p/test/a"),
                other => panic!("{other:?} of {bytes:?}"),
            }
        }
        assert_eq!(store.get(&key("b")).await.unwrap().unwrap().value, b"value", "its neighbour is served");
    }
}

/// In the child: the folder to write to.
const FOLDER: &str = "SLUICE_TEST_STORE_FOLDER";
const ROUNDS: u32 = 15;
const WRITERS: u64 = 4;
const ROWS: u64 = 6;
const SMALL_SEGMENT_BYTES: u64 = 16 * 1024;

fn row(batch: u64, at: u64) -> Key {
    Key::platform("batch").number(batch).number(at)
}

/// The child of the test below: commits numbered batches, several at once, and says which were acknowledged, until it is
/// killed.
#[test]
#[ignore = "run by the test of kill -9, which kills it"]
fn the_writer_that_is_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // Small segments, and one checkpoint after the other: it is killed in the middle of these too.
        let store = Arc::new(SledStore::open_with(folder, KEPT, SMALL_SEGMENT_BYTES).await.unwrap());
        let from = store.newest().await.unwrap().0 * 1000;
        let checkpoints = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                checkpoints.checkpoint().await.unwrap();
            }
        });
        let writers = (0..WRITERS).map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for step in 0.. {
                    let number = from + step * WRITERS + writer;
                    let rows = (0..ROWS).fold(Batch::new(), |batch, at| {
                        // Sizes vary, so that pages split.
                        let size = usize::try_from((number * 37 + at * 101) % 900).unwrap();
                        batch.absent(row(number, at)).put(row(number, at), vec![7; size])
                    });
                    store.commit(rows.append(key("queue"), number.to_be_bytes().to_vec())).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {number}").unwrap();
                    out.flush().unwrap();
                }
            })
        });
        futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
    });
}

/// Runs the child, lets it acknowledge some batches, kills it, and says which it acknowledged.
fn killed_after(folder: &Path, count: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "store::sled::tests::the_writer_that_is_killed"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // libtest may have printed on the same line before.
    let number = |line: String| line.split_once("acknowledged ").map(|(_, number)| number.parse::<u64>());
    let mut acknowledged: Vec<u64> =
        lines.by_ref().map_while(Result::ok).filter_map(number).take(count).map(Result::unwrap).collect();
    child.kill().unwrap();
    // What it said before it died counts too; its last line may be cut.
    acknowledged.extend(lines.map_while(Result::ok).filter_map(number).filter_map(Result::ok));
    child.wait().unwrap();
    assert!(acknowledged.len() >= count, "the child died on its own");
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_no_batch_is_half_there() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut replayed = 0;
    for round in 0..ROUNDS {
        let count = usize::try_from(round * 7919 % 60 + 1).unwrap();
        acknowledged.extend(killed_after(folder.path(), count));
        if round % 3 == 2 {
            // And the machine lost its power: sled, which is never waited for, has nothing at all.
            std::fs::remove_dir_all(folder.path().join("sled")).unwrap();
        }
        let store = runtime.block_on(SledStore::open(folder.path().to_owned(), KEPT)).unwrap();
        assert_eq!(store.recovery().rebuilt.is_some(), round % 3 == 2, "{:?}", store.recovery());
        assert_eq!(store.recovery().mended, 0);
        replayed += store.recovery().replayed;
        runtime.block_on(check(&store, &acknowledged));
    }
    assert!(replayed > 0, "nothing was ever left to the journal: the test kills too late");
}

async fn check(store: &SledStore, acknowledged: &BTreeSet<u64>) {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = store.scan(Scan::of(Key::platform("batch")).after(after)).await.unwrap();
        rows.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut found = BTreeSet::new();
    for batch in rows.chunks(ROWS.try_into().unwrap()) {
        let number = batch[0].key.parts_after(&Key::platform("batch")).unwrap().number().unwrap();
        for (at, entry) in (0..).zip(batch) {
            assert_eq!(entry.key, row(number, at), "batch {number} is half there");
            assert_eq!(entry.revision, batch[0].revision);
        }
        found.insert(number);
    }
    let missing: Vec<_> = acknowledged.difference(&found).collect();
    assert!(missing.is_empty(), "acknowledged and gone: {missing:?}");
    let newest = store.newest().await.unwrap();
    assert_eq!(newest.0, found.len() as u64, "every commit is one batch");
    assert_eq!(store.last_appended(&key("queue")).await.unwrap(), newest.0);
    let mut cursor = Revision(0);
    while cursor < newest {
        match store.changes(cursor, 1000).await.unwrap() {
            Changes::Entries { entries, through } => {
                assert_eq!(entries.len() as u64, (through.0 - cursor.0) * (ROWS + 1));
                cursor = through;
            }
            // A database that was made again knows the changes since the checkpoint.
            Changes::Compacted { oldest } => {
                assert!(oldest > cursor && oldest <= newest);
                cursor = oldest;
            }
        }
    }
}

/// Figures, for a quiet machine: `cargo test --release -p sluice-control-plane figures -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures_of_commits() {
    const COMMITS: u64 = 2000;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await);
    for writers in [1, 8, 64] {
        let started = std::time::Instant::now();
        let work = (0..writers).map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut took = Vec::new();
                for at in 0..COMMITS / writers {
                    let row = key("row").number(writers).number(writer).number(at);
                    let began = std::time::Instant::now();
                    store.commit(Batch::new().put(row, vec![7; 500]).append(key("queue"), vec![7; 300])).await.unwrap();
                    took.push(began.elapsed());
                }
                took
            })
        });
        let done = futures_util::future::join_all(work.collect::<Vec<_>>()).await;
        let mut took: Vec<_> = done.into_iter().flat_map(Result::unwrap).collect();
        let each = started.elapsed().as_secs_f64() / f64::from(u32::try_from(took.len()).unwrap());
        took.sort_unstable();
        let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!("{writers} writers: {:.0} commits/s, p50 {p50:?}, p99 {p99:?}", 1.0 / each);
    }
    let started = std::time::Instant::now();
    for at in 0..COMMITS {
        store.get(&key("row").number(1).number(0).number(at)).await.unwrap().unwrap();
    }
    println!("get: {:?}", started.elapsed() / u32::try_from(COMMITS).unwrap());
    let started = std::time::Instant::now();
    store.checkpoint().await.unwrap();
    println!("checkpoint: {:?}", started.elapsed());
    drop(store);
    let started = std::time::Instant::now();
    let store = open(folder.path()).await;
    println!("open: {:?}", started.elapsed());
    drop(store);
    std::fs::remove_file(folder.path().join("CLOSED")).unwrap();
    let started = std::time::Instant::now();
    let store = open(folder.path()).await;
    println!("open after a bad end: {:?}", started.elapsed());
    drop(store);
    std::fs::remove_dir_all(folder.path().join("sled")).unwrap();
    let started = std::time::Instant::now();
    open(folder.path()).await;
    println!("open without sled: {:?}", started.elapsed());
}
