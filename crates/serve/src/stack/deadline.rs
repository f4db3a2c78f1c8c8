//! The caller's deadline: `grpc-timeout`, as the gRPC over HTTP/2 specification has it.
//!
//! A call that is not answered by then, or whose stream is still open, ends with DEADLINE_EXCEEDED and its handler is
//! dropped. A call without the header is never cut: long streams live as long as both ends do.

use crate::{
    call::{Call, Deadline},
    refusal::{bad_header, deadline_exceeded},
};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;
use tonic::Status;
use tower::{Layer, Service};

/// The header of the caller's deadline.
const GRPC_TIMEOUT: http::HeaderName = http::HeaderName::from_static("grpc-timeout");

/// The most digits that the specification allows.
const MAX_DIGITS: usize = 8;

/// The longest deadline that is kept, in seconds; the header can say 11,000 years, which no timer takes.
const MAX_TIMEOUT_S: u64 = 365 * 24 * 60 * 60;

/// Makes [`Deadlined`].
#[derive(Clone, Debug)]
pub(crate) struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadlined<S>;

    fn layer(&self, inner: S) -> Deadlined<S> {
        Deadlined { inner }
    }
}

/// Ends the call at the caller's deadline.
#[derive(Clone, Debug)]
pub(crate) struct Deadlined<S> {
    inner: S,
}

impl<S, Q, B> Service<Request<Q>> for Deadlined<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<DeadlineBody<B>>;
    type Error = Infallible;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let refused = |status| DeadlineFuture { inner: None, sleep: None, deadline: None, refused: Some(status) };
        let timeout = match timeout(request.headers()) {
            Ok(timeout) => timeout,
            Err(status) => return refused(status),
        };
        let deadline = match (timeout, request.extensions_mut().get_mut::<Call>()) {
            (Some(timeout), Some(call)) => {
                let deadline = Deadline(call.received + timeout);
                if deadline.remaining().is_zero() {
                    return refused(deadline_exceeded());
                }
                call.deadline = Some(deadline);
                Some(deadline)
            }
            _ => None,
        };
        DeadlineFuture { inner: Some(self.inner.call(request)), sleep: None, deadline, refused: None }
    }
}

/// The timeout that the caller sent.
#[allow(clippy::result_large_err, reason = "the error is the answer as it is")]
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(&GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let malformed = || bad_header("grpc-timeout", "takes 1 to 8 digits and one of H, M, S, m, u, n, such as 250m");
    let (unit, digits) = value.as_bytes().split_last().ok_or_else(malformed)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Err(malformed()),
    };
    Ok(Some(timeout.min(Duration::from_secs(MAX_TIMEOUT_S))))
}

pin_project! {
    /// The call, until its deadline. The timer is made when the call is first found unfinished: most are not.
    pub(crate) struct DeadlineFuture<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        sleep: Option<Sleep>,
        deadline: Option<Deadline>,
        refused: Option<Status>,
    }
}

impl<F, B> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = Result<Response<DeadlineBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(this.refused.take().unwrap_or_else(deadline_exceeded).into_http()));
        };
        if let Poll::Ready(answer) = inner.poll(cx) {
            let deadline = *this.deadline;
            return Poll::Ready(
                answer.map(|r| r.map(|body| DeadlineBody { inner: Some(body), sleep: None, deadline })),
            );
        }
        let Some(deadline) = *this.deadline else {
            return Poll::Pending;
        };
        if this.sleep.is_none() {
            this.sleep.set(Some(tokio::time::sleep_until(deadline.0.into())));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        this.inner.set(None);
        Poll::Ready(Ok(deadline_exceeded().into_http()))
    }
}

pin_project! {
    /// The answer, until its deadline. An answer that does not wait makes no timer.
    #[derive(Default)]
    pub(crate) struct DeadlineBody<B> {
        #[pin]
        inner: Option<B>,
        sleep: Option<Pin<Box<Sleep>>>,
        deadline: Option<Deadline>,
    }
}

impl<B: Body> Body for DeadlineBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = inner.poll_frame(cx);
        let Some(deadline) = *this.deadline else { return polled };
        match polled {
            // A stream that always has more to say must not outlive its caller either.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && !deadline.remaining().is_zero() => {
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {}
            Poll::Ready(end) => return Poll::Ready(end),
            Poll::Pending => {
                let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.0.into())));
                ready!(sleep.as_mut().poll(cx));
            }
        }
        this.inner.set(None);
        Poll::Ready(Some(Ok(Frame::trailers(super::trailers(&deadline_exceeded())))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
