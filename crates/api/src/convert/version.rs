//! Names, versions and what is known of them.

use super::{Ctx, FieldError, Word, json, required, time, word};
use crate::{control::v1::publish_header, distribution::v1 as distribution, types::v1 as wire};
use sluice_model::{
    Grants, Limits, Slug, Trigger,
    limits::{MAX_CPU_MS, MAX_WALL_MS},
    manifest::{MAX_ENTRIES, is_secret_name},
    version::{self, ActionKind, ActionVersion, Bump},
};

/// Reads a slug. Empty is told as missing.
pub fn slug(text: &str) -> Result<Slug, FieldError> {
    if text.is_empty() {
        return Err(FieldError::here("is required"));
    }
    Ok(Slug::parse(text)?)
}

/// Reads a trigger. Empty is told as missing, with what it takes.
pub fn trigger(text: &str) -> Result<Trigger, FieldError> {
    if text.is_empty() {
        let all: Vec<&str> = Trigger::ALL.iter().map(|(word, _)| *word).collect();
        return Err(FieldError::here(format!("is required; it takes one of {}", all.join(", "))));
    }
    Ok(text.parse::<Trigger>()?)
}

/// Reads an exact version, such as `1.2.0`.
pub fn exact_version(text: &str) -> Result<semver::Version, FieldError> {
    if text.is_empty() {
        return Err(FieldError::here("is required"));
    }
    Ok(version::parse_version(text)?)
}

/// Reads what a publish asks for; `None` leaves it to the package.
pub fn next_version(next: Option<publish_header::Next>) -> Result<Option<Bump>, FieldError> {
    match next {
        None => Ok(None),
        Some(publish_header::Next::Bump(number)) => word::bump(number).ctx("bump"),
        Some(publish_header::Next::Version(text)) => exact_version(&text).map(Bump::Exact).map(Some).ctx("version"),
    }
}

/// The wire's form of what a publish asks for.
impl From<Bump> for publish_header::Next {
    fn from(bump: Bump) -> publish_header::Next {
        use crate::control::v1::Bump as Wire;
        match bump {
            Bump::Patch => publish_header::Next::Bump(Wire::Patch as i32),
            Bump::Minor => publish_header::Next::Bump(Wire::Minor as i32),
            Bump::Major => publish_header::Next::Bump(Wire::Major as i32),
            Bump::Exact(version) => publish_header::Next::Version(version.to_string()),
        }
    }
}

impl TryFrom<wire::VersionLimits> for Limits {
    type Error = FieldError;

    fn try_from(limits: wire::VersionLimits) -> Result<Limits, FieldError> {
        let within = |value: u32, max: u32| match value {
            n if (1..=max).contains(&n) => Ok(n),
            n => Err(FieldError::here(format!("is {n}; it takes 1 to {max}"))),
        };
        Ok(Limits {
            cpu_ms: within(limits.cpu_ms, MAX_CPU_MS).ctx("cpu_ms")?,
            wall_ms: within(limits.wall_ms, MAX_WALL_MS).ctx("wall_ms")?,
        })
    }
}

impl From<Limits> for wire::VersionLimits {
    fn from(limits: Limits) -> wire::VersionLimits {
        wire::VersionLimits { cpu_ms: limits.cpu_ms, wall_ms: limits.wall_ms }
    }
}

impl TryFrom<wire::VersionGrants> for Grants {
    type Error = FieldError;

    fn try_from(grants: wire::VersionGrants) -> Result<Grants, FieldError> {
        let wire::VersionGrants { hosts, hosts_from_config, secrets, secrets_from_config, capabilities } = grants;
        let lists = [
            ("hosts", &hosts),
            ("hosts_from_config", &hosts_from_config),
            ("secrets", &secrets),
            ("secrets_from_config", &secrets_from_config),
        ];
        if let Some((field, list)) = lists.into_iter().find(|(_, list)| list.len() > MAX_ENTRIES) {
            let message = format!("has {} entries; it takes at most {MAX_ENTRIES}", list.len());
            return Err(FieldError::here(message).under(field));
        }
        if let Some(index) = secrets.iter().position(|name| !is_secret_name(name)) {
            return Err(FieldError::here("is not the name of a secret").at_index(index).under("secrets"));
        }
        let capabilities = Word::from_list(&capabilities).ctx("capabilities")?;
        Ok(Grants { hosts, hosts_from_config, secrets, secrets_from_config, capabilities })
    }
}

