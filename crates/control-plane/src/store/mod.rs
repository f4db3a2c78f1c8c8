//! The store of what the control plane owns: tenants, catalogue, flows and their revisions.
//!
//! [`MetaStore`] is a small ordered map of bytes with one thing that matters: [`MetaStore::commit`] applies a [`Batch`]
//! whole or not at all, guarded by preconditions, and numbers it. The number is the [`Revision`]: it is the etag of every
//! value the commit wrote, the cursor of [`MetaStore::changes`], and what [`MetaStore::watch`] announces. An edit and its
//! audit entry are one batch: the entry goes to a queue with [`Batch::append`], whose rows the store numbers without gaps.
//!
//! | adapter | for |
//! | --- | --- |
//! | [`SledStore`] | one control plane, nothing to install |
//! | [`MemoryStore`] | tests, and the oracle of the property test |
//!
//! What every adapter promises is in `conformance.rs`, and the suite runs over each. What a commit means (checking, numbering,
//! queues) is written once, in `batch.rs`; an adapter only reads, writes and makes durable. What the keys and values mean is
//! the callers' business; large values (bundles) belong in a [`BlobStore`]. Audit records are not kept here: see
//! [`crate::audit::log`].

mod batch;
mod blobs;
pub(crate) mod image;
mod key;
pub(crate) mod lock;
mod memory;
mod sled;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Precondition, Write};
pub use blobs::{BlobError, BlobStore, Digest, MAX_BLOB_BYTES};
pub use key::{Key, KeyParts};
pub use memory::MemoryStore;
pub use sled::{Recovery, SledStore};

use async_trait::async_trait;
use std::path::PathBuf;
use tokio::sync::watch;

/// The most bytes a key may have.
pub const MAX_KEY_BYTES: usize = 1024;

/// The most bytes a value may have, 1 MiB. What is larger belongs in a [`BlobStore`].
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// The most writes one batch may have.
pub const MAX_BATCH_WRITES: usize = 4096;

/// The most bytes that the keys and values of one batch may have together, 64 MiB.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// The most entries one page of a scan, or one answer of [`MetaStore::changes`], is asked for.
pub const MAX_PAGE: usize = 1000;

/// The number of a commit: 1 for a store's first, without gaps. 0 is before every commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A value and the commit that wrote it. The revision is the value's etag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// What was written, byte for byte.
    pub value: Vec<u8>,
    /// The commit that wrote it; a deleted and rewritten key has a new one, so an etag is never used twice.
    pub revision: Revision,
}

/// One row of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key, whole (the prefix is not cut off).
    pub key: Key,
    /// What was written, byte for byte.
    pub value: Vec<u8>,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// Which way a scan walks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By rising key.
    #[default]
    Ascending,
    /// By falling key: the newest first where keys end in a number.
    Descending,
}

/// What to scan. Paging is by key: a page starts past the last key of the one before it, so what is inserted or deleted
/// meanwhile neither repeats nor hides another row.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Only keys that begin with this.
    pub prefix: Key,
    /// Only keys past this one, in the order of the walk: [`Page::next`] of the page before.
    pub after: Option<Key>,
    /// The most entries of the page, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// The way of the walk.
    pub order: Order,
}

impl Scan {
    /// The first page of a prefix, ascending, [`MAX_PAGE`] entries at most.
    pub fn of(prefix: Key) -> Scan {
        Scan { prefix, after: None, limit: MAX_PAGE, order: Order::Ascending }
    }

    /// The same from past a key on; `None` is from the start.
    #[must_use]
    pub fn after(mut self, after: Option<Key>) -> Scan {
        self.after = after;
        self
    }

    /// The same with another size of page, 1 to [`MAX_PAGE`].
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Scan {
        self.limit = limit;
        self
    }

    /// The same from the highest key down.
    #[must_use]
    pub fn descending(mut self) -> Scan {
        self.order = Order::Descending;
        self
    }

    fn check(&self) -> Result<(), StoreError> {
        check_limit(self.limit)
    }
}

/// A page of a scan. Its entries are of one moment: no commit is seen in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The rows, in the order of the walk.
    pub entries: Vec<Entry>,
    /// Where the next page starts; `None` when there was nothing more at the time of reading.
    pub next: Option<Key>,
}

