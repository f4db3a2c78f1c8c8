//! Bad usage, and what is asked for in place of a verb: help and the version.

use crate::{screen::Screen, stop::Stop};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use sluice_model::{Code, Error};
use std::{
    error::Error as _,
    num::{IntErrorKind, ParseFloatError, ParseIntError},
    process::ExitCode,
};

/// Bad usage.
const USAGE: u8 = 2;

/// Tells it: to people with the usage and what was likely meant, under `--json` as any other refusal.
pub(crate) fn told(error: &clap::Error, screen: &Screen) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Who closed the pipe wants no more.
        let _closed = error.print();
    } else if screen.is_json() {
        return screen.stopped(&refusal(error));
    } else {
        let text = error.render();
        screen.misused(&in_words(error, &text.ansi().to_string()), &in_words(error, &text.to_string()));
        if is_without_tenant(error) {
            screen.next("--tenant NAME names it; sluice config set tenant NAME keeps it for all verbs, SLUICE_TENANT for a shell");
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// A text of a mistake with what a number takes in our words: the library's own are those of its language.
fn in_words(error: &clap::Error, text: &str) -> String {
    let Some(source) = error.source() else { return text.to_owned() };
    let said = source.to_string();
    let takes = if let Some(wrong) = source.downcast_ref::<ParseIntError>() {
        match wrong.kind() {
            IntErrorKind::PosOverflow => "takes a smaller whole number".to_owned(),
            _ => "takes a whole number".to_owned(),
        }
    } else if source.is::<ParseFloatError>() {
        "takes a number".to_owned()
    } else if let Some((from, to)) = said.split_once(" is not in ").and_then(|(_, range)| range.split_once("..=")) {
        format!("takes a whole number from {from} to {to}")
    } else {
        return text.to_owned();
    };
    // What the user wrote comes first and may be the same words.
    match text.rfind(&said) {
        Some(at) => format!("{}{takes}{}", &text[..at], &text[at + said.len()..]),
        None => text.to_owned(),
    }
}

fn is_without_tenant(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::MissingRequiredArgument && named(error).iter().any(|arg| arg.starts_with("--tenant"))
}

/// The arguments that it is about, as the usage shows them: `--trigger <TRIGGER>`; or the verb that there is not.
fn named(error: &clap::Error) -> Vec<String> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => ContextKind::InvalidArg,
    };
    match error.get(kind) {
        Some(ContextValue::String(arg)) => vec![arg.clone()],
        Some(ContextValue::Strings(args)) => args.clone(),
        _ => Vec::new(),
    }
}

fn refusal(error: &clap::Error) -> Stop {
    let text = in_words(error, &error.render().to_string());
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // What follows is the usage, for people.
    let what = text.split("\n\nUsage:").next().unwrap_or_default();
    let what = what.split("\n\nFor more information").next().unwrap_or_default();
    let message = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let refused = Error::new(Code::InvalidArgument, "USAGE", message.clone());
    let refused = named(error).iter().fold(refused, |refused, arg| {
        let field = field(arg);
        let is_tenant = field == "--tenant" && is_without_tenant(error);
        let message =
            if is_tenant { format!("{message}; SLUICE_TENANT names the tenant too") } else { message.clone() };
        refused.with_field(field, message)
    });
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
            ("sluice flow lst --tenant a", "lst", "similar subcommands exist"),
            ("sluice tset dir", "tset", "'test'"),
            (
                "sluice flow list --limit 1001 --tenant a",
                "--limit",
                "'1001' for '--limit <N>': takes a whole number from 1 to 1000",
            ),
            ("sluice flow list --limit x --tenant a", "--limit", "takes a whole number"),
            ("sluice execute f --trigger t --input i --tenant a --timeout-ms 0", "--timeout-ms", "from 1 to 600000"),
            (
                "sluice execute f --trigger t --input i --tenant a --revision 99999999999999999999",
                "--revision",
                "smaller",
            ),
            ("sluice bench run --flow f --trigger t --input i --tenant a --seconds x", "--seconds", "takes a number"),
            ("sluice flow list --tenent a", "--tenent", "--tenant"),
            ("sluice tenant list --control-url ftp://x", "--control-url", "http://HOST:PORT"),
        ] {
            let error = refused(line);
            let fields: Vec<&str> = error.fields.iter().map(|f| f.field.as_str()).collect();
            assert!(fields.contains(&field), "{line}: {fields:?}");
            assert!(error.message.contains(says), "{line}: {}", error.message);
            assert!(!error.message.contains("Usage:") && !error.message.contains('\n'), "{}", error.message);
        }
    }

    #[test]
    fn who_names_no_tenant_is_told_how_else_it_can_be_named() {
        let error = refused("sluice flow show login");
        let tenant = error.fields.iter().find(|field| field.field == "--tenant");
        // A tenant of the environment is one too.
        if std::env::var_os("SLUICE_TENANT").is_none() {
            assert!(tenant.unwrap().message.contains("SLUICE_TENANT"), "{error:?}");
        }
    }
}
