//! Reads the keys of `action.toml` one by one, and goes on after a mistake.

use super::{
    Capability, MANIFEST_FILE, MAX_DESCRIPTION_CHARS, MAX_ENTRIES, MAX_MANIFEST_BYTES, MAX_NAME_CHARS,
    MAX_SECRET_NAME_CHARS, MAX_VERSION_CHARS, Manifest, check_path, is_secret_name,
};
use crate::{
    Diagnostic, Limits, OutcomeKind, Slug, Trigger,
    decode::escape,
    diagnostic::nearest,
    limits::{MAX_CPU_MS, MAX_WALL_MS},
};
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

const KEYS: &[&str] = &[
    "slug",
    "name",
    "description",
    "version",
    "triggers",
    "outcomes",
    "entry",
    "component",
    "schema",
    "hosts",
    "hosts_from_config",
    "secrets",
    "secrets_from_config",
    "capabilities",
    "limits",
];
const LIMIT_KEYS: &[&str] = &["cpu_ms", "wall_ms"];

/// Reads the whole file; see [`Manifest::parse`].
pub(super) fn read(text: &str) -> Result<Manifest, Vec<Diagnostic>> {
    if text.len() > MAX_MANIFEST_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_MANIFEST_BYTES} are taken", text.len());
        return Err(vec![Diagnostic::error("too_large", MANIFEST_FILE, message)]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, found: Vec::new(), shows_lines: true };
    let is_too_deep = |message: &str| message.contains("recurse") || message.contains("recursion");
    if let Some(error) = errors.iter().find(|error| is_too_deep(error.message())) {
        // The parser tells it of every bracket that it then skips.
        let found = Diagnostic::error("invalid_toml", MANIFEST_FILE, "not TOML: nested too deeply");
        return Err(vec![found.at(text, error.span().unwrap_or_default())]);
    }
    for error in &errors {
        let found = Diagnostic::error("invalid_toml", MANIFEST_FILE, format!("not TOML: {}", error.message()));
        reader.found.push(match error.span() {
            Some(span) => found.at(text, span),
            None => found,
        });
    }
    // What is read around a mistake of the syntax is guessed: its values and missing keys are not the author's.
    let manifest = errors.is_empty().then(|| reader.manifest(table.get_ref())).flatten();
    let mut found = reader.found;
    if found.is_empty()
        && let Some(manifest) = manifest
    {
        return Ok(manifest);
    }
    Diagnostic::sort(&mut found);
    Err(found)
}

type Item<'a> = Spanned<DeValue<'a>>;

struct Reader<'t> {
    text: &'t str,
    found: Vec<Diagnostic>,
    /// Whether lines are shown; not where the value of a secret may stand in the place of its name.
    shows_lines: bool,
}

