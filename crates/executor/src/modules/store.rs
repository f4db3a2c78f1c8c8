//! The cache folder: bundles and snapshots by the bundle's digest.
//!
//! `<data>/cache/bundles/<digest>` holds a bundle's canonical bytes, whose digest is checked whenever they are read;
//! `<data>/cache/snapshots/<engine>/<digest>` what an engine made of it, which says whose it is and checks itself, so that
//! executors of two builds can use one folder in turn. Everything here can be had again, so nothing is forced to disk. What
//! does not check is never believed: it is set aside in `<data>/cache/damaged`, for somebody to look at, and made anew.

use crate::{files, telemetry::Metrics};
use bytes::Bytes;
use parking_lot::Mutex;
use sluice_model::Bundle;
use sluice_sandbox::{Engine, EngineIdentity, Snapshot, SnapshotError};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Digits of each digest in a folder's name: enough that two engines never share one by accident; a snapshot names its
/// engine itself.
const NAME_DIGITS: usize = 16;
/// Begins a snapshot's file; the number is its layout's. The bundle's digest follows, and a line feed.
const MAGIC: &str = "SLUMODU1 ";
/// Where flows need more than the bound: how much more is written before the next sweep, as a part of the bound: 1 / 16.
const SWEEP_SHIFT: u32 = 4;
/// A file that was not finished for so long is nobody's any more.
const HALF_LIFE: Duration = Duration::from_secs(3_600);

/// What was found in a file.
enum Checked<T> {
    Good(T),
    /// Another engine's.
    NotOurs,
    /// What is wrong with it.
    Bad(&'static str),
}

/// The cache folder. Cheap to clone; everything blocks.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Folders>);

#[derive(Debug)]
struct Folders {
    bundles: PathBuf,
    /// Those of all engines.
    all_snapshots: PathBuf,
    snapshots: PathBuf,
    /// The cache folder itself.
    folder: PathBuf,
    max_bytes: u64,
    /// What is in it: counted by a sweep, and by what is written after it.
    bytes: AtomicU64,
    /// When it is worth another sweep: where flows need more than the bound, not at every file.
    sweep_above: AtomicU64,
    /// Held while a file is put in its place or set aside, so that nobody sets aside what somebody else has made anew.
    places: Mutex<()>,
    metrics: Arc<Metrics>,
}

impl Store {
    /// Makes the folders where they are not there.
    pub(crate) fn open(
        folder: &Path,
        engine: &EngineIdentity,
        max_bytes: u64,
        metrics: Arc<Metrics>,
    ) -> io::Result<Store> {
        let short = |digest: &str| digest.get(..NAME_DIGITS).unwrap_or(digest).to_owned();
        let all_snapshots = folder.join("snapshots");
        let folders = Folders {
            bundles: folder.join("bundles"),
            snapshots: all_snapshots.join(format!("{}-{}", short(&engine.engine), short(&engine.base_image))),
            all_snapshots,
            folder: folder.to_owned(),
            max_bytes,
            bytes: AtomicU64::new(0),
            sweep_above: AtomicU64::new(max_bytes),
            places: Mutex::default(),
            metrics,
        };
        fs::create_dir_all(&folders.bundles)?;
        fs::create_dir_all(&folders.snapshots)?;
        Ok(Store(Arc::new(folders)))
    }

    /// The bundle of this digest.
    pub(crate) fn bundle(&self, digest: &str) -> Option<Bytes> {
        self.checked(&self.0.bundles.join(digest), |bytes| {
            let is_it = Bundle::digest(&bytes) == digest;
            if is_it { Checked::Good(bytes.into()) } else { Checked::Bad("its bytes are not those that its name says") }
        })
    }

