//! Secrets: values that tenants' Actions read and nobody is shown.
//!
//! A value is sealed before it reaches the store and opened only for executors that run what needs it. What is kept of a
//! request, of audit and of an export has it sealed or not at all. [`key`] is the key that seals; [`uses`] says who needs
//! which secret.

mod former;
mod key;
pub(crate) mod uses;

pub(crate) use former::forget_former;
pub(crate) use key::sealer;

use crate::audit::outbox;
use crate::catalogue::Catalogue;
use crate::deliveries::Endpoints;
use crate::etag;
use crate::flows::Warning;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows::{self, Page, Row};
use crate::shared::Shared;
use crate::store::{Batch, Key, Revision, Scan};
use crate::tenants::Tenants;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_model::delivery::secret_endpoint;
use sluice_model::manifest::is_secret_name;
use sluice_model::{AuditKind, AuditRecord, Error, Slug};
use sluice_serve::seal::{SealError, Sealer, SecretText};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most secrets that a tenant may have.
pub(crate) const MAX_SECRETS: usize = 200;
/// The longest value, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 8 << 10;
/// The most former values that sign beside the present one.
const MAX_FORMERS: usize = 3;
/// The most flows that are told of one secret's use.
const MAX_TOLD_USES: usize = 20;

/// What may be shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    /// Its name.
    pub(crate) name: String,
    /// How often it was set, from 1.
    pub(crate) version: u64,
    /// When it was first set.
    pub(crate) created_at: Timestamp,
    /// When it was last set.
    pub(crate) updated_at: Timestamp,
    /// Who set it last.
    pub(crate) updated_by: String,
}

impl Secret {
    /// Its etag, which changes whenever it is set.
    pub(crate) fn etag(&self) -> Result<String, Error> {
        etag::of(self)
    }
}

/// A secret as it lies in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SecretRow {
    #[serde(flatten)]
    secret: Secret,
    /// The value, sealed for this tenant, name and version; base64.
    sealed: String,
    /// The values before it that still sign, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    formers: Vec<Former>,
}

/// A former value of a secret, while it signs beside the present one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Former {
    version: u64,
    sealed: String,
    until: Timestamp,
}

/// What is to be set.
#[derive(Clone, Debug)]
pub(crate) struct SetSecret {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The secret.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: SecretText,
    /// The etag of the secret to be changed; empty for whatever it is.
    pub(crate) etag: String,
}

/// Which secret goes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RemoveSecret {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The secret.
    pub(crate) name: String,
    /// The etag of the secret to be removed; empty for whatever it is.
    pub(crate) etag: String,
}

/// A secret that is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Its name.
    pub(crate) name: String,
    /// The version that it had.
    pub(crate) version: u64,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

/// A secret with the flows that need it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// The secret.
    pub(crate) secret: Secret,
    /// The flows whose newest revisions need it.
    pub(crate) used_by: Vec<Slug>,
}

/// Sets, lists, removes and, for executors, opens secrets.
#[derive(Clone)]
pub(crate) struct Secrets {
    shared: Shared,
    tenants: Tenants,
    catalogue: Catalogue,
    endpoints: Endpoints,
    sealer: Arc<Sealer>,
    /// For how long a former value signs.
    overlap: SignedDuration,
}

impl Secrets {
    pub(crate) fn new(
        shared: Shared,
        tenants: Tenants,
        catalogue: Catalogue,
        endpoints: Endpoints,
        sealer: Arc<Sealer>,
        overlap: SignedDuration,
    ) -> Secrets {
        Secrets { shared, tenants, catalogue, endpoints, sealer, overlap }
    }

