//! The save of a flow: one commit that makes the next revision, with its audit, guarded by the revision before it.

use super::checks::{Kept, Place};
use super::generated::{self, Generated, Told};
use super::{
    Attach, Checker, Detach, FlowHead, Flows, Pinning, Rollback, Save, SlotBudget, Update, Warning, effective,
    find_gone, find_head, find_revision,
};
use crate::audit::outbox;
use crate::catalogue::Catalogue;
use crate::keys;
use crate::requests::{self, Keep, RequestId, Seen};
use crate::rows::{self, Row};
use crate::shared::Shared;
use crate::store::Batch;
use crate::tenants::Tenant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sluice_model::version::ActionVersion;
use sluice_model::{Attachment, AuditKind, AuditRecord, Code, Error, FlowRevision, Object, Slot, Slug, Trigger};
use std::collections::{BTreeMap, BTreeSet};

/// How often a save is tried on the newest state before it is given up. Every try that fails is another's save.
pub(super) const MAX_TRIES: usize = 1000;

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
    /// The secrets that were made with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) generated: Vec<Told>,
}

/// A change of a flow.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// An Action comes into a slot.
    Attach(&'a Attach),
    /// An attachment gets another version.
    Pin(&'a Pinning),
    /// An attachment gets another config, place, policy or limit, or is turned on or off.
    Update(&'a Update),
    /// An attachment goes.
    Detach(&'a Detach),
    /// A slot gets another time.
    Slot(&'a SlotBudget),
    /// An earlier revision comes back.
    Rollback(&'a Rollback),
}

/// What a change is made up from.
#[derive(Clone, Copy)]
pub(super) struct Edit<'a> {
    /// Where the secrets are that attachments need.
    pub(super) shared: &'a Shared,
    /// What there is to pin.
    pub(super) catalogue: &'a Catalogue,
    /// What is asked of configs.
    pub(super) checker: &'a Checker,
    /// Whose flow it is.
    pub(super) tenant: &'a Tenant,
    /// The revision that is changed.
    pub(super) newest: &'a FlowRevision,
    /// Who changes it.
    pub(super) who: &'a str,
    /// When.
    pub(super) now: Timestamp,
}

impl Edit<'_> {
    /// Checks a config that the version's schema takes, for where it is to stand, and names the secrets that are to be made.
    pub(super) async fn checked(
        &self,
        version: &ActionVersion,
        trigger: Trigger,
        wall_ms: Option<u32>,
        kept: Object,
        former: Option<&Object>,
    ) -> Result<Kept, Error> {
        let place = Place { tenant: self.tenant, trigger, wall_ms };
        let mut kept = self.checker.check(&place, version, kept).await?;
        kept.generated = generated::fill(version, &mut kept.config, former)?;
        Ok(kept)
    }

    /// A record of the change; the flow and the revision are filled in later.
    pub(super) fn record(&self, kind: AuditKind) -> AuditRecord {
        AuditRecord::new(self.now, kind, self.newest.tenant.clone(), self.who)
    }

    /// A record that is about an attachment.
    pub(super) fn about(&self, kind: AuditKind, trigger: Trigger, attachment: &Attachment) -> AuditRecord {
        AuditRecord {
            trigger: Some(trigger),
            attachment: Some(attachment.id.clone()),
            slug: Some(attachment.slug.clone()),
            version: Some(attachment.version.clone()),
            ..self.record(kind)
        }
    }
}

/// What a change makes of a revision.
pub(super) struct Draft {
    /// The slots of the next revision.
    pub(super) slots: Vec<Slot>,
    /// The attachment that was changed.
    pub(super) attachment: Option<String>,
    /// What is likely not what was meant.
    pub(super) warnings: Vec<Warning>,
    /// What audit says of it, but for the flow and the revision.
    pub(super) record: AuditRecord,
    /// And of its parts.
    pub(super) more: Vec<AuditRecord>,
    /// What the change has relied on: preconditions without a write.
    pub(super) relied_on: Batch,
    /// Secrets that are made with it.
    pub(super) generated: Vec<Generated>,
    /// The revision that comes back.
    pub(super) rolled_back_to: Option<u64>,
}

impl Draft {
    /// A change of the slots that audit tells of in one record.
    pub(super) fn of(slots: Vec<Slot>, record: AuditRecord) -> Draft {
        Draft {
            slots,
            record,
            attachment: None,
            warnings: Vec::new(),
            more: Vec::new(),
            relied_on: Batch::new(),
            generated: Vec::new(),
            rolled_back_to: None,
        }
    }
}

/// Where an attachment is: the index of its slot, and its own. NOT_FOUND `ATTACHMENT_NOT_FOUND`.
pub(super) fn place_of(revision: &FlowRevision, attachment: &str) -> Result<(usize, usize), Error> {
    let found =
        revision.slots.iter().enumerate().find_map(|(slot, of)| {
            Some((slot, of.attachments.iter().position(|candidate| candidate.id == attachment)?))
        });
    found.ok_or_else(|| {
        let shown: String = attachment.chars().take(80).collect();
        let message = format!("flow {} has no attachment {shown:?} in its newest revision", revision.flow);
        Error::not_found("ATTACHMENT_NOT_FOUND", message).about("attachment", shown)
    })
}

impl Change<'_> {
    fn target(&self) -> (&Slug, &Slug, &str) {
        match self {
            Change::Attach(Attach { tenant, flow, etag, .. })
            | Change::Pin(Pinning { tenant, flow, etag, .. })
            | Change::Update(Update { tenant, flow, etag, .. })
            | Change::Detach(Detach { tenant, flow, etag, .. })
            | Change::Slot(SlotBudget { tenant, flow, etag, .. })
            | Change::Rollback(Rollback { tenant, flow, etag, .. }) => (tenant, flow, etag),
        }
    }

    async fn draft(&self, flows: &Flows, edit: Edit<'_>) -> Result<Draft, Error> {
        match self {
            Change::Attach(attach) => attach.draft(edit).await,
            Change::Pin(pin) => pin.draft(edit).await,
            Change::Update(update) => update.draft(edit).await,
            Change::Detach(detach) => detach.draft(edit).await,
            Change::Slot(slot) => slot.draft(edit),
            Change::Rollback(rollback) => rollback.draft(&flows.shared, edit).await,
        }
    }
}

/// Makes a flow. One that is made again under the slug of a deleted one goes on counting its revisions.
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
        if find_head(&flows.shared, tenant, flow).await?.is_some() {
            let message = format!("tenant {tenant} has a flow {flow} already");
            return Err(Error::new(Code::AlreadyExists, "FLOW_EXISTS", message).about("flow", flow.as_str()));
        }
        let now = flows.shared.clock.now();
        let batch = Batch::new().exists(keys::tenant(tenant)).absent(keys::flow(tenant, flow));
        let gone_key = keys::gone_flow(tenant, flow);
        let (batch, last) = match find_gone(&flows.shared, tenant, flow).await? {
            Some(gone) => (batch.at(gone_key.clone(), gone.revision).delete(gone_key), gone.value.revision),
            None => (batch.absent(gone_key), 0),
        };
        let next = FlowRevision {
            tenant: tenant.clone(),
            flow: flow.clone(),
            revision: last + 1,
            created_at: now,
            slots: Vec::new(),
        };
        let record = AuditRecord::new(now, AuditKind::FlowCreated, tenant.clone(), who);
        let made = Made { next, former: None, draft: Draft::of(Vec::new(), record) };
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
        let whose = flows.tenants.get(tenant).await?.value;
        let keep = match requests::look(&flows.shared, request).await? {
            Seen::Answered(saved) => return Ok(saved),
            Seen::New(keep) => keep,
        };
        let (head, newest) = newest(flows, tenant, flow, etag).await?;
        let now = flows.shared.clock.now();
        let Flows { shared, catalogue, checker, .. } = flows;
        let edit = Edit { shared, catalogue, checker, tenant: &whose, newest: &newest, who, now };
        let mut draft = change.draft(flows, edit).await?;
        let batch = std::mem::take(&mut draft.relied_on).at(keys::flow(tenant, flow), head.revision);
        let next = FlowRevision {
            revision: newest.revision + 1,
            created_at: now,
            slots: std::mem::take(&mut draft.slots),
            ..newest.clone()
        };
        draft.warnings.extend(effective::of_save(flows, &newest, &next).await?);
        if let Some(saved) = (Made { next, former: Some(newest), draft }).commit(flows, batch, keep).await? {
            return Ok(saved);
        }
        flows.shared.metrics.saved("retried");
    }
    Err(contention(flow))
}

