//! What became of a flow: its revisions, what changed between two, and its end.

use super::{
    Cell, Entry, Warning, cut,
    flow::{Attachment, Rollout},
};
use crate::{
    screen::{Look, View},
    stop::Stop,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, Word as _, required, timestamp},
    types::v1 as wire,
};
use sluice_model::flow::FlowChangeKind;

/// The most characters of a value that is shown to people.
const MAX_VALUE_CHARS: usize = 40;

/// `{revision, saved_at, principal, kind, trigger, attachment, slug, version, rolled_back_to, replaced_at, executable_until,
/// executable}`, null where it does not apply.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PastEntry {
    revision: u64,
    saved_at: Timestamp,
    principal: String,
    kind: String,
    trigger: Option<String>,
    attachment: Option<String>,
    slug: Option<String>,
    version: Option<String>,
    rolled_back_to: Option<u64>,
    replaced_at: Option<Timestamp>,
    executable_until: Option<Timestamp>,
    executable: bool,
}

impl TryFrom<control::FlowRevisionSummary> for PastEntry {
    type Error = Stop;

    fn try_from(past: control::FlowRevisionSummary) -> Result<PastEntry, Stop> {
        let given = |text: String| (!text.is_empty()).then_some(text);
        Ok(PastEntry {
            revision: past.revision,
            saved_at: required(past.saved_at).and_then(timestamp).ctx("saved_at")?,
            principal: past.principal,
            kind: past.kind,
            trigger: given(past.trigger),
            attachment: given(past.attachment),
            slug: given(past.slug),
            version: given(past.version),
            rolled_back_to: (past.rolled_back_to != 0).then_some(past.rolled_back_to),
            replaced_at: past.replaced_at.map(timestamp).transpose().ctx("replaced_at")?,
            executable_until: past.executable_until.map(timestamp).transpose().ctx("executable_until")?,
            executable: past.executable,
        })
    }
}

impl PastEntry {
    /// What the save did.
    fn change(&self) -> String {
        let action = match (&self.slug, &self.version) {
            (Some(slug), Some(version)) => format!("{slug}@{version}"),
            _ => String::new(),
        };
        let trigger = self.trigger.as_deref().unwrap_or_default();
        match (self.kind.as_str(), self.rolled_back_to) {
            (_, Some(revision)) => format!("rolled back to {revision}"),
            ("flow.created", _) => "made".to_owned(),
            ("flow.action_attached", _) => format!("+ {action} at {trigger}"),
            ("flow.action_detached", _) => format!("- {action} at {trigger}"),
            ("flow.action_updated", _) => format!("~ {action} at {trigger}"),
            ("flow.slot_updated", _) => format!("~ budget of {trigger}"),
            // A kind that a newer control plane has.
            (kind, _) => format!("{kind} {action}"),
        }
    }
}

impl Entry for PastEntry {
    const NONE: &'static str = "There is no revision.";
    const COLUMNS: &'static [&'static str] = &["REVISION", "SAVED", "BY", "CHANGE", "ATTACHMENT", "EXECUTABLE"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let executable = match (self.executable_until, self.executable) {
            (None, _) => Cell::new("newest").good(),
            (Some(until), true) => Cell::new(format!("until {}", look.time(until))),
            (Some(_), false) => Cell::new("expired").faint(),
        };
        vec![
            Cell::number(self.revision),
            Cell::new(look.time(self.saved_at)),
            Cell::new(&self.principal),
            Cell::new(self.change()),
            Cell::new(self.attachment.as_deref().unwrap_or("-")).faint(),
            executable,
        ]
    }
}

/// `{flow, from, to, changes: [{kind, trigger, attachment, slug, fields, from, to}]}`. `from` and `to` of a change are the
/// attachment as `flow show` has it, or `{budget_ms}`; null where there is none.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Diff {
    flow: String,
    from: u64,
    to: u64,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, Serialize)]
struct Change {
    kind: FlowChangeKind,
    trigger: String,
    attachment: Option<String>,
    slug: Option<String>,
    fields: Vec<String>,
    from: Value,
    to: Value,
}

impl Diff {
    pub(crate) fn new(flow: String, answer: control::GetFlowDiffResponse) -> Result<Diff, Stop> {
        let changes = answer.changes.into_iter().map(Change::try_from).collect::<Result<_, _>>()?;
        Ok(Diff { flow, from: answer.from, to: answer.to, changes })
    }
}

