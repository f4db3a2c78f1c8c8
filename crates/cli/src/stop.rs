//! What ends a verb early: a refusal, bad usage, or a failure that has been told already.

use crate::screen::foreign;
use serde::Serialize;
use sluice_control_plane::catalogue::refusal::invalid_package;
use sluice_model::{Code, Diagnostic, Error, FieldViolation};
use std::{fmt, io};

/// Refused by the service, or by what the service would refuse.
const REFUSED: u8 = 1;
/// Bad usage; clap's own mistakes end so too.
const USAGE: u8 = 2;

/// Why a verb ended early.
#[derive(Debug)]
pub(crate) struct Stop {
    /// What is told on standard error; `None` where all has been told.
    pub(crate) error: Option<Box<Error>>,
    /// How the process ends.
    pub(crate) exit: u8,
}

impl Stop {
    /// Bad usage, of several arguments, variables or settings: each is a field.
    pub(crate) fn usage(message: &str, wrong: impl IntoIterator<Item = (String, String)>) -> Stop {
        let error = Error::new(Code::InvalidArgument, "USAGE", message);
        let error = wrong.into_iter().fold(error, |error, (name, message)| error.with_field(name, message));
        Stop { error: Some(Box::new(error)), exit: USAGE }
    }

    /// The same of one of them.
    pub(crate) fn misused(name: &str, message: impl Into<String>) -> Stop {
        let error = Error { reason: "USAGE".into(), ..Error::field(name, message) };
        Stop { error: Some(Box::new(error)), exit: USAGE }
    }

    /// A file of the user's that cannot be read or is too large, by the argument that names it.
    pub(crate) fn file(name: &str, message: impl Into<String>) -> Stop {
        Error { reason: "INVALID_FILE".into(), ..Error::field(name, message) }.into()
    }

    /// This machine refuses: a file that cannot be read, a port that is taken.
    pub(crate) fn local(reason: &'static str, message: impl Into<String>) -> Stop {
        Error::new(Code::FailedPrecondition, reason, message).into()
    }

    /// The verb did its work and the answer is no; it is on the screen already.
    pub(crate) const fn told() -> Stop {
        Stop { error: None, exit: REFUSED }
    }

    /// A package that does not compile or whose files have mistakes, each a field: as the control plane tells them.
    pub(crate) fn package(found: &[Diagnostic]) -> Stop {
        invalid_package(found).into()
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop { error: Some(Box::new(error)), exit: REFUSED }
    }
}

impl From<tonic::Status> for Stop {
    fn from(status: tonic::Status) -> Stop {
        sluice_api::status::from_status(&status).into()
    }
}

/// An answer that does not fit what this build knows.
impl From<sluice_api::FieldError> for Stop {
    fn from(error: sluice_api::FieldError) -> Stop {
        let message = format!("the answer cannot be read, is this sluice older than the service? {error}");
        Error::new(Code::Internal, "UNREADABLE_ANSWER", message).into()
    }
}

/// What the system refused, in plain words and without its number.
pub(crate) fn in_words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder",
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::NotADirectory => "a part of the path is not a folder",
        io::ErrorKind::PermissionDenied => "this user may not do so",
        io::ErrorKind::ConnectionRefused => "nothing listens there",
        io::ErrorKind::TimedOut => "there was no answer in time",
        io::ErrorKind::AddrInUse => "the address is in use",
        io::ErrorKind::AddrNotAvailable => "it is no address of this machine",
        io::ErrorKind::StorageFull => "the disk is full",
        io::ErrorKind::ReadOnlyFilesystem => "the disk can only be read",
        _ => {
            let text = without_number(&error.to_string());
            // The system's own begin as a sentence does.
            let mut letters = text.chars();
            return letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
        }
    };
    words.to_owned()
}

/// The words of an error without ` (os error 13)`, which helps nobody who reads it.
pub(crate) fn without_number(text: &str) -> String {
    const BEGIN: &str = " (os error ";
    let mut parts = text.split(BEGIN);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((_, rest)) => words.push_str(rest),
            None => words.extend([BEGIN, part]),
        }
    }
    words
}

/// A refusal as `--json` shows it: `{code, reason, message, fields: [{field, message}]}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusal {
    /// gRPC's name of the code, upper case: `NOT_FOUND`.
    code: String,
    reason: String,
    message: String,
    fields: Vec<FieldViolation>,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Refusal {
        Refusal {
            code: error.code.as_str().to_ascii_uppercase(),
            reason: error.reason.to_string(),
            message: error.message.clone(),
            fields: error.fields.clone(),
        }
    }
}

/// A refusal for people: the message, then the fields that it does not name itself.
pub(crate) struct Told<'a>(pub(crate) &'a Error);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { message, reason, fields, .. } = self.0;
        write!(f, "{} ({})", foreign(message), foreign(reason))?;
        for FieldViolation { field, message: what } in fields {
            if *message == format!("{field}: {what}") {
                continue;
            }
            // An Action throws what it likes, and names its files so.
            let (field, what) = (foreign(field), foreign(what));
            let mut lines = what.lines();
            let first = lines.next().unwrap_or_default();
            match field.as_str() {
                "" => write!(f, "\n  {first}")?,
                field => write!(f, "\n  {field}: {first}")?,
            }
            for line in lines {
                write!(f, "\n    {}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_action_threw_cannot_do_anything_to_a_terminal() {
        let error = Error::new(Code::InvalidArgument, "INVALID_PACKAGE", "the package has a mistake")
            .with_field("src/\u{1b}[8mx.ts:1:1", "Error: no \u{1b}[8mway\u{7}\nthen\tmore");
        let told = Told(&error).to_string();
        assert!(told.contains("no \\x1b[8mway\\x07\n    then\tmore") && told.contains("src/\\x1b[8mx.ts"), "{told}");
        assert!(!told.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{told}");
    }

    #[test]
    fn what_the_system_refused_is_told_without_its_number() {
        for (number, words) in [(2, "there is no such file or folder"), (20, "a part of the path is not a folder")] {
            assert_eq!(in_words(&io::Error::from_raw_os_error(number)), words);
        }
        let other = in_words(&io::Error::from_raw_os_error(40));
        assert!(other.starts_with(char::is_lowercase) && !other.contains("os error"), "{other}");
        assert_eq!(without_number("data: in use (os error 11); stop it (os error 2)"), "data: in use; stop it");
        assert_eq!(without_number("open (os error"), "open (os error");
    }
}
