//! What was delivered, and where to.

use super::*;
use crate::view::delivery::{Delivery, Endpoint, EndpointEnabled, Resent, Shown};

fn attempt(seconds: i64, status: u32, failure: &str) -> control::DeliveryAttempt {
    let duration = Some(prost_types::Duration { seconds: 0, nanos: 12_000_000 });
    control::DeliveryAttempt { at: at(seconds), duration, status, failure: failure.into() }
}

fn delivery(id: &str, state: control::DeliveryState) -> control::Delivery {
    control::Delivery {
        id: id.into(),
        endpoint: "https://hooks.example.com/audit".into(),
        r#type: "sluice.post-login".into(),
        format: wire::EmitFormat::Standard.into(),
        state: state.into(),
        made_at: at(0),
        max_attempts: 8,
        slug: "audit-hook".into(),
        version: "1.2.0".into(),
        etag: "e1".into(),
        ..Default::default()
    }
}

fn dead() -> control::Delivery {
    control::Delivery {
        endpoint: "secret:SLACK_URL".into(),
        format: wire::EmitFormat::Slack.into(),
        ended_at: at(9),
        attempts: 2,
        last_attempt: Some(attempt(9, 404, "")),
        dead_reason: "endpoint_gone".into(),
        execution_id: "x1".into(),
        ..delivery("msg_b", control::DeliveryState::Dead)
    }
}

#[test]
fn deliveries() {
    let pending = control::Delivery {
        due_at: at(5),
        attempts: 1,
        last_attempt: Some(attempt(0, 0, "timed_out")),
        ..delivery("msg_a", control::DeliveryState::Pending)
    };
    let entries = vec![pending.clone(), dead(), delivery("msg_c", control::DeliveryState::Delivered)];
    insta::assert_snapshot!("delivery_list", both(&page::<Delivery, _>(entries, "more")));
    insta::assert_snapshot!("delivery_resent", both(&Resent(pending.try_into().unwrap())));
    let shown = control::GetDeliveryResponse {
        delivery: Some(dead()),
        attempts: vec![attempt(0, 0, "timed_out"), attempt(9, 404, "")],
        body: "{\"text\":\"hello\"}".into(),
        signing_secret: String::new(),
        header_names: vec!["x-own".into()],
        timeout: None,
    };
    insta::assert_snapshot!("delivery_show", both(&Shown::try_from(shown).unwrap()));
}

#[test]
fn endpoints() {
    let enabled = control::Endpoint {
        endpoint: "https://hooks.example.com/audit".into(),
        made_at: at(0),
        enabled: true,
        etag: "e1".into(),
        ..Default::default()
    };
    let disabled = control::Endpoint {
        endpoint: "secret:SLACK_URL".into(),
        enabled: false,
        disabled_at: at(9),
        status: 404,
        delivery: "msg_b".into(),
        ..enabled.clone()
    };
    insta::assert_snapshot!("endpoint_list", both(&page::<Endpoint, _>(vec![enabled.clone(), disabled], "")));
    insta::assert_snapshot!("endpoint_enabled", both(&EndpointEnabled(enabled.try_into().unwrap())));
}
