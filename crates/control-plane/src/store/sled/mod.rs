//! The store on sled 0.34, for one control plane that owns its folder.
//!
//! sled is beta by its own word, and its flush is not proof against a power cut, so it is used narrowly and trusted with
//! nothing. A commit is checked under a lock of ours, written to the [journal], applied to sled by one `apply_batch` on one tree,
//! which is atomic, and told when the journal is on the disk; commits that arrive together share that sync. Nothing is told,
//! to a writer or a reader, before. Every value carries a checksum. Everything that touches sled runs on a blocking thread,
//! where a panic of it becomes an error and stops the store instead of the process. A [checkpoint] now and then keeps
//! the journal short; [recovery] opens the store after whatever end it had.
//!
//! `folder.rs` watches over the folder, `table.rs` is what lies in sled, `codec.rs` the bytes of it.

mod checkpoint;
mod codec;
mod folder;
mod journal;
#[cfg(test)]
mod power_tests;
mod recovery;
mod table;
#[cfg(test)]
mod tests;

pub use recovery::Recovery;

use super::batch::Plan;
use super::image::{Facts, Item};
use super::{Batch, Changes, CommitError, Key, MetaStore, Page, Revision, Scan, StoreError, Versioned, check_limit};
use crate::archive::{ArchiveError, Writer};
use async_trait::async_trait;
use checkpoint::ImageError;
use folder::Folder;
use journal::{AppendError, Journal};
use parking_lot::RwLock;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use table::{Planning, Table, TableError};
use tokio::sync::{Mutex, watch};

/// A [`MetaStore`] in a folder. Dropping the last of it (and of its running calls) frees the folder.
#[derive(Clone)]
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
    name: String,
    /// The newest commit that is applied. Held for writing while a commit is checked, journalled and applied, and for reading
    /// while rows are read, so that no reader sees half a commit.
    applied: RwLock<Revision>,
    /// The newest commit that is on the disk. What callers are told.
    durable: watch::Sender<Revision>,
    /// Held by the one that syncs, for all that wait.
    syncing: Mutex<()>,
    /// Held while a checkpoint is taken: one at a time.
    checkpointing: Mutex<()>,
    /// The first failure after which nothing is certain.
    stopped: OnceLock<String>,
    recovery: Recovery,
    journal: Journal,
    table: Table,
    /// After the table: the folder is free only when sled let go of it.
    folder: Folder,
}

impl SledStore {
    /// Opens the store in a folder, or makes it where there never was one. It can tell the changes of its last
    /// `changes_kept` commits (1 at least; some 100 bytes each).
    ///
    /// What sled lost is taken from the journal, and a database that sled cannot use is moved aside and made again from the newest
    /// checkpoint and the journal: [`SledStore::recovery`] tells. Refused: a folder that another process holds, and one
    /// where commits that were acknowledged are neither in sled, nor in a checkpoint, nor in the journal.
    pub async fn open(folder: PathBuf, changes_kept: u64) -> Result<SledStore, StoreError> {
        SledStore::open_with(folder, changes_kept, journal::SEGMENT_BYTES).await
    }

    /// The same with another size of the journal's segments.
    async fn open_with(folder: PathBuf, changes_kept: u64, segment_bytes: u64) -> Result<SledStore, StoreError> {
        let shown = folder.clone();
        let opened = tokio::task::spawn_blocking(move || Inner::open(folder, changes_kept.max(1), segment_bytes)).await;
        match opened {
            Ok(inner) => Ok(SledStore { inner: Arc::new(inner?) }),
            Err(panic) => Err(StoreError::Folder { folder: shown, detail: format!("sled failed: {panic}") }),
        }
    }

