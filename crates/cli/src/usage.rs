//! Bad usage, and what is asked for in place of a verb: help and the version.

use crate::{screen::Screen, stop::Stop};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use sluice_model::{Code, Error};
use std::process::ExitCode;

/// Bad usage.
const USAGE: u8 = 2;

/// Tells it: to people with the usage and what was likely meant, under `--json` as any other refusal.
pub(crate) fn told(error: &clap::Error, screen: &Screen) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) || !screen.is_json() {
        // Who closed the pipe wants no more.
        let _closed = error.print();
        if is_without_tenant(error) && !screen.is_json() {
            screen.next("--tenant NAME names it; sluice config set tenant NAME keeps it for all verbs");
        }
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
    }
    screen.stopped(&refusal(error))
}

fn is_without_tenant(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::MissingRequiredArgument && named(error).iter().any(|arg| arg.starts_with("--tenant"))
}

/// The arguments that it is about, as the usage shows them: `--trigger <TRIGGER>`.
fn named(error: &clap::Error) -> Vec<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => vec![arg.clone()],
        Some(ContextValue::Strings(args)) => args.clone(),
        _ => Vec::new(),
    }
}

fn refusal(error: &clap::Error) -> Stop {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // What follows is the usage, for people.
    let what = text.split("\n\nUsage:").next().unwrap_or_default();
    let what = what.split("\n\nFor more information").next().unwrap_or_default();
    let message = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let refused = Error::new(Code::InvalidArgument, "USAGE", message.clone());
    let refused = named(error).iter().fold(refused, |refused, arg| refused.with_field(field(arg), message.clone()));
    Stop { error: Some(Box::new(refused)), exit: USAGE }
}

/// `--trigger <TRIGGER>` is about `--trigger`, and `<DIR>` about `DIR`.
fn field(arg: &str) -> String {
    let first = arg.split([' ', '=']).next().unwrap_or_default();
    first.trim_matches(['<', '>', '[', ']', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::Cli;
    use clap::Parser as _;

    fn refused(line: &str) -> Error {
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        *refusal(&error).error.unwrap()
    }

    #[test]
    fn bad_usage_names_the_argument_and_what_it_takes() {
        for (line, field, says) in [
            ("sluice action publish dir --tenant a --bump huge", "--bump", "possible values: patch, minor, major"),
            ("sluice flow rollback login --tenant a", "--revision", "required"),
            ("sluice init", "DIR", "required"),
            ("sluice flow lst --tenant a", "", "similar subcommands exist"),
            ("sluice flow list --tenent a", "--tenent", "--tenant"),
            ("sluice tenant list --control-url ftp://x", "--control-url", "http://HOST:PORT"),
        ] {
            let error = refused(line);
            let fields: Vec<&str> = error.fields.iter().map(|f| f.field.as_str()).collect();
            assert!(field.is_empty() || fields.contains(&field), "{line}: {fields:?}");
            assert!(error.message.contains(says), "{line}: {}", error.message);
            assert!(!error.message.contains("Usage:") && !error.message.contains('\n'), "{}", error.message);
        }
    }
}
