//! What becomes of records, and of the runtime, when the disk is slow, full, or gone.

use super::*;
use crate::testing::slug;
use prost::Message as _;
use spool::{HEADER_BYTES, Place};
use std::{
    fs::File,
    io::Read as _,
    sync::{atomic::AtomicBool, mpsc},
};

/// More than a pipe holds.
const LARGE_BYTES: usize = 100 << 10;

fn record(name: &str, bytes: usize) -> Frames {
    let mut frames = Frames::default();
    let record = wire::AuditRecord { execution_id: name.into(), cursor: "x".repeat(bytes), ..Default::default() };
    assert!(frames.push(&record));
    frames
}

fn on(spool: Spool, on_spool_failure: OnSpoolFailure) -> Arc<Audit> {
    let identity = Identity { id: "e1".into(), epoch: 1 };
    let config = AuditConfig { on_spool_failure, ..AuditConfig::default() };
    let meter = opentelemetry::global::meter("test");
    Arc::new(Audit::on(spool, &identity, &config, Metrics::new(&meter)))
}

/// Audit on a disk that stands still as long as nobody reads from it.
struct Still {
    _folder: tempfile::TempDir,
    audit: Arc<Audit>,
    /// The segments, each a pipe.
    made: Option<mpsc::Receiver<std::io::PipeReader>>,
}

impl Still {
    fn new(on_spool_failure: OnSpoolFailure) -> Still {
        let folder = tempfile::tempdir().unwrap();
        let (give, made) = mpsc::channel();
        let make = move |_: &Path| {
            let (reader, writer) = std::io::pipe()?;
            give.send(reader).unwrap();
            Ok(File::from(std::os::fd::OwnedFd::from(writer)))
        };
        let spool = Spool::create_on(folder.path(), 1, 1 << 30, Arc::default(), Box::new(make)).unwrap();
        Still { _folder: folder, audit: on(spool, on_spool_failure), made: Some(made) }
    }

    fn keep(&self, name: &str, bytes: usize) -> tokio::task::JoinHandle<Result<(), Error>> {
        let (audit, mut frames) = (Arc::clone(&self.audit), record(name, bytes));
        tokio::spawn(async move { audit.keep(&mut frames, &slug("acme")).await })
    }

    /// Keeps a record that fills the disk, and returns when its write stands still.
    async fn stands_still(&self) -> tokio::task::JoinHandle<Result<(), Error>> {
        let kept = self.keep("first", LARGE_BYTES);
        while !self.audit.spool.is_writing() {
            tokio::task::yield_now().await;
        }
        kept
    }

    /// The disk goes on. The answer is what was written, once the spool is gone.
    fn goes_on(&mut self) -> std::thread::JoinHandle<Vec<u8>> {
        let made = self.made.take().unwrap();
        let read = |mut reader: std::io::PipeReader| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).unwrap();
                bytes
            })
        };
        std::thread::spawn(move || {
            let segments: Vec<_> = made.into_iter().map(read).collect();
            segments.into_iter().flat_map(|segment| segment.join().unwrap()).collect()
        })
    }
}

/// The executions of what was written, their sequences checked.
fn executions(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let sequence = u64::from_le_bytes(header[8..].try_into().unwrap());
        let record = wire::AuditRecord::decode(&rest[..length]).unwrap();
        found.push(record.execution_id);
        assert_eq!(sequence, found.len() as u64);
        bytes = &rest[length..];
    }
    found
}

