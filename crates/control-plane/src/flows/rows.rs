//! The rows of a flow: its head, its revisions, how each came to be, when each was replaced, and that it was deleted.

use crate::keys;
use crate::rows::{self, Row};
use crate::shared::Shared;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use sluice_model::{AuditKind, AuditRecord, Error, FlowRevision, Slug, Trigger};

/// What is known of a flow without reading its revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowHead {
    /// Its slug.
    pub(crate) flow: Slug,
    /// Its newest revision.
    pub(crate) revision: u64,
    /// The etag of that revision.
    pub(crate) etag: String,
    /// The triggers that have a slot.
    pub(crate) triggers: Vec<Trigger>,
    /// How many attachments it has.
    pub(crate) attachments: u32,
    /// When that revision was saved.
    pub(crate) updated_at: Timestamp,
}

impl FlowHead {
    /// The head of a flow whose newest revision this is.
    pub(super) fn of(revision: &FlowRevision) -> FlowHead {
        let attachments: usize = revision.slots.iter().map(|slot| slot.attachments.len()).sum();
        FlowHead {
            flow: revision.flow.clone(),
            revision: revision.revision,
            etag: etag_of(revision),
            triggers: revision.slots.iter().map(|slot| slot.trigger).collect(),
            attachments: u32::try_from(attachments).unwrap_or(u32::MAX),
            updated_at: revision.created_at,
        }
    }
}

/// What is left of a flow that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoneFlow {
    /// Its slug.
    pub(crate) flow: Slug,
    /// Its last revision.
    pub(crate) revision: u64,
    /// When it was deleted.
    pub(crate) deleted_at: Timestamp,
}

/// How a revision came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Save {
    /// The revision.
    pub(crate) revision: u64,
    /// When.
    pub(crate) saved_at: Timestamp,
    /// By whom.
    pub(crate) principal: String,
    /// The kind of its audit record.
    pub(crate) kind: AuditKind,
    /// The slot that it changed.
    pub(crate) trigger: Option<Trigger>,
    /// The attachment that it changed.
    pub(crate) attachment: Option<String>,
    /// The attachment's Action.
    pub(crate) slug: Option<Slug>,
    /// The Action's version.
    pub(crate) version: Option<Version>,
    /// The revision that it brought back.
    pub(crate) rolled_back_to: Option<u64>,
}

impl Save {
    /// The save that an audit record tells of.
    pub(super) fn of(record: &AuditRecord, revision: u64, rolled_back_to: Option<u64>) -> Save {
        Save {
            revision,
            saved_at: record.time,
            principal: record.principal.clone(),
            kind: record.kind,
            trigger: record.trigger,
            attachment: record.attachment.clone(),
            slug: record.slug.clone(),
            version: record.version.clone(),
            rolled_back_to,
        }
    }
}

/// The etag of a revision. It names no other, also where a store was restored and its numbers were given again.
pub(crate) fn etag_of(revision: &FlowRevision) -> String {
    let FlowRevision { tenant, flow, revision, created_at, slots: _ } = revision;
    let digest = blake3::hash(format!("{tenant}/{flow}/{revision}/{created_at}").as_bytes()).to_hex();
    format!("{revision}-{}", &digest[..12])
}

/// The head of a flow.
pub(crate) async fn find_head(shared: &Shared, tenant: &Slug, flow: &Slug) -> Result<Option<Row<FlowHead>>, Error> {
    rows::get(&*shared.store, &keys::flow(tenant, flow)).await
}

/// What is left of a flow that was deleted and not made again.
pub(crate) async fn find_gone(shared: &Shared, tenant: &Slug, flow: &Slug) -> Result<Option<Row<GoneFlow>>, Error> {
    rows::get(&*shared.store, &keys::gone_flow(tenant, flow)).await
}

/// A revision.
pub(crate) async fn find_revision(
    shared: &Shared,
    tenant: &Slug,
    flow: &Slug,
    revision: u64,
) -> Result<Option<Row<FlowRevision>>, Error> {
    rows::get(&*shared.store, &keys::revision(tenant, flow, revision)).await
}

/// When a revision was replaced, or its flow deleted; `None` for the newest.
pub(crate) async fn replaced_at(
    shared: &Shared,
    tenant: &Slug,
    flow: &Slug,
    revision: u64,
) -> Result<Option<Timestamp>, Error> {
    let row = rows::get(&*shared.store, &keys::replaced(tenant, flow, revision)).await?;
    Ok(row.map(|row: Row<Timestamp>| row.value))
}
