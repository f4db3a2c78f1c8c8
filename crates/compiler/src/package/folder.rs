//! Reads a package from a folder.

use super::{MAX_DEPTH, Package, Reading, is_component, max_bytes, may_count, source_folder};
use sluice_model::{
    Diagnostic, Manifest,
    case::CASES_FOLDER,
    manifest::{MANIFEST_FILE, MAX_MANIFEST_BYTES},
    schema::SCHEMA_FILE,
};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

/// Entries of folders that are looked at.
const MAX_ENTRIES: usize = 5_000;

impl Package {
    /// Reads a package from a folder: `action.toml`, the folder of its sources, its schema and `tests/`. Nothing else in the
    /// folder is looked at. Links are refused, wherever they lead.
    ///
    /// # Errors
    /// All mistakes; see [`Package::from_files`].
    pub fn from_dir(path: &Path) -> Result<Package, Vec<Diagnostic>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(vec![Diagnostic::error("unreadable", "", format!("{} is not a folder", path.display()))]);
            }
            Err(error) => {
                let message = format!("cannot read the folder {}: {error}", path.display());
                return Err(vec![Diagnostic::error("unreadable", "", message)]);
            }
        }
        let mut walk = Walk { root: path, reading: Reading::default(), entries: 0 };
        walk.file(MANIFEST_FILE);
        let text = walk.reading.files.get(MANIFEST_FILE).filter(|bytes| bytes.len() <= MAX_MANIFEST_BYTES);
        let manifest = text.and_then(|bytes| Manifest::parse(std::str::from_utf8(bytes).ok()?).ok());
        let schema = manifest.as_ref().and_then(|m| m.schema.as_deref()).unwrap_or(SCHEMA_FILE);
        let folder = source_folder(manifest.as_ref());
        let in_sources = folder.as_ref().is_some_and(|folder| schema.starts_with(&format!("{folder}/")));
        if !in_sources && !schema.starts_with(CASES_FOLDER) {
            walk.file(schema);
        }
        if let Some(component) = manifest.as_ref().and_then(|manifest| manifest.component.as_deref()) {
            walk.file(component);
        }
        if let Some(folder) = folder {
            walk.folder(&folder, 0);
        }
        walk.folder(CASES_FOLDER.trim_end_matches('/'), 0);
        walk.reading.finish()
    }
}

struct Walk<'p> {
    root: &'p Path,
    reading: Reading,
    entries: usize,
}

impl Walk<'_> {
    /// Reads a file, where there is one.
    fn file(&mut self, path: &str) {
        let full = self.root.join(path);
        // A link would bring in what is not in the package, from the reader's own disk.
        let metadata = match fs::symlink_metadata(&full) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.reading.refuse("unreadable", path, format!("cannot read the file: {error}")),
        };
        if metadata.is_symlink() {
            return self.reading.refuse("link", path, "is a link; a package has only files and folders");
        }
        if metadata.is_dir() {
            return self.reading.refuse("not_a_file", path, "is a folder; it has to be a file");
        }
        if !metadata.is_file() {
            return self.reading.refuse("not_a_file", path, "is neither a file nor a folder");
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(&full).and_then(|file| file.take(max_bytes(path) as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.reading.add(path.to_owned(), bytes),
            Err(error) => self.reading.refuse("unreadable", path, format!("cannot read the file: {error}")),
        }
    }

    fn folder(&mut self, path: &str, depth: usize) {
        let full = self.root.join(path);
        match fs::symlink_metadata(&full) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return self.file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.reading.refuse("unreadable", path, format!("cannot read the folder: {error}")),
        }
        if depth > MAX_DEPTH {
            return self.reading.refuse("too_deep", path, format!("folders are nested more than {MAX_DEPTH} deep"));
        }
        let entries = match fs::read_dir(&full).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => return self.reading.refuse("unreadable", path, format!("cannot read the folder: {error}")),
        };
        let mut names: Vec<_> = entries.into_iter().map(|entry| (entry.file_name(), entry.file_type())).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return self.reading.refuse(
                    "too_many_files",
                    path,
                    format!("over {MAX_ENTRIES} entries were found so far"),
                );
            }
            let Some(name) = name.to_str() else {
                self.reading.refuse("bad_path", path, "has an entry whose name is not UTF-8");
                continue;
            };
            let inner = format!("{path}/{name}");
            let is_folder = kind.as_ref().is_ok_and(fs::FileType::is_dir);
            if is_folder && !name.starts_with('.') && name != "node_modules" {
                self.folder(&inner, depth + 1);
            } else if is_component(&inner) {
                // Only the one that the manifest names is read.
            } else if !is_folder && (may_count(&inner) || kind.is_ok_and(|kind| kind.is_symlink())) {
                self.file(&inner);
            }
            if self.reading.is_full() {
                return;
            }
        }
    }
}
