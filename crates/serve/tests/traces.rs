//! Traces reach a collector, as children of the caller's. The log and the tracer are the process's, so this test has one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Echo, connect, descriptors, request, say, soon};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use sluice_serve::{
    About, Drain, Grpc, Listener, Readiness, Telemetry,
    config::{DrainConfig, GrpcConfig, LogConfig, LogFormat, TelemetryConfig},
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampled_call_is_a_child_of_its_callers_span_and_is_sent_at_the_latest_at_the_end() {
    let readiness = Readiness::new();
    let drain = Drain::new(&DrainConfig::default(), &readiness, "accepting");
    let any = || Listener::bind("listen", "127.0.0.1:0".parse().unwrap()).unwrap();
    let grpc = || Grpc::new(&GrpcConfig::default());
    let about = About::new("sluice-test", "1.2.3");

    // The collector is one of our own servers, whose own calls are not traced.
    let (sender, mut received) = mpsc::unbounded_channel();
    let untraced = Telemetry::new(&about, &TelemetryConfig::default()).unwrap();
    let collector = grpc().service(TraceServiceServer::new(Collector(sender)));
    let collector = collector.spawn(any(), &untraced, &readiness, &drain).unwrap();

    let config = TelemetryConfig {
        otlp_endpoint: Some(format!("http://{}", collector.address())),
        trace_ratio: 0.0,
        ..TelemetryConfig::default()
    };
    // The log's level has no say in what is traced.
    let log = LogConfig { level: "error".into(), format: LogFormat::Json };
    let telemetry = Telemetry::start(&about, &log, &config).unwrap();
    let server = grpc().descriptors(descriptors()).front(Echo::new().0);
    let server = server.spawn(any(), &telemetry, &readiness, &drain).unwrap();

    let channel = connect(server.address()).await.unwrap();
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    say(&channel, request("hello", &[])).await.unwrap();
    say(&channel, request("refuse", &[("traceparent", caller)])).await.unwrap_err();
    soon("the shutdown", telemetry.shutdown()).await;

    let export = soon("the export", received.recv()).await.unwrap();
    let mut spans = export.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
    let span = spans.find(|span| span.name == "sluice.test.v1.EchoService/Say").unwrap();
    assert_eq!(span.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    let code = span.attributes.iter().find(|attribute| attribute.key == "rpc.response.status_code").unwrap();
    assert!(format!("{code:?}").contains("NOT_FOUND"), "{code:?}");
    assert_eq!(spans.count(), 0, "the call without a caller's trace is not sampled");
}
