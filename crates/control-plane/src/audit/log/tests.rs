//! What the log promises to those who append and ask.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use super::{
    AppendError, Appended, AuditLog, AuditPage, Cursor, FileAuditLog, Listed, LogError, MAX_BATCH_RECORDS, MAX_PAGE,
    OnGap, Query, SEGMENT_BYTES, Source, SourceBatch, record, segment,
};
use jiff::Timestamp;
use sluice_model::audit::{AuditFailure, AuditRun};
use sluice_model::{AuditKind, AuditRecord, FailureReason, OutcomeKind, Skipped, Slug, Trigger};
use std::path::Path;
use std::sync::Arc;

pub(super) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// A run of a tenant, told apart by its number.
pub(super) fn run(tenant: &str, number: u64) -> AuditRecord {
    let time = at(number.cast_signed());
    let mut record = AuditRecord::new(time, AuditKind::ActionExecuted, slug(tenant), "operator");
    record.flow = Some(slug("main"));
    record.flow_revision = Some(3);
    record.trigger = Some(Trigger::PostLogin);
    record.attachment = Some("att_1".to_owned());
    record.slug = Some(slug("domain-check"));
    record.version = Some("1.2.0".parse().unwrap());
    record.sign_in_id = Some(format!("sign-in-{}", number / 2));
    record.execution_id = Some(format!("01890a5d-ac96-774b-bcce-{number:012}"));
    record.user_id = Some(format!("user-{}", number % 7));
    record.outcome = Some(OutcomeKind::Continue);
    record.run = Some(AuditRun { executor: "ex-1".to_owned(), cpu_us: 60, wall_us: 75, ..AuditRun::default() });
    record
}

pub(super) fn executor(id: &str, epoch: u64) -> Source {
    Source::Executor { id: id.into(), epoch }
}

pub(super) fn batch(source: &Source, first_sequence: u64, records: Vec<AuditRecord>) -> SourceBatch {
    SourceBatch { source: source.clone(), first_sequence, records, on_gap: OnGap::Refuse }
}

/// `count` runs of a tenant, numbered on from `first`.
pub(super) fn runs(source: &Source, tenant: &str, first: u64, count: u64) -> SourceBatch {
    batch(source, first, (first..first + count).map(|number| run(tenant, number)).collect())
}

pub(super) async fn open(folder: &Path) -> FileAuditLog {
    FileAuditLog::open(folder.to_owned(), SEGMENT_BYTES).await.unwrap()
}

pub(super) async fn everything(log: &FileAuditLog) -> Vec<Listed> {
    let (mut entries, mut after) = (Vec::new(), Cursor(0));
    loop {
        let page = log.scan(after, None, MAX_PAGE).await.unwrap();
        let next = page.next.unwrap();
        if next == after {
            return entries;
        }
        entries.extend(page.entries);
        after = next;
    }
}

pub(super) fn cursors(page: &AuditPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.cursor.0).collect()
}

#[test]
fn a_record_comes_back_whole_whatever_is_in_it() {
    let mut full = run("acme", 1);
    full.failure = Some(AuditFailure {
        reason: FailureReason::Threw,
        message: "Error: \u{1F512} \"quoted\"\nsecond line \0".to_owned(),
        pointer: Some("/claims/0".to_owned()),
        file: Some("src/index.ts".to_owned()),
        line: Some(12),
        column: Some(3),
    });
    full.reason_code = Some("domain.blocked".to_owned());
    full.skipped = Some(Skipped::AfterBlock);
    full.from = Some(serde_json::json!({"config": {"domains": ["a.example"], "big": 9_007_199_254_740_993_u64}}));
    full.to = Some(serde_json::Value::Null);
    if let Some(run) = &mut full.run {
        run.annotations.insert("why".to_owned(), serde_json::json!(1.5));
        run.risk_unusable = true;
    }
    let sparse = AuditRecord::new(Timestamp::MIN, AuditKind::TenantCreated, slug("acme"), "");
    for kept in [full, sparse, run("acme", 2)] {
        let json = record::encode(&kept).unwrap();
        assert_eq!(record::decode(&json).unwrap(), kept);
    }
}

#[tokio::test]
async fn what_is_appended_is_listed_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let source = executor("ex-1", 1);
    let appended = log.append(runs(&source, "acme", 1, 3)).await.unwrap();
    assert_eq!(appended, Appended { accepted: 3, duplicates: 0, missing: 0, last_sequence: 3 });
    log.append(runs(&source, "acme", 4, 2)).await.unwrap();
    let page = log.query(Query::of(slug("acme"))).await.unwrap();
    assert_eq!(cursors(&page), [5, 4, 3, 2, 1]);
    assert_eq!(page.next, None);
    assert_eq!(page.entries[4].record, run("acme", 1));
    assert_eq!(*log.watch().borrow(), Cursor(5));
}

