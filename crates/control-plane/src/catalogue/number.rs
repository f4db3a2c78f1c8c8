//! Which version a publish makes: the next one, one that exists, or none because its number promises too much.

use super::{ActionRow, Catalogue, Published};
use crate::keys;
use crate::rows::{self, Row};
use crate::store::Scan;
use semver::Version;
use serde_json::Value;
use sluice_compiler::Package;
use sluice_model::version::{ActionVersion, Bump, next_version};
use sluice_model::{ConfigSchema, Error, Object, Slug, schema};

/// What becomes of a package.
pub(super) enum Numbered {
    /// It is this version already.
    Is(Published),
    /// It becomes a version.
    Becomes(Next),
}

/// A version to be made.
pub(super) struct Next {
    /// Its number.
    pub(super) version: Version,
    /// The Action as it is now; `None` where this is its first version.
    pub(super) action: Option<Row<ActionRow>>,
}

impl Catalogue {
    /// Numbers a package. The content of the newest version is that version, unless a minor or a major one is asked for; an
    /// exact version that exists is taken for the same if its content is.
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
        let newest = match &action {
            Some(action) => self.find(tenant, slug, &action.value.newest).await?,
            None => None,
        };
        let (same, existing) = match &bump {
            Bump::Exact(version) => {
                let found = self.find(tenant, slug, version).await?;
                let existing = found.iter().map(|found| found.value.version.clone()).collect();
                (found, existing)
            }
            Bump::Patch => {
                (newest.clone(), newest.iter().map(|newest| newest.value.version.clone()).collect::<Vec<_>>())
            }
            Bump::Minor | Bump::Major => (None, newest.iter().map(|newest| newest.value.version.clone()).collect()),
        };
        if let Some(same) = same.filter(|same| same.value.content_digest == digest) {
            return Ok(Numbered::Is(same));
        }
        let version = next_version(&existing, &bump)?;
        self.check_promise(tenant, package, &version).await?;
        Ok(Numbered::Becomes(Next { version, action }))
    }

    /// A version that semver calls compatible with the one before it must take every config that that one takes.
    async fn check_promise(&self, tenant: &Slug, package: &Package, version: &Version) -> Result<(), Error> {
        let slug = &package.manifest.slug;
        let lower =
            Scan::of(keys::versions(tenant, slug)).descending().after(Some(keys::version(tenant, slug, version)));
        let page = rows::scan::<ActionVersion>(&*self.shared.store, lower.limit(100)).await?;
        // Prereleases promise nothing.
        let before = page.entries.into_iter().map(|row| row.value).find(|found| found.version.pre.is_empty());
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
