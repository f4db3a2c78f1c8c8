//! A server's life: how it starts, what it says of itself, and that it always ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{connect, get, request, say, soon, start, start_with, watch};
use sluice_serve::{
    About, App, DataFolder, Drained, FolderError, ListenError, Listener, Readiness, config::ServerConfig,
};
use tokio::io::AsyncWriteExt as _;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

#[tokio::test]
async fn an_address_that_others_can_reach_is_not_bound() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070"] {
        let error = Listener::bind("listen", address.parse().unwrap()).unwrap_err();
        assert!(matches!(error, ListenError::NotLoopback { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("listen = {address}: takes a loopback address")), "{error}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_setting() {
    let taken = Listener::bind("listen", "127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Listener::bind("admin_listen", taken.address()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("admin_listen = {}: cannot be bound", taken.address())), "{error}");
}

#[tokio::test]
async fn two_servers_never_share_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/data");
    let first = DataFolder::open(&path).unwrap();
    let error = DataFolder::open(&path).unwrap_err();
    assert!(matches!(error, FolderError::InUse { .. }));
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    drop(first);
    DataFolder::open(&path).unwrap();

    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = App::build(About::new("x", "0"), &ServerConfig::on(0, 0, folder.path().join("file"))).unwrap_err();
    assert!(error.to_string().contains("cannot be used"), "{error}");
}

#[tokio::test]
async fn the_bound_addresses_are_in_the_data_folder_while_it_serves() {
    let server = start();
    let path = server.folder.path().join("data/addresses.json");
    let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(addresses["executor"], server.address().to_string());
    assert_eq!(addresses["admin"], server.admin().to_string());
    assert_ne!(server.address().port(), 0);
    let (drained, rest) = server.running.drain().await;
    assert_eq!(drained, Drained::Clean);
    drop(rest);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_admin_pages_say_what_it_is_and_whether_it_is_ready() {
    let server = start();
    let (code, index) = get(server.admin(), "/").await;
    assert_eq!(code, 200);
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert!(index.contains(&format!("href=\"{page}\"")), "{index}");
        assert_eq!(get(server.admin(), page).await.0, 200, "{page}");
    }
    let health: serde_json::Value = serde_json::from_str(&get(server.admin(), "/healthz").await.1).unwrap();
    assert_eq!((&health["name"], &health["version"]), (&"sluice-test".into(), &"1.2.3".into()));
    assert_eq!(health["details"]["engine"], "abc");
    assert_eq!(get(server.admin(), "/other").await.0, 404);
}

#[tokio::test]
async fn a_condition_that_fails_is_a_503_with_its_reason_and_not_serving() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::build(About::new("x", "0"), &ServerConfig::on(0, 0, folder.path())).unwrap();
    let condition = app.readiness().condition("control-plane", "not connected yet");
    let telemetry = sluice_serve::Telemetry::new(&About::new("x", "0"), &Default::default()).unwrap();
    let grpc = app.grpc();
    let running = app.spawn("executor", grpc, &telemetry).unwrap();
    let mut health = HealthClient::new(connect(running.addresses()["executor"]).await.unwrap());
    let mut changes = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status, 2, "NOT_SERVING");

    let (code, body) = get(running.addresses()["admin"], "/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &body["ready"]), (503, &false.into()));
    assert_eq!(body["reasons"], serde_json::json!({ "control-plane": "not connected yet" }));

    condition.holds();
    assert_eq!(soon("the change", changes.message()).await.unwrap().unwrap().status, 1, "SERVING");
    assert_eq!(get(running.addresses()["admin"], "/readyz").await.0, 200);
}

#[test]
fn readiness_is_all_conditions() {
    let readiness = Readiness::new();
    assert!(readiness.is_ready());
    let (one, two) = (readiness.condition("one", "a"), readiness.condition("two", "b"));
    one.holds();
    assert!(!readiness.is_ready());
    two.holds();
    assert!(readiness.is_ready());
    one.fails("again");
    assert!(!readiness.is_ready());
}

#[tokio::test]
async fn a_drain_lets_calls_end_ends_streams_and_takes_no_new_connection() {
    let mut server = start();
    let (address, admin, gate) = (server.address(), server.admin(), server.echo.gate.clone());
    let channel = server.channel().await;
    let mut stream = watch(&channel, request("drained", &[])).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");
    let mut health =
        HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status, 1);
    let held = tokio::spawn(async move { say(&channel, request("hold", &[])).await });
    assert_eq!(soon("the start", server.events.recv()).await, Some("started"));

    let drain = tokio::spawn(server.running.drain());
    // The stream ends well, and so does the probe, after it said that nobody should come any more.
    assert!(soon("the stream's end", stream.message()).await.unwrap().is_none());
    while let Some(change) = soon("the probe's end", health.message()).await.unwrap() {
        assert_eq!(change.status, 2);
    }
    assert_eq!(get(admin, "/readyz").await.0, 503, "the admin pages go last");
    assert!(connect(address).await.is_err());
    assert!(!drain.is_finished(), "a call is being answered");
    gate.notify_one();
    assert_eq!(held.await.unwrap().unwrap(), "held");
    assert_eq!(soon("the end", drain).await.unwrap().0, Drained::Clean);
}

#[tokio::test]
async fn a_drain_ends_though_a_handler_does_not() {
    let server = start_with(true, |config| config.drain.timeout_s = 1);
    let channel = server.channel().await;
    let mut stream = watch(&channel, request("stuck", &[])).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");
    assert_eq!(soon("the end", server.running.drain()).await.0, Drained::Cut(1));
    assert!(soon("the cut", stream.message()).await.is_err());
}

#[tokio::test]
async fn a_drain_ends_though_a_client_reads_nothing() {
    let mut server = start_with(true, |config| config.drain.timeout_s = 1);
    // A client that speaks HTTP/2 up to its settings and a first half of headers, and then no more.
    let mut client = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // Another that has a flood coming and does not take it.
    let channel = server.channel().await;
    let _unread = watch(&channel, request("flood", &[])).await.unwrap();
    let held = tokio::spawn(async move { say(&channel, request("never", &[("grpc-timeout", "1H")])).await });
    assert_eq!(soon("the start", server.events.recv()).await, Some("started"));
    let (drained, _rest) = soon("the end", server.running.drain()).await;
    assert!(matches!(drained, Drained::Cut(1 | 2)), "{drained:?}");
    assert_eq!(soon("the drop", server.events.recv()).await, Some("dropped"));
    assert!(held.await.unwrap().is_err());
}

#[tokio::test]
async fn a_drain_can_be_ended_at_once() {
    let server = start_with(true, |config| config.drain.timeout_s = 600);
    let mut stream = watch(&server.channel().await, request("stuck", &[])).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");
    let drain = tokio::spawn(server.running.drain());
    soon("the drain", server.drain.begun()).await;
    server.drain.cut_now();
    assert_eq!(soon("the end", drain).await.unwrap().0, Drained::Cut(1));
}
