//! Outgoing HTTP as an Action sees it: what may be asked for, what comes back, and what is written down of it.
//!
//! Source: DESIGN "Outbound HTTP". `crates/egress` does the sending; the sandbox hands requests and answers on.

use crate::decode::words;
use serde::{Deserialize, Serialize};
use url::Url;

/// Requests that one run may make.
pub const MAX_FETCHES: u32 = 5;
/// The body of a request, and of an answer.
pub const MAX_HTTP_BODY_BYTES: usize = 64 << 10;
/// All headers of a request, and of an answer, names and values together.
pub const MAX_HTTP_HEADER_BYTES: usize = 16 << 10;
/// Headers of a request, and of an answer.
pub const MAX_HTTP_HEADERS: usize = 100;
/// A URL, in bytes.
pub const MAX_URL_BYTES: usize = 8 << 10;
/// Redirects that are followed for one request.
pub const MAX_REDIRECTS: u32 = 5;

words! {
    /// What becomes of an answer that sends elsewhere: `redirect` of the web's `fetch`.
    RedirectPolicy {
        /// It is followed, each hop checked as the first was.
        Follow = "follow",
        /// It is an error.
        Error = "error",
        /// It is the answer.
        Manual = "manual",
    }
}

words! {
    /// Why there is no answer: the `code` of the error's cause, and in audit and metrics.
    HttpFailure {
        /// The version does not declare the host: the run may not ask for it.
        HostNotDeclared = "host_not_declared",
        /// The URL is none that may be asked for: its scheme, its port, a user name in it, its length.
        UrlRefused = "url_refused",
        /// The request is none that may be sent: its method, its headers, the size of its body.
        RequestRefused = "request_refused",
        /// The name has no address, or none was found in time.
        NameNotResolved = "name_not_resolved",
        /// The name leads to an address that is not public.
        AddressRefused = "address_refused",
        /// No connection could be made.
        ConnectFailed = "connect_failed",
        /// The server's certificate, or its TLS, is not as it must be.
        TlsFailed = "tls_failed",
        /// The server ended the connection before its answer was whole.
        ConnectionLost = "connection_lost",
        /// What the server sent is no HTTP answer.
        ProtocolError = "protocol_error",
        /// The answer's headers are too many or too large.
        HeadersTooLarge = "headers_too_large",
        /// The answer's body is too large.
        BodyTooLarge = "body_too_large",
        /// The answer sends elsewhere too often, or where it may not, or though that was to be an error.
        RedirectRefused = "redirect_refused",
        /// No whole answer came in time.
        TimedOut = "timed_out",
        /// The Action aborted it, or its run ended first.
        Canceled = "canceled",
        /// Too much is under way: for the tenant, or in the whole process.
        Overloaded = "overloaded",
    }
}

/// One request of an Action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// A method's token, such as `GET`.
    pub method: String,
    /// Where to. A fragment is not sent.
    pub url: Url,
    /// In the order in which they are sent; names in lower case, values as bytes U+0000 to U+00FF.
    pub headers: Vec<(String, String)>,
    /// Absent where the request has none.
    pub body: Option<Vec<u8>>,
    /// What becomes of an answer that sends elsewhere.
    pub redirect: RedirectPolicy,
}

/// The whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// 200 to 599.
    pub status: u16,
    /// What stands behind it; often empty.
    pub status_text: String,
    /// In the order in which they came; names in lower case, values as bytes U+0000 to U+00FF.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
    /// Who answered: the last URL, without its fragment.
    pub url: String,
    /// Whether that is another than was asked.
    pub redirected: bool,
}

/// Why there is no answer. The message is for the author: it names the host and never a query, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// The kind, for machines.
    pub failure: HttpFailure,
    /// What happened, lower case, without a full stop.
    pub message: String,
}

impl HttpError {
    /// An error with its message.
    pub fn new(failure: HttpFailure, message: impl Into<String>) -> HttpError {
        HttpError { failure, message: message.into() }
    }
}

/// One attempt to send a request to one server, as it is audited and traced: each hop of a redirect is one. Never a path, a
/// query, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAttempt {
    /// The host as the URL has it: an ASCII name in lower case, or an address.
    pub host: String,
    /// The status of the answer; `None` where there was none.
    pub status: Option<u16>,
    /// Why there was none, or why what came was not taken.
    pub failure: Option<HttpFailure>,
    /// From its beginning to its end by the clock, in microseconds.
    pub duration_us: u64,
}
