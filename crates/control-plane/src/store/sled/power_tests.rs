//! What a power cut, a broken database and a damaged journal leave, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::codec::{self, Space};
use super::{Recovery, recovery};
use crate::store::{Batch, CommitError, Entry, Key, MetaStore, Revision, Scan, SledStore, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const KEPT: u64 = 100_000;
/// A few commits a segment.
const SEGMENT_BYTES: u64 = 4096;

fn key(name: &str) -> Key {
    Key::platform("test").text(name)
}

fn queue() -> Key {
    Key::platform("queue")
}

async fn open(folder: &Path) -> SledStore {
    SledStore::open_with(folder.to_owned(), KEPT, SEGMENT_BYTES).await.unwrap()
}

async fn refusal(folder: &Path) -> String {
    match SledStore::open_with(folder.to_owned(), KEPT, SEGMENT_BYTES).await {
        Err(error @ StoreError::Folder { .. }) => error.to_string(),
        other => panic!("opened: {other:?}"),
    }
}

/// Commits, one after the other: rows that are new, rewritten and deleted, and rows of a queue.
async fn commit(store: &SledStore, count: u64) {
    for _ in 0..count {
        let number = store.newest().await.unwrap().0 + 1;
        let size = usize::try_from(number * 37 % 700).unwrap();
        let batch = Batch::new()
            .put(key("new").number(number), vec![7; size])
            .put(key("rewritten").number(number % 5), number.to_be_bytes().to_vec())
            .delete(key("new").number(number.saturating_sub(7)))
            .append(queue(), vec![]);
        assert_eq!(store.commit(batch).await.unwrap(), Revision(number));
    }
}

/// Everything that a store holds.
#[derive(Debug, PartialEq)]
struct Content {
    newest: Revision,
    rows: Vec<Entry>,
    queued: u64,
}

async fn content(store: &SledStore) -> Content {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = store.scan(Scan::of(Key::from_bytes(vec![])).after(after)).await.unwrap();
        rows.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let (newest, queued) = (store.newest().await.unwrap(), store.last_appended(&queue()).await.unwrap());
    Content { newest, rows, queued }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// What a power cut leaves of a store that is open: the journal, of which everything acknowledged is on the disk, and of sled what
/// `sled` is, since nobody ever waited for it.
fn after_a_power_cut(of: &Path, sled: Option<&Path>) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    copy(of, place.path());
    fs::remove_dir_all(place.path().join("sled")).unwrap();
    if let Some(sled) = sled {
        copy(sled, &place.path().join("sled"));
    }
    place
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn after_a_power_cut_everything_that_was_acknowledged_is_there() {
    let (folder, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).await;
    commit(&store, 30).await;
    store.checkpoint().await.unwrap();
    commit(&store, 30).await;
    copy(&folder.path().join("sled"), &old.path().join("early"));
    store.checkpoint().await.unwrap();
    commit(&store, 30).await;
    copy(&folder.path().join("sled"), &old.path().join("late"));
    commit(&store, 10).await;
    let expected = content(&store).await;
    fs::create_dir_all(old.path().join("empty")).unwrap();
    for sled in [None, Some("empty"), Some("early"), Some("late")] {
        let place = after_a_power_cut(folder.path(), sled.map(|name| old.path().join(name)).as_deref());
        let store = open(place.path()).await;
        assert_eq!(content(&store).await, expected, "{sled:?}: {:?}", store.recovery());
        // And it goes on, and is there again.
        commit(&store, 3).await;
        let expected = content(&store).await;
        drop(store);
        let store = open(place.path()).await;
        assert_eq!((content(&store).await, store.recovery()), (expected, &Recovery::default()), "{sled:?}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_moved_aside_and_made_again_with_nothing_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    commit(&store, 20).await;
    store.checkpoint().await.unwrap();
    commit(&store, 20).await;
    let mut expected = content(&store).await;
    drop(store);
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path()).await);
    let database = folder.path().join("sled");
    let size = fs::read(database.join("db")).unwrap().len();
    type Damage<'a> = Box<dyn Fn() + 'a>;
    let damages: Vec<(&str, Damage<'_>)> = vec![
        ("zeros", Box::new(|| fs::write(database.join("db"), vec![0; size]).unwrap())),
        ("noise", Box::new(|| fs::write(database.join("db"), vec![0xA5; size]).unwrap())),
        ("no bytes", Box::new(|| fs::write(database.join("db"), b"").unwrap())),
        ("gone", Box::new(|| fs::remove_dir_all(&database).unwrap())),
        (
            "another's",
            Box::new(|| {
                fs::remove_dir_all(&database).unwrap();
                copy(&other.path().join("sled"), &database);
            }),
        ),
        (
            "without its newest changes",
            Box::new(|| {
                let db = recovery::open_sled(&database).unwrap();
                let newest = db.scan_prefix([Space::Changes as u8]).next_back().unwrap().unwrap().0;
                db.remove(newest).unwrap();
                db.flush().unwrap();
            }),
        ),
    ];
    for (damage, make) in damages {
        make();
        let store = open(folder.path()).await;
        let recovery = store.recovery().clone();
        assert!(recovery.rebuilt.is_some(), "{damage}: {recovery:?}");
        assert_eq!(recovery.aside.is_some(), damage != "gone", "{damage}");
        assert!(recovery.aside.is_none_or(|aside| aside.is_dir()), "{damage}");
        assert_eq!(content(&store).await, expected, "{damage}");
        commit(&store, 1).await;
        expected = content(&store).await;
    }
}

#[tokio::test]
async fn what_was_never_acknowledged_is_gone_wherever_the_journal_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path().to_owned(), KEPT).await.unwrap();
    commit(&store, 3).await;
    let expected = content(&store).await;
    let acknowledged = fs::read(folder.path().join("NEWEST")).unwrap();
    let segment = segments(folder.path()).pop().unwrap();
    let before = fs::read(&segment).unwrap().len();
    commit(&store, 1).await;
    drop(store);
    let whole = fs::read(&segment).unwrap();
    // sled has the last commit, the journal a part of it: the power went before anybody was told.
    for cut in (before..whole.len()).step_by(7) {
        let place = tempfile::tempdir().unwrap();
        copy(folder.path(), place.path());
        fs::write(place.path().join("NEWEST"), &acknowledged).unwrap();
        let torn = segments(place.path()).pop().unwrap();
        let mut bytes = whole[..cut].to_vec();
        bytes.resize(if cut % 2 == 0 { cut } else { whole.len() }, 0);
        if bytes == whole {
            // It ends with zeros of its own.
            continue;
        }
        fs::write(torn, bytes).unwrap();
        let store = SledStore::open(place.path().to_owned(), KEPT).await.unwrap();
        assert_eq!(content(&store).await, expected, "cut at {cut}");
        assert!(store.recovery().rebuilt.as_ref().unwrap().contains("never acknowledged"), "cut at {cut}");
        commit(&store, 1).await;
    }
}

