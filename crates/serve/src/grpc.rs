//! A gRPC server: services, health and reflection, inside the stack, on a listener.

use crate::{
    config::GrpcConfig,
    connection::{self, Connections},
    drain::{Drain, Drained},
    health,
    listener::Listener,
    methods::Methods,
    principal::{Authenticate, LoopbackOperator},
    readiness::Readiness,
    stack::{Instruments, Load, Route, stack},
    telemetry::Telemetry,
};
use http::{Request, Response};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    future::Ready,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tower::Service;

/// The services cannot be assembled: a descriptor set cannot be read, a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC services cannot be assembled: {0}")]
pub struct AssembleError(String);

/// A gRPC server to be. `F` is the service in front of the router, if there is one.
#[derive(Debug)]
pub struct Grpc<F = NoFront> {
    config: GrpcConfig,
    descriptors: Vec<&'static [u8]>,
    routes: RoutesBuilder,
    front: Option<F>,
    authenticate: Arc<dyn Authenticate>,
}

impl Grpc {
    /// A server with these bounds and no service but health and reflection.
    pub fn new(config: &GrpcConfig) -> Grpc {
        Grpc {
            config: config.clone(),
            descriptors: Vec::new(),
            routes: Routes::builder(),
            front: None,
            authenticate: Arc::new(LoopbackOperator::default()),
        }
    }
}

impl<F> Grpc<F> {
    /// The encoded file descriptor set of the services that are added: reflection shows it, and metrics have the methods
    /// in it as labels (a method that is in no set is counted as `unknown`).
    #[must_use]
    pub fn descriptors(mut self, encoded: &'static [u8]) -> Grpc<F> {
        self.descriptors.push(encoded);
        self
    }

    /// Adds a service. Its message bound is its own: `.max_decoding_message_size(config.grpc.max_message_bytes)`.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Grpc<F>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Adds the one service that is asked before the router, without its boxes: the one on the path of every sign-in.
    #[must_use]
    pub fn front<G>(self, service: G) -> Grpc<G> {
        let Grpc { config, descriptors, routes, front: _, authenticate } = self;
        Grpc { config, descriptors, routes, front: Some(service), authenticate }
    }

    /// Another way of finding out who is calling than [`LoopbackOperator`].
    #[must_use]
    pub fn authenticate(mut self, authenticate: Arc<dyn Authenticate>) -> Grpc<F> {
        self.authenticate = authenticate;
        self
    }
}

impl<F> Grpc<F>
where
    F: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + NamedService,
    F: Clone + Send + 'static,
    F::Future: Send + 'static,
{
    /// Serves on the listener, on the current tokio runtime, until the drain.
    pub fn spawn(
        mut self,
        listener: Listener,
        telemetry: &Telemetry,
        readiness: &Readiness,
        drain: &Drain,
    ) -> Result<Serving, AssembleError> {
        self.descriptors.extend([tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET]);
        let methods = Arc::new(Methods::new(&self.descriptors).map_err(|error| AssembleError(error.to_string()))?);
        let mut reflection = tonic_reflection::server::Builder::configure().include_reflection_service(false);
        for encoded in &self.descriptors {
            reflection = reflection.register_encoded_file_descriptor_set(encoded);
        }
        let reflection = reflection.build_v1().map_err(|error| AssembleError(error.to_string()))?;
        let health = health::service(readiness.clone(), drain.clone(), methods.services().into());
        self.routes.add_service(health).add_service(reflection);

        let instruments = Instruments::new(&telemetry.meter(), &methods, telemetry.is_traced());
        let service = stack(
            Route::new(self.front, self.routes.routes().prepare()),
            Arc::new(instruments),
            Arc::new(Load::new(self.config.max_in_flight)),
            self.authenticate,
        );
        let address = listener.address();
        let connections = Connections::default();
        let accepting =
            connection::accept(listener.socket, service, self.config, methods, drain.clone(), connections.clone());
        tokio::spawn({
            let connections = connections.clone();
            async move {
                accepting.await;
                connections.open.close();
            }
        });
        drain.accepting();
        Ok(Serving { address, connections, drain: drain.clone() })
    }
}

/// A gRPC server that serves.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    connections: Connections,
    drain: Drain,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drains it, as [`Drain`] says, and waits for its end, which comes in any case.
    pub async fn drain(self) -> Drained {
        let Connections { open, cut } = &self.connections;
        self.drain.run(async { open.wait().await }).await;
        // What is cut is dropped by its own task, which needs a moment but no peer.
        open.wait().await;
        match cut.load(Ordering::Relaxed) {
            0 => Drained::Clean,
            cut => Drained::Cut(cut),
        }
    }
}

/// No service in front of the router.
#[derive(Clone, Debug)]
pub enum NoFront {}

impl NamedService for NoFront {
    const NAME: &'static str = "";
}

impl Service<Request<Incoming>> for NoFront {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match *self {}
    }

    fn call(&mut self, _request: Request<Incoming>) -> Self::Future {
        match *self {}
    }
}
