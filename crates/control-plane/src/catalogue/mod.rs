//! A tenant's catalogue: Actions and their versions, published and shown.

pub mod cases;
mod number;
mod publish;
mod refusal;

pub(crate) use publish::{Publish, Publisher};

use crate::keys;
use crate::rows::{self, Page, Row};
use crate::shared::Shared;
use crate::store::{Key, MAX_PAGE, Revision, Scan};
use crate::tenants::Tenants;
use semver::Version;
use serde::{Deserialize, Serialize};
use sluice_model::version::{ActionKind, ActionVersion, Pin};
use sluice_model::{Error, Slug, Trigger};

/// The platform's templates: their names mean the same in every tenant, so no tenant's own Action may have one.
pub(crate) const TEMPLATE_SLUGS: &[&str] = &[
    "domain-allowlist",
    "domain-blocklist",
    "rate-limit-by-ip",
    "rate-limit-by-user",
    "decorate-token",
    "webhook-emit",
    "slack-notify",
    "block-by-risk-score",
    "demand-mfa-by-risk-score",
    "redirect-by-group",
];

/// An Action of a catalogue, as its newest version has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ActionRow {
    slug: Slug,
    name: String,
    kind: ActionKind,
    triggers: Vec<Trigger>,
    newest: Version,
}

/// An Action in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// Its slug.
    pub(crate) slug: Slug,
    /// The name of its newest version.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) kind: ActionKind,
    /// What its newest version is made for.
    pub(crate) triggers: Vec<Trigger>,
    /// In how many slots of newest flow revisions it is.
    pub(crate) attached: u32,
    /// Its highest version.
    pub(crate) newest: Version,
}

/// A version and the commit that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The version.
    pub(crate) value: ActionVersion,
    /// The commit.
    pub(crate) revision: Revision,
}

impl Published {
    /// Its key.
    pub(crate) fn key(&self) -> Key {
        keys::version(&self.value.tenant, &self.value.slug, &self.value.version)
    }
}

impl From<Row<ActionVersion>> for Published {
    fn from(row: Row<ActionVersion>) -> Published {
        Published { value: row.value, revision: row.revision }
    }
}

/// Shows what is published.
#[derive(Clone)]
pub(crate) struct Catalogue {
    shared: Shared,
    tenants: Tenants,
}

impl Catalogue {
    pub(crate) fn new(shared: Shared, tenants: Tenants) -> Catalogue {
        Catalogue { shared, tenants }
    }

    /// The Actions of a tenant, by slug.
    pub(crate) async fn actions(&self, tenant: &Slug, after: Option<Key>, limit: usize) -> Result<Page<Action>, Error> {
        self.tenants.get(tenant).await?;
        let scan = Scan::of(keys::actions(tenant)).after(after).limit(limit);
        let page = rows::scan::<ActionRow>(&*self.shared.store, scan).await?;
        let mut entries = Vec::with_capacity(page.entries.len());
        for row in page.entries {
            let ActionRow { slug, name, kind, triggers, newest } = row.value;
            let attached = self.attached(tenant, &slug).await?;
            entries.push(Action { slug, name, kind, triggers, attached, newest });
        }
        Ok(Page { entries, next: page.next })
    }

    /// In how many slots of newest flow revisions an Action is.
    async fn attached(&self, tenant: &Slug, slug: &Slug) -> Result<u32, Error> {
        let (mut slots, mut after) = (0_u32, None);
        loop {
            let scan = Scan::of(keys::uses(tenant, slug)).after(after).limit(MAX_PAGE);
            let page = rows::scan::<u32>(&*self.shared.store, scan).await?;
            slots = page.entries.iter().fold(slots, |sum, row| sum.saturating_add(row.value));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(slots),
            }
        }
    }

    /// The versions of an Action, the highest first. NOT_FOUND `ACTION_NOT_FOUND`.
    pub(crate) async fn versions(
        &self,
        tenant: &Slug,
        slug: &Slug,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page<ActionVersion>, Error> {
        self.tenants.get(tenant).await?;
        self.action(tenant, slug).await?;
        let scan = Scan::of(keys::versions(tenant, slug)).descending().after(after).limit(limit);
        let page = rows::scan::<ActionVersion>(&*self.shared.store, scan).await?;
        Ok(Page { entries: page.entries.into_iter().map(|row| row.value).collect(), next: page.next })
    }

    /// An exact version. NOT_FOUND `VERSION_NOT_FOUND`.
    pub(crate) async fn get(&self, tenant: &Slug, slug: &Slug, version: &Version) -> Result<Published, Error> {
        let found = self.find(tenant, slug, version).await?;
        found.ok_or_else(|| not_found(slug, &version.to_string(), &format!("{slug} has no version {version}")))
    }

    /// The version that a pin names, as [`Catalogue::resolve`], for a caller who wants to see it.
    pub(crate) async fn show(&self, tenant: &Slug, slug: &Slug, pin: &str) -> Result<ActionVersion, Error> {
        self.tenants.get(tenant).await?;
        Ok(self.resolve(tenant, slug, pin).await?.value)
    }

    async fn find(&self, tenant: &Slug, slug: &Slug, version: &Version) -> Result<Option<Published>, Error> {
        let row = rows::get(&*self.shared.store, &keys::version(tenant, slug, version)).await?;
        Ok(row.map(Published::from))
    }

    /// The version that a pin names: an exact one, or the highest that is not yanked and fits a range, or is a release
    /// where nothing is said. NOT_FOUND `ACTION_NOT_FOUND`, `VERSION_NOT_FOUND`.
    pub(crate) async fn resolve(&self, tenant: &Slug, slug: &Slug, pin: &str) -> Result<Published, Error> {
        let asked = Pin::parse(pin).map_err(|wrong| Error::field("version", wrong))?;
        self.action(tenant, slug).await?;
        if let Pin::Exact(version) = &asked {
            return self.get(tenant, slug, version).await;
        }
        let mut after = None;
        loop {
            let scan = Scan::of(keys::versions(tenant, slug)).descending().after(after).limit(100);
            let page = rows::scan::<ActionVersion>(&*self.shared.store, scan).await?;
            let fits = |row: &Row<ActionVersion>| !row.value.yanked && asked.fits(&row.value.version);
            if let Some(row) = page.entries.into_iter().find(fits) {
                return Ok(row.into());
            }
            match page.next {
                Some(next) => after = Some(next),
                None if pin.is_empty() => {
                    return Err(not_found(
                        slug,
                        "",
                        &format!("{slug} has no release, only prereleases; name one exactly"),
                    ));
                }
                None => return Err(not_found(slug, pin, &format!("no version of {slug} fits {pin:?}"))),
            }
        }
    }

    async fn action(&self, tenant: &Slug, slug: &Slug) -> Result<Row<ActionRow>, Error> {
        self.find_action(tenant, slug).await?.ok_or_else(|| {
            Error::not_found("ACTION_NOT_FOUND", format!("tenant {tenant} has no Action {slug}"))
                .about("action", slug.as_str())
        })
    }

    async fn find_action(&self, tenant: &Slug, slug: &Slug) -> Result<Option<Row<ActionRow>>, Error> {
        rows::get(&*self.shared.store, &keys::action(tenant, slug)).await
    }
}

fn not_found(slug: &Slug, version: &str, message: &str) -> Error {
    Error::not_found("VERSION_NOT_FOUND", message).about("version", format!("{slug}@{version}"))
}
