//! What the control plane sends, read and checked: parts of a state put together, resources turned into the model's words.

use crate::secrets::Secret;
use jiff::Timestamp;
use semver::Version;
pub(crate) use sluice_api::distribution::v1::NackCause as Cause;
use sluice_api::{
    Ctx, FieldError,
    convert::{Word, exact_version, grants, json, required, slug, timestamp},
    distribution::v1 as wire,
};
use sluice_counters::KeyMaker;
use sluice_model::{
    FlowRevision, Grants, Limits, Object, OutcomeKind, Slug, manifest::is_secret_name, redirect::Origin,
};
use sluice_serve::seal::SecretText;
use std::{collections::HashSet, sync::Arc};

/// A whole update.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub(crate) cursor: u64,
    /// Whether it replaces everything known.
    pub(crate) full: bool,
    /// What it changes, where it does not replace everything.
    pub(crate) base: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) removals: Vec<Name>,
    pub(crate) connected_executors: u32,
}

/// A resource that is new or changed.
#[derive(Debug)]
pub(crate) enum Change {
    Tenant { tenant: Slug, origins: Vec<Origin>, break_glass: bool, keys: Option<Arc<KeyMaker>> },
    Version(VersionUpsert),
    Flow(FlowUpsert),
    Secret { tenant: Slug, secret: Secret },
}

/// What an executor needs to know of a version.
#[derive(Debug)]
pub(crate) struct VersionUpsert {
    pub(crate) tenant: Slug,
    pub(crate) slug: Slug,
    pub(crate) version: Version,
    /// The digest of its content.
    pub(crate) digest: String,
    pub(crate) bundle_digest: String,
    pub(crate) limits: Limits,
    /// What its runs may reach.
    pub(crate) grants: Grants,
    /// None: any that the trigger allows.
    pub(crate) outcomes: Option<Vec<OutcomeKind>>,
    pub(crate) schema: Option<Object>,
    /// Never to be run again.
    pub(crate) revoked: bool,
    /// Whether it is the platform's.
    pub(crate) template: bool,
}

/// An executable revision.
#[derive(Debug)]
pub(crate) struct FlowUpsert {
    pub(crate) revision: FlowRevision,
    /// Names the revision's content.
    pub(crate) etag: Arc<str>,
    pub(crate) newest: bool,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The name of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Tenant(Slug),
    Version { tenant: Slug, slug: Slug, version: Version },
    FlowRevision { tenant: Slug, flow: Slug, revision: u64 },
    Secret { tenant: Slug, name: String },
}

impl Name {
    pub(crate) fn version(version: &VersionUpsert) -> Name {
        Name::Version { tenant: version.tenant.clone(), slug: version.slug.clone(), version: version.version.clone() }
    }

    pub(crate) fn flow(revision: &FlowRevision) -> Name {
        Name::FlowRevision { tenant: revision.tenant.clone(), flow: revision.flow.clone(), revision: revision.revision }
    }
}

/// Why a state is not applied.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Refused {
    /// What kind of mistake it is.
    pub(crate) cause: Cause,
    /// For the operator.
    pub(crate) reason: String,
    /// What is at fault, as it was sent.
    pub(crate) resource: Option<wire::ResourceName>,
}

impl Refused {
    pub(crate) fn new(cause: Cause, reason: impl Into<String>) -> Refused {
        Refused { cause, reason: reason.into(), resource: None }
    }

    pub(crate) fn of(cause: Cause, resource: Name, reason: impl Into<String>) -> Refused {
        Refused { cause, reason: reason.into(), resource: Some(resource.into()) }
    }

    fn unreadable(error: &FieldError, resource: Option<wire::ResourceName>) -> Refused {
        Refused { cause: Cause::Unreadable, reason: error.to_string(), resource }
    }

    /// Whether everything may help: what was sent does not fit what is here.
    pub(crate) fn wants_full(&self) -> bool {
        matches!(self.cause, Cause::Incomplete | Cause::Gap | Cause::Unresolved)
    }
}

/// The parts of a state, until the last is there.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    parts: Vec<wire::State>,
    /// A state that was refused before its last part came: what still comes of it is left out.
    refused: Option<u64>,
}

impl Assembly {
    /// Adds a part; the answer is the whole state once it is there.
    ///
    /// # Errors
    /// The part does not follow the one before. Everything so far is forgotten, and what still comes of its state is left
    /// out.
    pub(crate) fn add(&mut self, part: wire::State) -> Result<Option<Vec<wire::State>>, Refused> {
        if self.refused == Some(part.cursor) && part.part > 0 {
            if part.last {
                self.refused = None;
            }
            return Ok(None);
        }
        self.refused = None;
        let expected = self.parts.len();
        let first = self.parts.first();
        let is_same = |first: &wire::State| {
            (first.cursor, first.full, first.base_cursor) == (part.cursor, part.full, part.base_cursor)
        };
        if part.part as usize != expected || !first.is_none_or(is_same) || part.cursor == 0 {
            self.parts.clear();
            self.refused = (!part.last).then_some(part.cursor);
            let message = format!(
                "part {} of state {} came where part {expected} of a state was expected",
                part.part, part.cursor
            );
            return Err(Refused::new(Cause::Incomplete, message));
        }
        let last = part.last;
        self.parts.push(part);
        Ok(last.then(|| std::mem::take(&mut self.parts)))
    }
}

