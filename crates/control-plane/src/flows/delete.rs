//! Deleting a flow: nobody finds it any more, and who has begun with one of its revisions ends with it.

use super::rollback::{Versions, records_of};
use super::save::{self, Edit, MAX_TRIES, changed_uses, contention};
use super::{Flows, GoneFlow};
use crate::audit::outbox;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows;
use crate::store::Batch;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_model::flow::diff;
use sluice_model::{AuditKind, AuditRecord, Error, FlowRevision, Slug};

/// Which flow is deleted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FlowDeletion {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The etag of the revision that is the newest; empty for whatever it is.
    pub(crate) etag: String,
}

/// What the deletion of a flow answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The last revision that it had.
    pub(crate) revision: u64,
    /// When it was deleted.
    pub(crate) deleted_at: Timestamp,
}

/// Deletes a flow.
pub(super) async fn delete(
    flows: &Flows,
    who: &str,
    deletion: &FlowDeletion,
    request: Option<&RequestId>,
) -> Result<Deleted, Error> {
    let FlowDeletion { tenant, flow, etag } = deletion;
    for _ in 0..MAX_TRIES {
        let whose = flows.tenants.get(tenant).await?.value;
        let keep = match requests::look(&flows.shared, request).await? {
            Seen::Answered(deleted) => return Ok(deleted),
            Seen::New(keep) => keep,
        };
        let (head, newest) = save::newest(flows, tenant, flow, etag).await?;
        let now = flows.shared.clock.now();
        let Flows { shared, catalogue, checker, .. } = flows;
        let edit = Edit { shared, catalogue, checker, tenant: &whose, newest: &newest, who, now };
        let revision = newest.revision;
        let gone = GoneFlow { flow: flow.clone(), revision, deleted_at: now };
        let mut batch = Batch::new()
            .at(keys::flow(tenant, flow), head.revision)
            .delete(keys::flow(tenant, flow))
            .put(keys::gone_flow(tenant, flow), rows::encode(&gone)?)
            .put(keys::replaced(tenant, flow, revision), rows::encode(&now)?);
        for used in changed_uses(Some(&newest), None) {
            batch = batch.delete(keys::used(tenant, &used.slug, flow));
        }
        let versions = Versions::of(&flows.catalogue, &[&newest]).await?;
        let nothing = FlowRevision { slots: Vec::new(), ..newest.clone() };
        let detached = records_of(edit, &versions, &diff(&newest, &nothing))?;
        let mut record = edit.record(AuditKind::FlowDeleted);
        record.from = Some(json!({ "revision": revision }));
        let parts = detached.into_iter().filter(|record| record.kind == AuditKind::ActionDetached);
        for record in std::iter::once(record).chain(parts) {
            let record = AuditRecord { flow: Some(flow.clone()), flow_revision: Some(revision), ..record };
            batch = batch.append(keys::outbox(), outbox::row(&record)?);
        }
        let deleted = Deleted { tenant: tenant.clone(), flow: flow.clone(), revision, deleted_at: now };
        if rows::commit(&*flows.shared.store, keep.keep(batch, &deleted, now)?).await?.is_some() {
            flows.shared.metrics.saved("saved");
            tracing::info!(%tenant, %flow, revision, "a flow was deleted");
            return Ok(deleted);
        }
        flows.shared.metrics.saved("retried");
    }
    Err(contention(flow))
}
