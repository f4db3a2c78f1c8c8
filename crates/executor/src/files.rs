//! Files that appear whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
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

/// What ends the name of a file that is being written.
const HALF: &str = "half";
/// The folder of files that are not believed, beside those that are.
const ASIDE: &str = "damaged";
/// So many files that are not believed are kept, for somebody to look at; then the oldest goes.
const MAX_ASIDE: usize = 32;

/// Where what shall be at `path` is written first.
pub(crate) fn half(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Two writers of one file must not write to one half.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{count}.{HALF}", std::process::id()));
    path.with_file_name(name)
}

/// Whether a file was not finished by the process that wrote it.
pub(crate) fn is_half(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == HALF)
}

/// Puts a file where nobody looks for it but who wants to know what became of it: `<folder>/damaged/<name>.<time>`. The
/// answer is where.
pub(crate) fn set_aside(folder: &Path, path: &Path) -> io::Result<PathBuf> {
    let aside = folder.join(ASIDE);
    fs::create_dir_all(&aside)?;
    let mut there: Vec<PathBuf> = fs::read_dir(&aside)?.flatten().map(|entry| entry.path()).collect();
    there.sort_by_cached_key(|path| fs::metadata(path).and_then(|about| about.modified()).ok());
    for oldest in there.iter().take((there.len() + 1).saturating_sub(MAX_ASIDE)) {
        fs::remove_file(oldest)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", jiff::Timestamp::now().as_microsecond()));
    let to = aside.join(name);
    fs::rename(path, &to)?;
    Ok(to)
}

/// Puts `bytes` at `path`, in place of what was there. The folder exists.
pub(crate) fn replace(path: &Path, bytes: &[u8], force: Force) -> io::Result<()> {
    let half = half(path);
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
