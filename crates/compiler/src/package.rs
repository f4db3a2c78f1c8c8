//! A package: its files, and what they say.

mod archive;
mod folder;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use sluice_model::{
    ConfigSchema, Diagnostic, Manifest,
    case::{CASES_FOLDER, Case},
    limits::MAX_COMPONENT_BYTES,
    manifest::{MANIFEST_FILE, Provided, check_path, placed},
    schema::SCHEMA_FILE,
};
use std::collections::BTreeMap;

/// Folders in folders.
const MAX_DEPTH: usize = 20;
/// The most files that are kept of a package.
pub const MAX_FILES: usize = 500;
/// The largest file, but for a component.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// All files together, but for a component.
pub const MAX_PACKAGE_BYTES: usize = 4 << 20;
/// A packed archive: room for the largest component, which hardly packs, and for what stands beside it.
pub const MAX_ARCHIVE_BYTES: usize = MAX_COMPONENT_BYTES + MAX_PACKAGE_BYTES;
/// What an archive may unpack to, also what is not kept of it.
pub const MAX_UNPACKED_BYTES: u64 = 40 << 20;

/// The folder of the sources, where `action.toml` names no entry in another.
const SOURCE_FOLDER: &str = "src";
/// The files in the folder of the sources that are kept.
const SOURCE_ENDINGS: &[&str] = &[".ts", ".mts", ".js", ".mjs", ".json"];
/// How the path of a component ends.
const COMPONENT_ENDING: &str = ".wasm";
/// The entry where `action.toml` names none, the first that exists.
const ENTRIES: &[&str] = &["src/index.ts", "src/index.mts", "src/index.js", "src/index.mjs"];
/// More mistakes than these are not told.
pub(crate) const MAX_DIAGNOSTICS: usize = 100;

/// A package that has been read: its manifest, schema and cases are sound; its sources are not compiled yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// What `action.toml` says.
    pub manifest: Manifest,
    /// The config schema, where the package has one.
    pub schema: Option<ConfigSchema>,
    /// The cases of each file in `tests/`, in the order of the paths.
    pub cases: Vec<(String, Vec<Case>)>,
    /// The text of every file that counts, by its path: `action.toml`, the sources, the schema, the cases.
    pub files: BTreeMap<String, String>,
    /// The WebAssembly component that `action.toml` names; such a package has no sources.
    pub component: Option<Bytes>,
}

impl Package {
    /// A package of files in memory. Files that do not count (a README, a `tsconfig.json`) are dropped.
    ///
    /// # Errors
    /// All mistakes in the paths, the sizes, the manifest, the schema and the cases.
    pub fn from_files(files: impl IntoIterator<Item = (String, String)>) -> Result<Package, Vec<Diagnostic>> {
        let mut reading = Reading::default();
        for (path, text) in files {
            reading.add(path, text.into_bytes());
        }
        reading.finish()
    }

    /// The module that exports `execute`.
    ///
    /// # Errors
    /// The package has no such file, or is a WebAssembly component, which has none.
    pub fn entry(&self) -> Result<String, Diagnostic> {
        if self.component.is_some() {
            let message = "is a WebAssembly component, and has no module of JavaScript";
            return Err(Diagnostic::error("conflict", MANIFEST_FILE, message).with_pointer("/component"));
        }
        let found = match &self.manifest.entry {
            Some(entry) => self.files.contains_key(entry).then(|| entry.clone()),
            None => ENTRIES.iter().find(|entry| self.files.contains_key(**entry)).map(|entry| (*entry).to_owned()),
        };
        found.ok_or_else(|| {
            let (message, pointer) = match &self.manifest.entry {
                Some(entry) => (format!("the entry {entry} is not in the package"), "/entry"),
                None => ("the package has neither src/index.ts nor src/index.js".to_owned(), ""),
            };
            let known: Vec<&str> = self.sources().map(|(path, _)| path).take(10).collect();
            let found = Diagnostic::error("missing_entry", MANIFEST_FILE, message).with_pointer(pointer);
            let found = placed(found, self.files.get(MANIFEST_FILE).map_or("", String::as_str));
            let is_built = self.manifest.entry.as_deref().is_some_and(|entry| !entry.starts_with("src/"));
            found.with_help(match known.is_empty() {
                true if is_built => "a bundler writes it: build the package first, as by npm run build".to_owned(),
                true => "write the Action in src/index.ts; it exports `execute`".to_owned(),
                false => format!(
                    "the package has {}; name the one that exports `execute` by entry = \"...\"",
                    known.join(", ")
                ),
            })
        })
    }

