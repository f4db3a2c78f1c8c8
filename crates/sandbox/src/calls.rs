//! Calls of the host that a run makes: what the guest asks is read and bounded here, put to the [`Ports`], and its answer written
//! as the guest reads it (`codec/wire.rs`).

use crate::codec::decode::decode;
use crate::codec::encode::{Encoder, key};
use crate::codec::wire;
use crate::port::{Ports, Refusal};
use futures_util::future::{AbortHandle, Abortable, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_model::Invalid;
use sluice_model::counter::{KvSet, Take, Taken, key_from_json};
use sluice_model::http::{
    HttpError, HttpFailure, HttpRequest, HttpResponse, MAX_FETCHES, MAX_HTTP_BODY_BYTES, MAX_URL_BYTES, RedirectPolicy,
};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use url::Url;

/// Denials that are remembered; one that fails for it names the first that it met.
const MAX_DENIED: usize = 16;

/// Calls of counters and kv together that one run may make.
const MAX_KEYED_CALLS: u32 = 100;

/// The most that the guest may say of a call, in bytes; a body is apart.
const MAX_META_BYTES: usize = 64 << 10;

/// An answer as the guest gets it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) meta: String,
    pub(crate) body: Option<Vec<u8>>,
}

/// How a call began.
pub(crate) enum Begun {
    /// Its answer will come with this id.
    Pending(u32),
    /// It is there.
    Answered(Reply),
}

type Settling = Pin<Box<dyn Future<Output = (u32, Reply, Option<String>)> + Send>>;

struct UnderWay {
    id: u32,
    /// For people: `fetch of api.example.com`.
    what: String,
    abort: AbortHandle,
}

/// The calls of one run.
pub(crate) struct Calls {
    ports: Arc<dyn Ports>,
    /// Made when something first has to wait: most runs call nothing.
    waiting: Option<FuturesUnordered<Abortable<Settling>>>,
    under_way: Vec<UnderWay>,
    next_id: u32,
    fetches: u32,
    keyed: u32,
    takes: u32,
    unavailable: Option<String>,
    denied: Vec<String>,
}

impl Calls {
    pub(crate) fn new(ports: Arc<dyn Ports>) -> Calls {
        Calls {
            ports,
            waiting: None,
            under_way: Vec::new(),
            next_id: 1,
            fetches: 0,
            keyed: 0,
            takes: 0,
            unavailable: None,
            denied: Vec::new(),
        }
    }

    /// Notes what was denied, in the words that the Action was told.
    pub(crate) fn note_denied(&mut self, message: &str) {
        if !self.denied.iter().any(|denied| denied == message) && self.denied.len() < MAX_DENIED {
            self.denied.push(message.to_owned());
        }
    }

    /// What was denied.
    pub(crate) fn denied(&self) -> impl Iterator<Item = &str> {
        self.denied.iter().map(String::as_str)
    }

    /// Notes that a part that the run needed could not be had.
    pub(crate) fn note_unavailable(&mut self, message: &str) {
        self.unavailable.get_or_insert_with(|| message.to_owned());
    }

