//! What servers answer in a case: its `http`, and the file of `sluice test --http`.
//!
//! ```json
//! [{"url": "https://api.example.com/v1/users/u1", "json": {"plan": "team"}},
//!  {"method": "POST", "url": "https://api.example.com/v1/tokens", "status": 201, "headers": {"x-id": "7"}, "text": "made"},
//!  {"url": "https://api.example.com/v1/slow", "failure": "timed_out"}]
//! ```
//!
//! What a server could never send, or a sign-in never receive, is refused here: a case would show something that does not
//! happen.

use crate::{
    Invalid,
    decode::{Decode, Fields, Path, word, wrong_type},
    http::{HttpFailure, HttpResponse, MAX_HTTP_BODY_BYTES, MAX_HTTP_HEADER_BYTES, MAX_HTTP_HEADERS, check_url},
};
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;

/// Answers in a list.
pub const MAX_ANSWERS: usize = 500;
/// A method, in bytes.
const MAX_METHOD_BYTES: usize = 32;
/// Methods that are never sent.
const FORBIDDEN_METHODS: &[&str] = &["CONNECT", "TRACE", "TRACK"];
/// What has no body, whatever is sent behind it.
const STATUSES_WITHOUT_BODY: &[u16] = &[204, 205, 304];
/// What an answer has; a failure has nothing of it.
const ANSWER_KEYS: [&str; 4] = ["status", "headers", "json", "text"];

/// What a server answers to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAnswer {
    /// The request's method, `GET` where nothing is said.
    pub method: String,
    /// The request's URL: absolute, by the rules of [`check_url`], without a fragment.
    pub url: Url,
    /// The answer, or why there is none.
    pub answer: Result<HttpResponse, HttpFailure>,
}

impl HttpAnswer {
    /// Reads a list of them, as a case has it under `http`.
    ///
    /// # Errors
    /// The first mistake, with its pointer.
    pub fn list_from_json(value: Value) -> Result<Vec<HttpAnswer>, Invalid> {
        answers(value, Path::ROOT)
    }

    /// Whether it answers a request of this method and URL. A fragment is not sent, and does not count.
    pub fn fits(&self, method: &str, url: &Url) -> bool {
        let without_fragment = |url: &Url| url[..url::Position::AfterQuery].to_owned();
        self.method == method && self.url.as_str() == without_fragment(url)
    }
}

pub(super) fn answers(value: Value, path: Path<'_>) -> Result<Vec<HttpAnswer>, Invalid> {
    match &value {
        Value::Array(items) if items.len() > MAX_ANSWERS => {
            Err(path.invalid(format!("expected at most {MAX_ANSWERS} answers, got {}", items.len())))
        }
        Value::Array(_) => Vec::decode(value, path),
        other => Err(wrong_type(path, "a list of answers", other)),
    }
}

