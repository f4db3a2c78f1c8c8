//! Settings: from a file, the environment and flags, checked as a whole before anything starts.
//!
//! A flag goes over an environment variable, that over the file, that over the default. Every subsystem owns its `Config`
//! struct and says in [`Settings::check`] what each setting takes; a server's settings are a struct of these. All mistakes
//! are told at once, each with the setting's dotted name, where it came from, and what it takes. A key or a variable that
//! nobody knows is a mistake: a limit that is spelled wrong must not be a limit that is not there.

mod checks;
mod file;
mod origin;
mod refusal;
mod server;
mod tree;

#[cfg(test)]
mod tests;

pub use checks::Checks;
pub use origin::Origin;
pub use refusal::{Problem, Refusal};
pub use server::{DrainConfig, GrpcConfig, LogConfig, LogFormat, ServerArgs, ServerConfig, TelemetryConfig};

use checks::Rule;
use origin::Setter;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::PathBuf,
};

/// The variables that clients and builds read. They begin like a server's but are none of its settings.
pub const CLIENT_VARIABLES: &[&str] =
    &["SLUICE_CONTROL_URL", "SLUICE_EXECUTOR_URL", "SLUICE_TENANT", "SLUICE_TOKEN", "SLUICE_PROFILE", "SLUICE_ENGINE"];

/// The prefix of the control plane's variables: `grpc.max_in_flight` is `SLUICE_CONTROL_PLANE_GRPC_MAX_IN_FLIGHT`.
pub const CONTROL_PLANE_PREFIX: &str = "SLUICE_CONTROL_PLANE_";
/// The prefix of the executor's variables.
pub const EXECUTOR_PREFIX: &str = "SLUICE_EXECUTOR_";
/// The prefix of the variables of `sluice dev`.
pub const DEV_PREFIX: &str = "SLUICE_DEV_";

const SERVER_PREFIXES: &[&str] = &[CONTROL_PLANE_PREFIX, EXECUTOR_PREFIX, DEV_PREFIX];

/// A struct of settings. Its `Default` is what a server runs with when nothing is said; a setting without a default is an
/// `Option` or is refused by [`Settings::check`]. Every field must be serialised (no `skip`), since the default's fields
/// are the settings that exist.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// Says for every setting what it takes, and whether it is so.
    fn check(&self, at: &mut Checks<'_>);
}

/// A settings file, and who named it.
type NamedFile = (PathBuf, Origin);

/// Where a server's settings come from.
#[derive(Debug)]
pub struct Sources {
    prefix: &'static str,
    file: Option<NamedFile>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<Setter>,
}

impl Sources {
    /// Settings whose variables begin with `prefix`, one of the `*_PREFIX` constants here.
    pub fn new(prefix: &'static str) -> Sources {
        Sources { prefix, file: None, variables: Vec::new(), flags: Vec::new() }
    }

