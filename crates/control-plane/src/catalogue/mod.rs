//! A tenant's catalogue: Actions and their versions, published, shown, marked and deleted.
//!
//! A version is never changed but for its marks, and never deleted: executable revisions may pin it, and its number is used
//! for good. The platform's templates are in every catalogue ([`templates`]). An Action that is deleted leaves the catalogue; what is published under its slug later is of the next
//! generation, to which the versions before do not belong.

pub mod cases;
mod delete;
mod mark;
mod number;
pub mod ports;
mod publish;
pub mod refusal;
mod templates;

pub(crate) use delete::Deletion;
pub(crate) use mark::{Mark, Marked, Marking};
pub(crate) use publish::{Publish, Publisher};
pub(crate) use templates::{PLATFORM, Templates};

use crate::etag;
use crate::keys;
use crate::rows::{self, Page, Row};
use crate::shared::Shared;
use crate::store::{Batch, Key, MAX_PAGE, Revision, Scan};
use crate::tenants::Tenants;
use semver::Version;
use serde::{Deserialize, Serialize};
use sluice_model::diagnostic::nearest;
use sluice_model::version::{ActionKind, ActionVersion, Pin};
use sluice_model::{Error, Slug, Trigger};

/// The platform's templates: their names mean the same in every tenant, so no tenant's own Action may have one.
pub const TEMPLATE_SLUGS: &[&str] = &[
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
    /// How often an Action of this slug was deleted before.
    #[serde(default)]
    generation: u32,
}

/// A version as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct VersionRow {
    #[serde(flatten)]
    version: ActionVersion,
    /// That of the Action that it was published as.
    #[serde(default)]
    generation: u32,
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
    /// Its etag.
    pub(crate) etag: String,
}

/// A version and the commit that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The version.
    pub(crate) value: ActionVersion,
    /// The commit; 0 for a template of which the tenant has no row of its own.
    pub(crate) revision: Revision,
    generation: u32,
}

impl Published {
    /// Its key.
    pub(crate) fn key(&self) -> Key {
        keys::version(&self.value.tenant, &self.value.slug, &self.value.version)
    }

    /// A batch that fails where the version is not any more what it was.
    pub(crate) fn relied_on(&self, batch: Batch) -> Batch {
        match self.revision {
            Revision(0) => batch.absent(self.key()),
            revision => batch.at(self.key(), revision),
        }
    }
}

impl From<Row<VersionRow>> for Published {
    fn from(row: Row<VersionRow>) -> Published {
        let VersionRow { version, generation } = row.value;
        Published { value: version, revision: row.revision, generation }
    }
}

/// The etag of a version: it changes with its marks.
pub(crate) fn etag_of(version: &ActionVersion) -> Result<String, Error> {
    let ActionVersion { tenant, slug, version, published_at, deprecated, yanked, revoked, .. } = version;
    etag::of(&(tenant, slug, version, published_at, deprecated, yanked, revoked))
}

/// Shows what is published.
#[derive(Clone)]
pub(crate) struct Catalogue {
    shared: Shared,
    tenants: Tenants,
    templates: Templates,
}

impl Catalogue {
    pub(crate) fn new(shared: Shared, tenants: Tenants, templates: Templates) -> Catalogue {
        Catalogue { shared, tenants, templates }
    }

