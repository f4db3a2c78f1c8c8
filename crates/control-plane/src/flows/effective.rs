//! The effective flow: what its slots come to together, and what of it is likely not what was meant. The rules are the model's;
//! here they get the versions that a revision pins.

use super::rollback::Versions;
use super::{Flows, Warning};
use sluice_model::flow::{SlotWarning, warnings, worst_case_ms};
use sluice_model::version::ActionVersion;
use sluice_model::{Attachment, Error, FlowRevision, Trigger};

impl From<SlotWarning> for Warning {
    fn from(found: SlotWarning) -> Warning {
        Warning { pointer: found.pointer, ..Warning::new(found.code, found.message) }
    }
}

/// A revision with the versions that it pins.
pub(super) struct Effective<'a> {
    revision: &'a FlowRevision,
    versions: &'a Versions,
}

impl<'a> Effective<'a> {
    /// The versions are at least those of the revision.
    pub(super) fn new(revision: &'a FlowRevision, versions: &'a Versions) -> Effective<'a> {
        Effective { revision, versions }
    }

    fn version_of(&self, attachment: &Attachment) -> Option<&'a ActionVersion> {
        self.versions.of_attachment(attachment).ok().map(|found| &found.value)
    }

    /// What is likely not what was meant with it.
    pub(super) fn warnings(&self) -> Vec<SlotWarning> {
        warnings(&self.revision.flow, &self.revision.slots, |attachment| self.version_of(attachment))
    }

    /// The longest that each slot can take, in milliseconds.
    pub(super) fn worst_cases(&self) -> Vec<(Trigger, u32)> {
        let wall_ms = |attachment: &Attachment| self.version_of(attachment).map_or(0, |version| version.limits.wall_ms);
        self.revision.slots.iter().map(|slot| (slot.trigger, worst_case_ms(slot, wall_ms))).collect()
    }
}

/// What a save has to say of the whole flow: what was not to be said of the revision before, and what is to be said of a slot that
/// it changes.
pub(super) async fn of_save(flows: &Flows, before: &FlowRevision, after: &FlowRevision) -> Result<Vec<Warning>, Error> {
    let versions = Versions::of(&flows.catalogue, &[before, after]).await?;
    let former = Effective::new(before, &versions).warnings();
    let changed = |trigger: &Trigger| before.slot(*trigger) != after.slot(*trigger);
    let mut found = Effective::new(after, &versions).warnings();
    found.retain(|warning| warning.triggers.iter().any(changed) || !former.contains(warning));
    Ok(found.into_iter().map(Warning::from).collect())
}
