//! Audit entries. A kind that this build does not know is shown as it is: new ones may come at any time.

use super::{Cell, Entry, cut};
use crate::{screen::Look, stop::Stop};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sluice_api::{
    convert::{Ctx as _, Word as _, json, required, timestamp},
    types::v1 as wire,
};
use sluice_model::{
    OutcomeKind, Skipped,
    audit::{AuditFailure, AuditRun},
};

/// `{cursor, time, kind, tenant, principal, flow, flow_revision, trigger, attachment, slug, version, sign_in_id,
/// execution_id, user_id, outcome, failure, reason_code, skipped, from, to, run}`, null where it does not apply. `run` is
/// what a run cost and where: `{executor, engine, cpu_us, wall_us, lost, annotations, risk_unusable, fetches, counters_fallback}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditEntry {
    cursor: String,
    time: Timestamp,
    kind: String,
    tenant: String,
    principal: String,
    flow: Option<String>,
    flow_revision: Option<u64>,
    trigger: Option<String>,
    attachment: Option<String>,
    slug: Option<String>,
    version: Option<String>,
    sign_in_id: Option<String>,
    execution_id: Option<String>,
    user_id: Option<String>,
    outcome: Option<OutcomeKind>,
    failure: Option<AuditFailure>,
    reason_code: Option<String>,
    skipped: Option<Skipped>,
    from: Option<Value>,
    to: Option<Value>,
    run: Option<AuditRun>,
}

impl TryFrom<wire::AuditRecord> for AuditEntry {
    type Error = Stop;

    fn try_from(record: wire::AuditRecord) -> Result<AuditEntry, Stop> {
        let given = |text: String| (!text.is_empty()).then_some(text);
        Ok(AuditEntry {
            cursor: record.cursor,
            time: required(record.time).and_then(timestamp).ctx("time")?,
            kind: record.kind,
            tenant: record.tenant,
            principal: record.principal,
            flow: given(record.flow),
            flow_revision: (record.flow_revision != 0).then_some(record.flow_revision),
            trigger: given(record.trigger),
            attachment: given(record.attachment),
            slug: given(record.slug),
            version: given(record.version),
            sign_in_id: given(record.sign_in_id),
            execution_id: given(record.execution_id),
            user_id: given(record.user_id),
            outcome: OutcomeKind::from_wire_or_none(record.outcome).ctx("outcome")?,
            failure: record.failure.map(AuditFailure::try_from).transpose().ctx("failure")?,
            reason_code: given(record.reason_code),
            skipped: Skipped::from_wire_or_none(record.skipped).ctx("skipped")?,
            from: record.from.map(json::value).transpose().ctx("from")?,
            to: record.to.map(json::value).transpose().ctx("to")?,
            run: record.run.map(AuditRun::try_from).transpose().ctx("run")?,
        })
    }
}

impl AuditEntry {
    /// What became of it: how a run ended, or what an edit changed.
    fn result(&self) -> Cell {
        let because = |word: &str| match &self.reason_code {
            Some(code) => format!("{word}  {code}"),
            None => word.to_owned(),
        };
        if let Some(failure) = &self.failure {
            let at = match (&failure.file, failure.line, failure.column) {
                (Some(file), Some(line), Some(column)) => format!("  {file}:{line}:{column}"),
                _ => String::new(),
            };
            return Cell::new(format!("! {}{at}", failure.reason)).bad();
        }
        if let Some(skipped) = self.skipped {
            return Cell::new(format!("- skipped, {skipped}")).faint();
        }
        match self.outcome {
            Some(OutcomeKind::Continue) => Cell::new(because("✓ continue")).good(),
            Some(OutcomeKind::Block) => Cell::new(because("✗ block")).bad(),
            Some(kind @ OutcomeKind::DemandMfa) => Cell::new(because(&format!("◆ {kind}"))).warning(),
            Some(kind @ OutcomeKind::Redirect) => Cell::new(because(&format!("→ {kind}"))).warning(),
            None => Cell::new(self.change()).faint(),
        }
    }

    /// The keys that an edit changed, or what it made.
    fn change(&self) -> String {
        let text = match (&self.from, &self.to) {
            (Some(Value::Object(from)), Some(Value::Object(to))) => {
                let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
                let shown =
                    changed.map(|(key, value)| format!("{key}: {} → {value}", from.get(key).unwrap_or(&Value::Null)));
                shown.collect::<Vec<_>>().join(", ")
            }
            (Some(from), Some(to)) => format!("{from} → {to}"),
            (Some(from), None) => format!("was {from}"),
            // What was published or attached has a column of its own; all of it is in the JSON.
            (None, Some(to)) if self.slug.is_none() => to.to_string(),
            (None, _) => String::new(),
        };
        cut(&text, 60)
    }
}

impl Entry for AuditEntry {
    const NONE: &'static str = "Nothing is recorded that fits.";
    const COLUMNS: &'static [&'static str] =
        &["TIME", "KIND", "FLOW", "TRIGGER", "ACTION", "SIGN-IN", "USER", "RESULT"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let text = |field: &Option<String>| Cell::new(field.as_deref().unwrap_or("-"));
        let joined = |name: &Option<String>, sign: &str, number: Option<String>| match (name, number) {
            (Some(name), Some(number)) => format!("{name}{sign}{number}"),
            (Some(name), None) => name.clone(),
            (None, _) => "-".to_owned(),
        };
        vec![
            Cell::new(look.time(self.time)).faint(),
            Cell::new(&self.kind),
            Cell::new(joined(&self.flow, " r", self.flow_revision.map(|r| r.to_string()))),
            text(&self.trigger),
            Cell::new(joined(&self.slug, "@", self.version.clone())),
            text(&self.sign_in_id),
            text(&self.user_id),
            self.result(),
        ]
    }
}