impl From<Grants> for wire::VersionGrants {
    fn from(grants: Grants) -> wire::VersionGrants {
        wire::VersionGrants {
            hosts: grants.hosts,
            hosts_from_config: grants.hosts_from_config,
            secrets: grants.secrets,
            secrets_from_config: grants.secrets_from_config,
            capabilities: Word::to_list(&grants.capabilities),
        }
    }
}

/// Reads what a version reaches. Absent is nothing.
pub fn grants(grants: Option<wire::VersionGrants>) -> Result<Grants, FieldError> {
    grants.map(Grants::try_from).transpose().map(Option::unwrap_or_default).ctx("grants")
}

/// Nothing is absent.
fn sent(grants: Grants) -> Option<wire::VersionGrants> {
    (!grants.is_empty()).then(|| grants.into())
}

/// The model writes an engine as `engine/image`.
impl From<&str> for wire::EngineIdentity {
    fn from(text: &str) -> wire::EngineIdentity {
        let (engine, base_image) = text.split_once('/').unwrap_or((text, ""));
        wire::EngineIdentity { engine: engine.to_owned(), base_image: base_image.to_owned() }
    }
}

impl From<wire::EngineIdentity> for String {
    fn from(identity: wire::EngineIdentity) -> String {
        if identity.base_image.is_empty() {
            return identity.engine;
        }
        format!("{}/{}", identity.engine, identity.base_image)
    }
}

impl TryFrom<wire::Version> for ActionVersion {
    type Error = FieldError;

    fn try_from(version: wire::Version) -> Result<ActionVersion, FieldError> {
        let triggers = version.triggers.iter().enumerate();
        let outcomes = Word::from_list(&version.outcomes).ctx("outcomes")?;
        Ok(ActionVersion {
            tenant: slug(&version.tenant).ctx("tenant")?,
            slug: slug(&version.slug).ctx("slug")?,
            version: exact_version(&version.version).ctx("version")?,
            // A service from before templates says nothing of it.
            kind: Word::from_wire_or_none(version.kind).ctx("kind")?.unwrap_or(ActionKind::Custom),
            name: version.name,
            description: version.description,
            triggers: triggers
                .map(|(i, text)| trigger(text).map_err(|e| e.at_index(i)))
                .collect::<Result<_, _>>()
                .ctx("triggers")?,
            outcomes: (!outcomes.is_empty()).then_some(outcomes),
            limits: required(version.limits).and_then(Limits::try_from).ctx("limits")?,
            grants: grants(version.grants)?,
            schema: version.config_schema.map(json::object).transpose().ctx("config_schema")?,
            content_digest: version.digest,
            bundle_digest: version.bundle_digest,
            engine: version.published_on.unwrap_or_default().into(),
            published_at: required(version.published_at).and_then(time::timestamp).ctx("published_at")?,
            published_by: version.published_by,
            deprecated: version.deprecated,
            yanked: version.yanked,
            revoked: version.revoked,
        })
    }
}

/// The etag is left empty: it is the control plane's to fill in.
impl From<ActionVersion> for wire::Version {
    fn from(version: ActionVersion) -> wire::Version {
        wire::Version {
            tenant: version.tenant.to_string(),
            slug: version.slug.to_string(),
            version: version.version.to_string(),
            name: version.name,
            description: version.description,
            triggers: version.triggers.iter().map(ToString::to_string).collect(),
            outcomes: Word::to_list(&version.outcomes.unwrap_or_default()),
            digest: version.content_digest,
            bundle_digest: version.bundle_digest,
            limits: Some(version.limits.into()),
            config_schema: version.schema.map(json::to_struct),
            published_on: Some(version.engine.as_str().into()),
            published_at: Some(time::to_timestamp(version.published_at)),
            published_by: version.published_by,
            deprecated: version.deprecated,
            yanked: version.yanked,
            revoked: version.revoked,
            etag: String::new(),
            grants: sent(version.grants),
            kind: version.kind.to_wire(),
        }
    }
}

/// What executors need to know of a version.
impl From<&ActionVersion> for distribution::VersionState {
    fn from(version: &ActionVersion) -> distribution::VersionState {
        distribution::VersionState {
            tenant: version.tenant.to_string(),
            slug: version.slug.to_string(),
            version: version.version.to_string(),
            digest: version.content_digest.clone(),
            bundle_digest: version.bundle_digest.clone(),
            limits: Some(version.limits.into()),
            outcomes: Word::to_list(version.outcomes.as_deref().unwrap_or_default()),
            published_on: Some(version.engine.as_str().into()),
            config_schema: version.schema.clone().map(json::to_struct),
            revoked: version.revoked,
            grants: sent(version.grants.clone()),
            template: version.kind == ActionKind::Template,
        }
    }
}
