//! The answer of Execute.

use super::{Cell, Table, run::Run};
use crate::{
    screen::{Look, View, foreign},
    stop::Stop,
};
use serde::Serialize;
use sluice_api::{convert::Ctx as _, executor::v1 as executor};
use sluice_model::{OutcomeKind, RunResult, slot::SlotAnswer};

/// `{verdict, decided_by | null, claims, state, pending, flow_revision, results: [R], execution_id}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Execution {
    #[serde(flatten)]
    answer: SlotAnswer,
    flow_revision: u64,
    results: Vec<Run>,
    execution_id: String,
}

impl TryFrom<executor::ExecuteResponse> for Execution {
    type Error = Stop;

    fn try_from(mut answer: executor::ExecuteResponse) -> Result<Execution, Stop> {
        let results = std::mem::take(&mut answer.results).into_iter().map(RunResult::try_from);
        let results = results.collect::<Result<Vec<_>, _>>().ctx("results")?;
        Ok(Execution {
            flow_revision: answer.flow_revision,
            execution_id: std::mem::take(&mut answer.execution_id),
            results: results.into_iter().map(|run| Run { run, emits: None }).collect(),
            answer: SlotAnswer::try_from(answer)?,
        })
    }
}

impl Execution {
    /// The slot's verdict.
    pub(crate) fn verdict(&self) -> OutcomeKind {
        self.answer.verdict
    }

    /// How many runs failed.
    pub(crate) fn failures(&self) -> usize {
        self.results.iter().filter(|r| r.run.failure.is_some()).count()
    }

    fn heading(&self, look: &Look) -> String {
        let SlotAnswer { verdict, decided_by, .. } = &self.answer;
        let word = match verdict {
            OutcomeKind::Continue => look.good("✓ continue"),
            OutcomeKind::Block => look.bad("✗ block"),
            OutcomeKind::DemandMfa => look.warning("◆ demand_mfa"),
            OutcomeKind::Redirect => look.warning("→ redirect"),
        };
        let mut text = look.strong(&word);
        let Some(by) = decided_by else { return text + "\n" };
        let action = self.results.iter().find(|r| r.run.attachment == by.attachment).map(Run::action);
        text.push_str(&format!("  by {}", action.as_ref().unwrap_or(&by.attachment)));
        if let Some(code) = &by.reason_code {
            text.push_str(&format!(": {}", foreign(code)));
        }
        text.push('\n');
        if let Some(message) = &by.user_message {
            text.push_str(&format!("  the user reads: {}\n", foreign(message)));
        }
        if let Some(error) = by.error {
            let retry = by.retry_after_s.map(|s| format!(", retry after {s} s")).unwrap_or_default();
            text.push_str(&format!("  error {error}{retry}\n"));
        }
        text
    }

    fn demands(&self) -> String {
        let mut text = String::new();
        if let Some(mfa) = &self.answer.pending.mfa {
            let factors: Vec<&str> = mfa.factors.iter().map(|f| f.as_str()).collect();
            let factors = if factors.is_empty() { "any factor".to_owned() } else { factors.join(" or ") };
            let remember = if mfa.allow_remember { ", a remembered device will do" } else { "" };
            text.push_str(&format!(
                "  second factor: {factors}, at most {} s old{remember}; unenrolled: {}, not interactive: {}\n",
                mfa.max_age_s, mfa.on_unenrolled, mfa.on_non_interactive
            ));
        }
        if let Some(redirect) = &self.answer.pending.redirect {
            text.push_str(&format!("  redirect ({}): {}\n", redirect.mode, foreign(&redirect.url)));
            for (name, value) in &redirect.query {
                text.push_str(&format!("    {}={}\n", foreign(name), foreign(&value.to_string())));
            }
        }
        for claim in &self.answer.claims {
            text.push_str(&format!(
                "  claim of the {} token: {} = {}\n",
                claim.token,
                claim.name,
                super::cut(&claim.value.to_string(), 80)
            ));
        }
        if !self.answer.state.is_empty() {
            let state = serde_json::Value::Object(self.answer.state.clone()).to_string();
            text.push_str(&format!("  state: {}\n", super::cut(&state, 100)));
        }
        text
    }
}

impl View for Execution {
    fn render(&self, look: &Look) -> String {
        let mut text = self.heading(look);
        text.push_str(&self.demands());
        if self.results.is_empty() {
            text.push_str("  nothing is attached here\n");
        } else {
            let mut table = Table::new(&[]);
            for (place, run) in self.results.iter().enumerate() {
                let (note, cost) = (Cell::new(run.note()), Cell::new(run.cost()).faint());
                table.row([
                    Cell::number(format!("  {}", place + 1)),
                    Cell::new(run.action()),
                    run.ending(),
                    note,
                    cost,
                ]);
            }
            text.push_str(&table.render(look));
        }
        for run in &self.results {
            let details = run.details(look);
            if !details.is_empty() {
                text.push_str(&format!("  {}\n{details}", run.action()));
            }
        }
        text.push_str(&look.faint(&format!("  flow revision {}, execution {}", self.flow_revision, self.execution_id)));
        text.push('\n');
        text
    }
}
