//! What an Action may answer: [`Outcome`], read strictly.
//!
//! Anything that is not exactly an outcome is `invalid_outcome` with the pointer to the mistake; it is never taken as
//! continue. What depends on the tenant, the trigger or the other Actions of the slot is checked in [`crate::slot`].

use crate::{
    Invalid, Object,
    claim::{self, ClaimTarget},
    decode::{Decode, Fields, Path, words, wrong_type},
    limits::check_depth,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The most characters of a `user_message`.
pub const MAX_USER_MESSAGE_CHARS: usize = 256;
/// The longest `retry_after_s`: 30 days.
pub const MAX_RETRY_AFTER_S: u64 = 30 * 86_400;
/// The longest `max_age_s`: a day.
pub const MAX_MFA_AGE_S: u64 = 86_400;
/// The most claims of one outcome.
pub const MAX_CLAIMS: usize = 50;
/// The most emits of one outcome.
pub const MAX_EMITS: usize = 10;
/// The most annotations of one outcome.
pub const MAX_ANNOTATIONS: usize = 50;
/// The most parameters that a redirect adds.
pub const MAX_QUERY_PARAMETERS: usize = 20;
/// The longest URL.
pub const MAX_URL_BYTES: usize = 2_048;

words! {
    /// The four answers.
    OutcomeKind {
        /// Go on.
        Continue = "continue",
        /// Stop the sign-in.
        Block = "block",
        /// Ask for a second factor.
        DemandMfa = "demand_mfa",
        /// Send the user elsewhere.
        Redirect = "redirect",
    }
}

words! {
    /// A kind of second factor.
    Factor {
        /// One-time password from an authenticator.
        Otp = "otp",
        /// A security key or passkey.
        Webauthn = "webauthn",
        /// A push message to an app.
        Push = "push",
        /// A code by e-mail.
        Email = "email",
        /// A code by text message.
        Sms = "sms",
        /// A recovery code.
        Recovery = "recovery",
    }
}

words! {
    /// What a block tells the client (OAuth error).
    BlockError {
        /// The default.
        AccessDenied = "access_denied",
        /// Too many attempts.
        RateLimited = "rate_limited",
        /// Too risky.
        RiskDenied = "risk_denied",
    }
}

words! {
    /// What happens where no factor is enrolled. From strict to lenient.
    OnUnenrolled {
        /// Stop the sign-in.
        Block = "block",
        /// Let the user enrol now.
        Enroll = "enroll",
        /// Go on without.
        Continue = "continue",
    }
}

words! {
    /// What happens where nobody can be asked. From strict to lenient.
    OnNonInteractive {
        /// Stop the sign-in.
        Block = "block",
        /// Go on without.
        Continue = "continue",
    }
}

words! {
    /// How a redirect goes on.
    RedirectMode {
        /// The user stays where the redirect leads; the sign-in is done.
        Landing = "landing",
        /// The page sends the user back to resume the sign-in.
        Resumable = "resumable",
    }
}

words! {
    /// What happens to a claim that exists already.
    IfExists {
        /// The one that exists stays; the default.
        Keep = "keep",
        /// The new one replaces it.
        Overwrite = "overwrite",
        /// The run is an invalid outcome.
        Error = "error",
    }
}

words! {
    /// When an emit goes out.
    EmitOn {
        /// The slot did not block; the default.
        Success = "success",
        /// The slot blocked.
        Blocked = "blocked",
        /// In either case.
        Always = "always",
    }
}

words! {
    /// The form of a delivery.
    EmitFormat {
        /// Standard Webhooks; the default.
        Standard = "standard",
        /// A Slack incoming webhook.
        Slack = "slack",
    }
}

/// An answer, with what every kind may carry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// Why, for audit and for machines: `[a-z0-9_.]{1,64}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// A merge patch of the state's top level; null deletes.
    #[serde(skip_serializing_if = "Object::is_empty")]
    pub state: Object,
    /// Claims for tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// Events to deliver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emit: Vec<Emit>,
    /// Notes for audit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

/// The decision of an outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decision {
    /// Go on.
    Continue,
    /// Stop the sign-in.
    Block(Block),
    /// Ask for a second factor.
    DemandMfa(DemandMfa),
    /// Send the user elsewhere.
    Redirect(Redirect),
}

