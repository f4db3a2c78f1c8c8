use super::*;
use sluice_api::types::v1 as wire;

fn record(n: u64) -> wire::AuditRecord {
    wire::AuditRecord {
        execution_id: format!("execution-{n}"),
        cursor: "x".repeat((n % 7) as usize),
        ..Default::default()
    }
}

fn frames(numbers: std::ops::RangeInclusive<u64>) -> Frames {
    let mut frames = Frames::default();
    for n in numbers {
        assert!(frames.push(&record(n)));
    }
    frames
}

fn spool(folder: &Path, max_bytes: u64) -> Spool {
    Spool::create(folder, 1, max_bytes, Arc::default()).unwrap()
}

/// Everything that a log holds, decoded, with the batches' first sequences checked.
fn read_all(log: &Log, from: u64) -> Vec<String> {
    let (mut place, mut found) = (Place::at(from), Vec::new());
    loop {
        let batch = log.read(&mut place).unwrap();
        if batch.records.is_empty() {
            return found;
        }
        assert_eq!(batch.first, from + found.len() as u64);
        found.extend(
            batch
                .records
                .iter()
                .map(|r| <wire::AuditRecord as prost::Message>::decode(r.clone()).unwrap().execution_id),
        );
    }
}

fn names(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|n| format!("execution-{n}")).collect()
}

#[test]
fn what_is_written_is_read_in_order_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 1 << 20);
    assert_eq!(read_all(spool.log(), 1), Vec::<String>::new());
    assert_eq!(spool.append(&mut frames(1..=3), false).unwrap(), 3);
    assert_eq!(spool.append(&mut frames(4..=4), false).unwrap(), 4);
    assert_eq!(read_all(spool.log(), 1), names(1..=4));
    assert_eq!(read_all(spool.log(), 3), names(3..=4));
    assert_eq!(read_all(spool.log(), 5), Vec::<String>::new());
}

#[test]
fn a_place_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 64 << 20);
    spool.append(&mut frames(1..=2_500), false).unwrap();
    let mut place = Place::at(1);
    for (first, count) in [(1, 1000), (1001, 1000), (2001, 500), (2501, 0)] {
        let batch = spool.log().read(&mut place).unwrap();
        assert_eq!((batch.first, batch.records.len()), (first, count));
    }
    spool.append(&mut frames(2_501..=2_502), false).unwrap();
    let batch = spool.log().read(&mut place).unwrap();
    assert_eq!((batch.first, batch.records.len()), (2501, 2));
}

#[test]
fn a_batch_has_a_mebibyte_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 64 << 20);
    let mut frames = Frames::default();
    for _ in 0..9 {
        assert!(frames.push(&wire::AuditRecord { cursor: "x".repeat(200 << 10), ..Default::default() }));
    }
    spool.append(&mut frames, false).unwrap();
    let mut place = Place::at(1);
    assert_eq!(spool.log().read(&mut place).unwrap().records.len(), 5);
    assert_eq!(spool.log().read(&mut place).unwrap().records.len(), 4);
}

#[test]
fn acks_remove_whole_segments_and_give_their_space_back() {
    let folder = tempfile::tempdir().unwrap();
    // Segments of 256 KiB.
    let spool = spool(folder.path(), 1 << 20);
    let big = |n: u64| wire::AuditRecord {
        execution_id: format!("execution-{n}"),
        cursor: "x".repeat(200 << 10),
        ..Default::default()
    };
    for n in 1..=4 {
        let mut frames = Frames::default();
        assert!(frames.push(&big(n)));
        spool.append(&mut frames, false).unwrap();
    }
    let before = spool.bytes();
    spool.log().ack(1).unwrap();
    assert_eq!(spool.bytes(), before, "record 2 is in the same segment");
    spool.log().ack(3).unwrap();
    assert_eq!(spool.bytes(), before / 2);
    assert_eq!(spool.log().acked(), 3);
    assert_eq!(read_all(spool.log(), 4), names(4..=4));
    spool.log().ack(2).unwrap();
    assert_eq!(spool.log().acked(), 3, "an ack never goes back");
    spool.log().ack(99).unwrap();
    assert_eq!(spool.log().acked(), 4, "nor past what is written");
    spool.log().remove().unwrap();
    assert_eq!((spool.bytes(), fs::read_dir(folder.path()).unwrap().count()), (0, 0));
}

#[test]
fn a_full_spool_refuses_and_keeps_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 1 << 10);
    let mut written = 0;
    let refused = loop {
        let mut frames = frames(1..=5);
        match spool.append(&mut frames, false) {
            Ok(last) => written = last,
            Err(error) => {
                assert_eq!(frames.count(), 5, "the caller decides what becomes of them");
                break error;
            }
        }
    };
    assert!(matches!(refused, SpoolError::Full { max: 1024, .. }), "{refused}");
    assert!(spool.has_room().is_err());
    assert_eq!(spool.append(&mut frames(1..=1), true).unwrap(), written + 1, "a gap is told all the same");
    spool.log().ack(written).unwrap();
    assert!(spool.has_room().is_ok());
}

