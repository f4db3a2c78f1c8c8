//! Changing the version of an attachment, and its config with it where that is sent along.

use super::attach::{check_attachable, check_trigger, pictured};
use super::checks::Kept;
use super::save::{Draft, Edit, place_of};
use super::{config, generated, warnings_of};
use crate::store::Batch;
use serde::Serialize;
use sluice_model::{AuditKind, Error, Object, Slug};

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
    /// The config from now on; `None` leaves it as it is.
    pub(crate) config: Option<Object>,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl Pinning {
    /// What it makes of a revision. The attachment keeps its id, its policy and its place.
    pub(super) async fn draft(&self, edit: Edit<'_>) -> Result<Draft, Error> {
        let mut slots = edit.newest.slots.clone();
        let (slot, place) = place_of(edit.newest, &self.attachment)?;
        let trigger = slots[slot].trigger;
        let attachment = &mut slots[slot].attachments[place];
        let version = edit.catalogue.resolve(&self.tenant, &attachment.slug, &self.version).await?;
        let former = edit.catalogue.get(&self.tenant, &attachment.slug, &attachment.version).await?;
        if version.value.version != attachment.version {
            check_attachable(&version.value)?;
        }
        check_trigger(&version.value, trigger)?;
        let mut record = edit.about(AuditKind::ActionUpdated, trigger, attachment);
        record.from = Some(pictured(attachment, place + 1, &former.value)?);
        let kept = match &self.config {
            Some(sent) => config::replaced(&former.value, &attachment.config, &version.value, sent)?,
            None => config::check(&version.value, &attachment.config)?,
        };
        let former_config = Some(&attachment.config);
        let checked = edit.checked(&version.value, trigger, attachment.wall_ms, kept, former_config).await?;
        let Kept { config, warnings: said, generated } = checked;
        attachment.config = config;
        match &self.config {
            Some(_) => {}
            None => {
                if config::would_uncover(&former.value, &version.value, &attachment.config)? {
                    return Err(config::uncovers(&former.value, &version.value));
                }
            }
        }
        attachment.version = version.value.version.clone();
        record.version = Some(attachment.version.clone());
        record.to = Some(pictured(attachment, place + 1, &version.value)?);
        let warnings = warnings_of(edit.shared, &self.tenant, attachment, &version.value).await?;
        let mut warnings = generated::settled(warnings, &generated);
        warnings.extend(said);
        let relied_on = version.relied_on(Batch::new());
        Ok(Draft {
            attachment: Some(self.attachment.clone()),
            warnings,
            relied_on,
            generated,
            ..Draft::of(slots, record)
        })
    }
}
