//! Archives: files of checked records, which appear whole or not at all. Exports and the store's own checkpoints are archives.
//!
//! ```text
//! magic "SLUICEEX" · format u32 · crc u32, then records, the last of them the end
//! record: kind u8 · length of the body u32 · crc u32 · body
//! end:    a record of kind 0 whose body is the number of records before it u64 · BLAKE3 of all bytes before it
//! ```
//! Little-endian. A record's CRC-32 covers its number in the file, its kind, its length and its body, so that none can be
//! missing, doubled or in another's place; the end covers them all. What the kinds mean is their writers' business: each takes
//! numbers of its own from the list in this file.

use crate::bytes::{Put, Take, length};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kinds of records.
pub(crate) mod kind {
    /// The end of the archive.
    pub(super) const END: u8 = 0;
    /// A store begins.
    pub(crate) const STORE: u8 = 1;
    /// A row of a store.
    pub(crate) const ROW: u8 = 2;
    /// The last number of a queue of a store.
    pub(crate) const QUEUE: u8 = 3;
    /// A store ends.
    pub(crate) const STORE_END: u8 = 4;
    /// A bundle.
    pub(crate) const BUNDLE: u8 = 5;
    /// A batch of the audit log.
    pub(crate) const AUDIT: u8 = 6;
}

const MAGIC: &[u8; 8] = b"SLUICEEX";
/// Raised when a build writes what the builds before it cannot read.
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 16;
const RECORD_HEADER_BYTES: usize = 9;
/// No record is larger: a bundle of the largest size, with what stands before it. A length beyond it is damage.
const MAX_BODY_BYTES: u32 = 65 * 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// Why an archive cannot be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArchiveError {
    /// What is read is not what was written.
    #[error("{} is damaged at byte {offset}: {detail}", file.display())]
    Damaged {
        /// The archive.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What does not fit.
        detail: String,
    },
    /// The disk failed.
    #[error("{}: {error}", file.display())]
    Disk {
        /// The archive.
        file: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
}

impl ArchiveError {
    pub(crate) fn disk(file: &Path) -> impl Fn(io::Error) -> ArchiveError + '_ {
        |error| ArchiveError::Disk { file: file.to_owned(), error: Arc::new(error) }
    }
}

fn crc(number: u64, header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_le_bytes());
    crc.update(header);
    crc.update(body);
    crc.finalize()
}

/// Writes an archive beside its place, and puts it there when it is whole. One that is dropped before leaves nothing.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    half: PathBuf,
    file: BufWriter<File>,
    hash: blake3::Hasher,
    records: u64,
    finished: bool,
}

impl Writer {
    /// Begins the archive that will stand at `path`; the folder is there. What stands there now is replaced.
    pub(crate) fn create(path: &Path) -> Result<Writer, ArchiveError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".half");
        let half = PathBuf::from(name);
        let file = File::create(&half).map_err(ArchiveError::disk(&half))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut writer =
            Writer { path: path.to_owned(), half, file, hash: blake3::Hasher::new(), records: 0, finished: false };
        let mut header = MAGIC.to_vec();
        header.u32(FORMAT);
        header.u32(crc32fast::hash(&header));
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds a record.
    pub(crate) fn put(&mut self, kind: u8, body: &[u8]) -> Result<(), ArchiveError> {
        let mut header = vec![kind];
        header.u32(length(body.len()));
        header.u32(crc(self.records, &header, body));
        self.write(&header)?;
        self.write(body)?;
        self.records += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(ArchiveError::disk(&self.half))
    }

    /// Ends it, forces it to disk, and puts it in its place. The answer is its size in bytes.
    pub(crate) fn finish(mut self) -> Result<u64, ArchiveError> {
        let mut body = Vec::new();
        body.u64(self.records);
        body.put(self.hash.finalize().as_bytes());
        self.put(kind::END, &body)?;
        let placed = (|| {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            let size = self.file.get_ref().metadata()?.len();
            fs::rename(&self.half, &self.path)?;
            // A path without a folder is one in the folder that the process is in.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(size)
        })();
        self.finished = placed.is_ok();
        placed.map_err(ArchiveError::disk(&self.path))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // What is left is overwritten by the next; the first error is the one to tell.
            drop(fs::remove_file(&self.half));
        }
    }
}

/// Reads an archive from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    hash: blake3::Hasher,
    offset: u64,
    length: u64,
    records: u64,
}

