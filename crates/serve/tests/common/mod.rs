//! A small gRPC service, written by hand, whose callers say how it shall behave; and clients for it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses a part, and fails by panicking"
)]

use futures_util::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use http::{Request, Response};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use sluice_serve::{
    About, App, Drain, Running, Telemetry,
    config::{ServerConfig, TelemetryConfig},
    deadline, principal,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, mpsc},
};
use tonic::{
    Status,
    body::Body,
    server::{Grpc, NamedService},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceExt as _, service_fn, util::BoxCloneService};

pub const SAY: &str = "/sluice.test.v1.EchoService/Say";
pub const WATCH: &str = "/sluice.test.v1.EchoService/Watch";

/// The service. `Say` and `Watch` take a word (google.protobuf.StringValue) that tells what to do.
#[derive(Clone)]
pub struct Echo {
    pub drain: Option<Drain>,
    /// Lets `hold` go on.
    pub gate: Arc<Notify>,
    /// Tells what happens inside: `started`, `dropped`.
    pub events: mpsc::UnboundedSender<&'static str>,
}

struct Told(mpsc::UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _closed = self.0.send("dropped");
    }
}

impl Echo {
    pub fn new() -> (Echo, mpsc::UnboundedReceiver<&'static str>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Echo { drain: None, gate: Arc::new(Notify::new()), events }, receiver)
    }

    async fn say(self, request: tonic::Request<String>) -> Result<tonic::Response<String>, Status> {
        let answer = match request.get_ref().as_str() {
            "who" => principal(&request)?.name.clone(),
            "deadline" => deadline(&request).map_or("none".into(), |left| left.remaining().as_millis().to_string()),
            "panic" => panic!("the handler was told to"),
            "refuse" => return Err(Status::not_found("there is none")),
            "never" => {
                let _told = Told(self.events.clone());
                self.events.send("started").unwrap();
                std::future::pending().await
            }
            "hold" => {
                self.events.send("started").unwrap();
                self.gate.notified().await;
                "held".into()
            }
            word => word.to_owned(),
        };
        Ok(tonic::Response::new(answer))
    }

    async fn watch(
        self,
        request: tonic::Request<String>,
    ) -> Result<tonic::Response<BoxStream<'static, Result<String, Status>>>, Status> {
        let first = futures_util::stream::once(async { Ok("first".to_owned()) });
        let rest: BoxStream<'static, Result<String, Status>> = match request.get_ref().as_str() {
            // Lives until the drain, as a good stream does.
            "drained" => futures_util::stream::pending().take_until(self.drain.unwrap().begun()).boxed(),
            // Lives for ever.
            "stuck" => futures_util::stream::pending().boxed(),
            // Sends more than any window, for ever.
            "flood" => futures_util::stream::repeat_with(|| Ok("x".repeat(16 * 1024))).boxed(),
            "panic" => futures_util::stream::once(async { panic!("the stream was told to") }).boxed(),
            word => futures_util::stream::iter([Ok(word.to_owned())]).boxed(),
        };
        Ok(tonic::Response::new(first.chain(rest).boxed()))
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "sluice.test.v1.EchoService";
}

impl<B> Service<Request<B>> for Echo
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                SAY => grpc.unary(service_fn(move |request| echo.clone().say(request)), request).await,
                WATCH => grpc.server_streaming(service_fn(move |request| echo.clone().watch(request)), request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// The service's descriptors, encoded.
pub fn descriptors() -> &'static [u8] {
    let method = |name: &str, streams| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".google.protobuf.StringValue".into()),
        output_type: Some(".google.protobuf.StringValue".into()),
        server_streaming: Some(streams),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("echo.proto".into()),
        package: Some("sluice.test.v1".into()),
        service: vec![ServiceDescriptorProto {
            name: Some("EchoService".into()),
            method: vec![method("Say", false), method("Watch", true)],
            ..Default::default()
        }],
        ..Default::default()
    };
    Box::leak(FileDescriptorSet { file: vec![file] }.encode_to_vec().into_boxed_slice())
}

/// A running server with the echo service.
pub struct Server {
    pub running: Running,
    pub echo: Echo,
    pub events: mpsc::UnboundedReceiver<&'static str>,
    pub drain: Drain,
    pub telemetry: Telemetry,
    pub folder: tempfile::TempDir,
}