impl Decode for HttpAnswer {
    fn decode(value: Value, path: Path<'_>) -> Result<HttpAnswer, Invalid> {
        const KEYS: &[&str] = &["failure", "headers", "json", "method", "status", "text", "url"];
        let has = |key: &str| value.get(key).is_some();
        let beside = ANSWER_KEYS.into_iter().find(|key| has("failure") && has(key));
        let two_bodies = has("json") && has("text");
        let mut fields = Fields::new(value, &path, KEYS)?;
        let method = fields.optional::<Method>("method")?.map_or_else(|| "GET".to_owned(), |method| method.0);
        let url = fields.required::<ExactUrl>("url")?.0;
        if let Some(key) = beside {
            let message = "does not stand beside \"failure\": a request that fails has no answer";
            return Err(path.key(key).invalid(message));
        }
        if two_bodies {
            return Err(path.key("text").invalid("does not stand beside \"json\": an answer has one body"));
        }
        if let Some(failure) = fields.optional::<Failure>("failure")? {
            return Ok(HttpAnswer { method, url, answer: Err(failure.0) });
        }
        let status = fields.optional::<Status>("status")?.map_or(200, |status| status.0);
        let mut headers = headers(fields.or_default("headers")?, path.key("headers"))?;
        let (key, body, kind) = match (fields.raw("json"), fields.optional::<String>("text")?) {
            (Some(json), _) => ("json", json.to_string(), Some("application/json")),
            (None, Some(text)) => ("text", text, Some("text/plain;charset=utf-8")),
            (None, None) => ("text", String::new(), None),
        };
        if body.len() > MAX_HTTP_BODY_BYTES {
            let message = format!(
                "has {} bytes; an Action is given at most {MAX_HTTP_BODY_BYTES}, and of more the failure body_too_large",
                body.len()
            );
            return Err(path.key(key).invalid(message));
        }
        if !body.is_empty() && (method == "HEAD" || STATUSES_WITHOUT_BODY.contains(&status)) {
            let what = if method == "HEAD" { "to HEAD".to_owned() } else { format!("of the status {status}") };
            return Err(path.key(key).invalid(format!("an answer {what} has no body")));
        }
        if let Some(kind) = kind.filter(|_| headers.iter().all(|(name, _)| name != "content-type")) {
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        let response = HttpResponse {
            status,
            status_text: String::new(),
            headers,
            body: body.into_bytes(),
            url: url.to_string(),
            redirected: false,
        };
        Ok(HttpAnswer { method, url, answer: Ok(response) })
    }
}

/// A method, as it is sent.
struct Method(String);

impl Decode for Method {
    fn decode(value: Value, path: Path<'_>) -> Result<Method, Invalid> {
        let text = String::decode(value, path)?;
        let upper = text.to_ascii_uppercase();
        if FORBIDDEN_METHODS.contains(&upper.as_str()) {
            return Err(path.invalid(format!("no Action can send {upper}")));
        }
        if !(1..=MAX_METHOD_BYTES).contains(&text.len()) || !text.bytes().all(is_token) {
            return Err(path.invalid("expected a method such as GET or POST"));
        }
        if text != upper {
            return Err(path.invalid(format!("expected a method in capitals; did you mean {upper:?}?")));
        }
        Ok(Method(upper))
    }
}

/// A URL that an Action could ask for.
struct ExactUrl(Url);

impl Decode for ExactUrl {
    fn decode(value: Value, path: Path<'_>) -> Result<ExactUrl, Invalid> {
        let text = String::decode(value, path)?;
        let url = Url::parse(&text)
            .map_err(|_| path.invalid("expected an absolute URL such as https://api.example.com/v1/users?id=1"))?;
        check_url(&url).map_err(|error| path.invalid(error.message))?;
        match url.fragment() {
            None => Ok(ExactUrl(url)),
            Some(_) => Err(path.invalid("what follows # is never sent; leave it out")),
        }
    }
}

/// A failure that a request can end with. A host that is not declared is none: it is the package's.
struct Failure(HttpFailure);

impl Decode for Failure {
    fn decode(value: Value, path: Path<'_>) -> Result<Failure, Invalid> {
        let all = HttpFailure::ALL.iter().filter(|(_, failure)| *failure != HttpFailure::HostNotDeclared);
        word(value, path, &all.copied().collect::<Vec<_>>()).map(Failure)
    }
}

struct Status(u16);

impl Decode for Status {
    fn decode(value: Value, path: Path<'_>) -> Result<Status, Invalid> {
        let status = u64::decode(value, path)?;
        match u16::try_from(status) {
            Ok(status @ 200..=599) => Ok(Status(status)),
            _ => Err(path.invalid(format!("expected a status from 200 to 599, got {status}"))),
        }
    }
}

/// Headers as an Action gets them: names in lower case, nothing around the values.
fn headers(read: BTreeMap<String, String>, path: Path<'_>) -> Result<Vec<(String, String)>, Invalid> {
    let mut headers = Vec::with_capacity(read.len() + 1);
    let mut bytes = 0;
    for (name, value) in &read {
        let at = path.key(name);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(at.invalid("is not the name of a header, such as x-request-id"));
        }
        let value = value.trim_matches(['\t', ' ']);
        if value.chars().any(|c| c > '\u{ff}' || c == '\u{7f}' || (c < ' ' && c != '\t')) {
            return Err(at.invalid(
                "a header holds characters from U+0000 to U+00FF, and no line breaks or other control characters",
            ));
        }
        bytes += name.len() + value.chars().count();
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    if headers.len() > MAX_HTTP_HEADERS || bytes > MAX_HTTP_HEADER_BYTES {
        return Err(path.invalid(format!(
            "{} headers have {bytes} bytes; an Action is given at most {MAX_HTTP_HEADERS} and {MAX_HTTP_HEADER_BYTES}, and of \
             more the failure headers_too_large",
            headers.len()
        )));
    }
    Ok(headers)
}

/// A byte of a method, and of a header's name (RFC 9110, "token").
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
