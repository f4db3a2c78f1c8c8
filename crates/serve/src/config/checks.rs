//! What each setting takes, said once: it checks the settings and words the errors.

use super::Settings;
use std::{fmt::Display, ops::RangeInclusive};

/// What one setting takes, and whether it is so.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) key: String,
    pub(super) takes: String,
    pub(super) holds: bool,
    pub(super) secret: bool,
}

/// Collects what each setting takes; given to [`Settings::check`]. Keys are relative to the struct that is checked.
#[derive(Debug)]
pub struct Checks<'a> {
    path: String,
    rules: &'a mut Vec<Rule>,
}

impl Checks<'_> {
    /// The setting takes a number in this range, of this unit.
    pub fn range<N: PartialOrd + Display>(&mut self, key: &str, value: N, range: RangeInclusive<N>, unit: &str) {
        let takes = format!("{} to {} {unit}", range.start(), range.end());
        self.require(key, range.contains(&value), takes.trim_end());
    }

    /// The setting takes `takes`, which `holds` or does not.
    pub fn require(&mut self, key: &str, holds: bool, takes: impl Into<String>) {
        self.rules.push(Rule { key: format!("{}{key}", self.path), takes: takes.into(), holds, secret: false });
    }

    /// The setting takes `takes`, which its type already ensures.
    pub fn takes(&mut self, key: &str, takes: impl Into<String>) {
        self.require(key, true, takes);
    }

    /// As [`Checks::require`], and the value is never printed.
    pub fn secret(&mut self, key: &str, holds: bool, takes: impl Into<String>) {
        self.rules.push(Rule { key: format!("{}{key}", self.path), takes: takes.into(), holds, secret: true });
    }

    /// Checks the settings under `key`.
    pub fn section(&mut self, key: &str, section: &impl Settings) {
        section.check(&mut Checks { path: format!("{}{key}.", self.path), rules: self.rules });
    }
}

/// The rules of these settings.
pub(super) fn rules(settings: &impl Settings) -> Vec<Rule> {
    let mut rules = Vec::new();
    settings.check(&mut Checks { path: String::new(), rules: &mut rules });
    rules
}