    /// Whether a folder holds a store, without opening it.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder::holds_a_store(folder)
    }

    /// What opening had to do.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// How many bytes the journal has grown since the last checkpoint.
    pub fn journalled(&self) -> u64 {
        self.inner.journal.written()
    }

    /// Writes a checkpoint, keeps the newest two, and drops what of the journal is older than the older. Commits go on meanwhile.
    /// The answer is the newest commit that it has whole.
    ///
    /// # Errors
    /// It could not be written; the checkpoints and the journal that are there stay.
    pub async fn checkpoint(&self) -> Result<Revision, StoreError> {
        let _turn = self.inner.checkpointing.lock().await;
        let folder = self.inner.folder.checkpoints();
        let (archive, facts) = Inner::blocking(Arc::clone(&self.inner), move |inner| {
            fs::create_dir_all(&folder).map_err(|error| inner.folder.failed(&error))?;
            inner.journal.cut();
            let from = *inner.applied.read();
            let path = checkpoint::path_of(&folder, from);
            let mut archive = Writer::create(&path).map_err(|error| inner.image_failed(error.into()))?;
            let facts = inner.put_image(&mut archive)?;
            Ok::<_, StoreError>((archive, facts))
        })
        .await?;
        // What it has of commits that are not on the disk yet would be more than the journal has.
        Inner::settle(&self.inner, facts.through).await?;
        Inner::blocking(Arc::clone(&self.inner), move |inner| {
            archive.finish().map_err(|error| inner.image_failed(error.into()))?;
            inner.table.tree.flush().map_err(|error| inner.stop(&error))?;
            let kept = checkpoint::prune(&inner.folder.checkpoints());
            let forgotten = kept.and_then(|older| older.map_or(Ok(()), |older| inner.journal.forget(older)));
            forgotten.map_err(|error| inner.folder.failed(&error))?;
            Ok(facts.from)
        })
        .await
    }

    /// Adds an image of the store to an archive, and gives the archive back.
    pub(crate) async fn export(&self, mut archive: Writer) -> Result<(Writer, Facts), StoreError> {
        Inner::blocking(Arc::clone(&self.inner), move |inner| {
            let facts = inner.put_image(&mut archive)?;
            Ok((archive, facts))
        })
        .await
    }

    /// Makes a store in a folder that is not there of what `items` tells, rows and queues of an image that was taken while nothing
    /// was committed. It has a name of its own. Blocking; the store is opened afterwards.
    pub(crate) fn restore(
        folder: &Path,
        newest: Revision,
        items: impl FnOnce(&mut dyn FnMut(Item) -> Result<(), ArchiveError>) -> Result<u64, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let disk = ArchiveError::disk(folder);
        let checkpoints = folder::checkpoints(folder);
        fs::create_dir_all(&checkpoints).map_err(&disk)?;
        let name = uuid::Uuid::now_v7().to_string();
        let mut archive = Writer::create(&checkpoint::path_of(&checkpoints, newest))?;
        Item::Store { name: name.clone(), from: newest }.put(&mut archive)?;
        let rows = items(&mut |item| item.put(&mut archive))?;
        Item::End { through: newest, rows }.put(&mut archive)?;
        archive.finish()?;
        let first = Revision(newest.0 + 1);
        Journal::create(&folder::journal(folder), first, journal::SEGMENT_BYTES).map_err(&disk)?;
        folder::mark(folder, &name).map_err(&disk)
    }

    /// Reads on a blocking thread, and waits until what was read is durable.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Table, Revision) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let (answer, seen) = Inner::blocking(inner, move |inner| {
            let applied = inner.applied.read();
            let answer = read(&inner.table, *applied).map_err(|error| inner.failed(error))?;
            Ok::<_, StoreError>((answer, *applied))
        })
        .await?;
        if seen > *self.inner.durable.borrow() {
            Inner::settle(&self.inner, seen).await?;
        }
        Ok(answer)
    }
}

