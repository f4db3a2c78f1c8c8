//! From a path to a service. One service may stand in front of the router.
//!
//! The router of tonic clones a box and boxes a future and the body of every call. The service that is on the path of
//! every sign-in does not pay that: it is asked first, by its name, and called directly.

use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{body::Body, server::NamedService, service::Routes};
use tower::Service;

/// The front service, if any, and the router behind it.
#[derive(Clone, Debug)]
pub(crate) struct Route<F> {
    front: Option<F>,
    routes: Routes,
}

impl<F> Route<F> {
    pub(crate) fn new(front: Option<F>, routes: Routes) -> Route<F> {
        Route { front, routes }
    }
}

impl<F> Service<Request<Incoming>> for Route<F>
where
    F: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + NamedService,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RouteFuture<F::Future, <Routes as Service<Request<Incoming>>>::Future>;

    // Generated services and the router are always ready, which the router's own `call` relies on too.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let service = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
        match &mut self.front {
            Some(front) if service.is_some_and(|(service, _)| service == F::NAME) => {
                RouteFuture::Front { future: front.call(request) }
            }
            _ => RouteFuture::Routed { future: self.routes.call(request) },
        }
    }
}

pin_project! {
    /// The future of whichever was called.
    #[project = RouteFutureProjection]
    pub(crate) enum RouteFuture<F, R> {
        Front { #[pin] future: F },
        Routed { #[pin] future: R },
    }
}

impl<F, R> Future for RouteFuture<F, R>
where
    F: Future,
    R: Future<Output = F::Output>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            RouteFutureProjection::Front { future } => future.poll(cx),
            RouteFutureProjection::Routed { future } => future.poll(cx),
        }
    }
}
