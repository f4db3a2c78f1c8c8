//! A state and the changes that followed it, folded into one whole state, as the control plane would send it now.
//!
//! Revisions that cannot be executed any more, and the versions that only they pinned, are left out: the control plane
//! takes them for dropped, and sends a version again with the next revision that pins it.

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use sluice_api::distribution::v1::{Resource as Upsert, ResourceName, State, resource::Resource, resource_name::Name};
use std::collections::{HashMap, HashSet};

/// The most that is put into one part, in bytes, unless one resource alone is larger.
const PART_BYTES: usize = 1 << 20;
/// What stands before a resource in a part: its field's number and its length.
const FIELD_BYTES: usize = 6;
/// How long after its time a revision is left out: clocks differ.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// What a resource is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Tenant(String),
    Version(String, String, String),
    Revision(String, String, u64),
    Secret(String, String),
}

impl Key {
    fn of(resource: &Resource) -> Key {
        match resource {
            Resource::Tenant(tenant) => Key::Tenant(tenant.tenant.clone()),
            Resource::Version(v) => Key::Version(v.tenant.clone(), v.slug.clone(), v.version.clone()),
            Resource::Secret(secret) => Key::Secret(secret.tenant.clone(), secret.name.clone()),
            Resource::FlowRevision(revision) => {
                let flow = revision.flow.as_ref();
                let text = |text: Option<&String>| text.cloned().unwrap_or_default();
                Key::Revision(
                    text(flow.map(|f| &f.tenant)),
                    text(flow.map(|f| &f.flow)),
                    flow.map_or(0, |f| f.revision),
                )
            }
        }
    }

    fn tenant(&self) -> &str {
        match self {
            Key::Tenant(tenant) | Key::Version(tenant, ..) | Key::Revision(tenant, ..) | Key::Secret(tenant, ..) => {
                tenant
            }
        }
    }
}

/// A state without what is of tenants that are not served. What is gone stays told.
pub(crate) fn of_served(mut parts: Vec<State>, is_served: impl Fn(&str) -> bool) -> Vec<State> {
    for part in &mut parts {
        part.upserts.retain(|upsert| upsert.resource.as_ref().is_some_and(|r| is_served(Key::of(r).tenant())));
    }
    parts
}

/// Folds states, the first of them full. The answer is one full state, in parts.
pub(crate) fn fold(updates: Vec<Vec<State>>, now: Timestamp) -> Vec<State> {
    let mut known: HashMap<Key, (usize, Resource)> = HashMap::new();
    let (mut cursor, mut connected_executors, mut order) = (0, 0, 0);
    for update in updates {
        if update.first().is_some_and(|part| part.full) {
            known.clear();
        }
        // As the executor applies them: what is gone first, then what is new.
        for name in update.iter().flat_map(|part| &part.removals) {
            remove(&mut known, name);
        }
        for part in update {
            (cursor, connected_executors) = (part.cursor, part.connected_executors);
            for resource in part.upserts.into_iter().filter_map(|upsert| upsert.resource) {
                order += 1;
                known.insert(Key::of(&resource), (order, resource));
            }
        }
    }
    let (mut tenants, mut secrets, mut versions, mut revisions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut pinned = HashSet::new();
    for (key, (order, resource)) in known {
        match &resource {
            // Secrets need their tenant alone.
            Resource::Secret(_) => secrets.push((order, resource)),
            Resource::Tenant(_) => tenants.push((order, resource)),
            Resource::Version(_) => versions.push((key, (order, resource))),
            Resource::FlowRevision(revision) => {
                let is_over = |at: &prost_types::Timestamp| {
                    Timestamp::new(at.seconds, at.nanos).is_ok_and(|at| now.duration_since(at) > GRACE)
                };
                if revision.expires_at.as_ref().is_some_and(is_over) {
                    continue;
                }
                let slots = revision.flow.iter().flat_map(|flow| &flow.slots);
                for attachment in slots.flat_map(|slot| &slot.attachments) {
                    let tenant = key.tenant().to_owned();
                    pinned.insert(Key::Version(tenant, attachment.slug.clone(), attachment.version.clone()));
                }
                revisions.push((order, resource));
            }
        }
    }
    let versions = versions.into_iter().filter(|(key, _)| pinned.contains(key)).map(|(_, version)| version);
    let mut all: [Vec<(usize, Resource)>; 4] = [tenants, secrets, versions.collect(), revisions];
    // What came last must come last: of two revisions that were the newest, the later one is.
    all.iter_mut().for_each(|kind| kind.sort_unstable_by_key(|(order, _)| *order));
    parts(all.into_iter().flatten().map(|(_, resource)| resource), cursor, connected_executors)
}

fn remove(known: &mut HashMap<Key, (usize, Resource)>, name: &ResourceName) {
    match &name.name {
        Some(Name::Tenant(gone)) => known.retain(|key, _| key.tenant() != gone.tenant),
        Some(Name::Version(gone)) => {
            known.remove(&Key::Version(gone.tenant.clone(), gone.slug.clone(), gone.version.clone()));
        }
        Some(Name::Secret(gone)) => {
            known.remove(&Key::Secret(gone.tenant.clone(), gone.name.clone()));
        }
        Some(Name::FlowRevision(gone)) => {
            known.remove(&Key::Revision(gone.tenant.clone(), gone.flow.clone(), gone.revision));
        }
        None => {}
    }
}

/// One full state of these resources, in parts of the size that the control plane makes.
fn parts(resources: impl Iterator<Item = Resource>, cursor: u64, connected_executors: u32) -> Vec<State> {
    let empty = |part| State { cursor, full: true, part, connected_executors, ..State::default() };
    let (mut parts, mut part, mut bytes) = (Vec::new(), empty(0), 0);
    for resource in resources {
        let upsert = Upsert { resource: Some(resource) };
        let size = upsert.encoded_len() + FIELD_BYTES;
        if bytes + size > PART_BYTES && bytes > 0 {
            let next = empty(part.part + 1);
            parts.push(std::mem::replace(&mut part, next));
            bytes = 0;
        }
        bytes += size;
        part.upserts.push(upsert);
    }
    part.last = true;
    parts.push(part);
    parts
}
