//! The log in a folder of files: opening it, and the port on top of it.
//!
//! One thread writes (`writer.rs`); readers look at what it has published and read the files themselves (`search.rs`). What is held in memory
//! is a summary of each closed segment and the entries of the open one.

use super::block::Ready;
use super::frame::{End, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::index::{BlockEntry, Summary};
use super::query::{Sought, check_limit};
use super::search::EntriesCache;
use super::segment::{self, Marks};
use super::writer::{Request, Writer};
use super::{
    AppendError, Appended, AuditLog, AuditPage, Cursor, LogError, MAX_BATCH_BYTES, MAX_BATCH_RECORDS,
    MAX_EXECUTOR_ID_CHARS, Query, Source, SourceBatch, record,
};
use crate::store::lock::FolderLock;
use async_trait::async_trait;
use parking_lot::RwLock;
use sluice_model::Slug;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// A good size of a segment, 64 MiB: some hundred thousand records, and read whole in a fraction of a second at a start.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

const MARKER: &str = "MARKER";

/// How many appends may wait for the writer; those behind them wait for a place.
const QUEUE: usize = 64;

/// An [`AuditLog`] in a folder. Dropping it waits for what is being written, and frees the folder.
#[derive(Debug)]
pub struct FileAuditLog {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer and the readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) view: RwLock<View>,
    pub(super) newest: watch::Sender<Cursor>,
    /// The first failure after which nothing is certain.
    pub(super) stopped: OnceLock<String>,
    pub(super) entries: EntriesCache,
    _lock: FolderLock,
}

/// What is durable.
#[derive(Debug)]
pub(super) struct View {
    /// Oldest first.
    pub(super) closed: Vec<Arc<Summary>>,
    pub(super) open: Open,
    pub(super) marks: Marks,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<File>,
    pub(super) blocks: Vec<Arc<BlockEntry>>,
}

impl Open {
    /// The place of the next record.
    pub(super) fn end(&self) -> Cursor {
        self.blocks.last().map_or(self.header.first, |block| block.facts.end())
    }
}

impl FileAuditLog {
    /// Opens the log in a folder, or makes it where there never was one. A segment that has grown past `segment_bytes` is
    /// closed ([`SEGMENT_BYTES`] is a good size).
    ///
    /// What a crash left at the very end, and nobody was told of, is cut off. Refused, with nothing changed: a folder that another
    /// process holds, one that lost its segments, and damage to anything that was acknowledged in the newest segment;
    /// damage in older ones is refused when it is read.
    pub async fn open(folder: PathBuf, segment_bytes: u64) -> Result<FileAuditLog, LogError> {
        let shown = folder.clone();
        match tokio::task::spawn_blocking(move || FileAuditLog::open_now(folder, segment_bytes)).await {
            Ok(log) => log,
            Err(error) => Err(LogError::Folder { folder: shown, detail: error.to_string() }),
        }
    }

    fn open_now(folder: PathBuf, segment_bytes: u64) -> Result<FileAuditLog, LogError> {
        let lock = hold(&folder)?;
        let (view, length) = recover(&folder)?;
        let newest = Cursor(view.open.end().0 - 1);
        let shared = Arc::new(Shared {
            folder,
            view: RwLock::new(view),
            newest: watch::Sender::new(newest),
            stopped: OnceLock::new(),
            entries: EntriesCache::default(),
            _lock: lock,
        });
        let (queue, requests) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), length, segment_bytes);
        let thread = std::thread::Builder::new().name("audit-log".to_owned());
        let writer = thread.spawn(move || writer.run(requests)).map_err(LogError::disk(&shared.folder))?;
        Ok(FileAuditLog { shared, queue: Some(queue), writer: Some(writer) })
    }

    pub(super) async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || read(&shared)).await {
            Ok(answer) => answer,
            Err(error) => Err(LogError::Stopped { detail: error.to_string() }),
        }
    }
}

impl Drop for FileAuditLog {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to say than its own message.
            drop(writer.join());
        }
    }
}

