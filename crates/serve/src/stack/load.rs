//! The bound on calls in flight: one more is refused at once.

use super::identify::Answer;
use crate::{call::Call, refusal::refusal};
use http::{Request, Response};
use sluice_model::Code;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// The bound and how much of it is used.
#[derive(Debug)]
pub(crate) struct Load {
    max_in_flight: usize,
    in_flight: AtomicUsize,
}

impl Load {
    pub(crate) fn new(max_in_flight: usize) -> Load {
        Load { max_in_flight, in_flight: AtomicUsize::new(0) }
    }

    fn enter(self: &Arc<Load>) -> Option<Permit> {
        // Relaxed: it is a count, nothing is published by it.
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(self));
        (before < self.max_in_flight).then_some(permit)
    }
}

/// One of the calls in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Load>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes [`Bound`].
#[derive(Clone, Debug)]
pub(crate) struct LoadLayer {
    load: Arc<Load>,
}

impl LoadLayer {
    pub(crate) fn new(load: Arc<Load>) -> LoadLayer {
        LoadLayer { load }
    }
}

impl<S> Layer<S> for LoadLayer {
    type Service = Bound<S>;

    fn layer(&self, inner: S) -> Bound<S> {
        Bound { inner, load: Arc::clone(&self.load) }
    }
}

/// Answers RESOURCE_EXHAUSTED when the bound is reached. Probes pass: overload must not look like death. A stream holds
/// its place until its answer begins, for afterwards it is idle most of its time and the connection bounds it.
#[derive(Clone, Debug)]
pub(crate) struct Bound<S> {
    inner: S,
    load: Arc<Load>,
}

impl<S, Q, B> Service<Request<Q>> for Bound<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Answer<S::Future, Permit>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        if request.extensions().get::<Call>().is_some_and(|call| call.method.is_probe) {
            return Answer::awaited(self.inner.call(request), None);
        }
        match self.load.enter() {
            Some(permit) => Answer::awaited(self.inner.call(request), Some(permit)),
            None => {
                let message =
                    format!("the server is answering {} calls, its most; retry later", self.load.max_in_flight);
                Answer::refused(refusal(Code::ResourceExhausted, "SERVER_BUSY", message))
            }
        }
    }
}
