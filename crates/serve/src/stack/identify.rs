//! Finds out who is calling before the handler runs.

use crate::{
    call::Call,
    principal::{Authenticate, Caller},
    refusal::refusal,
};
use http::{Request, Response};
use pin_project_lite::pin_project;
use sluice_model::Code;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::Status;
use tower::{Layer, Service};

/// Makes [`Identified`].
#[derive(Clone, Debug)]
pub(crate) struct IdentifyLayer {
    authenticate: Arc<dyn Authenticate>,
}

impl IdentifyLayer {
    pub(crate) fn new(authenticate: Arc<dyn Authenticate>) -> IdentifyLayer {
        IdentifyLayer { authenticate }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identified<S>;

    fn layer(&self, inner: S) -> Identified<S> {
        Identified { inner, authenticate: Arc::clone(&self.authenticate) }
    }
}

/// Puts the principal into the call, or refuses it.
#[derive(Clone, Debug)]
pub(crate) struct Identified<S> {
    inner: S,
    authenticate: Arc<dyn Authenticate>,
}

impl<S, Q, B> Service<Request<Q>> for Identified<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Answer<S::Future, ()>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let found = match request.extensions().get::<Call>() {
            Some(call) => self.authenticate.authenticate(&Caller::new(request.headers(), call.peer)),
            None => Err(refusal(Code::Internal, "INTERNAL", "the call is not known to the stack")),
        };
        match found {
            Ok(principal) => {
                if let Some(call) = request.extensions_mut().get_mut::<Call>() {
                    call.principal = Some(principal);
                }
                Answer::awaited(self.inner.call(request), None)
            }
            Err(status) => Answer::refused(status),
        }
    }
}

pin_project! {
    /// The answer of the inner service, or a refusal that needs none. The guard is held until the answer begins.
    pub(crate) struct Answer<F, G> {
        #[pin]
        inner: Option<F>,
        refused: Option<Status>,
        guard: Option<G>,
    }
}

impl<F, G> Answer<F, G> {
    pub(super) fn awaited(inner: F, guard: Option<G>) -> Answer<F, G> {
        Answer { inner: Some(inner), refused: None, guard }
    }

    pub(super) fn refused(status: Status) -> Answer<F, G> {
        Answer { inner: None, refused: Some(status), guard: None }
    }
}

impl<F, G, B> Future for Answer<F, G>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        match this.inner.as_mut().as_pin_mut() {
            Some(inner) => {
                let poll = inner.poll(cx);
                if poll.is_ready() {
                    *this.guard = None;
                }
                poll
            }
            None => {
                Poll::Ready(Ok(this.refused.take().unwrap_or_else(|| Status::internal("polled twice")).into_http()))
            }
        }
    }
}
