//! The data folder: made when it is not there, and owned by one process at a time.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The file whose lock says that the folder is in use. It stays; only its lock counts.
const LOCK_FILE: &str = "lock";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("data = {path}: the folder is in use by {owner}; each server takes a folder of its own", path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it: `process 123`, or `another process`.
        owner: String,
    },
    /// The file system refuses.
    #[error("data = {path}: cannot be used: {source}", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A data folder that belongs to this process until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started holds a copy of the file until it runs its program. An
        // error would leave the lock to the closing.
        let _freed = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl DataFolder {
    /// Makes the folder where it is not there (only its owner may enter), and takes it.
    pub fn open(path: impl Into<PathBuf>) -> Result<DataFolder, FolderError> {
        let path = path.into();
        match lock(&path) {
            Ok(Ok(lock)) => Ok(DataFolder { path, lock }),
            Ok(Err(owner)) => Err(FolderError::InUse { path, owner }),
            Err(source) => Err(FolderError::Io { path, source }),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The lock, or who has it.
fn lock(path: &Path) -> io::Result<Result<File, String>> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(LOCK_FILE))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            // Only the message is poorer where it cannot be read.
            let _unread = file.take(32).read_to_string(&mut owner);
            let owner = owner.trim().parse::<u32>();
            return Ok(Err(owner.map_or_else(|_| "another process".to_owned(), |id| format!("process {id}"))));
        }
        Err(errno) => return Err(errno.into()),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}
