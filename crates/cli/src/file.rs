//! Files that the user names.

use crate::stop::Stop;
use serde_json::Value;
use sluice_compiler::Package;
use sluice_model::{Code, Diagnostic, Error, Object};
use std::{io::Read as _, path::Path};

/// More than any file of JSON that the service takes.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Reads the file of a flag; `-` is standard input.
///
/// # Errors
/// A file that cannot be read, or is too large: exit 1, with the flag as the field.
pub(crate) fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
    };
    let refuse = |message: String| {
        let field = sluice_model::FieldViolation { field: flag.to_owned(), message };
        let message = format!("{flag}: {}", field.message);
        Stop::from(Error { fields: vec![field], ..Error::new(Code::InvalidArgument, "INVALID_FILE", message) })
    };
    read.map_err(|e| refuse(format!("{} cannot be read: {e}", path.display())))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refuse(format!("{} has more than {MAX_FILE_BYTES} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads the JSON file of a flag. What is not JSON is told with its line and column.
pub(crate) fn read_json(flag: &str, path: &Path) -> Result<Value, Stop> {
    let bytes = read(flag, path)?;
    let name = path.display().to_string();
    let text =
        String::from_utf8(bytes).map_err(|_| Stop::from(Error::field(flag, format!("{name} is not UTF-8 text"))))?;
    serde_json::from_str(&text).map_err(|error| {
        let found = Diagnostic::not_json(&name, &text, &error);
        Error::field(flag, found.render()).into()
    })
}

/// Reads a config: a JSON object; `{}` where no file is named.
pub(crate) fn read_config(path: Option<&Path>) -> Result<Object, Stop> {
    match path.map(|path| read_json("--config", path)).transpose()? {
        None => Ok(Object::new()),
        Some(Value::Object(config)) => Ok(config),
        Some(_) => Err(Error::field("config", "expected a JSON object").into()),
    }
}

/// Reads a package: a folder, or a `.tar.gz` of one.
///
/// # Errors
/// Every mistake of its files, as `INVALID_PACKAGE`.
pub(crate) fn read_package(path: &Path) -> Result<Package, Stop> {
    let package = if path.is_file() { Package::from_archive(&read("package", path)?) } else { Package::from_dir(path) };
    package.map_err(|found| Stop::package(&found))
}
