//! Stores with a defect each: a case of the suite that does not notice the defect beside it proves nothing.

use crate::store::{
    Batch, Changes, CommitError, Key, MemoryStore, MetaStore, Order, Page, Revision, Scan, StoreError, Versioned, Write,
};
use async_trait::async_trait;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A case that stands still has noticed too.
const STANDS_STILL: Duration = Duration::from_secs(2);

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    BeginsAtOne,
    OlderEtags,
    EmptyIsAbsent,
    CountsWhatItRefused,
    NoPreconditions,
    WritesWhatItRefused,
    ChecksAfterwards,
    CommitsRowByRow,
    AnyEtagWillDo,
    CountsChecks,
    NoBounds,
    NoPrefixes,
    PagesRepeatARow,
    PlacesLeaveThePrefix,
    QueuesSkipNumbers,
    QueuesForget,
    ChangesInAnotherOrder,
    ChangesSkipACommit,
    ChangesRepeatACommit,
    ChangesAreCut,
    AheadIsNothingNew,
    WatchesNothing,
    NothingNewIsCompacted,
    StopsWithItsCaller,
}

/// A store with a defect.
pub(super) fn store(defect: Defect) -> Arc<dyn MetaStore> {
    Arc::new(Sabotaged { store: MemoryStore::new(super::CHANGES_KEPT), defect })
}

/// The case fails, or stands still.
pub(super) async fn assert_noticed(case: impl Future<Output = ()> + Send + 'static) {
    let mut case = tokio::spawn(case);
    match tokio::time::timeout(STANDS_STILL, &mut case).await {
        Ok(ended) => assert!(ended.is_err(), "the case passes over a store with the defect"),
        Err(_) => case.abort(),
    }
}

struct Sabotaged {
    store: MemoryStore,
    defect: Defect,
}

impl Sabotaged {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    async fn junk(&self) {
        self.store.commit(Batch::new().put(Key::platform("junk"), vec![])).await.unwrap();
    }
}

#[async_trait]
impl MetaStore for Sabotaged {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let found = self.store.get(key).await?;
        // Where commits are not guarded, whoever reads is interrupted before it writes.
        tokio::task::yield_now().await;
        Ok(match self.defect {
            Defect::EmptyIsAbsent => found.filter(|found| !found.value.is_empty()),
            Defect::OlderEtags => found.map(|found| Versioned { revision: Revision(found.revision.0 - 1), ..found }),
            _ => found,
        })
    }

    async fn scan(&self, mut scan: Scan) -> Result<Page, StoreError> {
        let prefix = scan.prefix.clone();
        if self.is(Defect::NoPrefixes) || (self.is(Defect::PlacesLeaveThePrefix) && scan.after.is_some()) {
            scan.prefix = Key::from_bytes(Vec::new());
        }
        if let (Defect::PagesRepeatARow, Some(after)) = (self.defect, scan.after.clone()) {
            // From the row of the place itself on.
            let (limit, order) = (scan.limit, scan.order);
            let mut page = self.store.scan(Scan { after: None, limit: super::MAX_PAGE, prefix, order }).await?;
            page.entries.retain(|entry| match order {
                Order::Ascending => entry.key >= after,
                Order::Descending => entry.key <= after,
            });
            let more = page.entries.len() > limit;
            page.entries.truncate(limit);
            page.next = page.entries.last().map(|entry| entry.key.clone()).filter(|_| more);
            return Ok(page);
        }
        self.store.scan(scan).await
    }

    async fn commit(&self, mut batch: Batch) -> Result<Revision, CommitError> {
        match self.defect {
            Defect::NoPreconditions => batch.preconditions.clear(),
            Defect::AnyEtagWillDo => {
                for precondition in &mut batch.preconditions {
                    if let crate::store::Precondition::At(key, _) = precondition {
                        *precondition = crate::store::Precondition::Exists(key.clone());
                    }
                }
            }
            Defect::CountsChecks if batch.writes.is_empty() => self.junk().await,
            Defect::StopsWithItsCaller => tokio::task::yield_now().await,
            Defect::QueuesSkipNumbers => {
                let skipped = |write: &Write| match write {
                    Write::Append(queue, _) => Some(Write::Append(queue.clone(), vec![])),
                    _ => None,
                };
                let skipped: Vec<Write> = batch.writes.iter().filter_map(skipped).collect();
                batch.writes.extend(skipped);
            }
            Defect::ChecksAfterwards => {
                self.store.commit(Batch { preconditions: vec![], writes: batch.writes.clone() }).await?;
                batch.writes.clear();
            }
            Defect::CommitsRowByRow => {
                self.store.commit(Batch { preconditions: batch.preconditions.clone(), writes: vec![] }).await?;
                let mut last = self.store.newest().await?;
                for write in batch.writes {
                    last = self.store.commit(Batch { preconditions: vec![], writes: vec![write] }).await?;
                    tokio::task::yield_now().await;
                }
                return Ok(last);
            }
            _ => {}
        }
        let committed = self.store.commit(batch.clone()).await;
        match &committed {
            Err(CommitError::PreconditionFailed { .. }) if self.is(Defect::CountsWhatItRefused) => self.junk().await,
            Err(CommitError::PreconditionFailed { .. }) if self.is(Defect::WritesWhatItRefused) => {
                self.store.commit(Batch { preconditions: vec![], writes: batch.writes }).await.unwrap();
            }
            Err(CommitError::Store(StoreError::Invalid { .. })) if self.is(Defect::NoBounds) => {
                return Ok(self.store.newest().await?);
            }
            _ => {}
        }
        committed
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        let newest = self.store.newest().await?;
        let asked = if self.is(Defect::ChangesRepeatACommit) { Revision(after.0.saturating_sub(1)) } else { after };
        let changes = self.store.changes(asked, limit).await?;
        Ok(match (self.defect, changes) {
            (Defect::AheadIsNothingNew, Changes::Compacted { .. }) if after > newest => {
                Changes::Entries { entries: vec![], through: after }
            }
            (Defect::NothingNewIsCompacted, Changes::Entries { .. }) if after == newest => {
                Changes::Compacted { oldest: newest }
            }
            (defect, Changes::Entries { mut entries, through }) => {
                match defect {
                    Defect::ChangesInAnotherOrder => entries.sort_by(|a, b| a.key.cmp(&b.key)),
                    Defect::ChangesSkipACommit => entries.retain(|change| change.revision != Revision(50)),
                    Defect::ChangesAreCut => entries.truncate(limit),
                    _ => {}
                }
                Changes::Entries { entries, through }
            }
            (_, changes) => changes,
        })
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        let newest = self.store.newest().await?;
        Ok(if self.is(Defect::BeginsAtOne) { Revision(newest.0 + 1) } else { newest })
    }

    async fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        if !self.is(Defect::QueuesForget) {
            return self.store.last_appended(queue).await;
        }
        let rows = self.store.scan(Scan::of(queue.clone())).await?.entries.len();
        Ok(if rows > 1 { 0 } else { rows as u64 })
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        if self.is(Defect::WatchesNothing) {
            return watch::Sender::new(Revision(0)).subscribe();
        }
        self.store.watch()
    }
}
