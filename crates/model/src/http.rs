//! Outgoing HTTP as an Action sees it: what may be asked for, what comes back, and what is written down of it.
//!
//! Source: DESIGN "Outbound HTTP". `crates/egress` does the sending; the sandbox hands requests and answers on.

use crate::{Invalid, decode::words};
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr};
use url::{Host, Url};

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
/// The ports that need nobody's leave.
pub const USUAL_PORTS: [u16; 2] = [443, 8443];

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
        /// The version does not declare the host: the run may not ask for it. In audit and metrics alone: the author gets a
        /// `CapabilityDeniedError`, which has no code.
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

/// A host that a version may send to: one name or address, or every name under a domain. Matched against the host of a URL
/// that was parsed by the web's rules, so that each host has one spelling.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// The host; for a pattern the domain behind `*.`.
    host: String,
    /// Whether it is every name under it, and not it.
    under: bool,
}

impl HostPattern {
    /// Takes `api.example.com`, `192.0.2.7`, `[2001:db8::1]`, or `*.example.com`, which is every name under the domain at any
    /// depth and not the domain. At most 253 bytes, in the spelling of a parsed URL: lower case, ASCII, no port, no dot at
    /// the end. The error says so; its pointer is empty.
    pub fn parse(text: &str) -> Result<HostPattern, Invalid> {
        let under = text.strip_prefix("*.");
        let host = under.unwrap_or(text);
        let fits = match Host::parse(host) {
            Ok(Host::Domain(name)) => {
                let labelled = host.len() <= 253 && host.split('.').all(|label| (1..=63).contains(&label.len()));
                name == host && labelled && !host.contains('*') && (under.is_none() || host.contains('.'))
            }
            Ok(address) => under.is_none() && address.to_string() == host,
            Err(_) => false,
        };
        if fits {
            return Ok(HostPattern { host: host.to_owned(), under: under.is_some() });
        }
        let shown: String = text.chars().take(80).collect();
        Err(Invalid::here(format!(
            "{shown:?} is not a host such as api.example.com or *.example.com (lower case, ASCII, no scheme, port or path)"
        )))
    }

    /// The host of this URL and no other, as for a URL in a config that grants its host; `None` where it has none, or one
    /// that [`HostPattern::parse`] does not take.
    pub fn of_url(url: &Url) -> Option<HostPattern> {
        HostPattern::parse(url.host_str()?).ok().filter(|pattern| !pattern.under)
    }

    /// Whether it takes `host`, which is what [`Url::host_str`] says. An address is taken only where it is written out.
    pub fn matches(&self, host: &str) -> bool {
        if !self.under {
            return self.host == host;
        }
        let name = host.strip_suffix(self.host.as_str()).and_then(|rest| rest.strip_suffix('.'));
        name.is_some_and(|name| !name.is_empty()) && !host.starts_with('[') && host.parse::<Ipv4Addr>().is_err()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.under { "*." } else { "" }, self.host)
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Checks what is the same of every URL that is asked for: its scheme, its length, that it carries no user name, its port. What an
/// operator allows besides, plain http or another port, is not known here.
///
/// # Errors
/// [`HttpFailure::UrlRefused`], with what is wrong.
pub fn check_url(url: &Url) -> Result<(), HttpError> {
    let refused = |message: String| HttpError::new(HttpFailure::UrlRefused, message);
    if url.scheme() != "https" {
        return Err(refused("a URL must begin with https://".to_owned()));
    }
    let (host, port) = check_words(url)?;
    if USUAL_PORTS.contains(&port) { Ok(()) } else { Err(refused(format!("{host}: port {port} is not allowed"))) }
}

/// Checks what no operator can allow: a URL names a host, has at most [`MAX_URL_BYTES`], and carries no user name. Answers its host and
/// port.
///
/// # Errors
/// [`HttpFailure::UrlRefused`], with what is wrong.
pub fn check_words(url: &Url) -> Result<(&str, u16), HttpError> {
    let refused = |message: String| HttpError::new(HttpFailure::UrlRefused, message);
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(refused("a URL must name a host".to_owned()));
    };
    if url.as_str().len() > MAX_URL_BYTES {
        let shown: String = host.chars().take(100).collect();
        return Err(refused(format!("{shown}: the URL is over {MAX_URL_BYTES} bytes")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(format!("{host}: a URL must not carry a user name or a password")));
    }
    Ok((host, port))
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
