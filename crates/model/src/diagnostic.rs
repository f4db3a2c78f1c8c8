//! Diagnostics: a mistake in a package, with the file and the place where it was made and what would be right.

mod json;
#[cfg(test)]
mod tests;

use crate::decode::words;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, ops::Range};

pub use json::{duplicate_key, locate_json};

/// The most characters of a line that an excerpt shows.
const EXCERPT_CHARS: usize = 120;
/// The most characters that an excerpt underlines.
const UNDERLINE_CHARS: usize = 60;

/// The code of what says that there are more mistakes than are told.
pub const MORE: &str = "too_many_mistakes";

words! {
    /// How bad it is.
    Severity {
        /// The package is refused.
        Error = "error",
        /// The package is taken.
        Warning = "warning",
    }
}

/// A mistake in a package.
///
/// `Display` is one line that editors and terminals can follow: `src/index.ts:3:14: error: ...`. [`Diagnostic::render`]
/// adds the excerpt and the help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The author's file, relative to the package: `src/index.ts`; empty for the package as a whole.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in UTF-16 code units, from 1: what editors, source maps and JavaScript engines count in.
    pub column: Option<u32>,
    /// What kind of mistake it is, for machines: lower case with underscores, stable.
    pub code: Cow<'static, str>,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line of the file with its number, and under it a mark at the place. Two lines.
    pub excerpt: Option<String>,
    /// In JSON and TOML files the JSON pointer to the key that is at fault.
    pub pointer: Option<String>,
}

impl Diagnostic {
    /// A mistake that refuses the package. Place, help and pointer are added by the other methods.
    pub fn error(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: file.into(),
            line: None,
            column: None,
            code: Cow::Borrowed(code),
            message: message.into(),
            help: None,
            excerpt: None,
            pointer: None,
        }
    }

    /// A mistake in a JSON file, at a pointer: line, column and excerpt are looked up in the file's text.
    pub fn in_json(code: &'static str, file: impl Into<String>, text: &str, invalid: crate::Invalid) -> Diagnostic {
        let place = locate_json(text, &invalid.pointer);
        let found = Diagnostic::error(code, file, invalid.message).with_pointer(invalid.pointer);
        match place {
            Some(span) => found.at(text, span),
            None => found,
        }
    }

    /// Text that is not JSON at all, or nested too deeply: the place is where reading stopped.
    pub fn not_json(file: impl Into<String>, text: &str, error: &serde_json::Error) -> Diagnostic {
        if text.trim().is_empty() {
            return Diagnostic::error("invalid_json", file, "not JSON: the file is empty");
        }
        let full = error.to_string();
        let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
        let message = match message.strip_prefix("EOF while parsing ") {
            Some(what) => format!("the file ends in the middle of {what}"),
            None if message == "recursion limit exceeded" => {
                "nested too deeply; at most 127 levels are taken".to_owned()
            }
            None => message.to_owned(),
        };
        let found = Diagnostic::error("invalid_json", file, format!("not JSON: {message}"));
        if error.line() == 0 {
            return found;
        }
        let start = text.split_inclusive('\n').take(error.line() - 1).map(str::len).sum::<usize>();
        // serde_json counts columns in bytes and from 1.
        let offset = floor_boundary(text, start + error.column().saturating_sub(1));
        found.at(text, offset..offset)
    }

    /// A key that stands in JSON twice, where one does: which of the two would count is not left to chance.
    pub fn key_twice(file: impl Into<String>, text: &str) -> Option<Diagnostic> {
        let (pointer, span) = duplicate_key(text)?;
        let key = text.get(span.clone()).unwrap_or_default();
        Some(
            Diagnostic::error("key_twice", file, format!("{key} stands here twice"))
                .at(text, span)
                .with_pointer(pointer),
        )
    }

    /// Where it is: a range of bytes in the file's text. Sets line, column and excerpt.
    #[must_use]
    pub fn at(mut self, text: &str, span: Range<usize>) -> Diagnostic {
        let start = floor_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let before = &text[line_start..start];
        let number = text[..line_start].bytes().filter(|b| *b == b'\n').count() + 1;
        self.line = u32::try_from(number).ok();
        self.column = u32::try_from(before.encode_utf16().count() + 1).ok();
        let end = floor_boundary(text, span.end).clamp(start, line_end);
        self.excerpt = Some(excerpt(number, line, before.chars().count(), text[start..end].chars().count()));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The JSON pointer to the key that is at fault.
    #[must_use]
    pub fn with_pointer(mut self, pointer: impl Into<String>) -> Diagnostic {
        self.pointer = Some(pointer.into());
        self
    }

    /// The field of a refusal that tells it: `src/index.ts:3:14`, `action.toml`, or `package` for the package as a whole.
    pub fn field(&self) -> String {
        match (self.file.as_str(), self.line, self.column) {
            ("", ..) => "package".to_owned(),
            (file, Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            (file, ..) => file.to_owned(),
        }
    }

    /// What that field says: the message, with the key that it is about, the excerpt and the help.
    pub fn description(&self) -> String {
        let mut text = match self.pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
            Some(pointer) => format!("{pointer}: {}", self.message),
            None => self.message.clone(),
        };
        for more in self.excerpt.iter().chain(self.help.as_ref().map(|help| format!("help: {help}")).as_ref()) {
            text.push('\n');
            text.push_str(more);
        }
        text
    }

    /// What a refusal begins with that tells these.
    pub fn headline(found: &[Diagnostic]) -> String {
        match found.iter().filter(|found| found.code != MORE).count() {
            0 | 1 if found.len() < 2 => "the package has a mistake".to_owned(),
            count if count < found.len() => format!("the package has over {count} mistakes"),
            count => format!("the package has {count} mistakes"),
        }
    }

    /// Everything that is known, on several lines, for a terminal.
    pub fn render(&self) -> String {
        let mut text = self.to_string();
        for line in self.excerpt.iter().flat_map(|e| e.lines()) {
            text.push_str("\n  ");
            text.push_str(line);
        }
        if let Some(help) = &self.help {
            text.push_str("\n  help: ");
            text.push_str(help);
        }
        text
    }

    /// The order in which people read: by file, by place, then by what is said.
    pub fn sort(found: &mut [Diagnostic]) {
        found.sort_by(|a, b| {
            (&a.file, a.line, a.column, &a.pointer, &a.message)
                .cmp(&(&b.file, b.line, b.column, &b.pointer, &b.message))
        });
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: ", self.severity)?;
        if let Some(pointer) = self.pointer.as_deref().filter(|p| !p.is_empty()) {
            write!(f, "{pointer}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The nearest of a few words, where one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word is no typing mistake, and the distance below costs the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let allowed = if word.chars().count() <= 3 { 1 } else { 2 };
    among
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The line and the mark under it; long lines are cut around the place.
fn excerpt(number: usize, line: &str, column: usize, width: usize) -> String {
    let skipped = column.saturating_sub(EXCERPT_CHARS / 2);
    // Tabs and control characters would move the mark, or the terminal's cursor.
    let shown: String =
        line.chars().skip(skipped).take(EXCERPT_CHARS).map(|c| if moves(c) { ' ' } else { c }).collect();
    let margin = number.to_string();
    let room = shown.chars().count().saturating_sub(column - skipped);
    let underline = "^".repeat(width.min(room).clamp(1, UNDERLINE_CHARS));
    let indent = " ".repeat(column - skipped);
    format!("{margin} | {}\n{} | {indent}{underline}", shown.trim_end(), " ".repeat(margin.len()))
}

/// Whether a character would move others on a terminal: control characters, and those that turn text around.
fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// The nearest boundary between characters at or before an offset.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
