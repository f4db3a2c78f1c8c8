//! Actions, their versions, and what a publish came to.

use super::{Cell, Entry, Warning, warnings};
use crate::{
    screen::{Look, View},
    stop::{Refusal, Stop, Told},
};
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, Word as _},
    types::v1 as wire,
};
use sluice_model::{Error, Grants, Limits, OutcomeKind, Trigger, version::ActionKind, version::ActionVersion};

/// `{slug, name, kind, triggers, attached, newest}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Action {
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) kind: ActionKind,
    triggers: Vec<String>,
    pub(super) attached: u32,
    pub(super) newest: String,
    #[serde(skip)]
    pub(super) etag: String,
}

impl TryFrom<control::Action> for Action {
    type Error = Stop;

    fn try_from(action: control::Action) -> Result<Action, Stop> {
        Ok(Action {
            kind: ActionKind::from_wire(action.kind).ctx("kind")?,
            slug: action.slug,
            name: action.name,
            triggers: action.triggers,
            attached: action.attached,
            newest: action.newest,
            etag: action.etag,
        })
    }
}

impl Entry for Action {
    const NONE: &'static str =
        "There is no Action yet: sluice init DIR makes a package, sluice action publish DIR publishes it.";
    const COLUMNS: &'static [&'static str] = &["SLUG", "NAME", "KIND", "NEWEST", "ATTACHED", "COMPATIBLE TRIGGERS"];

    fn row(&self, _: &Look) -> Vec<Cell> {
        vec![
            Cell::new(&self.slug),
            Cell::new(&self.name),
            Cell::new(self.kind),
            Cell::new(&self.newest),
            Cell::number(self.attached),
            Cell::new(self.triggers.join(", ")).faint(),
        ]
    }
}

/// `{version, name, triggers, outcomes | null, limits: {cpu_ms, wall_ms}, grants: {hosts, hosts_from_config, secrets,
/// secrets_from_config, capabilities}, digest, published_at, published_by, deprecated, yanked, revoked, etag}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Version {
    version: String,
    name: String,
    triggers: Vec<Trigger>,
    outcomes: Option<Vec<OutcomeKind>>,
    limits: Limits,
    pub(super) grants: Grants,
    digest: String,
    published_at: Timestamp,
    published_by: String,
    deprecated: bool,
    yanked: bool,
    revoked: bool,
    etag: String,
}

impl Version {
    /// Its number.
    pub(super) fn number(&self) -> &str {
        &self.version
    }

    /// What is said of it, in a word; the strongest alone.
    pub(super) fn state(&self) -> &'static str {
        match (self.revoked, self.yanked, self.deprecated) {
            (true, _, _) => "revoked",
            (_, true, _) => "yanked",
            (_, _, true) => "deprecated",
            _ => "-",
        }
    }
}

impl TryFrom<wire::Version> for Version {
    type Error = Stop;

    fn try_from(version: wire::Version) -> Result<Version, Stop> {
        let etag = version.etag.clone();
        let read = ActionVersion::try_from(version)?;
        Ok(Version {
            version: read.version.to_string(),
            name: read.name,
            triggers: read.triggers,
            outcomes: read.outcomes,
            limits: read.limits,
            grants: read.grants,
            digest: read.content_digest,
            published_at: read.published_at,
            published_by: read.published_by,
            deprecated: read.deprecated,
            yanked: read.yanked,
            revoked: read.revoked,
            etag,
        })
    }
}

impl Entry for Version {
    const NONE: &'static str = "There is no version.";
    const COLUMNS: &'static [&'static str] = &["VERSION", "STATE", "PUBLISHED", "BY", "DIGEST", "TRIGGERS"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let triggers: Vec<&str> = self.triggers.iter().map(|t| t.as_str()).collect();
        vec![
            Cell::new(&self.version),
            Cell::new(self.state()),
            Cell::new(look.time(self.published_at)),
            Cell::new(&self.published_by),
            Cell::new(short(&self.digest)),
            Cell::new(triggers.join(", ")).faint(),
        ]
    }
}

/// What a publish came to, a result a tenant: `{results: [{tenant, slug, version, created, digest, warnings, error}]}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Published {
    pub(crate) results: Vec<PublishResult>,
}

/// A tenant's result. Where it is refused, `error` says why, `created` is false, `version` and `digest` are null.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PublishResult {
    tenant: String,
    slug: Option<String>,
    version: Option<String>,
    created: bool,
    digest: Option<String>,
    warnings: Vec<Warning>,
    error: Option<Refusal>,
    #[serde(skip)]
    told: String,
    #[serde(skip)]
    triggers: Vec<String>,
}

impl PublishResult {
    /// The control plane's answer.
    pub(crate) fn new(tenant: String, answer: control::PublishVersionResponse) -> PublishResult {
        let version = answer.version.unwrap_or_default();
        PublishResult {
            tenant,
            slug: Some(version.slug),
            version: Some(version.version),
            created: answer.created,
            digest: Some(version.digest),
            warnings: answer.warnings.into_iter().map(Warning::from).collect(),
            error: None,
            told: String::new(),
            triggers: version.triggers,
        }
    }

    /// A refusal. `slug` is what action.toml says, where it can be read.
    pub(crate) fn refused(tenant: String, slug: Option<String>, error: &Error) -> PublishResult {
        PublishResult {
            tenant,
            slug,
            version: None,
            created: false,
            digest: None,
            warnings: Vec::new(),
            error: Some(Refusal::from(error)),
            told: Told(error).to_string(),
            triggers: Vec::new(),
        }
    }
}

impl View for Published {
    fn render(&self, look: &Look) -> String {
        let mut text = String::new();
        for result in &self.results {
            let tenant = &result.tenant;
            let (Some(slug), Some(version)) = (&result.slug, &result.version) else {
                // A single refusal is told on standard error alone.
                if self.results.len() > 1 {
                    text.push_str(&format!("{} {tenant}: {}\n", look.bad("✗"), result.told));
                }
                continue;
            };
            let name = look.strong(&format!("{slug}@{version}"));
            let digest = look.faint(&format!("digest {}", short(result.digest.as_deref().unwrap_or_default())));
            text.push_str(&if result.created {
                format!("{} published {name} for {tenant}  {digest}\n", look.good("✓"))
            } else {
                format!(
                    "{} {name} has this content already for {tenant}: nothing to publish  {digest}\n",
                    look.good("=")
                )
            });
            text.push_str(&warnings(&result.warnings, look));
        }
        if let [PublishResult { slug: Some(slug), version: Some(version), triggers, .. }] = self.results.as_slice() {
            let trigger = triggers.first().map_or("TRIGGER", String::as_str);
            text.push_str(
                &look.hint(&format!("Next: sluice flow attach FLOW --trigger {trigger} --action {slug}@{version}")),
            );
        }
        text
    }
}

/// The first digits of a digest, which tell versions apart for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
