//! Calls through the stack, over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Patient, call, connect, request, say, soon, start, start_with, watch};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

fn reason(status: &tonic::Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test]
async fn a_call_reaches_its_service_in_front_of_the_router_and_behind_it() {
    for front in [true, false] {
        let server = start_with(front, |_| {});
        assert_eq!(say(&server.channel().await, request("hello", &[])).await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn without_a_token_the_caller_is_the_platform_operator() {
    let server = start();
    assert_eq!(say(&server.channel().await, request("who", &[])).await.unwrap(), "platform-operator");
}

#[tokio::test]
async fn a_token_that_nobody_can_check_is_refused() {
    let server = start();
    let refused = say(&server.channel().await, request("who", &[("authorization", "Bearer x")])).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "IDENTITY_NOT_CONFIGURED"));
}

#[tokio::test]
async fn a_call_that_is_not_answered_by_its_deadline_ends_and_its_handler_is_dropped() {
    let mut server = start();
    let began = Instant::now();
    let client = Patient::connect(server.address()).await;
    let late = say(&client, request("never", &[("grpc-timeout", "80m")])).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(began.elapsed() >= Duration::from_millis(80));
    assert_eq!(soon("the start", server.events.recv()).await, Some("started"));
    assert_eq!(soon("the drop", server.events.recv()).await, Some("dropped"));
}

#[tokio::test]
async fn handlers_see_the_deadline() {
    let server = start();
    let channel = server.channel().await;
    assert_eq!(say(&channel, request("deadline", &[])).await.unwrap(), "none");
    let left: u64 = say(&channel, request("deadline", &[("grpc-timeout", "1M")])).await.unwrap().parse().unwrap();
    assert!((50_000..=60_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn a_deadline_that_has_passed_starts_nothing() {
    let mut server = start();
    let client = Patient::connect(server.address()).await;
    let late = say(&client, request("never", &[("grpc-timeout", "0n")])).await.unwrap_err();
    assert_eq!(reason(&late), "DEADLINE_EXCEEDED");
    assert!(server.events.try_recv().is_err());
}

#[tokio::test]
async fn a_timeout_that_is_none_is_refused_by_name() {
    let server = start();
    let channel = server.channel().await;
    for bad in ["", "m", "1", "-1S", "1.5S", "123456789m", "5x", "1 S"] {
        let refused = say(&channel, request("hello", &[("grpc-timeout", bad)])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
        let field = &refused.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!(field.field, "grpc-timeout");
    }
    assert_eq!(say(&channel, request("hello", &[("grpc-timeout", "99999999H")])).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_stream_is_cut_at_the_deadline_that_it_sent() {
    let server = start();
    for kind in ["stuck", "flood"] {
        let mut stream = watch(&server.channel().await, request(kind, &[("grpc-timeout", "150m")])).await.unwrap();
        let end = soon("the end", async {
            loop {
                if let Err(status) = stream.message().await {
                    return status;
                }
            }
        });
        assert_eq!(end.await.code(), Code::DeadlineExceeded, "{kind}");
    }
}

#[tokio::test]
async fn a_panic_is_that_calls_internal_error_and_no_other_calls() {
    let server = start();
    let channel = server.channel().await;
    let mut stream = watch(&channel, request("stuck", &[])).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");

    let failed = say(&channel, request("panic", &[("x-request-id", "find-me")])).await.unwrap_err();
    assert_eq!((failed.code(), reason(&failed).as_str()), (Code::Internal, "INTERNAL"));
    assert_eq!(failed.metadata().get("x-request-id").unwrap(), "find-me");
    assert!(!failed.message().contains("told to"), "what a panic says stays in the log");

    // The same connection goes on: an open stream, and new calls.
    assert_eq!(say(&channel, request("hello", &[])).await.unwrap(), "hello");
    let open = tokio::time::timeout(Duration::from_millis(1), stream.message()).await;
    assert!(open.is_err(), "the stream is open");
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_it_with_internal() {
    let server = start();
    let mut stream = watch(&server.channel().await, request("panic", &[])).await.unwrap();
    // What the encoder had buffered may be lost with it.
    let end = loop {
        if let Err(status) = soon("the end", stream.message()).await {
            break status;
        }
    };
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Internal, "INTERNAL"));
}

#[tokio::test]
async fn a_refusal_carries_an_id_of_its_own_where_the_caller_sent_none_or_a_bad_one() {
    let server = start();
    let channel = server.channel().await;
    let mut ids = Vec::new();
    for sent in [&[][..], &[("x-request-id", "has space")]] {
        let refused = say(&channel, request("refuse", sent)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let id = refused.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn over_the_bound_calls_are_refused_at_once_and_probes_are_not() {
    let mut server = start_with(true, |config| config.grpc.max_in_flight = 1);
    let channel = server.channel().await;
    let held = tokio::spawn({
        let channel = channel.clone();
        async move { say(&channel, request("hold", &[])).await }
    });
    assert_eq!(soon("the start", server.events.recv()).await, Some("started"));

    let refused = soon("the refusal", say(&channel, request("hello", &[]))).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "SERVER_BUSY"));
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();

    server.echo.gate.notify_one();
    assert_eq!(held.await.unwrap().unwrap(), "held");
    assert_eq!(say(&channel, request("hello", &[])).await.unwrap(), "hello");
    // An open stream holds no place.
    let _stream = watch(&channel, request("stuck", &[])).await.unwrap();
    assert_eq!(say(&channel, request("hello", &[])).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_its_place() {
    let mut server = start_with(true, |config| config.grpc.max_in_flight = 1);
    let channel = server.channel().await;
    let gone = tokio::spawn({
        let channel = channel.clone();
        async move { say(&channel, request("never", &[])).await }
    });
    assert_eq!(soon("the start", server.events.recv()).await, Some("started"));
    gone.abort();
    assert_eq!(soon("the drop", server.events.recv()).await, Some("dropped"));
    assert_eq!(say(&channel, request("hello", &[])).await.unwrap(), "hello");
    assert!(server.metrics().contains("rpc_response_status_code=\"CANCELLED\""), "{}", server.metrics());
}

#[tokio::test]
async fn a_connection_over_the_bound_is_closed() {
    let server = start_with(true, |config| config.grpc.max_connections = 1);
    let first = server.channel().await;
    assert_eq!(say(&first, request("hello", &[])).await.unwrap(), "hello");
    let second = match connect(server.address()).await {
        Ok(channel) => say(&channel, request("hello", &[])).await.is_err(),
        Err(_) => true,
    };
    assert!(second, "the second connection is closed");
    assert_eq!(say(&first, request("hello", &[])).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    use tokio::io::AsyncReadExt as _;
    let server = start_with(true, |config| config.grpc.first_byte_timeout_ms = 20);
    let mut silent = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let mut byte = [0];
    let closed = soon("the close", silent.read(&mut byte)).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[tokio::test]
async fn headers_over_the_bound_are_refused() {
    let server = start_with(true, |config| config.grpc.max_header_bytes = 4096);
    let channel = server.channel().await;
    assert!(say(&channel, request("hello", &[("x-long", &"x".repeat(5000))])).await.is_err());
    assert_eq!(say(&channel, request("hello", &[])).await.unwrap(), "hello");
}

#[tokio::test]
async fn every_call_is_counted_by_service_method_and_code() {
    let server = start();
    let channel = server.channel().await;
    for word in ["hello", "hello", "refuse", "panic"] {
        let _answer = say(&channel, request(word, &[])).await;
    }
    let _unknown = call(&channel, "/no.such.Service/Method-7", request("", &[])).await.unwrap_err();
    let mut stream = watch(&channel, request("stuck", &[])).await.unwrap();
    stream.next().await.unwrap().unwrap();

    let (status, text) = common::get(server.admin(), "/metrics").await;
    assert_eq!(status, 200);
    let count = |method: &str, code: &str| {
        let line = text.lines().find(|line| {
            line.starts_with("rpc_server_call_duration_seconds_count")
                && line.contains(&format!("rpc_method=\"{method}\""))
                && line.contains(&format!("rpc_response_status_code=\"{code}\""))
        });
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    let say = "sluice.test.v1.EchoService/Say";
    assert_eq!(count(say, "OK").as_deref(), Some("2"), "{text}");
    assert_eq!(count(say, "NOT_FOUND").as_deref(), Some("1"));
    assert_eq!(count(say, "INTERNAL").as_deref(), Some("1"));
    assert_eq!(count("unknown/unknown", "UNIMPLEMENTED").as_deref(), Some("1"));
    assert!(!text.contains("Method-7"), "callers must not choose labels");
    let open = text.lines().find(|line| line.starts_with("sluice_rpc_in_flight") && line.contains("EchoService/Watch"));
    assert!(open.unwrap().ends_with(" 1"), "{text}");
}

#[tokio::test]
async fn health_and_reflection_are_there() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = start();
    let channel = server.channel().await;
    let mut health = HealthClient::new(channel.clone());
    for (service, expected) in [("", Ok(1)), ("sluice.test.v1.EchoService", Ok(1)), ("no.Service", Err(Code::NotFound))]
    {
        let got = health.check(HealthCheckRequest { service: service.into() }).await;
        assert_eq!(got.map(|answer| answer.into_inner().status).map_err(|status| status.code()), expected, "{service}");
    }
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(list)).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "sluice.test.v1.EchoService"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
}
