//! Flows: what runs where, as immutable revisions.
//!
//! A change makes a draft of the next revision from the newest; [`save`] reads the newest, and commits the draft with its
//! audit, guarded by the revision that was read. What executors get is told by `distribution`.

mod attach;
mod checks;
mod config;
mod delete;
mod effective;
mod generated;
mod history;
mod pin;
mod rollback;
mod rows;
mod save;
mod update;

pub(crate) use attach::Attach;
pub(crate) use checks::{Checker, Trial};
pub(crate) use delete::{Deleted, FlowDeletion};
pub(crate) use history::{Past, ShownChange};
pub(crate) use pin::Pinning;
pub(crate) use rollback::Rollback;
pub(crate) use rows::{FlowHead, GoneFlow, Save, etag_of, find_gone, find_head, find_revision, replaced_at};
pub(crate) use save::Saved;
pub(crate) use update::{Detach, SlotBudget, Update};

use crate::catalogue::Catalogue;
use crate::keys;
use crate::requests::RequestId;
use crate::rows::{Page, Row};
use crate::secrets::{Secrets, uses};
use crate::shared::Shared;
use crate::store::{Key, Revision, Scan};
use crate::tenants::Tenants;
use effective::Effective;
use jiff::{SignedDuration, Timestamp};
use rollback::Versions;
use serde::{Deserialize, Serialize};
use sluice_model::diagnostic::nearest;
use sluice_model::manifest::Capability;
use sluice_model::version::ActionVersion;
use sluice_model::{Attachment, Error, FlowRevision, OnCountersUnavailable, OnFailure, Slug, Trigger};

/// Something that was accepted and is likely not what was meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Warning {
    /// A word for machines.
    pub(crate) code: String,
    /// What to look at.
    pub(crate) message: String,
    /// Into the config.
    pub(crate) pointer: Option<String>,
}

impl Warning {
    pub(crate) fn new(code: &str, message: String) -> Warning {
        Warning { code: code.to_owned(), message, pointer: None }
    }
}

/// Changes and shows flows.
#[derive(Clone)]
pub(crate) struct Flows {
    shared: Shared,
    tenants: Tenants,
    catalogue: Catalogue,
    checker: Checker,
    secrets: Secrets,
    /// How long a revision is executable past its replacement.
    revision_ttl: SignedDuration,
}

/// A revision as it may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The revision, with the values of secret config fields hidden.
    pub(crate) revision: FlowRevision,
    /// Its etag.
    pub(crate) etag: String,
    /// The longest that each of its slots can take by the clock, in milliseconds.
    pub(crate) worst_cases: Vec<(Trigger, u32)>,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

impl Flows {
    pub(crate) fn new(
        shared: Shared,
        tenants: Tenants,
        catalogue: Catalogue,
        checker: Checker,
        secrets: Secrets,
        revision_ttl: SignedDuration,
    ) -> Flows {
        Flows { shared, tenants, catalogue, checker, secrets, revision_ttl }
    }

