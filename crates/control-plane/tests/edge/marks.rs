//! What may still be done with a version: deprecated, yanked, revoked; Actions that are deleted; the break-glass switch.

use crate::support::{Plane, answered, archive, assert_refused, attachment, bump, exactly, gate};
use crate::watching::{Executor, State, hello};
use sluice_api::control::v1 as control;
use sluice_api::convert;
use sluice_api::distribution::v1::{self as wire, resource};
use sluice_api::types::v1 as types;
use sluice_model::{Code, Error};
use std::time::Duration;

impl Plane {
    async fn deprecate(&self, version: &str, undo: bool) -> Result<control::DeprecateVersionResponse, Error> {
        let request = control::DeprecateVersionRequest {
            tenant: "acme".into(),
            slug: "gate".into(),
            version: version.into(),
            undo,
            ..Default::default()
        };
        answered(self.catalog().deprecate_version(request).await)
    }

    async fn yank(&self, version: &str, undo: bool) -> Result<control::YankVersionResponse, Error> {
        let request = control::YankVersionRequest {
            tenant: "acme".into(),
            slug: "gate".into(),
            version: version.into(),
            undo,
            ..Default::default()
        };
        answered(self.catalog().yank_version(request).await)
    }

    async fn revoke(&self, version: &str) -> Result<control::RevokeVersionResponse, Error> {
        let request = control::RevokeVersionRequest {
            tenant: "acme".into(),
            slug: "gate".into(),
            version: version.into(),
            ..Default::default()
        };
        answered(self.catalog().revoke_version(request).await)
    }

    async fn delete_action(&self) -> Result<control::DeleteActionResponse, Error> {
        let request = control::DeleteActionRequest { tenant: "acme".into(), slug: "gate".into(), ..Default::default() };
        answered(self.catalog().delete_action(request).await)
    }

    async fn roll_back_to(&self, revision: u64) -> Result<control::SavedFlow, Error> {
        let request = control::RollbackFlowRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            revision,
            ..Default::default()
        };
        Ok(answered(self.flows().rollback_flow(request).await)?.saved.unwrap())
    }

    async fn detach_one(&self, attachment: &str) -> control::SavedFlow {
        let request = control::DetachActionRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            attachment: attachment.into(),
            ..Default::default()
        };
        answered(self.flows().detach_action(request).await).unwrap().saved.unwrap()
    }
}

fn codes(warnings: &[types::Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.code.as_str()).collect()
}

/// The versions of a state, with whether each is revoked.
fn revoked(state: &State) -> Vec<(String, bool)> {
    let version = |resource: &resource::Resource| match resource {
        resource::Resource::Version(version) => Some((version.version.clone(), version.revoked)),
        _ => None,
    };
    state.upserts.iter().filter_map(version).collect()
}

