//! `sluice config`

use crate::{
    client::{self, DEFAULT_CONTROL_URL, DEFAULT_EXECUTOR_URL},
    file,
    profile::{self, Chosen, Profile},
    screen::{Look, Screen, View},
    stop::Stop,
    view::{Cell, Entry, Page, Table},
};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use sluice_model::{Error, Slug};
use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the verbs are run with, and where each value comes from
    Show,
    /// List the profiles
    List,
    /// Set a value of a profile; a profile that is not there is made
    Set {
        /// What to set
        key: Key,
        /// Its value; a token is asked for instead, or read from a file
        value: Option<String>,
        /// Read the value from this file; - is standard input
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        value_file: Option<PathBuf>,
    },
    /// Take a value out of a profile
    Unset {
        /// What to take out
        key: Key,
    },
    /// Use a profile from now on
    Use {
        /// Its name
        name: String,
    },
    /// Delete a profile, its token too
    Delete {
        /// Its name
        name: String,
    },
}

/// What a profile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Key {
    /// Where the control plane is
    ControlUrl,
    /// Where the executor is
    ExecutorUrl,
    /// The tenant that verbs are about
    Tenant,
    /// What proves who asks
    Token,
}

impl Key {
    fn of(self, profile: &mut Profile) -> &mut Option<String> {
        match self {
            Key::ControlUrl => &mut profile.control_url,
            Key::ExecutorUrl => &mut profile.executor_url,
            Key::Tenant => &mut profile.tenant,
            Key::Token => &mut profile.token,
        }
    }

    fn check(self, value: &str) -> Result<(), Stop> {
        let refused = |field: &str, message: String| Err(Error::field(field, message).into());
        match self {
            Key::ControlUrl => client::url(value).map(|_| ()).or_else(|e| refused("control-url", e)),
            Key::ExecutorUrl => client::url(value).map(|_| ()).or_else(|e| refused("executor-url", e)),
            Key::Tenant => Slug::parse(value).map(|_| ()).or_else(|e| refused("tenant", e.message)),
            Key::Token if value.bytes().all(|b| b.is_ascii_graphic()) && !value.is_empty() => Ok(()),
            Key::Token => refused("token", "takes visible ASCII characters".to_owned()),
        }
    }
}

/// `{profile, file, control_url: S, executor_url: S, tenant: S, token: S}`, S as `{value | null, source}`.
#[derive(Debug, Serialize)]
struct Shown {
    profile: String,
    file: Option<PathBuf>,
    control_url: Setting,
    executor_url: Setting,
    tenant: Setting,
    token: Setting,
}

/// A value, and where it comes from: `environment`, `profile`, `default` or `none`. A token is `(set)`.
#[derive(Debug, Serialize)]
struct Setting {
    value: Option<String>,
    source: &'static str,
}

impl Setting {
    fn of(variable: &str, profile: Option<String>, default: Option<&str>) -> Setting {
        let set = std::env::var(variable).ok().filter(|value| !value.is_empty());
        let found = set.map(|value| (value, "environment"));
        let found = found.or_else(|| profile.map(|value| (value, "profile")));
        let found = found.or_else(|| default.map(|value| (value.to_owned(), "default")));
        match found {
            Some((value, source)) => Setting { value: Some(value), source },
            None => Setting { value: None, source: "none" },
        }
    }

    fn hidden(self) -> Setting {
        Setting { value: self.value.map(|_| "(set)".to_owned()), ..self }
    }
}

impl View for Shown {
    fn render(&self, look: &Look) -> String {
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for (key, Setting { value, source }) in [
            ("control-url", &self.control_url),
            ("executor-url", &self.executor_url),
            ("tenant", &self.tenant),
            ("token", &self.token),
        ] {
            let from = match *source {
                "profile" => format!("profile {}", self.profile),
                source => source.to_owned(),
            };
            table.row([key.to_owned(), value.clone().unwrap_or_default(), from].map(Cell::new));
        }
        let file = self.file.as_ref().map(|file| format!("profile {} of {}", self.profile, file.display()));
        format!("{}{}\n", table.render(look), look.faint(&file.unwrap_or_default()))
    }
}

/// `{profile, current, control_url | null, executor_url | null, tenant | null, has_token}`
#[derive(Debug, Serialize)]
struct Listed {
    profile: String,
    current: bool,
    control_url: Option<String>,
    executor_url: Option<String>,
    tenant: Option<String>,
    has_token: bool,
}

impl Listed {
    fn of(chosen: &Chosen, name: &str) -> Listed {
        let Profile { control_url, executor_url, tenant, token } =
            chosen.file.profiles.get(name).cloned().unwrap_or_default();
        let current = chosen.file.current == name;
        Listed { profile: name.to_owned(), current, control_url, executor_url, tenant, has_token: token.is_some() }
    }
}

