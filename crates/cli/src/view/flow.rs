//! Flows, and what a save of one came to.

use super::{Cell, Entry, Table, Warning, count, warnings};
use crate::{
    screen::{Look, View},
    stop::Stop,
};
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, Word as _, json, required, timestamp},
    types::v1 as wire,
};
use sluice_model::{Object, OnCountersUnavailable, OnFailure};
use std::collections::BTreeMap;

/// `{have, waiting}`
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Rollout {
    pub(crate) have: u32,
    pub(crate) waiting: u32,
}

impl From<Option<wire::Rollout>> for Rollout {
    fn from(rollout: Option<wire::Rollout>) -> Rollout {
        let rollout = rollout.unwrap_or_default();
        Rollout { have: rollout.have, waiting: rollout.waiting }
    }
}

impl Rollout {
    /// How far something is, for people: `live on` so many of so many executors.
    pub(super) fn told(self, look: &Look, waited: bool, what: &str) -> String {
        let Rollout { have, waiting } = self;
        let all = u64::from(have) + u64::from(waiting);
        match (all, waiting) {
            (0, _) => "no executor is connected: those that come will hear of it".to_owned(),
            (_, 0) => look.good(&format!("{what} {have} of {}", count(all, "executor"))),
            _ if waited => look.warning(&format!("{what} {have} of {}; the others follow", count(all, "executor"))),
            _ => format!("{what} {have} of {} so far", count(all, "executor")),
        }
    }
}

/// What a save tells: `{flow, revision, etag, attachment, warnings, rollout: {have, waiting}}`. `attachment` is null where
/// the save is not about one. `generated_secrets: [{field, name, value}]` is there where it has made any.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Saved {
    pub(crate) flow: String,
    pub(crate) revision: u64,
    pub(crate) etag: String,
    pub(crate) attachment: Option<String>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) rollout: Rollout,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) generated_secrets: Vec<GeneratedSecret>,
    /// What was done, for people.
    #[serde(skip)]
    pub(crate) done: String,
    /// What to do next, for people.
    #[serde(skip)]
    pub(crate) next: String,
    /// Whether the last executor was waited for.
    #[serde(skip)]
    pub(crate) waited: bool,
}

/// A secret that a save has made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GeneratedSecret {
    field: String,
    name: String,
    value: String,
}

impl From<control::SavedFlow> for Saved {
    fn from(saved: control::SavedFlow) -> Saved {
        Saved {
            flow: saved.flow,
            revision: saved.revision,
            etag: saved.etag,
            attachment: (!saved.attachment.is_empty()).then_some(saved.attachment),
            warnings: saved.warnings.into_iter().map(Warning::from).collect(),
            rollout: saved.rollout.into(),
            generated_secrets: saved
                .generated_secrets
                .into_iter()
                .map(|made| GeneratedSecret { field: made.field, name: made.name, value: made.value })
                .collect(),
            done: String::new(),
            next: String::new(),
            waited: false,
        }
    }
}

impl View for Saved {
    fn render(&self, look: &Look) -> String {
        let live = match self.rollout {
            Rollout { have: 0, waiting: 0 } => "no executor is connected: it is live when one is".to_owned(),
            rollout => rollout.told(look, self.waited, "live on"),
        };
        let mut text = format!("{} {}: revision {}, {live}\n", look.good("✓"), self.done, self.revision);
        if let Some(attachment) = &self.attachment {
            text.push_str(&format!("  attachment {}\n", look.strong(attachment)));
        }
        for GeneratedSecret { field, name, value } in &self.generated_secrets {
            text.push_str(&format!(
                "  {field}: the secret {} was made; keep its value now, it is not shown again:\n  {}\n",
                look.strong(name),
                look.strong(value)
            ));
        }
        text.push_str(&warnings(&self.warnings, look));
        if !self.next.is_empty() {
            text.push_str(&look.hint(&self.next));
        }
        text
    }
}

/// `{flow, revision, etag, slots: [{trigger, budget_ms, worst_case_ms, attachments: [...]}], warnings}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Flow {
    flow: String,
    revision: u64,
    etag: String,
    slots: Vec<Slot>,
    warnings: Vec<Warning>,
    #[serde(skip)]
    created_at: Timestamp,
}

/// A slot of a flow.
#[derive(Clone, Debug, Serialize)]
struct Slot {
    trigger: String,
    budget_ms: u32,
    worst_case_ms: u32,
    attachments: Vec<Attachment>,
}

/// `{attachment, slug, version, position, enabled, config, on_error, on_unavailable, on_counters_unavailable, wall_ms | null}`
#[derive(Clone, Debug, Serialize)]
pub(super) struct Attachment {
    attachment: String,
    slug: String,
    version: String,
    position: u32,
    enabled: bool,
    config: Object,
    on_error: OnFailure,
    on_unavailable: OnFailure,
    on_counters_unavailable: OnCountersUnavailable,
    wall_ms: Option<u32>,
}

impl TryFrom<control::GetFlowResponse> for Flow {
    type Error = Stop;

