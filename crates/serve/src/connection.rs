//! Accepts connections and serves HTTP/2 on them until the drain.
//!
//! tonic's own server is not used: it parses `grpc-timeout` a second time and answers CANCELLED, boxes every call's future
//! and body, spawns connections that nobody can end, and has no bound on their number.

use crate::{
    call::{Call, CallId, CallIds},
    config::GrpcConfig,
    drain::Drain,
    methods::Methods,
};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::Service;

/// How long accepting rests when the process is out of descriptors or memory; at once it would only fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connections of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    /// Those that are open.
    pub(crate) open: TaskTracker,
    /// How many the drain has cut.
    pub(crate) cut: Arc<AtomicUsize>,
}

/// Accepts until the drain begins. The port is closed when it returns.
pub(crate) async fn accept<S, B>(
    listener: TcpListener,
    service: S,
    config: GrpcConfig,
    methods: Arc<Methods>,
    drain: Drain,
    connections: Connections,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<tonic::codegen::StdError>> + Send + 'static,
{
    let http2 = protocol(&config);
    let ids = Arc::new(CallIds::new());
    let mut begun = pin!(drain.begun());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut begun => return,
        };
        if connections.open.len() >= config.max_connections {
            tracing::warn!(%peer, max_connections = config.max_connections, "a connection is closed, there are too many");
            continue;
        }
        let (service, methods, ids) = (service.clone(), Arc::clone(&methods), Arc::clone(&ids));
        let (drain, http2) = (drain.clone(), http2.clone());
        let first_byte = Duration::from_millis(config.first_byte_timeout_ms);
        let cut = Arc::clone(&connections.cut);
        connections.open.spawn(async move {
            tokio::select! {
                () = serve(stream, PerConnection { service, methods, ids, peer }, http2, first_byte, &drain) => {}
                () = drain.cut() => {
                    cut.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%peer, "a connection is cut");
                }
            }
        });
    }
}

/// Whether the error is about a connection that is gone already, and not about accepting.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

type Protocol = hyper::server::conn::http2::Builder<TokioExecutor>;

fn protocol(config: &GrpcConfig) -> Protocol {
    let mut http2 = Protocol::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(config.max_header_bytes)
        .keep_alive_interval(Duration::from_secs(config.keep_alive_interval_s))
        .keep_alive_timeout(Duration::from_secs(config.keep_alive_timeout_s))
        // A date header on every answer is bytes that no gRPC client reads.
        .auto_date_header(false);
    http2
}

async fn serve<S, B>(stream: TcpStream, service: PerConnection<S>, http2: Protocol, first_byte: Duration, drain: &Drain)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<tonic::codegen::StdError>> + Send + 'static,
{
    let peer = service.peer;
    // Without it small answers would wait for the acknowledgement of the ones before.
    let _slower = stream.set_nodelay(true);
    // Pings find dead connections only once HTTP/2 is spoken: a connection that never says a word is closed here.
    // (Peeked, since readiness alone may be reported of a socket that has nothing to read.)
    let mut byte = [0];
    tokio::select! {
        spoken = tokio::time::timeout(first_byte, stream.peek(&mut byte)) => {
            if !matches!(spoken, Ok(Ok(1))) {
                tracing::debug!(%peer, "a connection is closed, it said nothing");
                return;
            }
        }
        () = drain.begun() => return,
    }
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = drain.begun() => {
            // GOAWAY: no new calls; those that are open end first.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection failed");
    }
}

/// The stack, for the calls of one connection: it names each.
#[derive(Clone)]
struct PerConnection<S> {
    service: S,
    methods: Arc<Methods>,
    ids: Arc<CallIds>,
    peer: SocketAddr,
}

impl<S> hyper::service::Service<Request<Incoming>> for PerConnection<S>
where
    S: Service<Request<Incoming>, Error = Infallible> + Clone,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        let call = Call {
            method: Arc::clone(self.methods.at(request.uri().path())),
            id: CallId::of(request.headers(), &self.ids),
            received: Instant::now(),
            peer: self.peer,
            deadline: None,
            principal: None,
        };
        request.extensions_mut().insert(call);
        // The stack is always ready (its router answers so unasked): a clone needs no polling first.
        self.service.clone().call(request)
    }
}