    /// A part that the run needed and that could not be had, where there was one.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    /// What is under way, for people.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &str> {
        self.under_way.iter().map(|call| call.what.as_str())
    }

    /// Begins a call. What can be answered at once is.
    pub(crate) fn start(&mut self, kind: u32, meta: &[u8], body: Option<&[u8]>) -> Begun {
        if let (wire::TAKE_NUMBER, Some(options)) = (kind, body) {
            return self.start_take(meta, options);
        }
        let kind = wire::CALLS.get(kind as usize).copied().unwrap_or_default();
        let asked = match serde_json::from_slice(meta) {
            Ok(asked) if meta.len() <= MAX_META_BYTES => asked,
            _ => Value::Null,
        };
        let (what, settling) = match self.ask(kind, asked, body) {
            Ok(asked) => asked,
            Err(refusal) => {
                let (reply, unavailable) = refused(refusal);
                self.unavailable = self.unavailable.take().or(unavailable);
                return Begun::Answered(reply);
            }
        };
        let mut settling = settling;
        // What memory can answer costs no second call into the guest. Whoever waits for the rest polls it anew.
        match now(&mut settling) {
            Some((reply, unavailable)) => {
                self.unavailable = self.unavailable.take().or(unavailable);
                Begun::Answered(reply)
            }
            None => self.wait(what, settling),
        }
    }

    /// Leaves a call under way.
    fn wait(&mut self, what: String, asked: Asked) -> Begun {
        let id = self.next_id;
        self.next_id += 1;
        let settling: Settling = Box::pin(asked.map(move |(reply, unavailable)| (id, reply, unavailable)));
        let (abort, registration) = AbortHandle::new_pair();
        self.under_way.push(UnderWay { id, what, abort });
        self.waiting.get_or_insert_default().push(Abortable::new(settling, registration));
        Begun::Pending(id)
    }

    /// Begins a `counters.take` in its short form; see [`wire::TAKE`].
    fn start_take(&mut self, key: &[u8], options: &[u8]) -> Begun {
        let asked = decode(options, MAX_META_BYTES).ok().filter(|_| key.len() <= MAX_META_BYTES);
        let asked = match (asked, std::str::from_utf8(key)) {
            (Some(Value::Object(mut asked)), Ok(key)) => {
                asked.insert("key".into(), key.into());
                Value::Object(asked)
            }
            // The same that the long form makes of what it cannot read.
            _ => Value::Null,
        };
        let refusal = match self.take(asked) {
            Ok(mut answer) => match now(&mut answer) {
                None => return self.wait(wire::TAKE.to_owned(), asked_of(answer, taken)),
                Some(Ok(answer)) => {
                    return Begun::Answered(Reply { meta: String::new(), body: Some(encoded(answer)) });
                }
                Some(Err(refusal)) => refusal,
            },
            Err(refusal) => refusal,
        };
        let (reply, unavailable) = refused(refusal);
        self.unavailable = self.unavailable.take().or(unavailable);
        Begun::Answered(reply)
    }

    /// Begins a request; one that makes no sense counts like any other.
    pub(crate) fn fetch(
        &mut self,
        request: impl FnOnce() -> Result<HttpRequest, Refusal>,
    ) -> Result<crate::port::Answer<HttpResponse>, Refusal> {
        if self.fetches == MAX_FETCHES {
            return Err(unsendable(format!("a run may fetch {MAX_FETCHES} times, and this is one more")));
        }
        self.fetches += 1;
        Ok(self.ports.fetch(request()?))
    }

    /// A secret's value.
    pub(crate) fn secret(&self, name: &str) -> Result<String, Refusal> {
        self.ports.secret(name)
    }

    /// Begins to read a key of kv.
    pub(crate) fn kv_get(&mut self, key: Value) -> Result<crate::port::Answer<Option<String>>, Refusal> {
        self.count_keyed()?;
        Ok(self.ports.kv_get(key_from_json(key).map_err(unfit)?))
    }

    /// Begins to write a key of kv: `{key, value, ttl_s}`.
    pub(crate) fn kv_set(&mut self, asked: Value) -> Result<crate::port::Answer<()>, Refusal> {
        self.count_keyed()?;
        Ok(self.ports.kv_set(KvSet::from_json(asked).map_err(unfit)?))
    }

    /// Begins to forget a key of kv.
    pub(crate) fn kv_delete(&mut self, key: Value) -> Result<crate::port::Answer<()>, Refusal> {
        self.count_keyed()?;
        Ok(self.ports.kv_delete(key_from_json(key).map_err(unfit)?))
    }

    /// Begins to take from a counter, by what is asked of it: [`Take::from_json`].
    pub(crate) fn take(&mut self, asked: Value) -> Result<crate::port::Answer<Taken>, Refusal> {
        self.count_keyed()?;
        let take = Take::from_json(asked).map_err(unfit)?;
        let call = self.takes;
        self.takes += 1;
        Ok(self.ports.take(take, call))
    }

    fn count_keyed(&mut self) -> Result<(), Refusal> {
        if self.keyed == MAX_KEYED_CALLS {
            let message = format!("a run may call counters and kv {MAX_KEYED_CALLS} times, and this is one more");
            return Err(Refusal::Invalid(message));
        }
        self.keyed += 1;
        Ok(())
    }

    /// Gives a call up; false where it is not under way.
    pub(crate) fn cancel(&mut self, id: u32) -> bool {
        match self.under_way.iter().position(|call| call.id == id) {
            Some(at) => {
                self.under_way.swap_remove(at).abort.abort();
                true
            }
            None => false,
        }
    }

    /// The next answer, and whatever else has come by then, laid out as the guest reads it. Never ready where nothing is under
    /// way.
    pub(crate) async fn answers(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let waiting = self.waiting.get_or_insert_default();
        loop {
            let settled = if bytes.is_empty() {
                waiting.next().await
            } else {
                match waiting.next().now_or_never() {
                    Some(settled) => settled,
                    None => return bytes,
                }
            };
            match settled {
                Some(Ok((id, reply, unavailable))) => {
                    self.under_way.retain(|call| call.id != id);
                    self.unavailable = self.unavailable.take().or(unavailable);
                    write(&mut bytes, id, &reply);
                }
                // Given up.
                Some(Err(_)) => {}
                None if bytes.is_empty() => std::future::pending().await,
                None => return bytes,
            }
        }
    }

    fn ask(&mut self, kind: &str, mut asked: Value, body: Option<&[u8]>) -> Result<(String, Asked), Refusal> {
        Ok(match kind {
            "fetch" => {
                let mut host = String::new();
                let answer = self.fetch(|| {
                    let request = request(asked, body)?;
                    request.url.host_str().unwrap_or_default().clone_into(&mut host);
                    Ok(request)
                })?;
                (format!("fetch of {host}"), asked_of(answer, fetched))
            }
            "secret" => {
                let name = read::<Named>(asked)?.name;
                let value = self.secret(&name)?;
                (name, asked_of(Box::pin(std::future::ready(Ok(value))), |value| said(&json!(value))))
            }
            wire::TAKE => (wire::TAKE.to_owned(), asked_of(self.take(asked)?, taken)),
            "kv.get" => {
                // What was kept is JSON text already.
                let reply = |value: Option<String>| Reply {
                    meta: format!(r#"{{"ok":{}}}"#, value.as_deref().unwrap_or("null")),
                    body: None,
                };
                ("kv.get".to_owned(), asked_of(self.kv_get(member(&mut asked, "key"))?, reply))
            }
            "kv.set" => ("kv.set".to_owned(), asked_of(self.kv_set(asked)?, |()| said(&Value::Null))),
            "kv.delete" => {
                ("kv.delete".to_owned(), asked_of(self.kv_delete(member(&mut asked, "key"))?, |()| said(&Value::Null)))
            }
            _ => return Err(Refusal::Invalid("the host knows no such call".into())),
        })
    }
}

