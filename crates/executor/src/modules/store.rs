//! The cache folder: bundles and snapshots by the bundle's digest.
//!
//! `<data>/cache/bundles/<digest>` holds a bundle's canonical bytes, whose digest is checked whenever they are read;
//! `<data>/cache/snapshots/<engine>/<digest>` what an engine made of it, which checks itself. Everything here can be had
//! again, so nothing is forced to disk, and what does not check is removed and made anew.

use crate::files;
use bytes::Bytes;
use sluice_model::Bundle;
use sluice_sandbox::{Engine, EngineIdentity, Snapshot, SnapshotError};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Digits of each digest in a folder's name: enough that two engines never share one by accident; a snapshot names its
/// engine itself.
const NAME_DIGITS: usize = 16;

/// The cache folder. Cheap to clone; everything blocks.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Folders>);

#[derive(Debug)]
struct Folders {
    bundles: PathBuf,
    /// Those of all engines.
    all_snapshots: PathBuf,
    snapshots: PathBuf,
    max_bytes: u64,
}

impl Store {
    /// Makes the folders where they are not there.
    pub(crate) fn open(folder: &Path, engine: &EngineIdentity, max_bytes: u64) -> io::Result<Store> {
        let short = |digest: &str| digest.get(..NAME_DIGITS).unwrap_or(digest).to_owned();
        let all_snapshots = folder.join("snapshots");
        let folders = Folders {
            bundles: folder.join("bundles"),
            snapshots: all_snapshots.join(format!("{}-{}", short(&engine.engine), short(&engine.base_image))),
            all_snapshots,
            max_bytes,
        };
        fs::create_dir_all(&folders.bundles)?;
        fs::create_dir_all(&folders.snapshots)?;
        Ok(Store(Arc::new(folders)))
    }

    /// The bundle of this digest.
    pub(crate) fn bundle(&self, digest: &str) -> Option<Bytes> {
        let path = self.0.bundles.join(digest);
        let bytes = read(&path)?;
        if Bundle::digest(&bytes) == digest {
            return Some(bytes.into());
        }
        remove_damaged(&path);
        None
    }

    /// The snapshot that this engine made of the bundle.
    pub(crate) fn snapshot(&self, engine: &Engine, digest: &str) -> Option<Snapshot> {
        let path = self.0.snapshots.join(digest);
        match Snapshot::from_bytes(engine, &read(&path)?) {
            Ok(snapshot) => Some(snapshot),
            Err(SnapshotError::OtherEngine) => None,
            Err(SnapshotError::Damaged) => {
                remove_damaged(&path);
                None
            }
        }
    }

    pub(crate) fn keep_bundle(&self, digest: &str, bytes: &[u8]) {
        keep(&self.0.bundles.join(digest), bytes);
    }

    pub(crate) fn keep_snapshot(&self, digest: &str, bytes: &[u8]) {
        keep(&self.0.snapshots.join(digest), bytes);
    }

    /// Brings the folder under its bound: what is in no flow goes, the oldest first.
    pub(crate) fn sweep(&self, needed: &HashSet<String>) {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        let mut total = 0;
        let engines = fs::read_dir(&self.0.all_snapshots).into_iter().flatten().flatten().map(|e| e.path());
        for folder in engines.chain([self.0.bundles.clone()]) {
            let own = folder == self.0.snapshots || folder == self.0.bundles;
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(about) = entry.metadata() else { continue };
                total += about.len();
                if !(own && entry.file_name().to_str().is_some_and(|name| needed.contains(name))) {
                    files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()));
                }
            }
        }
        files.sort_unstable();
        for (_, size, path) in files {
            if total <= self.0.max_bytes {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= size;
            }
        }
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a file of the cache cannot be read");
            None
        }
    }
}

fn keep(path: &Path, bytes: &[u8]) {
    if let Err(error) = files::replace(path, bytes, files::Force::Nothing) {
        tracing::warn!(path = %path.display(), %error, "the cache cannot be written");
    }
}

fn remove_damaged(path: &Path) {
    tracing::warn!(path = %path.display(), "a file of the cache is damaged; it is made anew");
    // What cannot be removed is written over.
    let _stays = fs::remove_file(path);
}
