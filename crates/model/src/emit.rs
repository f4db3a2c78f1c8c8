//! Emits: where an event may go, and what of a run's emits is delivered once its slot has ended.
//!
//! What a run may not send to is `capability_denied`; what cannot be delivered at all is an `invalid_outcome`. Nothing is looked
//! up here: what a name leads to is checked at each attempt, and so is the URL that a secret holds.

use crate::{
    Emitted, Failure, FailureReason, Grants, Invalid, Manifest, Object, Outcome, Slug,
    delivery::{
        self, Address, DEFAULT_MAX_ATTEMPTS, DEFAULT_SLACK_PER_MINUTE, DEFAULT_TIMEOUT_MS, EmittedTarget, MAX_HEADERS,
        Origin,
    },
    http::{self, HostPattern, HttpError},
    outcome::{Emit, EmitFormat, EmitOn, EmitTarget, MAX_URL_BYTES},
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use url::Url;

/// All that one run emits, with every target of its own, in bytes; so that its audit record stays one that can be kept.
pub const MAX_RUN_BYTES: usize = 160 << 10;

/// What an attachment may send to.
#[derive(Clone, Copy, Debug)]
pub struct May<'a> {
    /// What the version declares.
    pub grants: &'a Grants,
    /// The hosts that URLs may name: see [`Grants::hosts_with`].
    pub hosts: &'a [HostPattern],
    /// The secrets that it may read: see [`Grants::secrets_with`].
    pub secrets: &'a [String],
    /// Those of them whose URL is where the config says that it sends: see [`Grants::hosts_in_secrets`].
    pub hosts_in_secrets: &'a [String],
}

/// Whose emits they are.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The tenant.
    pub tenant: &'a Slug,
    /// The Action.
    pub slug: &'a Slug,
    /// The execution's id.
    pub execution: &'a str,
    /// The attachment's id.
    pub attachment: &'a str,
    /// The time of the run, which bodies have.
    pub at: Timestamp,
}

/// An emit that waits for the end of its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it goes out.
    pub on: EmitOn,
    /// What goes out.
    pub emitted: Emitted,
}

impl Held {
    /// Whether it goes out of a slot that has ended so.
    pub fn goes(&self, blocked: bool) -> bool {
        match self.on {
            EmitOn::Always => true,
            EmitOn::Success => !blocked,
            EmitOn::Blocked => blocked,
        }
    }
}

/// What an outcome emits, in its order, each with its defaults and the ids of its deliveries. `check_url` says whether a URL is one
/// that may be asked for at all: [`crate::http::check_url`], or what the operator allows besides.
///
/// # Errors
/// `capability_denied`: a host or a secret that the attachment may not use; the message names the target. `invalid_outcome`: a body
/// that is too large, a URL or a header that cannot be sent.
pub fn resolve(
    outcome: &Outcome,
    may: May<'_>,
    by: By<'_>,
    check_url: impl Fn(&Url) -> Result<(), HttpError>,
) -> Result<Vec<Held>, Failure> {
    let mut all = Vec::with_capacity(outcome.emit.len());
    let mut bytes = 0;
    for (index, emit) in outcome.emit.iter().enumerate() {
        bytes += resolve_one(emit, index, may, by, &check_url, &mut all)?;
        if bytes > MAX_RUN_BYTES {
            let message = format!("what is to be delivered is over {MAX_RUN_BYTES} bytes in all");
            return Err(Failure::invalid_outcome(Invalid::at("/emit", message)));
        }
    }
    Ok(all)
}