#[tokio::test]
async fn a_journal_that_lost_what_was_acknowledged_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    commit(&store, 40).await;
    drop(store);
    let files = segments(folder.path());
    assert!(files.len() > 3);
    type Damage = Box<dyn Fn(&Path)>;
    let nth = |at: usize| move |folder: &Path| segments(folder)[at].clone();
    let (second, last) = (nth(1), nth(files.len() - 1));
    let length = fs::read(&files[1]).unwrap().len();
    let mut damages: Vec<(&str, Damage)> = vec![
        ("are not there", Box::new(move |folder| fs::remove_file(second(folder)).unwrap())),
        (
            "but 40 was acknowledged",
            Box::new(move |folder| {
                let path = last(folder);
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            }),
        ),
        ("its journal is gone", Box::new(|folder| fs::remove_dir_all(folder.join("journal")).unwrap())),
        (
            "its journal is gone",
            Box::new(|folder| {
                fs::remove_dir_all(folder.join("journal")).unwrap();
                fs::create_dir(folder.join("journal")).unwrap();
            }),
        ),
    ];
    for at in (0..length).step_by(97) {
        damages.push(("is damaged at byte", Box::new(move |folder| flip(&second(folder), at))));
    }
    for (told, damage) in damages {
        let place = tempfile::tempdir().unwrap();
        copy(folder.path(), place.path());
        damage(place.path());
        let journal = place.path().join("journal");
        let left = journal
            .exists()
            .then(|| segments(place.path()).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>());
        let refused = refusal(place.path()).await;
        assert!(refused.contains(told), "{told}: {refused}");
        assert!(refused.contains("sluice-control-plane restore"), "what to do: {refused}");
        let now = journal.exists().then(|| segments(place.path()).iter().map(|path| fs::read(path).unwrap()).collect());
        assert_eq!(now, left, "{told}: nothing was changed");
        assert!(place.path().join("sled").exists());
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_and_two_are_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for _ in 0..4 {
        commit(&store, 15).await;
        store.checkpoint().await.unwrap();
    }
    commit(&store, 5).await;
    let expected = content(&store).await;
    drop(store);
    let kept = checkpoints(folder.path());
    assert_eq!(kept.len(), 2, "the newest two are kept");
    let first: u64 = segments(folder.path())[0].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert!(first > 1 && first <= 46, "the journal goes back to the older checkpoint, and no further: {first}");
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    flip(&kept[1], 100);
    let store = open(folder.path()).await;
    assert_eq!(content(&store).await, expected);
    drop(store);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    flip(&kept[0], 100);
    let refused = refusal(folder.path()).await;
    assert!(refused.contains("no good checkpoint") && refused.contains("sluice-control-plane restore"), "{refused}");
    assert!(!folder.path().join("sled").exists(), "never an empty one");
}

