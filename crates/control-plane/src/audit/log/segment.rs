//! Segments: the files of the log, and what is written beside one when it is closed.
//!
//! ```text
//! FOLDER/LOCK                   held by the process that has the log open
//! FOLDER/MARKER                 written with the first segment: this folder holds a log
//! FOLDER/00000000000000000001.log   the records from that cursor on
//! FOLDER/00000000000000000001.idx   of a closed segment: summary, last numbers of all sources, entries of its blocks
//! ```
//! An index that is missing or damaged is made again from its segment, which is the truth.

use super::block;
use super::frame::{self, End, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::index::{BlockEntry, Summary};
use super::{Cursor, LogError, Source};
use crate::bytes::{Put, Take, length};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const INDEX_MAGIC: &[u8; 8] = b"SLUICEIX";
const INDEX_FORMAT: u32 = 1;
/// Magic, format, and for each of the two sections a length and a CRC.
const INDEX_HEADER_BYTES: usize = 28;

/// The last number of each source.
pub(super) type Marks = HashMap<Source, u64>;

/// The file of a segment.
pub(super) fn log_path(folder: &Path, first: Cursor) -> PathBuf {
    folder.join(format!("{:020}.log", first.0))
}

/// The file of a closed segment's index.
pub(super) fn index_path(folder: &Path, first: Cursor) -> PathBuf {
    folder.join(format!("{:020}.idx", first.0))
}

/// Every segment of a folder, oldest first.
pub(super) fn list(folder: &Path) -> Result<Vec<Cursor>, LogError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(LogError::disk(folder))? {
        let name = entry.map_err(LogError::disk(folder))?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|name| name.parse().ok());
        segments.extend(first.map(Cursor));
    }
    segments.sort_unstable();
    Ok(segments)
}

/// What a walk over a segment found.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) header: SegmentHeader,
    pub(super) blocks: Vec<Arc<BlockEntry>>,
    pub(super) end: End,
    /// The file's length in bytes.
    pub(super) length: u64,
}

/// Reads a whole segment, checks every frame, and brings the sources' last numbers up to it.
pub(super) fn walk(folder: &Path, first: Cursor, marks: &mut Marks) -> Result<Walked, LogError> {
    let path = log_path(folder, first);
    let segment = fs::read(&path).map_err(LogError::disk(&path))?;
    let corrupt = |detail: String| LogError::Corrupt { file: path.clone(), offset: 0, detail };
    let header = SegmentHeader::decode(&segment).map_err(corrupt)?;
    if header.first != first {
        return Err(corrupt(format!("it begins at {}, which is not its name", header.first.0)));
    }
    let mut blocks: Vec<Arc<BlockEntry>> = Vec::new();
    let end = frame::walk(&path, &segment, header.salt, |offset, payload| {
        let block = block::decode(payload)?;
        let expected = blocks.last().map_or(first, |block| block.facts.end());
        if block.facts.first != expected {
            return Err(format!("its records are {} on where {} come next", block.facts.first.0, expected.0));
        }
        marks.insert(block.origin.source.clone(), block.last_sequence());
        let length = length(FRAME_HEADER_BYTES + payload.len());
        blocks.push(Arc::new(BlockEntry { offset, length, facts: block.facts }));
        Ok(())
    })?;
    Ok(Walked { header, blocks, end, length: segment.len() as u64 })
}

/// Makes a segment file that holds its header only, durably.
pub(super) fn create(folder: &Path, header: SegmentHeader) -> Result<File, LogError> {
    let path = log_path(folder, header.first);
    let create = || {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    };
    create().map_err(LogError::disk(&path))
}

