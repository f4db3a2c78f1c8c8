//! Rolling back: an earlier revision is saved as the newest.

use super::attach::pictured;
use super::save::{Draft, Edit};
use super::{Warning, find_revision, revision_not_found, warnings_of};
use crate::catalogue::{Catalogue, Published};
use crate::shared::Shared;
use crate::store::Batch;
use semver::Version;
use serde::Serialize;
use serde_json::json;
use sluice_model::flow::{FlowChange, Placed, diff};
use sluice_model::{AuditKind, AuditRecord, Error, FlowRevision, Slug};
use std::collections::BTreeMap;

/// Which revision comes back.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rollback {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The revision.
    pub(crate) revision: u64,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl Rollback {
    /// What it makes of a revision: the slots as they were. What is yanked is warned of; what is revoked, or of an Action
    /// that was deleted since, is FAILED_PRECONDITION `VERSION_REVOKED`, `ACTION_DELETED`.
    pub(super) async fn draft(&self, shared: &Shared, edit: Edit<'_>) -> Result<Draft, Error> {
        let newest = edit.newest;
        if self.revision == 0 || self.revision == newest.revision {
            let message = format!("is {}; name an earlier one, the newest is {}", self.revision, newest.revision);
            return Err(Error::field("revision", message));
        }
        let found = find_revision(shared, &self.tenant, &self.flow, self.revision).await?;
        let former = found.ok_or_else(|| revision_not_found(&self.flow, self.revision, newest.revision))?.value;
        let versions = Versions::of(edit.catalogue, &[newest, &former]).await?;
        let (mut warnings, mut relied_on) = (Vec::new(), Batch::new());
        for attachment in former.slots.iter().flat_map(|slot| &slot.attachments) {
            let version = versions.of_attachment(attachment)?;
            let pinned = format!("{}@{}", attachment.slug, attachment.version);
            let refused = |reason, why: &str| {
                let message = format!("revision {} attaches {pinned}, {why}", self.revision);
                Err(Error::precondition(reason, message).with_field("revision", format!("pins {pinned}")))
            };
            if version.value.revoked {
                return refused("VERSION_REVOKED", "which the platform has revoked");
            }
            if !edit.catalogue.is_listed(version).await? {
                return refused("ACTION_DELETED", "which was deleted since");
            }
            for warning in warnings_of(edit.shared, &self.tenant, attachment, &version.value).await? {
                let message = format!("attachment {} ({}): {}", attachment.id, attachment.slug, warning.message);
                warnings.push(Warning { message, ..warning });
            }
        }
        for version in versions.0.values().filter(|version| pins(&former, version)) {
            relied_on = version.relied_on(relied_on);
        }
        let mut record = edit.record(AuditKind::FlowRolledBack);
        record.from = Some(json!({ "revision": newest.revision }));
        record.to = Some(json!({ "revision": self.revision }));
        let more = records_of(edit, &versions, &diff(newest, &former))?;
        let rolled_back_to = Some(self.revision);
        Ok(Draft { warnings, more, relied_on, rolled_back_to, ..Draft::of(former.slots, record) })
    }
}

fn pins(revision: &FlowRevision, version: &Published) -> bool {
    let mut attachments = revision.slots.iter().flat_map(|slot| &slot.attachments);
    attachments.any(|found| found.slug == version.value.slug && found.version == version.value.version)
}

/// The versions that revisions pin, each read once.
pub(super) struct Versions(BTreeMap<(Slug, Version), Published>);

impl Versions {
    /// Reads them.
    pub(super) async fn of(catalogue: &Catalogue, revisions: &[&FlowRevision]) -> Result<Versions, Error> {
        let mut found = BTreeMap::new();
        for revision in revisions {
            for attachment in revision.slots.iter().flat_map(|slot| &slot.attachments) {
                let pin = (attachment.slug.clone(), attachment.version.clone());
                if let std::collections::btree_map::Entry::Vacant(place) = found.entry(pin) {
                    place.insert(catalogue.get(&revision.tenant, &attachment.slug, &attachment.version).await?);
                }
            }
        }
        Ok(Versions(found))
    }

    /// The version of an attachment of one of them.
    pub(super) fn of_attachment(&self, attachment: &sluice_model::Attachment) -> Result<&Published, Error> {
        let found = self.0.get(&(attachment.slug.clone(), attachment.version.clone()));
        found.ok_or_else(|| Error::internal("a version that a flow pins was not read"))
    }
}

/// What audit says of changes that are parts of one save.
pub(super) fn records_of(
    edit: Edit<'_>,
    versions: &Versions,
    changes: &[FlowChange<'_>],
) -> Result<Vec<AuditRecord>, Error> {
    let picture = |placed: &Placed<'_>| -> Result<serde_json::Value, Error> {
        pictured(placed.attachment, placed.position, &versions.of_attachment(placed.attachment)?.value)
    };
    let mut records = Vec::with_capacity(changes.len());
    for change in changes {
        records.push(match change {
            FlowChange::Attached { trigger, to } => {
                AuditRecord { to: Some(picture(to)?), ..edit.about(AuditKind::ActionAttached, *trigger, to.attachment) }
            }
            FlowChange::Detached { trigger, from } => AuditRecord {
                from: Some(picture(from)?),
                ..edit.about(AuditKind::ActionDetached, *trigger, from.attachment)
            },
            FlowChange::Updated { trigger, from, to, fields: _ } => AuditRecord {
                from: Some(picture(from)?),
                to: Some(picture(to)?),
                ..edit.about(AuditKind::ActionUpdated, *trigger, to.attachment)
            },
            FlowChange::SlotUpdated { trigger, from, to } => AuditRecord {
                trigger: Some(*trigger),
                from: Some(json!({ "budget_ms": from })),
                to: Some(json!({ "budget_ms": to })),
                ..edit.record(AuditKind::SlotUpdated)
            },
        });
    }
    Ok(records)
}