#[tokio::test]
async fn a_disk_that_stands_still_holds_no_thread_of_the_runtime() {
    // This runtime has one thread. Were it held, the test would not end.
    let mut still = Still::new(OnSpoolFailure::Refuse);
    let mut kept = vec![still.stands_still().await];
    let mut expected = vec!["first".to_owned()];
    for n in 0..20 {
        kept.push(still.keep(&format!("e-{n}"), 5 << 10));
        expected.push(format!("e-{n}"));
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(kept.iter().all(|kept| !kept.is_finished()), "no answer leaves before its record is written");
    let now = Instant::now();
    still.audit.admit(now).unwrap();
    let refused = still.audit.admit(now + Duration::from_secs(2)).unwrap_err();
    assert_eq!(refused.reason, "AUDIT_UNAVAILABLE", "nothing is begun that would wait in vain");
    let written = still.goes_on();
    for kept in kept {
        kept.await.unwrap().unwrap();
    }
    still.audit.settled().await;
    still.audit.admit(now + Duration::from_secs(2)).unwrap();
    drop(still);
    assert_eq!(executions(&written.join().unwrap()), expected);
}

#[tokio::test]
async fn what_was_given_up_while_the_disk_stood_still_is_written_all_the_same() {
    let mut still = Still::new(OnSpoolFailure::Refuse);
    let first = still.stands_still().await;
    let audit = Arc::clone(&still.audit);
    let mut frames = record("given up", 10);
    {
        let tenant = slug("acme");
        let keep = audit.keep(&mut frames, &tenant);
        tokio::pin!(keep);
        assert!(futures_util::poll!(&mut keep).is_pending());
    }
    assert_eq!(frames.count(), 0, "it is not the caller's any more");
    audit.write_for_nobody(&mut record("for nobody", 10), &slug("acme"));
    drop(audit);
    let written = still.goes_on();
    first.await.unwrap().unwrap();
    still.audit.settled().await;
    drop(still);
    assert_eq!(executions(&written.join().unwrap()), ["first", "given up", "for nobody"]);
}

#[tokio::test]
async fn what_waits_for_the_disk_is_bounded_and_beyond_it_refused_or_counted() {
    for policy in [OnSpoolFailure::Refuse, OnSpoolFailure::CountGap] {
        let mut still = Still::new(policy);
        let first = still.stands_still().await;
        let mut waiting = Vec::new();
        let beyond = loop {
            let kept = still.keep("more", 200 << 10);
            tokio::task::yield_now().await;
            if kept.is_finished() {
                break kept.await.unwrap();
            }
            waiting.push(kept);
        };
        assert!((80..84).contains(&waiting.len()), "16 MiB: {}", waiting.len());
        match policy {
            OnSpoolFailure::Refuse => {
                assert_eq!(beyond.unwrap_err().reason, "AUDIT_UNAVAILABLE");
                assert_eq!(still.audit.admit(Instant::now()).unwrap_err().reason, "AUDIT_UNAVAILABLE");
            }
            OnSpoolFailure::CountGap => beyond.unwrap(),
        }
        assert_eq!(still.audit.gaps.lock().by_tenant[&slug("acme")].missing, 1, "never silence");
        let written = still.goes_on();
        first.await.unwrap().unwrap();
        let count = waiting.len();
        for kept in waiting {
            kept.await.unwrap().unwrap();
        }
        still.audit.settled().await;
        let audit = Arc::clone(&still.audit);
        tokio::task::spawn_blocking(move || audit.tell_gaps()).await.unwrap();
        drop(still);
        assert_eq!(executions(&written.join().unwrap()).len(), 1 + count + 1, "with the one that tells the gap");
    }
}

#[tokio::test]
async fn on_a_full_disk_runs_are_refused_or_counted_and_the_gap_is_told_when_it_is_well() {
    for policy in [OnSpoolFailure::Refuse, OnSpoolFailure::CountGap] {
        let folder = tempfile::tempdir().unwrap();
        let full = Arc::new(AtomicBool::new(true));
        let is_full = Arc::clone(&full);
        let make = move |path: &Path| match is_full.load(std::sync::atomic::Ordering::Relaxed) {
            true => File::options().append(true).open("/dev/full"),
            false => File::options().append(true).create_new(true).open(path),
        };
        let spool = Spool::create_on(folder.path(), 1, 1 << 20, Arc::default(), Box::new(make)).unwrap();
        let audit = on(spool, policy);
        for _ in 0..3 {
            let kept = audit.keep(&mut record("lost", 10), &slug("acme")).await;
            match policy {
                OnSpoolFailure::Refuse => assert_eq!(kept.unwrap_err().reason, "AUDIT_UNAVAILABLE"),
                OnSpoolFailure::CountGap => kept.unwrap(),
            }
        }
        let admitted = audit.admit(Instant::now());
        assert_eq!(admitted.is_err(), policy == OnSpoolFailure::Refuse);
        audit.tell_gaps();
        assert_eq!(audit.log().written(), 0, "it cannot be told yet");
        full.store(false, std::sync::atomic::Ordering::Relaxed);
        audit.tell_gaps();
        audit.keep(&mut record("kept", 10), &slug("acme")).await.unwrap();
        let found = audit.log().read(&mut Place::at(1)).unwrap().records;
        let found: Vec<_> = found.into_iter().map(|bytes| wire::AuditRecord::decode(bytes).unwrap()).collect();
        assert_eq!(found.len(), 2);
        let to = sluice_api::convert::json::value(found[0].to.clone().unwrap()).unwrap();
        assert_eq!((found[0].kind.as_str(), &to["missing"]), ("audit.gap", &json!(3)));
        assert_eq!(found[1].execution_id, "kept");
    }
}
