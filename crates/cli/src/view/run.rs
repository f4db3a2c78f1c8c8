//! One run: what an attachment's Action came to.

use super::{Cell, duration, size};
use crate::screen::{Look, View, foreign};
use serde::Serialize;
use sluice_model::{
    Failure, LogLevel, LogLine, Outcome, OutcomeKind, RunResult,
    outcome::{Decision, Emit},
};

/// The most lines of a stack that are shown.
const STACK_LINES: usize = 8;

/// `{attachment, slug, version, outcome | null, failure | null, skipped | null, cpu_us, wall_us, memory_bytes, logs}`, and
/// in mode test `emits`, the events that would be delivered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    #[serde(flatten)]
    pub(crate) run: RunResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) emits: Option<Vec<Emit>>,
}

impl Run {
    /// `slug@version`
    pub(crate) fn action(&self) -> String {
        format!("{}@{}", self.run.slug, self.run.version)
    }

    /// How it ended, in a word with its symbol.
    pub(crate) fn ending(&self) -> Cell {
        match (&self.run.outcome, &self.run.failure, self.run.skipped) {
            (Some(outcome), ..) => kind(outcome.kind()),
            (_, Some(failure), _) => Cell::new(format!("! {}", failure.reason)).bad(),
            (.., Some(skipped)) => Cell::new(format!("- skipped, {skipped}")).faint(),
            // The model promises one of the three.
            _ => Cell::new(""),
        }
    }

    /// Why, in short: a reason code, a place in the author's source, where a redirect leads.
    pub(crate) fn note(&self) -> String {
        match (&self.run.outcome, &self.run.failure) {
            (Some(outcome), _) => outcome_note(outcome),
            (_, Some(failure)) => place(failure).unwrap_or_else(|| super::cut(&failure.message, 60)),
            _ => String::new(),
        }
    }

    /// What it cost.
    pub(crate) fn cost(&self) -> String {
        if self.run.skipped.is_some() {
            return String::new();
        }
        format!("{} CPU, {} in all", duration(self.run.cpu_us), duration(self.run.wall_us))
    }

    /// The failure and the logs, indented.
    pub(crate) fn details(&self, look: &Look) -> String {
        let mut text = String::new();
        if let Some(failure) = &self.run.failure {
            text.push_str(&failed(failure, look));
        }
        text.push_str(&printed(&self.run.logs, look));
        text
    }
}

/// What runs printed, indented.
pub(super) fn printed(logs: &[LogLine], look: &Look) -> String {
    let mut text = String::new();
    for LogLine { level, text: line } in logs {
        let level = match level {
            LogLevel::Error => look.bad("error"),
            LogLevel::Warn => look.warning("warn "),
            LogLevel::Info => look.faint("info "),
            LogLevel::Debug => look.faint("debug"),
        };
        text.push_str(&format!("    {level}  {}\n", foreign(line)));
    }
    text
}

/// What `sluice test --input` tells.
impl View for Run {
    fn render(&self, look: &Look) -> String {
        let mut table = super::Table::new(&[]);
        table.row([self.ending(), Cell::new(self.action()), Cell::new(self.note())]);
        let mut text = table.render(look);
        if let Some(outcome) = &self.run.outcome {
            // The whole answer: this is what its author is here for.
            let pretty = serde_json::to_string_pretty(outcome).unwrap_or_default();
            pretty.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        text.push_str(&self.details(look));
        text.push_str(&look.faint(&format!("  {}, {} of memory", self.cost(), size(self.run.memory_bytes))));
        text.push('\n');
        text
    }
}

/// An outcome's kind with its symbol.
pub(crate) fn kind(kind: OutcomeKind) -> Cell {
    match kind {
        OutcomeKind::Continue => Cell::new("✓ continue").good(),
        OutcomeKind::Block => Cell::new("✗ block").bad(),
        OutcomeKind::DemandMfa => Cell::new("◆ demand_mfa").warning(),
        OutcomeKind::Redirect => Cell::new("→ redirect").warning(),
    }
}

fn outcome_note(outcome: &Outcome) -> String {
    let mut parts: Vec<String> = outcome.reason_code.iter().cloned().collect();
    match &outcome.decision {
        Decision::Redirect(redirect) => parts.push(redirect.url.clone()),
        // What the user reads is told beside the verdict.
        Decision::Block(_) | Decision::Continue | Decision::DemandMfa(_) => {}
    }
    super::cut(&parts.join("  "), 100)
}

/// `src/index.ts:3:9`
pub(crate) fn place(failure: &Failure) -> Option<String> {
    let file = failure.file.as_ref()?;
    Some(match (failure.line, failure.column) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        _ => file.clone(),
    })
}

/// A failure for its author: where, what, and the stack.
pub(crate) fn failed(failure: &Failure, look: &Look) -> String {
    let at = place(failure).map(|p| format!("{}: ", foreign(&p))).unwrap_or_default();
    let pointer = failure.pointer.as_deref().filter(|p| !p.is_empty());
    let pointer = pointer.map(|p| format!("{}: ", foreign(p))).unwrap_or_default();
    let mut text = String::new();
    for (i, line) in foreign(&failure.message).lines().enumerate() {
        let line = if i == 0 {
            format!("{}{}", look.strong(&at), look.bad(&format!("{pointer}{line}")))
        } else {
            line.to_owned()
        };
        text.push_str(&format!("    {line}\n"));
    }
    let stack = foreign(failure.stack.as_deref().unwrap_or_default());
    let stack: Vec<&str> = stack.lines().collect();
    for line in stack.iter().take(STACK_LINES) {
        text.push_str(&look.faint(&format!("      {}", line.trim())));
        text.push('\n');
    }
    if stack.len() > STACK_LINES {
        text.push_str(&look.faint(&format!("      ... {} more (--json has them)", stack.len() - STACK_LINES)));
        text.push('\n');
    }
    text
}
