//! Tenants, and where they may send their users.

use crate::audit::outbox;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows::{self, Page, Row};
use crate::shared::Shared;
use crate::store::{Batch, Key, Scan};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_model::{AuditKind, AuditRecord, Code, Error, Slug, redirect::Origin};

/// Names that no tenant may have: `platform/SLUG@V` always names a template, and `sluice` begins the platform's own names.
const RESERVED: &[&str] = &["platform", "sluice"];

/// The most origins a tenant may allow.
pub(crate) const MAX_REDIRECT_ORIGINS: usize = 200;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tenant {
    /// Its slug.
    pub(crate) tenant: Slug,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Where redirects may lead: origins as browsers write them, in the order of their text.
    pub(crate) redirect_origins: Vec<String>,
}

/// Makes, shows and changes tenants.
#[derive(Clone)]
pub(crate) struct Tenants {
    shared: Shared,
}

/// A change of where redirects may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum OriginChange {
    /// Allow one more.
    Add,
    /// Forbid one.
    Remove,
}

impl Tenants {
    pub(crate) fn new(shared: Shared) -> Tenants {
        Tenants { shared }
    }

    /// Makes a tenant. Refused: a reserved name; ALREADY_EXISTS `TENANT_EXISTS`.
    pub(crate) async fn create(&self, who: &str, tenant: &Slug, request_id: &str) -> Result<Tenant, Error> {
        if RESERVED.contains(&tenant.as_str()) {
            return Err(Error::field("tenant", format!("{tenant:?} is reserved for the platform; take another name")));
        }
        let request = RequestId::of(None, request_id, "CreateTenant", tenant)?;
        loop {
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(tenant) => return Ok(tenant),
                Seen::New(keep) => keep,
            };
            if self.find(tenant).await?.is_some() {
                let exists =
                    Error::new(Code::AlreadyExists, "TENANT_EXISTS", format!("tenant {tenant} exists already"));
                return Err(exists.about("tenant", tenant.as_str()));
            }
            let now = self.shared.clock.now();
            let made = Tenant { tenant: tenant.clone(), created_at: now, redirect_origins: Vec::new() };
            let record = AuditRecord::new(now, AuditKind::TenantCreated, tenant.clone(), who);
            let batch = Batch::new()
                .absent(keys::tenant(tenant))
                .put(keys::tenant(tenant), rows::encode(&made)?)
                .append(keys::outbox(), outbox::row(&record)?);
            if rows::commit(&*self.shared.store, keep.keep(batch, &made, now)?).await?.is_some() {
                tracing::info!(%tenant, "a tenant was made");
                return Ok(made);
            }
        }
    }

    async fn find(&self, tenant: &Slug) -> Result<Option<Row<Tenant>>, Error> {
        rows::get(&*self.shared.store, &keys::tenant(tenant)).await
    }

    /// A tenant; NOT_FOUND `TENANT_NOT_FOUND`. Every service asks it before it looks for anything of the tenant.
    pub(crate) async fn get(&self, tenant: &Slug) -> Result<Row<Tenant>, Error> {
        self.find(tenant).await?.ok_or_else(|| {
            Error::not_found("TENANT_NOT_FOUND", format!("there is no tenant {tenant}"))
                .about("tenant", tenant.as_str())
        })
    }

    /// The tenants by slug, `only` one of them where it is given.
    pub(crate) async fn list(
        &self,
        only: Option<&Slug>,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page<Tenant>, Error> {
        if let Some(only) = only {
            let entries = self.find(only).await?.map(|row| row.value).into_iter().collect();
            return Ok(Page { entries, next: None });
        }
        let page =
            rows::scan::<Tenant>(&*self.shared.store, Scan::of(keys::tenants()).after(after).limit(limit)).await?;
        Ok(Page { entries: page.entries.into_iter().map(|row| row.value).collect(), next: page.next })
    }

    /// Allows or forbids redirects to an origin; the answer is the origin as stored. Adding one that is there changes
    /// nothing; removing one that is not is NOT_FOUND `REDIRECT_ORIGIN_NOT_FOUND`.
    pub(crate) async fn change_origin(
        &self,
        who: &str,
        tenant: &Slug,
        change: OriginChange,
        origin: &str,
        request_id: &str,
    ) -> Result<String, Error> {
        let origin = Origin::parse(origin).map_err(|wrong| Error::field("origin", wrong))?.as_str().to_owned();
        let request = RequestId::of(Some(tenant), request_id, "ChangeRedirectOrigin", &(change, &origin))?;
        loop {
            let row = self.get(tenant).await?;
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(origin) => return Ok(origin),
                Seen::New(keep) => keep,
            };
            let from = row.value.redirect_origins.clone();
            let mut to = from.clone();
            match (change, to.binary_search(&origin)) {
                (OriginChange::Add, Err(place)) if to.len() < MAX_REDIRECT_ORIGINS => to.insert(place, origin.clone()),
                (OriginChange::Add, Err(_)) => {
                    let message =
                        format!("tenant {tenant} has {MAX_REDIRECT_ORIGINS} redirect origins, the most there may be");
                    return Err(
                        Error::precondition("TOO_MANY_REDIRECT_ORIGINS", message).about("tenant", tenant.as_str())
                    );
                }
                (OriginChange::Add, Ok(_)) => {}
                (OriginChange::Remove, Ok(place)) => {
                    to.remove(place);
                }
                (OriginChange::Remove, Err(_)) => {
                    let message = format!("{origin} is not among the redirect origins of tenant {tenant}");
                    return Err(Error::not_found("REDIRECT_ORIGIN_NOT_FOUND", message).about("redirect_origin", origin));
                }
            }
            if from == to && !keep.is_asked() {
                return Ok(origin);
            }
            let now = self.shared.clock.now();
            let mut batch = Batch::new().at(keys::tenant(tenant), row.revision);
            if from != to {
                let mut record = AuditRecord::new(now, AuditKind::RedirectOriginsUpdated, tenant.clone(), who);
                record.from = Some(json!({ "redirect_origins": from }));
                record.to = Some(json!({ "redirect_origins": to }));
                let changed = Tenant { redirect_origins: to, ..row.value };
                batch = batch
                    .put(keys::tenant(tenant), rows::encode(&changed)?)
                    .append(keys::outbox(), outbox::row(&record)?);
            }
            if rows::commit(&*self.shared.store, keep.keep(batch, &origin, now)?).await?.is_some() {
                return Ok(origin);
            }
        }
    }
}