#[async_trait]
impl AuditLog for FileAuditLog {
    async fn append(&self, batch: SourceBatch) -> Result<Appended, AppendError> {
        check(&batch)?;
        let prepare = move || prepare(&batch.records).map(|records| (batch, records));
        let (batch, records) = match tokio::task::spawn_blocking(prepare).await {
            Ok(ready) => ready?,
            Err(error) => return Err(LogError::Stopped { detail: error.to_string() }.into()),
        };
        let SourceBatch { source, first_sequence, on_gap, .. } = batch;
        let (reply, answer) = oneshot::channel();
        let request = Request { source, first_sequence, on_gap, records, reply };
        let gone = || AppendError::from(LogError::Stopped { detail: "its writer is gone".to_owned() });
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn query(&self, query: Query) -> Result<AuditPage, LogError> {
        check_limit(query.limit)?;
        self.reading(move |shared| {
            let (before, limit) = (query.before, query.limit);
            shared.newest_first(&Sought::by(query), before, limit)
        })
        .await
    }

    async fn scan(&self, after: Cursor, tenant: Option<Slug>, limit: usize) -> Result<AuditPage, LogError> {
        check_limit(limit)?;
        self.reading(move |shared| shared.oldest_first(&Sought::all(tenant), after, limit)).await
    }

    async fn last_sequence(&self, source: &Source) -> Result<u64, LogError> {
        Ok(self.shared.view.read().marks.get(source).copied().unwrap_or(0))
    }

    fn watch(&self) -> watch::Receiver<Cursor> {
        self.shared.newest.subscribe()
    }
}

fn check(batch: &SourceBatch) -> Result<(), LogError> {
    let invalid = |field, detail| Err(LogError::Invalid { field, detail });
    let count = batch.records.len();
    if count == 0 || count > MAX_BATCH_RECORDS {
        return invalid("records", format!("{count} records; a batch takes 1 to {MAX_BATCH_RECORDS}"));
    }
    if batch.first_sequence == 0 || batch.first_sequence.checked_add(count as u64).is_none() {
        return invalid("first_sequence", format!("{}; numbers go from 1 to {}", batch.first_sequence, u64::MAX - 1));
    }
    if let Source::Executor { id, epoch } = &batch.source {
        if id.is_empty() || id.len() > MAX_EXECUTOR_ID_CHARS || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid("executor_id", format!("it takes 1 to {MAX_EXECUTOR_ID_CHARS} visible ASCII characters"));
        }
        if *epoch == 0 {
            return invalid("epoch", "0; epochs count from 1".to_owned());
        }
    }
    Ok(())
}

fn prepare(records: &[sluice_model::AuditRecord]) -> Result<Vec<Ready>, LogError> {
    let mut size = 0;
    let mut ready = Vec::with_capacity(records.len());
    for found in records {
        let json =
            record::encode(found).map_err(|error| LogError::Invalid { field: "records", detail: error.to_string() })?;
        size += json.len();
        let time = found.time.as_microsecond();
        ready.push(Ready { tenant: found.tenant.clone(), time, terms: record::terms(found), json });
    }
    if size > MAX_BATCH_BYTES {
        let detail = format!("{size} bytes; a batch takes {MAX_BATCH_BYTES} at most");
        return Err(LogError::Invalid { field: "records", detail });
    }
    Ok(ready)
}

fn hold(folder: &Path) -> Result<FolderLock, LogError> {
    FolderLock::take(folder).map_err(LogError::disk(folder))?.ok_or_else(|| LogError::Folder {
        folder: folder.to_owned(),
        detail: "another process holds it; one control plane a folder".to_owned(),
    })
}