impl Update {
    /// Reads a whole state.
    ///
    /// # Errors
    /// The first resource that cannot be read, and why.
    pub(crate) fn read(parts: Vec<wire::State>) -> Result<Update, Refused> {
        let mut update = Update::default();
        for part in parts {
            update.cursor = part.cursor;
            update.full = part.full;
            update.base = part.base_cursor;
            update.connected_executors = part.connected_executors;
            for upsert in part.upserts {
                let resource = upsert.resource.as_ref().map(name_of);
                let change = change(upsert);
                update.changes.push(change.map_err(|e| Refused::unreadable(&e, resource))?);
            }
            for removal in part.removals {
                let resource = removal.clone();
                let name = Name::try_from(removal);
                update.removals.push(name.map_err(|e| Refused::unreadable(&e, Some(resource)))?);
            }
        }
        Ok(update)
    }

    /// Leaves out what is of tenants that are not served: of those that `is_served` says are not, only what comes whole stays.
    /// An executor on demand may have forgotten a tenant while changes of it were on their way.
    pub(crate) fn keep_served(&mut self, is_served: impl Fn(&Slug) -> bool) {
        let whole: HashSet<Slug> = if self.full {
            let tenants = self.changes.iter().filter_map(|change| match change {
                Change::Tenant { tenant, .. } => Some(tenant.clone()),
                Change::Version(_) | Change::Flow(_) | Change::Secret { .. } => None,
            });
            tenants.collect()
        } else {
            self.removed_tenants().cloned().collect()
        };
        let full = self.full;
        self.changes.retain(|change| {
            let tenant = change.tenant();
            whole.contains(tenant) || (!full && is_served(tenant))
        });
    }

    /// The tenants that are gone, or replaced.
    pub(crate) fn removed_tenants(&self) -> impl Iterator<Item = &Slug> {
        self.removals.iter().filter_map(|name| match name {
            Name::Tenant(tenant) => Some(tenant),
            Name::Version { .. } | Name::FlowRevision { .. } | Name::Secret { .. } => None,
        })
    }
}

impl Change {
    fn tenant(&self) -> &Slug {
        match self {
            Change::Tenant { tenant, .. } | Change::Secret { tenant, .. } => tenant,
            Change::Version(version) => &version.tenant,
            Change::Flow(flow) => &flow.revision.tenant,
        }
    }
}

fn change(upsert: wire::Resource) -> Result<Change, FieldError> {
    use wire::resource::Resource;
    match upsert.resource {
        Some(Resource::Tenant(tenant)) => tenant_change(tenant).ctx("tenant"),
        Some(Resource::Version(version)) => VersionUpsert::try_from(version).map(Change::Version).ctx("version"),
        Some(Resource::FlowRevision(flow)) => FlowUpsert::try_from(flow).map(Change::Flow).ctx("flow_revision"),
        Some(Resource::Secret(secret)) => {
            secret_of(secret).map(|(tenant, secret)| Change::Secret { tenant, secret }).ctx("secret")
        }
        None => {
            Err(FieldError::here("a resource that this executor does not know; it may be older than the control plane"))
        }
    }
}

fn tenant_change(tenant: wire::TenantState) -> Result<Change, FieldError> {
    let slug = slug(&tenant.tenant).ctx("tenant")?;
    Ok(Change::Tenant {
        origins: origins(&tenant.allowed_redirect_origins)?,
        break_glass: tenant.break_glass,
        keys: keys(&slug, &tenant.counters_key)?,
        tenant: slug,
    })
}

/// What makes the keys of a tenant's counters and of kv.
pub(crate) fn keys(tenant: &Slug, key: &[u8]) -> Result<Option<Arc<KeyMaker>>, FieldError> {
    if key.is_empty() {
        return Ok(None);
    }
    let key = key.try_into().map_err(|_| FieldError::here("is not 32 bytes").under("counters_key"))?;
    Ok(Some(Arc::new(KeyMaker::new(tenant.as_str(), key))))
}

/// Reads a secret, with its tenant. What is wrong with a value is told without it.
pub(crate) fn secret_of(secret: wire::SecretState) -> Result<(Slug, Secret), FieldError> {
    let tenant = slug(&secret.tenant).ctx("tenant")?;
    if !is_secret_name(&secret.name) {
        return Err(FieldError::here("is not the name of a secret").under("name"));
    }
    let value = String::from_utf8(secret.value.into()).ok().filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| FieldError::here("is no text").under("value"))?;
    Ok((tenant, Secret::new(secret.name, SecretText::new(value))))
}

