//! What a crash, a damaged disk and a careless hand leave behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::frame::{self, End, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::tests::{everything, executor, open, run, runs};
use super::{AuditLog, Cursor, FileAuditLog, LogError, Query, Source, segment};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn newest_log(folder: &Path) -> PathBuf {
    segment::log_path(folder, *segment::list(folder).unwrap().last().unwrap())
}

/// A log with these batches of one source, one group each, and the lengths of its file after each.
async fn written(folder: &Path, batches: u64) -> Vec<u64> {
    let log = open(folder).await;
    let mut lengths = vec![SEGMENT_HEADER_BYTES as u64];
    for at in 0..batches {
        log.append(runs(&executor("ex-1", 1), "acme", at * 2 + 1, 2)).await.unwrap();
        lengths.push(fs::metadata(newest_log(folder)).unwrap().len());
    }
    lengths
}

async fn numbers(log: &FileAuditLog) -> Vec<u64> {
    let prefix = "01890a5d-ac96-774b-bcce-";
    let ids = everything(log).await.into_iter().map(|entry| entry.record.execution_id.unwrap());
    ids.map(|id| id.strip_prefix(prefix).unwrap().parse().unwrap()).collect()
}

async fn refusal(folder: &Path) -> LogError {
    match FileAuditLog::open(folder.to_owned(), 1_000_000).await {
        Err(error) => error,
        Ok(_) => panic!("opened"),
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_at_every_byte_of_the_last_frame_and_the_batch_can_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = written(folder.path(), 3).await;
    let path = newest_log(folder.path());
    let whole = fs::read(&path).unwrap();
    for cut in lengths[2]..lengths[3] {
        fs::write(&path, &whole[..usize::try_from(cut).unwrap()]).unwrap();
        let log = open(folder.path()).await;
        assert_eq!(fs::metadata(&path).unwrap().len(), lengths[2], "cut at {cut}");
        assert_eq!(log.last_sequence(&executor("ex-1", 1)).await.unwrap(), 4);
        let again = log.append(runs(&executor("ex-1", 1), "acme", 5, 2)).await.unwrap();
        assert_eq!(again.accepted, 2);
        drop(log);
        assert_eq!(numbers(&open(folder.path()).await).await, [1, 2, 3, 4, 5, 6], "cut at {cut}");
    }
}

#[tokio::test]
async fn what_a_crash_leaves_of_a_frame_is_cut_off_whatever_bytes_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = written(folder.path(), 2).await;
    let path = newest_log(folder.path());
    let whole = fs::read(&path).unwrap();
    let last = usize::try_from(lengths[1]).unwrap();
    let zeros = [&whole[..], &[0; 4096]].concat();
    let noise = [&whole[..], &[0xF5; 100], b"\xF5SLF\xFF\xFF\xFF\xFF"].concat();
    for (ending, kept) in [(zeros, 4), (noise, 4)] {
        fs::write(&path, ending).unwrap();
        assert_eq!(numbers(&open(folder.path()).await).await.len(), kept);
        assert_eq!(fs::metadata(&path).unwrap().len(), lengths[2]);
    }
    // Pages of the last frame that the disk had not written yet.
    for at in (last..whole.len()).step_by(13) {
        let mut torn = whole.clone();
        torn[at] ^= 0x55;
        fs::write(&path, torn).unwrap();
        assert_eq!(numbers(&open(folder.path()).await).await, [1, 2], "byte {at}");
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_at_every_byte_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = written(folder.path(), 2).await;
    let path = newest_log(folder.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..usize::try_from(lengths[1]).unwrap() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x04;
        fs::write(&path, &damaged).unwrap();
        match refusal(folder.path()).await {
            LogError::Corrupt { file, .. } => assert_eq!(file, path),
            other => panic!("byte {at}: {other}"),
        }
        assert_eq!(fs::read(&path).unwrap(), damaged, "byte {at}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(numbers(&open(folder.path()).await).await, [1, 2, 3, 4]);
}

/// A segment of groups, each of some frames with these payloads.
fn frames(salt: u32, groups: &[&[&[u8]]]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
    let mut starts = Vec::new();
    for group in groups {
        let begins = bytes.len() as u64;
        for payload in *group {
            starts.push(bytes.len());
            frame::put(&mut bytes, salt, begins, payload);
        }
    }
    (bytes, starts)
}

fn walked(bytes: &[u8], salt: u32) -> (Vec<Vec<u8>>, Result<End, LogError>) {
    let mut payloads = Vec::new();
    let end = frame::walk(Path::new("x.log"), bytes, salt, |_, payload| {
        payloads.push(payload.to_vec());
        Ok(())
    });
    (payloads, end)
}

#[test]
fn a_group_that_was_not_synced_may_be_torn_anywhere() {
    let (whole, starts) = frames(7, &[&[b"one"], &[b"two", b"three", b"four"]]);
    for torn in 1..4 {
        let mut bytes = whole.clone();
        bytes[starts[torn] + FRAME_HEADER_BYTES] ^= 1;
        let (payloads, end) = walked(&bytes, 7);
        assert_eq!(end.unwrap(), End::Torn { at: starts[torn] as u64 });
        assert_eq!(payloads.len(), torn);
    }
}

#[test]
fn a_frame_that_a_later_group_follows_was_acknowledged() {
    let (whole, starts) = frames(7, &[&[b"one", b"two"], &[b"three"]]);
    for damaged in 0..2 {
        let mut bytes = whole.clone();
        bytes[starts[damaged] + FRAME_HEADER_BYTES] ^= 1;
        match walked(&bytes, 7).1 {
            Err(LogError::Corrupt { offset, .. }) => assert_eq!(offset, starts[damaged] as u64),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_frame_inside_of_a_record_is_not_taken_for_a_frame() {
    // Somebody who knows the format, but not the salt, puts a frame of a later group into what is logged.
    let mut forged = Vec::new();
    frame::put(&mut forged, 0, 1_000_000, b"forged");
    let (mut bytes, starts) = frames(0xDEAD_BEEF, &[&[b"one"], &[&forged]]);
    bytes[starts[1]] ^= 1;
    assert_eq!(walked(&bytes, 0xDEAD_BEEF).1.unwrap(), End::Torn { at: starts[1] as u64 });
}

proptest! {
    #[test]
    fn no_bytes_make_a_walk_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), salt: u32) {
        let mut segment = vec![0; SEGMENT_HEADER_BYTES];
        segment.extend_from_slice(&bytes);
        let _ = walked(&segment, salt);
        frame::put(&mut segment, salt, 0, &bytes);
        let _ = walked(&segment, salt);
        let _ = super::block::decode(&bytes).map(|block| super::block::Records::of(&block));
    }
}

#[tokio::test]
async fn a_crash_while_a_segment_was_made_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let source = executor("ex-1", 1);
    let log = FileAuditLog::open(folder.path().to_owned(), 1).await.unwrap();
    log.append(runs(&source, "acme", 1, 2)).await.unwrap();
    drop(log);
    let path = segment::log_path(folder.path(), Cursor(3));
    let header = fs::read(&path).unwrap();
    assert_eq!(header.len(), SEGMENT_HEADER_BYTES);
    for length in 0..=header.len() {
        fs::write(&path, &header[..length]).unwrap();
        assert_eq!(numbers(&open(folder.path()).await).await, [1, 2]);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(numbers(&open(folder.path()).await).await, [1, 2], "the one before is then the newest");
}

/// A log of many small segments.
async fn segmented(folder: &Path) -> Vec<Cursor> {
    let log = FileAuditLog::open(folder.to_owned(), 1).await.unwrap();
    for at in 0..5 {
        log.append(runs(&executor("ex-1", 1), "acme", at * 2 + 1, 2)).await.unwrap();
        log.append(runs(&executor("ex-2", 1), "beta", at + 1, 1)).await.unwrap();
    }
    // The last one is closed behind the answer.
    drop(log);
    segment::list(folder).unwrap()
}

#[tokio::test]
async fn segments_are_closed_when_they_are_full_and_read_as_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segmented(folder.path()).await;
    assert_eq!(segments.len(), 11, "{segments:?}");
    let log = open(folder.path()).await;
    assert_eq!(everything(&log).await.len(), 15);
    assert_eq!(log.last_sequence(&executor("ex-1", 1)).await.unwrap(), 10);
    assert_eq!(log.last_sequence(&executor("ex-2", 1)).await.unwrap(), 5);
    assert_eq!(log.append(runs(&executor("ex-1", 1), "acme", 9, 3)).await.unwrap().accepted, 1);
}

#[tokio::test]
async fn an_index_that_is_gone_or_damaged_is_made_again_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segmented(folder.path()).await;
    let index = |at: usize| segment::index_path(folder.path(), segments[at]);
    let good: Vec<Vec<u8>> = (0..10).map(|at| fs::read(index(at)).unwrap()).collect();
    for at in 0..10 {
        fs::remove_file(index(at)).unwrap();
    }
    let log = open(folder.path()).await;
    assert_eq!(everything(&log).await.len(), 15);
    assert_eq!(log.last_sequence(&executor("ex-1", 1)).await.unwrap(), 10);
    drop(log);
    for at in 0..good[3].len() {
        let mut damaged = good[3].clone();
        damaged[at] ^= 0x20;
        fs::write(index(3), damaged).unwrap();
        let log = open(folder.path()).await;
        let page = log.query(Query::of("beta".parse().unwrap())).await.unwrap();
        assert_eq!(page.entries.len(), 5, "byte {at}");
        assert_eq!(log.last_sequence(&executor("ex-2", 1)).await.unwrap(), 5);
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segmented(folder.path()).await;
    for at in [0, 4, 9] {
        let path = segment::log_path(folder.path(), segments[at]);
        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        let error = refusal(folder.path()).await.to_string();
        assert!(error.contains("are not there"), "{error}");
        fs::rename(&aside, &path).unwrap();
    }
    for first in &segments {
        fs::remove_file(segment::log_path(folder.path(), *first)).unwrap();
    }
    let error = refusal(folder.path()).await.to_string();
    assert!(error.contains("its segments are gone"), "{error}");
}

#[tokio::test]
async fn damage_in_a_closed_segment_is_told_by_who_reads_it_and_nobody_else_suffers() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segmented(folder.path()).await;
    let path = segment::log_path(folder.path(), segments[2]);
    let mut damaged = fs::read(&path).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let log = open(folder.path()).await;
    let page = log.query(Query::of("beta".parse().unwrap())).await.unwrap();
    assert_eq!(page.entries.len(), 5);
    match log.query(Query::of("acme".parse().unwrap())).await {
        Err(LogError::Corrupt { file, offset, .. }) => assert_eq!((file, offset), (path.clone(), 28)),
        other => panic!("{other:?}"),
    }
    assert_eq!(log.append(runs(&executor("ex-1", 1), "acme", 11, 1)).await.unwrap().accepted, 1);
    drop(log);
    // Shorter than its index says: seen at once.
    fs::write(&path, &damaged[..last]).unwrap();
    assert!(matches!(refusal(folder.path()).await, LogError::Corrupt { .. }));
}

#[tokio::test]
async fn a_folder_has_one_log_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    assert!(refusal(folder.path()).await.to_string().contains("another process holds it"));
    drop(log);
    open(folder.path()).await;
}

/// In the child: the folder to write to.
const FOLDER: &str = "SLUICE_TEST_AUDIT_FOLDER";
const ROUNDS: u64 = 12;
const SENDERS: u64 = 3;
/// Small, so that segments are closed while it is killed.
const SMALL_SEGMENT_BYTES: u64 = 4_000;

fn sender(number: u64) -> Source {
    executor(&format!("ex-{number}"), 1)
}

/// The child of the test below: appends from several sources at once, and says what was acknowledged, until it is killed.
#[test]
#[ignore = "run by the test of kill -9, which kills it"]
fn the_log_that_is_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Arc::new(FileAuditLog::open(folder, SMALL_SEGMENT_BYTES).await.unwrap());
        let senders = (0..SENDERS).map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                // From the start, as an executor whose acks were lost.
                for first in (1..).step_by(2) {
                    let appended = log.append(runs(&sender(number), "acme", first, 2)).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {number} {}", appended.last_sequence).unwrap();
                    out.flush().unwrap();
                }
            })
        });
        futures_util::future::join_all(senders.collect::<Vec<_>>()).await;
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_is_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "audit::log::recovery_tests::the_log_that_is_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = |line: String| {
            let (_, numbers) = line.split_once("acknowledged ")?;
            let (sender, last) = numbers.split_once(' ')?;
            Some((sender.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
        };
        // Past all that the rounds before had written, and some more.
        let count = usize::try_from(acknowledged.values().sum::<u64>() / 2 + round * 13 % 40 + 1).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard: Vec<_> = lines.by_ref().map_while(Result::ok).filter_map(told).take(count).collect();
        child.kill().unwrap();
        // A line that was cut by the kill could tell another number, so the last one does not count.
        let mut rest: Vec<_> = lines.map_while(Result::ok).filter_map(told).collect();
        rest.pop();
        heard.extend(rest);
        child.wait().unwrap();
        assert!(heard.len() >= count, "the child died on its own");
        for (sender, last) in heard {
            let known = acknowledged.entry(sender).or_default();
            *known = last.max(*known);
        }
        let open = FileAuditLog::open(folder.path().to_owned(), SMALL_SEGMENT_BYTES);
        let log = runtime.block_on(open).unwrap();
        runtime.block_on(check(&log, &acknowledged));
    }
}