impl Reader {
    /// Opens the archive at `path`.
    pub(crate) fn open(path: &Path) -> Result<Reader, ArchiveError> {
        let file = File::open(path).map_err(ArchiveError::disk(path))?;
        let length = file.metadata().map_err(ArchiveError::disk(path))?.len();
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut reader =
            Reader { path: path.to_owned(), file, hash: blake3::Hasher::new(), offset: 0, length, records: 0 };
        let header = reader.take(HEADER_BYTES, "its header is cut short")?;
        let mut from = Take(&header);
        let (magic, format, crc) = (from.array::<8>(), from.u32(), from.u32());
        if magic.as_ref() != Some(MAGIC) {
            return Err(reader.damaged(0, "it is no export of Sluice"));
        }
        if crc != Some(crc32fast::hash(&header[..HEADER_BYTES - 4])) {
            return Err(reader.damaged(0, "its header is damaged"));
        }
        match format {
            Some(FORMAT) => Ok(reader),
            other => {
                let found = other.unwrap_or_default();
                Err(reader.damaged(0, &format!("its format is {found}, this build knows {FORMAT}")))
            }
        }
    }

    /// The next record; `None` at a whole end, behind which nothing follows.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, ArchiveError> {
        let at = self.offset;
        let before = self.hash.finalize();
        let header = self.take(RECORD_HEADER_BYTES, "it is cut short: it has no end")?;
        let mut from = Take(&header);
        let (Some(kind), Some(length), Some(expected)) = (from.u8(), from.u32(), from.u32()) else {
            return Err(self.damaged(at, "it is cut short: it has no end"));
        };
        if length > MAX_BODY_BYTES {
            return Err(self.damaged(at, &format!("a record of {length} bytes; none has more than {MAX_BODY_BYTES}")));
        }
        let body = self.take(usize::try_from(length).unwrap_or(usize::MAX), "it is cut short in a record")?;
        if crc(self.records, &header[..RECORD_HEADER_BYTES - 4], &body) != expected {
            return Err(self.damaged(at, &format!("the checksum of record {} does not match", self.records)));
        }
        if kind != kind::END {
            self.records += 1;
            return Ok(Some((kind, body)));
        }
        let mut end = Take(&body);
        if end.u64() != Some(self.records) || end.array::<32>().as_ref() != Some(before.as_bytes()) {
            return Err(self.damaged(at, "its end does not match what stands before it"));
        }
        if self.offset != self.length {
            return Err(self.damaged(self.offset, "bytes follow its end"));
        }
        Ok(None)
    }

    /// What does not fit of the record that was read last.
    pub(crate) fn unfit(&self, detail: &str) -> ArchiveError {
        self.damaged(self.offset, &format!("record {}: {detail}", self.records.saturating_sub(1)))
    }

    fn take(&mut self, count: usize, short: &str) -> Result<Vec<u8>, ArchiveError> {
        if self.offset + count as u64 > self.length {
            return Err(self.damaged(self.length, short));
        }
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(ArchiveError::disk(&self.path))?;
        self.hash.update(&bytes);
        self.offset += count as u64;
        Ok(bytes)
    }

    fn damaged(&self, offset: u64, detail: &str) -> ArchiveError {
        ArchiveError::Damaged { file: self.path.clone(), offset, detail: detail.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn written(path: &Path) -> Vec<u8> {
        let mut writer = Writer::create(path).unwrap();
        writer.put(kind::ROW, b"one").unwrap();
        writer.put(kind::ROW, b"").unwrap();
        writer.put(kind::QUEUE, &[7; 300]).unwrap();
        assert!(!path.exists(), "it appears whole");
        let size = writer.finish().unwrap();
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    fn read(path: &Path) -> Result<Vec<(u8, Vec<u8>)>, ArchiveError> {
        let mut reader = Reader::open(path)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn what_is_put_is_read_and_the_same_content_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes = written(&path);
        let expected = vec![(kind::ROW, b"one".to_vec()), (kind::ROW, vec![]), (kind::QUEUE, vec![7; 300])];
        assert_eq!(read(&path).unwrap(), expected);
        assert_eq!(written(&folder.path().join("b")), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half is left");
    }

    #[test]
    fn every_changed_byte_every_cut_and_every_byte_too_many_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let whole = written(&path);
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
        damaged.push([&whole[..], b"x"].concat());
        damaged.extend((0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            bytes
        }));
        // A record that is missing, though all others pass.
        let first = HEADER_BYTES + RECORD_HEADER_BYTES + 3;
        damaged.push([&whole[..HEADER_BYTES], &whole[first..]].concat());
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            match read(&path) {
                Err(ArchiveError::Damaged { file, .. }) => assert_eq!(file, path),
                other => panic!("{} bytes: {other:?}", bytes.len()),
            }
        }
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(&folder.path().join("a")).unwrap();
        writer.put(kind::ROW, b"x").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
