//! Tenants, where they may send their users, and the switch that turns their own Actions off.

use crate::audit::outbox;
use crate::etag;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows::{self, Page, Row};
use crate::shared::Shared;
use crate::store::{Batch, Key, Revision, Scan};
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
    /// Whether its custom Actions are turned off.
    #[serde(default)]
    pub(crate) break_glass: bool,
}

impl Tenant {
    /// Its etag, which changes with everything that can be changed of it.
    pub(crate) fn etag(&self) -> Result<String, Error> {
        etag::of(self)
    }
}

/// Makes, shows and changes tenants.
#[derive(Clone)]
pub(crate) struct Tenants {
    shared: Shared,
}

/// What is done with an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum OriginVerb {
    /// Allow one more.
    Add,
    /// Forbid one.
    Remove,
}

/// A change of where redirects may lead.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OriginChange {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// What is done.
    pub(crate) verb: OriginVerb,
    /// With which origin, as the caller wrote it.
    pub(crate) origin: String,
    /// The etag of the tenant to be changed; empty for whatever it is.
    pub(crate) etag: String,
}

/// A turn of the switch.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BreakGlass {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// Whether its custom Actions are turned off.
    pub(crate) on: bool,
    /// The etag of the tenant to be changed; empty for whatever it is.
    pub(crate) etag: String,
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
            let made =
                Tenant { tenant: tenant.clone(), created_at: now, redirect_origins: Vec::new(), break_glass: false };
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
        change: &OriginChange,
        request_id: &str,
    ) -> Result<String, Error> {
        let OriginChange { tenant, verb, origin, etag } = change;
        let origin = Origin::parse(origin).map_err(|wrong| Error::field("origin", wrong))?.as_str().to_owned();
        let asked = OriginChange { origin: origin.clone(), ..change.clone() };
        let request = RequestId::of(Some(tenant), request_id, "ChangeRedirectOrigin", &asked)?;
        loop {
            let row = self.get(tenant).await?;
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(origin) => return Ok(origin),
                Seen::New(keep) => keep,
            };
            etag::check(etag, &row.value.etag()?, "tenant", tenant.as_str())?;
            let from = row.value.redirect_origins.clone();
            let mut to = from.clone();
            match (verb, to.binary_search(&origin)) {
                (OriginVerb::Add, Err(place)) if to.len() < MAX_REDIRECT_ORIGINS => to.insert(place, origin.clone()),
                (OriginVerb::Add, Err(_)) => {
                    let message =
                        format!("tenant {tenant} has {MAX_REDIRECT_ORIGINS} redirect origins, the most there may be");
                    return Err(
                        Error::precondition("TOO_MANY_REDIRECT_ORIGINS", message).about("tenant", tenant.as_str())
                    );
                }
                (OriginVerb::Add, Ok(_)) => {}
                (OriginVerb::Remove, Ok(place)) => {
                    to.remove(place);
                }
                (OriginVerb::Remove, Err(_)) => {
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

    /// Turns a tenant's custom Actions off or on; with the commit since when it is so. Setting what is set changes nothing.
    pub(crate) async fn set_break_glass(
        &self,
        who: &str,
        change: &BreakGlass,
        request_id: &str,
    ) -> Result<(Tenant, Revision), Error> {
        let BreakGlass { tenant, on, etag } = change;
        let request = RequestId::of(Some(tenant), request_id, "SetBreakGlass", change)?;
        loop {
            let row = self.get(tenant).await?;
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(tenant) => return Ok((tenant, row.revision)),
                Seen::New(keep) => keep,
            };
            etag::check(etag, &row.value.etag()?, "tenant", tenant.as_str())?;
            let changes = row.value.break_glass != *on;
            if !changes && !keep.is_asked() {
                return Ok((row.value, row.revision));
            }
            let now = self.shared.clock.now();
            let mut batch = Batch::new().at(keys::tenant(tenant), row.revision);
            let changed = Tenant { break_glass: *on, ..row.value };
            if changes {
                let mut record = AuditRecord::new(now, AuditKind::BreakGlassUpdated, tenant.clone(), who);
                record.from = Some(json!({ "break_glass": !on }));
                record.to = Some(json!({ "break_glass": on }));
                batch = batch
                    .put(keys::tenant(tenant), rows::encode(&changed)?)
                    .append(keys::outbox(), outbox::row(&record)?);
            }
            if let Some(commit) = rows::commit(&*self.shared.store, keep.keep(batch, &changed, now)?).await? {
                if changes {
                    self.shared.metrics.break_glass(*on);
                    tracing::warn!(%tenant, on, "the break-glass switch was turned");
                }
                return Ok((changed, if changes { commit } else { row.revision }));
            }
        }
    }
}
