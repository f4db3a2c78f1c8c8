//! What happens to the outbox when a process dies, a store is restored, or a log is lost.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::log::{AuditLog, FileAuditLog, Query, SEGMENT_BYTES, Source, SourceBatch};
use super::outbox::{self, Outbox};
use crate::clock::Clock;
use crate::keys;
use crate::metrics::Metrics;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, MemoryStore, Scan};
use crate::tenants::Tenants;
use sluice_model::{AuditKind, AuditRecord, Slug};
use std::sync::Arc;
use tempfile::TempDir;

struct Bench {
    shared: Shared,
    log: Arc<dyn AuditLog>,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let folder = TempDir::new().unwrap();
        let log = FileAuditLog::open(folder.path().join("audit"), SEGMENT_BYTES).await.unwrap();
        Bench { shared: shared(), log: Arc::new(log), _folder: folder }
    }

    async fn outbox(&self) -> Outbox {
        Outbox::open(self.shared.clone(), Arc::clone(&self.log)).await.unwrap()
    }

    /// Commits edits, each with its record.
    async fn edits(&self, flows: &[&str]) {
        for flow in flows {
            let batch = Batch::new().append(keys::outbox(), outbox::row(&record(flow)).unwrap());
            rows::commit(&*self.shared.store, batch).await.unwrap();
        }
    }

    /// What the log has of edits, oldest first.
    async fn logged(&self) -> Vec<String> {
        let found = self.log.query(Query::of(slug("acme"))).await.unwrap();
        let flow = |record: AuditRecord| record.flow.map_or_else(|| record.kind.to_string(), |flow| flow.to_string());
        found.entries.into_iter().rev().map(|listed| flow(listed.record)).collect()
    }
}

fn shared() -> Shared {
    let meter = opentelemetry::global::meter("test");
    Shared { store: Arc::new(MemoryStore::new(1000)), clock: Clock::system(), metrics: Arc::new(Metrics::new(&meter)) }
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn record(flow: &str) -> AuditRecord {
    let mut record = AuditRecord::new(jiff::Timestamp::UNIX_EPOCH, AuditKind::FlowCreated, slug("acme"), "somebody");
    record.flow = Some(slug(flow));
    record
}

#[tokio::test]
async fn rows_are_moved_in_order_and_are_gone_then() {
    let bench = Bench::new().await;
    let outbox = bench.outbox().await;
    bench.edits(&["a", "b"]).await;
    outbox.drain().await.unwrap();
    bench.edits(&["c"]).await;
    outbox.drain().await.unwrap();
    outbox.drain().await.unwrap();
    assert_eq!(bench.logged().await, ["a", "b", "c"]);
    assert_eq!(bench.shared.store.scan(Scan::of(keys::outbox())).await.unwrap().entries, []);
}

#[tokio::test]
async fn more_rows_than_a_batch_takes_are_moved_in_several() {
    let bench = Bench::new().await;
    let mut batch = Batch::new();
    for _ in 0..2500 {
        batch = batch.append(keys::outbox(), outbox::row(&record("a")).unwrap());
    }
    rows::commit(&*bench.shared.store, batch).await.unwrap();
    bench.outbox().await.drain().await.unwrap();
    assert_eq!(bench.log.last_sequence(&Source::ControlPlane).await.unwrap(), 2500);
}

#[tokio::test]
async fn rows_that_were_appended_but_not_deleted_are_kept_once() {
    let bench = Bench::new().await;
    bench.edits(&["a", "b", "c"]).await;
    // The process died after this append, before the rows were deleted.
    let records = vec![record("a"), record("b")];
    let batch = SourceBatch { source: Source::ControlPlane, first_sequence: 1, records, on_gap: Default::default() };
    bench.log.append(batch).await.unwrap();
    bench.outbox().await.drain().await.unwrap();
    assert_eq!(bench.logged().await, ["a", "b", "c"]);
    assert_eq!(bench.shared.store.scan(Scan::of(keys::outbox())).await.unwrap().entries, []);
}

#[tokio::test]
async fn a_store_that_is_older_than_the_log_loses_no_record() {
    let bench = Bench::new().await;
    bench.edits(&["a", "b", "c"]).await;
    bench.outbox().await.drain().await.unwrap();
    // An older copy of the store would give the numbers 1 to 3 again.
    let restored = Bench { shared: shared(), ..bench };
    let outbox = restored.outbox().await;
    restored.edits(&["d"]).await;
    outbox.drain().await.unwrap();
    assert_eq!(restored.logged().await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_log_that_was_lost_is_told_to_every_tenant() {
    let bench = Bench::new().await;
    Tenants::new(bench.shared.clone()).create("somebody", &slug("acme"), "").await.unwrap();
    bench.edits(&["a", "b"]).await;
    bench.outbox().await.drain().await.unwrap();
    let lost = Bench { shared: bench.shared.clone(), ..Bench::new().await };
    let outbox = lost.outbox().await;
    lost.edits(&["c"]).await;
    outbox.drain().await.unwrap();
    // The gap's own record is an edit of the outbox, which the next look finds.
    outbox.drain().await.unwrap();
    assert_eq!(lost.logged().await, ["c", "audit.gap"]);
    let found = lost.log.query(Query::of(slug("acme"))).await.unwrap();
    assert_eq!(found.entries[0].record.to.as_ref().unwrap()["missing"], 3);
}
