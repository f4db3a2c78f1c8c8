//! The store's folder: who holds it, what it is called, and what it has promised.
//!
//! ```text
//! FOLDER/LOCK          held by the process that has the store open
//! FOLDER/MARKER        written when the store was made; its text is the store's name
//! FOLDER/journal/      every commit since the older checkpoint
//! FOLDER/checkpoints/  the newest two checkpoints
//! FOLDER/sled/         what the commits have made, for reading; a row in it holds the store's name
//! FOLDER/NEWEST        the newest commit that was acknowledged (u64) and its CRC-32
//! FOLDER/CLOSED        there while the store is closed, if it was closed well
//! FOLDER/sled.aside-1  a database that could not be used, moved out of the way
//! ```
//! The marker is what tells a new folder from one that lost its content. `NEWEST` is what tells a journal that lost its
//! end: it is written before every acknowledgement and not synced, so after a power cut it may be older than it should, never
//! newer.

use crate::store::lock::FolderLock;
use crate::store::{Revision, StoreError};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MARKER: &str = "MARKER";
const NEWEST: &str = "NEWEST";
const CLOSED: &str = "CLOSED";
const DATABASE: &str = "sled";
const HALF_DATABASE: &str = "sled.half";

/// What an operator can do about a folder that cannot be served.
const ADVICE: &str = "put a copy of the folder from a backup in its place, or move the data folder aside and restore an \
                      export (sluice-control-plane restore)";

/// A folder that this process holds.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    newest: File,
    _lock: FolderLock,
}

impl Folder {
    /// Takes the folder, or makes it.
    pub(super) fn take(path: PathBuf) -> Result<Folder, StoreError> {
        let failed = |error: io::Error| StoreError::Folder { folder: path.clone(), detail: error.to_string() };
        let Some(lock) = FolderLock::take(&path).map_err(failed)? else {
            let detail = "another process holds it; one control plane a folder".to_owned();
            return Err(StoreError::Folder { folder: path, detail });
        };
        let newest = File::options().create(true).truncate(false).read(true).write(true).open(path.join(NEWEST));
        let newest = newest.map_err(failed)?;
        Ok(Folder { path, newest, _lock: lock })
    }

    /// The store's name, `None` in a folder that never held one.
    pub(super) fn name(&self) -> Result<Option<String>, StoreError> {
        match fs::read_to_string(self.path.join(MARKER)) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Gives the store its name: from here on the folder holds one.
    pub(super) fn mark(&self, name: &str) -> Result<(), StoreError> {
        mark(&self.path, name).map_err(|error| self.failed(&error))
    }

    /// Where sled is.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Where a database is made again, before it takes its place.
    pub(super) fn half_database(&self) -> PathBuf {
        self.path.join(HALF_DATABASE)
    }

    /// Where the journal is.
    pub(super) fn journal(&self) -> PathBuf {
        journal(&self.path)
    }

    /// Where the checkpoints are.
    pub(super) fn checkpoints(&self) -> PathBuf {
        checkpoints(&self.path)
    }

    /// Moves the database out of the way and says to where; `None` where there is none.
    pub(super) fn move_aside(&self) -> Result<Option<PathBuf>, StoreError> {
        let database = self.database();
        if !database.exists() {
            return Ok(None);
        }
        let free = |number: &u32| !self.path.join(format!("{DATABASE}.aside-{number}")).exists();
        let number = (1..).find(free).unwrap_or(u32::MAX);
        let aside = self.path.join(format!("{DATABASE}.aside-{number}"));
        fs::rename(&database, &aside).and_then(|()| self.sync()).map_err(|error| self.failed(&error))?;
        Ok(Some(aside))
    }

    /// Whether the store was closed well, asked once: from here on it is open.
    pub(super) fn was_closed(&self) -> Result<bool, StoreError> {
        match fs::remove_file(self.path.join(CLOSED)) {
            Ok(()) => self.sync().map(|()| true).map_err(|error| self.failed(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Notes that the store is closed and everything in it is on the disk.
    pub(super) fn close(&self) -> io::Result<()> {
        File::create(self.path.join(CLOSED)).map(drop)
    }

    /// The newest commit that was acknowledged, as far as is known: 0 where nothing is.
    pub(super) fn acknowledged(&self) -> Result<Revision, StoreError> {
        let mut bytes = [0; size_of::<u64>() + size_of::<u32>()];
        match self.newest.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Revision(0)),
            Err(error) => return Err(self.failed(&error)),
        }
        let [number @ .., a, b, c, d] = bytes;
        if crc32fast::hash(&number) != u32::from_le_bytes([a, b, c, d]) {
            tracing::warn!(folder = %self.path.display(), "{NEWEST} is damaged: whether the journal is complete is not known");
            return Ok(Revision(0));
        }
        Ok(Revision(u64::from_le_bytes(number)))
    }

    /// Notes that a commit is about to be acknowledged.
    pub(super) fn acknowledge(&self, revision: Revision) -> io::Result<()> {
        let number = revision.0.to_le_bytes();
        let mut bytes = number.to_vec();
        bytes.extend_from_slice(&crc32fast::hash(&number).to_le_bytes());
        self.newest.write_all_at(&bytes, 0)
    }

    /// Forces the names in it to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the system said about it.
    pub(super) fn failed(&self, error: &io::Error) -> StoreError {
        StoreError::Folder { folder: self.path.clone(), detail: error.to_string() }
    }

    /// The error of a folder that held a store which cannot be served, nor made again from what is there.
    pub(super) fn unreadable(&self, detail: &str) -> StoreError {
        StoreError::Folder { folder: self.path.clone(), detail: format!("{detail}; {ADVICE}") }
    }
}

/// Gives the store in a folder its name.
pub(super) fn mark(folder: &Path, name: &str) -> io::Result<()> {
    let half = folder.join(format!("{MARKER}.half"));
    let mut file = File::create(&half)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    fs::rename(&half, folder.join(MARKER))?;
    File::open(folder)?.sync_all()
}

/// The journal of the store in a folder.
pub(super) fn journal(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// The checkpoints of the store in a folder.
pub(super) fn checkpoints(folder: &Path) -> PathBuf {
    folder.join("checkpoints")
}

/// Whether a folder holds a store.
pub(super) fn holds_a_store(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}