#[tokio::test]
async fn a_deprecated_version_can_be_attached_and_says_so() {
    let plane = Plane::with_gate().await;
    let marked = plane.deprecate("1.0.0", false).await.unwrap();
    assert!(marked.version.unwrap().deprecated);
    let saved = plane.attach(attachment("gate", "^1")).await.unwrap();
    assert_eq!(codes(&saved.warnings), ["version_deprecated"]);
    let kinds = plane.kinds("acme").await.len();
    let again = plane.deprecate("1.0.0", false).await.unwrap();
    assert_eq!(codes(&again.warnings), ["attached"], "who has it is told");
    assert_eq!(plane.kinds("acme").await.len(), kinds, "what is set is not set again");
    assert!(!plane.deprecate("1.0.0", true).await.unwrap().version.unwrap().deprecated);
    let last = plane.records("acme").await.pop().unwrap();
    assert_eq!((last.kind.as_str(), last.slug.as_str(), last.version.as_str()), ("action.deprecated", "gate", "1.0.0"));
    let value = |value: Option<prost_types::Value>| convert::json::value(value.unwrap()).unwrap()["deprecated"].clone();
    assert_eq!((value(last.from), value(last.to)), (true.into(), false.into()));
    let twice = plane.attach(attachment("gate", "^1")).await.unwrap();
    assert_eq!(codes(&twice.warnings), ["duplicate_attachment"], "and of no mark");
    assert_refused(plane.deprecate("9.9.9", false).await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert_refused(plane.deprecate("^1", false).await, Code::InvalidArgument, "INVALID_FIELD", &["version"]);
}

#[tokio::test]
async fn a_yanked_version_stays_where_it_is_and_goes_nowhere_else() {
    let plane = Plane::with_gate().await;
    plane.publish("acme", &gate("2")).await.unwrap();
    let id = plane.attach(attachment("gate", "1.0.1")).await.unwrap().attachment;
    let warnings = plane.yank("1.0.1", false).await.unwrap().warnings;
    assert!(codes(&warnings) == ["attached"] && warnings[0].message.contains("flow login"), "{warnings:?}");
    let refused = plane.attach(attachment("gate", "1.0.1")).await;
    let error = assert_refused(refused, Code::FailedPrecondition, "VERSION_YANKED", &[]);
    assert_eq!(error.resource.unwrap().name, "gate@1.0.1");
    // Ranges pass it over.
    let second = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    let versions: Vec<&str> = flow.slots[0].attachments.iter().map(|found| found.version.as_str()).collect();
    assert_eq!(versions, ["1.0.1", "1.0.0"]);
    assert_refused(plane.pin("login", &second, "1.0.1").await, Code::FailedPrecondition, "VERSION_YANKED", &[]);
    // What has it can be changed in all else, and is warned.
    let request = control::UpdateAttachmentRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        attachment: id.clone(),
        enabled: Some(false),
        ..Default::default()
    };
    let saved = answered(plane.flows().update_attachment(request).await).unwrap().saved.unwrap();
    assert_eq!(codes(&saved.warnings), ["version_yanked"]);
    // A rollback brings it back, with a warning that names the attachment.
    plane.detach_one(&id).await;
    let saved = plane.roll_back_to(2).await.unwrap();
    assert_eq!(codes(&saved.warnings), ["version_yanked"]);
    assert!(saved.warnings[0].message.contains(&id), "{:?}", saved.warnings);
    plane.yank("1.0.0", false).await.unwrap();
    let none = plane.attach(attachment("gate", "^1")).await;
    let error = assert_refused(none, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert!(error.message.contains("yanked or revoked"), "{error}");
    plane.yank("1.0.1", true).await.unwrap();
    plane.attach(attachment("gate", "^1")).await.unwrap();
}

#[tokio::test]
async fn a_revoked_version_is_told_to_every_executor_and_comes_back_by_no_way() {
    let plane = Plane::with_gate().await;
    let id = plane.attach(attachment("gate", "1.0.0")).await.unwrap().attachment;
    plane.publish("acme", &gate("2")).await.unwrap();
    plane.pin("login", &id, "1.0.1").await.unwrap();
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    assert_eq!(revoked(&executor.applied().await), [("1.0.0".into(), false), ("1.0.1".into(), false)]);
    let answer = plane.revoke("1.0.0").await.unwrap();
    assert_eq!((codes(&answer.warnings), answer.rollout), (vec![], Some(types::Rollout { have: 0, waiting: 1 })));
    assert!(answer.version.unwrap().revoked);
    // A change of its own: no revision of a flow comes with it.
    let change = executor.applied().await;
    assert_eq!((revoked(&change), change.revisions(), change.full), (vec![("1.0.0".into(), true)], vec![], false));
    let request = control::RevokeVersionRequest {
        tenant: "acme".into(),
        slug: "gate".into(),
        version: "1.0.0".into(),
        wait: Some(convert::to_duration(Duration::from_secs(10))),
        ..Default::default()
    };
    let again = plane.catalog().revoke_version(request).await.unwrap().into_inner();
    assert_eq!(again.rollout, Some(types::Rollout { have: 1, waiting: 0 }));
    assert_eq!(plane.kinds("acme").await.iter().filter(|kind| *kind == "action.revoked").count(), 1);
    // Whoever comes later is told in its first state, with the revision that pins it.
    let mut late = Executor::connect(&plane, hello("e2")).await;
    assert_eq!(revoked(&late.applied().await), [("1.0.0".into(), true), ("1.0.1".into(), false)]);
    let fetch = wire::FetchFlowRevisionRequest { tenant: "acme".into(), flow: "login".into(), revision: 2 };
    assert!(plane.distribution().fetch_flow_revision(fetch).await.unwrap().into_inner().versions[0].revoked);

    assert_refused(plane.attach(attachment("gate", "1.0.0")).await, Code::FailedPrecondition, "VERSION_REVOKED", &[]);
    assert_refused(plane.pin("login", &id, "1.0.0").await, Code::FailedPrecondition, "VERSION_REVOKED", &[]);
    assert_refused(plane.roll_back_to(2).await, Code::FailedPrecondition, "VERSION_REVOKED", &["revision"]);
    plane.revoke("1.0.1").await.unwrap();
    let shown = control::GetFlowRequest { tenant: "acme".into(), flow: "login".into(), revision: 0 };
    let shown = plane.flows().get_flow(shown).await.unwrap().into_inner();
    assert_eq!(codes(&shown.warnings), ["version_revoked"]);
    // The same content again is that version, and says what it is.
    let same = plane.publish("acme", &gate("2")).await.unwrap();
    assert_eq!((same.created, codes(&same.warnings)), (false, vec!["version_revoked"]));
    assert!(plane.publish_as(bump(control::Bump::Minor), archive(&gate("2"))).await.unwrap().created);
}

#[tokio::test]
async fn an_action_in_use_is_not_deleted_and_one_that_is_deleted_is_gone() {
    let plane = Plane::with_gate().await;
    let id = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    let error = assert_refused(plane.delete_action().await, Code::FailedPrecondition, "ACTION_IN_USE", &[]);
    assert!(error.message.contains("flow login"), "{error}");
    plane.detach_one(&id).await;
    assert_eq!(plane.delete_action().await.unwrap().newest, "1.0.0");
    assert_eq!(plane.actions("acme").await, []);
    assert_refused(plane.attach(attachment("gate", "1.0.0")).await, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    assert_refused(plane.delete_action().await, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    assert_refused(plane.yank("1.0.0", false).await, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    assert_refused(plane.roll_back_to(2).await, Code::FailedPrecondition, "ACTION_DELETED", &["revision"]);
    // What has begun goes on, and history is told.
    let fetch = wire::FetchFlowRevisionRequest { tenant: "acme".into(), flow: "login".into(), revision: 2 };
    assert_eq!(plane.distribution().fetch_flow_revision(fetch).await.unwrap().into_inner().versions.len(), 1);
    assert_eq!(plane.flow("acme", "login", 2).await.unwrap().slots[0].attachments[0].version, "1.0.0");
    // And the platform can still stop it.
    assert!(plane.revoke("1.0.0").await.unwrap().version.unwrap().revoked);
}

#[tokio::test]
async fn a_slug_that_is_used_again_counts_on_and_inherits_nothing() {
    let mut plane = Plane::with_gate().await;
    plane.publish_as(exactly("1.4.0"), archive(&gate("2"))).await.unwrap();
    plane.delete_action().await.unwrap();
    plane.restart().await;
    // The very content that was the newest is a new version all the same.
    let made = plane.publish("acme", &gate("2")).await.unwrap();
    assert_eq!((made.created, made.version.unwrap().version.as_str()), (true, "1.4.1"));
    assert_eq!(plane.versions("acme", "gate").await, ["1.4.1"]);
    assert_refused(plane.attach(attachment("gate", "1.4.0")).await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    let taken = plane.publish_as(exactly("1.4.0"), archive(&gate("2"))).await;
    let error = assert_refused(taken, Code::AlreadyExists, "VERSION_EXISTS", &["version"]);
    assert!(error.message.contains("deleted"), "{error}");
    plane.publish_as(exactly("1.0.5"), archive(&gate("3"))).await.unwrap();
    assert_eq!(plane.versions("acme", "gate").await, ["1.4.1", "1.0.5"]);
    // Pages are full although what lies between is passed over.
    let request = control::ListVersionsRequest {
        tenant: "acme".into(),
        slug: "gate".into(),
        page_size: 1,
        page_token: String::new(),
    };
    let first = plane.catalog().list_versions(request.clone()).await.unwrap().into_inner();
    let request = control::ListVersionsRequest { page_token: first.next_page_token, ..request };
    let second = plane.catalog().list_versions(request).await.unwrap().into_inner();
    let numbers = |page: &[types::Version]| page.iter().map(|version| version.version.clone()).collect::<Vec<_>>();
    assert_eq!((numbers(&first.versions), numbers(&second.versions)), (vec!["1.4.1".into()], vec!["1.0.5".into()]));
    plane.attach(attachment("gate", "^1")).await.unwrap();
}

#[tokio::test]
async fn a_deletion_and_an_attach_never_both_win() {
    let plane = Plane::with_gate().await;
    for round in 0..20 {
        let (attached, deleted) = tokio::join!(plane.attach(attachment("gate", "")), plane.delete_action());
        match (&attached, &deleted) {
            (Ok(saved), Err(error)) => {
                assert_eq!(error.reason, "ACTION_IN_USE");
                plane.detach_one(&saved.attachment).await;
            }
            (Err(error), Ok(_)) => {
                assert_eq!(error.reason, "ACTION_NOT_FOUND");
                plane.publish("acme", &gate(&round.to_string())).await.unwrap();
            }
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn the_break_glass_switch_is_told_to_executors_and_in_audit() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    assert!(!executor.applied().await.tenants()[0].break_glass);
    let turn = |on| {
        let request = control::SetBreakGlassRequest { tenant: "acme".into(), on, ..Default::default() };
        let mut tenants = plane.tenants();
        async move { answered(tenants.set_break_glass(request).await).unwrap() }
    };
    let answer = turn(true).await;
    assert_eq!((answer.tenant.unwrap().break_glass, answer.rollout.unwrap().waiting), (true, 1));
    assert!(executor.applied().await.tenants()[0].break_glass);
    assert_eq!(turn(true).await.rollout, Some(types::Rollout { have: 1, waiting: 0 }), "it is so already");
    turn(false).await;
    assert!(!executor.applied().await.tenants()[0].break_glass);
    let kinds = plane.kinds("acme").await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "tenant.break_glass_updated").count(), 2);
    // Changing what runs, and what it is, goes on meanwhile: no management passes an Action.
    turn(true).await;
    plane.attach(attachment("gate", "")).await.unwrap();
}