#[tokio::test]
async fn an_empty_log_answers_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    assert_eq!(log.query(Query::of(slug("acme"))).await.unwrap(), AuditPage { entries: vec![], next: None });
    let page = log.scan(Cursor(0), None, 10).await.unwrap();
    assert_eq!(page, AuditPage { entries: vec![], next: Some(Cursor(0)) });
    assert_eq!(log.last_sequence(&Source::ControlPlane).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_sent_again_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let source = executor("ex-1", 1);
    let log = open(folder.path()).await;
    log.append(runs(&source, "acme", 1, 5)).await.unwrap();
    let whole = log.append(runs(&source, "acme", 1, 5)).await.unwrap();
    assert_eq!(whole, Appended { accepted: 0, duplicates: 5, missing: 0, last_sequence: 5 });
    let old = log.append(runs(&source, "acme", 2, 2)).await.unwrap();
    assert_eq!(old, Appended { accepted: 0, duplicates: 2, missing: 0, last_sequence: 5 });
    let part = log.append(runs(&source, "acme", 4, 5)).await.unwrap();
    assert_eq!(part, Appended { accepted: 3, duplicates: 2, missing: 0, last_sequence: 8 });
    drop(log);
    let log = open(folder.path()).await;
    assert_eq!(log.last_sequence(&source).await.unwrap(), 8);
    assert_eq!(log.append(runs(&source, "acme", 7, 3)).await.unwrap().duplicates, 2);
    let kept: Vec<AuditRecord> = everything(&log).await.into_iter().map(|entry| entry.record).collect();
    assert_eq!(kept, (1..=9).map(|number| run("acme", number)).collect::<Vec<_>>());
}

#[tokio::test]
async fn sources_and_epochs_count_apart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let sources = [executor("ex-1", 1), executor("ex-1", 2), executor("ex-2", 1), Source::ControlPlane];
    for source in &sources {
        assert_eq!(log.append(runs(source, "acme", 1, 2)).await.unwrap().accepted, 2, "{source}");
    }
    // What an earlier epoch left behind comes late.
    assert_eq!(log.append(runs(&sources[0], "acme", 3, 1)).await.unwrap().accepted, 1);
    assert_eq!(log.last_sequence(&sources[0]).await.unwrap(), 3);
    assert_eq!(log.last_sequence(&sources[1]).await.unwrap(), 2);
    assert_eq!(log.last_sequence(&executor("ex-3", 1)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_gap_is_refused_and_says_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let source = executor("ex-1", 1);
    for (first, next) in [(2, 1), (100, 1)] {
        match log.append(runs(&source, "acme", first, 1)).await {
            Err(AppendError::Gap { sender, expected, got }) => {
                assert_eq!((sender, expected, got), (source.clone(), next, first));
            }
            other => panic!("{other:?}"),
        }
    }
    log.append(runs(&source, "acme", 1, 3)).await.unwrap();
    assert!(matches!(log.append(runs(&source, "acme", 5, 1)).await, Err(AppendError::Gap { expected: 4, got: 5, .. })));
    assert_eq!(everything(&log).await.len(), 3);
}

#[tokio::test]
async fn a_gap_that_is_accepted_is_counted_and_stays_known() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let source = executor("ex-1", 1);
    let late = SourceBatch { on_gap: OnGap::Accept, ..runs(&source, "acme", 11, 2) };
    let appended = log.append(late.clone()).await.unwrap();
    assert_eq!(appended, Appended { accepted: 2, duplicates: 0, missing: 10, last_sequence: 12 });
    drop(log);
    let log = open(folder.path()).await;
    assert_eq!(log.append(late).await.unwrap(), Appended { accepted: 0, duplicates: 2, missing: 0, last_sequence: 12 });
    let mut marks = segment::Marks::new();
    let walked = segment::walk(folder.path(), Cursor(1), &mut marks).unwrap();
    assert_eq!((walked.blocks.len(), marks[&source]), (1, 12));
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let good = executor("ex-1", 1);
    let long = "x".repeat(129);
    let huge = (1..=MAX_BATCH_RECORDS as u64).map(|number| {
        let mut record = run("acme", number);
        record.principal = "p".repeat(10_000);
        record
    });
    let refused = [
        (batch(&good, 1, vec![]), "records"),
        (runs(&good, "acme", 1, MAX_BATCH_RECORDS as u64 + 1), "records"),
        (batch(&good, 1, huge.collect()), "records"),
        (batch(&good, 0, vec![run("acme", 1)]), "first_sequence"),
        (batch(&good, u64::MAX, vec![run("acme", 1)]), "first_sequence"),
        (runs(&executor("", 1), "acme", 1, 1), "executor_id"),
        (runs(&executor(&long, 1), "acme", 1, 1), "executor_id"),
        (runs(&executor("ex 1", 1), "acme", 1, 1), "executor_id"),
        (runs(&executor("ex-1", 0), "acme", 1, 1), "epoch"),
    ];
    for (batch, named) in refused {
        match log.append(batch).await {
            Err(AppendError::Log(LogError::Invalid { field, .. })) => assert_eq!(field, named),
            other => panic!("{named}: {other:?}"),
        }
    }
    for limit in [0, MAX_PAGE + 1] {
        let query = Query { limit, ..Query::of(slug("acme")) };
        assert!(matches!(log.query(query).await, Err(LogError::Invalid { field: "limit", .. })));
        assert!(matches!(log.scan(Cursor(0), None, limit).await, Err(LogError::Invalid { field: "limit", .. })));
    }
    assert!(everything(&log).await.is_empty());
    assert_eq!(log.append(runs(&good, "acme", 1, MAX_BATCH_RECORDS as u64)).await.unwrap().accepted, MAX_BATCH_RECORDS);
}

