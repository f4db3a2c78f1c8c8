//! Which version a publish makes: the next one, one that exists, or none because its number promises too much.

use super::{ActionRow, Catalogue, Published, VersionRow};
use crate::keys;
use crate::rows::{self, Row};
use crate::store::Scan;
use semver::Version;
use serde_json::Value;
use sluice_compiler::Package;
use sluice_model::version::{Bump, next_version};
use sluice_model::{Code, ConfigSchema, Error, Object, Slug, schema};

/// What becomes of a package.
pub(super) enum Numbered {
    /// It is this version already.
    Is(Box<Published>),
    /// It becomes a version.
    Becomes(Next),
}

/// A version to be made.
pub(super) struct Next {
    /// Its number.
    pub(super) version: Version,
    /// The Action as it is now; `None` where this is its first version.
    pub(super) action: Option<Row<ActionRow>>,
    /// Where it is the first: how often an Action of its slug was deleted before.
    pub(super) gone: Option<Row<u32>>,
}

impl Next {
    /// The generation that the version belongs to.
    pub(super) fn generation(&self) -> u32 {
        match (&self.action, &self.gone) {
            (Some(action), _) => action.value.generation,
            (None, gone) => gone.as_ref().map_or(0, |gone| gone.value),
        }
    }
}

impl Catalogue {
    /// Numbers a package. The content of the newest version is that version, unless a minor or a major one is asked for; an
    /// exact version that exists is taken for the same if its content is. Versions of a deleted Action count as numbers that
    /// are taken, and as nothing else.
    pub(super) async fn number(
        &self,
        tenant: &Slug,
        package: &Package,
        digest: &str,
        asked: Option<&Bump>,
    ) -> Result<Numbered, Error> {
        let slug = &package.manifest.slug;
        let own = package.manifest.version.clone().map(Bump::Exact);
        let bump = asked.cloned().or(own).unwrap_or(Bump::Patch);
        let action = self.find_action(tenant, slug).await?;
        let gone = rows::get(&*self.shared.store, &keys::gone_action(tenant, slug)).await?;
        let next = |version| Next { version, action: action.clone(), gone };
        // The one that it may be already, and those that a number is counted from.
        let (same, existing) = match &bump {
            Bump::Exact(version) => {
                let found = self.find(tenant, slug, version).await?;
                let existing = found.iter().map(|found| found.value.version.clone()).collect::<Vec<_>>();
                (found, existing)
            }
            Bump::Patch | Bump::Minor | Bump::Major => {
                let newest = match (&bump, &action) {
                    (Bump::Patch, Some(action)) => self.find(tenant, slug, &action.value.newest).await?,
                    _ => None,
                };
                (newest, self.highest(tenant, slug).await?.into_iter().collect())
            }
        };
        let generation = action.as_ref().map(|action| action.value.generation);
        match same {
            Some(same) if Some(same.generation) != generation => {
                let version = same.value.version;
                let message =
                    format!("version {version} was published before {slug} was deleted; no number is given twice");
                let taken = Error::new(Code::AlreadyExists, "VERSION_EXISTS", message);
                return Err(taken.with_field("version", "name one that does not exist yet, or leave it out"));
            }
            Some(same) if same.value.content_digest == digest => return Ok(Numbered::Is(Box::new(same))),
            _ => {}
        }
        let version = next_version(&existing, &bump)?;
        if let Some(generation) = generation {
            self.check_promise(tenant, package, &version, generation).await?;
        }
        Ok(Numbered::Becomes(next(version)))
    }

    /// The highest version that was ever published under a slug.
    async fn highest(&self, tenant: &Slug, slug: &Slug) -> Result<Option<Version>, Error> {
        let scan = Scan::of(keys::versions(tenant, slug)).descending().limit(1);
        let page = rows::scan::<VersionRow>(&*self.shared.store, scan).await?;
        Ok(page.entries.into_iter().next().map(|row| row.value.version.version))
    }

    /// A version that semver calls compatible with the one before it must take every config that that one takes.
    async fn check_promise(
        &self,
        tenant: &Slug,
        package: &Package,
        version: &Version,
        generation: u32,
    ) -> Result<(), Error> {
        let slug = &package.manifest.slug;
        let lower =
            Scan::of(keys::versions(tenant, slug)).descending().after(Some(keys::version(tenant, slug, version)));
        let page = rows::scan::<VersionRow>(&*self.shared.store, lower.limit(100)).await?;
        // Prereleases promise nothing, and neither does an Action that was deleted.
        let own = page.entries.into_iter().map(|row| row.value).filter(|row| row.generation == generation);
        let before = own.map(|row| row.version).find(|found| found.version.pre.is_empty());
        let Some(before) = before.filter(|before| promises(&before.version, version)) else { return Ok(()) };
        let old = stored(before.schema.as_ref())?;
        let found = schema::compatibility(old.as_ref(), package.schema.as_ref());
        if found.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the config schema may refuse configs that version {} takes, so this cannot be version {version}: publish it as \
             the next major version",
            before.version
        );
        let file = package.manifest.schema.as_deref().unwrap_or(schema::SCHEMA_FILE);
        let refused =
            Error::precondition("MAJOR_VERSION_REQUIRED", message).about("version", format!("{slug}@{version}"));
        Err(found
            .into_iter()
            .fold(refused, |error, wrong| error.with_field(format!("{file}{}", wrong.pointer), wrong.message)))
    }
}

/// Whether whoever runs `old` may expect `new` to work in its place (`^` of semver).
fn promises(old: &Version, new: &Version) -> bool {
    match (old.major, old.minor) {
        (0, 0) => false,
        (0, minor) => new.major == 0 && new.minor == minor,
        (major, _) => new.major == major,
    }
}

fn stored(schema: Option<&Object>) -> Result<Option<ConfigSchema>, Error> {
    schema.map(|schema| ConfigSchema::new(Value::Object(schema.clone()))).transpose().map_err(|found| {
        tracing::error!(?found, "the schema of a published version does not parse any more");
        Error::internal("the schema of the version before cannot be read")
    })
}
