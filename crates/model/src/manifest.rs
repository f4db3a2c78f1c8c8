//! `action.toml`: what an Action says about itself.
//!
//! [`Manifest::parse`] reports all mistakes at once, each with its line, column and field. The keys and their bounds are
//! those of the fields of [`Manifest`].

mod fields;
#[cfg(test)]
mod tests;

use crate::{Diagnostic, Limits, OutcomeKind, Slug, Trigger, decode::words};
use serde::{Deserialize, Serialize};

/// The file's name in a package.
pub const MANIFEST_FILE: &str = "action.toml";
/// The file itself.
pub const MAX_MANIFEST_BYTES: usize = 64 << 10;
/// `name`, in characters.
pub const MAX_NAME_CHARS: usize = 100;
/// `description`, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// `version`, in characters.
pub const MAX_VERSION_CHARS: usize = 64;
/// `hosts`, `secrets`, and the two lists of pointers: entries in each.
pub const MAX_ENTRIES: usize = 50;
/// The name of a secret, in characters.
pub const MAX_SECRET_NAME_CHARS: usize = 64;
/// A path in the package, in bytes.
pub const MAX_PATH_BYTES: usize = 200;

words! {
    /// A capability of the platform that a package asks for.
    Capability {
        /// `counters.take`.
        Counters = "counters",
        /// `kv.get`, `kv.set`, `kv.delete`.
        Kv = "kv",
    }
}

/// What `action.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name in the tenant's catalogue. Required.
    pub slug: Slug,
    /// Its name for people: 1 to [`MAX_NAME_CHARS`] characters, no control characters. Required.
    pub name: String,
    /// What it does: at most [`MAX_DESCRIPTION_CHARS`] characters; empty where the file has none.
    pub description: String,
    /// The exact version to publish: semver, a prerelease allowed, build metadata not.
    pub version: Option<semver::Version>,
    /// The triggers that it is made for: at least one, none twice. Required.
    pub triggers: Vec<Trigger>,
    /// The outcomes that it may answer with, each allowed by at least one of its triggers; `None`: all that are allowed.
    pub outcomes: Option<Vec<OutcomeKind>>,
    /// The module that exports `execute`; `None`: `src/index.ts`, or `src/index.js` where only that exists.
    pub entry: Option<String>,
    /// The compiled WebAssembly component, instead of `entry`.
    pub component: Option<String>,
    /// The config's JSON Schema; `None`: `schema.json` where it exists.
    pub schema: Option<String>,
    /// The hosts that it may send to: lower-case ASCII names, exact or `*.example.com`.
    pub hosts: Vec<String>,
    /// JSON pointers into the config to URLs whose hosts it may send to.
    pub hosts_from_config: Vec<String>,
    /// The names of the secrets that it reads: a letter, then letters, digits, `_`, `-` and `.`.
    pub secrets: Vec<String>,
    /// JSON pointers into the config to fields that hold a secret's name.
    pub secrets_from_config: Vec<String>,
    /// What it asks of the platform.
    pub capabilities: Vec<Capability>,
    /// `cpu_ms` 1 to 1000 and `wall_ms` 1 to 5000, each with its default where the file has none.
    pub limits: Limits,
}

impl Manifest {
    /// Reads the file.
    ///
    /// # Errors
    /// All mistakes, in the order of the file: unknown keys, wrong types, values out of bounds, missing keys; of a file that
    /// is not TOML, where it is not. Each has the file's name, its place where there is one, and the pointer to the field.
    pub fn parse(text: &str) -> Result<Manifest, Vec<Diagnostic>> {
        fields::read(text)
    }

    /// Whether it may answer with this kind at this trigger: declared (or nothing is) and allowed there.
    pub fn may_answer(&self, trigger: Trigger, kind: OutcomeKind) -> bool {
        trigger.allows(kind) && self.outcomes.as_ref().is_none_or(|declared| declared.contains(&kind))
    }

    /// What it declares and a build does not provide, each named: what is declared must work, so such a package is refused.
    pub fn unmet(&self, provided: &Provided) -> Vec<Diagnostic> {
        let asks = |capability: Capability| self.capabilities.iter().position(|asked| *asked == capability);
        let (counters, kv) = (asks(Capability::Counters), asks(Capability::Kv));
        let at = |index: Option<usize>| format!("capabilities/{}", index.unwrap_or_default());
        let checks = [
            (!self.hosts.is_empty() && !provided.fetch, "hosts".to_owned(), "outbound HTTP"),
            (!self.hosts_from_config.is_empty() && !provided.fetch, "hosts_from_config".to_owned(), "outbound HTTP"),
            (!self.secrets.is_empty() && !provided.secrets, "secrets".to_owned(), "secrets"),
            (!self.secrets_from_config.is_empty() && !provided.secrets, "secrets_from_config".to_owned(), "secrets"),
            (counters.is_some() && !provided.counters, at(counters), "counters"),
            (kv.is_some() && !provided.kv, at(kv), "kv"),
            (self.component.is_some() && !provided.components, "component".to_owned(), "WebAssembly components"),
        ];
        checks
            .into_iter()
            .filter(|(unmet, ..)| *unmet)
            .map(|(_, field, what)| {
                Diagnostic::error("not_provided", MANIFEST_FILE, format!("this build does not provide {what}"))
                    .with_pointer(format!("/{field}"))
            })
            .collect()
    }
}

/// A mistake of the file, at the line of the key that its pointer names.
pub fn placed(found: Diagnostic, text: &str) -> Diagnostic {
    match found.pointer.as_deref().and_then(|pointer| fields::locate(text, pointer)) {
        Some(span) => found.at(text, span),
        None => found,
    }
}

/// What a build can give to an Action beyond the language itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provided {
    /// `fetch` to declared hosts.
    pub fetch: bool,
    /// `secrets.get`.
    pub secrets: bool,
    /// `counters.take`.
    pub counters: bool,
    /// `kv`.
    pub kv: bool,
    /// Versions that are WebAssembly components.
    pub components: bool,
}

impl Provided {
    /// What this build provides.
    pub const THIS_BUILD: Provided =
        Provided { fetch: true, secrets: true, counters: true, kv: true, components: true };
}

/// Whether a text can name a secret: a letter, then letters, digits, `_`, `-` and `.`, at most [`MAX_SECRET_NAME_CHARS`] in all.
pub fn is_secret_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= MAX_SECRET_NAME_CHARS
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Checks a path in a package: relative, `/` between its parts, no empty part, `.` or `..`, no backslash, colon, control
/// character or trailing dot or space (which some file systems drop), at most [`MAX_PATH_BYTES`] bytes. The error says what
/// is wrong with it.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err("is longer than 200 bytes");
    }
    if path.starts_with('/') {
        return Err("is absolute; paths are relative to the package");
    }
    if path.chars().any(|c| c.is_control() || matches!(c, '\\' | ':')) {
        return Err("has a backslash, a colon or a control character");
    }
    for part in path.split('/') {
        match part {
            "" => return Err("has an empty part"),
            "." | ".." => return Err("has a part that is . or .."),
            _ if part.ends_with(['.', ' ']) || part.starts_with(' ') => {
                return Err("has a part that begins with a space or ends in a dot or a space");
            }
            _ => {}
        }
    }
    Ok(())
}
