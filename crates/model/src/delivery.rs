//! Deliveries: what becomes of an emit on its way to a receiver. Its id, its body, how it is signed, when it is tried again.
//!
//! The form `standard` is Standard Webhooks 1.0.0: the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, over a
//! body `{type, timestamp, data}`. The form `slack` is an incoming webhook of Slack: the emit's data, as it is.

use crate::{
    Invalid,
    outcome::{EmitFormat, MAX_EMITS},
};
use aws_lc_rs::hmac;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use url::Url;

/// A body, in bytes.
pub const MAX_BODY_BYTES: usize = 20_000;
/// The most targets of one emit.
pub const MAX_TARGETS: usize = 10;
/// The most deliveries of one run.
pub const MAX_DELIVERIES: usize = MAX_EMITS * MAX_TARGETS;
/// The most headers that an emit adds.
pub const MAX_HEADERS: usize = 20;
/// The limit of one attempt where the emit names none.
pub const DEFAULT_TIMEOUT_MS: u32 = 15_000;
/// The attempts in all where the emit names none.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 8;
/// The pace of a Slack endpoint where the emit names none. One of another form has none.
pub const DEFAULT_SLACK_PER_MINUTE: u32 = 10;
/// How long after the attempt before it each attempt is made; the first at once.
pub const SCHEDULE_S: [u64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// By how much a wait is made longer or shorter, so that what failed together is not tried again together.
pub const JITTER_PERCENT: u64 = 20;
/// The longest wait that a receiver can ask for.
pub const MAX_RETRY_AFTER_S: u64 = 86_400;
/// What a signing secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// The key of a signing secret, in bytes.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The id of the message.
pub const ID_HEADER: &str = "webhook-id";
/// When it was sent, in seconds.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Its signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// One emit of a run, with everything decided that it takes to deliver it. It rides in the run's audit record as far as the
/// control plane; tenant, Action and execution are the record's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The event's type.
    pub kind: String,
    /// The body as it is sent and signed.
    pub body: String,
    /// The hosts that the version declares, as [`crate::http::HostPattern`] reads them. See [`Address::UrlSecret`].
    pub hosts: Vec<String>,
    /// Where it goes, each a delivery of its own.
    pub to: Vec<EmittedTarget>,
}

/// One place that an emit goes to: one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedTarget {
    /// The id of the delivery: see [`Origin::id`].
    pub id: String,
    /// Where to.
    pub address: Address,
    /// The form.
    pub format: EmitFormat,
    /// The name of the secret that signs.
    pub signing_secret: Option<String>,
    /// Headers to add; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The limit of one attempt.
    pub timeout_ms: u32,
    /// Attempts in all.
    pub max_attempts: u32,
    /// How many may go to the endpoint in a minute; `None` is as many as come.
    pub max_per_minute: Option<u32>,
    /// Whether what is over the pace is put together in one message. For Slack alone.
    pub digest: bool,
}

/// Where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A URL whose host the run was allowed.
    Url(Url),
    /// A secret that holds the URL. Which URL that is, is known only when it is sent.
    UrlSecret {
        /// The name of the secret.
        name: String,
        /// Whether the config says that this is where it goes, whatever its host. Otherwise the host is one of
        /// [`Emitted::hosts`].
        own_host: bool,
    },
}

/// What makes a delivery the one that it is.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A place in what a run answered: the same run of the same execution, on whatever executor, makes the same delivery.
    Run {
        /// The execution's id.
        execution: &'a str,
        /// The attachment's id.
        attachment: &'a str,
        /// The index of the emit.
        emit: usize,
        /// The index of the target.
        target: usize,
    },
    /// A key of the Action's own, and where it goes.
    Key {
        /// The Action's slug.
        slug: &'a str,
        /// The emit's `dedupe_key`.
        key: &'a str,
        /// The endpoint: [`Address::endpoint`].
        endpoint: &'a str,
    },
}

