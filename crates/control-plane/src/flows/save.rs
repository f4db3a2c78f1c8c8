//! The save of a flow: one commit that makes the next revision, with its audit, guarded by the revision before it.

use super::{Attach, FlowHead, Flows, Pinning, Warning, find_revision};
use crate::audit::outbox;
use crate::keys;
use crate::requests::{self, Keep, RequestId, Seen};
use crate::rows::{self, Row};
use crate::store::{Batch, Key, Revision};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sluice_model::{AuditKind, AuditRecord, Code, Error, FlowRevision, Slot, Slug};
use std::collections::{BTreeMap, BTreeSet};

/// How often a save is tried on the newest state before it is given up. Every try that fails is another's save.
const MAX_TRIES: usize = 1000;

/// A revision as JSON, its configs included. On the wire numbers take up to five times as much, and what executors are told
/// has to fit into the 4 MiB that a gRPC message has by default.
const MAX_REVISION_BYTES: usize = 512 << 10;

/// What the save of a flow answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The revision that was made.
    pub(crate) revision: u64,
    /// Its etag.
    pub(crate) etag: String,
    /// The attachment that was changed.
    pub(crate) attachment: Option<String>,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

/// A change of a flow.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// An Action comes into a slot.
    Attach(&'a Attach),
    /// An attachment gets another version.
    Pin(&'a Pinning),
}

/// What a change makes of a revision.
pub(super) struct Draft {
    /// The slots of the next revision.
    pub(super) slots: Vec<Slot>,
    /// The attachment that was changed.
    pub(super) attachment: String,
    /// What is likely not what was meant.
    pub(super) warnings: Vec<Warning>,
    /// What audit says of it, but for the flow, the revision, the time and who did it.
    pub(super) record: AuditRecord,
    /// What the change has relied on: it must still be as it was read.
    pub(super) relied_on: Vec<(Key, Revision)>,
}

impl Change<'_> {
    fn target(&self) -> (&Slug, &Slug, &str) {
        match self {
            Change::Attach(attach) => (&attach.tenant, &attach.flow, &attach.etag),
            Change::Pin(pin) => (&pin.tenant, &pin.flow, &pin.etag),
        }
    }

    async fn draft(&self, flows: &Flows, newest: &FlowRevision, who: &str, now: Timestamp) -> Result<Draft, Error> {
        let record = |kind| AuditRecord::new(now, kind, newest.tenant.clone(), who);
        match self {
            Change::Attach(attach) => attach.draft(&flows.catalogue, newest, record(AuditKind::ActionAttached)).await,
            Change::Pin(pin) => pin.draft(&flows.catalogue, newest, record(AuditKind::ActionUpdated)).await,
        }
    }
}

/// Makes a flow.
pub(super) async fn create(
    flows: &Flows,
    who: &str,
    tenant: &Slug,
    flow: &Slug,
    request: Option<&RequestId>,
) -> Result<Saved, Error> {
    loop {
        flows.tenants.get(tenant).await?;
        let keep = match requests::look(&flows.shared, request).await? {
            Seen::Answered(saved) => return Ok(saved),
            Seen::New(keep) => keep,
        };
        if super::find_head(&flows.shared, tenant, flow).await?.is_some() {
            let message = format!("tenant {tenant} has a flow {flow} already");
            return Err(Error::new(Code::AlreadyExists, "FLOW_EXISTS", message).about("flow", flow.as_str()));
        }
        let now = flows.shared.clock.now();
        let first = FlowRevision {
            tenant: tenant.clone(),
            flow: flow.clone(),
            revision: 1,
            created_at: now,
            slots: Vec::new(),
        };
        let batch = Batch::new().exists(keys::tenant(tenant)).absent(keys::flow(tenant, flow));
        let record = AuditRecord::new(now, AuditKind::FlowCreated, tenant.clone(), who);
        let made = Made { next: first, former: None, record, attachment: None, warnings: Vec::new() };
        if let Some(saved) = made.commit(flows, batch, keep).await? {
            return Ok(saved);
        }
    }
}

/// Changes a flow. Without an etag a lost race is tried again on the newest revision; with a stale one it is ABORTED
/// `ETAG_MISMATCH`.
#[tracing::instrument(level = "info", name = "save_flow", skip_all, fields(tenant = %change.target().0, flow = %change.target().1))]
pub(super) async fn change(
    flows: &Flows,
    who: &str,
    change: Change<'_>,
    request: Option<&RequestId>,
) -> Result<Saved, Error> {
    let saved = try_change(flows, who, change, request).await;
    if saved.is_err() {
        flows.shared.metrics.saved("refused");
    }
    saved
}

