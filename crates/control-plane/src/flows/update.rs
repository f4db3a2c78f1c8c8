//! Changes of what is attached, but for its version: config, place, policy, limit, on and off; detaching; a slot's time.

use super::attach::{check_wall, pictured, slot_of};
use super::save::{Draft, Edit, place_of};
use super::{config, generated, warnings_of};
use serde::Serialize;
use serde_json::json;
use sluice_model::limits::{DEFAULT_SLOT_BUDGET_MS, MAX_SLOT_BUDGET_MS};
use sluice_model::{AuditKind, Error, Object, OnCountersUnavailable, OnFailure, Slug, Trigger};

/// What of an attachment is changed; `None` stays as it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Update {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The attachment's id.
    pub(crate) attachment: String,
    /// The config.
    pub(crate) config: Option<Object>,
    /// The place, from 1.
    pub(crate) position: Option<u32>,
    /// What a failed run does.
    pub(crate) on_error: Option<OnFailure>,
    /// What a run does that cannot be had.
    pub(crate) on_unavailable: Option<OnFailure>,
    /// What becomes of a take while the shared counters cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_counters_unavailable: Option<OnCountersUnavailable>,
    /// How long a run may take, in milliseconds; 0 leaves it to the version.
    pub(crate) wall_ms: Option<u32>,
    /// Whether it runs.
    pub(crate) enabled: Option<bool>,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl Update {
    fn changes_nothing(&self) -> bool {
        let Update { config, position, on_error, on_unavailable, on_counters_unavailable, wall_ms, enabled, .. } = self;
        config.is_none()
            && position.is_none()
            && on_error.is_none()
            && on_unavailable.is_none()
            && on_counters_unavailable.is_none()
            && wall_ms.is_none()
            && enabled.is_none()
    }

    /// What it makes of a revision.
    pub(super) async fn draft(&self, edit: Edit<'_>) -> Result<Draft, Error> {
        if self.changes_nothing() {
            let message = "nothing is to be changed: send at least one of config, position, on_error, on_unavailable, on_counters_unavailable, wall_ms, enabled";
            return Err(Error::field("config", message));
        }
        let mut slots = edit.newest.slots.clone();
        let (slot, place) = place_of(edit.newest, &self.attachment)?;
        let slot = &mut slots[slot];
        let to = match self.position.map(|position| (position, usize::try_from(position))) {
            None => place,
            Some((_, Ok(position))) if (1..=slot.attachments.len()).contains(&position) => position - 1,
            Some((position, _)) => {
                let count = slot.attachments.len();
                return Err(Error::field(
                    "position",
                    format!("is {position}; it takes 1 to {count}, the slot's places"),
                ));
            }
        };
        let mut attachment = slot.attachments.remove(place);
        let version = edit.catalogue.get(&self.tenant, &attachment.slug, &attachment.version).await?.value;
        let mut record = edit.about(AuditKind::ActionUpdated, slot.trigger, &attachment);
        record.from = Some(pictured(&attachment, place + 1, &version)?);
        attachment.on_error = self.on_error.unwrap_or(attachment.on_error);
        attachment.on_unavailable = self.on_unavailable.unwrap_or(attachment.on_unavailable);
        attachment.on_counters_unavailable = self.on_counters_unavailable.unwrap_or(attachment.on_counters_unavailable);
        attachment.enabled = self.enabled.unwrap_or(attachment.enabled);
        match self.wall_ms {
            None => {}
            Some(0) => attachment.wall_ms = None,
            Some(wall_ms) => attachment.wall_ms = Some(check_wall(wall_ms)?),
        }
        let (mut said, mut generated) = (Vec::new(), Vec::new());
        if self.config.is_some() || self.wall_ms.is_some() {
            let kept = match &self.config {
                Some(sent) => config::replaced(&version, &attachment.config, &version, sent)?,
                None => attachment.config.clone(),
            };
            let checked =
                edit.checked(&version, slot.trigger, attachment.wall_ms, kept, Some(&attachment.config)).await?;
            (attachment.config, said, generated) = (checked.config, checked.warnings, checked.generated);
        }
        record.to = Some(pictured(&attachment, to + 1, &version)?);
        let warnings = warnings_of(edit.shared, &self.tenant, &attachment, &version).await?;
        let mut warnings = generated::settled(warnings, &generated);
        warnings.extend(said);
        slot.attachments.insert(to, attachment);
        Ok(Draft { attachment: Some(self.attachment.clone()), warnings, generated, ..Draft::of(slots, record) })
    }
}

/// Which attachment goes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detach {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The attachment's id.
    pub(crate) attachment: String,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl Detach {
    /// What it makes of a revision. A slot that is empty then goes too, unless its time was set.
    pub(super) async fn draft(&self, edit: Edit<'_>) -> Result<Draft, Error> {
        let mut slots = edit.newest.slots.clone();
        let (slot, place) = place_of(edit.newest, &self.attachment)?;
        let attachment = slots[slot].attachments.remove(place);
        let version = edit.catalogue.get(&self.tenant, &attachment.slug, &attachment.version).await?.value;
        let mut record = edit.about(AuditKind::ActionDetached, slots[slot].trigger, &attachment);
        record.from = Some(pictured(&attachment, place + 1, &version)?);
        if slots[slot].attachments.is_empty() && slots[slot].budget_ms == DEFAULT_SLOT_BUDGET_MS {
            slots.remove(slot);
        }
        Ok(Draft { attachment: Some(self.attachment.clone()), ..Draft::of(slots, record) })
    }
}

/// How long a slot's Actions may take together.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SlotBudget {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The slot.
    pub(crate) trigger: Trigger,
    /// The time in milliseconds.
    pub(crate) budget_ms: u32,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl SlotBudget {
    /// What it makes of a revision.
    pub(super) fn draft(&self, edit: Edit<'_>) -> Result<Draft, Error> {
        let budget_ms = self.budget_ms;
        if !(1..=MAX_SLOT_BUDGET_MS).contains(&budget_ms) {
            let message = format!("is {budget_ms}; it takes 1 to {MAX_SLOT_BUDGET_MS} milliseconds");
            return Err(Error::field("budget_ms", message));
        }
        let mut slots = edit.newest.slots.clone();
        let slot = slot_of(&mut slots, self.trigger);
        let mut record = edit.record(AuditKind::SlotUpdated);
        record.trigger = Some(self.trigger);
        record.from = Some(json!({ "budget_ms": slot.budget_ms }));
        record.to = Some(json!({ "budget_ms": budget_ms }));
        slot.budget_ms = budget_ms;
        Ok(Draft::of(slots, record))
    }
}
