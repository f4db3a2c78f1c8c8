//! `sluice man`

use super::Cli;
use crate::{
    lessons,
    screen::{Look, Screen, View},
    stop::{Stop, in_words},
};
use clap::CommandFactory as _;
use serde::Serialize;
use std::{fs, io, path::PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder for the pages; made when it is not there
    dir: PathBuf,
}

/// `{dir, files}`
#[derive(Debug, Serialize)]
struct Written {
    dir: PathBuf,
    files: Vec<String>,
}

impl View for Written {
    fn render(&self, look: &Look) -> String {
        let hint = look.hint(&format!("Next: man -l {}/sluice.1", self.dir.display()));
        format!("{} {} pages are in {}\n{hint}", look.good("✓"), self.files.len(), self.dir.display())
    }
}

pub(crate) fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let files = write(&args.dir)
        .map_err(|e| Stop::local("FOLDER_NOT_WRITABLE", format!("{}: {}", args.dir.display(), in_words(&e))))?;
    screen.show(&Written { dir: args.dir, files });
    Ok(())
}

fn write(dir: &std::path::Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(lessons::teach(Cli::command()), dir)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("sluice") && name.ends_with(".1") {
            files.push(name);
        }
    }
    files.sort_unstable();
    Ok(files)
}