impl TryFrom<wire::FlowChange> for Change {
    type Error = Stop;

    fn try_from(change: wire::FlowChange) -> Result<Change, Stop> {
        let kind = FlowChangeKind::from_wire(change.kind).ctx("kind")?;
        let one = change.to.as_ref().or(change.from.as_ref());
        let (attachment, slug) = one.map(|one| (one.attachment.clone(), one.slug.clone())).unzip();
        let picture = |attachment: Option<wire::Attachment>| -> Result<Value, Stop> {
            let read = attachment.map(Attachment::try_from).transpose()?;
            // A struct with text keys can always be written.
            Ok(serde_json::to_value(read).unwrap_or_default())
        };
        let (from, to) = match kind {
            FlowChangeKind::SlotUpdated => {
                (json!({ "budget_ms": change.from_budget_ms }), json!({ "budget_ms": change.to_budget_ms }))
            }
            _ => (picture(change.from)?, picture(change.to)?),
        };
        Ok(Change { kind, trigger: change.trigger, attachment, slug, fields: change.fields, from, to })
    }
}

impl Change {
    fn line(&self, look: &Look) -> String {
        let name = |of: &Value| {
            let text = |key: &str| of[key].as_str().unwrap_or("?").to_owned();
            format!("{}@{}", text("slug"), text("version"))
        };
        let id = look.faint(self.attachment.as_deref().unwrap_or_default());
        match self.kind {
            FlowChangeKind::Attached => {
                format!("{} {} {id}  place {}", look.good("+"), name(&self.to), self.to["position"])
            }
            FlowChangeKind::Detached => format!("{} {} {id}", look.bad("-"), name(&self.from)),
            FlowChangeKind::Updated => {
                let fields: Vec<String> = self.fields.iter().map(|field| self.field(field)).collect();
                format!("{} {} {id}  {}", look.warning("~"), name(&self.from), fields.join(", "))
            }
            FlowChangeKind::SlotUpdated => {
                let ms = |of: &Value| format!("{} ms", of["budget_ms"]);
                format!("{} budget: {} → {}", look.warning("~"), ms(&self.from), ms(&self.to))
            }
        }
    }

    /// `version: "1.0.0" → "1.1.0"`; a secret looks the same on both sides.
    fn field(&self, field: &str) -> String {
        let shown = |of: &Value| match of.pointer(&format!("/{field}")) {
            None => "nothing".to_owned(),
            Some(value) => cut(&value.to_string(), MAX_VALUE_CHARS),
        };
        let (from, to) = (shown(&self.from), shown(&self.to));
        if from == to { format!("{field}: changed") } else { format!("{field}: {from} → {to}") }
    }
}

impl View for Diff {
    fn render(&self, look: &Look) -> String {
        let mut text = format!("{}  revision {} → {}\n", look.strong(&self.flow), self.from, self.to);
        if self.changes.is_empty() {
            text.push_str("Both run the same.\n");
        }
        let mut trigger = "";
        for change in &self.changes {
            if change.trigger != trigger {
                trigger = &change.trigger;
                text.push_str(&format!("\n{}\n", look.strong(trigger)));
            }
            text.push_str(&format!("  {}\n", change.line(look)));
        }
        text
    }
}

/// What the deletion of a flow tells: `{flow, revision, executable_until, warnings: [], rollout: {have, waiting}}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Deleted {
    pub(crate) flow: String,
    pub(crate) revision: u64,
    pub(crate) executable_until: Timestamp,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) rollout: Rollout,
    /// Whether the last executor was waited for.
    #[serde(skip)]
    pub(crate) waited: bool,
}

impl TryFrom<control::DeleteFlowResponse> for Deleted {
    type Error = Stop;

    fn try_from(answer: control::DeleteFlowResponse) -> Result<Deleted, Stop> {
        Ok(Deleted {
            flow: answer.flow,
            revision: answer.revision,
            executable_until: required(answer.executable_until).and_then(timestamp).ctx("executable_until")?,
            warnings: Vec::new(),
            rollout: answer.rollout.into(),
            waited: false,
        })
    }
}

impl View for Deleted {
    fn render(&self, look: &Look) -> String {
        let until = look.time(self.executable_until);
        format!(
            "{} flow {} deleted, {}\n  sign-ins that began with revision {} can go on until {until}\n",
            look.good("✓"),
            look.strong(&self.flow),
            self.rollout.told(look, self.waited, "gone from"),
            self.revision
        )
    }
}