impl Reader<'_> {
    fn manifest(&mut self, table: &DeTable<'_>) -> Option<Manifest> {
        self.unknown_keys(table, KEYS, "");
        for key in ["slug", "name", "triggers"].into_iter().filter(|k| !table.contains_key(*k)) {
            let missing = Diagnostic::error("missing_key", MANIFEST_FILE, format!("{key:?} is missing"));
            self.found.push(missing.with_help(example(key)).with_pointer(""));
        }
        let slug = self.text_of(table, "slug", |text| Slug::parse(text).map_err(|e| e.message));
        let name = self.text_of(table, "name", |text| {
            bounded(text, 1, MAX_NAME_CHARS)?;
            match text.chars().any(char::is_control) || text.trim() != text {
                true => Err("has a control character, or a space at an end".to_owned()),
                false => Ok(text.to_owned()),
            }
        });
        let description = self
            .text_of(table, "description", |text| bounded(text, 0, MAX_DESCRIPTION_CHARS).map(|()| text.to_owned()));
        let version = self.text_of(table, "version", version);
        let triggers = self.list(table, "triggers", 1, Trigger::ALL.len(), |text| word(text, Trigger::ALL));
        let outcomes = self.list(table, "outcomes", 1, OutcomeKind::ALL.len(), |text| word(text, OutcomeKind::ALL));
        if let (Some(triggers), Some(outcomes)) = (&triggers, &outcomes) {
            self.outcomes_fit(table, triggers, outcomes);
        }
        let entry = self.text_of(table, "entry", |text| {
            let entry = path(text, &[".ts", ".mts", ".js", ".mjs"])?;
            match entry.contains('/') {
                true => Ok(entry),
                // Only the folder of the entry is read.
                false => Err(format!(
                    "expected a path in a folder, such as src/{entry}: modules are read from the entry's folder"
                )),
            }
        });
        let component = self.text_of(table, "component", |text| path(text, &[".wasm"]));
        if let (Some((key, _)), true) = (table.get_key_value("component"), table.contains_key("entry")) {
            self.refuse(
                "conflict",
                key.span(),
                "/component",
                "stands beside \"entry\"; a package has one or the other",
            );
        }
        let schema = self.text_of(table, "schema", |text| path(text, &[".json"]));
        let hosts = self.list(table, "hosts", 0, MAX_ENTRIES, host);
        let hosts_from_config = self.list(table, "hosts_from_config", 0, MAX_ENTRIES, pointer);
        self.shows_lines = false;
        let secrets = self.list(table, "secrets", 0, MAX_ENTRIES, secret);
        self.shows_lines = true;
        let secrets_from_config = self.list(table, "secrets_from_config", 0, MAX_ENTRIES, pointer);
        let capabilities =
            self.list(table, "capabilities", 0, Capability::ALL.len(), |text| word(text, Capability::ALL));
        let limits = self.limits(table);
        Some(Manifest {
            slug: slug?,
            name: name?,
            description: description.unwrap_or_default(),
            version,
            triggers: triggers?,
            outcomes,
            entry,
            component,
            schema,
            hosts: hosts.unwrap_or_default(),
            hosts_from_config: hosts_from_config.unwrap_or_default(),
            secrets: secrets.unwrap_or_default(),
            secrets_from_config: secrets_from_config.unwrap_or_default(),
            capabilities: capabilities.unwrap_or_default(),
            limits,
        })
    }

    fn refuse(&mut self, code: &'static str, span: Range<usize>, pointer: &str, message: impl Into<String>) {
        let mut found = Diagnostic::error(code, MANIFEST_FILE, message).at(self.text, span).with_pointer(pointer);
        found.excerpt = found.excerpt.filter(|_| self.shows_lines);
        self.found.push(found);
    }

    fn unknown_keys(&mut self, table: &DeTable<'_>, known: &[&'static str], under: &str) {
        for key in table.keys().filter(|k| !known.contains(&k.get_ref().as_ref())) {
            let name: String = key.get_ref().chars().take(80).collect();
            let pointer = format!("{under}/{}", escape(key.get_ref()));
            let found = Diagnostic::error("unknown_key", MANIFEST_FILE, format!("unknown key {name:?}"))
                .at(self.text, key.span())
                .with_pointer(pointer);
            self.found.push(found.with_help(match nearest(key.get_ref(), known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", known.join(", ")),
            }));
        }
    }

    /// The value of a key that holds text.
    fn text_of<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let item = table.get(key)?;
        self.text(item, &format!("/{key}"), read)
    }

    fn text<T>(&mut self, item: &Item<'_>, pointer: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let Some(text) = item.get_ref().as_str() else {
            self.wrong_type(item, pointer, "a string");
            return None;
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse("invalid_value", item.span(), pointer, message);
                None
            }
        }
    }

    /// The value of a key that holds a list of texts, none twice.
    fn list<T: PartialEq>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        min: usize,
        max: usize,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let item = table.get(key)?;
        let Some(items) = item.get_ref().as_array() else {
            self.wrong_type(item, &format!("/{key}"), "a list of strings");
            return None;
        };
        let (before, mut is_too_long) = (self.found.len(), false);
        if items.len() < min || items.len() > max {
            let message = format!("expected {min} to {max} entries, got {}", items.len());
            self.refuse("invalid_value", item.span(), &format!("/{key}"), message);
            // What is wrong with its entries is told all the same.
            is_too_long = true;
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("/{key}/{index}");
            if let Some(value) = self.text(item, &pointer, &read) {
                if !is_too_long && values.contains(&value) {
                    self.refuse("invalid_value", item.span(), &pointer, "stands here twice");
                }
                values.push(value);
            }
        }
        (self.found.len() == before).then_some(values)
    }

    fn outcomes_fit(&mut self, table: &DeTable<'_>, triggers: &[Trigger], outcomes: &[OutcomeKind]) {
        let items = table.get("outcomes").and_then(|item| item.get_ref().as_array());
        for (index, (kind, item)) in outcomes.iter().zip(items.into_iter().flat_map(|a| a.iter())).enumerate() {
            if !triggers.iter().any(|trigger| trigger.allows(*kind)) {
                let names: Vec<_> = triggers.iter().map(|t| t.as_str()).collect();
                let message = format!("\"{kind}\" is allowed at none of the triggers {}", names.join(", "));
                self.refuse("invalid_value", item.span(), &format!("/outcomes/{index}"), message);
            }
        }
    }

    fn limits(&mut self, table: &DeTable<'_>) -> Limits {
        let mut limits = Limits::default();
        let Some(item) = table.get("limits") else { return limits };
        let Some(table) = item.get_ref().as_table() else {
            self.wrong_type(item, "/limits", "a table");
            return limits;
        };
        self.unknown_keys(table, LIMIT_KEYS, "/limits");
        for (key, max, limit) in
            [("cpu_ms", MAX_CPU_MS, &mut limits.cpu_ms), ("wall_ms", MAX_WALL_MS, &mut limits.wall_ms)]
        {
            let Some(item) = table.get(key) else { continue };
            let pointer = format!("/limits/{key}");
            let Some(number) = item.get_ref().as_integer() else {
                self.wrong_type(item, &pointer, "a whole number of milliseconds");
                continue;
            };
            match u32::from_str_radix(number.as_str(), number.radix()) {
                Ok(value) if (1..=max).contains(&value) => *limit = value,
                _ => {
                    let message = format!("expected a whole number of milliseconds from 1 to {max}, got {number}");
                    self.refuse("invalid_value", item.span(), &pointer, message);
                }
            }
        }
        limits
    }

    fn wrong_type(&mut self, item: &Item<'_>, pointer: &str, expected: &str) {
        let message = format!(
            "expected {expected}, got {}",
            match item.get_ref() {
                DeValue::String(_) => "a string",
                DeValue::Integer(_) => "a whole number",
                DeValue::Float(_) => "a number",
                DeValue::Boolean(_) => "a boolean",
                DeValue::Datetime(_) => "a time",
                DeValue::Array(_) => "a list",
                DeValue::Table(_) => "a table",
            }
        );
        self.refuse("wrong_type", item.span(), pointer, message);
    }
}