/// Reads the block of an entry.
pub(super) fn read_block(path: &Path, file: &File, salt: u32, entry: &BlockEntry) -> Result<Vec<u8>, LogError> {
    let mut frame = vec![0; usize::try_from(entry.length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut frame, entry.offset).map_err(LogError::disk(path))?;
    match frame::take(&frame, salt) {
        Ok(taken) if taken.payload.len() + FRAME_HEADER_BYTES == frame.len() => Ok(frame.split_off(FRAME_HEADER_BYTES)),
        Ok(_) => Err(corrupt_at(path, entry.offset, "a frame has another length than its index says")),
        Err(detail) => Err(corrupt_at(path, entry.offset, detail)),
    }
}

/// Something that does not fit at a place of a segment.
pub(super) fn corrupt_at(path: &Path, offset: u64, detail: &str) -> LogError {
    LogError::Corrupt { file: path.to_owned(), offset, detail: detail.to_owned() }
}

/// Opens a segment for reading.
pub(super) fn open(folder: &Path, first: Cursor) -> Result<(PathBuf, File, SegmentHeader), LogError> {
    let path = log_path(folder, first);
    let file = File::open(&path).map_err(LogError::disk(&path))?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(LogError::disk(&path))?;
    let header = SegmentHeader::decode(&header).map_err(|detail| corrupt_at(&path, 0, &detail))?;
    Ok((path, file, header))
}

/// Writes the index of a closed segment, whole or not at all.
pub(super) fn write_index(
    folder: &Path,
    summary: &Summary,
    marks: &Marks,
    blocks: &[Arc<BlockEntry>],
) -> Result<(), LogError> {
    let mut front = Vec::new();
    summary.put(&mut front);
    front.u32(length(marks.len()));
    for (source, last) in marks {
        block::put_source(&mut front, source);
        front.u64(*last);
    }
    let mut entries = Vec::new();
    entries.u32(length(blocks.len()));
    for block in blocks {
        block.put(&mut entries);
    }
    let mut out = INDEX_MAGIC.to_vec();
    out.u32(INDEX_FORMAT);
    for section in [&front, &entries] {
        out.u32(length(section.len()));
        out.u32(crc32fast::hash(section));
    }
    out.put(&front);
    out.put(&entries);
    let path = index_path(folder, summary.first);
    write_whole(folder, &path, &out).map_err(LogError::disk(&path))
}

/// Writes a file that is there whole or not at all.
pub(super) fn write_whole(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let half = path.with_extension("half");
    let mut file = File::create(&half)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    File::open(folder)?.sync_all()
}

/// The front of a closed segment's index; `None` where the file is missing or damaged.
pub(super) fn read_front(folder: &Path, first: Cursor) -> Option<(Summary, Marks)> {
    let file = File::open(index_path(folder, first)).ok()?;
    let (front, _) = sections(&file)?;
    let section = read_section(&file, INDEX_HEADER_BYTES as u64, front)?;
    let mut from = Take(&section);
    let summary = Summary::take(&mut from).filter(|summary| summary.first == first)?;
    let mut marks = Marks::new();
    for _ in 0..from.u32()? {
        marks.insert(block::take_source(&mut from)?, from.u64()?);
    }
    Some((summary, marks))
}

/// The entries of a closed segment's index; `None` where the file is missing or damaged.
pub(super) fn read_entries(folder: &Path, first: Cursor) -> Option<Vec<Arc<BlockEntry>>> {
    let file = File::open(index_path(folder, first)).ok()?;
    let (front, entries) = sections(&file)?;
    let section = read_section(&file, INDEX_HEADER_BYTES as u64 + u64::from(front.0), entries)?;
    let mut from = Take(&section);
    (0..from.u32()?).map(|_| BlockEntry::take(&mut from).map(Arc::new)).collect()
}

type Section = (u32, u32);

fn sections(file: &File) -> Option<(Section, Section)> {
    let mut header = [0; INDEX_HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    let mut from = Take(&header);
    if &from.array::<8>()? != INDEX_MAGIC || from.u32()? != INDEX_FORMAT {
        return None;
    }
    Some(((from.u32()?, from.u32()?), (from.u32()?, from.u32()?)))
}

fn read_section(file: &File, at: u64, (length, crc): Section) -> Option<Vec<u8>> {
    // A damaged length must not ask for more memory than the file has bytes.
    if at + u64::from(length) > file.metadata().ok()?.len() {
        return None;
    }
    let mut section = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut section, at).ok()?;
    (crc32fast::hash(&section) == crc).then_some(section)
}
