//! Profiles: where the servers are and who asks, kept by name in a file of the user's own, so that it is not typed every time.
//!
//! A value comes from the flag, else from its variable, else from the profile, else from the default. The profile is the one
//! that `--profile` or `SLUICE_PROFILE` names, else the file's current one. The file is
//! `$XDG_CONFIG_HOME/sluice/config.toml` or `~/.config/sluice/config.toml`; it may hold tokens, so only its owner may read it.

use crate::{
    client,
    stop::{Stop, in_words},
};
use clap::Command;
use serde::{Deserialize, Serialize};
use sluice_model::{Code, Error, Slug};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Names the profile where `--profile` does not.
pub(crate) const VARIABLE: &str = "SLUICE_PROFILE";
/// The profile of who has never named one.
const DEFAULT: &str = "default";
/// The verb that works on profiles, and so on one that is not there yet.
const OWN_VERB: &str = "config";
const FILE_HEAD: &str = "# Written by `sluice config`, which keeps no comments. docs/cli.md says what it takes.\n";

/// The file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The one that is used where none is named.
    #[serde(default = "default_name")]
    pub(crate) current: String,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// One profile. What is not set is not kept.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) executor_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// The file with its place, and the profile that is used.
#[derive(Clone)]
pub(crate) struct Chosen {
    /// None where this user has no home.
    pub(crate) path: Option<PathBuf>,
    pub(crate) file: Profiles,
    /// The name of the profile that is used.
    pub(crate) name: String,
}

impl std::fmt::Debug for Chosen {
    // The profiles hold tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chosen").field("path", &self.path).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles { current: default_name(), profiles: BTreeMap::new() }
    }
}

fn default_name() -> String {
    DEFAULT.to_owned()
}

impl Chosen {
    /// Reads the file, and chooses by these arguments and variables.
    ///
    /// # Errors
    /// A file that cannot be read or has a mistake, which is named with its line; a profile that is named and not there.
    pub(crate) fn load(arguments: &[OsString], variable: impl Fn(&str) -> Option<OsString>) -> Result<Chosen, Stop> {
        let path = path(&variable);
        let file = path.as_deref().map(read).transpose()?.unwrap_or_default();
        let asked = named(arguments).or_else(|| variable(VARIABLE).filter(|name| !name.is_empty())?.into_string().ok());
        let name = asked.clone().unwrap_or_else(|| file.current.clone());
        if asked.is_some() && !file.profiles.contains_key(&name) && verb(arguments) != Some(OWN_VERB) {
            return Err(no_profile(&file, &name));
        }
        Ok(Chosen { path, file, name })
    }

    /// The profile that is used; an empty one where it is not there yet.
    pub(crate) fn profile(&self) -> Profile {
        self.file.profiles.get(&self.name).cloned().unwrap_or_default()
    }

    /// Makes the profile's values the defaults of the arguments that they are for.
    pub(crate) fn fill(&self, command: Command) -> Command {
        let profile = self.profile();
        let values = [
            ("SLUICE_CONTROL_URL", profile.control_url),
            ("SLUICE_EXECUTOR_URL", profile.executor_url),
            ("SLUICE_TENANT", profile.tenant),
        ];
        values.into_iter().filter_map(|(variable, value)| Some((variable, value?))).fold(command, fill)
    }

    /// Writes the file anew.
    pub(crate) fn save(&self) -> Result<(), Stop> {
        let Some(path) = &self.path else {
            return Err(Stop::local("FOLDER_NOT_WRITABLE", "profiles are kept in $HOME/.config, and HOME is not set"));
        };
        let refused = |e: &str| Stop::local("FOLDER_NOT_WRITABLE", format!("{}: {e}", path.display()));
        let text = toml::to_string(&self.file).map_err(|e| refused(&e.to_string()))?;
        write(path, &format!("{FILE_HEAD}{text}")).map_err(|e| refused(&in_words(&e)))
    }
}

