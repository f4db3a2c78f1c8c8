//! The screen: JSON for scripts, or text for people. Colour, progress and hints are for terminals alone.

use crate::{
    next,
    stop::{Refusal, Stop, Told},
};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

/// Where answers go, and in which form.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    json: bool,
    look: Look,
    errors: Look,
}

/// How text for people looks.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Whether colours are shown.
    pub(crate) colour: bool,
    /// Whether what to do next is shown: to a person, never to a file.
    pub(crate) hints: bool,
    /// The time zone that times are shown in.
    pub(crate) zone: TimeZone,
}

impl Look {
    /// As a file gets it, in UTC.
    #[cfg(test)]
    pub(crate) fn plain() -> Look {
        Look { colour: false, hints: false, zone: TimeZone::UTC }
    }

    fn of(terminal: bool) -> Look {
        // https://no-color.org: set and not empty means none.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Look { colour: terminal && wanted && able, hints: terminal, zone: TimeZone::system() }
    }

    pub(crate) fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn warning(&self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A time as RFC 3339 in the reader's own zone, to the millisecond.
    pub(crate) fn time(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    }

    /// What to do next; nothing where nobody reads it.
    pub(crate) fn hint(&self, text: &str) -> String {
        if self.hints { format!("{}\n", self.faint(text)) } else { String::new() }
    }
}

/// What is told in two forms.
pub(crate) trait View: Serialize {
    /// For people: whole lines, the last one ended too.
    fn render(&self, look: &Look) -> String;
}

impl Screen {
    /// The process's own standard output and error.
    pub(crate) fn of_process(json: bool) -> Screen {
        Screen { json, look: Look::of(io::stdout().is_terminal()), errors: Look::of(io::stderr().is_terminal()) }
    }

    /// Tells an answer on standard output: one line of JSON, or text.
    pub(crate) fn show(&self, view: &impl View) {
        self.write(&if self.json { line(view) } else { printable(&view.render(&self.look)) });
    }

    /// Tells text to people; under `--json` nothing.
    pub(crate) fn say(&self, text: impl FnOnce(&Look) -> String) {
        if !self.json {
            self.write(&printable(&text(&self.look)));
        }
    }

    /// Tells text that was asked for, in whatever form.
    pub(crate) fn print(&self, text: &str) {
        self.write(&printable(text));
    }

    fn write(&self, text: &str) {
        // Who closed the pipe wants no more, and a full disk cannot be told to it either.
        let mut out = io::stdout().lock();
        let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Whether answers are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person can be asked: they see what is told, and what they type is read.
    pub(crate) fn can_ask(&self) -> bool {
        self.errors.hints && !self.json && io::stdin().is_terminal()
    }

    /// Tells on standard error what belongs to a question. Only who [can be asked](Self::can_ask) is.
    pub(crate) fn ask(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _closed = err.write_all(printable(text).as_bytes()).and_then(|()| err.flush());
    }

    /// Tells on standard error what to do next.
    pub(crate) fn next(&self, text: &str) {
        if !self.json {
            let mut err = io::stderr().lock();
            let _closed = writeln!(err, "{} {}", self.errors.faint("next:"), printable(text));
        }
    }

    /// Tells a warning on standard error; under `--json` it is in the answer instead.
    pub(crate) fn warn(&self, text: &str) {
        if !self.json {
            let mut err = io::stderr().lock();
            let _closed = writeln!(err, "{} {}", self.errors.warning("warning:"), printable(text));
        }
    }

    /// Tells what is wrong with the arguments, with the usage, as it looks with colours and without.
    pub(crate) fn misused(&self, coloured: &str, plain: &str) {
        let text = if self.errors.colour { coloured } else { plain };
        let _closed = io::stderr().lock().write_all(printable(text).as_bytes());
    }

    /// Tells what ended the verb, and how the process ends.
    pub(crate) fn stopped(&self, stop: &Stop) -> ExitCode {
        if let Some(error) = &stop.error {
            let mut err = io::stderr().lock();
            let _closed = if self.json {
                err.write_all(line(&serde_json::json!({ "error": Refusal::from(&**error) })).as_bytes())
            } else {
                let next = next::after(error).map(|next| format!("\n{} {next}", self.errors.faint("next:")));
                let next = next.unwrap_or_default();
                writeln!(
                    err,
                    "{} {}{}",
                    self.errors.bad("error:"),
                    printable(&Told(error).to_string()),
                    printable(&next)
                )
            };
        }
        ExitCode::from(stop.exit)
    }

    /// A spinner on standard error until it is dropped, where a person looks on.
    pub(crate) fn progress(&self, doing: String) -> Progress {
        let shown = self.errors.hints && !self.json;
        Progress(shown.then(|| {
            let bar = ProgressBar::new_spinner().with_message(doing);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }
}

/// A spinner; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

/// Compact JSON and a line end.
fn line(value: &impl Serialize) -> String {
    // Views are structs with text keys: they can always be written.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Text that cannot do anything to a terminal. Our own colours pass, all other control characters are shown by their number.
fn printable(text: &str) -> String {
    shown(text, is_colour)
}

/// The same of text that is not ours, such as what an Action logs, throws or answers: not even a colour passes, for it could
/// hide what stands behind it.
pub(crate) fn foreign(text: &str) -> String {
    shown(text, |_| false)
}

/// Text with its control characters shown by their number, but for line ends, tabs, and escapes that may pass by what follows
/// them.
fn shown(text: &str, may_pass: impl Fn(&str) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\x1b' if may_pass(rest.as_str()) => shown.push(c),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether an escape is followed by `[`, numbers, `m`: a colour, and nothing that moves or erases.
fn is_colour(after: &str) -> bool {
    after
        .strip_prefix('[')
        .is_some_and(|codes| codes.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_action_prints_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\r\u{9b}c\n"), "a\\x1b[2Jb\\x0d\\x9bc\n");
        assert_eq!(printable("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(foreign("a\x1b[8mb\x1b]0;c\x07\n\td"), "a\\x1b[8mb\\x1b]0;c\\x07\n\td");
    }

    #[test]
    fn times_are_shown_in_the_zone_of_the_reader() {
        let look = Look { zone: TimeZone::fixed(jiff::tz::offset(2)), ..Look::plain() };
        assert_eq!(look.time(Timestamp::UNIX_EPOCH), "1970-01-01T02:00:00.000+02:00");
        assert_eq!(Look::plain().time(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000+00:00");
    }

    #[test]
    fn without_colour_text_is_left_alone() {
        assert_eq!(Look::plain().bad("no"), "no");
        assert_eq!(Look { colour: true, ..Look::plain() }.bad("no"), "\x1b[31mno\x1b[0m");
    }
}