/// Takes a member out; null where there is none.
fn member(asked: &mut Value, name: &str) -> Value {
    asked.get_mut(name).map(Value::take).unwrap_or_default()
}

type Asked = Pin<Box<dyn Future<Output = (Reply, Option<String>)> + Send>>;

/// What is there at once.
fn now<T>(answer: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn taken(Taken { allowed, remaining, retry_after_s }: Taken) -> Reply {
    let meta = format!(r#"{{"ok":{{"allowed":{allowed},"remaining":{remaining},"retry_after_s":{retry_after_s}}}}}"#);
    Reply { meta, body: None }
}

/// As [`taken`], as a tagged value.
fn encoded(Taken { allowed, remaining, retry_after_s }: Taken) -> Vec<u8> {
    let mut encoder = Encoder::small();
    // Flat, and all numbers are finite: there is nothing to refuse.
    let written = encoder.object(|fields| {
        fields.field(key!("allowed"), |e| {
            e.bool(allowed);
            Ok(())
        })?;
        fields.field(key!("remaining"), |e| {
            e.u64(remaining);
            Ok(())
        })?;
        fields.field(key!("retry_after_s"), |e| {
            e.u64(retry_after_s.into());
            Ok(())
        })
    });
    debug_assert!(written.is_ok());
    encoder.into_bytes()
}

fn asked_of<T: 'static>(answer: crate::port::Answer<T>, reply: fn(T) -> Reply) -> Asked {
    Box::pin(answer.map(move |answer| match answer {
        Ok(value) => (reply(value), None),
        Err(refusal) => refused(refusal),
    }))
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Fetch {
    url: String,
    method: String,
    headers: Vec<(String, String)>,
    redirect: String,
}

/// What the scripts of the base image say is as it should be; an Action that has bent them gets this.
fn read<T: serde::de::DeserializeOwned>(asked: Value) -> Result<T, Refusal> {
    serde_json::from_value(asked).map_err(|error| Refusal::Invalid(error.to_string()))
}

fn unfit(invalid: Invalid) -> Refusal {
    Refusal::Invalid(invalid.to_string())
}

/// A request that is not sent, by no fault of its URL.
fn unsendable(message: impl Into<String>) -> Refusal {
    Refusal::Http(HttpError::new(HttpFailure::RequestRefused, message))
}

fn request(asked: Value, body: Option<&[u8]>) -> Result<HttpRequest, Refusal> {
    // Of what the guest says of a call, headers alone can be so large that it is not read at all.
    if asked.is_null() {
        return Err(unsendable("the request's URL and headers are too large"));
    }
    let Fetch { url, method, headers, redirect } =
        serde_json::from_value(asked).map_err(|error| unsendable(error.to_string()))?;
    let redirect: RedirectPolicy =
        redirect.parse().map_err(|_| unsendable("redirect: expected follow, error or manual"))?;
    http_request(&url, method, headers, body.map(<[u8]>::to_vec), redirect)
}

/// A request, within the bounds that any run's has.
pub(crate) fn http_request(
    url: &str,
    method: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    redirect: RedirectPolicy,
) -> Result<HttpRequest, Refusal> {
    let refused = |message: String| Refusal::Http(HttpError::new(HttpFailure::UrlRefused, message));
    if url.len() > MAX_URL_BYTES {
        return Err(refused(format!("the URL has {} bytes; at most {MAX_URL_BYTES}", url.len())));
    }
    if let Some(body) = body.as_ref().filter(|body| body.len() > MAX_HTTP_BODY_BYTES) {
        return Err(unsendable(format!("the request's body has {} bytes; at most {MAX_HTTP_BODY_BYTES}", body.len())));
    }
    let url = Url::parse(url).map_err(|error| refused(format!("the URL: {error}")))?;
    Ok(HttpRequest { method, url, headers, body, redirect })
}

fn fetched(response: HttpResponse) -> Reply {
    let HttpResponse { status, status_text, headers, body, url, redirected } = response;
    let meta = json!({
        "status": status, "statusText": status_text, "headers": headers, "url": url, "redirected": redirected,
    });
    Reply { body: Some(body), ..said(&meta) }
}

fn said(value: &Value) -> Reply {
    Reply { meta: json!({ "ok": value }).to_string(), body: None }
}

/// What the Action is told; and where it decides the run, why.
fn refused(refusal: Refusal) -> (Reply, Option<String>) {
    let (kind, code, message, unavailable) = match refusal {
        Refusal::Denied(message) => ("denied", None, message, None),
        Refusal::Http(error) => ("failed", Some(error.failure.as_str()), error.message, None),
        Refusal::Invalid(message) => ("invalid", None, message, None),
        Refusal::Away(message) => ("unavailable", None, message, None),
        Refusal::Unavailable(message) => ("unavailable", None, message.clone(), Some(message)),
    };
    let meta = json!({ "error": { "kind": kind, "code": code, "message": message } }).to_string();
    (Reply { meta, body: None }, unavailable)
}

fn write(bytes: &mut Vec<u8>, id: u32, reply: &Reply) {
    // Replies are bounded far below 4 GiB.
    let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&number(reply.meta.len()));
    bytes.extend_from_slice(reply.meta.as_bytes());
    match &reply.body {
        None => bytes.extend_from_slice(&number(0)),
        Some(body) => {
            bytes.extend_from_slice(&number(body.len() + 1));
            bytes.extend_from_slice(body);
        }
    }
}
