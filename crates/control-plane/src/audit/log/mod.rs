//! The audit log: every edit and every run, exactly once, in the order in which they were made durable.
//!
//! [`AuditLog`] is the port, apart from [`crate::store::MetaStore`]: records are appended in batches, never changed, and
//! asked for by what is in them. [`FileAuditLog`] keeps them in a segmented append-only file. Every record gets a
//! [`Cursor`], its place in the order of commits; pages are cut by cursors, so a page that was once read never changes.
//!
//! Whoever appends numbers its records from 1 without gaps. The log remembers for each [`Source`] the last number that it
//! took, and finds it again in the log itself, so what is sent twice is kept once and what is missing is never silent.

pub(crate) mod archive;
mod block;
mod disk;
mod frame;
mod index;
mod query;
pub(crate) mod record;
mod search;
mod segment;
mod writer;

#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;

pub use disk::{FileAuditLog, SEGMENT_BYTES};
pub use query::Query;

use async_trait::async_trait;
use sluice_model::{AuditRecord, Slug};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// The most records one batch may have.
pub const MAX_BATCH_RECORDS: usize = 1000;

/// The most bytes that the records of one batch may take, as the log writes them before packing: 8 MiB.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The most records one page is asked for.
pub const MAX_PAGE: usize = 1000;

/// The most characters an executor's id may have.
pub const MAX_EXECUTOR_ID_CHARS: usize = 128;

/// The place of a record in the log: 1 for the first, without gaps, in the order of commits. 0 is before every record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub u64);

/// Who appends. Each numbers its records from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The control plane's own outbox; the number is the outbox row's.
    ControlPlane,
    /// An executor since one of its starts.
    Executor {
        /// Its id, 1 to [`MAX_EXECUTOR_ID_CHARS`] visible ASCII characters.
        id: Arc<str>,
        /// Counts its starts, from 1. Each numbers its records anew.
        epoch: u64,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::ControlPlane => f.write_str("the control plane"),
            Source::Executor { id, epoch } => write!(f, "executor {id} (epoch {epoch})"),
        }
    }
}

/// What to do with a batch that does not follow the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnGap {
    /// Refuse it: the source still has what is missing, or somebody has to decide.
    #[default]
    Refuse,
    /// Take it, and write down beside it how many records are missing. For a source that says that it lost them; whoever
    /// asks for it owes the tenants an `audit.gap` record.
    Accept,
}

/// Records of one source whose numbers follow each other.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// Who sends them.
    pub source: Source,
    /// The number of the first, from 1.
    pub first_sequence: u64,
    /// 1 to [`MAX_BATCH_RECORDS`] records, [`MAX_BATCH_BYTES`] at most.
    pub records: Vec<AuditRecord>,
    /// What to do when records before it are missing.
    pub on_gap: OnGap,
}

/// What became of a batch. All of it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// How many records were new.
    pub accepted: usize,
    /// How many were there already, and were left as they are.
    pub duplicates: usize,
    /// How many are missing before the batch: 0 unless [`OnGap::Accept`] took it.
    pub missing: u64,
    /// The source's last number: everything up to it is durable (or known to be missing).
    pub last_sequence: u64,
}

/// A record and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its place.
    pub cursor: Cursor,
    /// What was appended.
    pub record: AuditRecord,
}

/// A page of records.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The records; may be fewer than asked for, even none, with more to come: only `next` tells the end.
    pub entries: Vec<Listed>,
    /// Where to go on; `None` where there is nothing more.
    pub next: Option<Cursor>,
}

/// Why the log could not do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// What was written is not what is read. Nothing was changed.
    #[error("the audit log is corrupt: {} at byte {offset}: {detail}; restore the file from a backup", file.display())]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What does not fit.
        detail: String,
    },
    /// The folder cannot be opened as a log. Nothing in it was changed.
    #[error("the audit log in {} cannot be opened: {detail}", folder.display())]
    Folder {
        /// The log's folder.
        folder: PathBuf,
        /// Why, and what to do.
        detail: String,
    },
    /// The request is out of the log's bounds.
    #[error("{field}: {detail}")]
    Invalid {
        /// What of the request.
        field: &'static str,
        /// What it takes.
        detail: String,
    },
    /// The disk failed. What was being appended may be sent again.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// A write failed in a way that leaves open what is durable. Only a restart reads it again.
    #[error("the audit log stopped after a failure: {detail}; restart the control plane when its disk is well again")]
    Stopped {
        /// The first failure.
        detail: String,
    },
}

impl LogError {
    fn disk(path: &Path) -> impl Fn(io::Error) -> LogError + '_ {
        |error| LogError::Disk { path: path.to_owned(), error: Arc::new(error) }
    }
}

/// Why a batch was not appended. Nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Records before the batch are missing.
    #[error("{sender} sends from {got} on, but its next record is {expected}")]
    Gap {
        /// Who sent it.
        sender: Source,
        /// The number that the next batch has to begin at.
        expected: u64,
        /// The number that it begins at.
        got: u64,
    },
    /// The log could not do its work.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The port of the audit log. Shared as `Arc<dyn AuditLog>`; every method may be called by many tasks at once.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Appends a batch and answers when it is durable. Batches that arrive together share a sync of the disk. Records whose
    /// number the source has used before are duplicates and are dropped, so any batch may be sent again. A caller that
    /// does not wait for the answer does not know, and sends it again.
    async fn append(&self, batch: SourceBatch) -> Result<Appended, AppendError>;

    /// The records of a tenant that match, newest first.
    async fn query(&self, query: Query) -> Result<AuditPage, LogError>;

    /// The records past a cursor, oldest first, of one tenant or of all; `limit` is 1 to [`MAX_PAGE`]. `next` is never
    /// `None`: it is where to go on when [`AuditLog::watch`] tells of more.
    async fn scan(&self, after: Cursor, tenant: Option<Slug>, limit: usize) -> Result<AuditPage, LogError>;

    /// The last number taken from a source, 0 where it is not known.
    async fn last_sequence(&self, source: &Source) -> Result<u64, LogError>;

    /// The newest durable record, as a hint: it may come twice or skip some.
    fn watch(&self) -> watch::Receiver<Cursor>;
}