#[tokio::test]
async fn a_past_page_never_changes_while_more_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let log = FileAuditLog::open(folder.path().to_owned(), 2_000).await.unwrap();
    let source = executor("ex-1", 1);
    log.append(runs(&source, "acme", 1, 25)).await.unwrap();
    let page = |before: Option<Cursor>| log.query(Query { before, limit: 10, ..Query::of(slug("acme")) });
    let mut tokens = vec![None];
    let mut pages = vec![page(None).await.unwrap()];
    let mut sequence = 26;
    while let Some(next) = pages.last().unwrap().next {
        log.append(runs(&source, "acme", sequence, 7)).await.unwrap();
        sequence += 7;
        tokens.push(Some(next));
        pages.push(page(Some(next)).await.unwrap());
    }
    let listed: Vec<u64> = pages.iter().flat_map(cursors).collect();
    assert_eq!(listed, (1..=25).rev().collect::<Vec<u64>>(), "no record twice, none left out");
    for (token, past) in tokens.iter().zip(&pages).skip(1) {
        assert_eq!(&page(*token).await.unwrap(), past);
    }
}

#[tokio::test]
async fn a_scan_goes_on_where_the_one_before_ended() {
    let folder = tempfile::tempdir().unwrap();
    let log = FileAuditLog::open(folder.path().to_owned(), 2_000).await.unwrap();
    let source = executor("ex-1", 1);
    for first in (1..=60).step_by(3) {
        log.append(batch(&source, first, vec![run("acme", first), run("beta", first + 1), run("acme", first + 2)]))
            .await
            .unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), Cursor(0));
    loop {
        let page = log.scan(after, Some(slug("acme")), 7).await.unwrap();
        seen.extend(cursors(&page));
        if page.next == Some(after) {
            break;
        }
        after = page.next.unwrap();
    }
    assert_eq!(seen, (1..=60).filter(|cursor| cursor % 3 != 2).collect::<Vec<u64>>());
    assert_eq!(after, Cursor(60));
    let ahead = log.scan(Cursor(1000), None, 7).await.unwrap();
    assert_eq!(ahead, AuditPage { entries: vec![], next: Some(Cursor(1000)) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_are_all_there_once_and_in_the_order_of_each_source() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(FileAuditLog::open(folder.path().to_owned(), 20_000).await.unwrap());
    let senders = (0..8).map(|sender| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let source = executor(&format!("ex-{sender}"), 1);
            for step in 0..25 {
                let batch = runs(&source, &format!("tenant-{sender}"), step * 3 + 1, 3);
                // Every batch is sent twice at once, as after a lost ack.
                let (first, second) = tokio::join!(log.append(batch.clone()), log.append(batch));
                let accepted = first.unwrap().accepted + second.unwrap().accepted;
                assert_eq!(accepted, 3);
            }
        })
    });
    for sender in futures_util::future::join_all(senders).await {
        sender.unwrap();
    }
    let kept = everything(&log).await;
    let places: Vec<u64> = kept.iter().map(|entry| entry.cursor.0).collect();
    assert_eq!(places, (1..=600).collect::<Vec<u64>>());
    for sender in 0..8 {
        let tenant = slug(&format!("tenant-{sender}"));
        let of: Vec<_> = kept.iter().filter(|entry| entry.record.tenant == tenant).map(|entry| &entry.record).collect();
        let sent: Vec<_> = (1..=75).map(|number| run(tenant.as_str(), number)).collect();
        assert_eq!(of, sent.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_narrow_query_does_not_read_what_cannot_match() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let source = executor("ex-1", 1);
    let mut needle = run("acme", 1);
    needle.sign_in_id = Some("the-one".to_owned());
    log.append(batch(&source, 1, vec![needle])).await.unwrap();
    let kept = std::fs::metadata(segment::log_path(folder.path(), Cursor(1))).unwrap().len();
    for first in (2..400).step_by(2) {
        log.append(batch(&source, first, vec![run("acme", first), run("beta", first + 1)])).await.unwrap();
    }
    // Everything behind the first block is made unreadable while the log is open: whoever reads it notices.
    let file = std::fs::File::options().write(true).open(segment::log_path(folder.path(), Cursor(1))).unwrap();
    let noise = vec![0xAA; usize::try_from(file.metadata().unwrap().len() - kept).unwrap()];
    std::os::unix::fs::FileExt::write_all_at(&file, &noise, kept).unwrap();
    assert!(matches!(log.query(Query::of(slug("acme"))).await, Err(LogError::Corrupt { .. })));
    assert!(log.query(Query::of(slug("gamma"))).await.unwrap().entries.is_empty(), "a tenant that is in no block");
    let early = Query { until: Some(at(2)), ..Query::of(slug("acme")) };
    assert_eq!(cursors(&log.query(early).await.unwrap()), [1], "a time that one block has");
    // The filter errs for one block in a hundred, so a single term is tried on blocks that were not chosen for it.
    let mut errors = 0;
    for name in 0..20 {
        let query = Query { sign_in_id: Some(format!("nobody-{name}")), ..Query::of(slug("acme")) };
        errors += usize::from(log.query(query).await.is_err());
    }
    assert!(errors < 20, "the filter keeps nothing out");
}

/// Figures, for a quiet machine: `cargo test --release -p sluice-control-plane figures -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures_of_ingest_and_queries() {
    const BATCH: u64 = 200;
    const BATCHES: u64 = 1000;
    const SENDERS: u64 = 4;
    const TENANTS: u64 = 1000;
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        std::time::Duration::try_from(time).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Arc::new(open(folder.path()).await);
        let batches = |sender: u64| {
            let source = executor(&format!("ex-{sender}"), 1);
            (0..BATCHES / SENDERS).map(move |step| {
                let first = step * BATCH + 1;
                let record = |number: u64| run(&format!("tenant-{}", (number * 7919 + sender) % TENANTS), number);
                batch(&source, first, (first..first + BATCH).map(record).collect())
            })
        };
        let prepared: Vec<Vec<SourceBatch>> = (0..SENDERS).map(|sender| batches(sender).collect()).collect();
        let (wall, used) = (std::time::Instant::now(), cpu());
        let senders = prepared.into_iter().map(|batches| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for batch in batches {
                    log.append(batch).await.unwrap();
                }
            })
        });
        futures_util::future::join_all(senders.collect::<Vec<_>>()).await;
        let (wall, used) = (wall.elapsed(), cpu() - used);
        let count = f64::from(u32::try_from(BATCH * BATCHES).unwrap());
        println!(
            "ingest: {:.0} records/s, {:.2} us of CPU a record ({:.1} % of a core at 20,000/s)",
            count / wall.as_secs_f64(),
            used.as_secs_f64() * 1e6 / count,
            used.as_secs_f64() / count * 20_000.0 * 100.0
        );
        let size: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        println!("on disk: {} bytes a record", size / (BATCH * BATCHES));
        for (what, query) in [
            ("newest 100 of a tenant", Query { limit: 100, ..Query::of(slug("tenant-7")) }),
            ("one sign-in of a tenant", Query { sign_in_id: Some("sign-in-3".into()), ..Query::of(slug("tenant-7")) }),
            ("everything of a tenant", Query::of(slug("tenant-7"))),
            ("a tenant that has nothing", Query::of(slug("nobody"))),
        ] {
            let started = std::time::Instant::now();
            let page = log.query(query).await.unwrap();
            println!("{what}: {} records in {:?}", page.entries.len(), started.elapsed());
        }
        drop(log);
        let started = std::time::Instant::now();
        open(folder.path()).await;
        println!("open: {:?}", started.elapsed());
    });
}
