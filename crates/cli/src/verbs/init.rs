//! `sluice init`

use crate::{
    screen::{Look, Screen, View},
    starter::{self, Starter},
    stop::{Stop, in_words},
};
use clap::ValueEnum as _;
use serde::Serialize;
use sluice_control_plane::catalogue::TEMPLATE_SLUGS;
use sluice_model::{Code, Error, Slug};
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to make; it may be there if it is empty
    dir: PathBuf,
    /// What the package begins as; without it a terminal is asked, and anything else gets the empty one
    #[arg(long, value_name = "NAME")]
    starter: Option<Starter>,
    /// The Action's slug; without it the folder's name
    #[arg(long, value_name = "SLUG")]
    slug: Option<String>,
}

/// `{dir, slug, starter, files}`
#[derive(Debug, Serialize)]
struct Made {
    dir: PathBuf,
    slug: Slug,
    starter: String,
    files: Vec<&'static str>,
}

impl View for Made {
    fn render(&self, look: &Look) -> String {
        let dir = self.dir.display();
        let mut text =
            format!("{} {} ({}) is in {dir}\n", look.good("✓"), look.strong(self.slug.as_str()), self.starter);
        self.files.iter().for_each(|file| text.push_str(&format!("    {file}\n")));
        // What has to be built first has nothing to run yet.
        let has = |file| self.files.contains(&file);
        let first = match (has("package.json"), has("Cargo.toml")) {
            (true, _) => "npm install and npm run build in it",
            (_, true) => "cargo build --release --target wasm32-wasip2 in it",
            _ => "write its src/index.ts",
        };
        text.push_str(&look.hint(&format!("Next: {first}, then sluice test {dir}")));
        text
    }
}

pub(crate) fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let can_ask = screen.can_ask();
    check_empty(&args.dir)?;
    let slug = match slug(args.slug.as_deref(), &args.dir) {
        Err(refused) if can_ask && args.slug.is_none() => ask_slug(refused)?,
        slug => slug?,
    };
    let starter = match args.starter {
        Some(starter) => starter,
        None if can_ask => ask_starter()?,
        None => Starter::Empty,
    };
    let files = starter::files(starter, &slug);
    make(&args.dir, &files)?;
    let files = files.iter().map(|(path, _)| *path).collect();
    screen.show(&Made { dir: args.dir, slug, starter: starter.name(), files });
    Ok(())
}

fn no_answer(e: dialoguer::Error) -> Stop {
    Stop::local("NO_ANSWER", format!("nobody answered: {e}; --slug and --starter say it without being asked"))
}

/// Asks for a slug, where the folder's name is none.
fn ask_slug(refused: Stop) -> Result<Slug, Stop> {
    let why = refused.error.map(|error| error.message).unwrap_or_default();
    let asked = dialoguer::Input::<String>::new()
        .with_prompt(format!("{why}\nThe Action's slug"))
        .validate_with(|text: &String| of_an_action(text).map(|_| ()))
        .interact_text();
    of_an_action(&asked.map_err(no_answer)?).map_err(|message| Error::field("slug", message).into())
}

/// Asks which starter.
fn ask_starter() -> Result<Starter, Stop> {
    let all = Starter::value_variants();
    let lines: Vec<String> = all.iter().map(|starter| format!("{:<20}{}", starter.name(), starter.about())).collect();
    let asked = dialoguer::Select::new().with_prompt("What does it begin as?").items(&lines).default(0).interact();
    Ok(all.get(asked.map_err(no_answer)?).copied().unwrap_or(Starter::Empty))
}

/// The slug that is asked for, or the folder's name where it is one.
fn slug(asked: Option<&str>, dir: &Path) -> Result<Slug, Stop> {
    if let Some(text) = asked {
        return of_an_action(text).map_err(|message| Error::field("slug", message).into());
    }
    // `.` and `..` have a name too, and a folder that is not there yet has no canonical form.
    let full = dir.canonicalize().or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.to_owned());
    let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
    of_an_action(&name).map_err(|message| {
        Error::field("slug", format!("the folder's name {message}; name another with --slug")).into()
    })
}

/// A slug that a tenant's own Action may have. The error is what is wrong with it.
fn of_an_action(text: &str) -> Result<Slug, String> {
    let slug = Slug::parse(text).map_err(|e| e.message)?;
    if TEMPLATE_SLUGS.contains(&slug.as_str()) {
        return Err(format!("{text:?} is the name of one of the platform's templates; take another"));
    }
    Ok(slug)
}

fn not_writable(dir: &Path, e: &io::Error) -> Stop {
    Stop::local("FOLDER_NOT_WRITABLE", format!("{}: {}", dir.display(), in_words(e)))
}

/// Refuses a folder that has something in it.
fn check_empty(dir: &Path) -> Result<(), Stop> {
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            let message = format!("{} is not empty; name a folder that is empty or not there", dir.display());
            Err(Error::new(Code::AlreadyExists, "FOLDER_NOT_EMPTY", message).into())
        }
        Ok(false) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(not_writable(dir, &e)),
    }
}

fn make(dir: &Path, files: &[(&'static str, String)]) -> Result<(), Stop> {
    let refused = |e: io::Error| not_writable(dir, &e);
    check_empty(dir)?;
    for (path, text) in files {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(refused)?;
        }
        std::fs::write(&path, text).map_err(refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slug_is_the_name_of_the_folder_unless_it_is_given() {
        assert_eq!(slug(None, Path::new("x/my-action")).unwrap().as_str(), "my-action");
        assert_eq!(slug(Some("other"), Path::new("x/My Action")).unwrap().as_str(), "other");
        let error = slug(None, Path::new("x/My Action")).unwrap_err().error.unwrap();
        assert_eq!(error.fields[0].field, "slug");
        assert!(error.message.contains("--slug"), "{}", error.message);
    }

    #[test]
    fn a_slug_that_could_never_be_published_is_refused() {
        for (asked, dir) in [(None, "x/demand-mfa-by-risk-score"), (Some("rate-limit-by-ip"), "x/mine")] {
            let error = slug(asked, Path::new(dir)).unwrap_err().error.unwrap();
            assert_eq!(error.fields[0].field, "slug");
            assert!(error.message.contains("is the name of one of the platform's templates"), "{}", error.message);
        }
    }

    #[test]
    fn a_folder_under_a_file_is_told_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let error = check_empty(&folder.path().join("file/new")).unwrap_err().error.unwrap();
        assert_eq!(&*error.reason, "FOLDER_NOT_WRITABLE");
        assert!(error.message.ends_with("file/new: a part of the path is not a folder"), "{}", error.message);
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine"), "x").unwrap();
        let error = make(folder.path(), &[("action.toml", String::new())]).unwrap_err().error.unwrap();
        assert_eq!((error.code, &*error.reason), (Code::AlreadyExists, "FOLDER_NOT_EMPTY"));
        assert!(!folder.path().join("action.toml").exists());
    }
}
