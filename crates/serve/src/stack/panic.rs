//! A panic in a handler, or in the stream that it answered, ends that call alone.

use crate::refusal::panicked;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Makes [`Guard`].
#[derive(Clone, Debug)]
pub(crate) struct PanicLayer;

impl<S> Layer<S> for PanicLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner }
    }
}

/// Answers INTERNAL where the inner service panics.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
}

impl<S, Q, B> Service<Request<Q>> for Guard<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<GuardBody<B>>;
    type Error = Infallible;
    type Future = GuardFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // Unwind safety: the future and the request are dropped, and what they share must be sound after a panic, as it
        // must be for a task of the runtime.
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        GuardFuture { inner: inner.map_err(told).ok() }
    }
}

pin_project! {
    /// The call, until it panics.
    pub(crate) struct GuardFuture<F> {
        #[pin]
        inner: Option<F>,
    }
}

impl<F, B> Future for GuardFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = Result<Response<GuardBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(panicked().into_http()));
        };
        match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => Poll::Ready(Ok(response.map(|body| GuardBody { inner: Some(body) }))),
            Ok(Poll::Ready(Err(never))) => match never {},
            Err(payload) => {
                told(payload);
                this.inner.set(None);
                Poll::Ready(Ok(panicked().into_http()))
            }
        }
    }
}

pin_project! {
    /// The answer, until it panics.
    #[derive(Default)]
    pub(crate) struct GuardBody<B> {
        #[pin]
        inner: Option<B>,
    }
}

impl<B: Body> Body for GuardBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| inner.poll_frame(cx))) {
            Ok(poll) => poll,
            Err(payload) => {
                told(payload);
                this.inner.set(None);
                Poll::Ready(Some(Ok(Frame::trailers(super::trailers(&panicked())))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Logs what the panic said. Where it was is on standard error, by the panic hook.
fn told(payload: Box<dyn Any + Send>) {
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(panic = said, "a handler panicked");
}
