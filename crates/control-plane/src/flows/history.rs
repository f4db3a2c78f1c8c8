//! The history of a flow: how its revisions came to be, which can still be executed, and what changed between two.

use super::rollback::Versions;
use super::{Flows, Save, config, find_revision, replaced_at, revision_not_found};
use crate::keys;
use crate::rows::{self, Page};
use crate::store::{Key, Scan};
use jiff::Timestamp;
use sluice_model::flow::{FlowChange, FlowChangeKind, Placed, diff};
use sluice_model::{Attachment, Error, Slug, Trigger};

/// A revision in a flow's history.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// How it came to be.
    pub(crate) save: Save,
    /// When the next one took its place, or the flow was deleted.
    pub(crate) replaced_at: Option<Timestamp>,
    /// Until when it can be executed.
    pub(crate) executable_until: Option<Timestamp>,
    /// Whether it can be now.
    pub(crate) executable: bool,
}

/// What changes from one revision to another.
#[derive(Clone, Debug)]
pub(crate) struct Diff {
    /// The revision to begin with.
    pub(crate) from: u64,
    /// The revision to end with.
    pub(crate) to: u64,
    /// The changes.
    pub(crate) changes: Vec<ShownChange>,
}

/// One change as it may be shown: without secrets.
#[derive(Clone, Debug)]
pub(crate) struct ShownChange {
    /// What it is.
    pub(crate) kind: FlowChangeKind,
    /// The slot.
    pub(crate) trigger: Trigger,
    /// The attachment before, with its place.
    pub(crate) from: Option<(Attachment, u32)>,
    /// The attachment after, with its place.
    pub(crate) to: Option<(Attachment, u32)>,
    /// What differs.
    pub(crate) fields: Vec<String>,
    /// The slot's time before and after.
    pub(crate) budget_ms: Option<(u32, u32)>,
}

impl Flows {
    /// The revisions of a flow, the newest first, those of former flows of its slug included.
    pub(crate) async fn history(
        &self,
        tenant: &Slug,
        flow: &Slug,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page<Past>, Error> {
        self.tenants.get(tenant).await?;
        self.head(tenant, flow).await?;
        let scan = Scan::of(keys::saves(tenant, flow)).descending().after(after).limit(limit);
        let page = rows::scan::<Save>(&*self.shared.store, scan).await?;
        let now = self.shared.clock.now();
        let mut entries = Vec::with_capacity(page.entries.len());
        for save in page.entries {
            let save = save.value;
            let replaced_at = replaced_at(&self.shared, tenant, flow, save.revision).await?;
            let executable = replaced_at.is_none_or(|replaced| now.duration_since(replaced) < self.revision_ttl);
            let executable_until = replaced_at.map(|replaced| replaced + self.revision_ttl);
            entries.push(Past { save, replaced_at, executable_until, executable });
        }
        Ok(Page { entries, next: page.next })
    }

    /// What changes from a revision (0: the one before `to`) to another (0: the newest).
    pub(crate) async fn diff(&self, tenant: &Slug, flow: &Slug, from: u64, to: u64) -> Result<Diff, Error> {
        let to = self.revision(tenant, flow, to).await?.value;
        let from = match from {
            0 if to.revision == 1 => {
                return Err(Error::field("from", "is required: revision 1 has none before it"));
            }
            0 => to.revision - 1,
            from => from,
        };
        let found = find_revision(&self.shared, tenant, flow, from).await?;
        let from = found.ok_or_else(|| revision_not_found(flow, from, to.revision))?.value;
        let versions = Versions::of(&self.catalogue, &[&from, &to]).await?;
        let mut changes = Vec::new();
        for change in diff(&from, &to) {
            changes.push(shown(&change, &versions)?);
        }
        Ok(Diff { from: from.revision, to: to.revision, changes })
    }
}

fn shown(change: &FlowChange<'_>, versions: &Versions) -> Result<ShownChange, Error> {
    let one = |placed: &Placed<'_>| -> Result<Option<(Attachment, u32)>, Error> {
        let version = &versions.of_attachment(placed.attachment)?.value;
        let config = config::shown(version.schema.as_ref(), &placed.attachment.config)?;
        let position = u32::try_from(placed.position).unwrap_or(u32::MAX);
        Ok(Some((Attachment { config, ..placed.attachment.clone() }, position)))
    };
    let bare = |trigger: &Trigger| ShownChange {
        kind: change.kind(),
        trigger: *trigger,
        from: None,
        to: None,
        fields: Vec::new(),
        budget_ms: None,
    };
    Ok(match change {
        FlowChange::Attached { trigger, to } => ShownChange { to: one(to)?, ..bare(trigger) },
        FlowChange::Detached { trigger, from } => ShownChange { from: one(from)?, ..bare(trigger) },
        FlowChange::Updated { trigger, from, to, fields } => {
            ShownChange { from: one(from)?, to: one(to)?, fields: fields.clone(), ..bare(trigger) }
        }
        FlowChange::SlotUpdated { trigger, from, to } => ShownChange { budget_ms: Some((*from, *to)), ..bare(trigger) },
    })
}
