//! Who needs which secret: versions declare them, and configs name them where versions say so.

use crate::catalogue::Catalogue;
use crate::flows::{FlowHead, Warning, find_revision};
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{MAX_PAGE, Scan};
use semver::Version;
use sluice_model::version::ActionVersion;
use sluice_model::{Attachment, Error, Slug, schema};
use std::collections::{BTreeMap, BTreeSet};

/// The secrets that an attachment of a version may read.
pub(crate) fn needed_by(attachment: &Attachment, version: &ActionVersion) -> BTreeSet<String> {
    let grants = &version.grants;
    if grants.secrets.is_empty() && grants.secrets_from_config.is_empty() {
        return BTreeSet::new();
    }
    let config = attachment.config.clone();
    match &version.schema {
        Some(schema) => grants.secrets_with(&schema::fill_defaults(schema, config)),
        None => grants.secrets_with(&config),
    }
}

/// The flows of a tenant whose newest revisions need a secret, by its name.
pub(super) async fn of_tenant(
    shared: &Shared,
    catalogue: &Catalogue,
    tenant: &Slug,
) -> Result<BTreeMap<String, BTreeSet<Slug>>, Error> {
    let mut found: BTreeMap<String, BTreeSet<Slug>> = BTreeMap::new();
    let mut versions: BTreeMap<(Slug, Version), ActionVersion> = BTreeMap::new();
    let mut after = None;
    loop {
        let scan = Scan::of(keys::flows(tenant)).after(after).limit(MAX_PAGE);
        let page = rows::scan::<FlowHead>(&*shared.store, scan).await?;
        for head in page.entries.into_iter().map(|row| row.value) {
            let Some(revision) = find_revision(shared, tenant, &head.flow, head.revision).await? else { continue };
            for attachment in revision.value.slots.iter().flat_map(|slot| &slot.attachments) {
                let pin = (attachment.slug.clone(), attachment.version.clone());
                let version = match versions.entry(pin) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => {
                        new.insert(catalogue.get(tenant, &attachment.slug, &attachment.version).await?.value)
                    }
                };
                for name in needed_by(attachment, version) {
                    found.entry(name).or_default().insert(head.flow.clone());
                }
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// Warns of what an attachment needs and nobody has set yet: it works from the moment that it is set.
pub(crate) async fn unset(
    shared: &Shared,
    tenant: &Slug,
    attachment: &Attachment,
    version: &ActionVersion,
) -> Result<Vec<Warning>, Error> {
    let mut found = Vec::new();
    for name in needed_by(attachment, version) {
        if shared.store.get(&keys::secret(tenant, &name)).await?.is_some() {
            continue;
        }
        let pointers = version.grants.secrets_from_config.iter();
        let named = |pointer: &&String| {
            let only = sluice_model::Grants { secrets_from_config: vec![(*pointer).clone()], ..Default::default() };
            let only = ActionVersion { grants: only, ..version.clone() };
            needed_by(attachment, &only).contains(&name)
        };
        let pointer = pointers.clone().find(named).cloned();
        let message = format!(
            "the secret {name} is not set: runs that read it end as unavailable until `sluice secret set {name}`"
        );
        found.push(Warning { pointer, ..Warning::new("secret_not_set", message) });
    }
    Ok(found)
}