    /// The sources: every module and JSON file in the folder of the entry. A component has none.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        let folder = source_folder(Some(&self.manifest));
        self.files
            .iter()
            .filter(move |(path, _)| folder.as_deref().is_some_and(|folder| is_source(path, folder)))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// What it declares and a build does not provide; see [`Manifest::unmet`].
    pub fn unmet(&self, provided: &Provided) -> Vec<Diagnostic> {
        let text = self.files.get(MANIFEST_FILE).map_or("", String::as_str);
        self.manifest.unmet(provided).into_iter().map(|found| placed(found, text)).collect()
    }

    /// The digest of what makes a version: the manifest without its `version`, all sources or the component, the schema. Test cases and
    /// what else lies beside them do not count, and neither do the order and the spaces of `action.toml`. Blake3, as 64
    /// hexadecimal digits.
    pub fn content_digest(&self) -> String {
        let manifest = Manifest { version: None, ..self.manifest.clone() };
        let mut hasher = blake3::Hasher::new_derive_key("sluice package content 1");
        // Each part goes in with its length, so that no two packages look alike.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(&serde_json::to_vec(&manifest).unwrap_or_default());
        part(self.schema_text().unwrap_or_default().as_bytes());
        for (path, text) in self.sources() {
            part(path.as_bytes());
            part(text.as_bytes());
        }
        if let Some(component) = &self.component {
            part(component);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The text of the config schema, where the package has one.
    pub fn schema_text(&self) -> Option<&str> {
        self.files.get(self.manifest.schema.as_deref().unwrap_or(SCHEMA_FILE)).map(String::as_str)
    }
}

/// Files as they come in, from wherever they come, with the mistakes so far.
#[derive(Default)]
struct Reading {
    files: BTreeMap<String, Vec<u8>>,
    /// Every path in lower case, to find those that differ by case alone.
    lower: BTreeMap<String, String>,
    bytes: usize,
    found: Vec<Diagnostic>,
}

impl Reading {
    fn refuse(&mut self, code: &'static str, file: &str, message: impl Into<String>) {
        if self.found.len() < MAX_DIAGNOSTICS {
            // A hostile path is shown with its control characters by their numbers.
            let shown: String = file.chars().take(200).fold(String::new(), |shown, c| match c.is_control() {
                true => format!("{shown}\\x{:02x}", u32::from(c)),
                false => format!("{shown}{c}"),
            });
            self.found.push(Diagnostic::error(code, shown, message));
        }
    }

    fn add(&mut self, path: String, bytes: Vec<u8>) {
        if let Err(wrong) = check_path(&path) {
            return self.refuse("bad_path", &path, format!("the path {wrong}"));
        }
        if !may_count(&path) {
            return;
        }
        // As deep as a folder is read.
        if path.split('/').count() > MAX_DEPTH + 2 {
            return self.refuse("too_deep", &path, format!("folders are nested more than {MAX_DEPTH} deep"));
        }
        if bytes.len() > max_bytes(&path) {
            return self.refuse("too_large", &path, too_large(&path));
        }
        let lower = path.to_lowercase();
        if let Some(other) = self.lower.get(&lower).cloned() {
            let message = match other == path {
                true => "the file is in the package twice".to_owned(),
                false => format!("differs from {other} by case alone: some file systems keep only one of them"),
            };
            return self.refuse("same_path", &path, message);
        }
        self.lower.insert(lower, path.clone());
        // An archive may have some beside the one that counts; what it unpacks to is bounded.
        if !is_component(&path) {
            self.bytes += bytes.len();
        }
        self.files.insert(path, bytes);
    }

    /// Whether it is pointless to read on.
    fn is_full(&mut self) -> bool {
        if self.files.len() > MAX_FILES {
            self.refuse("too_many_files", "", format!("the package has over {MAX_FILES} files"));
        } else if self.bytes > MAX_PACKAGE_BYTES {
            self.refuse("too_large", "", format!("the package has over {MAX_PACKAGE_BYTES} bytes"));
        } else {
            return false;
        }
        true
    }

    fn finish(mut self) -> Result<Package, Vec<Diagnostic>> {
        if self.is_full() {
            // Every part of a package that is too large may have said so.
            Diagnostic::sort(&mut self.found);
            self.found.dedup();
            return Err(self.found);
        }
        let manifest = self.manifest();
        let folder = source_folder(manifest.as_ref());
        let schema_file = manifest.as_ref().and_then(|m| m.schema.clone());
        let schema_path = schema_file.clone().unwrap_or_else(|| SCHEMA_FILE.to_owned());
        let (mut files, mut component) = (BTreeMap::new(), None);
        for (path, bytes) in std::mem::take(&mut self.files) {
            if is_component(&path) {
                if manifest.as_ref().is_some_and(|manifest| manifest.component.as_ref() == Some(&path)) {
                    component = Some(Bytes::from(bytes));
                }
                continue;
            }
            let is_source = folder.as_deref().is_some_and(|folder| is_source(&path, folder));
            let counts = path == MANIFEST_FILE || path == schema_path || is_source || is_case(&path);
            if counts && let Some(text) = self.text(&path, bytes) {
                files.insert(path, text);
            }
        }
        if let Some(path) = manifest.as_ref().and_then(|manifest| manifest.component.as_ref())
            && component.is_none()
            && self.found.iter().all(|d| d.file != *path)
        {
            let found = Diagnostic::error(
                "missing_component",
                MANIFEST_FILE,
                format!("the component {path} is not in the package"),
            )
            .with_pointer("/component")
            .with_help("a tool chain writes it: build the package first (docs/components.md)");
            self.found.push(placed(found, files.get(MANIFEST_FILE).map_or("", String::as_str)));
        }
        let schema = files.get(&schema_path).and_then(|text| match ConfigSchema::parse(text) {
            Ok(schema) => Some(schema),
            Err(found) => {
                self.found.extend(found.into_iter().map(|d| Diagnostic { file: schema_path.clone(), ..d }));
                None
            }
        });
        if schema_file.is_some()
            && !files.contains_key(&schema_path)
            && self.found.iter().all(|d| d.file != schema_path)
        {
            let message = format!("the schema {schema_path} is not in the package");
            let found = Diagnostic::error("missing_schema", MANIFEST_FILE, message).with_pointer("/schema");
            self.found.push(placed(found, files.get(MANIFEST_FILE).map_or("", String::as_str)));
        }
        let mut cases = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| is_case(path)) {
            match Case::parse(path, text) {
                Ok(read) => cases.push((path.clone(), read)),
                Err(found) => self.found.extend(found),
            }
        }
        if let Some(manifest) = &manifest {
            self.found.extend(misplaced_cases(manifest, &cases, &files));
            self.found.extend(undeclared_secrets(manifest, &cases, &files));
            // A schema with mistakes has been told of.
            if schema.is_some() || !files.contains_key(&schema_path) {
                self.found.extend(unmarked_fields(manifest, schema.as_ref(), &files));
            }
        }
        match manifest {
            Some(manifest) if self.found.is_empty() => Ok(Package { manifest, schema, cases, files, component }),
            _ => {
                Diagnostic::sort(&mut self.found);
                self.found.truncate(MAX_DIAGNOSTICS);
                Err(self.found)
            }
        }
    }

    fn manifest(&mut self) -> Option<Manifest> {
        let Some(bytes) = self.files.get(MANIFEST_FILE).cloned() else {
            if self.found.iter().all(|d| d.file != MANIFEST_FILE) {
                self.found.push(
                    Diagnostic::error("missing_manifest", "", "the package has no action.toml")
                        .with_help("a package is a folder with action.toml and src/index.ts"),
                );
            }
            return None;
        };
        // What is no text is told once, when all files are turned into text.
        let text = String::from_utf8(bytes).ok()?;
        match Manifest::parse(&text) {
            Ok(manifest) => Some(manifest),
            Err(found) => {
                self.found.extend(found);
                None
            }
        }
    }

    fn text(&mut self, path: &str, bytes: Vec<u8>) -> Option<String> {
        match String::from_utf8(bytes) {
            Ok(mut text) => {
                // A byte order mark is not part of what was written.
                if text.starts_with('\u{feff}') {
                    text.drain(..'\u{feff}'.len_utf8());
                }
                Some(text)
            }
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                let message = format!("not UTF-8: byte {} of the file is not part of a character", offset + 1);
                // Up to the mistake the text is the same, byte for byte.
                self.found.push(Diagnostic::error("invalid_utf8", path, message).at(&text, offset..offset));
                None
            }
        }
    }
}

