//! The settings file: TOML, where every key remembers its line.

use super::{Origin, Problem, origin::Setter, tree::Given};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};
use toml::de::{DeTable, DeValue};

/// The largest settings file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads the file that `named_by` named. What it sets goes into `setters`, what is wrong with it into `problems`.
pub(super) fn read(
    path: &Path,
    named_by: &Origin,
    known: &BTreeSet<String>,
    setters: &mut Vec<Setter>,
    problems: &mut Vec<Problem>,
) {
    let name = path.display().to_string();
    let text = match std::fs::metadata(path).and_then(|meta| {
        if meta.len() > MAX_FILE_BYTES {
            return Err(std::io::Error::other(format!(
                "it has {} bytes, a settings file takes {MAX_FILE_BYTES}",
                meta.len()
            )));
        }
        std::fs::read_to_string(path)
    }) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem::new(&name, named_by.clone(), format!("cannot be read: {error}")));
            return;
        }
    };
    let at = |offset: usize| Origin::File { path: path.to_owned(), line: line(&text, offset) };
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        problems.push(Problem::new(&name, at(offset), format!("is not TOML: {}", error.message().replace('\n', ", "))));
    }
    if errors.is_empty() {
        collect("", table.get_ref(), known, &at, setters);
    }
}

/// The text as a TOML value, as in `--set key=value`.
pub(super) fn value(text: &str) -> Option<Value> {
    DeValue::parse(text).ok().map(|value| json(value.get_ref()))
}

fn collect(
    prefix: &str,
    table: &DeTable<'_>,
    known: &BTreeSet<String>,
    at: &impl Fn(usize) -> Origin,
    setters: &mut Vec<Setter>,
) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        let section = format!("{key}.");
        match value.get_ref() {
            // A table is a section, unless the setting itself is a map of the user's keys.
            DeValue::Table(inner) if !known.contains(&key) && !inner.is_empty() => {
                collect(&key, inner, known, at, setters);
            }
            // A section without a line says nothing; an unknown one is refused as the key that it is.
            DeValue::Table(inner) if inner.is_empty() && known.iter().any(|known| known.starts_with(&section)) => {}
            other => setters.push(Setter { key, value: Given::Typed(json(other)), origin: at(name.span().start) }),
        }
    }
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => number.into(),
            // As text it fits no number, so that it is refused with what the setting takes.
            Err(_) => Value::String(digits.as_str().to_owned()),
        },
        DeValue::Float(digits) => {
            let number = digits.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number.map_or_else(|| Value::String(digits.as_str().to_owned()), Value::Number)
        }
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(fields) => {
            fields.iter().map(|(name, value)| (name.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

/// The line, from 1, that the byte is on.
fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
