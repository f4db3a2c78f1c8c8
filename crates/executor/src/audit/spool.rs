//! The spool: audit records on disk, from before their answer leaves until the control plane has them.
//!
//! An execution's records are one O_APPEND write of framed protobuf. [`Spool::append`] numbers them; [`Log`] is what a
//! shipper reads and acknowledges, from the files and never from memory. Space comes back by whole segments.
//!
//! A write that fails in the middle is taken back; where even that fails, a new segment is begun, and the torn end of the
//! old one is no frame.
//!
//! A write takes 5 us, and now and then a disk takes a second for one. [`Spool::append_now`] writes only where it need not
//! wait: for nobody else's write, for no new segment, and not on a disk that was slow lately. So a disk that stalls takes one
//! thread of the runtime at most, for one write; everybody else goes by [`Spool::append`], on a thread that may wait.

mod frame;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use frame::{Frames, HEADER_BYTES};
pub(crate) use segment::{epoch_folder, epochs, recover};

use crate::files;
use bytes::Bytes;
use parking_lot::Mutex;
use segment::{SEGMENT_BYTES, Segment};
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// The most records of a batch.
pub(crate) const BATCH_RECORDS: usize = 1_000;
/// The most bytes of a batch; one record alone may be larger than what is left.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// A write that takes longer is slow. A run may hold a thread of the runtime for as long, before it moves to the slow lane.
const SLOW_WRITE: Duration = Duration::from_millis(2);
/// So many writes in a row must be fast before the disk is trusted again.
const FAST_WRITES: u32 = 64;

/// Why a record is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// The bound is reached.
    #[error(
        "the spool holds {bytes} bytes that the control plane has not acknowledged; audit.spool_max_bytes is {max}"
    )]
    Full {
        /// What it holds.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// The file system refuses.
    #[error("the spool cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The disk is so slow that too much waits for it.
    #[error("the spool's disk does not keep up: {bytes} bytes wait to be written")]
    Behind {
        /// What waits.
        bytes: usize,
    },
}

/// What became of frames that were to be written without waiting.
#[derive(Debug)]
pub(crate) enum Now {
    /// They are written; the sequence of the last.
    Written(u64),
    /// They are not, and the caller decides what becomes of them.
    Failed(SpoolError),
    /// It might take long. They are as they were.
    Later,
}

/// Makes the file of a segment. Tests put slow and full ones in its place.
type Make = dyn Fn(&Path) -> io::Result<File> + Send + Sync;

/// The numbered records of one epoch: those of this process while it writes them, or what an earlier one left behind.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// From the oldest to the newest. Bytes and ends are only what is whole on disk.
    segments: Mutex<VecDeque<Segment>>,
    /// The bytes of all epochs together.
    total: Arc<AtomicU64>,
    /// The highest sequence that the control plane has made durable.
    acked: watch::Sender<u64>,
    /// The highest sequence that is written.
    written: AtomicU64,
    /// Something was written.
    news: Notify,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The sequence to read next.
    pub(crate) sequence: u64,
    /// The first sequence of the segment that it is in, and the offset of its frame there; found anew where it does not
    /// fit.
    hint: Option<(u64, u64)>,
}

impl Place {
    /// At a sequence.
    pub(crate) fn at(sequence: u64) -> Place {
        Place { sequence, hint: None }
    }
}

/// Records that follow each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The sequence of the first.
    pub(crate) first: u64,
    /// The records.
    pub(crate) records: Vec<Bytes>,
}

impl Log {
    fn new(folder: PathBuf, segments: Vec<Segment>, total: Arc<AtomicU64>) -> Log {
        let written = segments.last().map_or(0, |s| s.end - 1);
        let acked = segments.first().map_or(0, |s| s.first - 1);
        total.fetch_add(segments.iter().map(|s| s.bytes).sum(), Ordering::Relaxed);
        Log {
            folder,
            segments: Mutex::new(segments.into()),
            total,
            acked: watch::Sender::new(acked),
            written: AtomicU64::new(written),
            news: Notify::new(),
        }
    }