/// What a block says. All of it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Block {
    /// What the user is told, at most [`MAX_USER_MESSAGE_CHARS`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_message: Option<String>,
    /// What the client is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<BlockError>,
    /// When to try again, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

/// What a demand for a second factor says. What is absent is neutral when demands are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemandMfa {
    /// Those that satisfy it; absent or empty is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors: Option<Vec<Factor>>,
    /// How old an earlier check may be, in seconds; 0 is fresh for this sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
    /// Whether the device may be remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_remember: Option<bool>,
    /// Where no factor is enrolled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unenrolled: Option<OnUnenrolled>,
    /// Where nobody can be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_non_interactive: Option<OnNonInteractive>,
}

/// Where a redirect leads. The tenant's allowed origins are checked by the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// An absolute https URL, at most [`MAX_URL_BYTES`].
    pub url: String,
    /// How it goes on; `landing` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<RedirectMode>,
    /// Parameters to add to the URL; values are percent-encoded by the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<BTreeMap<String, String>>,
}

/// A claim for one token or both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Which token.
    pub token: ClaimTarget,
    /// Its name; see [`claim::check_name`].
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where it exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_exists: Option<IfExists>,
}

/// An event to deliver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Emit {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its data; for Slack the body as sent.
    pub data: Value,
    /// Two emits with the same key are one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_key: Option<String>,
    /// When it goes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<EmitOn>,
    /// Where it goes, 1 to 10 of them.
    pub to: Vec<EmitTarget>,
}

/// Where an event goes: a URL, or a secret that holds one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EmitTarget {
    /// The URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The name of the secret that holds the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_secret: Option<String>,
    /// The form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<EmitFormat>,
    /// The name of the secret that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
    /// Headers to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The limit of one attempt, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Attempts in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Deliveries a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_minute: Option<u64>,
    /// Whether what is over the pace is put together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<bool>,
}

const COMMON: [&str; 5] = ["reason_code", "state", "claims", "emit", "annotations"];

/// The keys of a kind: its own, then those of every outcome.
macro_rules! keys {
    ($($own:literal),*) => { &["kind", $($own,)* "reason_code", "state", "claims", "emit", "annotations"] };
}

