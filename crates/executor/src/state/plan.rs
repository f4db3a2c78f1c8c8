//! Plans: a flow revision with everything looked up that its runs need.

use super::update::{Cause, Name, Refused, VersionUpsert};
use crate::{
    modules::{Module, Modules},
    reach::Granted,
    run::breaker::Breaker,
};
use parking_lot::Mutex;
use semver::Version;
use sluice_model::{
    AttachmentId, FlowRevision, Grants, Limits, Object, OnFailure, OutcomeKind, Slug, Trigger,
    limits::MAX_ATTACHMENTS_A_SLOT, schema,
};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// A version, as attachments need it.
#[derive(Debug)]
pub(crate) struct VersionInfo {
    limits: Limits,
    pub(crate) declared: Arc<Declared>,
    /// The digest of its content.
    pub(crate) digest: String,
    /// Never to be run again.
    pub(crate) is_revoked: bool,
    /// The platform's own, which break-glass does not turn off.
    is_template: bool,
    /// Its module, shared by all versions of the same bundle.
    pub(crate) module: Arc<Module>,
}

/// What a version declares. Tenants that have the same version share it: ten thousand of them attach one template.
#[derive(Debug)]
pub(crate) struct Declared {
    grants: Arc<Grants>,
    outcomes: Option<Arc<[OutcomeKind]>>,
    schema: Option<Object>,
}

impl Declared {
    fn new(version: &VersionUpsert) -> Declared {
        Declared {
            grants: Arc::new(version.grants.clone()),
            outcomes: version.outcomes.as_deref().map(Arc::from),
            schema: version.schema.clone(),
        }
    }

    /// A digest is what the control plane says; what is shared is compared.
    fn is_of(&self, version: &VersionUpsert) -> bool {
        *self.grants == version.grants
            && self.outcomes.as_deref() == version.outcomes.as_deref()
            && self.schema == version.schema
    }
}

/// A flow revision, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) flow: Slug,
    pub(crate) revision: u64,
    slots: Vec<SlotPlan>,
}

/// A slot.
#[derive(Debug)]
pub(crate) struct SlotPlan {
    trigger: Trigger,
    /// What its runs may take together, by the clock.
    pub(crate) budget: Duration,
    /// In order of position.
    pub(crate) attachments: Vec<AttachmentPlan>,
}

/// An attachment.
#[derive(Debug)]
pub(crate) struct AttachmentPlan {
    pub(crate) id: AttachmentId,
    pub(crate) slug: Slug,
    /// The exact version, as text.
    pub(crate) version: String,
    pub(crate) exact: Version,
    /// Whether it was revoked when this was planned; the state says whether it was since.
    pub(crate) is_revoked: bool,
    /// Whether it is the platform's own, which break-glass does not turn off.
    pub(crate) is_template: bool,
    /// From 1.
    pub(crate) position: u64,
    pub(crate) enabled: bool,
    /// What it may reach; none where its version declares nothing.
    pub(crate) granted: Option<Arc<Granted>>,
    /// With its defaults filled in.
    pub(crate) config: Object,
    pub(crate) on_error: OnFailure,
    pub(crate) on_unavailable: OnFailure,
    /// The version's, with the attachment's own wall limit where that is smaller.
    pub(crate) limits: Limits,
    /// None: any that the trigger allows.
    pub(crate) outcomes: Option<Arc<[OutcomeKind]>>,
    pub(crate) module: Arc<Module>,
    pub(crate) breaker: Arc<Breaker>,
}

impl AttachmentPlan {
    /// The names of the secrets that it may read: those that the version declares, and those that its config names.
    pub(crate) fn secrets(&self) -> &[String] {
        self.granted.as_ref().map_or(&[], |granted| &granted.secrets)
    }
}

impl Plan {
    /// What runs at a trigger; none where the flow has nothing there.
    pub(crate) fn slot(&self, trigger: Trigger) -> Option<&SlotPlan> {
        self.slots.iter().find(|slot| slot.trigger == trigger)
    }

    /// Every module that it needs.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Arc<Module>> {
        self.attachments().filter(|attachment| !attachment.is_revoked).map(|attachment| &attachment.module)
    }

    /// What it attaches, slot by slot.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = &AttachmentPlan> {
        self.slots.iter().flat_map(|slot| &slot.attachments)
    }
}

type BreakerKey = (Slug, AttachmentId, Version);

/// Makes plans. It keeps the circuit breakers, so that a new revision does not forget which attachment fails, and knows what versions
/// declare, so that it is in memory once.
#[derive(Debug)]
pub(crate) struct Planner {
    modules: Modules,
    breakers: Mutex<HashMap<BreakerKey, Weak<Breaker>>>,
    /// By the digest of the version's content.
    declared: Mutex<HashMap<String, Weak<Declared>>>,
}

impl Planner {
    pub(crate) fn new(modules: Modules) -> Planner {
        Planner { modules, breakers: Mutex::default(), declared: Mutex::default() }
    }

