//! Flows: what runs where, as immutable revisions.
//!
//! A change is a [`Change`]; [`save`](Flows::attach) reads the newest revision, lets the change make the next one, and
//! commits it with its audit, guarded by the revision that was read. What executors get is told by `distribution`.

mod attach;
mod config;
mod pin;
mod rows;
mod save;

pub(crate) use attach::Attach;
pub(crate) use pin::Pinning;
pub(crate) use rows::{FlowHead, etag_of, find_head, find_revision, replaced_at};
pub(crate) use save::Saved;

use crate::catalogue::Catalogue;
use crate::keys;
use crate::requests::RequestId;
use crate::rows::{Page, Row};
use crate::shared::Shared;
use crate::store::{Key, Scan};
use crate::tenants::Tenants;
use serde::{Deserialize, Serialize};
use sluice_model::version::ActionVersion;
use sluice_model::{Attachment, Error, FlowRevision, OnFailure, Slug};

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
    fn new(code: &str, message: String) -> Warning {
        Warning { code: code.to_owned(), message, pointer: None }
    }
}

/// Changes and shows flows.
#[derive(Clone)]
pub(crate) struct Flows {
    shared: Shared,
    tenants: Tenants,
    catalogue: Catalogue,
}

/// A revision as it may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The revision, with the values of secret config fields hidden.
    pub(crate) revision: FlowRevision,
    /// Its etag.
    pub(crate) etag: String,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

impl Flows {
    pub(crate) fn new(shared: Shared, tenants: Tenants, catalogue: Catalogue) -> Flows {
        Flows { shared, tenants, catalogue }
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

    /// Shows a revision, 0 for the newest. NOT_FOUND `FLOW_NOT_FOUND`, `FLOW_REVISION_NOT_FOUND`.
    pub(crate) async fn get(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Shown, Error> {
        let row = self.revision(tenant, flow, revision).await?;
        let etag = etag_of(&row.value);
        let mut revision = row.value;
        let mut warnings = Vec::new();
        for attachment in revision.slots.iter_mut().flat_map(|slot| slot.attachments.iter_mut()) {
            let version = self.catalogue.get(tenant, &attachment.slug, &attachment.version).await?;
            attachment.config = config::shown(version.value.schema.as_ref(), &attachment.config)?;
            for warning in warnings_of(attachment, &version.value) {
                let message = format!("attachment {} ({}): {}", attachment.id, attachment.slug, warning.message);
                warnings.push(Warning { message, ..warning });
            }
        }
        Ok(Shown { revision, etag, warnings })
    }

    /// A revision as it is stored, 0 for the newest, with the commit that made it.
    pub(crate) async fn revision(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Row<FlowRevision>, Error> {
        self.tenants.get(tenant).await?;
        let head = self.head(tenant, flow).await?;
        let revision = if revision == 0 { head.value.revision } else { revision };
        find_revision(&self.shared, tenant, flow, revision).await?.ok_or_else(|| {
            let message = format!("flow {flow} has no revision {revision}; its newest is {}", head.value.revision);
            Error::not_found("FLOW_REVISION_NOT_FOUND", message).about("flow_revision", format!("{flow}/{revision}"))
        })
    }

    /// The flows of a tenant, by slug.
    pub(crate) async fn list(&self, tenant: &Slug, after: Option<Key>, limit: usize) -> Result<Page<FlowHead>, Error> {
        self.tenants.get(tenant).await?;
        let scan = Scan::of(keys::flows(tenant)).after(after).limit(limit);
        let page = crate::rows::scan::<FlowHead>(&*self.shared.store, scan).await?;
        Ok(Page { entries: page.entries.into_iter().map(|row| row.value).collect(), next: page.next })
    }

    async fn head(&self, tenant: &Slug, flow: &Slug) -> Result<Row<FlowHead>, Error> {
        find_head(&self.shared, tenant, flow).await?.ok_or_else(|| {
            Error::not_found("FLOW_NOT_FOUND", format!("tenant {tenant} has no flow {flow}"))
                .about("flow", flow.as_str())
        })
    }
}

/// What is likely not what was meant with an attachment.
fn warnings_of(attachment: &Attachment, version: &ActionVersion) -> Vec<Warning> {
    let mut found = Vec::new();
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
    if let Some(wall_ms) = attachment.wall_ms.filter(|ms| *ms > version.limits.wall_ms) {
        let message = format!(
            "{wall_ms} ms have no effect: version {} asks for {} ms, and the smaller one counts",
            version.version, version.limits.wall_ms
        );
        found.push(Warning::new("wall_ms_above_version", message));
    }
    found
}