impl Outcome {
    /// The bare `continue`.
    pub fn proceed() -> Outcome {
        Outcome {
            decision: Decision::Continue,
            reason_code: None,
            state: Object::new(),
            claims: Vec::new(),
            emit: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Which of the four it is.
    pub fn kind(&self) -> OutcomeKind {
        match self.decision {
            Decision::Continue => OutcomeKind::Continue,
            Decision::Block(_) => OutcomeKind::Block,
            Decision::DemandMfa(_) => OutcomeKind::DemandMfa,
            Decision::Redirect(_) => OutcomeKind::Redirect,
        }
    }

    fn keys_of(kind: OutcomeKind) -> &'static [&'static str] {
        match kind {
            OutcomeKind::Continue => keys!(),
            OutcomeKind::Block => keys!("user_message", "error", "retry_after_s"),
            OutcomeKind::DemandMfa => {
                keys!("factors", "max_age_s", "allow_remember", "on_unenrolled", "on_non_interactive")
            }
            OutcomeKind::Redirect => keys!("url", "mode", "query"),
        }
    }

    /// The keys that an outcome of a kind can have; without a kind, of any.
    pub(crate) fn keys(kind: Option<OutcomeKind>) -> Vec<&'static str> {
        let kinds = OutcomeKind::ALL.iter().map(|(_, of)| *of).filter(|of| kind.is_none_or(|kind| kind == *of));
        let mut keys: Vec<&'static str> = kinds.flat_map(Outcome::keys_of).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Reads an outcome. The size of the whole is the caller's to check: [`crate::limits::MAX_OUTCOME_BYTES`].
    pub fn from_json(value: Value) -> Result<Outcome, Invalid> {
        let root = Path::ROOT;
        let kind = match &value {
            Value::Object(map) => match map.get("kind") {
                Some(kind) => OutcomeKind::decode(kind.clone(), root.key("kind"))?,
                None => {
                    return Err(root.invalid("\"kind\" is missing; it is one of continue, block, demand_mfa, redirect"));
                }
            },
            other => return Err(wrong_type(root, "an outcome such as { kind: 'continue' }", other)),
        };
        let known = Outcome::keys_of(kind);
        let mut f = Fields::new(value, &root, known)?;
        let decision = match kind {
            OutcomeKind::Continue => Decision::Continue,
            OutcomeKind::Block => Decision::Block(Block::read(&mut f)?),
            OutcomeKind::DemandMfa => Decision::DemandMfa(DemandMfa::read(&mut f)?),
            OutcomeKind::Redirect => Decision::Redirect(Redirect::read(&mut f)?),
        };
        Outcome::read_common(decision, &mut f)
    }

    fn read_common(decision: Decision, f: &mut Fields<'_>) -> Result<Outcome, Invalid> {
        let path = *f.path();
        let reason_code: Option<String> = f.optional(COMMON[0])?;
        if let Some(code) = &reason_code {
            check_reason_code(code).map_err(|m| path.key("reason_code").invalid(m))?;
        }
        let state: Object = f.or_default(COMMON[1])?;
        crate::slot::check_patch(&state).map_err(|e| e.under("/state"))?;
        let claims: Vec<Claim> = f.or_default(COMMON[2])?;
        let at = path.key("claims");
        at_most(claims.len(), MAX_CLAIMS, "claims", at)?;
        claim::check_action_size(&claims).map_err(|m| at.invalid(m))?;
        let emit: Vec<Emit> = f.or_default(COMMON[3])?;
        at_most(emit.len(), MAX_EMITS, "emits", path.key("emit"))?;
        let annotations: BTreeMap<String, Value> =
            f.optional::<Object>(COMMON[4])?.unwrap_or_default().into_iter().collect();
        let at = path.key("annotations");
        at_most(annotations.len(), MAX_ANNOTATIONS, "annotations", at)?;
        for (key, value) in &annotations {
            if !(value.is_string() || value.is_number() || value.is_boolean()) {
                return Err(wrong_type(at.key(key), "a string, a number or a boolean", value));
            }
        }
        Ok(Outcome { decision, reason_code, state, claims, emit, annotations })
    }
}

impl Block {
    fn read(f: &mut Fields<'_>) -> Result<Block, Invalid> {
        let path = *f.path();
        let user_message: Option<String> = f.optional("user_message")?;
        if let Some(message) = &user_message {
            let chars = message.chars().count();
            if chars > MAX_USER_MESSAGE_CHARS {
                let message = format!("has {chars} characters; at most {MAX_USER_MESSAGE_CHARS}");
                return Err(path.key("user_message").invalid(message));
            }
        }
        let error = f.optional("error")?;
        let retry_after_s = f.optional("retry_after_s")?;
        bounded(retry_after_s, 0, MAX_RETRY_AFTER_S, path.key("retry_after_s"))?;
        Ok(Block { user_message, error, retry_after_s })
    }
}

impl DemandMfa {
    fn read(f: &mut Fields<'_>) -> Result<DemandMfa, Invalid> {
        let path = *f.path();
        let factors: Option<Vec<Factor>> = f.optional("factors")?;
        at_most(factors.as_ref().map_or(0, Vec::len), Factor::ALL.len(), "factors", path.key("factors"))?;
        let max_age_s = f.optional("max_age_s")?;
        bounded(max_age_s, 0, MAX_MFA_AGE_S, path.key("max_age_s"))?;
        Ok(DemandMfa {
            factors,
            max_age_s,
            allow_remember: f.optional("allow_remember")?,
            on_unenrolled: f.optional("on_unenrolled")?,
            on_non_interactive: f.optional("on_non_interactive")?,
        })
    }
}

impl Redirect {
    fn read(f: &mut Fields<'_>) -> Result<Redirect, Invalid> {
        let path = *f.path();
        let url: String = f.required("url")?;
        crate::redirect::parse(&url).map_err(|m| path.key("url").invalid(m))?;
        let query: Option<BTreeMap<String, String>> = f.optional("query")?;
        at_most(query.as_ref().map_or(0, BTreeMap::len), MAX_QUERY_PARAMETERS, "parameters", path.key("query"))?;
        Ok(Redirect { url, mode: f.optional("mode")?, query })
    }
}

impl Decode for Claim {
    fn decode(value: Value, path: Path<'_>) -> Result<Claim, Invalid> {
        let mut f = Fields::new(value, &path, &["token", "name", "value", "if_exists"])?;
        let token = f.required("token")?;
        let name: String = f.required("name")?;
        claim::check_name(&name).map_err(|m| path.key("name").invalid(m))?;
        let value = f.raw("value").ok_or_else(|| path.invalid("\"value\" is missing"))?;
        check_depth(&value).map_err(|e| path.key("value").invalid(e.message))?;
        Ok(Claim { token, name, value, if_exists: f.optional("if_exists")? })
    }
}

impl Decode for Emit {
    fn decode(value: Value, path: Path<'_>) -> Result<Emit, Invalid> {
        let mut f = Fields::new(value, &path, &["type", "data", "dedupe_key", "on", "to"])?;
        let kind: String = f.required("type")?;
        if !(1..=128).contains(&kind.len()) {
            return Err(path.key("type").invalid("an event type has 1 to 128 bytes"));
        }
        let data = f.raw("data").ok_or_else(|| path.invalid("\"data\" is missing"))?;
        check_depth(&data).map_err(|e| path.key("data").invalid(e.message))?;
        let dedupe_key: Option<String> = f.optional("dedupe_key")?;
        if dedupe_key.as_ref().is_some_and(|k| !(1..=128).contains(&k.len())) {
            return Err(path.key("dedupe_key").invalid("a key has 1 to 128 bytes"));
        }
        let on = f.optional("on")?;
        let to: Vec<EmitTarget> = f.required("to")?;
        if to.is_empty() {
            return Err(path.key("to").invalid("names no target"));
        }
        at_most(to.len(), 10, "targets", path.key("to"))?;
        Ok(Emit { kind, data, dedupe_key, on, to })
    }
}

impl Decode for EmitTarget {
    fn decode(value: Value, path: Path<'_>) -> Result<EmitTarget, Invalid> {
        let mut f = Fields::new(
            value,
            &path,
            &[
                "url",
                "url_secret",
                "format",
                "signing_secret",
                "headers",
                "timeout_ms",
                "max_attempts",
                "max_per_minute",
                "digest",
            ],
        )?;
        let target = EmitTarget {
            url: f.optional("url")?,
            url_secret: f.optional("url_secret")?,
            format: f.optional("format")?,
            signing_secret: f.optional("signing_secret")?,
            headers: f.optional("headers")?,
            timeout_ms: f.optional("timeout_ms")?,
            max_attempts: f.optional("max_attempts")?,
            max_per_minute: f.optional("max_per_minute")?,
            digest: f.optional("digest")?,
        };
        if target.url.is_some() == target.url_secret.is_some() {
            return Err(path.invalid("takes either url or url_secret"));
        }
        bounded(target.timeout_ms, 50, 30_000, path.key("timeout_ms"))?;
        bounded(target.max_attempts, 1, 10, path.key("max_attempts"))?;
        bounded(target.max_per_minute, 1, 60, path.key("max_per_minute"))?;
        Ok(target)
    }
}

/// Reason codes are `[a-z0-9_.]{1,64}`.
pub fn check_reason_code(code: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.');
    if fits { Ok(()) } else { Err("a reason code is 1 to 64 characters of a-z, 0-9, _ and .".to_owned()) }
}

fn at_most(count: usize, max: usize, what: &str, path: Path<'_>) -> Result<(), Invalid> {
    if count > max { Err(path.invalid(format!("{count} {what}; at most {max}"))) } else { Ok(()) }
}

fn bounded(value: Option<u64>, min: u64, max: u64, path: Path<'_>) -> Result<(), Invalid> {
    match value {
        Some(n) if !(min..=max).contains(&n) => Err(path.invalid(format!("is {n}; it takes {min} to {max}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
