//! An answer, read within its bounds, and what is wrong with one that cannot be taken.

use crate::{link::Link, outgoing::Outgoing, tls};
use http::{HeaderMap, Method, header::CONTENT_ENCODING, response::Parts};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    ext::ReasonPhrase,
};
use sluice_model::http::{
    HttpError, HttpFailure, HttpResponse, MAX_HTTP_BODY_BYTES, MAX_HTTP_HEADER_BYTES, MAX_HTTP_HEADERS,
};
use std::{error::Error, io};

/// Checks what stands before the body: the status, and the bounds of the headers.
pub(crate) fn check_head(host: &str, head: &Parts) -> Result<(), HttpError> {
    let status = head.status.as_u16();
    if !(200..=599).contains(&status) {
        let message = format!("{host}: the server answers with the status {status}, which is none that ends a request");
        return Err(HttpError::new(HttpFailure::ProtocolError, message));
    }
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head.headers.len() > MAX_HTTP_HEADERS || bytes > MAX_HTTP_HEADER_BYTES {
        return Err(headers_too_large(host));
    }
    Ok(())
}

/// Checks that the body is in no encoding that was not asked for. None is by us: what a small body saves on the way is not
/// worth a decompressor that a hostile server feeds.
pub(crate) fn check_encoding(host: &str, head: &Parts, asked: &Outgoing) -> Result<(), HttpError> {
    let empty = asked.method == Method::HEAD || head.status == 204 || head.status == 304;
    if asked.encodings || empty {
        return Ok(());
    }
    let encoded = head.headers.get_all(CONTENT_ENCODING).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
    });
    if encoded {
        let message = format!("{host}: the server answers in a content-encoding that was not asked for");
        return Err(HttpError::new(HttpFailure::ProtocolError, message));
    }
    Ok(())
}

/// Reads the body to its end, and not past the bound.
pub(crate) async fn read_body(host: &str, link: &mut Link, mut body: Incoming) -> Result<Vec<u8>, HttpError> {
    let too_large = || {
        let message = format!("{host}: the answer's body is over {MAX_HTTP_BODY_BYTES} bytes");
        HttpError::new(HttpFailure::BodyTooLarge, message)
    };
    let expected = body.size_hint().exact();
    if body.size_hint().lower() > MAX_HTTP_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let mut read = Vec::with_capacity(expected.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0));
    while !body.is_end_stream() {
        let Some(frame) = link.until(body.frame()).await else { break };
        let frame = frame.map_err(|error| lost(host, &error))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > MAX_HTTP_BODY_BYTES {
            return Err(too_large());
        }
        read.extend_from_slice(&data);
    }
    // hyper lets a body end as if it were whole when the connection fails for another reason than reading it, such as a
    // request that cannot be written: only a length that was told says that it is.
    if expected.map_or(link.is_broken(), |bytes| bytes != read.len() as u64) {
        return Err(ended(host));
    }
    Ok(read)
}

/// Lets go of a body that nobody reads. Whether it was over already, so that the connection can be used again.
pub(crate) fn skip_body(link: &mut Link, mut body: Incoming) -> bool {
    let mut left = MAX_HTTP_BODY_BYTES;
    while !body.is_end_stream() {
        match link.at_once(body.frame()) {
            Some(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
                if bytes > left {
                    return false;
                }
                left -= bytes;
            }
            Some(None) => return true,
            Some(Some(Err(_))) | None => return false,
        }
    }
    true
}

/// The answer as the Action gets it.
pub(crate) fn response(head: &Parts, body: Vec<u8>, url: String, redirected: bool) -> HttpResponse {
    let status_text = match head.extensions.get::<ReasonPhrase>() {
        Some(reason) => latin(reason.as_bytes()),
        None => head.status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let headers = headers(&head.headers);
    HttpResponse { status: head.status.as_u16(), status_text, headers, body, url, redirected }
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), latin(value.as_bytes()))).collect()
}

/// Each byte as the character of its number.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn headers_too_large(host: &str) -> HttpError {
    let message = format!(
        "{host}: the answer's headers are over {MAX_HTTP_HEADERS} or over {MAX_HTTP_HEADER_BYTES} bytes together"
    );
    HttpError::new(HttpFailure::HeadersTooLarge, message)
}

fn ended(host: &str) -> HttpError {
    let message = format!("{host}: the server ended the connection before its answer was whole");
    HttpError::new(HttpFailure::ConnectionLost, message)
}

/// What an error of hyper is called.
pub(crate) fn lost(host: &str, error: &hyper::Error) -> HttpError {
    tracing::debug!(host, %error, "an answer cannot be taken");
    if error.is_parse_too_large() {
        return headers_too_large(host);
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(wrong) = inner.downcast_ref::<rustls::Error>() {
            return HttpError::new(HttpFailure::TlsFailed, format!("{host}: {}", tls::wrong(wrong)));
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            if let Some(wrong) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return HttpError::new(HttpFailure::TlsFailed, format!("{host}: {}", tls::wrong(wrong)));
            }
            // hyper's decoder of chunks says so of what is no chunk.
            if matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) {
                return garbled(host);
            }
        }
        cause = inner.source();
    }
    if error.is_parse() || error.is_parse_status() { garbled(host) } else { ended(host) }
}

fn garbled(host: &str) -> HttpError {
    HttpError::new(HttpFailure::ProtocolError, format!("{host}: what the server sends is no HTTP/1.1 answer"))
}