    /// The tenants that have the flows.
    pub(crate) fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// What they pin.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Makes a flow without slots, as revision 1. ALREADY_EXISTS `FLOW_EXISTS`.
    pub(crate) async fn create(&self, who: &str, tenant: &Slug, flow: &Slug, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(tenant), request_id, "CreateFlow", flow)?;
        save::create(self, who, tenant, flow, request.as_ref()).await
    }

    /// Attaches an Action to a slot.
    pub(crate) async fn attach(&self, who: &str, attach: &Attach, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(&attach.tenant), request_id, "AttachAction", attach)?;
        save::change(self, who, save::Change::Attach(attach), request.as_ref()).await
    }

    /// Changes the version of an attachment.
    pub(crate) async fn pin(&self, who: &str, pin: &Pinning, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(&pin.tenant), request_id, "PinAttachment", pin)?;
        save::change(self, who, save::Change::Pin(pin), request.as_ref()).await
    }

    /// Changes an attachment, but for its version.
    pub(crate) async fn update(&self, who: &str, update: &Update, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(&update.tenant), request_id, "UpdateAttachment", update)?;
        save::change(self, who, save::Change::Update(update), request.as_ref()).await
    }

    /// Takes an attachment out of its slot.
    pub(crate) async fn detach(&self, who: &str, detach: &Detach, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(&detach.tenant), request_id, "DetachAction", detach)?;
        save::change(self, who, save::Change::Detach(detach), request.as_ref()).await
    }

    /// Changes a slot's time.
    pub(crate) async fn update_slot(&self, who: &str, slot: &SlotBudget, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(&slot.tenant), request_id, "UpdateSlot", slot)?;
        save::change(self, who, save::Change::Slot(slot), request.as_ref()).await
    }

    /// Saves an earlier revision as the newest.
    pub(crate) async fn roll_back(&self, who: &str, rollback: &Rollback, request_id: &str) -> Result<Saved, Error> {
        let request = RequestId::of(Some(&rollback.tenant), request_id, "RollbackFlow", rollback)?;
        save::change(self, who, save::Change::Rollback(rollback), request.as_ref()).await
    }

    /// Deletes a flow.
    pub(crate) async fn delete(&self, who: &str, deletion: &FlowDeletion, request_id: &str) -> Result<Deleted, Error> {
        let request = RequestId::of(Some(&deletion.tenant), request_id, "DeleteFlow", deletion)?;
        let deleted = delete::delete(self, who, deletion, request.as_ref()).await;
        if deleted.is_err() {
            self.shared.metrics.saved("refused");
        }
        deleted
    }

    /// Until when a revision is executable that was replaced then.
    pub(crate) fn executable_until(&self, replaced: Timestamp) -> Timestamp {
        replaced + self.revision_ttl
    }

    /// Shows a revision, 0 for the newest. NOT_FOUND `FLOW_NOT_FOUND`, `FLOW_REVISION_NOT_FOUND`.
    pub(crate) async fn get(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Shown, Error> {
        let row = self.revision(tenant, flow, revision).await?;
        let etag = etag_of(&row.value);
        let mut revision = row.value;
        let versions = Versions::of(&self.catalogue, &[&revision]).await?;
        // Of the configs as they are stored: what is hidden below counts here.
        let effective = Effective::new(&revision, &versions);
        let (of_slots, worst_cases) = (effective.warnings(), effective.worst_cases());
        let mut warnings = Vec::new();
        for attachment in revision.slots.iter_mut().flat_map(|slot| slot.attachments.iter_mut()) {
            let version = versions.of_attachment(attachment)?;
            attachment.config = config::shown(version.value.schema.as_ref(), &attachment.config)?;
            for warning in warnings_of(&self.shared, tenant, attachment, &version.value).await? {
                let message = format!("attachment {} ({}): {}", attachment.id, attachment.slug, warning.message);
                warnings.push(Warning { message, ..warning });
            }
        }
        warnings.extend(of_slots.into_iter().map(Warning::from));
        Ok(Shown { revision, etag, worst_cases, warnings })
    }

    /// A revision as it is stored, 0 for the newest, with the commit that made it.
    pub(crate) async fn revision(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Row<FlowRevision>, Error> {
        self.tenants.get(tenant).await?;
        let head = self.head(tenant, flow).await?;
        let revision = if revision == 0 { head.value.revision } else { revision };
        let found = find_revision(&self.shared, tenant, flow, revision).await?;
        found.ok_or_else(|| revision_not_found(flow, revision, head.value.revision))
    }

    /// The same for who may have begun with a revision: those of a flow that was deleted are found too, but for its newest.
    pub(crate) async fn begun(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<FlowRevision, Error> {
        self.tenants.get(tenant).await?;
        if revision > 0
            && let Some(gone) = find_gone(&self.shared, tenant, flow).await?
        {
            let found = find_revision(&self.shared, tenant, flow, revision).await?;
            return Ok(found.ok_or_else(|| revision_not_found(flow, revision, gone.value.revision))?.value);
        }
        Ok(self.revision(tenant, flow, revision).await?.value)
    }

    /// The flows of a tenant, by slug.
    pub(crate) async fn list(&self, tenant: &Slug, after: Option<Key>, limit: usize) -> Result<Page<FlowHead>, Error> {
        self.tenants.get(tenant).await?;
        let scan = Scan::of(keys::flows(tenant)).after(after).limit(limit);
        let page = crate::rows::scan::<FlowHead>(&*self.shared.store, scan).await?;
        Ok(Page { entries: page.entries.into_iter().map(|row| row.value).collect(), next: page.next })
    }

    /// The commit that deleted a flow which had a revision and was not made again.
    pub(crate) async fn deletion(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Option<Revision>, Error> {
        let gone = find_gone(&self.shared, tenant, flow).await?;
        Ok(gone.filter(|gone| (1..=gone.value.revision).contains(&revision)).map(|gone| gone.revision))
    }

    async fn head(&self, tenant: &Slug, flow: &Slug) -> Result<Row<FlowHead>, Error> {
        if let Some(head) = find_head(&self.shared, tenant, flow).await? {
            return Ok(head);
        }
        let others =
            crate::rows::scan::<FlowHead>(&*self.shared.store, Scan::of(keys::flows(tenant)).limit(MAX_NEAR)).await?;
        let near = nearest(flow.as_str(), others.entries.iter().map(|other| other.value.flow.as_str()));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let missing = Error::not_found("FLOW_NOT_FOUND", format!("tenant {tenant} has no flow {flow}{near}"));
        Err(missing.about("flow", flow.as_str()))
    }
}

/// Among so many flows a near name is looked for.
const MAX_NEAR: usize = 100;

fn revision_not_found(flow: &Slug, revision: u64, newest: u64) -> Error {
    let message = format!("flow {flow} has no revision {revision}; its newest is {newest}");
    Error::not_found("FLOW_REVISION_NOT_FOUND", message).about("flow_revision", format!("{flow}/{revision}"))
}

/// What is likely not what was meant with an attachment.
async fn warnings_of(
    shared: &Shared,
    tenant: &Slug,
    attachment: &Attachment,
    version: &ActionVersion,
) -> Result<Vec<Warning>, Error> {
    let mut found = uses::unset(shared, tenant, attachment, version).await?;
    if version.revoked {
        let message = format!(
            "the platform has revoked version {} of {}: its runs end as revoked, and on_unavailable applies",
            version.version, version.slug
        );
        found.push(Warning::new("version_revoked", message));
    }
    if version.yanked {
        let message = format!("version {} of {} is yanked: it cannot be attached anew", version.version, version.slug);
        found.push(Warning::new("version_yanked", message));
    }
    if version.deprecated {
        let message = format!("version {} of {} is deprecated", version.version, version.slug);
        found.push(Warning::new("version_deprecated", message));
    }
    if attachment.on_error == OnFailure::Continue {
        let message = "a run that throws, goes over a limit or answers no valid outcome lets the sign-in go on";
        found.push(Warning::new("on_error_continue", message.to_owned()));
    }
    if attachment.on_unavailable == OnFailure::Continue {
        let message = "where its module cannot be had the sign-in goes on without it";
        found.push(Warning::new("on_unavailable_continue", message.to_owned()));
    }
    if attachment.on_counters_unavailable == OnCountersUnavailable::Fail
        && !version.grants.capabilities.contains(&Capability::Counters)
    {
        let message = format!(
            "on_counters_unavailable has no effect: version {} does not declare the capability counters",
            version.version
        );
        found.push(Warning::new("on_counters_unavailable_unused", message));
    }
    if let Some(wall_ms) = attachment.wall_ms.filter(|ms| *ms > version.limits.wall_ms) {
        let message = format!(
            "{wall_ms} ms have no effect: version {} asks for {} ms, and the smaller one counts",
            version.version, version.limits.wall_ms
        );
        found.push(Warning::new("wall_ms_above_version", message));
    }
    Ok(found)
}
