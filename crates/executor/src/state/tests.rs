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
    let store = Store::open(folder.path(), engine().identity(), 1 << 30, Metrics::for_tests()).unwrap();
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

/// Applies a state; one that is a change changes this one.
fn apply(state: &State, planner: &Planner, part: wire::State) -> Result<State, Refused> {
    let base_cursor = if part.full { 0 } else { state.cursor };
    state.updated(Update::read(vec![wire::State { base_cursor, ..part }])?, planner)
}

fn first(planner: &Planner) -> State {
    let resources = vec![tenant("acme"), version("acme", "1.0.0"), flow("acme", 1, "1.0.0", true), tenant("other")];
    apply(&State::default(), planner, part(1, true, resources)).unwrap()
}

fn plan(state: &State, revision: u64) -> Option<Arc<Plan>> {
    match state.tenant(&slug("acme"))?.revision(&slug("login"), revision) {
        Found::Revision(revision) => Some(revision.plan),
        Found::Expired | Found::NoFlow | Found::Unknown => None,
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
    // Read, and then used, the version is what it was.
    let other = |change: fn(&mut wire::VersionState)| vec![unknown_fields(change)];
    for (resources, cause) in [
        (vec![tenant("Acme!")], Cause::Unreadable),
        (vec![flow("nobody", 1, "1.0.0", true)], Cause::Unresolved),
        (vec![flow("acme", 2, "9.9.9", true)], Cause::Unresolved),
        (other(|v| v.digest = "3".repeat(64)), Cause::Conflict),
        (other(|v| v.bundle_digest = "3".repeat(64)), Cause::Conflict),
    ] {
        let state = first(&planner);
        assert_eq!(apply(&state, &planner, part(2, false, resources)).unwrap_err().cause, cause);
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
fn a_change_is_of_the_state_that_serves_and_nothing_is_older() {
    let (planner, _folder) = planner();
    let store = |commit| Cursor::new(7, commit).number();
    let resources = || vec![tenant("acme"), version("acme", "1.0.0"), flow("acme", 3, "1.0.0", true)];
    let state = apply(&State::default(), &planner, part(store(10), true, resources())).unwrap();
    let try_on = |part| state.updated(Update::read(vec![part]).unwrap(), &planner).map(|state| state.cursor);
    let change = |cursor, base_cursor| wire::State { base_cursor, ..part(cursor, false, Vec::new()) };
    assert_eq!(try_on(change(store(11), store(10))).unwrap(), store(11));
    assert_eq!(try_on(change(store(10), store(10))).unwrap(), store(10), "a tenant that was asked for is no commit");
    for (part, cause) in [
        (change(store(12), store(11)), Cause::Gap),
        (change(store(12), store(9)), Cause::Gap),
        (change(store(12), 0), Cause::Gap),
        (change(Cursor::new(8, 12).number(), store(10)), Cause::Gap),
        (change(store(9), store(10)), Cause::Outdated),
        (part(store(9), true, resources()), Cause::Outdated),
    ] {
        let refused = try_on(part).unwrap_err();
        assert_eq!((refused.cause, refused.wants_full()), (cause, cause == Cause::Gap), "{refused}");
    }
    // Another store is another story: its numbers say nothing about this one's.
    let older = vec![tenant("acme"), version("acme", "1.0.0"), flow("acme", 1, "1.0.0", true)];
    assert_eq!(try_on(part(Cursor::new(8, 1).number(), true, older)).unwrap(), Cursor::new(8, 1).number());
    // A change before anything was ever said is none.
    let none = State::default();
    let refused = none.updated(Update::read(vec![change(store(1), 0)]).unwrap(), &planner).unwrap_err();
    assert_eq!(refused.cause, Cause::Gap);
    assert_eq!(state.moved(store(20)).cursor, store(20));
}

#[test]
fn revisions_of_a_flow_only_rise_and_never_change() {
    let (planner, _folder) = planner();
    let with_etag = |revision, newest, etag: &str| match flow("acme", revision, "1.0.0", newest) {
        Resource::FlowRevision(mut revision) => {
            revision.flow.as_mut().unwrap().etag = etag.into();
            Resource::FlowRevision(revision)
        }
        other => other,
    };
    let all = vec![tenant("acme"), version("acme", "1.0.0"), with_etag(4, false, "4-a"), with_etag(5, true, "5-a")];
    let state = apply(&State::default(), &planner, part(10, true, all)).unwrap();
    for full in [false, true] {
        let refuse = |revision| {
            let resources = vec![tenant("acme"), version("acme", "1.0.0"), revision];
            apply(&state, &planner, part(11, full, resources)).unwrap_err()
        };
        let older = refuse(with_etag(4, true, "4-a"));
        assert_eq!(older.cause, Cause::Outdated, "{older}");
        assert!(
            older.reason.contains("revision 4 is told as the newest of flow login, which has revision 5"),
            "{older}"
        );
        let other = refuse(with_etag(5, true, "5-b"));
        assert_eq!((other.cause, other.resource.is_some()), (Cause::Conflict, true), "{other}");
    }
    let next = vec![with_etag(5, false, "5-a"), with_etag(6, true, "6-a")];
    assert_eq!(plan(&apply(&state, &planner, part(11, false, next)).unwrap(), 0).unwrap().revision, 6);
}

#[test]
fn what_has_expired_goes_with_what_only_it_pinned_and_is_known_to_have_been() {
    let (planner, _folder) = planner();
    let until = |resource, seconds| match resource {
        Resource::FlowRevision(mut revision) => {
            revision.expires_at = Some(prost_types::Timestamp { seconds, nanos: 0 });
            Resource::FlowRevision(revision)
        }
        other => other,
    };
    let resources = vec![
        tenant("acme"),
        version("acme", "1.0.0"),
        version("acme", "1.1.0"),
        until(flow("acme", 1, "1.0.0", false), 1_000),
        until(flow("acme", 2, "1.1.0", false), 2_000),
        flow("acme", 3, "1.1.0", true),
    ];
    let state = apply(&State::default(), &planner, part(1, true, resources)).unwrap();
    let at = |second| Timestamp::from_second(second).unwrap();
    assert!(state.without_expired(at(999)).is_none());
    let left = state.without_expired(at(1_000)).unwrap();
    let revision = |state: &State, number| state.tenant(&slug("acme")).unwrap().revision(&slug("login"), number);
    assert!(matches!(revision(&left, 1), Found::Expired));
    assert!(matches!(revision(&left, 2), Found::Revision(_)));
    assert!(matches!(revision(&left, 4), Found::Unknown));
    let versions: Vec<String> = left.versions().map(|(_, _, version, _)| version.to_string()).collect();
    assert_eq!(versions, ["1.1.0"]);
    assert_eq!(left.without_expired(at(5_000)).unwrap().counts(), (1, 1));
}

#[test]
fn an_executor_on_demand_leaves_out_what_it_does_not_serve() {
    let (planner, _folder) = planner();
    let state = first(&planner);
    let keep = |part: wire::State| {
        let mut update = Update::read(vec![wire::State { base_cursor: state.cursor, ..part }]).unwrap();
        update.keep_served(|tenant| *tenant == slug("acme"));
        state.updated(update, &planner).unwrap()
    };
    let late = vec![flow("gone", 8, "1.0.0", true), version("acme", "1.1.0"), flow("acme", 2, "1.1.0", true)];
    let kept = keep(part(2, false, late));
    assert!(kept.tenant(&slug("gone")).is_none());
    assert_eq!(plan(&kept, 0).unwrap().revision, 2, "and what it serves it takes");
    let name = |tenant: &str| WireName::Tenant(wire::TenantName { tenant: tenant.into() });
    let removals = vec![wire::ResourceName { name: Some(name("new")) }];
    let whole = wire::State { removals, ..part(2, false, vec![tenant("new"), tenant("gone")]) };
    let kept = keep(whole);
    assert!(kept.tenant(&slug("new")).is_some() && kept.tenant(&slug("gone")).is_none());
    let kept = keep(part(3, true, vec![tenant("new"), flow("gone", 8, "1.0.0", true)]));
    assert_eq!(kept.counts(), (1, 0), "of everything, too, only what is whole");
}

#[test]
fn a_state_that_is_refused_in_its_middle_is_refused_once() {
    let numbered = |cursor, part, last| wire::State { cursor, part, last, ..Default::default() };
    let mut assembly = Assembly::default();
    assert!(assembly.add(numbered(1, 0, false)).unwrap().is_none());
    assert_eq!(assembly.add(numbered(1, 2, false)).unwrap_err().cause, Cause::Incomplete);
    assert!(assembly.add(numbered(1, 3, false)).unwrap().is_none());
    assert!(assembly.add(numbered(1, 4, true)).unwrap().is_none());
    assert!(assembly.add(numbered(1, 0, true)).unwrap().is_some(), "told again it is taken");
    let other_base = wire::State { base_cursor: 5, ..numbered(2, 1, true) };
    assert!(assembly.add(numbered(2, 0, false)).unwrap().is_none());
    assert!(assembly.add(other_base).is_err());
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
    assert!(Arc::ptr_eq(state.tenant(&slug("other")).unwrap(), later.tenant(&slug("other")).unwrap()));
    let found = |revision| later.tenant(&slug("acme")).unwrap().revision(&slug("login"), revision);
    assert!(matches!(found(1), Found::Expired), "and that it was there is not forgotten");
    assert!(matches!(found(4), Found::Unknown));
    let last = later.without_expired(at(i64::from(i32::MAX))).unwrap();
    assert_eq!((last.counts(), plan(&last, 0).unwrap().revision), ((2, 1), 3), "the newest never expires");
}

fn secret(name: &str, version: u64, value: &str) -> Resource {
    let value = value.as_bytes().to_vec().into();
    Resource::Secret(wire::SecretState { tenant: "acme".into(), name: name.into(), version, value })
}

fn value(state: &State, name: &str) -> Option<String> {
    Some(state.tenant(&slug("acme"))?.secret(name)?.expose().to_owned())
}

#[test]
fn a_secret_that_is_set_anew_is_read_by_the_next_run_of_any_revision() {
    let (planner, _folder) = planner();
    let Resource::Version(reads) = version("acme", "1.0.0") else { panic!() };
    let grants = types::VersionGrants {
        secrets: vec!["API_KEY".into()],
        secrets_from_config: vec!["/ref".into()],
        ..Default::default()
    };
    let reads = Resource::Version(wire::VersionState { grants: Some(grants), ..reads });
    let first = vec![tenant("acme"), secret("API_KEY", 1, "one"), reads, flow("acme", 1, "1.0.0", true)];
    let first = apply(&State::default(), &planner, part(1, true, first)).unwrap();
    assert_eq!(value(&first, "API_KEY").as_deref(), Some("one"));
    let known = first.tenant(&slug("acme")).unwrap();
    let Found::Revision(revision) = known.revision(&slug("login"), 0) else { panic!() };
    let attachment = revision.plan.attachments().next().unwrap();
    assert_eq!(attachment.secrets(), ["API_KEY"]);

    let rotated = apply(&first, &planner, part(2, false, vec![secret("API_KEY", 2, "two")])).unwrap();
    assert_eq!((value(&first, "API_KEY"), value(&rotated, "API_KEY")), (Some("one".into()), Some("two".into())));
    let name = WireName::Secret(wire::SecretName { tenant: "acme".into(), name: "API_KEY".into() });
    let removals = vec![wire::ResourceName { name: Some(name) }];
    let gone = apply(&rotated, &planner, wire::State { removals, ..part(3, false, Vec::new()) }).unwrap();
    assert_eq!(value(&gone, "API_KEY"), None);

    for (wrong, says) in
        [(secret("not a name!", 1, "s3cr3t"), "secret.name: "), (secret("API_KEY", 1, ""), "secret.value: is no text")]
    {
        let refused = apply(&first, &planner, part(2, false, vec![wrong])).unwrap_err();
        assert!(refused.reason.starts_with(says) && !refused.reason.contains("s3cr3t"), "{}", refused.reason);
    }
}

/// A tenant that attaches a template of this schema.
fn attaches(name: &str, schema: &serde_json::Map<String, serde_json::Value>) -> [Resource; 3] {
    let Resource::Version(version) = version(name, "1.0.0") else { unreachable!() };
    let config_schema = Some(sluice_api::convert::json::to_struct(schema.clone()));
    [
        tenant(name),
        Resource::Version(wire::VersionState { config_schema, template: true, ..version }),
        flow(name, 1, "1.0.0", true),
    ]
}

fn schema(title: &str) -> serde_json::Map<String, serde_json::Value> {
    let schema = serde_json::json!({"type": "object", "title": title, "properties": {"limit": {"type": "integer", "default": 5}}});
    schema.as_object().unwrap().clone()
}

#[test]
fn tenants_share_what_one_version_declares_and_nothing_else() {
    let (planner, _folder) = planner();
    let resources = [attaches("one", &schema("t")), attaches("two", &schema("t")), attaches("odd", &schema("another"))];
    let state = apply(&State::default(), &planner, part(1, true, resources.into_iter().flatten().collect())).unwrap();
    let declared = |tenant: &str| {
        let (.., version) = state.versions().find(|(known, ..)| known.as_str() == tenant).unwrap();
        Arc::clone(&version.declared)
    };
    assert!(Arc::ptr_eq(&declared("one"), &declared("two")));
    assert!(!Arc::ptr_eq(&declared("one"), &declared("odd")), "the same digest is not the same schema");
    let config = |tenant: &str| match state.tenant(&slug(tenant)).unwrap().revision(&slug("login"), 0) {
        Found::Revision(revision) => revision.plan.attachments().next().unwrap().config.clone(),
        _ => panic!("{tenant} has a flow"),
    };
    assert_eq!(config("one")["limit"], 5);
}

/// What ten thousand tenants that attach one template cost an executor's memory. Not asserted: printed.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_tenants_attach_a_template() {
    const TENANTS: usize = 10_000;
    let text = include_str!("../../../templates/released/webhook-emit/1.0.0/schema.json");
    let schema: serde_json::Map<_, _> = serde_json::from_str(text).unwrap();
    let (planner, _folder) = planner();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    let mut state = apply(&State::default(), &planner, part(1, true, Vec::new())).unwrap();
    let before = resident();
    for (n, cursor) in (0..TENANTS).step_by(100).zip(2..) {
        let some = (n..n + 100).flat_map(|n| attaches(&format!("tenant-{n}"), &schema)).collect();
        state = apply(&state, &planner, part(cursor, false, some)).unwrap();
    }
    let grown = resident() - before;
    assert_eq!(state.counts(), (TENANTS as u64, TENANTS as u64));
    println!("{TENANTS} tenants: {:.1} MiB, {:.2} KiB each", grown / 1024.0, grown / TENANTS as f64);
}
