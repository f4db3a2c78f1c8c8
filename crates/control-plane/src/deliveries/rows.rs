//! What of a delivery, and of an endpoint, lies in the store.

use crate::etag;
use crate::keys;
use crate::rows;
use crate::store::{Batch, Key};
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use sluice_model::delivery::Address;
use sluice_model::outcome::EmitFormat;
use sluice_model::{Error, Slug, Trigger};
use std::collections::BTreeMap;
use url::Url;

/// The most attempts of a delivery that are kept to be shown. It makes more only where it is sent again by hand.
pub(crate) const MAX_ATTEMPTS_KEPT: usize = 20;

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is to be sent.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It is sent again only when somebody asks for it.
    Dead,
}

impl State {
    /// All of them.
    pub(crate) const ALL: [State; 3] = [State::Pending, State::Delivered, State::Dead];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Dead => "dead",
        }
    }
}

/// Why a delivery is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeadReason {
    /// All its attempts failed.
    Exhausted,
    /// The endpoint said that it is gone.
    EndpointGone,
    /// Its endpoint was disabled already.
    EndpointDisabled,
}

impl DeadReason {
    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            DeadReason::Exhausted => "exhausted",
            DeadReason::EndpointGone => "endpoint_gone",
            DeadReason::EndpointDisabled => "endpoint_disabled",
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// When it began.
    pub(crate) at: Timestamp,
    /// How long it took, in milliseconds.
    pub(crate) duration_ms: u64,
    /// The status of the answer; `None` where there was none.
    pub(crate) status: Option<u16>,
    /// Why there was none: a [`sluice_model::http::HttpFailure`], or what was wrong before anything was sent.
    pub(crate) failure: Option<String>,
}

impl Attempt {
    /// Whether the receiver has it.
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// A delivery, without what is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Its id, which the receiver sees.
    pub(crate) id: String,
    /// Where it goes: see [`Address::endpoint`].
    pub(crate) endpoint: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The form.
    pub(crate) format: EmitFormat,
    /// The flow of the run.
    pub(crate) flow: Option<Slug>,
    /// The trigger of the run.
    pub(crate) trigger: Option<Trigger>,
    /// The attachment that emitted it.
    pub(crate) attachment: Option<String>,
    /// The Action that emitted it.
    pub(crate) slug: Slug,
    /// The Action's version.
    pub(crate) version: Version,
    /// The execution that it was emitted in.
    pub(crate) execution_id: Option<String>,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// How far it has come.
    pub(crate) state: State,
    /// When it is to be sent; for pending ones alone.
    pub(crate) due_at: Option<Timestamp>,
    /// When it stopped being pending.
    pub(crate) ended_at: Option<Timestamp>,
    /// Why it is a dead letter.
    pub(crate) dead: Option<DeadReason>,
    /// Attempts since it was made, or since it was last sent again by hand.
    pub(crate) tries: u32,
    /// The last attempts, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// The most attempts.
    pub(crate) max_attempts: u32,
    /// How many may go to the endpoint in a minute.
    pub(crate) max_per_minute: Option<u32>,
    /// Whether it may be put together with others where there are more than may go.
    pub(crate) digest: bool,
    /// The delivery that it was put together with and that was sent for both.
    pub(crate) told_by: Option<String>,
}

impl Delivery {
    /// Its etag, which changes with every attempt.
    pub(crate) fn etag(&self) -> Result<String, Error> {
        etag::of(self)
    }

    /// Whether it may stand in one message with others.
    pub(crate) fn is_digest(&self) -> bool {
        self.digest && self.format == EmitFormat::Slack
    }

    /// Its key among those of its state.
    pub(crate) fn listed(&self, tenant: &Slug) -> Key {
        keys::deliveries_in(tenant, self.state.as_str()).number(ms(self.made_at)).text(&self.id)
    }

    /// Its key in the queue of its endpoint, where it is in it.
    pub(crate) fn queued(&self, tenant: &Slug) -> Option<Key> {
        let due = self.due_at?;
        Some(keys::delivery_queue(tenant, &digest(&self.endpoint)).number(ms(due)).text(&self.id))
    }