async fn try_change(flows: &Flows, who: &str, change: Change<'_>, request: Option<&RequestId>) -> Result<Saved, Error> {
    let (tenant, flow, etag) = change.target();
    for _ in 0..MAX_TRIES {
        flows.tenants.get(tenant).await?;
        let keep = match requests::look(&flows.shared, request).await? {
            Seen::Answered(saved) => return Ok(saved),
            Seen::New(keep) => keep,
        };
        let head = flows.head(tenant, flow).await?;
        if !etag.is_empty() && etag != head.value.etag {
            return Err(stale(flow, etag, &head));
        }
        let Some(newest) = find_revision(&flows.shared, tenant, flow, head.value.revision).await? else {
            tracing::error!(%tenant, %flow, revision = head.value.revision, "the newest revision of a flow is missing");
            return Err(Error::internal("the store failed on this request"));
        };
        let now = flows.shared.clock.now();
        let draft = change.draft(flows, &newest.value, who, now).await?;
        let mut batch = Batch::new().at(keys::flow(tenant, flow), head.revision);
        for (key, revision) in draft.relied_on {
            batch = batch.at(key, revision);
        }
        let next = FlowRevision {
            tenant: tenant.clone(),
            flow: flow.clone(),
            revision: newest.value.revision + 1,
            created_at: now,
            slots: draft.slots,
        };
        let made = Made {
            next,
            former: Some(newest.value),
            record: draft.record,
            attachment: Some(draft.attachment),
            warnings: draft.warnings,
        };
        if let Some(saved) = made.commit(flows, batch, keep).await? {
            return Ok(saved);
        }
        flows.shared.metrics.saved("retried");
    }
    let message = format!("flow {flow} is being changed by too many at once; try again");
    Err(Error::new(Code::Aborted, "CONTENTION", message).about("flow", flow.as_str()))
}

fn stale(flow: &Slug, etag: &str, head: &Row<FlowHead>) -> Error {
    let shown: String = etag.chars().take(80).collect();
    let message = format!(
        "flow {flow} was changed since etag {shown:?} was read: its newest revision is {}; read it again",
        head.value.revision
    );
    Error::new(Code::Aborted, "ETAG_MISMATCH", message)
        .with_field("etag", "is not that of the newest revision")
        .about("flow", flow.as_str())
}

/// A revision that is ready to be committed.
struct Made {
    next: FlowRevision,
    former: Option<FlowRevision>,
    record: AuditRecord,
    attachment: Option<String>,
    warnings: Vec<Warning>,
}

impl Made {
    /// Commits it; `None` where something it relies on has changed.
    async fn commit(self, flows: &Flows, batch: Batch, keep: Keep) -> Result<Option<Saved>, Error> {
        let Made { next, former, mut record, attachment, warnings } = self;
        let (tenant, flow, now) = (&next.tenant, &next.flow, next.created_at);
        let head = FlowHead::of(&next);
        let bytes = rows::encode(&next)?;
        if bytes.len() > MAX_REVISION_BYTES {
            let message = format!(
                "flow {flow} would have {} bytes as JSON, its configs included; at most {MAX_REVISION_BYTES} are kept",
                bytes.len()
            );
            return Err(Error::precondition("FLOW_TOO_LARGE", message).about("flow", flow.as_str()));
        }
        record.flow = Some(flow.clone());
        record.flow_revision = Some(next.revision);
        let mut batch = batch
            .put(keys::flow(tenant, flow), rows::encode(&head)?)
            .absent(keys::revision(tenant, flow, next.revision))
            .put(keys::revision(tenant, flow, next.revision), bytes)
            .append(keys::outbox(), outbox::row(&record)?);
        if let Some(former) = &former {
            batch = batch.put(keys::replaced(tenant, flow, former.revision), rows::encode(&now)?);
        }
        for (slug, slots) in changed_uses(former.as_ref(), &next) {
            let key = keys::used(tenant, &slug, flow);
            batch = if slots == 0 { batch.delete(key) } else { batch.put(key, rows::encode(&slots)?) };
        }
        let saved = Saved {
            tenant: tenant.clone(),
            flow: flow.clone(),
            revision: next.revision,
            etag: head.etag,
            attachment,
            warnings,
        };
        let batch = keep.keep(batch, &saved, now)?;
        if rows::commit(&*flows.shared.store, batch).await?.is_none() {
            return Ok(None);
        }
        flows.shared.metrics.saved("saved");
        tracing::info!(%tenant, %flow, revision = saved.revision, kind = %record.kind, "a flow was saved");
        Ok(Some(saved))
    }
}

/// In how many slots the Actions are whose number of slots has changed.
fn changed_uses(former: Option<&FlowRevision>, next: &FlowRevision) -> Vec<(Slug, u32)> {
    let before = former.map(uses).unwrap_or_default();
    let after = uses(next);
    let slugs: BTreeSet<&Slug> = before.keys().chain(after.keys()).copied().collect();
    let count = |of: &BTreeMap<&Slug, u32>, slug: &Slug| of.get(slug).copied().unwrap_or(0);
    slugs
        .into_iter()
        .filter(|slug| count(&before, slug) != count(&after, slug))
        .map(|slug| (slug.clone(), count(&after, slug)))
        .collect()
}

/// In how many slots each Action is. One that is twice in a slot counts once.
fn uses(revision: &FlowRevision) -> BTreeMap<&Slug, u32> {
    let mut found = BTreeMap::new();
    for slot in &revision.slots {
        let slugs: BTreeSet<&Slug> = slot.attachments.iter().map(|attachment| &attachment.slug).collect();
        for slug in slugs {
            *found.entry(slug).or_insert(0) += 1;
        }
    }
    found
}
