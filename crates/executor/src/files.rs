//! Files that appear whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// How far a file is forced before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// To disk, with its name: it outlives the machine.
    Disk,
    /// Not at all: it can be made anew, and whoever reads it checks it.
    Nothing,
}

/// Puts `bytes` at `path`, in place of what was there. The folder exists.
pub(crate) fn replace(path: &Path, bytes: &[u8], force: Force) -> io::Result<()> {
    static HALF: AtomicU64 = AtomicU64::new(0);
    // Two writers of one file must not write to one half.
    let half = path.with_extension(format!("{}-{}.half", std::process::id(), HALF.fetch_add(1, Ordering::Relaxed)));
    let written = File::create(&half).and_then(|mut file| {
        file.write_all(bytes)?;
        if force == Force::Disk { file.sync_all() } else { Ok(()) }
    });
    if let Err(error) = written.and_then(|()| fs::rename(&half, path)) {
        let _gone_or_swept_later = fs::remove_file(&half);
        return Err(error);
    }
    match path.parent() {
        Some(folder) if force == Force::Disk => sync_folder(folder),
        _ => Ok(()),
    }
}

/// Forces the names in a folder to disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