#[tokio::test]
async fn rows_that_sled_lost_without_a_word_are_mended_after_a_bad_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    commit(&store, 20).await;
    let expected = content(&store).await;
    drop(store);
    let row = codec::key(Space::Rows, &key("rewritten").number(3));
    let old = codec::key(Space::Rows, &key("rewritten").number(4));
    let queue = codec::key(Space::Queues, &queue());
    let lose = || {
        let db = recovery::open_sled(&folder.path().join("sled")).unwrap();
        db.remove(&row).unwrap();
        db.insert(&old, codec::seal_row(&old, Revision(4), b"older")).unwrap();
        db.remove(&queue).unwrap();
        db.flush().unwrap();
    };
    lose();
    fs::remove_file(folder.path().join("CLOSED")).unwrap();
    let store = open(folder.path()).await;
    assert_eq!((content(&store).await, store.recovery().mended), (expected, 3));
}

#[tokio::test]
async fn a_value_that_was_damaged_is_found_after_a_bad_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    commit(&store, 20).await;
    let expected = content(&store).await;
    drop(store);
    let row = codec::key(Space::Rows, &key("rewritten").number(3));
    let db = recovery::open_sled(&folder.path().join("sled")).unwrap();
    db.insert(&row, b"damaged").unwrap();
    db.flush().unwrap();
    drop(db);
    fs::remove_file(folder.path().join("CLOSED")).unwrap();
    let store = open(folder.path()).await;
    assert!(store.recovery().rebuilt.as_ref().unwrap().contains("corrupt"), "{:?}", store.recovery());
    assert_eq!(content(&store).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_was_taken_while_commits_went_on_makes_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await);
    // More than a page, so that commits come between its pages.
    for at in 0..40 {
        let rows = (0..50).fold(Batch::new(), |batch, row| batch.put(key("wide").number(at).number(row), vec![1; 50]));
        store.commit(rows).await.unwrap();
    }
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for at in 0..200u64 {
                let (low, high) =
                    (key("wide").number(at % 40).number(at % 50), key("wide").number(39 - at % 40).number(7));
                let rows = Batch::new().put(low, at.to_be_bytes().to_vec()).put(high.clone().text("new"), vec![]);
                store.commit(rows.delete(high).append(queue(), vec![])).await.unwrap();
            }
        })
    };
    let mut taken = 0;
    while !writer.is_finished() {
        store.checkpoint().await.unwrap();
        taken += 1;
    }
    writer.await.unwrap();
    assert!(taken > 1, "they were taken meanwhile");
    let expected = content(&store).await;
    drop(store);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    assert_eq!(content(&open(folder.path()).await).await, expected);
}

/// In the child: the folder to write to.
const FOLDER: &str = "SLUICE_TEST_STORE_FOLDER";

/// The child of the test below, which may write no file of more than 1 MiB.
#[test]
#[ignore = "run by the test of a full disk, with a limit"]
fn the_writer_on_a_full_disk() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = SledStore::open(folder, KEPT).await.unwrap();
        commit(&store, 3).await;
        let expected = content(&store).await;
        let large = (0..4).fold(Batch::new(), |batch, at| batch.put(key("large").number(at), vec![7; 400 * 1024]));
        match store.commit(large).await {
            Err(CommitError::Store(error @ StoreError::Disk { .. })) => {
                assert!(error.to_string().contains("nothing was changed"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(content(&store).await, expected);
        commit(&store, 1).await;
    });
}

#[test]
fn a_full_disk_refuses_a_commit_and_takes_the_next_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "store::sled::power_tests::the_writer_on_a_full_disk"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(folder.path()).await;
        assert_eq!(store.newest().await.unwrap(), Revision(4));
    });
}
