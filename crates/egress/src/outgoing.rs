//! A request that may be sent: its method, headers and body, checked before anything else is done.

use crate::target::Target;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
        CONTENT_TYPE, COOKIE, HOST, USER_AGENT,
    },
};
use http_body_util::Full;
use sluice_model::http::{
    HttpError, HttpFailure, HttpRequest, MAX_HTTP_BODY_BYTES, MAX_HTTP_HEADER_BYTES, MAX_HTTP_HEADERS,
};

/// A method's token, in bytes.
const MAX_METHOD_BYTES: usize = 32;
/// Headers that frame the request or speak to the next hop: they are the connection's, and not the author's.
const REFUSED_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const USER_AGENT_VALUE: HeaderValue = HeaderValue::from_static("sluice");

/// What is sent to each hop.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// Whether the author asked for encodings, and so takes what comes.
    pub(crate) encodings: bool,
}

impl Outgoing {
    /// Checks the parts of a request to `host`, which the messages name.
    pub(crate) fn of(host: &str, request: HttpRequest) -> Result<Outgoing, HttpError> {
        let refused = |why: String| HttpError::new(HttpFailure::RequestRefused, format!("{host}: {why}"));
        let method = method(&request.method).map_err(refused)?;
        if request.headers.len() > MAX_HTTP_HEADERS {
            return Err(refused(format!("the request has over {MAX_HTTP_HEADERS} headers")));
        }
        let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.chars().count()).sum();
        if bytes > MAX_HTTP_HEADER_BYTES {
            return Err(refused(format!("the request's headers are over {MAX_HTTP_HEADER_BYTES} bytes")));
        }
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 5);
        for (name, value) in &request.headers {
            let (name, value) = header(name, value).map_err(refused)?;
            headers.append(name, value);
        }
        if request.body.as_ref().is_some_and(|body| body.len() > MAX_HTTP_BODY_BYTES) {
            return Err(refused(format!("the request's body is over {MAX_HTTP_BODY_BYTES} bytes")));
        }
        if request.body.is_some() && (method == Method::GET || method == Method::HEAD) {
            return Err(refused(format!("a {method} request has no body")));
        }
        let encodings = headers.contains_key(ACCEPT_ENCODING);
        for (name, value) in [
            (ACCEPT, HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            (USER_AGENT, USER_AGENT_VALUE),
        ] {
            headers.entry(name).or_insert(value);
        }
        Ok(Outgoing { method, headers, body: request.body.map(Bytes::from), encodings })
    }

    /// The request as it goes to `target`.
    pub(crate) fn to(&self, target: &Target) -> Request<Full<Bytes>> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        headers.insert(HOST, target.authority.clone());
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let body = self.body.clone();
        if body.is_some() || self.method == Method::POST || self.method == Method::PUT {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.as_ref().map_or(0, Bytes::len)));
        }
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Whether sending it twice changes nothing more than sending it once, by its method.
    pub(crate) fn is_safe(&self) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }

    /// What becomes of it when an answer of this status sends it elsewhere (Fetch, "HTTP-redirect fetch").
    pub(crate) fn redirect(&mut self, status: u16, same_origin: bool) {
        let rewritten = match status {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if rewritten {
            self.method = Method::GET;
            self.body = None;
            for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE] {
                self.headers.remove(name);
            }
        }
        if !same_origin {
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
            self.headers.remove("cookie2");
        }
    }
}

fn method(text: &str) -> Result<Method, String> {
    let token =
        (1..=MAX_METHOD_BYTES).contains(&text.len()).then(|| Method::from_bytes(text.as_bytes()).ok()).flatten();
    let method = token.ok_or_else(|| "the request's method is none".to_owned())?;
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "CONNECT" | "TRACE" | "TRACK" => Err(format!("the method {upper} is not allowed")),
        // What the web's fetch does with these, and with no other.
        "DELETE" | "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" => {
            Method::from_bytes(upper.as_bytes()).map_err(|_| "the request's method is none".to_owned())
        }
        _ => Ok(method),
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err("the request has a header whose name is none".to_owned());
    };
    if REFUSED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err(format!("the header {name} is not for the author to set"));
    }
    // What surrounds a value is none of it.
    let trimmed = value.trim_matches(['\t', ' ']);
    let latin: Option<Vec<u8>> = trimmed.chars().map(|char| u8::try_from(char).ok()).collect();
    let value = latin.and_then(|bytes| HeaderValue::from_maybe_shared(Bytes::from(bytes)).ok());
    value.map(|value| (name.clone(), value)).ok_or_else(|| format!("the value of the header {name} cannot be sent"))
}

#[cfg(test)]
mod tests;