impl Inner {
    fn open(path: PathBuf, changes_kept: u64, segment_bytes: u64) -> Result<Inner, StoreError> {
        let folder = Folder::take(path)?;
        let opened = recovery::open(&folder, changes_kept, segment_bytes)?;
        Ok(Inner {
            name: opened.name,
            applied: RwLock::new(opened.newest),
            durable: watch::Sender::new(opened.newest),
            syncing: Mutex::new(()),
            checkpointing: Mutex::new(()),
            stopped: OnceLock::new(),
            recovery: opened.recovery,
            journal: opened.journal,
            table: opened.table,
            folder,
        })
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

    fn failed(&self, error: TableError) -> StoreError {
        match error {
            TableError::Sled(error) => self.stop(&error),
            TableError::Store(error) => error,
        }
    }

    fn image_failed(&self, error: ImageError) -> StoreError {
        match error {
            ImageError::Table(error) => self.failed(error),
            ImageError::Archive(error) => StoreError::Disk { detail: error.to_string() },
        }
    }

    fn put_image(&self, archive: &mut Writer) -> Result<Facts, StoreError> {
        checkpoint::put_image(&self.name, &self.table, &self.applied, archive).map_err(|error| self.image_failed(error))
    }

    /// Checks a batch, writes it to the journal and applies it. It is not durable yet.
    fn apply(&self, batch: Batch) -> Result<Revision, CommitError> {
        let mut applied = self.applied.write();
        let rows = Planning { table: &self.table, told: &|error| self.failed(error) };
        let Some(plan) = Plan::of(batch, *applied, &rows)? else {
            return Ok(*applied);
        };
        self.journal.append(&plan).map_err(|error| match error {
            AppendError::Refused(error) => {
                tracing::error!(%error, "the commit journal could not be written");
                StoreError::Disk { detail: error.to_string() }
            }
            AppendError::Unknown(error) => self.stop(&error),
        })?;
        self.table.apply(&plan).map_err(|error| self.failed(error))?;
        *applied = plan.revision;
        Ok(plan.revision)
    }

    /// Returns when a revision is durable. Whoever comes first syncs for all that were applied by then; it runs in a task of
    /// its own, so that a caller who goes away leaves no half-done sync behind.
    async fn settle(inner: &Arc<Inner>, wanted: Revision) -> Result<(), StoreError> {
        if *inner.durable.borrow() >= wanted {
            return Ok(());
        }
        let at_work = Arc::clone(inner);
        let sync = async move {
            let inner = at_work;
            let _turn = inner.syncing.lock().await;
            if *inner.durable.borrow() >= wanted {
                return Ok(());
            }
            let applied = Inner::blocking(Arc::clone(&inner), |inner| {
                let applied = *inner.applied.read();
                inner.sync(applied).map(|()| applied)
            })
            .await?;
            inner.durable.send_replace(applied);
            Ok(())
        };
        match tokio::spawn(sync).await {
            Ok(done) => done,
            Err(panic) => Err(inner.stop(&panic)),
        }
    }

    fn sync(&self, applied: Revision) -> Result<(), StoreError> {
        self.journal.sync().map_err(|error| self.stop(&error))?;
        self.folder.acknowledge(applied).map_err(|error| self.stop(&error))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.stopped.get().is_some() {
            return;
        }
        // Without it the next start compares everything with the journal: nothing is lost either way.
        let closed = self.journal.sync().is_ok() && self.table.tree.flush().is_ok() && self.folder.close().is_ok();
        if !closed {
            tracing::warn!(folder = %self.folder.path().display(), "the store could not be closed well");
        }
    }
}

#[async_trait]
impl MetaStore for SledStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let key = key.clone();
        self.read(move |table, _| table.row(&key)).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StoreError> {
        scan.check()?;
        self.read(move |table, _| table.page(&scan)).await
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
        self.read(move |table, newest| table.changes(after, limit, newest)).await
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        self.inner.running()?;
        Ok(*self.inner.durable.borrow())
    }

    async fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        let queue = queue.clone();
        self.read(move |table, _| table.last_appended(&queue)).await
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.inner.durable.subscribe()
    }
}
