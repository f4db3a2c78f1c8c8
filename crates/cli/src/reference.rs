//! docs/cli.md, made of the definitions: the command line cannot say one thing and its page another.

use crate::lessons;
use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;

/// What stands before the verbs, and after them: what is not said of one verb.
const HEAD: &str = include_str!("../reference/head.md");
const TAIL: &str = include_str!("../reference/tail.md");

/// Flags that many verbs take, described once.
const COMMON: &[&str] =
    &["control-url", "executor-url", "etag", "help", "json", "limit", "page-token", "profile", "request-id"];

/// The page.
pub(crate) fn page(command: &Command) -> String {
    let mut text = format!("{HEAD}\n## Verbs\n");
    contents(command, "", &mut text);
    verbs(command, "", &mut text);
    text.push('\n');
    text.push_str(TAIL);
    text
}

/// The verbs at the ends of the tree, with their paths.
pub(crate) fn leaves<'c>(command: &'c Command, path: &str, found: &mut Vec<(String, &'c Command)>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let path = format!("{path}{}", sub.get_name());
        match sub.has_subcommands() {
            true => leaves(sub, &format!("{path} "), found),
            false => found.push((path, sub)),
        }
    }
}

fn contents(command: &Command, path: &str, text: &mut String) {
    let mut found = Vec::new();
    leaves(command, path, &mut found);
    text.push_str("| verb | what it does |\n| --- | --- |\n");
    for (path, sub) in found {
        let anchor = path.replace(' ', "-");
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        // A String takes every line.
        let _ = writeln!(text, "| [`{path}`](#{anchor}) | {} |", escaped(&about));
    }
}

fn verbs(command: &Command, path: &str, text: &mut String) {
    let mut found = Vec::new();
    leaves(command, path, &mut found);
    for (path, sub) in found {
        let _ = write!(text, "\n### {path}\n");
        if let Some(about) = sub.get_about() {
            let _ = write!(text, "{about}.");
        }
        let lesson = lessons::of(&path);
        if let Some(lesson) = lesson.filter(|lesson| !lesson.more.is_empty()) {
            let _ = write!(text, " {}", lesson.more);
        }
        text.push_str("\n\n```console\n");
        lesson.iter().flat_map(|lesson| lesson.examples).for_each(|example| {
            let _ = writeln!(text, "$ {example}");
        });
        text.push_str("```\n\n");
        arguments(sub, text);
        if let Some(lesson) = lesson {
            let _ = writeln!(text, "\nJSON: {}", lesson.json);
        }
    }
}

fn arguments(command: &Command, text: &mut String) {
    let is_common = |arg: &&Arg| arg.get_long().is_some_and(|long| COMMON.contains(&long) || is_tenant(arg));
    let own: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_common(arg)).collect();
    if !own.is_empty() {
        text.push_str("| argument | what it is |\n| --- | --- |\n");
    }
    for arg in own {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "| {} | {}{} |", name(arg), escaped(&help), details(arg));
    }
    let common = command.get_arguments().filter(is_common).filter_map(Arg::get_long);
    let common: Vec<String> =
        common.filter(|long| !["help", "json", "profile"].contains(long)).map(|long| format!("`--{long}`")).collect();
    if !common.is_empty() {
        let _ = writeln!(text, "\nAlso {}.", common.join(", "));
    }
}

/// `--tenant` as most verbs have it, once.
fn is_tenant(arg: &Arg) -> bool {
    arg.get_long() == Some("tenant") && !matches!(arg.get_action(), ArgAction::Append)
}

fn name(arg: &Arg) -> String {
    let value = || {
        let names = arg.get_value_names().unwrap_or_default();
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        names.join(" ")
    };
    let shown = match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => format!("--{long} {}", value()),
        Some(long) => format!("--{long}"),
        None => value(),
    };
    if arg.is_required_set() { format!("**`{shown}`**") } else { format!("`{shown}`") }
}

fn details(arg: &Arg) -> String {
    let mut text = String::new();
    let words: Vec<String> = match arg.get_action().takes_values() {
        true => arg
            .get_possible_values()
            .iter()
            .filter(|v| !v.is_hide_set())
            .map(|v| format!("`{}`", v.get_name()))
            .collect(),
        false => Vec::new(),
    };
    if !words.is_empty() {
        let _ = write!(text, ": {}", words.join(", "));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(text, ". Default `{}`", defaults.join(" "));
    }
    if matches!(arg.get_action(), ArgAction::Append) {
        text.push_str(" (may be given several times)");
    }
    text
}

/// A bar would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::Cli;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn docs_cli_md_is_what_the_definitions_say() {
        let mut command = lessons::teach(Cli::command());
        command.build();
        let page = page(&command);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        let differs = page.lines().zip(written.lines()).find(|(made, written)| made != written);
        assert!(
            page == written,
            "docs/cli.md is not what the definitions say; UPDATE_DOCS=1 writes it anew. First difference: {differs:?}"
        );
    }

    #[test]
    fn every_verb_has_its_lesson_and_every_example_is_taken() {
        let command = Cli::command();
        let mut found = Vec::new();
        leaves(&command, "", &mut found);
        let verbs: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        let taught: Vec<&str> = lessons::LESSONS.iter().map(|lesson| lesson.verb).collect();
        assert_eq!(taught, verbs, "the lessons, and the verbs in the order of the help");
        for lesson in lessons::LESSONS {
            assert!(!lesson.examples.is_empty() && !lesson.json.is_empty(), "{}", lesson.verb);
            for example in lesson.examples {
                let words = example.split_whitespace().take_while(|word| *word != ">");
                let mut words: Vec<&str> = words.collect();
                assert!(example.starts_with(&format!("sluice {}", lesson.verb)), "{example}");
                if !words.contains(&"--tenant") && verb_takes_tenant(&found, lesson.verb) {
                    words.extend(["--tenant", "acme"]);
                }
                Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }

    fn verb_takes_tenant(found: &[(String, &Command)], verb: &str) -> bool {
        found
            .iter()
            .any(|(path, command)| path == verb && command.get_arguments().any(|a| a.get_long() == Some("tenant")))
    }

    #[test]
    fn every_argument_says_what_it_is() {
        let command = Cli::command();
        let mut found = Vec::new();
        leaves(&command, "", &mut found);
        for (path, verb) in found {
            assert!(verb.get_about().is_some(), "{path}");
            for arg in verb.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(arg.get_help().is_some_and(|help| !help.to_string().is_empty()), "{path} {}", arg.get_id());
            }
        }
    }
}