/// The bytes of what a JSON pointer into the file names: the key, or the item of a list.
pub(super) fn locate(text: &str, pointer: &str) -> Option<Range<usize>> {
    let (table, _errors) = DeTable::parse_recoverable(text);
    let mut parts = pointer.split('/').skip(1);
    let (key, value) = table.get_ref().get_key_value(parts.next()?)?;
    let mut found = (key.span(), value);
    for part in parts {
        found = match found.1.get_ref() {
            DeValue::Array(items) => {
                let item = items.get(part.parse::<usize>().ok()?)?;
                (item.span(), item)
            }
            DeValue::Table(table) => {
                let (key, value) = table.get_key_value(part)?;
                (key.span(), value)
            }
            _ => return None,
        };
    }
    // At what is wrong: the value of a key that names a file, the key of a list.
    match found.1.get_ref() {
        DeValue::String(_) => Some(found.1.span()),
        _ => Some(found.0),
    }
}

fn example(key: &str) -> &'static str {
    match key {
        "slug" => "for example slug = \"domain-check\"",
        "name" => "for example name = \"Domain check\"",
        _ => "for example triggers = [\"post-login\"]",
    }
}

fn bounded(text: &str, min: usize, max: usize) -> Result<(), String> {
    let chars = text.chars().count();
    if (min..=max).contains(&chars) {
        return Ok(());
    }
    Err(format!("expected {min} to {max} characters, got {chars}"))
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

fn version(text: &str) -> Result<semver::Version, String> {
    let expected = "expected an exact version such as 1.2.0 or 2.0.0-beta.1";
    bounded(text, 1, MAX_VERSION_CHARS).map_err(|e| format!("{expected}: {e}"))?;
    // As tags of version control have it.
    let untagged = text.trim_start_matches(['v', 'V', '=', ' ']);
    let version = semver::Version::parse(text).map_err(|e| match semver::Version::parse(untagged) {
        Ok(meant) => format!("{expected}, got {}; did you mean \"{meant}\"?", shown(text)),
        Err(_) => format!("{expected}, got {}: {e}", shown(text)),
    })?;
    if !version.build.is_empty() {
        return Err(format!("{expected}, got {}: build metadata (+{}) is not taken", shown(text), version.build));
    }
    Ok(version)
}

fn word<T: Copy>(text: &str, all: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = all.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words = || all.iter().map(|(word, _)| *word);
    Err(match nearest(text, words()) {
        Some(near) => format!("{} is not known; did you mean {near:?}?", shown(text)),
        None => format!("{} is not known; known are {}", shown(text), words().collect::<Vec<_>>().join(", ")),
    })
}

fn path(text: &str, endings: &[&str]) -> Result<String, String> {
    check_path(text).map_err(|wrong| format!("the path {} {wrong}", shown(text)))?;
    if !endings.iter().any(|ending| text.ends_with(ending)) {
        return Err(format!("expected a path that ends in {}, got {}", endings.join(" or "), shown(text)));
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let labels = name.split('.').count();
    if name.len() <= 253 && name.split('.').all(label) && (labels > 1 || name == text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a host such as api.example.com or *.example.com (lower case, ASCII, no scheme, port or path), got {}",
        shown(text)
    ))
}

fn pointer(text: &str) -> Result<String, String> {
    let escapes_fit = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.len() <= 200 && text.len() > 1 && text.starts_with('/') && escapes_fit {
        return Ok(text.to_owned());
    }
    Err(format!("expected a JSON pointer into the config such as /url, got {}", shown(text)))
}

fn secret(text: &str) -> Result<String, String> {
    match is_secret_name(text) {
        true => Ok(text.to_owned()),
        // What is not a name may be a secret's value: it is not shown.
        false => Err(format!(
            "expected the name of a secret: a letter, then letters, digits, _, - and ., at most {MAX_SECRET_NAME_CHARS} characters"
        )),
    }
}