    /// Puts it, and what leads to it, in place of what was there.
    pub(crate) fn write(&self, batch: Batch, tenant: &Slug, former: Option<&Delivery>) -> Result<Batch, Error> {
        let mut batch = batch.put(keys::delivery(tenant, &self.id), rows::encode(self)?);
        let (was, is) = (former.map(|former| former.listed(tenant)), self.listed(tenant));
        if was.as_ref() != Some(&is) {
            batch = was.into_iter().fold(batch, Batch::delete).put(is, Vec::new());
        }
        let (was, is) = (former.and_then(|former| former.queued(tenant)), self.queued(tenant));
        if was != is {
            batch = was.into_iter().fold(batch, Batch::delete);
            batch = is.into_iter().fold(batch, |batch, key| batch.put(key, Vec::new()));
        }
        Ok(batch)
    }

    /// Adds an attempt; the oldest one goes where there are too many.
    pub(crate) fn attempted(&mut self, attempt: Attempt) {
        if self.attempts.len() >= MAX_ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
        self.tries += 1;
    }

    /// It is pending no more.
    pub(crate) fn end(&mut self, state: State, dead: Option<DeadReason>, at: Timestamp) {
        (self.state, self.dead, self.due_at, self.ended_at) = (state, dead, None, Some(at));
    }

    /// It is to be sent, then.
    pub(crate) fn queue(&mut self, due: Timestamp) {
        (self.state, self.dead, self.due_at, self.ended_at) = (State::Pending, None, Some(due), None);
    }
}

/// What is delivered and how: never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// The body as it is sent and signed.
    pub(crate) body: String,
    /// Where to.
    pub(crate) to: To,
    /// The hosts that the version declares.
    pub(crate) hosts: Vec<String>,
    /// The name of the secret that signs.
    pub(crate) signing_secret: Option<String>,
    /// Headers to add.
    pub(crate) headers: BTreeMap<String, String>,
    /// The limit of one attempt.
    pub(crate) timeout_ms: u32,
}

/// Where a delivery goes, as [`sluice_model::delivery::Address`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum To {
    /// A URL.
    Url(String),
    /// A secret that holds the URL.
    UrlSecret {
        /// Its name.
        name: String,
        /// Whether it may lead to any host.
        own_host: bool,
    },
}

impl From<Address> for To {
    fn from(address: Address) -> To {
        match address {
            Address::Url(url) => To::Url(url.into()),
            Address::UrlSecret { name, own_host } => To::UrlSecret { name, own_host },
        }
    }
}

/// Where deliveries go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// A URL, or `secret:NAME`.
    pub(crate) endpoint: String,
    /// When a delivery first went there.
    pub(crate) made_at: Timestamp,
    /// Since when and why nothing is sent to it.
    pub(crate) disabled: Option<Disabled>,
    /// When the last messages were sent, where they have a pace; none older than a minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recent: Vec<Timestamp>,
}

/// Since when and why nothing is sent to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disabled {
    /// Since when.
    pub(crate) at: Timestamp,
    /// What it answered.
    pub(crate) status: u16,
    /// To which delivery.
    pub(crate) delivery: String,
}

impl Endpoint {
    /// Its etag, which changes when it is disabled or enabled.
    pub(crate) fn etag(&self) -> Result<String, Error> {
        etag::of(&(&self.endpoint, &self.disabled))
    }
}

/// The queue of an endpoint: a tenant, and the digest of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneKey {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// See [`digest`].
    pub(crate) endpoint: String,
}

impl LaneKey {
    /// The queue of a tenant's endpoint.
    pub(crate) fn of(tenant: &Slug, endpoint: &str) -> LaneKey {
        LaneKey { tenant: tenant.clone(), endpoint: digest(endpoint) }
    }
}

/// What an endpoint is called in keys, which are shorter than URLs may be.
pub(crate) fn digest(endpoint: &str) -> String {
    blake3::hash(endpoint.as_bytes()).to_hex()[..32].to_owned()
}

/// An endpoint as audit and logs have it: of a URL its origin alone, since the rest may give leave to post.
pub(crate) fn shown(endpoint: &str) -> String {
    match Url::parse(endpoint) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => endpoint.to_owned(),
    }
}

/// A time in a key.
pub(crate) fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// The time and the id at the end of a key.
pub(crate) fn time_and_id(key: &Key, prefix: &Key) -> Option<(Timestamp, String)> {
    let mut parts = key.parts_after(prefix)?;
    let at = Timestamp::from_millisecond(i64::try_from(parts.number()?).ok()?).ok()?;
    Some((at, parts.text()?))
}
