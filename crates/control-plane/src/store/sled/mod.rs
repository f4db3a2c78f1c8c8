//! The store on sled 0.34, for one control plane that owns its folder.
//!
//! sled is beta by its own word, so it is used narrowly. One process holds the folder, so a commit needs no transaction of
//! sled's: it is checked under a lock of ours and applied by one `apply_batch` on one tree, which is atomic. Nothing is told,
//! to a writer or a reader, before it is flushed; commits that arrive together share a flush. Every value carries a
//! checksum. Everything that touches sled runs on a blocking thread, where a panic of sled becomes an error and stops the
//! store instead of the process. The folder itself is watched over by `folder.rs`.
//!
//! One tree, three spaces by the first byte: `d` rows, `c` the keys that a commit wrote, `q` the last number of a
//! queue, and the single row `n`, the newest commit. `codec.rs` has the values.

mod codec;
mod folder;
#[cfg(test)]
mod tests;

use super::batch::{Plan, Rows};
use super::{
    Batch, Changes, CommitError, Entry, Key, MetaStore, Order, Page, Revision, Scan, StoreError, Versioned, check_limit,
};
use ::sled::Tree;
use async_trait::async_trait;
use codec::Space;
use folder::Folder;
use parking_lot::RwLock;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, watch};

/// sled's cache of pages.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The most old changes that one commit forgets, so that a smaller `changes_kept` does not make one commit slow.
const FORGOTTEN_A_COMMIT: usize = 64;

/// A [`MetaStore`] in a folder. Dropping the last of it (and of its running calls) frees the folder.
pub struct SledStore {
    inner: Arc<Inner>,
}

/// sled's own would print every value.
impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

struct Inner {
    /// The newest commit that is applied. Held for writing while a commit is checked and applied, and for reading while
    /// rows are read, so that no reader sees half a commit.
    applied: RwLock<Revision>,
    /// The newest commit that is flushed. What callers are told.
    durable: watch::Sender<Revision>,
    /// Held by the one that flushes, for all that wait.
    flushing: Mutex<()>,
    /// The first failure after which nothing is certain.
    stopped: OnceLock<String>,
    changes_kept: u64,
    tree: Tree,
    /// After the tree: the folder is free only when sled let go of it.
    folder: Folder,
}

impl SledStore {
    /// Opens the store in a folder, or makes it where there never was one. It can tell the changes of its last
    /// `changes_kept` commits (1 at least; some 100 bytes each).
    ///
    /// Refused: a folder that another process holds, one that sled cannot read, and one whose database is gone, is
    /// another's, or lost commits that were acknowledged. (sled itself rewrites files that it cannot read.)
    pub async fn open(folder: PathBuf, changes_kept: u64) -> Result<SledStore, StoreError> {
        let shown = folder.clone();
        let opened = tokio::task::spawn_blocking(move || Inner::open(folder, changes_kept.max(1))).await;
        match opened {
            Ok(inner) => Ok(SledStore { inner: Arc::new(inner?) }),
            Err(panic) => Err(folder::unreadable(shown, &format!("sled failed: {panic}"))),
        }
    }

    /// Reads on a blocking thread, and waits until what was read is durable.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Inner, Revision) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let (answer, seen) = Inner::blocking(inner, move |inner| {
            let applied = inner.applied.read();
            Ok::<_, StoreError>((read(inner, *applied)?, *applied))
        })
        .await?;
        if seen > *self.inner.durable.borrow() {
            Inner::settle(&self.inner, seen).await?;
        }
        Ok(answer)
    }
}

impl Inner {
    fn open(path: PathBuf, changes_kept: u64) -> Result<Inner, StoreError> {
        let (folder, db) = Folder::open(path, |database| {
            ::sled::Config::new()
                .path(database)
                .cache_capacity(CACHE_BYTES)
                // Every commit is flushed before it is told; sled's timer would only do the work twice.
                .flush_every_ms(None)
                .open()
        })?;
        let tree: Tree = (*db).clone();
        let newest = match tree.get(codec::NEWEST).map_err(|error| folder.unreadable(&error.to_string()))? {
            Some(value) => codec::revision(codec::NEWEST, &value)?,
            None => Revision(0),
        };
        let inner = Inner {
            applied: RwLock::new(newest),
            durable: watch::Sender::new(newest),
            flushing: Mutex::new(()),
            stopped: OnceLock::new(),
            changes_kept,
            tree,
            folder,
        };
        inner.check_newest(newest)?;
        Ok(inner)
    }