/// One emit; answers about how large it is. Targets of two forms have two bodies, and become two.
fn resolve_one(
    emit: &Emit,
    index: usize,
    may: May<'_>,
    by: By<'_>,
    check_url: &impl Fn(&Url) -> Result<(), HttpError>,
    all: &mut Vec<Held>,
) -> Result<usize, Failure> {
    let mut bytes = 0;
    let mut forms: Vec<(EmitFormat, Emitted)> = Vec::with_capacity(1);
    for (at, target) in emit.to.iter().enumerate() {
        let place = Place { emit: index, target: at };
        let address = address(target, place, may, check_url)?;
        let key = emit.dedupe_key.as_deref();
        let endpoint = key.map(|_| address.endpoint()).unwrap_or_default();
        let origin = match key {
            Some(key) => Origin::Key { slug: by.slug.as_str(), key, endpoint: &endpoint },
            None => Origin::Run { execution: by.execution, attachment: by.attachment, emit: index, target: at },
        };
        let to = target_of(target, place, may, address, origin.id(by.tenant.as_str()))?;
        bytes += to.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        bytes += if let Address::Url(url) = &to.address { url.as_str().len() } else { 0 };
        let emitted = match forms.iter_mut().find(|(format, _)| *format == to.format) {
            Some((_, emitted)) => emitted,
            None => {
                let body = delivery::body(to.format, &emit.kind, by.at, &emit.data);
                let body =
                    body.map_err(|wrong| Failure::invalid_outcome(wrong.under(&format!("/emit/{index}/data"))))?;
                bytes += body.len() + emit.kind.len();
                let emitted = Emitted { kind: emit.kind.clone(), body, hosts: Vec::new(), to: Vec::new() };
                &mut forms.push_mut((to.format, emitted)).1
            }
        };
        if emitted.hosts.is_empty() && matches!(to.address, Address::UrlSecret { own_host: false, .. }) {
            emitted.hosts = may.hosts.iter().map(ToString::to_string).collect();
        }
        emitted.to.push(to);
    }
    let on = emit.on.unwrap_or(EmitOn::Success);
    all.extend(forms.into_iter().map(|(_, emitted)| Held { on, emitted }));
    Ok(bytes)
}

/// The check of mode `test`, where what is emitted is shown and nothing is sent.
#[derive(Clone, Debug)]
pub struct Emitting {
    grants: Grants,
    slug: Slug,
    hosts: Vec<HostPattern>,
    secrets: Vec<String>,
    hosts_in_secrets: Vec<String>,
}

impl Emitting {
    /// Of a package that runs with this config, which has its defaults.
    pub fn of(manifest: &Manifest, config: &Object) -> Emitting {
        let grants = Grants::of(manifest);
        Emitting {
            slug: manifest.slug.clone(),
            hosts: grants.hosts_with(config),
            secrets: grants.secrets_with(config).into_iter().collect(),
            hosts_in_secrets: grants.hosts_in_secrets(config),
            grants,
        }
    }

    /// Checks what a run emits, as an executor does.
    ///
    /// # Errors
    /// Those of [`resolve`].
    pub fn check(&self, outcome: &Outcome, at: Timestamp) -> Result<(), Failure> {
        let Emitting { grants, slug, hosts, secrets, hosts_in_secrets } = self;
        let may = May { grants, hosts, secrets, hosts_in_secrets };
        // Nothing is sent, so nobody will know the ids.
        let by = By { tenant: slug, slug, execution: "", attachment: "", at };
        resolve(outcome, may, by, http::check_url).map(drop)
    }
}

/// Where in an outcome a target stands.
#[derive(Clone, Copy)]
struct Place {
    emit: usize,
    target: usize,
}

impl Place {
    fn denied(self, why: &str) -> Failure {
        let Place { emit, target } = self;
        Failure::new(FailureReason::CapabilityDenied, format!("emit[{emit}].to[{target}]: {why}"))
    }

    fn invalid(self, below: &str, why: impl Into<String>) -> Failure {
        let Place { emit, target } = self;
        Failure::invalid_outcome(Invalid::at(format!("/emit/{emit}/to/{target}{below}"), why))
    }
}