/// Starts a server on free ports, with settings changed by `change`. The service is in the front, or behind the router.
pub fn start_with(front: bool, change: impl FnOnce(&mut ServerConfig)) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::on(0, 0, folder.path().join("data"));
    change(&mut config);
    let about = About::new("sluice-test", "1.2.3").with("engine", "abc");
    let telemetry = Telemetry::new(&about, &TelemetryConfig::default()).unwrap();
    let app = App::build(about, &config).unwrap();
    let (mut echo, events) = Echo::new();
    echo.drain = Some(app.drain().clone());
    let drain = app.drain().clone();
    let grpc = app.grpc().descriptors(descriptors());
    let running = if front {
        app.spawn("executor", grpc.front(echo.clone()), &telemetry).unwrap()
    } else {
        app.spawn("executor", grpc.service(echo.clone()), &telemetry).unwrap()
    };
    Server { running, echo, events, drain, telemetry, folder }
}

pub fn start() -> Server {
    start_with(true, |_| {})
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.running.addresses()["executor"]
    }

    pub fn admin(&self) -> SocketAddr {
        self.running.addresses()["admin"]
    }

    pub async fn channel(&self) -> Channel {
        connect(self.address()).await.unwrap()
    }

    pub fn metrics(&self) -> String {
        self.telemetry.exposition().text().unwrap()
    }
}

pub async fn connect(address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
    Endpoint::try_from(format!("http://{address}")).unwrap().connect().await
}

/// A request with headers, and with `grpc-timeout` where there is one.
pub fn request(word: &str, headers: &[(&'static str, &str)]) -> tonic::Request<String> {
    let mut request = tonic::Request::new(word.to_owned());
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

pub async fn say(channel: &impl Client, request: tonic::Request<String>) -> Result<String, Status> {
    call(channel, SAY, request).await
}

pub async fn call(
    channel: &impl Client,
    path: &'static str,
    request: tonic::Request<String>,
) -> Result<String, Status> {
    let mut grpc = channel.client();
    grpc.ready().await?;
    let path = http::uri::PathAndQuery::from_static(path);
    Ok(grpc.unary(request, path, ProstCodec::<String, String>::default()).await?.into_inner())
}

pub async fn watch(channel: &impl Client, request: tonic::Request<String>) -> Result<tonic::Streaming<String>, Status> {
    let mut grpc = channel.client();
    grpc.ready().await?;
    let path = http::uri::PathAndQuery::from_static(WATCH);
    Ok(grpc.server_streaming(request, path, ProstCodec::<String, String>::default()).await?.into_inner())
}

type AnyService = BoxCloneService<Request<Body>, Response<Body>, Status>;

/// A client of the test service.
pub trait Client {
    fn client(&self) -> tonic::client::Grpc<AnyService>;
}

impl Client for Channel {
    fn client(&self) -> tonic::client::Grpc<AnyService> {
        tonic::client::Grpc::new(BoxCloneService::new(
            self.clone().map_err(|error| Status::unavailable(error.to_string())),
        ))
    }
}

/// A client without a timer of its own: tonic's would answer CANCELLED at the deadline that the server is to keep.
#[derive(Clone)]
pub struct Patient {
    connection: hyper::client::conn::http2::SendRequest<Body>,
    origin: http::Uri,
}

impl Patient {
    pub async fn connect(address: SocketAddr) -> Patient {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let executor = hyper_util::rt::TokioExecutor::new();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (connection, driver) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(driver);
        Patient { connection, origin: format!("http://{address}").parse().unwrap() }
    }
}

impl Service<Request<Body>> for Patient {
    type Response = Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.connection.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.connection.send_request(request))
    }
}

impl Client for Patient {
    fn client(&self) -> tonic::client::Grpc<AnyService> {
        let service = self.clone().map_response(|response| response.map(Body::new));
        let service = service.map_err(|error: hyper::Error| Status::unavailable(error.to_string()));
        tonic::client::Grpc::with_origin(BoxCloneService::new(service), self.origin.clone())
    }
}

/// The status line and the body of a page.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// Fails a test that would hang.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}