/// Cases at a trigger that the package is not made for could never pass.
fn misplaced_cases(
    manifest: &Manifest,
    cases: &[(String, Vec<Case>)],
    files: &BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (path, read) in cases {
        let text = files.get(path).map_or("", String::as_str);
        let is_list = text.trim_start().starts_with('[');
        for (index, case) in read.iter().enumerate().filter(|(_, case)| !manifest.triggers.contains(&case.trigger)) {
            let pointer = if is_list { format!("/{index}/trigger") } else { "/trigger".to_owned() };
            let message = format!("{} is not among the triggers of action.toml", case.trigger);
            found.push(Diagnostic::in_json("test_case", path, text, sluice_model::Invalid::at(pointer, message)));
        }
    }
    found
}

/// Secrets of cases that the Action could never read.
fn undeclared_secrets(
    manifest: &Manifest,
    cases: &[(String, Vec<Case>)],
    files: &BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // Where the config names secrets, any may be one.
    let any = !manifest.secrets_from_config.is_empty();
    for (path, read) in cases.iter().filter(|_| !any) {
        let text = files.get(path).map_or("", String::as_str);
        let is_list = text.trim_start().starts_with('[');
        for (index, case) in read.iter().enumerate() {
            for name in case.secrets.keys().filter(|name| !manifest.secrets.contains(name)) {
                let case = if is_list { format!("/{index}") } else { String::new() };
                let pointer = format!("{case}/secrets/{}", name.replace('~', "~0").replace('/', "~1"));
                let message = "is not among the secrets of action.toml";
                found.push(Diagnostic::in_json("test_case", path, text, sluice_model::Invalid::at(pointer, message)));
            }
        }
    }
    // The line has the secret in it.
    found.into_iter().map(|found| Diagnostic { excerpt: None, ..found }).collect()
}

