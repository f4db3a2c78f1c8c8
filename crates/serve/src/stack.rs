//! The one tower stack of gRPC, from the outside in.

mod deadline;
mod identify;
mod load;
mod observe;
mod panic;
mod readable;
mod route;

#[cfg(test)]
mod tests;

pub(crate) use load::Load;
pub(crate) use observe::Instruments;
pub(crate) use route::Route;

use crate::principal::Authenticate;
use deadline::DeadlineLayer;
use identify::IdentifyLayer;
use load::LoadLayer;
use observe::ObserveLayer;
use panic::PanicLayer;
use readable::ReadableLayer;
use std::sync::Arc;
use tower::{Layer as _, ServiceBuilder};

/// The names of the gRPC codes, by number.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The stack around `inner`. It costs a call one extension and no boxed future; each layer polls what is inside it first,
/// and takes a timer, a permit or a string only when it must.
pub(crate) type Stacked<S> =
    observe::Observe<panic::Guard<load::Bound<deadline::Deadlined<identify::Identified<readable::Readable<S>>>>>>;

/// Puts the stack around `inner`.
pub(crate) fn stack<S>(
    inner: S,
    instruments: Arc<Instruments>,
    load: Arc<Load>,
    authenticate: Arc<dyn Authenticate>,
) -> Stacked<S> {
    let layers = ServiceBuilder::new()
        // One span and one measurement a call, outermost, so that nothing that happens further in is missed.
        .layer(ObserveLayer::new(instruments))
        // A panic is that call's INTERNAL; without this it would end every call of the connection.
        .layer(PanicLayer)
        // Over the bound a call is refused at once, before it costs anything; in a queue its caller would give up anyway.
        .layer(LoadLayer::new(load))
        // Nobody waits for an answer after the caller's deadline: the work is dropped and the slot is free again.
        .layer(DeadlineLayer)
        // This far in, so that refused callers are counted, bounded and timed as all others are.
        .layer(IdentifyLayer::new(authenticate))
        // Innermost: what the decoder has to say of a request, told as its caller's mistake.
        .layer(ReadableLayer);
    layers.into_inner().layer(inner)
}

/// The status as the trailers that end a stream.
pub(crate) fn trailers(status: &tonic::Status) -> http::HeaderMap {
    let mut trailers = http::HeaderMap::with_capacity(4);
    // It fails only where the message cannot be a header, and then the code alone is sent.
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", http::HeaderValue::from(i32::from(status.code())));
    }
    trailers
}
