//! Searching the log: which segments and blocks are worth reading, and the records in them.

use super::block::{self, Records};
use super::disk::Shared;
use super::frame::SegmentHeader;
use super::index::{BlockEntry, Summary};
use super::query::Sought;
use super::segment::{self, Marks};
use super::{AuditPage, Cursor, Listed, LogError, record};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// How many closed segments' entries are kept in memory, some 200 KB each.
const CACHED_SEGMENTS: usize = 32;

/// How many bytes one call reads, unpacked, before it answers with what it has: 64 MiB, a fraction of a second.
const READ_BYTES: usize = 64 * 1024 * 1024;

type Entries = Arc<Vec<Arc<BlockEntry>>>;

/// Entries of closed segments, the last used at the back.
#[derive(Debug, Default)]
pub(super) struct EntriesCache(Mutex<VecDeque<(Cursor, Entries)>>);

impl EntriesCache {
    fn get(&self, segment: Cursor) -> Option<Entries> {
        let mut cached = self.0.lock();
        let found = cached.iter().position(|(cached, _)| *cached == segment)?;
        let used = cached.remove(found)?;
        let entries = Arc::clone(&used.1);
        cached.push_back(used);
        Some(entries)
    }

    fn put(&self, segment: Cursor, entries: Entries) {
        let mut cached = self.0.lock();
        // Another reader may have been as fast.
        cached.retain(|(cached, _)| *cached != segment);
        cached.push_back((segment, entries));
        if cached.len() > CACHED_SEGMENTS {
            cached.pop_front();
        }
    }
}

/// What a call may still read. Every call reads one block at least, so that it always gets further.
struct Budget {
    bytes: usize,
    started: bool,
}

impl Budget {
    fn new() -> Budget {
        Budget { bytes: READ_BYTES, started: false }
    }