/// What is said of a profile that is not there.
pub(crate) fn no_profile(file: &Profiles, name: &str) -> Stop {
    let there: Vec<&str> = file.profiles.keys().map(String::as_str).collect();
    let there = match there.as_slice() {
        [] => "there are none yet".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    let message =
        format!("there is no profile {name:?}; {there}; `sluice config set tenant NAME --profile {name}` makes it");
    Stop::misused("--profile", message)
}

/// The verb: the first argument that is neither a flag nor the name of a profile.
fn verb(arguments: &[OsString]) -> Option<&str> {
    let mut arguments = arguments.iter().skip(1).map_while(|a| a.to_str());
    while let Some(argument) = arguments.next() {
        match argument {
            "--profile" => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            verb => return Some(verb),
        }
    }
    None
}

/// `--profile NAME` or `--profile=NAME`, as it will be parsed.
fn named(arguments: &[OsString]) -> Option<String> {
    let mut arguments = arguments.iter().skip(1).map_while(|a| a.to_str()).take_while(|a| *a != "--");
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--profile") {
            Some("") => return arguments.next().map(str::to_owned),
            Some(rest) if rest.starts_with('=') => return Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    None
}

fn fill(command: Command, (variable, value): (&str, String)) -> Command {
    let ids: Vec<_> = command
        .get_arguments()
        .filter(|argument| argument.get_env().is_some_and(|env| env == variable))
        .map(|argument| argument.get_id().clone())
        .collect();
    let command = ids.into_iter().fold(command, |command, id| {
        command.mut_arg(id, |argument| argument.default_value(value.clone()).required(false))
    });
    command.mut_subcommands(|sub| fill(sub, (variable, value.clone())))
}

fn path(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder =
        set("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("sluice/config.toml"))
}

fn read(path: &Path) -> Result<Profiles, Stop> {
    let refused = |message: String| -> Stop {
        Error::new(Code::InvalidArgument, "INVALID_FILE", format!("{}: {message}", path.display())).into()
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Profiles::default()),
        Err(error) => return Err(refused(format!("cannot be read: {}", in_words(&error)))),
    };
    let file: Profiles = toml::from_str(&text).map_err(|error| refused(error.to_string().trim_end().to_owned()))?;
    for (name, profile) in &file.profiles {
        let at = |key: &str, error: &dyn std::fmt::Display| refused(format!("profiles.{name}.{key}: {error}"));
        for (key, url) in [("control_url", &profile.control_url), ("executor_url", &profile.executor_url)] {
            url.as_deref().map(client::url).transpose().map_err(|error| at(key, &error))?;
        }
        profile.tenant.as_deref().map(Slug::parse).transpose().map_err(|error| at("tenant", &error.message))?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let others = fs::metadata(path).map(|about| about.permissions().mode() & 0o077).unwrap_or_default();
        if others != 0 && file.profiles.values().any(|profile| profile.token.is_some()) {
            let message = format!("holds a token, and others may read it; chmod 600 {}", path.display());
            return Err(refused(message));
        }
    }
    Ok(file)
}

/// The file is there as it was or as it is to be, never half, and never for others to read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let half = path.with_extension(format!("{}.half", std::process::id()));
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&half).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.and_then(|()| fs::rename(&half, path)).inspect_err(|_| {
        // What was half written is of no use to anybody.
        let _gone = fs::remove_file(&half);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::Cli;
    use clap::{CommandFactory as _, FromArgMatches as _};

    fn chosen(folder: &Path, line: &str) -> Result<Chosen, String> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let variable = |name: &str| (name == "XDG_CONFIG_HOME").then(|| folder.as_os_str().to_owned());
        Chosen::load(&arguments, variable).map_err(|stop| stop.error.map(|e| e.message).unwrap_or_default())
    }

    fn file(folder: &Path, text: &str) {
        let path = folder.join("sluice/config.toml");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, text).unwrap();
    }

    const TWO: &str = "current = \"local\"\n[profiles.local]\ntenant = \"acme\"\n\
                       [profiles.far]\ncontrol_url = \"http://far:7070\"\ntenant = \"globex\"\ntoken = \"t\"\n";

    #[test]
    fn the_profile_that_is_named_or_current_gives_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), TWO);
        let shown = |line: &str| {
            let chosen = chosen(folder.path(), line).unwrap();
            let matches = chosen.fill(Cli::command()).try_get_matches_from(line.split_whitespace()).unwrap();
            format!("{:?}", Cli::from_arg_matches(&matches).unwrap().command)
        };
        assert!(shown("sluice flow list").contains("tenant: \"acme\""));
        let far = shown("sluice flow list --profile far");
        assert!(far.contains("globex") && far.contains("far:7070"), "{far}");
        assert!(shown("sluice --profile=far flow list --tenant mine").contains("tenant: \"mine\""));
        assert!(shown("sluice tenant show").contains("acme"));
        assert!(shown("sluice action publish dir --profile far").contains("[\"globex\"]"));
        assert!(!shown("sluice tenant create other").contains("acme"));
    }

    #[test]
    fn a_profile_that_is_not_there_is_told_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), TWO);
        let error = chosen(folder.path(), "sluice flow list --profile fra").unwrap_err();
        assert!(error.contains("fra") && error.contains("far, local"), "{error}");
        chosen(folder.path(), "sluice config set tenant x --profile fra").unwrap();
        chosen(folder.path(), "sluice --json --profile fra config show").unwrap();
        // A flow may be called config: its verb is another.
        chosen(folder.path(), "sluice flow show config --profile fra").unwrap_err();
    }

    #[test]
    fn mistakes_of_the_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (text, says) in [
            ("[profiles.a]\ncontrol_url = \"ftp://x\"\n", "profiles.a.control_url: takes http://HOST:PORT"),
            ("[profiles.a]\ntenant = \"A B\"\n", "profiles.a.tenant"),
            ("[profiles.a]\ncolour = 1\n", "colour"),
            ("current = ", "line 1"),
        ] {
            let _old = fs::remove_file(folder.path().join("sluice/config.toml"));
            file(folder.path(), text);
            let error = chosen(folder.path(), "sluice flow list").unwrap_err();
            assert!(error.contains(says) && error.contains("config.toml"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_token_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), TWO);
        let path = folder.path().join("sluice/config.toml");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = chosen(folder.path(), "sluice flow list").unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
