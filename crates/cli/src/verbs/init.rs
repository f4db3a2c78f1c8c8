//! `sluice init`

use crate::{
    screen::{Look, Screen, View},
    starter::{self, Starter},
    stop::Stop,
};
use serde::Serialize;
use sluice_model::{Code, Error, Slug};
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to make; it may be there if it is empty
    dir: PathBuf,
    /// What the package begins as
    #[arg(long, value_name = "NAME", default_value = "empty")]
    starter: Starter,
    /// The Action's slug; without it the folder's name
    #[arg(long, value_name = "SLUG")]
    slug: Option<String>,
}

/// `{dir, slug, files}`
#[derive(Debug, Serialize)]
struct Made {
    dir: PathBuf,
    slug: Slug,
    files: Vec<&'static str>,
}

impl View for Made {
    fn render(&self, look: &Look) -> String {
        let dir = self.dir.display();
        let mut text = format!("{} {} is in {dir}\n", look.good("✓"), look.strong(self.slug.as_str()));
        self.files.iter().for_each(|file| text.push_str(&format!("    {file}\n")));
        text.push_str(&look.hint(&format!("Next: write {dir}/src/index.ts, then sluice test {dir}")));
        text
    }
}

pub(crate) fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let slug = slug(args.slug.as_deref(), &args.dir)?;
    let files = starter::files(args.starter, &slug);
    make(&args.dir, &files)?;
    let files = files.iter().map(|(path, _)| *path).collect();
    screen.show(&Made { dir: args.dir, slug, files });
    Ok(())
}

/// The slug that is asked for, or the folder's name where it is one.
fn slug(asked: Option<&str>, dir: &Path) -> Result<Slug, Stop> {
    if let Some(text) = asked {
        return Slug::parse(text).map_err(|e| Error::invalid("slug", e).into());
    }
    // `.` and `..` have a name too, and a folder that is not there yet has no canonical form.
    let full = dir.canonicalize().or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.to_owned());
    let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Slug::parse(&name)
        .map_err(|e| Error::field("slug", format!("the folder's name {}; name another with --slug", e.message)).into())
}

fn make(dir: &Path, files: &[(&'static str, String)]) -> Result<(), Stop> {
    let refused = |e: io::Error| -> Stop { Stop::local("FOLDER_NOT_WRITABLE", format!("{}: {e}", dir.display())) };
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            let message = format!("{} is not empty; name a folder that is empty or not there", dir.display());
            return Err(Error::new(Code::AlreadyExists, "FOLDER_NOT_EMPTY", message).into());
        }
        Ok(false) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(refused(e)),
    }
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
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine"), "x").unwrap();
        let error = make(folder.path(), &[("action.toml", String::new())]).unwrap_err().error.unwrap();
        assert_eq!((error.code, &*error.reason), (Code::AlreadyExists, "FOLDER_NOT_EMPTY"));
        assert!(!folder.path().join("action.toml").exists());
    }
}
