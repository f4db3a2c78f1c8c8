//! One span and one measurement a call, from its headers to the last byte of its answer.

use crate::{
    call::{Call, REQUEST_ID},
    methods::{Method, Methods},
};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::{
    metrics::{Histogram, Meter},
    propagation::{Extractor, TextMapPropagator as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Instant,
};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The buckets of the latency histogram, in seconds: fine where an Execute lies (60 us to 2 s).
const BUCKETS_S: [f64; 17] =
    [0.000_1, 0.000_2, 0.000_35, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The instruments of gRPC calls.
#[derive(Debug)]
pub(crate) struct Instruments {
    duration: Histogram<f64>,
    /// Whether traces go anywhere: only then is the caller's trace worth parsing.
    traced: bool,
}

impl Instruments {
    /// `rpc.server.call.duration` (its count is the calls, by method and code) and `sluice.rpc.in_flight`.
    pub(crate) fn new(meter: &Meter, methods: &Arc<Methods>, traced: bool) -> Instruments {
        let duration = meter
            .f64_histogram("rpc.server.call.duration")
            .with_unit("s")
            .with_description("How long calls took, from their headers to the end of their answer")
            .with_boundaries(BUCKETS_S.to_vec())
            .build();
        let observed = Arc::clone(methods);
        let _registered = meter
            .i64_observable_up_down_counter("sluice.rpc.in_flight")
            .with_unit("{call}")
            .with_description("Calls whose answer has not ended, streams included")
            .with_callback(move |observer| {
                for method in observed.all() {
                    observer.observe(method.in_flight.load(Ordering::Relaxed), &method.attributes);
                }
            })
            .build();
        Instruments { duration, traced }
    }
}

/// Makes [`Observe`].
#[derive(Clone, Debug)]
pub(crate) struct ObserveLayer {
    instruments: Arc<Instruments>,
}

impl ObserveLayer {
    pub(crate) fn new(instruments: Arc<Instruments>) -> ObserveLayer {
        ObserveLayer { instruments }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, instruments: Arc::clone(&self.instruments) }
    }
}

/// Observes every call. The request must carry its [`Call`].
#[derive(Clone, Debug)]
pub(crate) struct Observe<S> {
    inner: S,
    instruments: Arc<Instruments>,
}

impl<S, Q, B> Service<Request<Q>> for Observe<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    type Response = Response<ObserveBody<B>>;
    type Error = Infallible;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let watch = request.extensions().get::<Call>().map(|call| {
            call.method.in_flight.fetch_add(1, Ordering::Relaxed);
            Watch {
                span: span(call, request.headers(), self.instruments.traced),
                call: call.clone(),
                instruments: Arc::clone(&self.instruments),
                code: Code::Cancelled,
            }
        });
        let inner = {
            let _entered = watch.as_ref().map(|watch| watch.span.enter());
            self.inner.call(request)
        };
        ObserveFuture { inner, watch }
    }
}

/// The span of a call. Its level is that of `log.level`'s default, so that every line of a handler's log says which call
/// it is about; where it is filtered out it costs a comparison. Every field is written out for the log when the span is
/// made, printed or not: those that only a collector wants are there only when there is one.
fn span(call: &Call, headers: &HeaderMap, traced: bool) -> Span {
    let method = &*call.method.name;
    if !traced {
        return match trace_id(headers) {
            Some(trace) => tracing::info_span!("call", method, id = %call.id, trace),
            None => tracing::info_span!("call", method, id = %call.id),
        };
    }
    let span = tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        id = %call.id,
        trace = trace_id(headers),
    );
    if headers.contains_key("traceparent") {
        // It fails only where no layer takes traces.
        let _untraced = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
    span
}

/// The id of the caller's trace, for the log: the second of the fixed places of `traceparent`, version "-" trace id "-"
/// parent "-" flags (W3C Trace Context, section 3.2).
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    parent.get(3..35).filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// A call that is being observed. Dropped, it is measured: as CANCELLED where nobody said how it ended, for then the
/// caller went away.
struct Watch {
    call: Call,
    instruments: Arc<Instruments>,
    span: Span,
    code: Code,
}

impl Watch {
    /// Ends the watch with this code.
    fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let method: &Method = &self.call.method;
        let code = usize::try_from(i32::from(self.code)).unwrap_or(0);
        method.in_flight.fetch_sub(1, Ordering::Relaxed);
        let took = Instant::now().saturating_duration_since(self.call.received);
        self.instruments.duration.record(took.as_secs_f64(), &method.by_code[code]);
        if self.instruments.traced && !self.span.is_disabled() {
            self.span.record("rpc.response.status_code", super::CODES[code]);
            // The codes that are the server's fault, by OpenTelemetry's conventions for gRPC servers.
            if matches!(
                self.code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ) {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        tracing::debug!(parent: &self.span, code = super::CODES[code], took_us = took.as_micros(), "answered");
    }
}

/// The code in these headers or trailers.
fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

pin_project! {
    /// The call, inside its span.
    pub(crate) struct ObserveFuture<F> {
        #[pin]
        inner: F,
        watch: Option<Watch>,
    }
}

impl<F, B> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body,
{
    type Output = Result<Response<ObserveBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = {
            let _entered = this.watch.as_ref().map(|watch| watch.span.enter());
            match ready!(this.inner.poll(cx)) {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        let mut watch = this.watch.take();
        // An answer of headers alone is over: it says its code there, or never.
        let over = code(response.headers()).or_else(|| response.body().is_end_stream().then_some(Code::Unknown));
        if let Some(code) = over
            && let Some(watch) = watch.take()
        {
            if code != Code::Ok
                && let Some(id) = watch.call.id.header()
            {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            watch.end(code);
        }
        Poll::Ready(Ok(response.map(|inner| ObserveBody { inner, watch })))
    }
}

pin_project! {
    /// The answer, inside its call's span, until its trailers say how it ended.
    pub(crate) struct ObserveBody<B> {
        #[pin]
        inner: B,
        watch: Option<Watch>,
    }
}

impl<B: Body> Body for ObserveBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = {
            let _entered = this.watch.as_ref().map(|watch| watch.span.enter());
            ready!(this.inner.poll_frame(cx))
        };
        let ended = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code(trailers).unwrap_or(Code::Unknown)),
            Some(Err(_)) => Some(Code::Internal),
            None => Some(Code::Unknown),
        };
        if let Some(code) = ended
            && let Some(watch) = this.watch.take()
        {
            watch.end(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
