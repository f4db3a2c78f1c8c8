//! Audit as it is asked for.

use crate::support::{Plane, answered, assert_refused, attachment, gate};
use jiff::SignedDuration;
use sluice_api::control::v1 as control;
use sluice_api::convert;
use sluice_model::{Code, Error};

async fn listed(plane: &Plane, request: control::ListAuditRecordsRequest) -> Result<Vec<String>, Error> {
    let request = control::ListAuditRecordsRequest { tenant: "acme".into(), ..request };
    let found = answered(plane.audit().list_audit_records(request).await)?;
    Ok(found.records.into_iter().map(|record| format!("{} {}", record.kind, record.slug)).collect())
}

fn all() -> control::ListAuditRecordsRequest {
    control::ListAuditRecordsRequest::default()
}

#[tokio::test]
async fn an_edit_is_in_audit_as_soon_as_it_is_answered() {
    let plane = Plane::with_gate().await;
    for number in 0..50 {
        plane.attach(attachment("gate", "")).await.unwrap();
        let newest = plane.records("acme").await.pop().unwrap();
        assert_eq!((newest.kind.as_str(), newest.flow_revision), ("flow.action_attached", number + 2));
        if number == 48 {
            break;
        }
    }
}

#[tokio::test]
async fn records_are_listed_newest_first_and_by_every_filter() {
    let plane = Plane::with_gate().await;
    let published_at = plane.clock.now();
    plane.clock.advance(SignedDuration::from_mins(1));
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    plane.publish("acme", &gate("2")).await.unwrap();
    plane.pin("login", &saved.attachment, "1.0.1").await.unwrap();
    assert_eq!(
        listed(&plane, all()).await.unwrap(),
        [
            "flow.action_updated gate",
            "flow.action_published gate",
            "flow.action_attached gate",
            "flow.created ",
            "flow.action_published gate",
            "tenant.created ",
        ]
    );
    let time = |at| Some(convert::to_timestamp(at));
    let later = published_at + SignedDuration::from_secs(1);
    for (filter, count) in [
        (control::ListAuditRecordsRequest { kind: "flow.action_published".into(), ..all() }, 2),
        (control::ListAuditRecordsRequest { flow: "login".into(), ..all() }, 3),
        (control::ListAuditRecordsRequest { flow: "other".into(), ..all() }, 0),
        (control::ListAuditRecordsRequest { trigger: "post-login".into(), ..all() }, 2),
        (control::ListAuditRecordsRequest { slug: "gate".into(), version: "1.0.1".into(), ..all() }, 2),
        (control::ListAuditRecordsRequest { since: time(later), ..all() }, 3),
        (control::ListAuditRecordsRequest { until: time(later), ..all() }, 3),
        (control::ListAuditRecordsRequest { since: time(published_at), until: time(published_at), ..all() }, 0),
        (control::ListAuditRecordsRequest { sign_in_id: "s1".into(), ..all() }, 0),
        (control::ListAuditRecordsRequest { reason: "threw".into(), ..all() }, 0),
    ] {
        assert_eq!(listed(&plane, filter.clone()).await.unwrap().len(), count, "{filter:?}");
    }
}

#[tokio::test]
async fn a_past_page_never_changes() {
    let plane = Plane::with_gate().await;
    for _ in 0..5 {
        plane.attach(attachment("gate", "")).await.unwrap();
    }
    let page = |page_token: &str| {
        let request = control::ListAuditRecordsRequest {
            tenant: "acme".into(),
            page_size: 3,
            page_token: page_token.into(),
            ..Default::default()
        };
        let mut audit = plane.audit();
        async move { audit.list_audit_records(request).await.unwrap().into_inner() }
    };
    let first = page("").await;
    let second = page(&first.next_page_token).await;
    plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(page(&first.next_page_token).await, second);
    let third = page(&second.next_page_token).await;
    let cursors: Vec<u64> = [first, second, third]
        .into_iter()
        .flat_map(|page| page.records)
        .map(|record| record.cursor.parse().unwrap())
        .collect();
    assert_eq!(cursors.len(), 8);
    assert!(cursors.windows(2).all(|pair| pair[0] > pair[1]), "{cursors:?}");
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_by_its_field() {
    let plane = Plane::with_acme().await;
    let bad_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    for (bad, field) in [
        (control::ListAuditRecordsRequest { kind: "flow.exploded".into(), ..all() }, "kind"),
        (control::ListAuditRecordsRequest { flow: "Login".into(), ..all() }, "flow"),
        (control::ListAuditRecordsRequest { trigger: "post".into(), ..all() }, "trigger"),
        (control::ListAuditRecordsRequest { slug: "A".into(), ..all() }, "slug"),
        (control::ListAuditRecordsRequest { version: "1".into(), ..all() }, "version"),
        (control::ListAuditRecordsRequest { outcome: 77, ..all() }, "outcome"),
        (control::ListAuditRecordsRequest { since: bad_time, ..all() }, "since"),
        (control::ListAuditRecordsRequest { page_size: 1001, ..all() }, "page_size"),
        (control::ListAuditRecordsRequest { page_token: "x".into(), ..all() }, "page_token"),
        (control::ListAuditRecordsRequest { user_id: "u".repeat(2000), ..all() }, "user_id"),
    ] {
        assert_refused(listed(&plane, bad).await, Code::InvalidArgument, "INVALID_FIELD", &[field]);
    }
}

#[tokio::test]
async fn audit_is_the_tenants_own() {
    let plane = Plane::with_gate().await;
    plane.create_tenant("acme-2").await;
    plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(plane.kinds("acme-2").await, ["tenant.created"]);
}
