//! What executors are told, and how far they are.
//!
//! The [roster] knows who is connected; a [session](watch) tells one executor the state that it subscribes to and every
//! change, one state at a time; [resources] reads what a state is made of, and a [picture] of all of it is shared by those
//! who come at one moment. What is told is always read from the store: a commit only wakes the sessions.

mod cursor;
mod lag;
mod nack;
mod picture;
mod resources;
mod roster;
mod subscription;
mod watch;

pub(crate) use cursor::Cursors;
pub(crate) use nack::{Cause, Missing, Nack};
pub(crate) use resources::{Name, Resource};
pub(crate) use roster::{ConnectedExecutor, Rollout, Roster};
pub(crate) use subscription::Subscription;
pub(crate) use watch::{Answer, Ended, Event, MAX_TENANTS, Session};

use crate::flows::Flows;
use crate::keys;
use crate::secrets::Secrets;
use crate::shared::Shared;
use crate::store::{BlobStore, Digest, Revision};
use jiff::SignedDuration;
use picture::Pictures;
use resources::Resources;
use roster::Asked;
use sluice_model::{Error, Slug};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Who is there, and what it wants to hear of.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    /// The executor's id.
    pub(crate) executor: String,
    /// How many times it has started.
    pub(crate) epoch: u64,
    /// The version of Sluice that it is.
    pub(crate) version: String,
    /// The engine that it runs, as `engine/image`.
    pub(crate) engine: String,
    /// What it wants to hear of.
    pub(crate) subscription: Subscription,
    /// Where it is, 0 for nowhere.
    pub(crate) resume_cursor: u64,
    /// It wants everything, wherever it is.
    pub(crate) send_full: bool,
    /// The modules that it cannot have.
    pub(crate) missing: Vec<Missing>,
}

/// How executors are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Revisions are executable for so long past their replacement.
    pub(crate) revision_ttl: SignedDuration,
    /// An executor hears something at least as often as this.
    pub(crate) status_every: Duration,
}

/// Tells executors what to run.
#[derive(Clone)]
pub(crate) struct Distribution {
    shared: Shared,
    flows: Flows,
    blobs: BlobStore,
    resources: Resources,
    pictures: Arc<Pictures>,
    roster: Arc<Roster>,
    cursors: Cursors,
    status_every: Duration,
}

impl Distribution {
    pub(crate) fn new(
        shared: Shared,
        flows: Flows,
        secrets: Secrets,
        blobs: BlobStore,
        roster: Arc<Roster>,
        cursors: Cursors,
        pace: Pace,
    ) -> Distribution {
        let resources = Resources::new(shared.clone(), flows.catalogue().clone(), secrets, pace.revision_ttl);
        let pictures = Pictures::new();
        Distribution { shared, flows, blobs, resources, pictures, roster, cursors, status_every: pace.status_every }
    }

    /// Begins a session. A later epoch, or the same one again, ends the session before it; an earlier one is ABORTED
    /// `EPOCH_SUPERSEDED`.
    pub(crate) fn connect(&self, hello: Hello) -> Result<Session, Error> {
        Session::connect(self, hello)
    }

    /// Everybody who is connected, by id, with the commits that each does not serve yet and the age of the oldest of them.
    pub(crate) fn executors(&self) -> Vec<(ConnectedExecutor, (u64, Duration))> {
        self.roster.executors()
    }

    /// The cursors of what they serve.
    pub(crate) fn cursors(&self) -> Cursors {
        self.cursors
    }

    /// A bundle, only for a tenant that has published it; a template's for every tenant. NOT_FOUND `TENANT_NOT_FOUND`, `BUNDLE_NOT_FOUND`.
    pub(crate) async fn bundle(&self, tenant: &Slug, digest: Digest) -> Result<Vec<u8>, Error> {
        self.flows.tenants().get(tenant).await?;
        let name = digest.to_string();
        let missing = || {
            Error::not_found("BUNDLE_NOT_FOUND", format!("tenant {tenant} has no bundle {name}"))
                .about("bundle", name.as_str())
        };
        let (own, everybodys) = (keys::bundle(tenant, &name), keys::template_bundle(&name));
        if self.shared.store.get(&own).await?.is_none() && self.shared.store.get(&everybodys).await?.is_none() {
            return Err(missing());
        }
        self.blobs.get(digest).await?.ok_or_else(|| {
            tracing::error!(%tenant, bundle = %name, "a bundle is missing that a version names");
            missing()
        })
    }

    /// A revision, 0 for the newest, with all that is needed to run it: itself last. FAILED_PRECONDITION
    /// `FLOW_REVISION_EXPIRED` where it was replaced too long ago.
    pub(crate) async fn revision(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Vec<Resource>, Error> {
        let found = self.flows.begun(tenant, flow, revision).await?;
        let number = found.revision;
        let mut told = vec![self.resources.of_tenant(self.flows.tenants().get(tenant).await?.value)];
        match self.resources.revision(found).await? {
            Some(resources) => told.extend(resources),
            None => {
                let message =
                    format!("revision {number} of flow {flow} was replaced too long ago and is not executed any more");
                let expired = Error::precondition("FLOW_REVISION_EXPIRED", message);
                return Err(expired.about("flow_revision", format!("{flow}/{number}")));
            }
        }
        Ok(told)
    }

    /// How far a revision has come, waiting up to `wait` for the last executor; with the revision's number. Of a flow that
    /// was deleted it is how far the deletion has come.
    pub(crate) async fn rollout(
        &self,
        tenant: &Slug,
        flow: &Slug,
        revision: u64,
        wait: Duration,
    ) -> Result<(u64, Rollout), Error> {
        if let Some(deletion) = self.flows.deletion(tenant, flow, revision).await? {
            return Ok((revision, self.reach(tenant, deletion, wait).await));
        }
        let row = self.flows.revision(tenant, flow, revision).await?;
        let attachments = row.value.slots.iter().flat_map(|slot| &slot.attachments);
        let pins = attachments.map(|attachment| (attachment.slug.clone(), attachment.version.clone())).collect();
        let asked = Asked { tenant: tenant.clone(), commit: row.revision, pins };
        Ok((row.value.revision, self.roster.wait(&asked, wait).await))
    }

    /// How far a commit has come that revokes a version, turns a switch or changes a secret, likewise. Who comes from now on is told of it at
    /// once, and not after a picture from before.
    pub(crate) async fn judged(&self, tenant: &Slug, commit: Revision, wait: Duration) -> Rollout {
        self.pictures.forget().await;
        self.reach(tenant, commit, wait).await
    }

    /// How far a commit of a tenant has come that needs no module, likewise.
    async fn reach(&self, tenant: &Slug, commit: Revision, wait: Duration) -> Rollout {
        self.roster.wait(&Asked { tenant: tenant.clone(), commit, pins: BTreeSet::new() }, wait).await
    }
}
