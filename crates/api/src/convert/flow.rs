//! Flow revisions.

use super::{Ctx, FieldError, Word, input::object, json, list, required, time, version};
use crate::types::v1 as wire;
use sluice_model::{Attachment, FlowRevision, Slot};

/// The etag is the control plane's and has no place in the model.
impl TryFrom<wire::Flow> for FlowRevision {
    type Error = FieldError;

    fn try_from(flow: wire::Flow) -> Result<FlowRevision, FieldError> {
        if flow.revision == 0 {
            return Err(FieldError::here("is required; revisions count from 1").under("revision"));
        }
        Ok(FlowRevision {
            tenant: version::slug(&flow.tenant).ctx("tenant")?,
            flow: version::slug(&flow.flow).ctx("flow")?,
            revision: flow.revision,
            created_at: required(flow.created_at).and_then(time::timestamp).ctx("created_at")?,
            slots: list(flow.slots).ctx("slots")?,
        })
    }
}

/// The etag is left empty: it is the control plane's to fill in.
impl From<FlowRevision> for wire::Flow {
    fn from(flow: FlowRevision) -> wire::Flow {
        wire::Flow {
            tenant: flow.tenant.to_string(),
            flow: flow.flow.to_string(),
            revision: flow.revision,
            etag: String::new(),
            slots: super::each(flow.slots),
            created_at: Some(time::to_timestamp(flow.created_at)),
        }
    }
}

impl TryFrom<wire::Slot> for Slot {
    type Error = FieldError;

    fn try_from(slot: wire::Slot) -> Result<Slot, FieldError> {
        // The place in the list is the truth; a position that says otherwise is a mistake, not a wish.
        let expected = slot.attachments.iter().zip(1u32..);
        if let Some((attachment, place)) = expected.into_iter().find(|(a, place)| a.position != *place) {
            let message = format!("is {}, but it stands at place {place}", attachment.position);
            let at = place as usize - 1;
            return Err(FieldError::here(message).under("position").at_index(at).under("attachments"));
        }
        Ok(Slot {
            trigger: version::trigger(&slot.trigger).ctx("trigger")?,
            budget_ms: slot.budget_ms,
            attachments: list(slot.attachments).ctx("attachments")?,
        })
    }
}

impl From<Slot> for wire::Slot {
    fn from(slot: Slot) -> wire::Slot {
        let attachments = slot.attachments.into_iter().zip(1u32..);
        wire::Slot {
            trigger: slot.trigger.to_string(),
            budget_ms: slot.budget_ms,
            attachments: attachments.map(|(a, position)| wire::Attachment { position, ..a.into() }).collect(),
        }
    }
}

impl TryFrom<wire::Attachment> for Attachment {
    type Error = FieldError;

    fn try_from(attachment: wire::Attachment) -> Result<Attachment, FieldError> {
        if attachment.attachment.is_empty() {
            return Err(FieldError::here("is required").under("attachment"));
        }
        Ok(Attachment {
            id: attachment.attachment,
            slug: version::slug(&attachment.slug).ctx("slug")?,
            version: version::exact_version(&attachment.version).ctx("version")?,
            enabled: attachment.enabled,
            config: object(attachment.config).ctx("config")?,
            on_error: Word::from_wire(attachment.on_error).ctx("on_error")?,
            on_unavailable: Word::from_wire(attachment.on_unavailable).ctx("on_unavailable")?,
            on_counters_unavailable: Word::from_wire_or_none(attachment.on_counters_unavailable)
                .ctx("on_counters_unavailable")?
                .unwrap_or_default(),
            wall_ms: attachment.wall_ms,
        })
    }
}

/// The position is the slot's to fill in.
impl From<Attachment> for wire::Attachment {
    fn from(attachment: Attachment) -> wire::Attachment {
        wire::Attachment {
            attachment: attachment.id,
            slug: attachment.slug.to_string(),
            version: attachment.version.to_string(),
            position: 0,
            enabled: attachment.enabled,
            config: json::to_struct_unless_empty(attachment.config),
            on_error: attachment.on_error.to_wire(),
            on_unavailable: attachment.on_unavailable.to_wire(),
            on_counters_unavailable: attachment.on_counters_unavailable.to_wire(),
            wall_ms: attachment.wall_ms,
        }
    }
}
