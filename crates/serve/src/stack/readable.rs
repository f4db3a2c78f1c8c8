//! A request that is no protobuf message, or holds text that is not UTF-8, is its caller's mistake.
//!
//! tonic answers INTERNAL to a message that it cannot decode, without a reason. Told so, a caller would retry, and an
//! operator would look for a fault of ours. The decoder's own words name the field.

use http::{HeaderValue, Response};
use pin_project_lite::pin_project;
use sluice_model::Error;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{Code, Status};
use tower::{Layer, Service};

/// How prost's decoder begins what it has to say.
const UNDECODED: &str = "failed to decode Protobuf message: ";

/// Makes [`Readable`].
#[derive(Clone, Debug)]
pub(crate) struct ReadableLayer;

impl<S> Layer<S> for ReadableLayer {
    type Service = Readable<S>;

    fn layer(&self, inner: S) -> Readable<S> {
        Readable { inner }
    }
}

/// Answers INVALID_ARGUMENT where the inner service could not decode the request.
#[derive(Clone, Debug)]
pub(crate) struct Readable<S> {
    inner: S,
}

impl<S, Q, B> Service<Q> for Readable<S>
where
    S: Service<Q, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = ReadableFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        ReadableFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The answer, with that one refusal in our own words.
    pub(crate) struct ReadableFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B> Future for ReadableFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map(|Ok(response)| match undecoded(&response) {
            None => Ok(response),
            Some(refusal) => Ok(refusal.into_http()),
        })
    }
}

/// The refusal of a request that could not be decoded; `None` for every other answer. An answer that does not begin with a
/// status, as all that succeed, costs a look for one header.
fn undecoded<B>(response: &Response<B>) -> Option<Status> {
    let internal = HeaderValue::from(Code::Internal as i32);
    if response.headers().get("grpc-status")? != internal {
        return None;
    }
    let status = Status::from_header_map(response.headers())?;
    let said = status.message().strip_prefix(UNDECODED)?;
    // `ExecuteRequest.tenant: invalid string value: data is not UTF-8 encoded`
    let (place, what) = said.split_once(": ").unwrap_or(("", said));
    let field = place.split_once('.').map_or("request", |(_message, field)| field);
    Some(sluice_api::status::to_status(Error::field(field, format!("cannot be decoded: {what}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &Status) -> Response<()> {
        let mut response = Response::new(());
        status.add_header(response.headers_mut()).unwrap();
        response
    }

    #[test]
    fn what_cannot_be_decoded_is_the_callers_mistake_and_names_the_field() {
        let said =
            "failed to decode Protobuf message: ExecuteRequest.tenant: invalid string value: data is not UTF-8 encoded";
        let refusal = undecoded(&answer(&Status::internal(said))).unwrap();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(refusal.message(), "tenant: cannot be decoded: invalid string value: data is not UTF-8 encoded");
    }

    #[test]
    fn other_answers_stay() {
        assert!(undecoded(&answer(&Status::internal("the store failed"))).is_none());
        assert!(undecoded(&answer(&Status::not_found("no such flow"))).is_none());
        assert!(undecoded(&Response::new(())).is_none());
    }
}