/// What a commit did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Wrote a value (read it by its key: the change does not carry it, and it may be newer by then).
    Put,
    /// Deleted it. Deleting a key that is not there is told too.
    Delete,
}

/// One key that a commit wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub revision: Revision,
    /// The key.
    pub key: Key,
    /// What it did.
    pub op: Op,
}

/// The answer of [`MetaStore::changes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Every change of the commits past the cursor, up to and with `through`; by commit, and within one in the order of the
    /// batch. A commit is never split.
    Entries {
        /// The changes.
        entries: Vec<Change>,
        /// The cursor to go on from; the cursor asked with when there is nothing new.
        through: Revision,
    },
    /// The cursor is older than the changes that are kept, or newer than the newest commit (a store that was restored): take
    /// [`MetaStore::newest`], read everything by scans, and go on from there.
    Compacted {
        /// The oldest cursor that can still be asked with.
        oldest: Revision,
    },
}

/// Why the store could not do its work. None of these is a caller's ordinary outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A stored value does not have the checksum or the form that it was written with.
    #[error("the stored value of {key} is corrupt: {detail}; restore the store from an export")]
    Corrupt {
        /// The key, escaped for reading.
        key: String,
        /// What does not fit.
        detail: String,
    },
    /// The request is out of the store's bounds: a bug of the caller.
    #[error("the store was asked for what it does not take: {detail}")]
    Invalid {
        /// What, and what it takes.
        detail: String,
    },
    /// The folder cannot be opened as a store.
    #[error("the store in {} cannot be opened: {detail}", folder.display())]
    Folder {
        /// The store's folder.
        folder: PathBuf,
        /// Why, and what to do.
        detail: String,
    },
    /// The disk does not take what is written. Nothing was changed, and the next may be taken.
    #[error("the store could not be written: {detail}; nothing was changed")]
    Disk {
        /// What the system said.
        detail: String,
    },
    /// Writing failed earlier, so what is durable is not known any more. Only a restart reads it again.
    #[error("the store stopped after a failure: {detail}; restart the control plane when its disk is well again")]
    Stopped {
        /// The first failure.
        detail: String,
    },
}

/// Why a batch was not applied. Nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A precondition does not hold: somebody else was first, or the caller's picture is stale.
    #[error("precondition {index} does not hold: {key} is at {}", found.map_or("no value".to_owned(), |r| format!("revision {r}")))]
    PreconditionFailed {
        /// Which, counted from 0 in the order they were added.
        index: usize,
        /// Its key.
        key: Key,
        /// The revision of the key's value, `None` where it has none.
        found: Option<Revision>,
    },
    /// The store could not do its work. After [`StoreError::Stopped`] the batch may or may not be found at the next start.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The port of the store. Shared as `Arc<dyn MetaStore>`; every method may be called by many tasks at once.
///
/// What is read is durable: no read tells of a commit that a crash could still take back.
#[async_trait]
pub trait MetaStore: Send + Sync + 'static {
    /// The value of a key, `None` where it has none. A value that is corrupt is an error, never `None`.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// A page of the keys with a prefix.
    async fn scan(&self, scan: Scan) -> Result<Page, StoreError>;

    /// Checks every precondition and applies every write, or does nothing. Answers when it is durable. Commits are
    /// serial: each sees all that came before it. A batch without writes only checks, and answers the newest revision.
    ///
    /// Once called it runs to its end, whether or not the caller waits for the answer.
    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError>;

    /// What was written past a cursor, in the order of commits, without a gap: `limit` changes (1 to [`MAX_PAGE`]) or a
    /// few more, as a commit is never split.
    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError>;

    /// The newest durable commit.
    async fn newest(&self) -> Result<Revision, StoreError>;

    /// The last number that [`Batch::append`] gave under a prefix, 0 before the first. It only rises, also when the rows are
    /// deleted, so it shows after a restore whether rows that somebody has seen are missing.
    async fn last_appended(&self, queue: &Key) -> Result<u64, StoreError>;

    /// The newest revision, as a hint: it may come twice or skip some. Read the truth with [`MetaStore::changes`].
    fn watch(&self) -> watch::Receiver<Revision>;
}

fn check_limit(limit: usize) -> Result<(), StoreError> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(());
    }
    Err(StoreError::Invalid { detail: format!("a limit of {limit}; it takes 1 to {MAX_PAGE}") })
}
