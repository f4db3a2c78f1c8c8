//! The log as records of an [archive](crate::archive): a record a batch, as it was taken, with its place.
//!
//! ```text
//! source · first sequence u64 · missing before it u64 · committed i64 · cursor of the first u64 · count u32 · each as JSON (counted)
//! ```

use super::block::{self, Origin, Ready, Records};
use super::disk::{self, Open, SEGMENT_BYTES};
use super::frame::{self, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::index::{BlockEntry, Summary};
use super::segment::{self, Marks};
use super::{Cursor, FileAuditLog, LogError, record};
use crate::archive::{Writer, kind};
use crate::bytes::{Put, Take, length};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl FileAuditLog {
    /// Adds every batch to an archive, oldest first, and gives the archive back with how many records there were.
    pub(crate) async fn export(&self, mut archive: Writer) -> Result<(Writer, u64), LogError> {
        self.reading(move |shared| {
            let (closed, open) = {
                let view = shared.view.read();
                let closed: Vec<Cursor> = view.closed.iter().map(|summary| summary.first).collect();
                (closed, view.open.header.first)
            };
            let mut count = 0;
            for first in closed.into_iter().chain([open]) {
                count += put_segment(&shared.folder, first, &mut archive)?;
            }
            Ok((archive, count))
        })
        .await
    }
}

fn put_segment(folder: &Path, first: Cursor, archive: &mut Writer) -> Result<u64, LogError> {
    let walked = segment::walk(folder, first, &mut Marks::new())?;
    let (path, file, header) = segment::open(folder, first)?;
    let mut count = 0;
    for entry in walked.blocks {
        let damaged = |detail: String| segment::corrupt_at(&path, entry.offset, &detail);
        let payload = segment::read_block(&path, &file, header.salt, &entry)?;
        let block = block::decode(&payload).map_err(damaged)?;
        let records = Records::of(&block).map_err(damaged)?;
        let mut body = Vec::with_capacity(records.size() + 128);
        block::put_source(&mut body, &block.origin.source);
        body.u64(block.origin.first_sequence);
        body.u64(block.origin.missing);
        body.i64(block.origin.committed);
        body.u64(block.facts.first.0);
        body.u32(block.facts.count);
        for (_, _, json) in records.iter() {
            body.counted(json);
        }
        archive.put(kind::AUDIT, &body).map_err(|error| LogError::Disk {
            path: folder.to_owned(),
            error: Arc::new(std::io::Error::other(error)),
        })?;
        count += u64::from(block.facts.count);
    }
    Ok(count)
}

/// A batch that was read from an archive.
#[derive(Debug)]
pub(crate) struct Batch {
    origin: Origin,
    first: Cursor,
    records: Vec<Ready>,
}

impl Batch {
    /// Reads a record of an archive; the error says what does not fit.
    pub(crate) fn read(body: &[u8]) -> Result<Batch, String> {
        let cut = || "the audit batch is cut short".to_owned();
        let mut from = Take(body);
        let source = block::take_source(&mut from).ok_or_else(cut)?;
        let head = (from.u64(), from.u64(), from.i64(), from.u64(), from.u32());
        let (Some(first_sequence), Some(missing), Some(committed), Some(first), Some(count)) = head else {
            return Err(cut());
        };
        let mut records = Vec::new();
        for _ in 0..count {
            let json = from.counted().ok_or_else(cut)?.to_vec();
            let found = record::decode(&json).map_err(|error| format!("an audit record cannot be read: {error}"))?;
            let (time, terms) = (found.time.as_microsecond(), record::terms(&found));
            records.push(Ready { tenant: found.tenant, time, terms, json });
        }
        if !from.0.is_empty() || records.is_empty() {
            return Err("the audit batch has another length than it says".to_owned());
        }
        let origin = Origin { source, first_sequence, missing, committed };
        Ok(Batch { origin, first: Cursor(first), records })
    }

    /// How many records it has.
    pub(crate) fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// The place of its first record.
    pub(crate) fn first(&self) -> Cursor {
        self.first
    }
}

/// Makes a log of batches, in a folder that is not there yet. Blocking. It is a log once [`Restorer::finish`] has answered.
#[derive(Debug)]
pub(crate) struct Restorer {
    folder: PathBuf,
    open: Open,
    length: u64,
    marks: Marks,
}

impl Restorer {
    /// Makes the folder.
    pub(crate) fn begin(folder: &Path) -> Result<Restorer, LogError> {
        std::fs::create_dir_all(folder).map_err(LogError::disk(folder))?;
        let open = disk::create(folder, Cursor(1))?;
        let length = SEGMENT_HEADER_BYTES as u64;
        Ok(Restorer { folder: folder.to_owned(), open, length, marks: Marks::new() })
    }

    /// Adds a batch, which follows the one before.
    pub(crate) fn put(&mut self, batch: &Batch) -> Result<(), LogError> {
        let next = self.open.end();
        if batch.first != next {
            let detail = format!("its records begin at {} where {} comes next", batch.first.0, next.0);
            return Err(LogError::Invalid { field: "batch", detail });
        }
        if self.length >= SEGMENT_BYTES {
            self.roll(next)?;
        }
        let path = segment::log_path(&self.folder, self.open.header.first);
        let (payload, facts) = block::encode(&batch.origin, next, &batch.records).map_err(LogError::disk(&path))?;
        let mut bytes = Vec::with_capacity(payload.len() + FRAME_HEADER_BYTES);
        frame::put(&mut bytes, self.open.header.salt, self.length, &payload);
        self.open.file.write_all_at(&bytes, self.length).map_err(LogError::disk(&path))?;
        let entry = BlockEntry { offset: self.length, length: length(bytes.len()), facts };
        self.open.blocks.push(Arc::new(entry));
        self.marks.insert(batch.origin.source.clone(), batch.origin.first_sequence + batch.len() - 1);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn roll(&mut self, next: Cursor) -> Result<(), LogError> {
        self.sync()?;
        let summary = Summary::of(self.open.header.first, self.length, &self.open.blocks);
        segment::write_index(&self.folder, &summary, &self.marks, &self.open.blocks)?;
        self.open = disk::create(&self.folder, next)?;
        self.length = SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        let path = segment::log_path(&self.folder, self.open.header.first);
        self.open.file.sync_all().map_err(LogError::disk(&path))
    }

    /// Forces it to disk.
    pub(crate) fn finish(self) -> Result<(), LogError> {
        self.sync()?;
        disk::mark(&self.folder)
    }
}
