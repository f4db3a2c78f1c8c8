//! The lock that keeps a folder to one process.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

const LOCK: &str = "LOCK";

/// A folder that this process holds, by a lock on the file `LOCK` in it. Freed when dropped, or when the process dies.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl FolderLock {
    /// Makes the folder where there is none, and takes it; `None` where it is held already.
    pub(crate) fn take(folder: &Path) -> io::Result<Option<FolderLock>> {
        fs::create_dir_all(folder)?;
        let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started holds a copy of the file until it runs its program. An
        // error would leave the lock to the closing.
        drop(self.0.unlock());
    }
}