    /// The snapshot that this engine made of the bundle.
    pub(crate) fn snapshot(&self, engine: &Engine, digest: &str) -> Option<Snapshot> {
        self.checked(&self.0.snapshots.join(digest), |bytes| {
            let Some(snapshot) = bytes.strip_prefix(head(digest).as_bytes()) else {
                return Checked::Bad("it does not say that it is this bundle's");
            };
            match Snapshot::from_bytes(engine, snapshot) {
                Ok(snapshot) => Checked::Good(snapshot),
                Err(SnapshotError::OtherEngine) => Checked::NotOurs,
                Err(SnapshotError::Damaged) => Checked::Bad("its bytes do not check"),
            }
        })
    }

    /// What a file holds. One that does not check is set aside, once: who finds it bad looks again while nobody else puts
    /// files in their places, and believes what has been made anew meanwhile.
    fn checked<T>(&self, path: &Path, check: impl Fn(Vec<u8>) -> Checked<T>) -> Option<T> {
        match check(read(path)?) {
            Checked::Good(found) => return Some(found),
            Checked::NotOurs => return None,
            Checked::Bad(_) => {}
        }
        let _alone = self.0.places.lock();
        match check(read(path)?) {
            Checked::Good(found) => Some(found),
            Checked::NotOurs => None,
            Checked::Bad(reason) => {
                self.set_aside(path, reason);
                None
            }
        }
    }

    pub(crate) fn keep_bundle(&self, digest: &str, bytes: &[u8]) {
        self.keep(&self.0.bundles.join(digest), bytes);
    }

    pub(crate) fn keep_snapshot(&self, digest: &str, bytes: &[u8]) {
        self.keep(&self.0.snapshots.join(digest), &[head(digest).as_bytes(), bytes].concat());
    }

    fn keep(&self, path: &Path, bytes: &[u8]) {
        let _alone = self.0.places.lock();
        match files::replace(path, bytes, files::Force::Nothing) {
            Ok(()) => {
                self.0.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "the cache cannot be written"),
        }
    }

    fn set_aside(&self, path: &Path, reason: &str) {
        self.0.metrics.cache_damaged();
        match files::set_aside(&self.0.folder, path) {
            Ok(aside) => tracing::error!(
                path = %path.display(), reason, aside = %aside.display(),
                "a file of the cache is not believed; it is made anew"
            ),
            // It is written over.
            Err(error) => {
                tracing::error!(path = %path.display(), reason, %error, "a file of the cache is not believed, and cannot be set aside");
            }
        }
    }

    /// Whether it has grown so that a sweep is worth its while.
    pub(crate) fn is_over(&self) -> bool {
        self.0.bytes.load(Ordering::Relaxed) > self.0.sweep_above.load(Ordering::Relaxed)
    }

    /// What is in it, as far as it was counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
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
                let age = about.modified().ok().and_then(|at| at.elapsed().ok());
                if files::is_half(&entry.path()) && age.is_some_and(|age| age > HALF_LIFE) {
                    // What cannot be removed is tried again.
                    let _stays = fs::remove_file(entry.path());
                    continue;
                }
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
        self.0.bytes.store(total, Ordering::Relaxed);
        let more = self.0.max_bytes >> SWEEP_SHIFT;
        self.0.sweep_above.store(self.0.max_bytes.max(total + more), Ordering::Relaxed);
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

fn head(digest: &str) -> String {
    format!("{MAGIC}{digest}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_was_made_anew_while_it_was_found_damaged_is_not_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let identity = EngineIdentity { engine: "engine".into(), base_image: "image".into() };
        let store = Store::open(folder.path(), &identity, 1 << 20, Metrics::for_tests()).unwrap();
        let path = folder.path().join("bundles/one");
        fs::write(&path, "damaged").unwrap();
        let looks = Cell::new(0);
        let found = store.checked(&path, |bytes| {
            looks.set(looks.get() + 1);
            if bytes == b"good" {
                return Checked::Good(bytes);
            }
            // Somebody else has found it too, and is done with it.
            fs::write(&path, "good").unwrap();
            Checked::Bad("it is not good")
        });
        assert_eq!((found.as_deref(), looks.get()), (Some(&b"good"[..]), 2));
        assert!(!folder.path().join("damaged").exists());
        assert_eq!(store.0.metrics.damaged(), 0);
    }
}