    /// The newest commit must be there, and its changes: a database that lost its end is not served.
    fn check_newest(&self, newest: Revision) -> Result<(), StoreError> {
        let acknowledged = self.folder.acknowledged()?;
        if newest < acknowledged {
            let detail = format!("its newest commit is {newest}, but {acknowledged} was acknowledged");
            return Err(self.folder.unreadable(&detail));
        }
        let last = self.tree.scan_prefix([Space::Changes as u8]).next_back().transpose();
        let last = match last.map_err(|error| self.stop(&error))? {
            Some((key, _)) => codec::revision_of_changes(&key)?,
            None => Revision(0),
        };
        if last == newest {
            return Ok(());
        }
        Err(self.folder.unreadable(&format!("its newest commit is {newest}, but its changes end at {last}")))
    }

    /// Runs on a blocking thread. A panic there is sled's: it stops the store.
    async fn blocking<T, E>(
        inner: Arc<Inner>,
        work: impl FnOnce(&Inner) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let at_work = Arc::clone(&inner);
        let done = tokio::task::spawn_blocking(move || {
            at_work.running()?;
            work(&at_work)
        });
        match done.await {
            Ok(answer) => answer,
            Err(panic) => Err(E::from(inner.stop(&panic))),
        }
    }

    fn running(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            None => Ok(()),
            Some(detail) => Err(StoreError::Stopped { detail: detail.clone() }),
        }
    }

    fn stop(&self, failure: &dyn std::fmt::Display) -> StoreError {
        let detail = self.stopped.get_or_init(|| {
            tracing::error!(%failure, "the store stopped");
            failure.to_string()
        });
        StoreError::Stopped { detail: detail.clone() }
    }

    /// Checks and applies a batch. It is not durable yet.
    fn apply(&self, batch: Batch) -> Result<Revision, CommitError> {
        let mut applied = self.applied.write();
        let Some(plan) = Plan::of(batch, *applied, self)? else {
            return Ok(*applied);
        };
        let mut writes = ::sled::Batch::default();
        writes.insert(codec::NEWEST, codec::seal_revision(codec::NEWEST, plan.revision));
        let key = codec::changes_key(plan.revision);
        let changes = codec::seal(&key, &codec::changes(plan.changes()));
        writes.insert(key, changes);
        for (key, value) in &plan.rows {
            let row = codec::key(Space::Rows, key);
            match value {
                Some(value) => {
                    let value = codec::seal_row(&row, plan.revision, value);
                    writes.insert(row, value);
                }
                None => writes.remove(row),
            }
        }
        for (queue, last) in &plan.queues {
            let row = codec::key(Space::Queues, queue);
            let value = codec::seal_revision(&row, Revision(*last));
            writes.insert(row, value);
        }
        let kept_from = codec::changes_key(Revision(plan.revision.0.saturating_sub(self.changes_kept) + 1));
        for old in self.tree.range(codec::changes_key(Revision(0))..kept_from).keys().take(FORGOTTEN_A_COMMIT) {
            writes.remove(old.map_err(|error| self.stop(&error))?);
        }
        self.tree.apply_batch(writes).map_err(|error| self.stop(&error))?;
        *applied = plan.revision;
        Ok(plan.revision)
    }

    /// Returns when a revision is durable. Whoever comes first flushes for all that were applied by then; it runs in a task of
    /// its own, so that a caller who goes away leaves no half-done flush behind.
    async fn settle(inner: &Arc<Inner>, wanted: Revision) -> Result<(), StoreError> {
        let at_work = Arc::clone(inner);
        let flush = async move {
            let inner = at_work;
            let _turn = inner.flushing.lock().await;
            if *inner.durable.borrow() >= wanted {
                return Ok(());
            }
            let applied = *inner.applied.read();
            Inner::blocking(Arc::clone(&inner), move |inner| inner.flush(applied)).await?;
            inner.durable.send_replace(applied);
            Ok(())
        };
        match tokio::spawn(flush).await {
            Ok(done) => done,
            Err(panic) => Err(inner.stop(&panic)),
        }
    }

    fn flush(&self, applied: Revision) -> Result<(), StoreError> {
        self.tree.flush().map_err(|error| self.stop(&error))?;
        self.folder.acknowledge(applied).map_err(|error| self.stop(&error))
    }

    fn row(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let row = codec::key(Space::Rows, key);
        let value = self.tree.get(&row).map_err(|error| self.stop(&error))?;
        value.map(|value| codec::open_row(&row, &value)).transpose()
    }

    fn page(&self, scan: &Scan) -> Result<Page, StoreError> {
        let prefix = codec::key(Space::Rows, &scan.prefix);
        let past = scan.after.as_ref().map(|after| codec::key(Space::Rows, after));
        let end = codec::after_prefix(&prefix);
        let (low, high) = match (past, scan.order) {
            (Some(past), Order::Ascending) if past >= prefix => (Bound::Excluded(past), Bound::Excluded(end)),
            (Some(past), Order::Descending) if past < end => (Bound::Included(prefix), Bound::Excluded(past)),
            (_, _) => (Bound::Included(prefix), Bound::Excluded(end)),
        };
        if is_empty(&low, &high) {
            return Ok(Page { entries: Vec::new(), next: None });
        }
        let mut rows = self.tree.range((low, high));
        let mut entries = Vec::new();
        let mut more = false;
        loop {
            let row = match scan.order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some(row) = row else { break };
            let (key, value) = row.map_err(|error| self.stop(&error))?;
            if entries.len() == scan.limit {
                more = true;
                break;
            }
            let Versioned { value, revision } = codec::open_row(&key, &value)?;
            entries.push(Entry { key: Key::from_bytes(key[1..].to_vec()), value, revision });
        }
        let next = if more { entries.last().map(|entry| entry.key.clone()) } else { None };
        Ok(Page { entries, next })
    }

    fn changes(&self, after: Revision, limit: usize, newest: Revision) -> Result<Changes, StoreError> {
        let first = self.tree.scan_prefix([Space::Changes as u8]).keys().next().transpose();
        let oldest = match first.map_err(|error| self.stop(&error))? {
            Some(key) => Revision(codec::revision_of_changes(&key)?.0.saturating_sub(1)),
            None => newest,
        };
        let oldest = oldest.max(Revision(newest.0.saturating_sub(self.changes_kept)));
        if after < oldest || after > newest {
            return Ok(Changes::Compacted { oldest });
        }
        let mut entries = Vec::new();
        let mut through = after;
        while through < newest && entries.len() < limit {
            let revision = Revision(through.0 + 1);
            let key = codec::changes_key(revision);
            let value = self.tree.get(&key).map_err(|error| self.stop(&error))?;
            let value = value.ok_or_else(|| codec::corrupt(&key, "it is missing between others"))?;
            codec::open_changes(&key, revision, &value, &mut entries)?;
            through = revision;
        }
        Ok(Changes::Entries { entries, through })
    }
}