    fn is_used_up(&self) -> bool {
        self.started && self.bytes == 0
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A segment that may be worth searching.
enum Part {
    Closed(Arc<Summary>),
    /// The open segment, with only the blocks that are worth reading.
    Open {
        file: Arc<File>,
        header: SegmentHeader,
        end: Cursor,
        blocks: Vec<Arc<BlockEntry>>,
    },
}

impl Part {
    fn first(&self) -> Cursor {
        match self {
            Part::Closed(summary) => summary.first,
            Part::Open { header, .. } => header.first,
        }
    }

    fn end(&self) -> Cursor {
        match self {
            Part::Closed(summary) => summary.end,
            Part::Open { end, .. } => *end,
        }
    }
}

/// A segment that is being read.
struct Reading {
    path: PathBuf,
    file: Arc<File>,
    salt: u32,
    blocks: Entries,
}

impl Reading {
    fn records(&self, entry: &BlockEntry, budget: &mut Budget) -> Result<Records, LogError> {
        let payload = segment::read_block(&self.path, &self.file, self.salt, entry)?;
        let damaged = |detail: String| segment::corrupt_at(&self.path, entry.offset, &detail);
        let records = Records::of(&block::decode(&payload).map_err(damaged)?).map_err(damaged)?;
        budget.started = true;
        budget.spend(records.size());
        Ok(records)
    }

    /// The record at a place, where it is sought.
    fn record(&self, entry: &BlockEntry, at: u64, json: &[u8], sought: &Sought) -> Result<Option<Listed>, LogError> {
        let cursor = Cursor(entry.facts.first.0 + at);
        let record = record::decode(json).map_err(|error| {
            let detail = format!("record {} cannot be read: {error}", cursor.0);
            segment::corrupt_at(&self.path, entry.offset, &detail)
        })?;
        Ok(sought.is(&record).then_some(Listed { cursor, record }))
    }
}

impl Shared {
    /// The parts that may hold what is sought, oldest first, and the place behind the newest record.
    fn parts(&self, sought: &Sought) -> (Vec<Part>, Cursor) {
        let view = self.view.read();
        let closed = view.closed.iter().filter(|summary| sought.may_be_in_segment(summary));
        let mut parts: Vec<Part> = closed.map(|summary| Part::Closed(Arc::clone(summary))).collect();
        let open = &view.open;
        let end = open.end();
        let blocks = open.blocks.iter().filter(|block| sought.may_be_in_block(&block.facts)).cloned().collect();
        parts.push(Part::Open { file: Arc::clone(&open.file), header: open.header, end, blocks });
        (parts, end)
    }

    fn read(&self, part: Part, budget: &mut Budget) -> Result<Reading, LogError> {
        match part {
            Part::Open { file, header, blocks, .. } => {
                let path = segment::log_path(&self.folder, header.first);
                Ok(Reading { path, file, salt: header.salt, blocks: Arc::new(blocks) })
            }
            Part::Closed(summary) => {
                let (path, file, header) = segment::open(&self.folder, summary.first)?;
                let blocks = self.entries_of(summary.first, budget)?;
                Ok(Reading { path, file: Arc::new(file), salt: header.salt, blocks })
            }
        }
    }

    fn entries_of(&self, segment: Cursor, budget: &mut Budget) -> Result<Entries, LogError> {
        if let Some(entries) = self.entries.get(segment) {
            return Ok(entries);
        }
        let entries = match segment::read_entries(&self.folder, segment) {
            Some(entries) => entries,
            // The segment itself knows as well.
            None => segment::walk(&self.folder, segment, &mut Marks::new())?.blocks,
        };
        budget.spend(entries.iter().map(|entry| entry.size()).sum());
        let entries = Arc::new(entries);
        self.entries.put(segment, Arc::clone(&entries));
        Ok(entries)
    }

    /// What is sought before a place, the newest first.
    pub(super) fn newest_first(
        &self,
        sought: &Sought,
        before: Option<Cursor>,
        limit: usize,
    ) -> Result<AuditPage, LogError> {
        let (parts, end) = self.parts(sought);
        let top = before.map_or(end, |before| before.min(end));
        let mut budget = Budget::new();
        let mut entries: Vec<Listed> = Vec::new();
        for part in parts.into_iter().rev() {
            if part.first() >= top {
                continue;
            }
            if budget.is_used_up() {
                return Ok(AuditPage { entries, next: Some(part.end().min(top)) });
            }
            let reading = self.read(part, &mut budget)?;
            for entry in reading.blocks.iter().rev() {
                if entry.facts.first >= top || !sought.may_be_in_block(&entry.facts) {
                    continue;
                }
                if budget.is_used_up() {
                    return Ok(AuditPage { entries, next: Some(entry.facts.end().min(top)) });
                }
                let records = reading.records(entry, &mut budget)?;
                for (at, tenant, json) in records.iter().rev() {
                    if entry.facts.first.0 + at >= top.0 || !sought.is_of(tenant) {
                        continue;
                    }
                    let Some(listed) = reading.record(entry, at, json, sought)? else { continue };
                    if entries.len() == limit {
                        // There is one more, so there is a next page.
                        let next = entries.last().map(|last| last.cursor);
                        return Ok(AuditPage { entries, next });
                    }
                    entries.push(listed);
                }
            }
        }
        Ok(AuditPage { entries, next: None })
    }

    /// What is sought past a place, the oldest first.
    pub(super) fn oldest_first(&self, sought: &Sought, after: Cursor, limit: usize) -> Result<AuditPage, LogError> {
        let (parts, end) = self.parts(sought);
        // The first place that is asked for.
        let bottom = Cursor(after.0.saturating_add(1));
        let mut budget = Budget::new();
        let mut entries: Vec<Listed> = Vec::new();
        let so_far = |first: Cursor| Some(Cursor(first.0 - 1).max(after));
        for part in parts {
            if part.end() <= bottom {
                continue;
            }
            if budget.is_used_up() {
                return Ok(AuditPage { entries, next: so_far(part.first()) });
            }
            let reading = self.read(part, &mut budget)?;
            for entry in reading.blocks.iter() {
                if entry.facts.end() <= bottom || !sought.may_be_in_block(&entry.facts) {
                    continue;
                }
                if budget.is_used_up() {
                    return Ok(AuditPage { entries, next: so_far(entry.facts.first) });
                }
                let records = reading.records(entry, &mut budget)?;
                for (at, tenant, json) in records.iter() {
                    if entry.facts.first.0 + at < bottom.0 || !sought.is_of(tenant) {
                        continue;
                    }
                    let Some(listed) = reading.record(entry, at, json, sought)? else { continue };
                    let cursor = listed.cursor;
                    entries.push(listed);
                    if entries.len() == limit {
                        return Ok(AuditPage { entries, next: Some(cursor) });
                    }
                }
            }
        }
        Ok(AuditPage { entries, next: so_far(end) })
    }
}
