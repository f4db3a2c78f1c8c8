//! The store's folder: one process, and never an empty database where there was one.
//!
//! ```text
//! FOLDER/LOCK      held by the process that has the store open
//! FOLDER/MARKER    written when the database was first made durable; its text is the database's name
//! FOLDER/sled/     sled's own; a row in it holds the same name
//! FOLDER/NEWEST    the newest commit that was acknowledged (u64) and its CRC-32
//! ```
//! The marker is what tells a new folder from one that lost its database. A database without a marker is one whose making was
//! cut short before anything was acknowledged from it, so the marker is then written.
//! `NEWEST` is what tells a database that lost its end: sled takes what it can read for all there was. It is written before
//! every acknowledgement and not synced, so after a power cut it may be older than it should, never newer.

use crate::store::lock::FolderLock;
use crate::store::{Revision, StoreError};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MARKER: &str = "MARKER";
const DATABASE: &str = "sled";
const NEWEST: &str = "NEWEST";

/// The row of the database that holds its name.
const NAME: &[u8] = b"name";

/// How long sled's own lock may stay taken while ours is free: sled does not free it before every copy of its file is closed,
/// and a child process that is being started has one for a moment.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(5);
const SLED_LOCK_RETRY: Duration = Duration::from_millis(10);

/// A folder that this process holds.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    newest: File,
    _lock: FolderLock,
}

impl Folder {
    /// Takes the folder and opens the database in it with `open`.
    pub(super) fn open(
        path: PathBuf,
        open: impl Fn(&Path) -> ::sled::Result<::sled::Db>,
    ) -> Result<(Folder, ::sled::Db), StoreError> {
        let failed = |error: io::Error| StoreError::Folder { folder: path.clone(), detail: error.to_string() };
        let Some(lock) = FolderLock::take(&path).map_err(failed)? else {
            let detail = "another process holds it; one control plane a folder".to_owned();
            return Err(StoreError::Folder { folder: path, detail });
        };
        let marker = match fs::read_to_string(path.join(MARKER)) {
            Ok(name) => Some(name.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let database = path.join(DATABASE);
        // sled makes what it does not find, so this is asked before it is opened.
        if marker.is_some() && !database.join("db").is_file() {
            return Err(unreadable(path, &format!("{MARKER} says that it held a store, but {DATABASE}/db is gone")));
        }
        let newest = File::options().create(true).truncate(false).read(true).write(true).open(path.join(NEWEST));
        let newest = newest.map_err(failed)?;
        let folder = Folder { path, newest, _lock: lock };
        let db = patiently(|| open(&database)).map_err(|error| folder.unreadable(&format!("sled says: {error}")))?;
        let name = db.get(NAME).map_err(|error| folder.unreadable(&error.to_string()))?;
        let name = name.map(|name| String::from_utf8_lossy(&name).into_owned());
        match (marker, name) {
            (Some(marker), Some(name)) if marker == name => {}
            (Some(_), None) => return Err(folder.unreadable("it held a store, but the database in it is empty")),
            (Some(_), Some(_)) => return Err(folder.unreadable("the database in it is another store's")),
            (None, Some(name)) => folder.mark(&name).map_err(failed_in(&folder))?,
            (None, None) => {
                let name = uuid::Uuid::now_v7().to_string();
                let named = db.insert(NAME, name.as_bytes()).and_then(|_| db.flush());
                named.map_err(|error| folder.unreadable(&error.to_string()))?;
                folder.mark(&name).map_err(failed_in(&folder))?;
            }
        }
        Ok((folder, db))
    }

    /// The newest commit that was acknowledged, as far as is known: 0 where nothing is.
    pub(super) fn acknowledged(&self) -> Result<Revision, StoreError> {
        let mut bytes = [0; size_of::<u64>() + size_of::<u32>()];
        match self.newest.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Revision(0)),
            Err(error) => return Err(failed_in(self)(error)),
        }
        let [number @ .., a, b, c, d] = bytes;
        if crc32fast::hash(&number) != u32::from_le_bytes([a, b, c, d]) {
            tracing::warn!(folder = %self.path.display(), "{NEWEST} is damaged: whether the store is complete is not known");
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

    fn mark(&self, name: &str) -> io::Result<()> {
        let half = self.path.join(format!("{MARKER}.half"));
        let mut file = File::create(&half)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, self.path.join(MARKER))?;
        File::open(&self.path)?.sync_all()
    }

    /// The error of a folder that held a store which cannot be served.
    pub(super) fn unreadable(&self, detail: &str) -> StoreError {
        unreadable(self.path.clone(), detail)
    }
}

/// Opens sled while its own lock is still being freed. Ours is held, so no other process has the database open.
#[expect(clippy::disallowed_methods, reason = "a store is opened on a blocking thread")]
pub(super) fn patiently(open: impl Fn() -> ::sled::Result<::sled::Db>) -> ::sled::Result<::sled::Db> {
    let started = Instant::now();
    loop {
        match open() {
            Err(error)
                if error.to_string().contains("could not acquire lock") && started.elapsed() < SLED_LOCK_WAIT =>
            {
                std::thread::sleep(SLED_LOCK_RETRY);
            }
            opened => return opened,
        }
    }
}

fn failed_in(folder: &Folder) -> impl Fn(io::Error) -> StoreError + '_ {
    |error| StoreError::Folder { folder: folder.path.clone(), detail: error.to_string() }
}

/// The error of a folder that held a store which cannot be served.
pub(super) fn unreadable(folder: PathBuf, detail: &str) -> StoreError {
    let advice = "move the folder aside, put a copy of it from a backup in its place, and start again";
    StoreError::Folder { folder, detail: format!("{detail}; {advice}") }
}