impl Rows for Inner {
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.row(key)?.map(|row| row.revision))
    }

    fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        let row = codec::key(Space::Queues, queue);
        match self.tree.get(&row).map_err(|error| self.stop(&error))? {
            Some(value) => Ok(codec::revision(&row, &value)?.0),
            None => Ok(0),
        }
    }
}

#[async_trait]
impl MetaStore for SledStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let key = key.clone();
        self.read(move |inner, _| inner.row(&key)).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StoreError> {
        scan.check()?;
        self.read(move |inner, _| inner.page(&scan)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        let inner = Arc::clone(&self.inner);
        // A task of its own: a caller that goes away cannot leave a commit applied and never told.
        let commit = async move {
            let revision = Inner::blocking(Arc::clone(&inner), move |inner| inner.apply(batch)).await?;
            Inner::settle(&inner, revision).await?;
            Ok(revision)
        };
        match tokio::spawn(commit).await {
            Ok(done) => done,
            Err(panic) => Err(self.inner.stop(&panic).into()),
        }
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        check_limit(limit)?;
        self.read(move |inner, newest| inner.changes(after, limit, newest)).await
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        self.inner.running()?;
        Ok(*self.inner.durable.borrow())
    }

    async fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        let queue = queue.clone();
        self.read(move |inner, _| Rows::last_appended(inner, &queue)).await
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.inner.durable.subscribe()
    }
}

/// Whether no key can lie between two bounds: sled panics where a range ends before it starts.
fn is_empty(low: &Bound<Vec<u8>>, high: &Bound<Vec<u8>>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Excluded(high)) => low >= high,
        (Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}
