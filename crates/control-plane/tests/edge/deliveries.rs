//! Deliveries, from the record that they ride in to a receiver: a server of HTTP on loopback.

use crate::ingest::{Spool, acked, run};
use crate::support::{Plane, answered, assert_refused};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use sluice_api::control::v1 as control;
use sluice_api::types::v1 as types;
use sluice_control_plane::config::{DeliveriesConfig, EgressSettings, PlaneConfig};
use sluice_egress::{AllowEntry, EgressConfig};
use sluice_model::delivery::SigningKey;
use sluice_model::{Code, Error};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long anything may take that is waited for.
const SOON: Duration = Duration::from_secs(20);
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A receiver, which answers as it is told.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Receiver { address, came: Arc::default(), status: Arc::new(Mutex::new(200)) };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = serving.clone();
                let service = service_fn(move |request| receiver.clone().take(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        receiver
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        self.came.lock().unwrap().push(Came { headers: headers.collect(), body });
        let mut response = Response::new(Full::new(Bytes::new()));
        // A URL may say itself what it is answered.
        let asked = head.uri.query().and_then(|query| query.strip_prefix("status=")?.parse().ok());
        *response.status_mut() = asked.unwrap_or(*self.status.lock().unwrap()).try_into().unwrap();
        // Far away, so that what it is sent elsewhere for would be seen to be missing.
        response.headers_mut().insert("location", "http://127.0.0.1:1/".parse().unwrap());
        Ok(response)
    }

    fn answers(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The settings of a control plane that may send here.
    pub(crate) fn config(&self) -> PlaneConfig {
        let allow = AllowEntry {
            host: "127.0.0.1".to_owned(),
            cidr: "127.0.0.1/32".parse().unwrap(),
            port: Some(self.address.port()),
            http: true,
        };
        PlaneConfig {
            egress: EgressSettings(EgressConfig { allow: vec![allow], ..EgressConfig::default() }),
            deliveries: DeliveriesConfig {
                slack_test_hosts: vec!["127.0.0.1".to_owned()],
                ..DeliveriesConfig::default()
            },
            ..PlaneConfig::default()
        }
    }

    /// A control plane that may send here, with a tenant `acme`.
    async fn plane(&self) -> Plane {
        let plane = Plane::with(self.config()).await;
        plane.create_tenant("acme").await;
        plane
    }

    /// A target of an emit.
    pub(crate) fn target(&self, id: &str) -> types::EmittedTarget {
        types::EmittedTarget {
            id: id.into(),
            address: Some(types::emitted_target::Address::Url(self.url())),
            format: types::EmitFormat::Standard.into(),
            timeout_ms: 5_000,
            max_attempts: 8,
            ..Default::default()
        }
    }
}

/// The record of a run that emitted.
pub(crate) fn emitting(plane: &Plane, number: u64, to: Vec<types::EmittedTarget>) -> types::AuditRecord {
    let body = format!("{{\"type\":\"t\",\"data\":{number}}}");
    let emitted = types::Emitted { r#type: "t".into(), body, hosts: Vec::new(), to };
    types::AuditRecord { emits: vec![emitted], ..run(plane, number) }
}

pub(crate) async fn delivery(plane: &Plane, tenant: &str, id: &str) -> Result<control::GetDeliveryResponse, Error> {
    let request = control::GetDeliveryRequest { tenant: tenant.into(), delivery: id.into() };
    answered(plane.deliveries().get_delivery(request).await)
}

/// Waits until a delivery is in a state after so many attempts.
pub(crate) async fn settled(
    plane: &Plane,
    tenant: &str,
    id: &str,
    state: control::DeliveryState,
    attempts: usize,
) -> control::GetDeliveryResponse {
    let reached = async {
        loop {
            let shown = delivery(plane, tenant, id).await.unwrap();
            if shown.attempts.len() == attempts && shown.delivery.as_ref().unwrap().state() == state {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(SOON, reached).await {
        Ok(shown) => shown,
        Err(_) => panic!("{id} is not {state:?} after {attempts} attempts: {:?}", delivery(plane, tenant, id).await),
    }
}

async fn list(plane: &Plane, request: control::ListDeliveriesRequest) -> Vec<String> {
    let request = control::ListDeliveriesRequest { tenant: "acme".into(), ..request };
    let found = answered(plane.deliveries().list_deliveries(request).await).unwrap();
    found.deliveries.into_iter().map(|delivery| delivery.id).collect()
}

async fn set_secret(plane: &Plane, name: &str, value: &str) {
    let (tenant, name, value) = ("acme".into(), name.into(), value.into());
    let request = control::SetSecretRequest { tenant, name, value, ..Default::default() };
    plane.secrets().set_secret(request).await.unwrap();
}

async fn resend(plane: &Plane, id: &str) -> Result<control::Delivery, Error> {
    let request = control::ResendDeliveryRequest { tenant: "acme".into(), delivery: id.into(), ..Default::default() };
    Ok(answered(plane.deliveries().resend_delivery(request).await)?.delivery.unwrap())
}

use control::DeliveryState::{Dead, Delivered, Pending};

#[tokio::test]
async fn what_is_emitted_arrives_once_and_is_signed_by_both_values_of_a_secret_while_it_rotates() {
    let receiver = Receiver::start().await;
    let plane = receiver.plane().await;
    set_secret(&plane, "SIGNING", OLD).await;
    let target = |id: &str| types::EmittedTarget {
        signing_secret: "SIGNING".into(),
        headers: [("x-own".to_owned(), "7".to_owned())].into(),
        ..receiver.target(id)
    };
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    let batch = vec![emitting(&plane, 1, vec![target("msg_1")])];
    assert_eq!(spool.sends(1, batch.clone()).await.unwrap(), acked(1));
    let shown = settled(&plane, "acme", "msg_1", Delivered, 1).await;
    assert_eq!((shown.body.as_str(), shown.header_names), ("{\"type\":\"t\",\"data\":1}", vec!["x-own".to_owned()]));
    assert_eq!(shown.attempts[0].status, 200);
    // A batch that comes again, of an executor that has not heard of the ack.
    assert_eq!(spool.sends(1, batch).await.unwrap(), acked(1));

    set_secret(&plane, "SIGNING", NEW).await;
    spool.sends(2, vec![emitting(&plane, 2, vec![target("msg_2")])]).await.unwrap();
    settled(&plane, "acme", "msg_2", Delivered, 1).await;
    plane.clock.advance(SignedDuration::from_hours(24));
    spool.sends(3, vec![emitting(&plane, 3, vec![target("msg_3")])]).await.unwrap();
    settled(&plane, "acme", "msg_3", Delivered, 1).await;

    let came = receiver.came();
    let ids: Vec<&str> = came.iter().map(|came| came.header("webhook-id")).collect();
    assert_eq!(ids, ["msg_1", "msg_2", "msg_3"]);
    for (came, secrets) in came.iter().zip([&[OLD][..], &[NEW, OLD], &[NEW]]) {
        let at: i64 = came.header("webhook-timestamp").parse().unwrap();
        let signed: Vec<String> = secrets
            .iter()
            .map(|secret| SigningKey::parse(secret).unwrap().sign(came.header("webhook-id"), at, came.body.as_bytes()))
            .collect();
        assert_eq!(came.header("webhook-signature"), signed.join(" "));
        assert_eq!((came.header("content-type"), came.header("x-own")), ("application/json", "7"));
    }
    let records = format!("{:?}", plane.records("acme").await);
    assert!(!records.contains("\"data\":1") && !records.contains("\\\"data"), "audit shows no body");
}

#[tokio::test]
async fn what_fails_is_tried_again_in_time_under_the_same_id_also_after_a_restart() {
    let receiver = Receiver::start().await;
    let mut plane = receiver.plane().await;
    // A redirect is a failure, and not followed.
    receiver.answers(302);
    let batch = vec![emitting(&plane, 1, vec![receiver.target("msg_1")])];
    Spool::at(&plane, 1, 1, 0).await.sends(1, batch).await.unwrap();
    let shown = settled(&plane, "acme", "msg_1", Pending, 1).await;
    let due = shown.delivery.unwrap().due_at.unwrap();
    let after = due.seconds - sluice_api::convert::to_timestamp(plane.clock.now()).seconds;
    assert!((4..=6).contains(&after), "5 s and a fifth of it: {after} s");
    receiver.answers(204);
    plane.stop().await;
    assert_eq!(receiver.came().len(), 1, "nothing is sent before it is due");
    plane.clock.advance(SignedDuration::from_secs(7));
    plane.begin().await;
    let shown = settled(&plane, "acme", "msg_1", Delivered, 2).await;
    assert_eq!(shown.attempts.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [302, 204]);
    let came = receiver.came();
    assert_eq!(came[0].header("webhook-id"), came[1].header("webhook-id"));
    assert_ne!(came[0].header("webhook-timestamp"), came[1].header("webhook-timestamp"));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_left_alone_until_it_is_enabled() {
    let receiver = Receiver::start().await;
    let plane = receiver.plane().await;
    receiver.answers(410);
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    spool.sends(1, vec![emitting(&plane, 1, vec![receiver.target("msg_1")])]).await.unwrap();
    let shown = settled(&plane, "acme", "msg_1", Dead, 1).await;
    assert_eq!(shown.delivery.unwrap().dead_reason, "endpoint_gone");
    spool.sends(2, vec![emitting(&plane, 2, vec![receiver.target("msg_2")])]).await.unwrap();
    let shown = settled(&plane, "acme", "msg_2", Dead, 0).await;
    assert_eq!(shown.delivery.unwrap().dead_reason, "endpoint_disabled");
    assert_refused(resend(&plane, "msg_1").await, Code::FailedPrecondition, "ENDPOINT_DISABLED", &[]);
    assert_refused(resend(&plane, "msg_9").await, Code::NotFound, "DELIVERY_NOT_FOUND", &[]);

    receiver.answers(200);
    let request = control::ListEndpointsRequest { tenant: "acme".into(), ..Default::default() };
    let endpoints = answered(plane.deliveries().list_endpoints(request).await).unwrap().endpoints;
    assert_eq!((endpoints[0].enabled, endpoints[0].status, endpoints[0].delivery.as_str()), (false, 410, "msg_1"));
    let enable =
        |endpoint: String| control::EnableEndpointRequest { tenant: "acme".into(), endpoint, ..Default::default() };
    let asked = enable(endpoints[0].endpoint.clone());
    assert!(answered(plane.deliveries().enable_endpoint(asked).await).unwrap().endpoint.unwrap().enabled);
    let other = answered(plane.deliveries().enable_endpoint(enable("https://a.example/".into())).await);
    assert_refused(other, Code::NotFound, "ENDPOINT_NOT_FOUND", &[]);
    let wrong = answered(plane.deliveries().enable_endpoint(enable("nonsense".into())).await);
    assert_refused(wrong, Code::InvalidArgument, "INVALID_FIELD", &["endpoint"]);
    resend(&plane, "msg_1").await.unwrap();
    settled(&plane, "acme", "msg_1", Delivered, 2).await;
    let kinds = plane.kinds("acme").await;
    let told: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| kind.starts_with("delivery.")).collect();
    assert_eq!(
        told,
        [
            "delivery.endpoint_disabled",
            "delivery.dead",
            "delivery.dead",
            "delivery.endpoint_enabled",
            "delivery.resent"
        ]
    );
}

#[tokio::test]
async fn setting_the_secret_of_an_endpoint_that_is_gone_enables_it() {
    let receiver = Receiver::start().await;
    let plane = receiver.plane().await;
    set_secret(&plane, "HOOK", &receiver.url()).await;
    receiver.answers(404);
    let target = |id: &str| types::EmittedTarget {
        address: Some(types::emitted_target::Address::UrlSecret("HOOK".into())),
        own_host: true,
        format: types::EmitFormat::Slack.into(),
        ..receiver.target(id)
    };
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    spool.sends(1, vec![emitting(&plane, 1, vec![target("msg_1")])]).await.unwrap();
    let shown = settled(&plane, "acme", "msg_1", Dead, 1).await.delivery.unwrap();
    assert_eq!((shown.dead_reason.as_str(), shown.endpoint.as_str()), ("endpoint_gone", "secret:HOOK"));
    receiver.answers(200);
    set_secret(&plane, "HOOK", &receiver.url()).await;
    spool.sends(2, vec![emitting(&plane, 2, vec![target("msg_2")])]).await.unwrap();
    settled(&plane, "acme", "msg_2", Delivered, 1).await;
    let records = format!("{:?}", plane.records("acme").await);
    assert!(!records.contains(&receiver.url()), "no secret is in audit");
}

#[tokio::test]
async fn a_dead_letter_is_told_kept_and_sent_again_with_all_its_attempts() {
    let receiver = Receiver::start().await;
    let plane = receiver.plane().await;
    receiver.answers(500);
    let target = types::EmittedTarget { max_attempts: 1, ..receiver.target("msg_1") };
    let unsigned = types::EmittedTarget { signing_secret: "NONE".into(), ..receiver.target("msg_2") };
    let elsewhere = types::EmittedTarget {
        address: Some(types::emitted_target::Address::Url("https://127.0.0.2/".into())),
        ..receiver.target("msg_3")
    };
    let batch = vec![emitting(&plane, 1, vec![target, unsigned, elsewhere])];
    Spool::at(&plane, 1, 1, 0).await.sends(1, batch).await.unwrap();
    let shown = settled(&plane, "acme", "msg_1", Dead, 1).await.delivery.unwrap();
    assert_eq!(shown.dead_reason, "exhausted");
    for (id, failure) in [("msg_2", "signing_secret_not_set"), ("msg_3", "address_refused")] {
        let shown = settled(&plane, "acme", id, Pending, 1).await;
        assert_eq!((shown.attempts[0].status, shown.attempts[0].failure.as_str()), (0, failure));
    }
    receiver.answers(200);
    resend(&plane, "msg_1").await.unwrap();
    settled(&plane, "acme", "msg_1", Delivered, 2).await;

    let all = control::ListDeliveriesRequest::default();
    let mut ids = list(&plane, all.clone()).await;
    ids.sort();
    assert_eq!(ids, ["msg_1", "msg_2", "msg_3"]);
    assert_eq!(
        list(&plane, control::ListDeliveriesRequest { state: Delivered.into(), ..all.clone() }).await,
        ["msg_1"]
    );
    let there = control::ListDeliveriesRequest { endpoint: "https://127.0.0.2".into(), ..all.clone() };
    assert_eq!(list(&plane, there).await, ["msg_3"]);
    assert!(list(&plane, control::ListDeliveriesRequest { slug: "other".into(), ..all.clone() }).await.is_empty());
    let (mut paged, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = control::ListDeliveriesRequest { tenant: "acme".into(), page_size: 1, page_token, ..all.clone() };
        let page = answered(plane.deliveries().list_deliveries(request).await).unwrap();
        paged.extend(page.deliveries.into_iter().map(|delivery| delivery.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    paged.sort();
    assert_eq!(paged, ids);
}

/// Waits until a delivery is forgotten.
async fn forgotten(plane: &Plane, id: &str) {
    let gone = async {
        while delivery(plane, "acme", id).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, gone).await.is_ok(), "{id} is still kept");
    assert_eq!(delivery(plane, "acme", id).await.unwrap_err().reason, "DELIVERY_NOT_FOUND");
}

#[tokio::test]
async fn what_was_kept_long_enough_is_forgotten_and_nothing_before() {
    let receiver = Receiver::start().await;
    let mut plane = receiver.plane().await;
    set_secret(&plane, "SIGNING", OLD).await;
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    let signed = |id: &str| types::EmittedTarget { signing_secret: "SIGNING".into(), ..receiver.target(id) };
    spool.sends(1, vec![emitting(&plane, 1, vec![signed("msg_1")])]).await.unwrap();
    settled(&plane, "acme", "msg_1", Delivered, 1).await;
    receiver.answers(500);
    let target = types::EmittedTarget { max_attempts: 1, ..receiver.target("msg_2") };
    spool.sends(2, vec![emitting(&plane, 2, vec![target])]).await.unwrap();
    settled(&plane, "acme", "msg_2", Dead, 1).await;
    receiver.answers(200);
    set_secret(&plane, "SIGNING", NEW).await;

    // Seven days for what has arrived, thirty for a dead letter; it is looked for at a start, and then now and then.
    let week = SignedDuration::from_hours(7 * 24);
    plane.stop().await;
    plane.clock.advance(week - SignedDuration::from_secs(1));
    plane.begin().await;
    let mut spool = Spool::at(&plane, 1, 1, 2).await;
    spool.sends(3, vec![emitting(&plane, 3, vec![signed("msg_3")])]).await.unwrap();
    settled(&plane, "acme", "msg_3", Delivered, 1).await;
    assert!(delivery(&plane, "acme", "msg_1").await.is_ok());
    plane.stop().await;
    plane.clock.advance(SignedDuration::from_secs(2));
    plane.begin().await;
    forgotten(&plane, "msg_1").await;
    assert_eq!(list(&plane, control::ListDeliveriesRequest::default()).await, ["msg_3", "msg_2"]);
    assert!(resend(&plane, "msg_1").await.is_err());

    // The former value of the secret went before: where the clock is put back into the day for which it signed, it signs no more.
    plane.clock.advance(-(week - SignedDuration::from_hours(1)));
    let mut spool = Spool::at(&plane, 1, 1, 3).await;
    spool.sends(4, vec![emitting(&plane, 4, vec![signed("msg_4")])]).await.unwrap();
    settled(&plane, "acme", "msg_4", Delivered, 1).await;
    let came = receiver.came();
    assert_eq!(came.last().unwrap().header("webhook-signature").split(' ').count(), 1);
    plane.clock.advance(week - SignedDuration::from_hours(1));

    plane.stop().await;
    plane.clock.advance(SignedDuration::from_hours(23 * 24));
    plane.begin().await;
    forgotten(&plane, "msg_2").await;
    forgotten(&plane, "msg_4").await;
    assert!(list(&plane, control::ListDeliveriesRequest::default()).await.is_empty());
}

#[tokio::test]
async fn what_is_over_the_pace_of_slack_comes_in_one_message() {
    let receiver = Receiver::start().await;
    let plane = receiver.plane().await;
    let target = |id: &str| types::EmittedTarget {
        format: types::EmitFormat::Slack.into(),
        max_per_minute: 2,
        digest: true,
        ..receiver.target(id)
    };
    let batch: Vec<_> =
        (1..=5).map(|number| emitting(&plane, number, vec![target(&format!("msg_{number}"))])).collect();
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    spool.sends(1, batch.clone()).await.unwrap();
    for id in ["msg_1", "msg_2"] {
        settled(&plane, "acme", id, Delivered, 1).await;
    }
    assert_eq!(
        list(&plane, control::ListDeliveriesRequest { state: Pending.into(), ..Default::default() }).await.len(),
        3
    );
    plane.clock.advance(SignedDuration::from_secs(61));
    // The clock was moved under its feet: whatever comes makes it look again.
    spool.sends(1, batch).await.unwrap();
    for id in ["msg_3", "msg_4", "msg_5"] {
        let told_by = settled(&plane, "acme", id, Delivered, 1).await.delivery.unwrap().told_by;
        assert_eq!(told_by, if id == "msg_3" { "" } else { "msg_3" });
    }
    let came = receiver.came();
    assert_eq!(came.len(), 3);
    assert!(came[2].body.contains("3 more since 12:00:00 UTC"), "{}", came[2].body);
    assert_eq!(came[2].header("webhook-id"), "", "Slack's own form has no such headers");
}