    /// What an earlier epoch left behind.
    pub(crate) fn left_behind(folder: PathBuf, segments: Vec<Segment>, total: Arc<AtomicU64>) -> Log {
        Log::new(folder, segments, total)
    }

    /// The highest sequence that is written; 0 where none is.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// The highest sequence that is acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        *self.acked.borrow()
    }

    /// Follows the acknowledgements.
    pub(crate) fn follow_acks(&self) -> watch::Receiver<u64> {
        self.acked.subscribe()
    }

    /// Waits until something is written after `sequence`.
    pub(crate) async fn written_after(&self, sequence: u64) {
        loop {
            let news = self.news.notified();
            if self.written() > sequence {
                return;
            }
            news.await;
        }
    }

    /// Reads what follows `place`, at most a batch, and moves it on. An empty batch: there is nothing yet. Blocking.
    pub(crate) fn read(&self, place: &mut Place) -> io::Result<Batch> {
        let mut batch = Batch { first: place.sequence, records: Vec::new() };
        let mut size = 0;
        loop {
            let segment = {
                let segments = self.segments.lock();
                segments.iter().find(|s| (s.first..s.end).contains(&place.sequence)).cloned()
            };
            let Some(segment) = segment else { return Ok(batch) };
            let mut offset = match place.hint {
                Some((first, offset)) if first == segment.first => offset,
                _ => 0,
            };
            let mut at = if offset == 0 { segment.first } else { place.sequence };
            let file = File::open(&segment.path)?;
            while at < segment.end {
                let want = (segment.bytes - offset).min((BATCH_BYTES + frame::MAX_RECORD_BYTES) as u64);
                let mut chunk = vec![0; usize::try_from(want).unwrap_or(BATCH_BYTES)];
                file.read_exact_at(&mut chunk, offset)?;
                let chunk = Bytes::from(chunk);
                let mut used = 0;
                loop {
                    match frame::next(&chunk[used..]) {
                        frame::Next::Frame { sequence, bytes } if sequence == at => {
                            let record = chunk.slice(used + HEADER_BYTES..used + bytes);
                            if at >= place.sequence {
                                let full = batch.records.len() >= BATCH_RECORDS || size + record.len() > BATCH_BYTES;
                                if full && !batch.records.is_empty() {
                                    return Ok(batch);
                                }
                                size += record.len();
                                batch.records.push(record);
                                place.sequence = at + 1;
                            }
                            used += bytes;
                            at += 1;
                            place.hint = Some((segment.first, offset + used as u64));
                        }
                        frame::Next::Short if used > 0 => break,
                        _ => {
                            let place = offset + used as u64;
                            let message = format!("{}: no frame at {place}", segment.path.display());
                            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                        }
                    }
                }
                offset += used as u64;
            }
        }
    }

    /// Everything up to `sequence` is durable elsewhere: segments without anything newer are removed. Blocking.
    pub(crate) fn ack(&self, sequence: u64) -> io::Result<()> {
        let sequence = sequence.min(self.written());
        if !self.acked.send_if_modified(|acked| std::mem::replace(acked, sequence.max(*acked)) < sequence) {
            return Ok(());
        }
        let mut removed = Vec::new();
        {
            let mut segments = self.segments.lock();
            // The newest one may be the one that is written to.
            while segments.len() > 1 && segments.front().is_some_and(|s| s.end - 1 <= sequence) {
                removed.extend(segments.pop_front());
            }
        }
        for segment in removed {
            self.total.fetch_sub(segment.bytes, Ordering::Relaxed);
            fs::remove_file(&segment.path)?;
        }
        Ok(())
    }

    /// Whether everything is acknowledged.
    pub(crate) fn is_acked(&self) -> bool {
        self.acked() >= self.written()
    }

    /// Removes the folder, when everything is acknowledged and nobody writes any more. Files that were set aside keep it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for segment in self.segments.lock().drain(..) {
            self.total.fetch_sub(segment.bytes, Ordering::Relaxed);
            fs::remove_file(&segment.path)?;
        }
        if fs::read_dir(&self.folder)?.next().is_none() {
            fs::remove_dir(&self.folder)?;
        }
        Ok(())
    }

    fn wrote(&self, count: u64, bytes: u64) {
        {
            let mut segments = self.segments.lock();
            if let Some(segment) = segments.back_mut() {
                segment.end += count;
                segment.bytes += bytes;
            }
        }
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.written.fetch_add(count, Ordering::Release);
        self.news.notify_waiters();
    }
}

