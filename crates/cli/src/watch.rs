//! Waits until somebody saves a file.

use crate::stop::{Stop, without_number};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};
use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};

/// A save is over when nothing has changed for so long: editors write several times, and builds several files.
const QUIET: Duration = Duration::from_millis(120);
/// The most folders that are watched.
const MAX_FOLDERS: usize = 1_000;

/// A folder that is watched, with all that is under it but hidden folders and node_modules.
pub(crate) struct Watch {
    root: PathBuf,
    folders: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    changes: UnboundedReceiver<PathBuf>,
}

impl Watch {
    /// Watches from now on.
    pub(crate) fn new(root: &Path) -> Result<Watch, Stop> {
        let refused = |e: &dyn std::fmt::Display| {
            Stop::local("NOT_WATCHED", format!("{}: {}", root.display(), without_number(&e.to_string())))
        };
        let root = root.canonicalize().map_err(|e| refused(&e))?;
        let (tell, changes) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let is_change = match event.kind {
                EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Access(_) => false,
                EventKind::Any
                | EventKind::Create(_)
                | EventKind::Modify(_)
                | EventKind::Remove(_)
                | EventKind::Other => true,
            };
            for path in event.paths.into_iter().filter(|_| is_change) {
                // Nobody waits any more.
                let _ended = tell.send(path);
            }
        });
        let watcher = watcher.map_err(|e| refused(&e))?;
        let mut watch = Watch { folders: BTreeSet::new(), root: root.clone(), watcher, changes };
        watch.add(&root).map_err(|e| refused(&e))?;
        Ok(watch)
    }

    /// Waits for a change, and until it is over. The answer is the files, relative to the folder.
    pub(crate) async fn changed(&mut self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        loop {
            let next = match found.is_empty() {
                true => self.changes.recv().await,
                false => match timeout(QUIET, self.changes.recv()).await {
                    Ok(next) => next,
                    Err(_quiet) => return found,
                },
            };
            let Some(path) = next else { std::future::pending().await };
            if let Some(file) = self.counted(&path) {
                found.insert(file);
            }
        }
    }

    /// The path in the folder, where it counts. A folder is watched from now on, and what is in it counts.
    fn counted(&mut self, path: &Path) -> Option<PathBuf> {
        let inner = path.strip_prefix(&self.root).ok()?;
        let counts = |part: Component<'_>| part.as_os_str().to_str().is_some_and(|name| !is_ignored(name));
        if inner.as_os_str().is_empty() || !inner.components().all(counts) {
            return None;
        }
        if path.is_dir() {
            // One that is gone again, or cannot be watched, says nothing more.
            let _unwatched = self.add(path);
        }
        Some(inner.to_owned())
    }

    fn add(&mut self, folder: &Path) -> notify::Result<()> {
        if self.folders.len() >= MAX_FOLDERS || !self.folders.insert(folder.to_owned()) {
            return Ok(());
        }
        self.watcher.watch(folder, RecursiveMode::NonRecursive)?;
        for entry in fs::read_dir(folder)?.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && entry.file_name().to_str().is_some_and(|name| !is_ignored(name)) {
                self.add(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What editors and package managers keep beside the sources.
fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name == "node_modules" || name.ends_with('~') || name.ends_with(".swp") || name == "4913"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_save_is_told_once_and_what_editors_leave_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src")).unwrap();
        fs::create_dir_all(folder.path().join("node_modules/x")).unwrap();
        let mut watch = Watch::new(folder.path()).unwrap();
        fs::write(folder.path().join("node_modules/x/index.js"), "1").unwrap();
        fs::write(folder.path().join("src/.index.ts.swp"), "1").unwrap();
        fs::write(folder.path().join("src/index.ts"), "1").unwrap();
        fs::write(folder.path().join("src/index.ts"), "2").unwrap();
        assert_eq!(watch.changed().await, BTreeSet::from([PathBuf::from("src/index.ts")]));
        fs::create_dir(folder.path().join("tests")).unwrap();
        assert_eq!(watch.changed().await, BTreeSet::from([PathBuf::from("tests")]));
        fs::write(folder.path().join("tests/a.json"), "[]").unwrap();
        assert_eq!(watch.changed().await, BTreeSet::from([PathBuf::from("tests/a.json")]));
    }
}