/// Where a target is, if the attachment may send there.
fn address(
    target: &EmitTarget,
    place: Place,
    may: May<'_>,
    check_url: &impl Fn(&Url) -> Result<(), HttpError>,
) -> Result<Address, Failure> {
    let text = match (&target.url, &target.url_secret) {
        (Some(url), _) => url,
        (None, Some(name)) => {
            readable(name, place, may)?;
            let own_host = may.hosts_in_secrets.contains(name);
            // A secret's URL leads to a host that is declared, or that the config says it leads to.
            if !own_host && may.hosts.is_empty() {
                return Err(place.denied(&format!(
                    "the version declares no host that the URL in the secret {name} could lead to: add it to hosts in \
                     action.toml"
                )));
            }
            return Ok(Address::UrlSecret { name: name.clone(), own_host });
        }
        (None, None) => return Err(place.invalid("", "takes either url or url_secret")),
    };
    if text.len() > MAX_URL_BYTES {
        return Err(place.invalid("/url", format!("has {} bytes; at most {MAX_URL_BYTES}", text.len())));
    }
    let url = Url::parse(text).map_err(|error| place.invalid("/url", format!("is no URL: {error}")))?;
    let Some(host) = url.host_str() else { return Err(place.invalid("/url", "a URL must name a host")) };
    if !may.hosts.iter().any(|pattern| pattern.matches(host)) {
        return Err(place.denied(&may.grants.host_denied(host)));
    }
    check_url(&url).map_err(|error| place.invalid("/url", error.message))?;
    Ok(Address::Url(url))
}

fn readable(name: &String, place: Place, may: May<'_>) -> Result<(), Failure> {
    match may.secrets.contains(name) {
        true => Ok(()),
        false => Err(place.denied(&may.grants.secret_denied(name))),
    }
}

/// A target with its defaults.
fn target_of(
    target: &EmitTarget,
    place: Place,
    may: May<'_>,
    address: Address,
    id: String,
) -> Result<EmittedTarget, Failure> {
    if let Some(name) = &target.signing_secret {
        readable(name, place, may)?;
    }
    let format = target.format.unwrap_or(EmitFormat::Standard);
    let is_slack = format == EmitFormat::Slack;
    let number = |set: Option<u64>, default: u32| set.and_then(|set| u32::try_from(set).ok()).unwrap_or(default);
    Ok(EmittedTarget {
        id,
        address,
        format,
        signing_secret: target.signing_secret.clone(),
        headers: headers(target.headers.as_ref(), place)?,
        timeout_ms: number(target.timeout_ms, DEFAULT_TIMEOUT_MS),
        max_attempts: number(target.max_attempts, DEFAULT_MAX_ATTEMPTS),
        max_per_minute: match target.max_per_minute {
            None => is_slack.then_some(DEFAULT_SLACK_PER_MINUTE),
            Some(_) => Some(number(target.max_per_minute, DEFAULT_SLACK_PER_MINUTE)),
        },
        // An event that is signed is delivered as it is: nothing can be put together with it.
        digest: is_slack && target.digest.unwrap_or(true),
    })
}

/// Headers of the connection, and those that would carry a credential in clear.
const WITHHELD_HEADERS: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of Standard Webhooks, and of proxies.
const WITHHELD_PREFIXES: [&str; 2] = ["webhook-", "proxy-"];

/// The headers that an emit adds, their names in lower case.
fn headers(set: Option<&BTreeMap<String, String>>, place: Place) -> Result<BTreeMap<String, String>, Failure> {
    let Some(set) = set else { return Ok(BTreeMap::new()) };
    if set.len() > MAX_HEADERS {
        return Err(place.invalid("/headers", format!("{} headers; at most {MAX_HEADERS}", set.len())));
    }
    let mut headers = BTreeMap::new();
    for (written, value) in set {
        let invalid = |why: String| {
            let key = written.replace('~', "~0").replace('/', "~1");
            Err(place.invalid(&format!("/headers/{key}"), why))
        };
        let name = written.to_ascii_lowercase();
        if !(1..=128).contains(&name.len()) || !name.bytes().all(is_token) {
            return invalid("is no name of a header: 1 to 128 letters, digits and marks such as -".to_owned());
        }
        let withheld = WITHHELD_HEADERS.contains(&name.as_str());
        if withheld || WITHHELD_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return invalid(format!("{name} is not a header to set"));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return invalid("a value has printable ASCII characters alone".to_owned());
        }
        if headers.insert(name.clone(), value.clone()).is_some() {
            return invalid(format!("{name} stands there twice"));
        }
    }
    Ok(headers)
}

/// A character of a header's name, by RFC 9110.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