    /// Reads this TOML file, named by `--config`. Without it the variable `<PREFIX>CONFIG` may name one.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.file = Some((path.into(), Origin::Flag("--config".into())));
        self
    }

    /// Takes these environment variables, usually [`std::env::vars_os`]; those that do not begin with `SLUICE_` are ignored.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Sources {
        self.variables.extend(variables);
        self
    }

    /// Sets `key` (dotted) to `value` because of the flag `flag` (as the user wrote it: `--listen`, `--set`).
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: &str) -> Sources {
        self.flags.push(Setter {
            key: key.into(),
            value: tree::Given::Text(value.into()),
            origin: Origin::Flag(flag.into()),
        });
        self
    }

    /// Reads, merges and checks everything. The error tells all mistakes, not the first.
    pub fn load<T: Settings>(self) -> Result<Loaded<T>, Refusal> {
        let mut problems = Vec::new();
        let defaults = tree::of(&T::default()).map_err(Refusal::broken)?;
        let known = tree::leaves(&defaults);
        let rules = checks::rules(&T::default());
        let takes = |key: &str| rules.iter().find(|rule| rule.key == key).map(|rule| rule.takes.clone());
        let hidden: BTreeSet<String> = rules.iter().filter(|rule| rule.secret).map(|rule| rule.key.clone()).collect();

        let (named_file, from_environment) = self.environment_setters(&known, &mut problems)?;
        let mut setters = Vec::new();
        if let Some((path, origin)) = self.file.or(named_file) {
            file::read(&path, &origin, &known, &mut setters, &mut problems);
        }
        setters.extend(from_environment);
        setters.extend(self.flags);

        // Each is tried alone on top of the defaults, so that a value that does not fit is told with its own name.
        let mut effective = defaults.clone();
        let mut origins: BTreeMap<String, Origin> = BTreeMap::new();
        for setter in setters {
            if let Err(message) = tree::locate(&known, &setter.key) {
                problems.push(Problem::new(&setter.key, setter.origin, message));
                continue;
            }
            match tree::fit::<T>(&defaults, &setter.key, &setter.value) {
                Ok(value) => {
                    tree::put(&mut effective, &setter.key, value);
                    origins.insert(setter.key, setter.origin);
                }
                Err(_) if hidden.contains(&setter.key) => {
                    let message = takes(&setter.key).unwrap_or_else(|| "another kind of value".into());
                    problems.push(Problem::new(&setter.key, setter.origin, format!("takes {message}")));
                }
                Err(reason) => {
                    let message = match takes(&setter.key) {
                        Some(takes) => format!("takes {takes}, not {}", setter.value),
                        None => format!("is not understood: {reason}"),
                    };
                    problems.push(Problem::new(&setter.key, setter.origin, message));
                }
            }
        }

        let settings: T = serde_json::from_value(effective.clone()).map_err(|e| Refusal::broken(e.to_string()))?;
        for Rule { key, takes, holds, secret } in checks::rules(&settings) {
            // A setting that did not fit has its default here: it is told once already.
            if !holds && !problems.iter().any(|problem| problem.key == key) {
                let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
                let shown = match tree::get(&effective, &key) {
                    Some(Value::Null) | None => "nothing".to_owned(),
                    Some(_) if secret => "what it was set to".to_owned(),
                    Some(value) => tree::shown(value),
                };
                problems.push(Problem::new(&key, origin, format!("takes {takes}, not {shown}")));
            }
        }
        if !problems.is_empty() {
            return Err(Refusal::new(problems));
        }
        Ok(Loaded { settings, effective, origins, known, hidden })
    }

    fn environment_setters(
        &self,
        known: &BTreeSet<String>,
        problems: &mut Vec<Problem>,
    ) -> Result<(Option<NamedFile>, Vec<Setter>), Refusal> {
        let mut by_variable: BTreeMap<String, &String> = BTreeMap::new();
        for key in known {
            let variable = format!("{}{}", self.prefix, key.replace('.', "_").to_uppercase());
            let taken = CLIENT_VARIABLES.contains(&variable.as_str()) || variable == format!("{}CONFIG", self.prefix);
            if taken || by_variable.insert(variable.clone(), key).is_some() {
                return Err(Refusal::broken(format!("{key}: its variable {variable} has another meaning too")));
            }
        }
        let (mut file, mut setters) = (None, Vec::new());
        for (name, value) in &self.variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with("SLUICE_")) else {
                continue;
            };
            let origin = Origin::Variable(name.into());
            if CLIENT_VARIABLES.contains(&name) {
                continue;
            } else if let Some(rest) = name.strip_prefix(self.prefix) {
                if rest == "CONFIG" {
                    file = Some((PathBuf::from(value), origin));
                } else if let Some(key) = by_variable.get(name) {
                    match value.to_str() {
                        Some(text) => {
                            setters.push(Setter { key: (*key).clone(), value: tree::Given::Text(text.into()), origin });
                        }
                        None => problems.push(Problem::new(key, origin, "takes UTF-8 text")),
                    }
                } else {
                    problems.push(Problem::new(
                        name,
                        origin,
                        "is no setting of this server (--print-config lists them)",
                    ));
                }
            } else if !SERVER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                let message = format!("is no variable of Sluice: this server's begin with {}", self.prefix);
                problems.push(Problem::new(name, origin, message));
            }
        }
        Ok((file, setters))
    }
}

/// Settings that were read and checked.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    effective: Value,
    origins: BTreeMap<String, Origin>,
    known: BTreeSet<String>,
    hidden: BTreeSet<String>,
}

impl<T> Loaded<T> {
    /// Where the setting's value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The effective settings, one a line with its source, as TOML that `--config` takes again. Secrets are not shown.
    pub fn effective(&self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            for key in &self.known {
                let value = tree::get(&self.effective, key).unwrap_or(&Value::Null);
                let origin = self.origin(key);
                match value {
                    Value::Null => writeln!(f, "# {key} is not set")?,
                    _ if self.hidden.contains(key) => writeln!(f, "# {key} is set and secret  # {origin}")?,
                    value => writeln!(f, "{key} = {}  # {origin}", tree::shown(value))?,
                }
            }
            Ok(())
        })
    }
}
