use super::*;
use crate::{
    modules::{Modules, store::Store},
    telemetry::Metrics,
    testing::{Shelf, engine, slug},
};
use sluice_api::{distribution::v1 as wire, types::v1 as types};
use tempfile::TempDir;
use update::Assembly;
use wire::{resource::Resource, resource_name::Name as WireName};

fn planner() -> (Planner, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), engine().identity(), 1 << 30).unwrap();
    let modules = Modules::new(engine(), store, Shelf::new(), 1 << 30, 1, Metrics::for_tests());
    (Planner::new(modules), folder)
}

fn tenant(name: &str) -> Resource {
    let allowed_redirect_origins = vec!["https://app.example.com".into()];
    Resource::Tenant(wire::TenantState { tenant: name.into(), allowed_redirect_origins, ..Default::default() })
}

fn version(tenant: &str, version: &str) -> Resource {
    Resource::Version(wire::VersionState {
        tenant: tenant.into(),
        slug: "check".into(),
        version: version.into(),
        digest: "1".repeat(64),
        bundle_digest: "2".repeat(64),
        limits: Some(types::VersionLimits { cpu_ms: 50, wall_ms: 500 }),
        ..Default::default()
    })
}

fn flow(tenant: &str, revision: u64, pins: &str, newest: bool) -> Resource {
    let attachment = types::Attachment {
        attachment: "att-1".into(),
        slug: "check".into(),
        version: pins.into(),
        position: 1,
        enabled: true,
        on_error: types::OnFailure::Block as i32,
        on_unavailable: types::OnFailure::Block as i32,
        ..Default::default()
    };
    let slot = types::Slot { trigger: "post-login".into(), budget_ms: 2000, attachments: vec![attachment] };
    let flow = types::Flow {
        tenant: tenant.into(),
        flow: "login".into(),
        revision,
        slots: vec![slot],
        created_at: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    Resource::FlowRevision(wire::FlowRevision { flow: Some(flow), newest, expires_at: None })
}

fn part(cursor: u64, full: bool, upserts: Vec<Resource>) -> wire::State {
    let upserts = upserts.into_iter().map(|resource| wire::Resource { resource: Some(resource) }).collect();
    wire::State { cursor, full, last: true, upserts, connected_executors: 1, ..Default::default() }
}

fn apply(state: &State, planner: &Planner, part: wire::State) -> Result<State, Refused> {
    state.updated(Update::read(vec![part])?, planner)
}

fn first(planner: &Planner) -> State {
    let resources = vec![tenant("acme"), version("acme", "1.0.0"), flow("acme", 1, "1.0.0", true), tenant("other")];
    apply(&State::default(), planner, part(1, true, resources)).unwrap()
}

fn plan(state: &State, revision: u64) -> Option<Arc<Plan>> {
    match state.tenant(&slug("acme"))?.revision(&slug("login"), revision) {
        Found::Revision(revision) => Some(revision.plan),
        Found::NoFlow | Found::Expired | Found::Unknown => None,
    }
}

#[test]
fn the_newest_revision_is_what_runs_and_the_one_before_stays() {
    let (planner, _folder) = planner();
    let one = first(&planner);
    assert_eq!(plan(&one, 0).unwrap().revision, 1);
    let resources = vec![flow("acme", 2, "1.1.0", true), version("acme", "1.1.0"), flow("acme", 1, "1.0.0", false)];
    let two = apply(&one, &planner, part(2, false, resources)).unwrap();
    assert_eq!(plan(&two, 0).unwrap().revision, 2);
    assert!(Arc::ptr_eq(&plan(&one, 1).unwrap(), &plan(&two, 1).unwrap()), "a revision never changes");
    assert_eq!(plan(&one, 0).unwrap().revision, 1, "nor does a picture");
    assert!(
        Arc::ptr_eq(one.tenant(&slug("other")).unwrap(), two.tenant(&slug("other")).unwrap()),
        "the rest is shared"
    );
}

#[test]
fn a_deleted_flow_has_no_newest_and_its_revisions_stay() {
    let (planner, _folder) = planner();
    let state = apply(&first(&planner), &planner, part(2, false, vec![flow("acme", 1, "1.0.0", false)])).unwrap();
    assert!(plan(&state, 0).is_none());
    assert_eq!(plan(&state, 1).unwrap().revision, 1);
}

#[test]
fn what_is_removed_is_gone() {
    let (planner, _folder) = planner();
    let remove =
        |name| wire::State { removals: vec![wire::ResourceName { name: Some(name) }], ..part(2, false, Vec::new()) };
    let revision = wire::FlowRevisionName { tenant: "acme".into(), flow: "login".into(), revision: 1 };
    let state = apply(&first(&planner), &planner, remove(WireName::FlowRevision(revision))).unwrap();
    assert!(plan(&state, 1).is_none());
    let name = wire::TenantName { tenant: "acme".into() };
    let state = apply(&first(&planner), &planner, remove(WireName::Tenant(name))).unwrap();
    assert!(state.tenant(&slug("acme")).is_none());
    assert!(state.tenant(&slug("other")).is_some());
}

#[test]
fn a_full_state_replaces_everything() {
    let (planner, _folder) = planner();
    let state = apply(&first(&planner), &planner, part(9, true, vec![tenant("other")])).unwrap();
    assert_eq!((state.cursor, state.counts()), (9, (1, 0)));
}

#[test]
fn a_state_with_a_mistake_is_refused_by_the_name_of_the_resource() {
    let (planner, _folder) = planner();
    let unknown_fields = |change: fn(&mut wire::VersionState)| match version("acme", "1.0.0") {
        Resource::Version(mut version) => {
            change(&mut version);
            Resource::Version(version)
        }
        other => other,
    };
    for (resources, says) in [
        (vec![tenant("Acme!")], "tenant.tenant: "),
        (vec![version("nobody", "1.0.0")], "tenant nobody was never sent"),
        (vec![flow("nobody", 1, "1.0.0", true)], "tenant nobody was never sent"),
        (vec![flow("acme", 2, "9.9.9", true)], "attachment att-1 pins check@9.9.9, which was never sent"),
        (vec![unknown_fields(|v| v.bundle_digest = "../../etc/passwd".into())], "version.bundle_digest: expected 64"),
        (vec![unknown_fields(|v| v.limits = None)], "version.limits: is required"),
        (vec![unknown_fields(|v| v.outcomes = vec![77])], "version.outcomes[0]: 77 is not known"),
        (vec![Resource::FlowRevision(wire::FlowRevision::default())], "flow_revision.flow: is required"),
    ] {
        let state = first(&planner);
        let refused = apply(&state, &planner, part(2, false, resources)).unwrap_err();
        assert!(refused.reason.starts_with(says), "{}", refused.reason);
        assert!(refused.resource.is_some(), "{says}");
    }
    let nameless = wire::State { upserts: vec![wire::Resource { resource: None }], ..part(2, false, Vec::new()) };
    assert!(Update::read(vec![nameless]).unwrap_err().reason.contains("does not know"));
}

#[test]
fn a_breaker_outlives_a_revision_but_not_a_version() {
    let (planner, _folder) = planner();
    let one = first(&planner);
    let same = apply(&one, &planner, part(2, false, vec![flow("acme", 2, "1.0.0", true)])).unwrap();
    let other =
        apply(&same, &planner, part(3, false, vec![version("acme", "1.1.0"), flow("acme", 3, "1.1.0", true)])).unwrap();
    let breaker = |state: &State, revision| {
        let plan = plan(state, revision).unwrap();
        Arc::clone(&plan.slot(sluice_model::Trigger::PostLogin).unwrap().attachments[0].breaker)
    };
    assert!(Arc::ptr_eq(&breaker(&one, 1), &breaker(&same, 2)));
    assert!(!Arc::ptr_eq(&breaker(&same, 2), &breaker(&other, 3)));
}

#[test]
fn parts_must_follow_each_other() {
    let numbered = |cursor, part, last| wire::State { cursor, part, last, ..Default::default() };
    let mut assembly = Assembly::default();
    assert!(assembly.add(numbered(1, 0, false)).unwrap().is_none());
    assert_eq!(assembly.add(numbered(1, 1, true)).unwrap().unwrap().len(), 2);
    for wrong in [numbered(2, 2, true), numbered(3, 1, true), wire::State { full: true, ..numbered(2, 1, true) }] {
        assert!(assembly.add(numbered(2, 0, false)).unwrap().is_none());
        assert!(assembly.add(wrong).is_err());
    }
    assert!(assembly.add(numbered(0, 0, true)).is_err(), "cursors count from 1");
    assert!(assembly.add(numbered(4, 0, true)).unwrap().is_some(), "and it begins anew");
}

#[test]
fn what_is_revoked_is_known_of_revisions_that_were_planned_before() {
    let (planner, _folder) = planner();
    let one = first(&planner);
    let known = |state: &State| {
        let tenant = state.tenant(&slug("acme")).unwrap();
        (tenant.is_revoked(&slug("check"), &Version::new(1, 0, 0)), state.modules().count())
    };
    assert_eq!(known(&one), (false, 1));
    let revoked = |number: &str| match version("acme", number) {
        Resource::Version(version) => Resource::Version(wire::VersionState { revoked: true, ..version }),
        other => other,
    };
    let two = apply(&one, &planner, part(2, false, vec![revoked("1.0.0")])).unwrap();
    assert_eq!(known(&two), (true, 0), "and its module is not asked for any more");
    assert_eq!(known(&one), (false, 1), "a picture never changes");
    assert!(Arc::ptr_eq(&plan(&one, 1).unwrap(), &plan(&two, 1).unwrap()));
    // One that nothing pins is known as well: a revision that pins it may still be fetched.
    let three = apply(&two, &planner, part(3, false, vec![revoked("9.0.0")])).unwrap();
    assert!(three.tenant(&slug("acme")).unwrap().is_revoked(&slug("check"), &Version::new(9, 0, 0)));
}

#[test]
fn what_has_expired_is_dropped_with_the_versions_that_nothing_else_pins() {
    let (planner, _folder) = planner();
    let expiring = |revision, pins, at: i64| match flow("acme", revision, pins, false) {
        Resource::FlowRevision(flow) => {
            let expires_at = Some(prost_types::Timestamp { seconds: at, nanos: 0 });
            Resource::FlowRevision(wire::FlowRevision { expires_at, ..flow })
        }
        other => other,
    };
    let versions = ["1.1.0", "1.2.0"].map(|number| version("acme", number));
    let flows = [expiring(1, "1.0.0", 100), expiring(2, "1.1.0", 200), flow("acme", 3, "1.2.0", true)];
    let resources = versions.into_iter().chain(flows).collect();
    let state = apply(&first(&planner), &planner, part(2, false, resources)).unwrap();
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    assert!(state.without_expired(at(99)).is_none(), "there is nothing to drop");
    let later = state.without_expired(at(100)).unwrap();
    assert_eq!((later.cursor, later.counts(), later.modules().count()), (2, (2, 2), 2));
    assert!(plan(&later, 1).is_none() && plan(&later, 2).is_some() && plan(&later, 3).is_some());
    let found = |revision| later.tenant(&slug("acme")).unwrap().revision(&slug("login"), revision);
    assert!(matches!(found(1), Found::Expired), "and that it was there is not forgotten");
    assert!(matches!(found(4), Found::Unknown));
    assert!(Arc::ptr_eq(state.tenant(&slug("other")).unwrap(), later.tenant(&slug("other")).unwrap()));
    let last = later.without_expired(at(i64::from(i32::MAX))).unwrap();
    assert_eq!((last.counts(), plan(&last, 0).unwrap().revision), ((2, 1), 3), "the newest never expires");
}
