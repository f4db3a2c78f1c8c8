//! Changing the version of an attachment.

use super::attach::{check_trigger, pictured};
use super::save::Draft;
use super::{config, warnings_of};
use crate::catalogue::Catalogue;
use serde::Serialize;
use sluice_model::{Attachment, AuditRecord, Error, FlowRevision, Slug};

/// Which attachment gets which version.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pinning {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The attachment's id.
    pub(crate) attachment: String,
    /// An exact version, a range, or empty for the highest release.
    pub(crate) version: String,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl Pinning {
    /// What it makes of a revision. The attachment keeps its id, its config, its policy and its place.
    pub(super) async fn draft(
        &self,
        catalogue: &Catalogue,
        newest: &FlowRevision,
        mut record: AuditRecord,
    ) -> Result<Draft, Error> {
        let found = newest.slots.iter().enumerate().find_map(|(slot, of)| {
            Some((slot, of.attachments.iter().position(|attachment| attachment.id == self.attachment)?))
        });
        let Some((slot, place)) = found else {
            let shown: String = self.attachment.chars().take(80).collect();
            let message = format!("flow {} has no attachment {shown:?} in its newest revision", self.flow);
            return Err(Error::not_found("ATTACHMENT_NOT_FOUND", message).about("attachment", shown));
        };
        let mut slots = newest.slots.clone();
        let trigger = slots[slot].trigger;
        let attachment: &mut Attachment = &mut slots[slot].attachments[place];
        let version = catalogue.resolve(&self.tenant, &attachment.slug, &self.version).await?;
        let former = catalogue.get(&self.tenant, &attachment.slug, &attachment.version).await?;
        check_trigger(&version.value, trigger)?;
        config::check(&version.value, &attachment.config)?;
        if config::would_uncover(&former.value, &version.value, &attachment.config)? {
            let message = format!(
                "{} marks a config field as secret that {} would show; attach it anew",
                former.value.version, version.value.version
            );
            return Err(Error::field("version", message));
        }
        record.trigger = Some(trigger);
        record.attachment = Some(attachment.id.clone());
        record.slug = Some(attachment.slug.clone());
        record.version = Some(version.value.version.clone());
        record.from = Some(pictured(attachment, place + 1, &former.value)?);
        attachment.version = version.value.version.clone();
        record.to = Some(pictured(attachment, place + 1, &version.value)?);
        let warnings = warnings_of(attachment, &version.value);
        let relied_on = vec![(version.key(), version.revision)];
        Ok(Draft { slots, attachment: self.attachment.clone(), warnings, record, relied_on })
    }
}