impl Entry for Listed {
    const NONE: &'static str = "no profiles yet: sluice config set tenant NAME makes one";
    const COLUMNS: &'static [&'static str] = &["", "PROFILE", "CONTROL PLANE", "EXECUTOR", "TENANT", "TOKEN"];

    fn row(&self, _look: &Look) -> Vec<Cell> {
        let text = |value: &Option<String>| Cell::new(value.clone().unwrap_or_default());
        vec![
            Cell::new(if self.current { "*" } else { "" }.to_owned()),
            Cell::new(self.profile.clone()),
            text(&self.control_url),
            text(&self.executor_url),
            text(&self.tenant),
            Cell::new(if self.has_token { "set" } else { "" }.to_owned()),
        ]
    }
}

/// What has changed: the profile as `list` has it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Changed {
    listed: Listed,
    #[serde(skip)]
    what: String,
}

impl View for Changed {
    fn render(&self, look: &Look) -> String {
        format!("{} {}\n", look.good("✓"), self.what)
    }
}

/// `{profile, deleted}`
#[derive(Debug, Serialize)]
struct Deleted {
    profile: String,
    deleted: bool,
}

impl View for Deleted {
    fn render(&self, look: &Look) -> String {
        format!("{} profile {} is gone\n", look.good("✓"), self.profile)
    }
}

pub(crate) fn run(command: Command, mut chosen: Chosen, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Show => {
            let Profile { control_url, executor_url, tenant, token } = chosen.profile();
            screen.show(&Shown {
                control_url: Setting::of("SLUICE_CONTROL_URL", control_url, Some(DEFAULT_CONTROL_URL)),
                executor_url: Setting::of("SLUICE_EXECUTOR_URL", executor_url, Some(DEFAULT_EXECUTOR_URL)),
                tenant: Setting::of("SLUICE_TENANT", tenant, None),
                token: Setting::of("SLUICE_TOKEN", token, None).hidden(),
                profile: chosen.name,
                file: chosen.path,
            });
        }
        Command::List => {
            let entries = chosen.file.profiles.keys().map(|name| Listed::of(&chosen, name)).collect();
            screen.show(&Page::<Listed> { entries, next_page_token: String::new() });
        }
        Command::Set { key, value, value_file } => {
            let value = value_of(key, value, value_file.as_deref())?;
            key.check(&value)?;
            Slug::parse(&chosen.name).map_err(|e| Error::field("profile", e.message))?;
            *key.of(chosen.file.profiles.entry(chosen.name.clone()).or_default()) = Some(value);
            // The first profile is the one that is used.
            if !chosen.file.profiles.contains_key(&chosen.file.current) {
                chosen.file.current = chosen.name.clone();
            }
            changed(&chosen, &chosen.name, format!("{} is set in profile {}", word(key), chosen.name), screen)?;
        }
        Command::Unset { key } => {
            let profile = there(&mut chosen, None)?;
            *key.of(profile) = None;
            changed(
                &chosen,
                &chosen.name,
                format!("{} is not set in profile {} any more", word(key), chosen.name),
                screen,
            )?;
        }
        Command::Use { name } => {
            there(&mut chosen, Some(&name))?;
            chosen.file.current.clone_from(&name);
            changed(&chosen, &name, format!("profile {name} is used from now on"), screen)?;
        }
        Command::Delete { name } => {
            there(&mut chosen, Some(&name))?;
            chosen.file.profiles.remove(&name);
            chosen.save()?;
            screen.show(&Deleted { profile: name, deleted: true });
        }
    }
    Ok(())
}

fn changed(chosen: &Chosen, name: &str, what: String, screen: &Screen) -> Result<(), Stop> {
    chosen.save()?;
    screen.show(&Changed { listed: Listed::of(chosen, name), what });
    Ok(())
}

fn there<'c>(chosen: &'c mut Chosen, name: Option<&str>) -> Result<&'c mut Profile, Stop> {
    let name = name.unwrap_or(&chosen.name).to_owned();
    let missing = profile::no_profile(&chosen.file, &name);
    chosen.file.profiles.get_mut(&name).ok_or(missing)
}

fn word(key: Key) -> String {
    key.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The value that is given, read or asked for. A token is never an argument: what is typed there is in the shell's history
/// and in the list of processes.
fn value_of(key: Key, value: Option<String>, file: Option<&Path>) -> Result<String, Stop> {
    match (key, value, file) {
        (Key::Token, Some(_), _) => Err(Stop::misused(
            "token",
            "is asked for on a terminal, or read by --value-file FILE (- is standard input); as an argument others would see it",
        )),
        (_, Some(value), _) => Ok(value),
        (_, None, Some(path)) => {
            let text = String::from_utf8(file::read("--value-file", path)?)
                .map_err(|_| Stop::from(Error::field("--value-file", "is not UTF-8 text")))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (Key::Token, None, None) if io::stdin().is_terminal() && io::stderr().is_terminal() => {
            let asked = dialoguer::Password::new().with_prompt("Token").interact();
            asked.map_err(|e| Stop::local("NO_ANSWER", format!("the token was not told: {e}")))
        }
        (_, None, None) => Err(Stop::misused(&word(key), "name its value, or --value-file FILE")),
    }
}
