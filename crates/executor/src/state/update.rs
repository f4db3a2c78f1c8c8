//! What the control plane sends, read and checked: parts of a state put together, resources turned into the model's words.

use jiff::Timestamp;
use semver::Version;
use sluice_api::{
    Ctx, FieldError,
    convert::{Word, exact_version, json, required, slug, timestamp},
    distribution::v1 as wire,
};
use sluice_model::{FlowRevision, Limits, Object, OutcomeKind, Slug, redirect::Origin};

/// A whole update.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub(crate) cursor: u64,
    /// Whether it replaces everything known.
    pub(crate) full: bool,
    pub(crate) changes: Vec<Change>,
    pub(crate) removals: Vec<Name>,
    pub(crate) connected_executors: u32,
}

/// A resource that is new or changed.
#[derive(Debug)]
pub(crate) enum Change {
    Tenant { tenant: Slug, origins: Vec<Origin>, break_glass: bool },
    Version(VersionUpsert),
    Flow(FlowUpsert),
}

/// What an executor needs to know of a version.
#[derive(Debug)]
pub(crate) struct VersionUpsert {
    pub(crate) tenant: Slug,
    pub(crate) slug: Slug,
    pub(crate) version: Version,
    pub(crate) bundle_digest: String,
    pub(crate) limits: Limits,
    /// None: any that the trigger allows.
    pub(crate) outcomes: Option<Vec<OutcomeKind>>,
    pub(crate) schema: Option<Object>,
    /// Never to be run again.
    pub(crate) revoked: bool,
}

/// An executable revision.
#[derive(Debug)]
pub(crate) struct FlowUpsert {
    pub(crate) revision: FlowRevision,
    pub(crate) newest: bool,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The name of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Tenant(Slug),
    Version { tenant: Slug, slug: Slug, version: Version },
    FlowRevision { tenant: Slug, flow: Slug, revision: u64 },
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
    /// For the operator.
    pub(crate) reason: String,
    /// What is at fault, as it was sent.
    pub(crate) resource: Option<wire::ResourceName>,
}

impl Refused {
    pub(crate) fn new(reason: impl Into<String>) -> Refused {
        Refused { reason: reason.into(), resource: None }
    }

    pub(crate) fn of(resource: Name, reason: impl Into<String>) -> Refused {
        Refused { reason: reason.into(), resource: Some(resource.into()) }
    }
}

/// The parts of a state, until the last is there.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    parts: Vec<wire::State>,
}

impl Assembly {
    /// Adds a part; the answer is the whole state once it is there.
    ///
    /// # Errors
    /// The part does not follow the one before. Everything so far is forgotten.
    pub(crate) fn add(&mut self, part: wire::State) -> Result<Option<Vec<wire::State>>, Refused> {
        let expected = self.parts.len();
        let first = self.parts.first();
        let follows = part.part as usize == expected
            && first.is_none_or(|first| first.cursor == part.cursor && first.full == part.full)
            && part.cursor > 0;
        if !follows {
            self.parts.clear();
            let message = format!(
                "part {} of state {} came where part {expected} of a state was expected",
                part.part, part.cursor
            );
            return Err(Refused::new(message));
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
            update.connected_executors = part.connected_executors;
            for upsert in part.upserts {
                let resource = upsert.resource.as_ref().map(name_of);
                let change = change(upsert);
                update.changes.push(change.map_err(|e| Refused { reason: e.to_string(), resource })?);
            }
            for removal in part.removals {
                let resource = removal.clone();
                let name = Name::try_from(removal);
                update.removals.push(name.map_err(|e| Refused { reason: e.to_string(), resource: Some(resource) })?);
            }
        }
        Ok(update)
    }
}

fn change(upsert: wire::Resource) -> Result<Change, FieldError> {
    use wire::resource::Resource;
    match upsert.resource {
        Some(Resource::Tenant(tenant)) => tenant_change(tenant).ctx("tenant"),
        Some(Resource::Version(version)) => VersionUpsert::try_from(version).map(Change::Version).ctx("version"),
        Some(Resource::FlowRevision(flow)) => FlowUpsert::try_from(flow).map(Change::Flow).ctx("flow_revision"),
        None => {
            Err(FieldError::here("a resource that this executor does not know; it may be older than the control plane"))
        }
    }
}

fn tenant_change(tenant: wire::TenantState) -> Result<Change, FieldError> {
    Ok(Change::Tenant {
        tenant: slug(&tenant.tenant).ctx("tenant")?,
        origins: origins(&tenant.allowed_redirect_origins)?,
        break_glass: tenant.break_glass,
    })
}

/// Reads a tenant's origins.
pub(crate) fn origins(texts: &[String]) -> Result<Vec<Origin>, FieldError> {
    let read = |(i, text): (usize, &String)| Origin::parse(text).map_err(|e| FieldError::from(e).at_index(i));
    texts.iter().enumerate().map(read).collect::<Result<_, _>>().ctx("allowed_redirect_origins")
}

impl TryFrom<wire::VersionState> for VersionUpsert {
    type Error = FieldError;

    fn try_from(version: wire::VersionState) -> Result<VersionUpsert, FieldError> {
        let is_digest = version.bundle_digest.len() == 64
            && version.bundle_digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_digest {
            // It becomes the name of a file.
            return Err(FieldError::here("expected 64 lower-case hexadecimal digits").under("bundle_digest"));
        }
        let outcomes = Word::from_list(&version.outcomes).ctx("outcomes")?;
        Ok(VersionUpsert {
            tenant: slug(&version.tenant).ctx("tenant")?,
            slug: slug(&version.slug).ctx("slug")?,
            version: exact_version(&version.version).ctx("version")?,
            bundle_digest: version.bundle_digest,
            limits: required(version.limits).and_then(Limits::try_from).ctx("limits")?,
            outcomes: (!outcomes.is_empty()).then_some(outcomes),
            schema: version.config_schema.map(json::object).transpose().ctx("config_schema")?,
            revoked: version.revoked,
        })
    }
}

impl TryFrom<wire::FlowRevision> for FlowUpsert {
    type Error = FieldError;

    fn try_from(revision: wire::FlowRevision) -> Result<FlowUpsert, FieldError> {
        Ok(FlowUpsert {
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
        Resource::FlowRevision(revision) => {
            let flow = revision.flow.clone().unwrap_or_default();
            Wire::FlowRevision(wire::FlowRevisionName { tenant: flow.tenant, flow: flow.flow, revision: flow.revision })
        }
    };
    wire::ResourceName { name: Some(name) }
}
