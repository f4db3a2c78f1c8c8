//! Settings as a tree: the defaults say which exist, dotted keys say which is meant.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// A value that somebody gave.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// Text of an environment variable or a flag: what it means depends on what the setting takes.
    Text(String),
    /// A value of the file, with its type.
    Typed(Value),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Text(text) => write!(f, "{text:?}"),
            Given::Typed(value) => f.write_str(&shown(value)),
        }
    }
}

/// The tree of a settings struct.
pub(super) fn of(settings: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(settings).map_err(|e| e.to_string())
}

/// The dotted keys of all settings. An empty object is one setting: a map whose keys are the user's.
pub(super) fn leaves(tree: &Value) -> BTreeSet<String> {
    fn walk(prefix: &str, tree: &Value, into: &mut BTreeSet<String>) {
        match tree {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&key, value, into);
                }
            }
            _ => {
                into.insert(prefix.to_owned());
            }
        }
    }
    let mut keys = BTreeSet::new();
    walk("", tree, &mut keys);
    keys
}

/// Refuses a key that is no setting, naming its neighbours.
pub(super) fn locate(known: &BTreeSet<String>, key: &str) -> Result<(), String> {
    if known.contains(key) {
        return Ok(());
    }
    let inside = |section: &str| {
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let mut names: Vec<&str> = Vec::new();
        for name in known.iter().filter_map(|other| other.strip_prefix(&prefix)) {
            let name = name.split('.').next().unwrap_or(name);
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    };
    if !inside(key).is_empty() {
        return Err(format!("takes a table of: {}", inside(key)));
    }
    let mut section = key;
    while let Some((parent, _)) = section.rsplit_once('.') {
        if known.contains(parent) {
            return Err(format!("is no setting: {parent} is one value"));
        }
        if !inside(parent).is_empty() {
            return Err(format!("is no setting; {parent} takes: {}", inside(parent)));
        }
        section = parent;
    }
    Err(format!("is no setting; there are: {}", inside("")))
}

/// The value that the setting gets, tried on top of the defaults. Text is taken as itself where the setting takes text,
/// otherwise as a TOML value, for lists also as items between commas.
pub(super) fn fit<T: DeserializeOwned>(defaults: &Value, key: &str, given: &Given) -> Result<Value, String> {
    let candidates = match given {
        Given::Typed(value) => vec![value.clone()],
        Given::Text(text) => {
            let mut candidates = vec![Value::String(text.clone())];
            candidates.extend(super::file::value(text));
            if matches!(get(defaults, key), Some(Value::Array(_))) && !text.starts_with('[') {
                candidates.push(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect());
            }
            candidates
        }
    };
    let mut reason = String::new();
    for candidate in candidates {
        let mut tree = defaults.clone();
        put(&mut tree, key, candidate.clone());
        match serde_json::from_value::<T>(tree) {
            Ok(_) => return Ok(candidate),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// The value at a dotted key.
pub(super) fn get<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |tree, name| tree.get(name))
}

/// Sets the value at a dotted key that exists.
pub(super) fn put(tree: &mut Value, key: &str, value: Value) {
    let slot = key.split('.').try_fold(tree, |tree, name| tree.get_mut(name));
    if let Some(slot) = slot {
        *slot = value;
    }
}

/// The value as TOML writes it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{} = {}", Value::String(name.clone()), shown(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