/// Fields that are said to name secrets, and that the schema does not have or does not mark: what an operator reads in the form
/// is the name of a secret, and never its value.
fn unmarked_fields(
    manifest: &Manifest,
    schema: Option<&ConfigSchema>,
    files: &BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let text = files.get(MANIFEST_FILE).map_or("", String::as_str);
    for (index, field) in manifest.secrets_from_config.iter().enumerate() {
        let message = match schema.and_then(|schema| schema.is_marked(field, "x-secret-ref")) {
            Some(true) => continue,
            Some(false) => format!("{field} has no \"x-secret-ref\": true in the schema"),
            None => format!("the schema has no field {field}"),
        };
        let diagnostic = Diagnostic::error("unmarked_secret", MANIFEST_FILE, message)
            .with_pointer(format!("/secrets_from_config/{index}"))
            .with_help("a field that holds the name of a secret is a string with \"x-secret-ref\": true");
        found.push(placed(diagnostic, text));
    }
    found
}

/// The folder that the sources are in: the first part of the entry's path. A component has none: what lies in its `src` is another
/// language's, or was compiled into it.
fn source_folder(manifest: Option<&Manifest>) -> Option<String> {
    if manifest.is_some_and(|manifest| manifest.component.is_some()) {
        return None;
    }
    let entry = manifest.and_then(|manifest| manifest.entry.as_deref());
    Some(entry.and_then(|entry| entry.split_once('/')).map_or(SOURCE_FOLDER, |(folder, _)| folder).to_owned())
}

fn is_component(path: &str) -> bool {
    path.ends_with(COMPONENT_ENDING)
}

/// The largest file of this path.
fn max_bytes(path: &str) -> usize {
    if is_component(path) { MAX_COMPONENT_BYTES } else { MAX_FILE_BYTES }
}

/// What is said of a file that is larger.
fn too_large(path: &str) -> String {
    let what = if is_component(path) { "component" } else { "file" };
    format!("the {what} has over {} bytes", max_bytes(path))
}

fn is_source(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        && SOURCE_ENDINGS.iter().any(|ending| path.ends_with(ending))
}

fn is_case(path: &str) -> bool {
    path.starts_with(CASES_FOLDER) && path.ends_with(".json")
}

/// Whether a file can count at all, whatever the manifest says. Hidden files, and what a package manager put there, do not.
fn may_count(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.') || part == "node_modules");
    let counts = |ending: &&str| path.ends_with(*ending);
    !hidden && (path == MANIFEST_FILE || is_component(path) || SOURCE_ENDINGS.iter().any(counts))
}