    /// The Actions of a tenant, by slug.
    pub(crate) async fn actions(&self, tenant: &Slug, after: Option<Key>, limit: usize) -> Result<Page<Action>, Error> {
        self.tenants.get(tenant).await?;
        let scan = Scan::of(keys::actions(tenant)).after(after).limit(limit);
        let page = rows::scan::<ActionRow>(&*self.shared.store, scan.clone()).await?;
        let (own, mut next) = (page.entries.into_iter().map(|row| row.value), page.next);
        // Templates stand among the tenant's own where their slugs do.
        let key = |row: &ActionRow| keys::action(tenant, &row.slug);
        let here = |row: &ActionRow| {
            scan.after.as_ref().is_none_or(|after| key(row) > *after)
                && next.as_ref().is_none_or(|next| key(row) <= *next)
        };
        let mut rows: Vec<ActionRow> = own.chain(self.templates.actions().filter(here)).collect();
        rows.sort_by(|a, b| a.slug.cmp(&b.slug));
        if rows.len() > limit {
            rows.truncate(limit);
            next = rows.last().map(key);
        }
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            entries.push(self.shown(tenant, row).await?);
        }
        Ok(Page { entries, next })
    }

    /// An Action. NOT_FOUND `ACTION_NOT_FOUND`.
    pub(crate) async fn show_action(&self, tenant: &Slug, slug: &Slug) -> Result<Action, Error> {
        self.tenants.get(tenant).await?;
        let row = self.action(tenant, slug).await?;
        self.shown(tenant, row).await
    }

    async fn shown(&self, tenant: &Slug, row: ActionRow) -> Result<Action, Error> {
        let (etag, attached) = (etag::of(&row)?, self.attached(tenant, &row.slug).await?);
        let ActionRow { slug, name, kind, triggers, newest, generation: _ } = row;
        Ok(Action { slug, name, kind, triggers, attached, newest, etag })
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
        if self.templates.has(slug) {
            return self.template_versions(tenant, slug, after, limit).await;
        }
        let generation = self.action(tenant, slug).await?.generation;
        let (mut entries, mut after) = (Vec::new(), after);
        loop {
            // Those of former generations are passed over; a page is full all the same.
            let scan = Scan::of(keys::versions(tenant, slug)).descending().after(after).limit(limit - entries.len());
            let page = rows::scan::<VersionRow>(&*self.shared.store, scan).await?;
            let own = page.entries.into_iter().map(|row| row.value).filter(|row| row.generation == generation);
            entries.extend(own.map(|row| row.version));
            match page.next {
                Some(next) if entries.len() < limit => after = Some(next),
                next => return Ok(Page { entries, next }),
            }
        }
    }

    async fn template_versions(
        &self,
        tenant: &Slug,
        slug: &Slug,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page<ActionVersion>, Error> {
        let (mut entries, mut next) = (Vec::new(), None);
        for version in self.templates.versions(tenant, slug) {
            let key = keys::version(tenant, slug, &version.version);
            if after.as_ref().is_some_and(|after| key >= *after) {
                continue;
            }
            if entries.len() == limit {
                return Ok(Page { entries, next });
            }
            next = Some(key);
            entries.push(self.as_marked(version).await?.value);
        }
        Ok(Page { entries, next: None })
    }

    /// A version of a template with the tenant's own marks.
    async fn as_marked(&self, version: ActionVersion) -> Result<Published, Error> {
        let key = keys::version(&version.tenant, &version.slug, &version.version);
        Ok(templates::marked(version, rows::get(&*self.shared.store, &key).await?))
    }

    /// An exact version, also of an Action that was deleted: revisions may pin it. NOT_FOUND `VERSION_NOT_FOUND`.
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
        let row = rows::get::<VersionRow>(&*self.shared.store, &keys::version(tenant, slug, version)).await?;
        if self.templates.has(slug) {
            return Ok(self.templates.find(tenant, slug, version, row));
        }
        Ok(row.map(Published::from))
    }

    /// The version that a pin names: an exact one, or the highest that can be attached and fits a range, or is a release
    /// where nothing is said. NOT_FOUND `ACTION_NOT_FOUND`, `VERSION_NOT_FOUND`.
    pub(crate) async fn resolve(&self, tenant: &Slug, slug: &Slug, pin: &str) -> Result<Published, Error> {
        let asked = Pin::parse(pin).map_err(|wrong| Error::field("version", wrong))?;
        let ActionRow { generation, newest, .. } = self.action(tenant, slug).await?;
        if let Pin::Exact(version) = &asked {
            let found = self.find(tenant, slug, version).await?.filter(|found| found.generation == generation);
            return found.ok_or_else(|| {
                let message = format!("{slug} has no version {version}; its highest is {newest}");
                not_found(slug, &version.to_string(), &message)
            });
        }
        let (mut after, mut passed_over) = (None, 0_u32);
        for version in self.templates.versions(tenant, slug).into_iter().filter(|found| asked.fits(&found.version)) {
            let version = self.as_marked(version).await?;
            if version.value.is_attachable() {
                return Ok(version);
            }
            passed_over += 1;
        }
        while !self.templates.has(slug) {
            let scan = Scan::of(keys::versions(tenant, slug)).descending().after(after).limit(100);
            let page = rows::scan::<VersionRow>(&*self.shared.store, scan).await?;
            for row in page.entries {
                let VersionRow { version, generation: of } = &row.value;
                if *of != generation || !asked.fits(&version.version) {
                    continue;
                }
                if version.is_attachable() {
                    return Ok(row.into());
                }
                passed_over += 1;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let message = match (pin, passed_over) {
            ("" | "latest", 0) => format!("{slug} has no release, only prereleases; name one exactly"),
            (_, 0) => format!("no version of {slug} fits {pin:?}; its highest is {newest}"),
            ("" | "latest", _) => format!("every release of {slug} is yanked or revoked"),
            (_, _) => format!("every version of {slug} that fits {pin:?} is yanked or revoked"),
        };
        Err(not_found(slug, pin, &message))
    }

    /// Whether the Action of a version is still in the catalogue.
    pub(crate) async fn is_listed(&self, version: &Published) -> Result<bool, Error> {
        if self.templates.has(&version.value.slug) {
            return Ok(true);
        }
        let action = self.find_action(&version.value.tenant, &version.value.slug).await?;
        Ok(action.is_some_and(|action| action.value.generation == version.generation))
    }

    /// A batch that fails where an Action is being deleted meanwhile, and that makes such a deletion fail: for who begins
    /// to use it. `None` where it is gone.
    pub(crate) async fn hold(&self, batch: Batch, tenant: &Slug, slug: &Slug) -> Result<Option<Batch>, Error> {
        if self.templates.has(slug) {
            // Nobody can delete one.
            return Ok(Some(batch));
        }
        let key = keys::action(tenant, slug);
        // Written again as it is: its revision is what a deletion is guarded by.
        let Some(row) = self.find_action(tenant, slug).await? else { return Ok(None) };
        Ok(Some(batch.at(key.clone(), row.revision).put(key, rows::encode(&row.value)?)))
    }

    async fn action(&self, tenant: &Slug, slug: &Slug) -> Result<ActionRow, Error> {
        match self.templates.action(slug) {
            Some(template) => Ok(template),
            None => Ok(self.own_action(tenant, slug).await?.value),
        }
    }

    /// One that the tenant has published.
    async fn own_action(&self, tenant: &Slug, slug: &Slug) -> Result<Row<ActionRow>, Error> {
        if let Some(action) = self.find_action(tenant, slug).await? {
            return Ok(action);
        }
        let others = rows::scan::<ActionRow>(&*self.shared.store, Scan::of(keys::actions(tenant)).limit(100)).await?;
        let own = others.entries.iter().map(|other| other.value.slug.as_str());
        let near = nearest(slug.as_str(), own.chain(TEMPLATE_SLUGS.iter().copied()));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let missing = Error::not_found("ACTION_NOT_FOUND", format!("tenant {tenant} has no Action {slug}{near}"));
        Err(missing.about("action", slug.as_str()))
    }

    async fn find_action(&self, tenant: &Slug, slug: &Slug) -> Result<Option<Row<ActionRow>>, Error> {
        rows::get(&*self.shared.store, &keys::action(tenant, slug)).await
    }
}

fn not_found(slug: &Slug, version: &str, message: &str) -> Error {
    Error::not_found("VERSION_NOT_FOUND", message).about("version", format!("{slug}@{version}"))
}