/// Too many change a flow at once.
pub(super) fn contention(flow: &Slug) -> Error {
    let message = format!("flow {flow} is being changed by too many at once; try again");
    Error::new(Code::Aborted, "CONTENTION", message).about("flow", flow.as_str())
}

/// The head of a flow and its newest revision, where that is the one that the caller has read.
pub(super) async fn newest(
    flows: &Flows,
    tenant: &Slug,
    flow: &Slug,
    etag: &str,
) -> Result<(Row<FlowHead>, FlowRevision), Error> {
    let head = flows.head(tenant, flow).await?;
    if !etag.is_empty() && etag != head.value.etag {
        return Err(stale(flow, etag, &head));
    }
    let Some(newest) = find_revision(&flows.shared, tenant, flow, head.value.revision).await? else {
        tracing::error!(%tenant, %flow, revision = head.value.revision, "the newest revision of a flow is missing");
        return Err(Error::internal("the store failed on this request"));
    };
    Ok((head, newest.value))
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
    draft: Draft,
}

impl Made {
    /// Commits it; `None` where something it relies on has changed.
    async fn commit(self, flows: &Flows, batch: Batch, keep: Keep) -> Result<Option<Saved>, Error> {
        let Made { next, former, draft } = self;
        let Draft { attachment, warnings, record, more, generated, rolled_back_to, .. } = draft;
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
        let (kind, who) = (record.kind, record.principal.clone());
        let mut batch = batch
            .put(keys::flow(tenant, flow), rows::encode(&head)?)
            .absent(keys::revision(tenant, flow, next.revision))
            .put(keys::revision(tenant, flow, next.revision), bytes)
            .put(
                keys::saved(tenant, flow, next.revision),
                rows::encode(&Save::of(&record, next.revision, rolled_back_to))?,
            );
        for record in std::iter::once(record).chain(more) {
            let record = AuditRecord { flow: Some(flow.clone()), flow_revision: Some(next.revision), ..record };
            batch = batch.append(keys::outbox(), outbox::row(&record)?);
        }
        if let Some(former) = &former {
            batch = batch.put(keys::replaced(tenant, flow, former.revision), rows::encode(&now)?);
        }
        for Use { slug, before, after } in changed_uses(former.as_ref(), Some(&next)) {
            if before == 0 {
                // From now on the Action cannot be deleted; one that is being deleted is not attached.
                let Some(held) = flows.catalogue.hold(batch, tenant, &slug).await? else { return Ok(None) };
                batch = held;
            }
            let key = keys::used(tenant, &slug, flow);
            batch = if after == 0 { batch.delete(key) } else { batch.put(key, rows::encode(&after)?) };
        }
        let (batch, generated) = flows.make(batch, &who, tenant, &generated).await?;
        let saved = Saved {
            tenant: tenant.clone(),
            flow: flow.clone(),
            revision: next.revision,
            etag: head.etag,
            attachment,
            warnings,
            generated,
        };
        let batch = keep.keep(batch, &saved, now)?;
        if rows::commit(&*flows.shared.store, batch).await?.is_none() {
            return Ok(None);
        }
        flows.shared.metrics.saved("saved");
        tracing::info!(%tenant, %flow, revision = saved.revision, %kind, "a flow was saved");
        Ok(Some(saved))
    }
}

/// In how many slots an Action was and is.
pub(super) struct Use {
    pub(super) slug: Slug,
    before: u32,
    after: u32,
}

/// The Actions whose number of slots has changed.
pub(super) fn changed_uses(former: Option<&FlowRevision>, next: Option<&FlowRevision>) -> Vec<Use> {
    let before = former.map(uses).unwrap_or_default();
    let after = next.map(uses).unwrap_or_default();
    let slugs: BTreeSet<&Slug> = before.keys().chain(after.keys()).copied().collect();
    let count = |of: &BTreeMap<&Slug, u32>, slug: &Slug| of.get(slug).copied().unwrap_or(0);
    slugs
        .into_iter()
        .map(|slug| Use { slug: slug.clone(), before: count(&before, slug), after: count(&after, slug) })
        .filter(|changed| changed.before != changed.after)
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
