//! Documents that are run exactly as written: every command in its order, every file, and what is said to be printed.

use crate::{Planes, binary};
use std::{path::Path, process::Command};

/// A part of the document.
#[derive(Debug, PartialEq)]
enum Step {
    /// A file to write: its path and its text.
    File(String, String),
    /// Commands.
    Run(String),
    /// What the commands before it print; `…` stands for what differs from time to time.
    Prints(String),
}

/// The parts of a document: fenced blocks. A file's block follows a line with its path: "`src/index.ts`:".
fn steps(text: &str) -> Vec<Step> {
    let (mut found, mut path) = (Vec::new(), None);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(named) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) {
            path = Some(named.to_owned());
        } else if let Some(kind) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let body = body.join("\n") + "\n";
            match (kind, path.take()) {
                ("ts" | "js" | "json" | "toml", Some(path)) => found.push(Step::File(path, body)),
                ("sh", None) => found.push(Step::Run(body)),
                ("text", None) => found.push(Step::Prints(body)),
                // For people: what is started beside it, and a part of a file.
                ("console" | "rust", None) => {}
                (kind, path) => panic!("a block of {kind:?} after the path {path:?}"),
            }
        } else {
            assert!(line.is_empty() || path.is_none(), "no block follows the path {path:?}");
        }
    }
    found
}

/// Before the output of each block of commands.
const MARK: &str = "@@@ block";

/// One script of it all, for one shell.
fn script(steps: &[Step]) -> String {
    let mut script = String::new();
    for step in steps {
        match step {
            Step::File(path, text) => {
                let folder = Path::new(path).parent().unwrap_or(Path::new("."));
                script.push_str(&format!(
                    "mkdir -p './{}'\ncat > '{path}' <<'END_OF_FILE'\n{text}END_OF_FILE\n",
                    folder.display()
                ));
            }
            Step::Run(commands) => script.push_str(&format!("printf '%s\\n' '{MARK}'\n{commands}")),
            Step::Prints(_) => {}
        }
    }
    script
}

/// Whether a printed line is as written. Columns are padded by what they hold.
fn fits(written: &str, printed: &str) -> bool {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (written, mut printed) = (squeezed(written), squeezed(printed));
    let mut parts = written.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(rest) = printed.strip_prefix(first).map(str::to_owned) else { return false };
    printed = rest;
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        // What stands for something stands for a character at least.
        let from = printed.chars().next().map_or(0, char::len_utf8);
        if from == 0 {
            return false;
        }
        let found = match parts.peek() {
            None => printed[from..].ends_with(part).then_some(printed.len()),
            Some(_) => printed[from..].find(part).map(|at| from + at + part.len()),
        };
        let Some(end) = found else { return false };
        printed = printed[end..].to_owned();
    }
    printed.is_empty()
}

/// Runs a document in the folder of these planes, and holds what is printed against what is written: what a part of it leaves is
/// there for the next. Answers how many lines were compared.
pub fn run(planes: &Planes, text: &str) -> usize {
    run_in(planes, ".", text)
}

/// The same in a folder of its own below: for documents that are run beside each other.
pub fn run_in(planes: &Planes, folder: &str, text: &str) -> usize {
    let steps = steps(text);
    let folder = planes.folder.path().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let sluice = binary("sluice");
    let path = format!("{}:{}", sluice.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let ran = Command::new("bash")
        .args(["-eu", "-c", &script(&steps)])
        .current_dir(folder)
        .env("PATH", path)
        .env("SLUICE_CONTROL_URL", planes.control.url("control"))
        .env("SLUICE_EXECUTOR_URL", planes.executor.url("executor"))
        .env("XDG_CONFIG_HOME", planes.folder.path().join("no-profiles"))
        .env_remove("SLUICE_TENANT")
        // A document's own cargo builds where it says.
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}\n{out}\n{err}", ran.status);

    let mark = format!("{MARK}\n");
    let mut printed = out.split(&mark).skip(1);
    let (mut block, mut wrong, mut compared) = ("", Vec::new(), 0);
    for step in &steps {
        match step {
            Step::File(..) => {}
            Step::Run(_) => block = printed.next().unwrap_or_default().trim_matches('\n'),
            Step::Prints(text) => {
                let written: Vec<&str> = text.trim_matches('\n').lines().collect();
                let shown: Vec<&str> = block.lines().collect();
                compared += written.len();
                if written.len() != shown.len() {
                    wrong.push(format!("written:\n{text}printed:\n{block}"));
                    continue;
                }
                let pairs = written.iter().zip(&shown).filter(|(written, shown)| !fits(written, shown));
                wrong.extend(pairs.map(|(written, shown)| format!("written: {written}\nprinted: {shown}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stands_for_something() {
        assert!(fits("✓ a … b", "✓ a 17 ms b") && fits("…", "x") && fits("at-…  x …", "at-7 x   y"));
        assert!(!fits("a…", "a") && !fits("a … b", "a b c") && !fits("a", "a b"));
    }
}
