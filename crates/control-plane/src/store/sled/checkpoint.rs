//! Checkpoints: the whole store in a file, from which, with the journal, sled can be made again.
//!
//! `checkpoints/00000000000000000012.checkpoint` was begun when 12 was the newest commit. It is taken while commits go on, a page of
//! rows at a time, so it may hold a part of the commits past 12: the journal, replayed from 13 on, makes it whole. The newest two
//! are kept, so that one may be damaged, and the journal back to the older.

use super::table::{Table, TableError};
use crate::archive::{ArchiveError, Reader, Writer};
use crate::store::image::{self, Facts, Item};
use crate::store::{Key, Order, Revision, Scan, Versioned};
use parking_lot::RwLock;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".checkpoint";
/// How many are kept.
const KEPT: usize = 2;
/// Rows that are read under the lock at once: a commit waits for a page at most, less than a millisecond.
const PAGE_ROWS: usize = 256;

/// Why a checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageError {
    #[error("{0}")]
    Table(TableError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl From<TableError> for ImageError {
    fn from(error: TableError) -> ImageError {
        ImageError::Table(error)
    }
}

/// Adds an image of a table to an archive. `applied` is the newest commit that is applied, locked while one is; commits may go on.
pub(super) fn put_image(
    name: &str,
    table: &Table,
    applied: &RwLock<Revision>,
    archive: &mut Writer,
) -> Result<Facts, ImageError> {
    let from = *applied.read();
    Item::Store { name: name.to_owned(), from }.put(archive)?;
    let (mut rows, mut after) = (0, None);
    loop {
        let scan = Scan { prefix: Key::from_bytes(Vec::new()), after, limit: PAGE_ROWS, order: Order::Ascending };
        let page = {
            let _unchanged = applied.read();
            table.page(&scan)?
        };
        for entry in page.entries {
            Item::Row(entry.key, Versioned { value: entry.value, revision: entry.revision }).put(archive)?;
            rows += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let (queues, through) = {
        let through = applied.read();
        (table.queues()?, *through)
    };
    for (queue, last) in queues {
        Item::Queue(queue, last).put(archive)?;
    }
    Item::End { through, rows }.put(archive)?;
    Ok(Facts { name: name.to_owned(), from, through, rows })
}

/// Where the checkpoint that was begun at a commit stands.
pub(super) fn path_of(folder: &Path, from: Revision) -> PathBuf {
    folder.join(format!("{:020}{SUFFIX}", from.0))
}

/// The commits that checkpoints were begun at, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Revision>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse().ok());
        found.extend(number.map(Revision));
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes all but the newest two. The answer is what the journal must go back to, where there are two.
pub(super) fn prune(folder: &Path) -> io::Result<Option<Revision>> {
    let found = list(folder)?;
    let old = found.len().saturating_sub(KEPT);
    for from in &found[..old] {
        fs::remove_file(path_of(folder, *from))?;
    }
    Ok((found.len() >= KEPT).then(|| found[old]))
}

/// Reads a checkpoint whole, and says what it is. Nothing of it is used before it has passed.
pub(super) fn look(folder: &Path, from: Revision) -> Result<Facts, ArchiveError> {
    read(folder, from, |_| Ok(()))
}

/// Reads a checkpoint and tells `each` its rows and queues.
pub(super) fn read<E: From<ArchiveError>>(
    folder: &Path,
    from: Revision,
    each: impl FnMut(Item) -> Result<(), E>,
) -> Result<Facts, E> {
    let mut archive = Reader::open(&path_of(folder, from))?;
    let facts = image::read(&mut archive, each)?;
    match archive.next()? {
        None => Ok(facts),
        Some(_) => Err(archive.unfit("it is behind the store's end").into()),
    }
}