    fn try_from(answer: control::GetFlowResponse) -> Result<Flow, Stop> {
        let flow = required(answer.flow).ctx("flow")?;
        let worst_cases: BTreeMap<String, u32> =
            answer.worst_cases.into_iter().map(|slot| (slot.trigger, slot.worst_case_ms)).collect();
        let slot = |slot: wire::Slot| -> Result<Slot, Stop> {
            let attachments = slot.attachments.into_iter().map(Attachment::try_from).collect::<Result<_, _>>()?;
            let worst_case_ms = *required(worst_cases.get(&slot.trigger)).ctx("worst_cases")?;
            Ok(Slot { trigger: slot.trigger, budget_ms: slot.budget_ms, worst_case_ms, attachments })
        };
        Ok(Flow {
            created_at: required(flow.created_at).and_then(timestamp).ctx("created_at")?,
            flow: flow.flow,
            revision: flow.revision,
            etag: flow.etag,
            slots: flow.slots.into_iter().map(slot).collect::<Result<_, _>>()?,
            warnings: answer.warnings.into_iter().map(Warning::from).collect(),
        })
    }
}

impl TryFrom<wire::Attachment> for Attachment {
    type Error = Stop;

    fn try_from(attachment: wire::Attachment) -> Result<Attachment, Stop> {
        Ok(Attachment {
            config: attachment.config.map_or_else(|| Ok(Object::new()), json::object).ctx("config")?,
            on_error: OnFailure::from_wire(attachment.on_error).ctx("on_error")?,
            on_unavailable: OnFailure::from_wire(attachment.on_unavailable).ctx("on_unavailable")?,
            on_counters_unavailable: OnCountersUnavailable::from_wire_or_none(attachment.on_counters_unavailable)
                .ctx("on_counters_unavailable")?
                .unwrap_or_default(),
            attachment: attachment.attachment,
            slug: attachment.slug,
            version: attachment.version,
            position: attachment.position,
            enabled: attachment.enabled,
            wall_ms: attachment.wall_ms,
        })
    }
}

impl View for Flow {
    fn render(&self, look: &Look) -> String {
        let mut text = format!(
            "{}  revision {}, saved {}, etag {}\n",
            look.strong(&self.flow),
            self.revision,
            look.time(self.created_at),
            self.etag
        );
        if self.slots.is_empty() {
            text.push_str("Nothing is attached: every trigger continues.\n");
            let next = format!("Next: sluice flow attach {} --trigger post-login --action SLUG@VERSION", self.flow);
            text.push_str(&look.hint(&next));
        }
        for slot in &self.slots {
            let budget = look.faint(&format!("(takes up to {} ms, budget {} ms)", slot.worst_case_ms, slot.budget_ms));
            text.push_str(&format!("\n{} {budget}\n", look.strong(&slot.trigger)));
            let mut table = Table::new(&["", "ACTION", "ATTACHMENT", "ON ERROR", "ON UNAVAILABLE", "WALL", "CONFIG"]);
            for a in &slot.attachments {
                let action =
                    Cell::new(format!("{}@{}{}", a.slug, a.version, if a.enabled { "" } else { " (disabled)" }));
                table.row([
                    Cell::number(a.position),
                    if a.enabled { action } else { action.faint() },
                    Cell::new(&a.attachment),
                    Cell::new(a.on_error),
                    Cell::new(match a.on_counters_unavailable {
                        OnCountersUnavailable::Local => a.on_unavailable.to_string(),
                        fail => format!("{}, counters: {fail}", a.on_unavailable),
                    }),
                    Cell::new(a.wall_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))),
                    Cell::new(super::cut(&serde_json::Value::Object(a.config.clone()).to_string(), 60)).faint(),
                ]);
            }
            text.push_str(&table.render(look));
        }
        text.push_str(&warnings(&self.warnings, look));
        text
    }
}

/// `{flow, revision, etag, triggers, attachments, updated_at}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FlowEntry {
    flow: String,
    revision: u64,
    etag: String,
    triggers: Vec<String>,
    attachments: u32,
    updated_at: Timestamp,
}

impl TryFrom<control::FlowSummary> for FlowEntry {
    type Error = Stop;

    fn try_from(flow: control::FlowSummary) -> Result<FlowEntry, Stop> {
        Ok(FlowEntry {
            updated_at: required(flow.updated_at).and_then(timestamp).ctx("updated_at")?,
            flow: flow.flow,
            revision: flow.revision,
            etag: flow.etag,
            triggers: flow.triggers,
            attachments: flow.attachments,
        })
    }
}

impl Entry for FlowEntry {
    const NONE: &'static str = "There is no flow yet: sluice flow create NAME makes one.";
    const COLUMNS: &'static [&'static str] = &["FLOW", "REVISION", "SAVED", "ATTACHMENTS", "TRIGGERS"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        vec![
            Cell::new(&self.flow),
            Cell::number(self.revision),
            Cell::new(look.time(self.updated_at)),
            Cell::number(self.attachments),
            Cell::new(self.triggers.join(", ")).faint(),
        ]
    }
}
