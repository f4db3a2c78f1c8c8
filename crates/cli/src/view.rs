//! Answers in their two forms: JSON, whose shapes docs/cli.md documents and scripts rely on, and text for people.

pub(crate) mod action;
pub(crate) mod audit;
pub(crate) mod case;
pub(crate) mod coverage;
pub(crate) mod delivery;
pub(crate) mod execution;
pub(crate) mod executor;
pub(crate) mod flow;
pub(crate) mod form;
pub(crate) mod history;
pub(crate) mod run;
pub(crate) mod secret;
mod table;
pub(crate) mod template;
pub(crate) mod tenant;
#[cfg(test)]
mod tests;
pub(crate) mod version;

use crate::screen::{Look, View};
use serde::Serialize;
use sluice_api::types::v1 as wire;

pub(crate) use table::{Cell, Table};

/// One page of a list: `{entries, next_page_token}`. The token is empty on the last page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) next_page_token: String,
}

/// What a list is made of.
pub(crate) trait Entry: Serialize + Sized {
    /// What is told where there is none.
    const NONE: &'static str;
    /// The names of the columns.
    const COLUMNS: &'static [&'static str];

    /// The cells of its row.
    fn row(&self, look: &Look) -> Vec<Cell>;
}

impl<T: Entry> View for Page<T> {
    fn render(&self, look: &Look) -> String {
        if self.entries.is_empty() {
            return format!("{}\n", T::NONE);
        }
        let mut table = Table::new(T::COLUMNS);
        for entry in &self.entries {
            table.row(entry.row(look));
        }
        let mut text = table.render(look);
        if !self.next_page_token.is_empty() {
            text.push_str(&look.faint(&format!("more: --page-token {}", self.next_page_token)));
            text.push('\n');
        }
        text
    }
}

/// What was accepted and is likely not what was meant: `{code, message, pointer?}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Warning {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

impl From<wire::Warning> for Warning {
    fn from(warning: wire::Warning) -> Warning {
        Warning { code: warning.code, message: warning.message, pointer: warning.pointer }
    }
}

/// Warnings, a line each.
fn warnings(all: &[Warning], look: &Look) -> String {
    let mut text = String::new();
    for Warning { code, message, pointer } in all {
        let at = pointer.as_deref().filter(|p| !p.is_empty()).map(|p| format!("{p}: ")).unwrap_or_default();
        text.push_str(&format!("{} {at}{message} ({code})\n", look.warning("warning:")));
    }
    text
}

/// `1 slot`, `2 slots`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A length of time for people: `61 µs`, `1.2 ms`, `1.50 s`.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        // Thousandths and millionths of what is shown with one and two places: nobody sees what a double rounds.
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// A size for people: `19 KiB`, `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

/// Text cut to so many characters.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars.saturating_sub(1)).collect();
    short.push('…');
    short
}