/// Writes this epoch's records.
pub(crate) struct Spool {
    log: Arc<Log>,
    make: Box<Make>,
    /// How many writes in a row still have to be fast before one is made without waiting again.
    suspicion: AtomicU32,
    /// Whether somebody forces what is written to disk: files that are full are kept open for that, and only for that.
    forced: AtomicBool,
    /// The record that a test has it lose, counted from 1 over all that are to be written; 0 is none. See [`crate::fault`].
    loses: AtomicU64,
    max_bytes: u64,
    /// Where a segment ends: a small spool has small ones, or what is acknowledged would fill it.
    segment_bytes: u64,
    writer: Mutex<Writer>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("log", &self.log).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Writer {
    file: Option<Arc<File>>,
    bytes: u64,
    next: u64,
    /// How many records were to be written.
    seen: u64,
    /// Files that were written to since the last time somebody took them to force them to disk.
    unforced: Vec<Arc<File>>,
}

impl Spool {
    /// The spool of a new epoch, in a folder of its own under `spool`. `total` counts the bytes of all epochs.
    pub(crate) fn create(spool: &Path, epoch: u64, max_bytes: u64, total: Arc<AtomicU64>) -> io::Result<Spool> {
        Spool::create_on(spool, epoch, max_bytes, total, Box::new(make_segment))
    }

    /// The same with another way to make the file of a segment.
    pub(crate) fn create_on(
        spool: &Path,
        epoch: u64,
        max_bytes: u64,
        total: Arc<AtomicU64>,
        make: Box<Make>,
    ) -> io::Result<Spool> {
        let folder = epoch_folder(spool, epoch);
        fs::create_dir_all(&folder)?;
        files::sync_folder(spool)?;
        let log = Log::new(folder, Vec::new(), total);
        let writer = Writer { file: None, bytes: 0, next: 1, seen: 0, unforced: Vec::new() };
        let segment_bytes = SEGMENT_BYTES.min(max_bytes / 4);
        Ok(Spool {
            log: Arc::new(log),
            make,
            suspicion: AtomicU32::new(0),
            forced: AtomicBool::new(false),
            loses: AtomicU64::new(0),
            max_bytes,
            segment_bytes,
            writer: Mutex::new(writer),
        })
    }

    /// What is written will be forced to disk, by whoever takes [`Spool::take_unforced`].
    pub(crate) fn will_be_forced(&self) {
        self.forced.store(true, Ordering::Relaxed);
    }

    /// Whether somebody is writing now.
    #[cfg(test)]
    pub(crate) fn is_writing(&self) -> bool {
        self.writer.is_locked()
    }

    /// Has it lose a record, as a test asks for.
    pub(crate) fn lose(&self, record: u64) {
        self.loses.store(record, Ordering::Relaxed);
    }

    /// What is written.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The bytes that wait in all epochs.
    pub(crate) fn bytes(&self) -> u64 {
        self.log.total.load(Ordering::Relaxed)
    }

    /// Whether there is room. Asked before an execution runs.
    pub(crate) fn has_room(&self) -> Result<(), SpoolError> {
        let bytes = self.bytes();
        if bytes >= self.max_bytes {
            return Err(SpoolError::Full { bytes, max: self.max_bytes });
        }
        Ok(())
    }

    /// Writes the frames with one write, all or none of them. The answer is the sequence of the last. Frames are cleared
    /// only when they are written. Blocking, as long as the disk takes.
    ///
    /// `reserved` writes above the bound too: for the records that tell of a gap.
    pub(crate) fn append(&self, frames: &mut Frames, reserved: bool) -> Result<u64, SpoolError> {
        if frames.count() == 0 {
            return Ok(self.log.written());
        }
        if !reserved {
            self.has_room()?;
        }
        let mut writer = self.writer.lock();
        let file = match &writer.file {
            Some(file) if writer.bytes < self.segment_bytes => Arc::clone(file),
            _ => self.begin_segment(&mut writer)?,
        };
        self.write(&mut writer, &file, frames)
    }

