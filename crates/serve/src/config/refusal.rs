//! The refusal of a configuration: every mistake, each with its name, its source and what is taken instead.

use super::Origin;
use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's dotted name, or the name of the variable or file that is at fault.
    pub key: String,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong and what it takes.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: &str, origin: Origin, message: impl Into<String>) -> Problem {
        Problem { key: key.into(), origin, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { key, origin, message } = self;
        match origin {
            Origin::Variable(name) if name == key => write!(f, "{key} {message}"),
            Origin::Default => write!(f, "{key} {message} (it is not set)"),
            origin => write!(f, "{key} {message} ({origin})"),
        }
    }
}

/// Why a server does not start with these settings. Printed, it is one line a mistake.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Refusal {
    /// The mistakes, in the order in which they were found.
    pub problems: Vec<Problem>,
}

impl Refusal {
    pub(super) fn new(problems: Vec<Problem>) -> Refusal {
        Refusal { problems }
    }

    /// The settings struct itself is wrong: a fault of the program that its tests find, told in the same way.
    pub(super) fn broken(message: impl Into<String>) -> Refusal {
        Refusal { problems: vec![Problem::new("settings", Origin::Default, message)] }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is refused:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