#[test]
fn a_record_that_is_no_frame_is_not_taken() {
    let mut frames = Frames::default();
    assert!(!frames.push(&wire::AuditRecord::default()), "empty");
    let large = wire::AuditRecord { cursor: "x".repeat(frame::MAX_RECORD_BYTES), ..Default::default() };
    assert!(!frames.push(&large), "too large");
    assert_eq!(frames.count(), 0);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_frame() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 1 << 20);
    spool.append(&mut frames(1..=2), false).unwrap();
    let epoch = epoch_folder(folder.path(), 1);
    let path = segment::path(&epoch, 1);
    let whole = fs::read(&path).unwrap().len();
    spool.append(&mut frames(3..=3), false).unwrap();
    let bytes = fs::read(&path).unwrap();
    for cut in whole..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let recovered = recover(&epoch).unwrap();
        let is_whole = cut == bytes.len();
        let torn = if is_whole { 0 } else { (cut - whole) as u64 };
        assert_eq!((recovered.torn_bytes, recovered.set_aside.len()), (torn, 0), "cut at {cut}");
        let log = Log::left_behind(epoch.clone(), recovered.segments, Arc::default());
        let expected = if is_whole { 3 } else { 2 };
        assert_eq!(read_all(&log, 1), names(1..=expected), "cut at {cut}");
        assert_eq!(log.written(), expected, "cut at {cut}");
        assert_eq!(recover(&epoch).unwrap().torn_bytes, 0, "a second look finds nothing to cut");
    }
}

#[test]
fn a_segment_of_which_nothing_is_whole_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 1 << 20);
    spool.append(&mut frames(1..=1), false).unwrap();
    let epoch = epoch_folder(folder.path(), 1);
    let path = segment::path(&epoch, 1);
    fs::write(&path, &fs::read(&path).unwrap()[..10]).unwrap();
    let recovered = recover(&epoch).unwrap();
    assert_eq!((recovered.segments.len(), recovered.torn_bytes), (0, 10));
    assert!(!path.exists());
}

#[test]
fn damage_in_the_middle_is_set_aside_with_what_follows_and_never_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 1 << 20);
    spool.append(&mut frames(1..=1), false).unwrap();
    let epoch = epoch_folder(folder.path(), 1);
    let path = segment::path(&epoch, 1);
    let first = fs::read(&path).unwrap().len();
    spool.append(&mut frames(2..=3), false).unwrap();
    // A segment after it, as a rotation makes one.
    fs::write(segment::path(&epoch, 4), frames(4..=4).seal(4)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[first + HEADER_BYTES] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let recovered = recover(&epoch).unwrap();
    assert_eq!(recovered.segments.iter().map(|s| (s.first, s.end)).collect::<Vec<_>>(), [(1, 2)]);
    assert_eq!(recovered.torn_bytes, 0);
    let aside: u64 = recovered.set_aside.iter().map(|p| fs::metadata(p).unwrap().len()).sum();
    let after = frames(4..=4).seal(4).len();
    assert_eq!(aside, (bytes.len() - first + after) as u64, "every byte is still there");
    assert_eq!(recover(&epoch).unwrap().segments, recovered.segments, "a second look agrees");
}

#[test]
fn a_missing_segment_sets_aside_what_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = epoch_folder(folder.path(), 1);
    fs::create_dir_all(&epoch).unwrap();
    fs::write(segment::path(&epoch, 1), frames(1..=2).seal(1)).unwrap();
    fs::write(segment::path(&epoch, 5), frames(5..=6).seal(5)).unwrap();
    let recovered = recover(&epoch).unwrap();
    assert_eq!(recovered.segments.len(), 1);
    assert_eq!(recovered.set_aside.len(), 1);
}

#[test]
fn epochs_are_found_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in [12, 3, 100] {
        fs::create_dir_all(epoch_folder(folder.path(), epoch)).unwrap();
    }
    fs::create_dir_all(folder.path().join("something-else")).unwrap();
    assert_eq!(epochs(folder.path()).unwrap(), [3, 12, 100]);
}

#[tokio::test]
async fn a_reader_hears_of_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path(), 1 << 20);
    let log = Arc::clone(spool.log());
    let reader = tokio::spawn(async move { log.written_after(2).await });
    spool.append(&mut frames(1..=2), false).unwrap();
    tokio::task::yield_now().await;
    assert!(!reader.is_finished());
    spool.append(&mut frames(3..=3), false).unwrap();
    reader.await.unwrap();
}