impl Origin<'_> {
    /// The id of the delivery: `msg_` and 26 characters of a-z and 2-7.
    pub fn id(self, tenant: &str) -> String {
        let mut hash = blake3::Hasher::new_derive_key("sluice delivery id v1");
        // Each part with its length before it, so that no two lists of parts read the same.
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(tenant.as_bytes());
        match self {
            Origin::Run { execution, attachment, emit, target } => {
                part(b"run");
                part(execution.as_bytes());
                part(attachment.as_bytes());
                part(&(emit as u64).to_le_bytes());
                part(&(target as u64).to_le_bytes());
            }
            Origin::Key { slug, key, endpoint } => {
                part(b"key");
                part(slug.as_bytes());
                part(key.as_bytes());
                part(endpoint.as_bytes());
            }
        }
        let mut bits = 0u128;
        for byte in &hash.finalize().as_bytes()[..16] {
            bits = bits << 8 | u128::from(*byte);
        }
        let digits = (0..26).map(|at| char::from(BASE32[(bits >> (at * 5) & 31) as usize]));
        "msg_".chars().chain(digits).collect()
    }
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl Address {
    /// What of a tenant's it is: a URL without its fragment, or `secret:NAME`. Deliveries to one endpoint share its pace, and
    /// are stopped together.
    pub fn endpoint(&self) -> String {
        match self {
            Address::Url(url) => {
                let mut url = url.clone();
                url.set_fragment(None);
                url.into()
            }
            Address::UrlSecret { name, .. } => secret_endpoint(name),
        }
    }
}

/// The endpoint of the URL in a secret.
pub fn secret_endpoint(name: &str) -> String {
    format!("secret:{name}")
}

/// The body of an emit, as it is sent.
///
/// # Errors
/// It is over [`MAX_BODY_BYTES`].
pub fn body(format: EmitFormat, kind: &str, at: Timestamp, data: &Value) -> Result<String, Invalid> {
    let body = match format {
        EmitFormat::Standard => serde_json::to_string(&Standard { kind, timestamp: at, data }),
        EmitFormat::Slack => serde_json::to_string(data),
    };
    let body = body.map_err(|error| Invalid::here(format!("cannot be written: {error}")))?;
    if body.len() > MAX_BODY_BYTES {
        let message = format!("makes a body of {} bytes; at most {MAX_BODY_BYTES} can be delivered", body.len());
        return Err(Invalid::here(message));
    }
    Ok(body)
}

#[derive(Serialize)]
struct Standard<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Timestamp,
    data: &'a Value,
}

/// A secret that signs. Nothing shows it.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Base64 as secrets have it: with its padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl SigningKey {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes. White space around it is not looked at.
    ///
    /// # Errors
    /// What it takes. What was read is not repeated.
    pub fn parse(secret: &str) -> Result<SigningKey, Invalid> {
        let says = || {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            Invalid::here(format!("a signing secret is {SECRET_PREFIX} and the base64 of {least} to {most} bytes"))
        };
        let text = secret.trim().strip_prefix(SECRET_PREFIX).ok_or_else(says)?;
        let key = LENIENT.decode(text).map_err(|_| says())?;
        if !SECRET_BYTES.contains(&key.len()) {
            return Err(says());
        }
        Ok(SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// One signature: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let mut over = hmac::Context::with_key(&self.0);
        over.update(format!("{id}.{timestamp_s}.").as_bytes());
        over.update(body);
        format!("v1,{}", STANDARD.encode(over.sign()))
    }
}

/// The value of [`SIGNATURE_HEADER`]: a signature of each key, while a secret rotates the newest first.
pub fn sign(keys: &[SigningKey], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    keys.iter().map(|key| key.sign(id, timestamp_s, body)).collect::<Vec<_>>().join(" ")
}

/// How long to wait after `made` attempts have failed, from 1. `random` is any number: it decides the jitter. The receiver
/// may have asked for a longer wait than the schedule's, which is bounded; a shorter one changes nothing.
pub fn retry_after(made: u32, asked: Option<Duration>, random: u64) -> Duration {
    let last = SCHEDULE_S.len() - 1;
    let planned_ms = SCHEDULE_S[usize::try_from(made).unwrap_or(last).min(last)] * 1_000;
    let spread_ms = planned_ms * JITTER_PERCENT / 100;
    let planned = Duration::from_millis(planned_ms - spread_ms + random % (2 * spread_ms + 1));
    asked.map_or(planned, |asked| planned.max(asked.min(Duration::from_secs(MAX_RETRY_AFTER_S))))
}

/// Reads the header `Retry-After`: seconds, or a time. What is neither asks for nothing.
pub fn read_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit a number is more than is ever granted.
        return Some(Duration::from_secs(value.parse().unwrap_or(MAX_RETRY_AFTER_S)));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
