//! The one thread that writes to the log.
//!
//! It takes all batches that wait as one group: numbers them, writes them with one write, syncs once, publishes them to the readers,
//! and only then answers each. So a busy log syncs as often as the disk can, and a quiet one answers at once.

use super::block::{self, Origin, Ready};
use super::disk::{self, Shared};
use super::frame::{self, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::index::{BlockEntry, Summary};
use super::segment::{self, Marks};
use super::{AppendError, Appended, Cursor, LogError, OnGap, Source};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// The most bytes of records that are gathered for one write; one batch alone may have more.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// A batch on its way to the writer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) source: Source,
    pub(super) first_sequence: u64,
    pub(super) on_gap: OnGap,
    pub(super) records: Vec<Ready>,
    pub(super) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Request {
    fn size(&self) -> usize {
        self.records.iter().map(|record| record.json.len()).sum()
    }

    /// What of the batch is new, when `last` is the last number taken from its source.
    fn place(&self, last: u64) -> Result<Appended, AppendError> {
        let expected = last + 1;
        let count = self.records.len();
        let missing = self.first_sequence.saturating_sub(expected);
        if missing > 0 && self.on_gap == OnGap::Refuse {
            let sender = self.source.clone();
            return Err(AppendError::Gap { sender, expected, got: self.first_sequence });
        }
        let known = expected.saturating_sub(self.first_sequence);
        let duplicates = usize::try_from(known).unwrap_or(usize::MAX).min(count);
        let last_sequence = last.max(self.first_sequence + count as u64 - 1);
        Ok(Appended { accepted: count - duplicates, duplicates, missing, last_sequence })
    }
}

/// What is about to be written.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    blocks: Vec<Arc<BlockEntry>>,
    marks: Marks,
    answers: Vec<(oneshot::Sender<Result<Appended, AppendError>>, Appended)>,
}

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Where the open segment ends, in bytes.
    length: u64,
    /// The place of the next record.
    next: Cursor,
    segment_bytes: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, length: u64, segment_bytes: u64) -> Writer {
        let next = shared.view.read().open.end();
        Writer { shared, length, next, segment_bytes }
    }

    /// Writes until nobody can send any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.blocking_recv() {
            let mut size = request.size();
            let mut waiting = vec![request];
            while size < GROUP_BYTES
                && let Ok(request) = requests.try_recv()
            {
                size += request.size();
                waiting.push(request);
            }
            self.write(waiting);
        }
    }

    fn write(&mut self, waiting: Vec<Request>) {
        let mut group = Group::default();
        let mut next = self.next;
        for request in waiting {
            self.stage(&mut group, &mut next, request);
        }
        if !group.blocks.is_empty()
            && let Err(error) = self.force(&group.bytes)
        {
            for (reply, _) in group.answers {
                answer(reply, Err(error.clone().into()));
            }
            return;
        }
        self.length += group.bytes.len() as u64;
        if !group.blocks.is_empty() {
            self.next = next;
            let mut view = self.shared.view.write();
            view.open.blocks.append(&mut group.blocks);
            view.marks.extend(group.marks);
            drop(view);
            self.shared.newest.send_replace(Cursor(next.0 - 1));
        }
        for (reply, appended) in group.answers {
            answer(reply, Ok(appended));
        }
        if self.length >= self.segment_bytes
            && self.length > SEGMENT_HEADER_BYTES as u64
            && let Err(error) = self.roll()
        {
            // The open segment can still grow; the next group tries again.
            tracing::warn!(%error, "a segment of the audit log could not be closed");
        }
    }

    /// Adds a batch to the group, or answers it at once where there is nothing to write for it.
    fn stage(&self, group: &mut Group, next: &mut Cursor, mut request: Request) {
        if let Some(detail) = self.shared.stopped.get() {
            return answer(request.reply, Err(LogError::Stopped { detail: detail.clone() }.into()));
        }
        let last = match group.marks.get(&request.source) {
            Some(last) => *last,
            None => self.shared.view.read().marks.get(&request.source).copied().unwrap_or(0),
        };
        let appended = match request.place(last) {
            Ok(appended) => appended,
            Err(error) => return answer(request.reply, Err(error)),
        };
        if appended.accepted > 0 {
            let records = request.records.split_off(appended.duplicates);
            let origin = Origin {
                source: request.source.clone(),
                first_sequence: request.first_sequence + appended.duplicates as u64,
                missing: appended.missing,
                committed: now(),
            };
            let (payload, facts) = match block::encode(&origin, *next, &records) {
                Ok(block) => block,
                Err(error) => {
                    let error = LogError::disk(&self.shared.folder)(error);
                    return answer(request.reply, Err(error.into()));
                }
            };
            let offset = self.length + group.bytes.len() as u64;
            let salt = self.shared.view.read().open.header.salt;
            frame::put(&mut group.bytes, salt, self.length, &payload);
            *next = facts.end();
            let length = crate::bytes::length(FRAME_HEADER_BYTES + payload.len());
            group.blocks.push(Arc::new(BlockEntry { offset, length, facts }));
            group.marks.insert(request.source, appended.last_sequence);
        }
        // Duplicates too are answered after the sync: what they repeat may be in this very group.
        group.answers.push((request.reply, appended));
    }

    /// Writes and syncs. After a write that failed the file is cut back and the log goes on; after a sync that failed nobody
    /// knows what is durable, and it stops.
    fn force(&self, bytes: &[u8]) -> Result<(), LogError> {
        let (file, first) = {
            let view = self.shared.view.read();
            (Arc::clone(&view.open.file), view.open.header.first)
        };
        let path = segment::log_path(&self.shared.folder, first);
        if let Err(error) = file.write_all_at(bytes, self.length) {
            tracing::error!(segment = %path.display(), %error, "the audit log could not be written");
            return match file.set_len(self.length) {
                Ok(()) => Err(LogError::disk(&path)(error)),
                Err(again) => Err(self.shared.stop(&again)),
            };
        }
        file.sync_data().map_err(|error| self.shared.stop(&error))
    }

    /// Closes the segment and begins the next.
    fn roll(&mut self) -> Result<(), LogError> {
        let summary = {
            let view = self.shared.view.read();
            let summary = Summary::of(view.open.header.first, self.length, &view.open.blocks);
            segment::write_index(&self.shared.folder, &summary, &view.marks, &view.open.blocks)?;
            summary
        };
        let open = disk::create(&self.shared.folder, self.next)?;
        self.length = SEGMENT_HEADER_BYTES as u64;
        let mut view = self.shared.view.write();
        view.closed.push(Arc::new(summary));
        view.open = open;
        Ok(())
    }
}

/// Whoever asked may be gone; the batch is durable all the same, and is a duplicate when sent again.
fn answer(reply: oneshot::Sender<Result<Appended, AppendError>>, answer: Result<Appended, AppendError>) {
    drop(reply.send(answer));
}

/// Microseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