    /// What attachments need to know of a version.
    pub(crate) fn version(&self, version: &VersionUpsert) -> VersionInfo {
        VersionInfo {
            limits: version.limits,
            declared: self.declared(version),
            digest: version.digest.clone(),
            is_revoked: version.revoked,
            is_template: version.template,
            module: self.modules.module(&version.bundle_digest),
        }
    }

    fn declared(&self, version: &VersionUpsert) -> Arc<Declared> {
        let mut known = self.declared.lock();
        let shared = known.get(&version.digest).and_then(Weak::upgrade);
        if let Some(shared) = shared.filter(|shared| shared.is_of(version)) {
            return shared;
        }
        let declared = Arc::new(Declared::new(version));
        known.insert(version.digest.clone(), Arc::downgrade(&declared));
        declared
    }

    /// Looks everything up that a revision names.
    ///
    /// # Errors
    /// A version that it pins was never sent, or a slot has more than it may.
    pub(crate) fn plan(
        &self,
        revision: FlowRevision,
        find: impl Fn(&Slug, &Version) -> Option<Arc<VersionInfo>>,
    ) -> Result<Plan, Refused> {
        let refused = |cause, reason: String| Refused::of(cause, Name::flow(&revision), reason);
        let mut slots = Vec::with_capacity(revision.slots.len());
        for slot in &revision.slots {
            if slot.attachments.len() > MAX_ATTACHMENTS_A_SLOT {
                let count = slot.attachments.len();
                return Err(refused(
                    Cause::Unreadable,
                    format!("slot {} has {count} attachments; at most {MAX_ATTACHMENTS_A_SLOT}", slot.trigger),
                ));
            }
            let mut attachments = Vec::with_capacity(slot.attachments.len());
            for (attachment, position) in slot.attachments.iter().zip(1u64..) {
                let Some(version) = find(&attachment.slug, &attachment.version) else {
                    let (slug, version) = (&attachment.slug, &attachment.version);
                    return Err(refused(
                        Cause::Unresolved,
                        format!("attachment {} pins {slug}@{version}, which was never sent", attachment.id),
                    ));
                };
                let wall_ms = attachment.wall_ms.map_or(version.limits.wall_ms, |own| own.min(version.limits.wall_ms));
                let Declared { grants, outcomes, schema } = &*version.declared;
                let config = match schema {
                    Some(schema) => schema::fill_defaults(schema, attachment.config.clone()),
                    None => attachment.config.clone(),
                };
                attachments.push(AttachmentPlan {
                    id: attachment.id.clone(),
                    slug: attachment.slug.clone(),
                    version: attachment.version.to_string(),
                    exact: attachment.version.clone(),
                    is_revoked: version.is_revoked,
                    is_template: version.is_template,
                    position,
                    enabled: attachment.enabled,
                    granted: Granted::of(&revision, attachment, grants, &config),
                    config,
                    on_error: attachment.on_error,
                    on_unavailable: attachment.on_unavailable,
                    limits: Limits { wall_ms, ..version.limits },
                    outcomes: outcomes.clone(),
                    module: Arc::clone(&version.module),
                    breaker: self.breaker((revision.tenant.clone(), attachment.id.clone(), attachment.version.clone())),
                });
            }
            slots.push(SlotPlan {
                trigger: slot.trigger,
                budget: Duration::from_millis(slot.budget_ms.into()),
                attachments,
            });
        }
        Ok(Plan { flow: revision.flow, revision: revision.revision, slots })
    }

    fn breaker(&self, key: BreakerKey) -> Arc<Breaker> {
        let mut breakers = self.breakers.lock();
        if let Some(breaker) = breakers.get(&key).and_then(Weak::upgrade) {
            return breaker;
        }
        let breaker = Arc::new(Breaker::new(Instant::now()));
        breakers.insert(key, Arc::downgrade(&breaker));
        breaker
    }

    /// Begins to load what a plan needs that nobody prepared, all of it at once. Runs wait for it within their limits.
    pub(crate) fn begin_to_load(&self, tenant: &Slug, plan: &Plan) {
        for module in plan.modules().filter(|module| module.is_new()) {
            let (modules, tenant, module) = (self.modules.clone(), tenant.clone(), Arc::clone(module));
            // What becomes of it is told by whoever runs it, and in the log.
            tokio::spawn(async move { modules.load(&tenant, &module).await.map(drop) });
        }
    }

    /// A state is about to serve: the modules of its newest revisions are the last to be put out of memory.
    pub(crate) fn need(&self, state: &super::State) {
        self.modules.need(state.newest_modules().map(|(_, module)| module));
    }

    /// A state serves before its modules are made.
    pub(crate) fn comes_when_asked(&self, state: &super::State) {
        state.modules().for_each(|(_, module)| self.modules.comes_when_asked(module));
    }

    /// Forgets the breakers of attachments that no revision has any more, and what no version declares.
    pub(crate) fn sweep(&self) {
        self.declared.lock().retain(|_, declared| declared.strong_count() > 0);
        self.breakers.lock().retain(|_, breaker| breaker.strong_count() > 0);
    }
}