    /// What the keys of a tenant's counters and kv are replaced by: it is derived from the key that seals secrets, so that it is
    /// there with the tenant, is nowhere on a disk, and stays what it is for as long as that key does.
    pub(crate) fn counters_key(&self, tenant: &Slug) -> [u8; 32] {
        let digest = self.sealer.digest(&["counters", tenant.as_str()], b"");
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(digest.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        key
    }

    async fn find(&self, tenant: &Slug, name: &str) -> Result<Option<Row<SecretRow>>, Error> {
        rows::get(&*self.shared.store, &keys::secret(tenant, name)).await
    }

    /// Sets a secret; with the commit that did. Refused: FAILED_PRECONDITION `TOO_MANY_SECRETS`.
    pub(crate) async fn set(&self, who: &str, set: &SetSecret, request_id: &str) -> Result<(Secret, Revision), Error> {
        let SetSecret { tenant, name, value, etag } = set;
        check_name(name)?;
        let bytes = value.expose().len();
        if !(1..=MAX_VALUE_BYTES).contains(&bytes) {
            let message = format!("has {bytes} bytes; it takes 1 to {MAX_VALUE_BYTES}");
            return Err(Error::field("value", message));
        }
        // What names the request must not tell the value either.
        let digest = self.sealer.digest(&["request", tenant.as_str(), name], value.expose().as_bytes());
        let request = RequestId::of(Some(tenant), request_id, "SetSecret", &(tenant, name, digest, etag))?;
        loop {
            self.tenants.get(tenant).await?;
            let row = self.find(tenant, name).await?;
            let keep = match requests::look::<Secret>(&self.shared, request.as_ref()).await? {
                Seen::Answered(secret) => {
                    return Ok((secret, row.map(|row| row.revision).unwrap_or_default()));
                }
                Seen::New(keep) => keep,
            };
            let is = row.as_ref().map(|row| row.value.secret.etag()).transpose()?.unwrap_or_default();
            etag::check(etag, &is, "secret", name.as_str())?;
            let now = self.shared.clock.now();
            let key = keys::secret(tenant, name);
            let batch = Batch::new().exists(keys::tenant(tenant));
            let (batch, former, created_at) = match &row {
                Some(row) => {
                    let Secret { version, created_at, .. } = row.value.secret;
                    (batch.at(key.clone(), row.revision), version, created_at)
                }
                None => {
                    let (batch, former) = self.begin(batch.absent(key.clone()), tenant, name).await?;
                    (batch, former, now)
                }
            };
            let secret = Secret {
                name: name.clone(),
                version: former + 1,
                created_at,
                updated_at: now,
                updated_by: who.to_owned(),
            };
            let sealed = self.seal(tenant, &secret, value)?;
            let mut record = AuditRecord::new(now, AuditKind::SecretSet, tenant.clone(), who);
            record.from = (former > 0).then(|| json!({ "name": name, "version": former }));
            record.to = Some(json!({ "name": name, "version": secret.version }));
            let (batch, formers) = self.formers(batch, tenant, row.map(|row| row.value), now);
            let batch = key::held(&self.shared, &self.sealer, batch)
                .await?
                .put(key, rows::encode(&SecretRow { secret: secret.clone(), sealed, formers })?)
                .append(keys::outbox(), outbox::row(&record)?);
            // Where it holds a URL that was gone, that is likely what is mended by it.
            let (batch, enables) = self.endpoints.enabling_of_secret(batch, tenant, name, who).await?;
            if let Some(commit) = rows::commit(&*self.shared.store, keep.keep(batch, &secret, now)?).await? {
                tracing::info!(%tenant, secret = name, version = secret.version, "a secret was set");
                self.endpoints.enabled(tenant, &secret_endpoint(name), enables);
                return Ok((secret, commit));
            }
        }
    }

    /// A batch that sets a secret of a new name besides what else it does.
    pub(crate) async fn make(
        &self,
        batch: Batch,
        who: &str,
        tenant: &Slug,
        name: &str,
        value: &SecretText,
    ) -> Result<(Batch, u64), Error> {
        let now = self.shared.clock.now();
        let key = keys::secret(tenant, name);
        let (batch, former) = self.begin(batch.absent(key.clone()), tenant, name).await?;
        let secret = Secret {
            name: name.to_owned(),
            version: former + 1,
            created_at: now,
            updated_at: now,
            updated_by: who.to_owned(),
        };
        let sealed = self.seal(tenant, &secret, value)?;
        let mut record = AuditRecord::new(now, AuditKind::SecretSet, tenant.clone(), who);
        record.to = Some(json!({ "name": name, "version": secret.version }));
        let version = secret.version;
        let batch = key::held(&self.shared, &self.sealer, batch)
            .await?
            .put(key, rows::encode(&SecretRow { secret, sealed, formers: Vec::new() })?)
            .append(keys::outbox(), outbox::row(&record)?);
        Ok((batch, version))
    }

    /// A name that was not there: one more, unless there are too many. The answer is the version that it had last.
    async fn begin(&self, batch: Batch, tenant: &Slug, name: &str) -> Result<(Batch, u64), Error> {
        // Written by whoever adds one, so that two at once cannot both be the last that there may be.
        let guard = keys::secret_guard(tenant);
        let guarded = self.shared.store.get(&guard).await?;
        let there = self.shared.store.scan(Scan::of(keys::secrets(tenant)).limit(MAX_SECRETS)).await?.entries.len();
        if there >= MAX_SECRETS {
            let message = format!("tenant {tenant} has {MAX_SECRETS} secrets, the most there may be");
            return Err(Error::precondition("TOO_MANY_SECRETS", message).about("tenant", tenant.as_str()));
        }
        let batch = match guarded {
            Some(entry) => batch.at(guard.clone(), entry.revision),
            None => batch.absent(guard.clone()),
        };
        let gone_key = keys::gone_secret(tenant, name);
        let gone = rows::get::<u64>(&*self.shared.store, &gone_key).await?;
        let batch = match &gone {
            Some(gone) => batch.at(gone_key.clone(), gone.revision).delete(gone_key),
            None => batch.absent(gone_key),
        };
        Ok((batch.put(guard, Vec::new()), gone.map_or(0, |gone| gone.value)))
    }

    /// Removes a secret; with the commit that did. NOT_FOUND `SECRET_NOT_FOUND`.
    pub(crate) async fn remove(
        &self,
        who: &str,
        remove: &RemoveSecret,
        request_id: &str,
    ) -> Result<(Removed, Revision), Error> {
        let RemoveSecret { tenant, name, etag } = remove;
        check_name(name)?;
        let request = RequestId::of(Some(tenant), request_id, "RemoveSecret", remove)?;
        loop {
            self.tenants.get(tenant).await?;
            let keep = match requests::look::<Removed>(&self.shared, request.as_ref()).await? {
                Seen::Answered(removed) => {
                    let gone = self.shared.store.get(&keys::gone_secret(tenant, name)).await?;
                    return Ok((removed, gone.map(|gone| gone.revision).unwrap_or_default()));
                }
                Seen::New(keep) => keep,
            };
            let Some(row) = self.find(tenant, name).await? else {
                let message = format!("tenant {tenant} has no secret {name}");
                return Err(Error::not_found("SECRET_NOT_FOUND", message).about("secret", name.as_str()));
            };
            let secret = &row.value.secret;
            etag::check(etag, &secret.etag()?, "secret", name.as_str())?;
            let now = self.shared.clock.now();
            let uses = uses::of_tenant(&self.shared, &self.catalogue, tenant).await?;
            let warnings = uses.get(name).map(|flows| vec![in_use(name, flows)]).unwrap_or_default();
            let removed = Removed { name: name.clone(), version: secret.version, warnings };
            let mut record = AuditRecord::new(now, AuditKind::SecretRemoved, tenant.clone(), who);
            record.from = Some(json!({ "name": name, "version": secret.version }));
            let batch = Batch::new()
                .at(keys::secret(tenant, name), row.revision)
                .delete(keys::secret(tenant, name))
                .put(keys::gone_secret(tenant, name), rows::encode(&secret.version)?)
                .append(keys::outbox(), outbox::row(&record)?);
            if let Some(commit) = rows::commit(&*self.shared.store, keep.keep(batch, &removed, now)?).await? {
                tracing::info!(%tenant, secret = name, version = removed.version, "a secret was removed");
                return Ok((removed, commit));
            }
        }
    }

    /// The secrets of a tenant by name.
    pub(crate) async fn list(&self, tenant: &Slug, after: Option<Key>, limit: usize) -> Result<Page<Listed>, Error> {
        self.tenants.get(tenant).await?;
        let scan = Scan::of(keys::secrets(tenant)).after(after).limit(limit);
        let page = rows::scan::<SecretRow>(&*self.shared.store, scan).await?;
        let mut uses = match page.entries.is_empty() {
            true => Default::default(),
            false => uses::of_tenant(&self.shared, &self.catalogue, tenant).await?,
        };
        let listed = |row: Row<SecretRow>| {
            let flows = uses.remove(&row.value.secret.name).unwrap_or_default();
            Listed { secret: row.value.secret, used_by: flows.into_iter().take(MAX_TOLD_USES).collect() }
        };
        Ok(Page { entries: page.entries.into_iter().map(listed).collect(), next: page.next })
    }

    /// The value of a secret with its version, for executors; `None` where it is not set. One that does not open is told in
    /// the log and treated as not set: it must not keep its tenant, or others, from being told the rest.
    pub(crate) async fn value(&self, tenant: &Slug, name: &str) -> Result<Option<(u64, SecretText)>, Error> {
        let Some(row) = self.find(tenant, name).await? else { return Ok(None) };
        let version = row.value.secret.version;
        Ok(self.open(tenant, name, version, &row.value.sealed).map(|value| (version, value)))
    }

    /// The values that sign, the present one first: after a secret was set again, the former one signs too for a while. Empty
    /// where it is not set.
    pub(crate) async fn signing(&self, tenant: &Slug, name: &str) -> Result<Vec<SecretText>, Error> {
        let Some(row) = self.find(tenant, name).await? else { return Ok(Vec::new()) };
        let SecretRow { secret, sealed, formers } = row.value;
        let now = self.shared.clock.now();
        let Some(present) = self.open(tenant, name, secret.version, &sealed) else { return Ok(Vec::new()) };
        let mut values = vec![present];
        for former in formers.iter().filter(|former| former.until > now) {
            let value = self.open(tenant, name, former.version, &former.sealed);
            values.extend(value.filter(|value| values.iter().all(|there| there.expose() != value.expose())));
        }
        Ok(values)
    }

    fn open(&self, tenant: &Slug, name: &str, version: u64, sealed: &str) -> Option<SecretText> {
        let sealed = STANDARD.decode(sealed).map_err(|_| SealError::Damaged);
        let place = [tenant.as_str(), name, &version.to_string()];
        match sealed.and_then(|sealed| self.sealer.open_text(&place, &sealed)) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%tenant, secret = name, version, %error, "a secret cannot be opened; it has to be set again");
                None
            }
        }
    }

    /// The former values that sign beside the one that is set now, and when they are to be forgotten.
    fn formers(&self, batch: Batch, tenant: &Slug, row: Option<SecretRow>, now: Timestamp) -> (Batch, Vec<Former>) {
        let Some(SecretRow { secret, sealed, formers }) = row else { return (batch, Vec::new()) };
        if self.overlap.is_zero() {
            return (batch, Vec::new());
        }
        let until = now + self.overlap;
        let former = Former { version: secret.version, sealed, until };
        let still = formers.into_iter().filter(|former| former.until > now);
        let formers = std::iter::once(former).chain(still).take(MAX_FORMERS).collect();
        let ms = u64::try_from(until.as_millisecond()).unwrap_or(0);
        let key = keys::former_secrets().number(ms).text(tenant.as_str()).text(&secret.name);
        (batch.put(key, Vec::new()), formers)
    }

    fn seal(&self, tenant: &Slug, secret: &Secret, value: &SecretText) -> Result<String, Error> {
        let place = [tenant.as_str(), &secret.name, &secret.version.to_string()];
        let sealed = self.sealer.seal(&place, value.expose().as_bytes()).map_err(|error| {
            tracing::error!(%tenant, secret = secret.name, %error, "a secret cannot be sealed");
            Error::internal("the secret could not be sealed")
        })?;
        Ok(STANDARD.encode(sealed))
    }
}

/// A secret's name. What is none is not repeated: it may be a value.
fn check_name(name: &str) -> Result<(), Error> {
    if is_secret_name(name) {
        return Ok(());
    }
    let what = if name.is_empty() { "is required" } else { "is not the name of a secret" };
    let message = format!("{what}; it takes a letter, then letters, digits, _, - and ., at most 64 characters");
    Err(Error::field("name", message))
}

fn in_use(name: &str, flows: &BTreeSet<Slug>) -> Warning {
    let shown: Vec<&str> = flows.iter().take(MAX_TOLD_USES).map(Slug::as_str).collect();
    let (flow, need) = if flows.len() == 1 { ("flow", "needs") } else { ("flows", "need") };
    let message = format!(
        "{flow} {} {need} the secret {name}: runs that read it end as unavailable until it is set again",
        shown.join(", ")
    );
    Warning::new("secret_in_use", message)
}