async fn check(log: &FileAuditLog, acknowledged: &BTreeMap<u64, u64>) {
    let mut marks = Vec::new();
    for (number, last) in acknowledged {
        let found = log.last_sequence(&sender(*number)).await.unwrap();
        assert!(found >= *last, "sender {number}: acknowledged {last}, found {found}");
        marks.push(found);
    }
    let kept = everything(log).await;
    assert!(kept.iter().map(|entry| entry.cursor.0).eq(1..=kept.len() as u64));
    // Every sender sends the same numbered records: each is there as often as senders have got so far.
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &kept {
        *counts.entry(entry.record.execution_id.clone().unwrap()).or_default() += 1;
    }
    for number in 1..=marks.iter().copied().max().unwrap_or(0) {
        let expected = marks.iter().filter(|mark| **mark >= number).count();
        let found = counts.remove(&run("acme", number).execution_id.unwrap()).unwrap_or(0);
        assert!(found >= expected, "record {number}: {found} of {expected}");
    }
    assert_eq!(kept.len() as u64, all_marks(log).await, "nothing is doubled");
}

async fn all_marks(log: &FileAuditLog) -> u64 {
    let mut sum = 0;
    for number in 0..SENDERS {
        sum += log.last_sequence(&sender(number)).await.unwrap();
    }
    sum
}