    /// The same where it need not wait for anything; otherwise nothing is done.
    pub(crate) fn append_now(&self, frames: &mut Frames) -> Now {
        if frames.count() == 0 {
            return Now::Written(self.log.written());
        }
        if let Err(error) = self.has_room() {
            return Now::Failed(error);
        }
        if self.suspicion.load(Ordering::Relaxed) > 0 {
            return Now::Later;
        }
        let Some(mut writer) = self.writer.try_lock() else { return Now::Later };
        let file = match &writer.file {
            Some(file) if writer.bytes < self.segment_bytes => Arc::clone(file),
            // A new segment is forced to disk with its name.
            _ => return Now::Later,
        };
        match self.write(&mut writer, &file, frames) {
            Ok(last) => Now::Written(last),
            Err(error) => Now::Failed(error),
        }
    }

    fn write(&self, writer: &mut Writer, file: &File, frames: &mut Frames) -> Result<u64, SpoolError> {
        self.lose_asked(writer, frames);
        let count = frames.count();
        let bytes = frames.seal(writer.next);
        let began = Instant::now();
        let written = (&*file).write_all(bytes);
        self.timed(began.elapsed());
        if let Err(error) = written {
            // Part of it may be there. Without it the segment is as it was; otherwise it ends here.
            if file.set_len(writer.bytes).is_err() {
                writer.file = None;
            }
            return Err(error.into());
        }
        writer.bytes += bytes.len() as u64;
        writer.next += count;
        let last = writer.next - 1;
        self.log.wrote(count, bytes.len() as u64);
        frames.clear();
        Ok(last)
    }

    fn timed(&self, took: Duration) {
        if took >= SLOW_WRITE {
            if self.suspicion.swap(FAST_WRITES, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    ms = took.as_millis(),
                    "the spool's disk is slow: records go to it by a thread of their own"
                );
            }
            return;
        }
        // The writer is locked: nobody else changes it.
        let suspicion = self.suspicion.load(Ordering::Relaxed);
        if suspicion > 0 {
            self.suspicion.store(suspicion - 1, Ordering::Relaxed);
        }
    }

    fn lose_asked(&self, writer: &mut Writer, frames: &mut Frames) {
        let first = writer.seen + 1;
        writer.seen += frames.count();
        let loses = self.loses.load(Ordering::Relaxed);
        if (first..=writer.seen).contains(&loses) {
            self.loses.store(0, Ordering::Relaxed);
            frames.remove(loses - first);
            tracing::error!(record = loses, "FAULT INJECTED: an audit record is lost, as the environment asks for");
        }
    }

    /// The files that were written to since the last call, for fsync. What is written after this call is not in them.
    pub(crate) fn take_unforced(&self) -> (u64, Vec<Arc<File>>) {
        let mut writer = self.writer.lock();
        let mut files = std::mem::take(&mut writer.unforced);
        files.extend(writer.file.clone());
        (writer.next - 1, files)
    }

    /// The next record begins a new segment: the disk failed to force the one before.
    pub(crate) fn abandon_segment(&self) {
        self.writer.lock().file = None;
    }

    fn begin_segment(&self, writer: &mut Writer) -> io::Result<Arc<File>> {
        let path = segment::path(&self.log.folder, writer.next);
        // One of that name exists only where its first write failed: nothing is in it.
        let _gone = fs::remove_file(&path);
        let file = Arc::new((self.make)(&path)?);
        files::sync_folder(&self.log.folder)?;
        {
            let mut segments = self.log.segments.lock();
            if segments.back().is_some_and(|s| s.first == s.end) {
                segments.pop_back();
            }
            segments.push_back(Segment { path, first: writer.next, end: writer.next, bytes: 0 });
        }
        let full = writer.file.take();
        if self.forced.load(Ordering::Relaxed) {
            writer.unforced.extend(full);
        }
        writer.file = Some(Arc::clone(&file));
        writer.bytes = 0;
        Ok(file)
    }
}

fn make_segment(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}
