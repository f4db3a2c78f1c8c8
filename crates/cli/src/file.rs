//! Files that the user names.

use crate::stop::{Stop, in_words};
use serde_json::Value;
use sluice_compiler::{MAX_ARCHIVE_BYTES, Package};
use sluice_model::{Diagnostic, Error, Object};
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// More than any file of JSON that the service takes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// The argument that names a package, and the field of what is wrong with it as a whole.
const PACKAGE: &str = "package";
/// How what is packed begins: a .tar.gz, and a .zip that is told to be none.
const PACKED: &[&[u8]] = &[b"\x1f\x8b", b"PK\x03\x04"];
/// How what is packed is called, whatever is in it.
const PACKED_NAMES: &[&str] = &[".tar", ".tar.gz", ".tgz", ".zip"];

/// Whether a file that the user names is standard input.
pub(crate) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What a file is called where something is said of it.
fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads the file of a flag; `-` is standard input.
///
/// # Errors
/// A file that cannot be read, or is too large: exit 1, with the flag as the field.
pub(crate) fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Stop> {
    let bytes = read_at_most(flag, path, MAX_FILE_BYTES)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Stop::file(flag, format!("{} has more than {MAX_FILE_BYTES} bytes", name(path))));
    }
    Ok(bytes)
}

/// Reads a file; of one that is larger, one byte more than may be.
fn read_at_most(flag: &str, path: &Path, max: u64) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    let read = if is_standard_input(path) {
        io::stdin().lock().take(max + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|e| unreadable(flag, path, &e))?;
    Ok(bytes)
}

fn unreadable(flag: &str, path: &Path, error: &io::Error) -> Stop {
    Stop::file(flag, format!("{} cannot be read: {}", name(path), in_words(error)))
}

/// Reads the JSON file of a flag. What is not JSON, or has a key twice, is told with its line and column.
pub(crate) fn read_json(flag: &str, path: &Path) -> Result<Value, Stop> {
    json(flag, &name(path), read(flag, path)?, |found| found)
}

/// The same for a file of secrets: no line of it is ever shown.
pub(crate) fn read_secret_json(flag: &str, path: &Path) -> Result<Value, Stop> {
    json(flag, &name(path), read(flag, path)?, |found| Diagnostic { excerpt: None, ..found })
}

fn json(flag: &str, name: &str, bytes: Vec<u8>, shown: fn(Diagnostic) -> Diagnostic) -> Result<Value, Stop> {
    let refused = |message: String| Stop::from(Error::field(flag, message));
    let text = String::from_utf8(bytes).map_err(|_| refused(format!("{name} is not UTF-8 text")))?;
    if text.trim().is_empty() {
        return Err(refused(format!("{name} is empty")));
    }
    let value = serde_json::from_str(&text)
        .map_err(|error| refused(shown(Diagnostic::not_json(name, &text, &error)).render()))?;
    match Diagnostic::key_twice(name, &text) {
        Some(found) => Err(refused(shown(found).render())),
        None => Ok(value),
    }
}

/// Reads a config: a JSON object; `{}` where no file is named.
pub(crate) fn read_config(path: Option<&Path>) -> Result<Object, Stop> {
    match path.map(|path| read_json("--config", path)).transpose()? {
        None => Ok(Object::new()),
        Some(Value::Object(config)) => Ok(config),
        Some(_) => Err(Error::field("config", "expected a JSON object").into()),
    }
}

/// Reads a package: a folder, or a `.tar.gz` of one; `-` is a `.tar.gz` from standard input.
///
/// # Errors
/// Every mistake of its files, as `INVALID_PACKAGE`; what is neither of the two, as `INVALID_FILE`.
pub(crate) fn read_package(path: &Path) -> Result<Package, Stop> {
    let package = if is_standard_input(path) {
        Package::from_archive(&read_archive(path)?)
    } else {
        let about = fs::metadata(path).map_err(|e| unreadable(PACKAGE, path, &e))?;
        match about.is_file() {
            true => Package::from_archive(&read_archive(path)?),
            false if about.is_dir() => Package::from_dir(path),
            false => return Err(not_a_package(path)),
        }
    };
    package.map_err(|found| Stop::package(&found))
}

/// Reads what is, by its name or by its first bytes, meant to be an archive: what is wrong with it is the compiler's to say.
fn read_archive(path: &Path) -> Result<Vec<u8>, Stop> {
    let bytes = read_at_most(PACKAGE, path, MAX_ARCHIVE_BYTES as u64)?;
    let name = path.to_string_lossy().to_ascii_lowercase();
    let is_packed = PACKED.iter().any(|begins| bytes.starts_with(begins));
    if !is_packed && !is_standard_input(path) && !PACKED_NAMES.iter().any(|ending| name.ends_with(ending)) {
        return Err(not_a_package(path));
    }
    if bytes.len() > MAX_ARCHIVE_BYTES {
        // How much more it has is not known of what was not read to its end.
        let has = match fs::metadata(path) {
            Ok(about) if about.is_file() => about.len().to_string(),
            _ => format!("over {MAX_ARCHIVE_BYTES}"),
        };
        let message = format!("the archive has {has} bytes; at most {MAX_ARCHIVE_BYTES} are taken");
        return Err(Stop::package(&[Diagnostic::error("too_large", PACKAGE, message)]));
    }
    Ok(bytes)
}

fn not_a_package(path: &Path) -> Stop {
    let message =
        format!("{} is neither a folder nor a .tar.gz; name the folder that action.toml is in", path.display());
    Stop::file(PACKAGE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stop: Stop) -> (String, String, String) {
        let error = *stop.error.unwrap();
        let field = error.fields.into_iter().next().unwrap();
        (error.reason.into_owned(), field.field, field.message)
    }

    #[test]
    fn what_is_no_package_is_told_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("index.ts"), "export {}").unwrap();
        fs::write(path("packed"), "\u{1f}").unwrap();
        fs::File::create(path("large.tar.gz")).unwrap().set_len(29 << 20).unwrap();
        for (name, reason, says) in [
            ("nowhere", "INVALID_FILE", "nowhere cannot be read: there is no such file or folder"),
            ("index.ts/x", "INVALID_FILE", "a part of the path is not a folder"),
            ("index.ts", "INVALID_FILE", "index.ts is neither a folder nor a .tar.gz"),
            ("packed", "INVALID_FILE", "is neither a folder nor a .tar.gz"),
            ("large.tar.gz", "INVALID_PACKAGE", "the archive has 30408704 bytes; at most 29360128 are taken"),
        ] {
            let (got, field, message) = refused(read_package(&path(name)).unwrap_err());
            assert_eq!((got.as_str(), field.as_str()), (reason, "package"), "{name}");
            assert!(message.contains(says), "{name}: {message}");
        }
    }

    #[test]
    fn json_of_standard_input_is_refused_by_its_name() {
        let name = name(Path::new("-"));
        for (text, says) in [
            ("", "standard input is empty"),
            (" \n", "standard input is empty"),
            ("{\"user\": {'id': 1}}", "standard input:1:11"),
            ("{\"a\": 1, \"a\": 2}", "\"a\" stands here twice"),
        ] {
            let (reason, field, message) = refused(json("--input", &name, text.into(), |found| found).unwrap_err());
            assert_eq!((reason.as_str(), field.as_str()), ("INVALID_FIELD", "--input"));
            assert!(message.contains(says), "{message}");
        }
        assert_eq!(json("--input", &name, b"[{\"a\": 1}, {\"a\": 2}]".into(), |found| found).unwrap()[1]["a"], 2);
    }
}
