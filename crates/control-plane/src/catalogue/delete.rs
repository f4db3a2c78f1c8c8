//! Deleting an Action: it leaves the catalogue. Its versions stay for the revisions that pin them, and their numbers are
//! never given again.

use super::Catalogue;
use super::mark::{flow_of, named};
use crate::audit::outbox;
use crate::etag;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows;
use crate::store::{Batch, MAX_PAGE, Scan};
use semver::Version;
use serde::Serialize;
use serde_json::json;
use sluice_model::{AuditKind, AuditRecord, Error, Slug};

/// Which Action is deleted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Deletion {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The Action.
    pub(crate) slug: Slug,
    /// The etag of the Action to be deleted; empty for whatever it is.
    pub(crate) etag: String,
}

impl Catalogue {
    /// Deletes an Action; the answer is the highest version that it had. NOT_FOUND `ACTION_NOT_FOUND`; FAILED_PRECONDITION
    /// `ACTION_IN_USE` where a newest revision attaches it.
    pub(crate) async fn delete(&self, who: &str, deletion: &Deletion, request_id: &str) -> Result<Version, Error> {
        let Deletion { tenant, slug, etag } = deletion;
        let request = RequestId::of(Some(tenant), request_id, "DeleteAction", deletion)?;
        loop {
            self.tenants.get(tenant).await?;
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(newest) => return Ok(newest),
                Seen::New(keep) => keep,
            };
            if self.templates.has(slug) {
                let message = format!("{slug} is one of the platform's templates, which every tenant has");
                return Err(Error::precondition("ACTION_IS_TEMPLATE", message).about("action", slug.as_str()));
            }
            let action = self.own_action(tenant, slug).await?;
            etag::check(etag, &etag::of(&action.value)?, "action", slug.as_str())?;
            let prefix = keys::uses(tenant, slug);
            let uses = self.shared.store.scan(Scan::of(prefix.clone()).limit(MAX_PAGE)).await?;
            let flows: Vec<Slug> = uses.entries.iter().filter_map(|entry| flow_of(&entry.key, &prefix)).collect();
            if !flows.is_empty() {
                let message = format!("{slug} is attached in {}; detach it first", named(&flows));
                return Err(Error::precondition("ACTION_IN_USE", message).about("action", slug.as_str()));
            }
            let now = self.shared.clock.now();
            let newest = action.value.newest;
            let mut record = AuditRecord::new(now, AuditKind::ActionDeleted, tenant.clone(), who);
            record.slug = Some(slug.clone());
            record.from = Some(json!({ "name": action.value.name, "newest": newest.to_string() }));
            // Who begins to use it writes its row, so nobody has begun since it was read.
            let batch = Batch::new()
                .at(keys::action(tenant, slug), action.revision)
                .delete(keys::action(tenant, slug))
                .put(keys::gone_action(tenant, slug), rows::encode(&(action.value.generation + 1))?)
                .append(keys::outbox(), outbox::row(&record)?);
            if rows::commit(&*self.shared.store, keep.keep(batch, &newest, now)?).await?.is_some() {
                self.shared.metrics.catalogue_changed(AuditKind::ActionDeleted);
                tracing::info!(%tenant, %slug, %newest, "an Action was deleted");
                return Ok(newest);
            }
        }
    }
}
