//! What ends a verb early: a refusal, bad usage, or a failure that has been told already.

use serde::Serialize;
use sluice_model::{Code, Diagnostic, Error, FieldViolation};
use std::fmt;

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
    /// The arguments do not fit together.
    pub(crate) fn usage(message: impl Into<String>) -> Stop {
        Stop { error: Some(Box::new(Error::new(Code::InvalidArgument, "USAGE", message))), exit: USAGE }
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
        let count = if found.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", found.len()) };
        let mut error = Error::new(Code::InvalidArgument, "INVALID_PACKAGE", format!("the package has {count}"));
        for diagnostic in found {
            let mut field = diagnostic.file.clone();
            if let (Some(line), Some(column)) = (diagnostic.line, diagnostic.column) {
                field.push_str(&format!(":{line}:{column}"));
            }
            // The place stands in the field already.
            let rendered = diagnostic.render();
            let prefix = format!("{field}: {}: ", diagnostic.severity);
            let message = rendered.strip_prefix(prefix.as_str()).unwrap_or(&rendered).to_owned();
            error = error.with_field(field, message);
        }
        error.into()
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
        write!(f, "{message} ({reason})")?;
        for FieldViolation { field, message: what } in fields {
            if *message == format!("{field}: {what}") {
                continue;
            }
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