/// Reads a tenant's origins.
pub(crate) fn origins(texts: &[String]) -> Result<Vec<Origin>, FieldError> {
    let read = |(i, text): (usize, &String)| Origin::parse(text).map_err(|e| FieldError::from(e).at_index(i));
    texts.iter().enumerate().map(read).collect::<Result<_, _>>().ctx("allowed_redirect_origins")
}

impl TryFrom<wire::VersionState> for VersionUpsert {
    type Error = FieldError;

    fn try_from(version: wire::VersionState) -> Result<VersionUpsert, FieldError> {
        for (field, digest) in [("digest", &version.digest), ("bundle_digest", &version.bundle_digest)] {
            // It becomes the name of a file.
            let is_digest =
                digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !is_digest {
                return Err(FieldError::here("expected 64 lower-case hexadecimal digits").under(field));
            }
        }
        let outcomes = Word::from_list(&version.outcomes).ctx("outcomes")?;
        Ok(VersionUpsert {
            tenant: slug(&version.tenant).ctx("tenant")?,
            slug: slug(&version.slug).ctx("slug")?,
            version: exact_version(&version.version).ctx("version")?,
            digest: version.digest,
            bundle_digest: version.bundle_digest,
            limits: required(version.limits).and_then(Limits::try_from).ctx("limits")?,
            grants: grants(version.grants)?,
            outcomes: (!outcomes.is_empty()).then_some(outcomes),
            schema: version.config_schema.map(json::object).transpose().ctx("config_schema")?,
            revoked: version.revoked,
            template: version.template,
        })
    }
}

impl TryFrom<wire::FlowRevision> for FlowUpsert {
    type Error = FieldError;

    fn try_from(revision: wire::FlowRevision) -> Result<FlowUpsert, FieldError> {
        let etag = revision.flow.as_ref().map_or("", |flow| flow.etag.as_str()).into();
        Ok(FlowUpsert {
            etag,
            revision: required(revision.flow).and_then(FlowRevision::try_from).ctx("flow")?,
            newest: revision.newest,
            expires_at: revision.expires_at.map(timestamp).transpose().ctx("expires_at")?,
        })
    }
}

impl TryFrom<wire::ResourceName> for Name {
    type Error = FieldError;

    fn try_from(name: wire::ResourceName) -> Result<Name, FieldError> {
        use wire::resource_name::Name as Wire;
        Ok(match required(name.name).ctx("name")? {
            Wire::Tenant(name) => Name::Tenant(slug(&name.tenant).ctx("tenant")?),
            Wire::Version(name) => Name::Version {
                tenant: slug(&name.tenant).ctx("tenant")?,
                slug: slug(&name.slug).ctx("slug")?,
                version: exact_version(&name.version).ctx("version")?,
            },
            Wire::FlowRevision(name) => Name::FlowRevision {
                tenant: slug(&name.tenant).ctx("tenant")?,
                flow: slug(&name.flow).ctx("flow")?,
                revision: name.revision,
            },
            Wire::Secret(name) => Name::Secret { tenant: slug(&name.tenant).ctx("tenant")?, name: name.name },
        })
    }
}

impl From<Name> for wire::ResourceName {
    fn from(name: Name) -> wire::ResourceName {
        use wire::resource_name::Name as Wire;
        let name = match name {
            Name::Tenant(tenant) => Wire::Tenant(wire::TenantName { tenant: tenant.to_string() }),
            Name::Version { tenant, slug, version } => Wire::Version(wire::VersionName {
                tenant: tenant.to_string(),
                slug: slug.to_string(),
                version: version.to_string(),
            }),
            Name::FlowRevision { tenant, flow, revision } => Wire::FlowRevision(wire::FlowRevisionName {
                tenant: tenant.to_string(),
                flow: flow.to_string(),
                revision,
            }),
            Name::Secret { tenant, name } => Wire::Secret(wire::SecretName { tenant: tenant.to_string(), name }),
        };
        wire::ResourceName { name: Some(name) }
    }
}

/// The name of a resource as it was sent, readable or not.
fn name_of(resource: &wire::resource::Resource) -> wire::ResourceName {
    use wire::{resource::Resource, resource_name::Name as Wire};
    let name = match resource {
        Resource::Tenant(tenant) => Wire::Tenant(wire::TenantName { tenant: tenant.tenant.clone() }),
        Resource::Version(version) => Wire::Version(wire::VersionName {
            tenant: version.tenant.clone(),
            slug: version.slug.clone(),
            version: version.version.clone(),
        }),
        Resource::Secret(secret) => {
            Wire::Secret(wire::SecretName { tenant: secret.tenant.clone(), name: secret.name.clone() })
        }
        Resource::FlowRevision(revision) => {
            let flow = revision.flow.clone().unwrap_or_default();
            Wire::FlowRevision(wire::FlowRevisionName { tenant: flow.tenant, flow: flow.flow, revision: flow.revision })
        }
    };
    wire::ResourceName { name: Some(name) }
}
