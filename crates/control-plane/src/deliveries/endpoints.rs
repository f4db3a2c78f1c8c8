//! Endpoints: where deliveries go, and whether they may.

use super::pulse::Pulse;
use super::rows::{Endpoint, LaneKey, digest, shown};
use crate::audit::outbox;
use crate::etag;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows::{self, Page, Row};
use crate::shared::Shared;
use crate::store::{Batch, Key, Scan};
use serde::Serialize;
use serde_json::json;
use sluice_model::delivery::secret_endpoint;
use sluice_model::{AuditKind, AuditRecord, Error, Slug};
use std::sync::Arc;
use url::Url;

/// Finds and enables endpoints.
#[derive(Clone)]
pub(crate) struct Endpoints {
    shared: Shared,
    pulse: Arc<Pulse>,
}

/// Which endpoint is to be enabled.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EnableEndpoint {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// A URL, or `secret:NAME`.
    pub(crate) endpoint: String,
    /// The etag of the endpoint to be enabled; empty for whatever it is.
    pub(crate) etag: String,
}

impl Endpoints {
    pub(crate) fn new(shared: Shared, pulse: Arc<Pulse>) -> Endpoints {
        Endpoints { shared, pulse }
    }

    /// The endpoints of a tenant.
    pub(crate) async fn list(&self, tenant: &Slug, after: Option<Key>, limit: usize) -> Result<Page<Endpoint>, Error> {
        let scan = Scan::of(keys::endpoints(tenant)).after(after).limit(limit);
        let page = rows::scan::<Endpoint>(&*self.shared.store, scan).await?;
        Ok(Page { entries: page.entries.into_iter().map(|row| row.value).collect(), next: page.next })
    }

    /// An endpoint, where anything ever went there.
    pub(crate) async fn find(&self, tenant: &Slug, endpoint: &str) -> Result<Option<Row<Endpoint>>, Error> {
        rows::get(&*self.shared.store, &keys::endpoint(tenant, &digest(endpoint))).await
    }

    /// Enables an endpoint; one that is enabled stays as it is. NOT_FOUND `ENDPOINT_NOT_FOUND`.
    pub(crate) async fn enable(&self, who: &str, enable: &EnableEndpoint, request_id: &str) -> Result<Endpoint, Error> {
        let EnableEndpoint { tenant, endpoint: asked, etag } = enable;
        let name = canonical(asked)?;
        let request = RequestId::of(Some(tenant), request_id, "EnableEndpoint", enable)?;
        loop {
            let keep = match requests::look::<Endpoint>(&self.shared, request.as_ref()).await? {
                Seen::Answered(endpoint) => return Ok(endpoint),
                Seen::New(keep) => keep,
            };
            let Some(row) = self.find(tenant, &name).await? else {
                let message = format!("nothing was ever sent to {} for tenant {tenant}", shown(&name));
                return Err(Error::not_found("ENDPOINT_NOT_FOUND", message).about("endpoint", shown(&name)));
            };
            etag::check(etag, &row.value.etag()?, "endpoint", shown(&name))?;
            let (batch, enabled) = self.enabling(Batch::new(), tenant, row, who)?;
            let now = self.shared.clock.now();
            if rows::commit(&*self.shared.store, keep.keep(batch, &enabled.0, now)?).await?.is_some() {
                self.enabled(tenant, &name, enabled.1);
                return Ok(enabled.0);
            }
        }
    }

    /// A batch that enables the endpoint of a secret too, where it is disabled; call [`Endpoints::enabled`] when it is committed.
    pub(crate) async fn enabling_of_secret(
        &self,
        batch: Batch,
        tenant: &Slug,
        secret: &str,
        who: &str,
    ) -> Result<(Batch, bool), Error> {
        match self.find(tenant, &secret_endpoint(secret)).await? {
            Some(row) if row.value.disabled.is_some() => {
                let (batch, (_, enables)) = self.enabling(batch, tenant, row, who)?;
                Ok((batch, enables))
            }
            _ => Ok((batch, false)),
        }
    }

    /// Its deliveries are taken up again.
    pub(crate) fn enabled(&self, tenant: &Slug, endpoint: &str, enables: bool) {
        if enables {
            self.pulse.disabled(-1);
            self.pulse.wake(LaneKey::of(tenant, endpoint));
            tracing::info!(%tenant, endpoint = shown(endpoint), "an endpoint was enabled");
        }
    }

    fn enabling(
        &self,
        batch: Batch,
        tenant: &Slug,
        row: Row<Endpoint>,
        who: &str,
    ) -> Result<(Batch, (Endpoint, bool)), Error> {
        let mut endpoint = row.value;
        let key = keys::endpoint(tenant, &digest(&endpoint.endpoint));
        let batch = batch.at(key.clone(), row.revision);
        let Some(disabled) = endpoint.disabled.take() else { return Ok((batch, (endpoint, false))) };
        let mut record = AuditRecord::new(self.shared.clock.now(), AuditKind::EndpointEnabled, tenant.clone(), who);
        let name = shown(&endpoint.endpoint);
        record.from = Some(json!({ "endpoint": name, "disabled_at": disabled.at, "status": disabled.status }));
        record.to = Some(json!({ "endpoint": name }));
        let batch = batch
            .put(key, rows::encode(&endpoint)?)
            .delete(keys::disabled_endpoint(tenant, &digest(&endpoint.endpoint)))
            .append(keys::outbox(), outbox::row(&record)?);
        Ok((batch, (endpoint, true)))
    }
}

/// An endpoint as deliveries have it, of what somebody typed.
pub(crate) fn canonical(text: &str) -> Result<String, Error> {
    let takes = "takes a URL, or secret: and the name of a secret, as the list of endpoints tells it";
    if text.is_empty() {
        return Err(Error::field("endpoint", format!("is required; it {takes}")));
    }
    if text.strip_prefix("secret:").is_some_and(sluice_model::manifest::is_secret_name) {
        return Ok(text.to_owned());
    }
    match Url::parse(text) {
        Ok(mut url) if url.has_host() && text.len() <= sluice_model::http::MAX_URL_BYTES => {
            url.set_fragment(None);
            Ok(url.into())
        }
        _ => Err(Error::field("endpoint", takes)),
    }
}
