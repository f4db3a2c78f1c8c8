//! The platform's templates, in the catalogue of every tenant.
//!
//! A version of a template is taken into the store once, by the first control plane that has it: compiled, evaluated and written with its
//! bundle's digest, which it keeps for good. Executors hold a version to be what it was when they first heard of it, whichever build
//! serves, and a later compiler may write the same source differently. A version that a build lacks, because it is older than the
//! store, is there all the same: flows pin it.
//!
//! What a tenant has of its own is marks: a version that is yanked or revoked for it has a row among the tenant's versions, of which
//! nothing else is read.

use super::{ActionRow, Published, VersionRow};
use crate::keys;
use crate::rows::{self, Row};
use crate::shared::Shared;
use crate::store::{Batch, BlobStore, Revision, Scan};
use semver::Version;
use sluice_compiler::compile;
use sluice_model::version::{ActionKind, ActionVersion};
use sluice_model::{Artifact, Error, Grants, Slug};
use sluice_sandbox::Engine;
use sluice_templates::{Template, released};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose templates are, where a tenant is named. No tenant may be called so.
pub(crate) const PLATFORM: &str = "platform";

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates(Arc<BTreeMap<Slug, BTreeMap<Version, ActionVersion>>>);

impl Templates {
    /// All that the store has, once it has what this build brings.
    ///
    /// # Errors
    /// The store, or a version that is not what the store has under its number.
    pub(crate) async fn open(shared: &Shared, blobs: &BlobStore, engine: &Engine) -> Result<Templates, Error> {
        let mut found: BTreeMap<Slug, BTreeMap<Version, ActionVersion>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = rows::scan::<ActionVersion>(&*shared.store, Scan::of(keys::templates()).after(after)).await?;
            for version in page.entries.into_iter().map(|row| row.value) {
                found.entry(version.slug.clone()).or_default().insert(version.version.clone(), version);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let (mut batch, mut taken) = (Batch::new(), 0);
        for template in released() {
            let broken =
                |what: String| Error::internal(format!("the template {}@{}: {what}", template.slug, template.version));
            let package = template.package().map_err(|found| broken(format!("{found:?}")))?;
            let slug = package.manifest.slug.clone();
            let number: Version = template.version.parse().map_err(|error| broken(format!("{error}")))?;
            let digest = package.content_digest();
            if let Some(known) = found.get(&slug).and_then(|versions| versions.get(&number)) {
                if known.content_digest != digest {
                    return Err(broken("the store has it with other content; a released version never changes".into()));
                }
                continue;
            }
            let version = take_in(template, shared, blobs, engine).await?;
            let key = keys::template(&slug, &number);
            batch = batch
                .absent(key.clone())
                .put(key, rows::encode(&version)?)
                .put(keys::template_bundle(&version.bundle_digest), Vec::new());
            taken += 1;
            found.entry(slug).or_default().insert(number, version);
        }
        if taken > 0 {
            shared.store.commit(batch).await.map_err(|error| Error::internal(error.to_string()))?;
            tracing::info!(taken, "versions of templates were taken into the store");
        }
        Ok(Templates(Arc::new(found)))
    }

    /// Whether a slug is a template's.
    pub(super) fn has(&self, slug: &Slug) -> bool {
        self.0.contains_key(slug)
    }

    /// The templates, as Actions of a catalogue, by slug.
    pub(super) fn actions(&self) -> impl Iterator<Item = ActionRow> {
        self.0.keys().filter_map(|slug| self.action(slug))
    }

    /// A template, as an Action of a catalogue.
    pub(super) fn action(&self, slug: &Slug) -> Option<ActionRow> {
        let versions = self.0.get(slug)?;
        let newest = versions.values().rfind(|version| version.version.pre.is_empty()).or(versions.values().last())?;
        Some(ActionRow {
            slug: slug.clone(),
            name: newest.name.clone(),
            kind: ActionKind::Template,
            triggers: newest.triggers.clone(),
            newest: newest.version.clone(),
            generation: 0,
        })
    }

    /// The versions of a template, the highest first, as a tenant has them before its own marks.
    pub(super) fn versions(&self, tenant: &Slug, slug: &Slug) -> Vec<ActionVersion> {
        let versions = self.0.get(slug).into_iter().flat_map(BTreeMap::values).rev();
        versions.map(|version| ActionVersion { tenant: tenant.clone(), ..version.clone() }).collect()
    }

    /// A version of a template, as a tenant has it; `own` are its marks there.
    pub(super) fn find(
        &self,
        tenant: &Slug,
        slug: &Slug,
        version: &Version,
        own: Option<Row<VersionRow>>,
    ) -> Option<Published> {
        let found = self.0.get(slug)?.get(version)?;
        Some(marked(ActionVersion { tenant: tenant.clone(), ..found.clone() }, own))
    }
}

/// A version with the marks that a tenant's own row has.
pub(super) fn marked(version: ActionVersion, own: Option<Row<VersionRow>>) -> Published {
    let Some(Row { value: VersionRow { version: own, .. }, revision }) = own else {
        return Published { value: version, revision: Revision(0), generation: 0 };
    };
    let ActionVersion { deprecated, yanked, revoked, .. } = own;
    Published { value: ActionVersion { deprecated, yanked, revoked, ..version }, revision, generation: 0 }
}

/// Makes a version of what was released: its bundle is stored when this is done, itself not yet.
async fn take_in(
    template: &Template,
    shared: &Shared,
    blobs: &BlobStore,
    engine: &Engine,
) -> Result<ActionVersion, Error> {
    let broken = |what: String| Error::internal(format!("the template {}@{}: {what}", template.slug, template.version));
    let package = template.package().map_err(|found| broken(format!("{found:?}")))?;
    let number = template.version.parse().map_err(|error| broken(format!("{error}")))?;
    let bundle = compile(&package).map_err(|found| broken(format!("{found:?}")))?;
    let artifact = Artifact::Bundle(bundle);
    engine.prepare(&artifact).await.map_err(|failure| broken(failure.message))?;
    let bundle_digest = blobs.put(artifact.to_bytes()).await?.to_string();
    let (manifest, identity) = (&package.manifest, engine.identity());
    Ok(ActionVersion {
        tenant: Slug::parse(PLATFORM).map_err(|wrong| broken(wrong.to_string()))?,
        slug: manifest.slug.clone(),
        version: number,
        kind: ActionKind::Template,
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        triggers: manifest.triggers.clone(),
        outcomes: manifest.outcomes.clone(),
        limits: manifest.limits,
        grants: Grants::of(manifest),
        schema: package.schema.as_ref().map(|schema| schema.as_json().clone()),
        content_digest: package.content_digest(),
        bundle_digest,
        engine: format!("{}/{}", identity.engine, identity.base_image),
        published_at: shared.clock.now(),
        published_by: PLATFORM.to_owned(),
        deprecated: false,
        yanked: false,
        revoked: false,
    })
}