/// Reads what is there, and cuts off a torn end. Answers with the length of the open segment too.
fn recover(folder: &Path) -> Result<(View, u64), LogError> {
    let marker = folder.join(MARKER);
    let marked = marker.try_exists().map_err(LogError::disk(&marker))?;
    let mut segments = segment::list(folder)?;
    let Some(newest) = segments.pop() else {
        if marked {
            let detail =
                format!("{MARKER} says that it held a log, but its segments are gone; put them back from a backup");
            return Err(LogError::Folder { folder: folder.to_owned(), detail });
        }
        let open = create(folder, Cursor(1))?;
        mark(folder)?;
        return Ok((View { closed: Vec::new(), open, marks: Marks::new() }, SEGMENT_HEADER_BYTES as u64));
    };
    let mut marks = Marks::new();
    let mut closed: Vec<Arc<Summary>> = Vec::with_capacity(segments.len());
    for first in segments {
        follows(folder, &closed, first)?;
        let summary = summary_of(folder, first, &mut marks)?;
        closed.push(Arc::new(summary));
    }
    follows(folder, &closed, newest)?;
    let (open, length) = reopen(folder, newest, &mut marks)?;
    if !marked {
        mark(folder)?;
    }
    Ok((View { closed, open, marks }, length))
}

/// Notes that the folder holds a log.
pub(super) fn mark(folder: &Path) -> Result<(), LogError> {
    let marker = folder.join(MARKER);
    segment::write_whole(folder, &marker, b"").map_err(LogError::disk(&marker))
}

/// Segments join without a gap; one that is missing is not passed over.
fn follows(folder: &Path, closed: &[Arc<Summary>], first: Cursor) -> Result<(), LogError> {
    let expected = closed.last().map_or(Cursor(1), |summary| summary.end);
    if first == expected {
        return Ok(());
    }
    let detail = format!("the records from {} to {} are not there", expected.0, first.0.saturating_sub(1));
    Err(segment::corrupt_at(&segment::log_path(folder, first), 0, &detail))
}

fn summary_of(folder: &Path, first: Cursor, marks: &mut Marks) -> Result<Summary, LogError> {
    let path = segment::log_path(folder, first);
    let length = fs::metadata(&path).map_err(LogError::disk(&path))?.len();
    if let Some((summary, known)) = segment::read_front(folder, first)
        && summary.length == length
    {
        *marks = known;
        return Ok(summary);
    }
    tracing::warn!(segment = %path.display(), "a closed segment has no index: making it again");
    let walked = segment::walk(folder, first, marks)?;
    if let End::Torn { at } = walked.end {
        return Err(segment::corrupt_at(&path, at, "a frame does not pass, and a later segment follows"));
    }
    let summary = Summary::of(first, walked.length, &walked.blocks);
    segment::write_index(folder, &summary, marks, &walked.blocks)?;
    Ok(summary)
}

fn reopen(folder: &Path, first: Cursor, marks: &mut Marks) -> Result<(Open, u64), LogError> {
    let path = segment::log_path(folder, first);
    let length = fs::metadata(&path).map_err(LogError::disk(&path))?.len();
    if length <= SEGMENT_HEADER_BYTES as u64 {
        // A crash while it was made: nothing was ever written to it.
        return Ok((create(folder, first)?, SEGMENT_HEADER_BYTES as u64));
    }
    let walked = segment::walk(folder, first, marks)?;
    let file = File::options().read(true).write(true).open(&path).map_err(LogError::disk(&path))?;
    let mut end = walked.length;
    if let End::Torn { at } = walked.end {
        tracing::warn!(segment = %path.display(), bytes = end - at, "cut off what a crash left unfinished");
        file.set_len(at).and_then(|()| file.sync_all()).map_err(LogError::disk(&path))?;
        end = at;
    }
    Ok((Open { header: walked.header, file: Arc::new(file), blocks: walked.blocks }, end))
}

/// Makes an empty segment.
pub(super) fn create(folder: &Path, first: Cursor) -> Result<Open, LogError> {
    let header = SegmentHeader::new(first);
    let file = Arc::new(segment::create(folder, header)?);
    Ok(Open { header, file, blocks: Vec::new() })
}

impl Shared {
    /// Notes the first failure after which nothing is certain.
    pub(super) fn stop(&self, failure: &dyn std::fmt::Display) -> LogError {
        let detail = self.stopped.get_or_init(|| {
            tracing::error!(%failure, "the audit log stopped");
            failure.to_string()
        });
        LogError::Stopped { detail: detail.clone() }
    }
}
