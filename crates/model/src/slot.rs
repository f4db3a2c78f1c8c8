//! How the answers of several Actions in one slot become one verdict.
//!
//! They run in order of position; each sees the state, claims and demands merged so far. Only `block` ends the slot:
//! `demand_mfa` and `redirect` are obligations, and the later Actions still run, or a redirect placed first would
//! silently disable a block placed after it. The verdict is block over demand_mfa over redirect over continue. On a block
//! claims and state are discarded. Source: DESIGN "Several Actions in one slot".

use crate::{
    Failure, Invalid, Object, Outcome, OutcomeKind, Trigger,
    claim::{self, ClaimToken},
    decode::words,
    input::Token,
    limits::{MAX_STATE_BYTES, MAX_STATE_KEY_CHARS, MAX_STATE_VALUE_BYTES, check_depth},
    outcome::{Block, BlockError, Decision, DemandMfa, Factor, IfExists, OnNonInteractive, OnUnenrolled, RedirectMode},
    redirect::{self, Origin},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the Actions of a slot demand so far; a key is absent where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pending {
    /// A second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa: Option<PendingMfa>,
    /// A redirect, once the second factor is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<PendingRedirect>,
}

/// The merged demand for a second factor, with defaults for what nobody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingMfa {
    /// Those that satisfy it; empty is any.
    pub factors: Vec<Factor>,
    /// How old an earlier check may be, in seconds.
    pub max_age_s: u64,
    /// Whether the device may be remembered.
    pub allow_remember: bool,
    /// Where no factor is enrolled.
    pub on_unenrolled: OnUnenrolled,
    /// Where nobody can be asked.
    pub on_non_interactive: OnNonInteractive,
}

/// The redirect that won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingRedirect {
    /// Where to, without `query`.
    pub url: String,
    /// How it goes on.
    pub mode: RedirectMode,
    /// Parameters to add.
    pub query: BTreeMap<String, String>,
    /// The attachment that asked for it.
    pub attachment: String,
}

/// A claim that the slot adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MergedClaim {
    /// Which token.
    pub token: ClaimToken,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The attachment that wrote it.
    pub attachment: String,
}

words! {
    /// What can lose when answers are merged.
    LostKind {
        /// A claim; `name` is `token/name`.
        Claim = "claim",
        /// A redirect; `name` is its URL.
        Redirect = "redirect",
        /// Factors of a demand that had none in common with an earlier one.
        Factors = "factors",
        /// A key of the state that a later Action wrote again.
        State = "state",
    }
}

/// Something that one attachment said and another's word stood over; audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Lost {
    /// What it was.
    pub kind: LostKind,
    /// Which one.
    pub name: String,
    /// Whose it was; empty for what the caller sent.
    pub attachment: String,
    /// Whose word stands; empty for what the caller sent.
    pub winner: String,
}

/// Who decided the verdict; absent where it is continue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecidedBy {
    /// The attachment.
    pub attachment: String,
    /// Its reason code, or `action_failed` or `action_unavailable`.
    pub reason_code: Option<String>,
    /// For a block: what the client is told.
    pub error: Option<BlockError>,
    /// For a block: what the user is told.
    pub user_message: Option<String>,
    /// For a block: when to try again.
    pub retry_after_s: Option<u64>,
}

/// The answer of a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlotAnswer {
    /// Block over demand_mfa over redirect over continue.
    pub verdict: OutcomeKind,
    /// Who decided it.
    pub decided_by: Option<DecidedBy>,
    /// Claims to add.
    pub claims: Vec<MergedClaim>,
    /// The state to send with the sign-in's next slot.
    pub state: Object,
    /// What is to be met.
    pub pending: Pending,
}

/// What a tenant and an operator allow; checked by the host for every Action.
#[derive(Clone, Copy, Debug)]
pub struct HostRules<'a> {
    /// Where redirects may lead.
    pub redirect_origins: &'a [Origin],
    /// Whether http redirects to localhost are allowed, for development.
    pub http_localhost: bool,
}

/// A slot while it runs.
#[derive(Clone, Debug)]
pub struct SlotState {
    trigger: Trigger,
    before: Object,
    state: Object,
    state_writers: BTreeMap<String, String>,
    token: Option<(ClaimToken, Object)>,
    claims: Vec<MergedClaim>,
    pending: Pending,
    demanded: Demand,
    mfa_by: Option<DecidedBy>,
    redirect_by: Option<DecidedBy>,
    blocked_by: Option<DecidedBy>,
}

/// The merged demand with what nobody said left open.
#[derive(Clone, Debug, Default)]
struct Demand {
    factors: Option<Vec<Factor>>,
    max_age_s: Option<u64>,
    allow_remember: Option<bool>,
    on_unenrolled: Option<OnUnenrolled>,
    on_non_interactive: Option<OnNonInteractive>,
}

impl SlotState {
    /// A slot before its first run. `state` is what the caller sent; the claims of `token` exist already.
    pub fn new(trigger: Trigger, state: Object, token: Option<&Token>) -> SlotState {
        let token = token.map(|t| {
            let kind = if t.kind == "id" { ClaimToken::Id } else { ClaimToken::Access };
            (kind, t.claims.clone())
        });
        SlotState {
            trigger,
            before: state.clone(),
            state,
            state_writers: BTreeMap::new(),
            token,
            claims: Vec::new(),
            pending: Pending::default(),
            demanded: Demand::default(),
            mfa_by: None,
            redirect_by: None,
            blocked_by: None,
        }
    }

    /// The state merged so far, for the next run.
    pub fn state(&self) -> &Object {
        &self.state
    }

    /// What is demanded so far, for the next run.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Whether the slot has ended: somebody blocked.
    pub fn is_blocked(&self) -> bool {
        self.blocked_by.is_some()
    }

    /// Checks an outcome against the trigger, the version's declared outcomes (`None` = all), the host's rules and
    /// what the slot holds, then merges it. All or nothing: an error means `invalid_outcome`, and nothing was merged.
    /// Answers what lost.
    pub fn apply(
        &mut self,
        attachment: &str,
        outcome: &Outcome,
        declared: Option<&[OutcomeKind]>,
        rules: HostRules<'_>,
    ) -> Result<Vec<Lost>, Invalid> {
        let kind = outcome.kind();
        if let Some(declared) = declared
            && !declared.contains(&kind)
        {
            return Err(Invalid::at("/kind", format!("{kind} is not among the outcomes that the version declares")));
        }
        if let Decision::Redirect(r) = &outcome.decision {
            redirect::check(&r.url, rules.redirect_origins, rules.http_localhost)
                .map_err(|m| Invalid::at("/url", m))?;
        }
        if self.trigger.is_asynchronous() {
            // Nobody waits for the answer: it is recorded, and only the state goes on to the next Action.
            let mut lost = Vec::new();
            self.state = self.patched(attachment, &outcome.state, &mut lost)?;
            self.note_writers(attachment, &outcome.state);
            return Ok(lost);
        }
        if !self.trigger.allows(kind) {
            let allowed = self.trigger.allowed_kinds();
            return Err(Invalid::at("/kind", format!("{kind} is not allowed at {}; {allowed} are", self.trigger)));
        }
        if !outcome.claims.is_empty() && !self.trigger.allows_claims() {
            return Err(Invalid::at("/claims", format!("no claims can be added at {}", self.trigger)));
        }
        let mut lost = Vec::new();
        if let Decision::Block(block) = &outcome.decision {
            // Its state and claims would be discarded; they are checked all the same, or a mistake would show only on
            // the day that the Action does not block.
            self.patched(attachment, &outcome.state, &mut Vec::new())?;
            self.with_claims(attachment, outcome, &mut Vec::new())?;
            self.block(attachment, outcome.reason_code.clone(), block);
            return Ok(lost);
        }
        let state = self.patched(attachment, &outcome.state, &mut lost)?;
        let claims = self.with_claims(attachment, outcome, &mut lost)?;
        self.state = state;
        self.note_writers(attachment, &outcome.state);
        if let Some(claims) = claims {
            self.claims = claims;
        }
        match &outcome.decision {
            Decision::DemandMfa(demand) => self.demand(attachment, outcome, demand, &mut lost),
            Decision::Redirect(r) => self.redirect(attachment, outcome, r, &mut lost),
            Decision::Continue | Decision::Block(_) => {}
        }
        Ok(lost)
    }

    /// Ends the slot because an Action failed and its policy says block. At an asynchronous trigger nothing can block,
    /// and this does nothing.
    pub fn block_by_failure(&mut self, attachment: &str, failure: &Failure) {
        if self.trigger.is_asynchronous() {
            return;
        }
        let code = if failure.reason.follows_on_unavailable() { "action_unavailable" } else { "action_failed" };
        self.block(attachment, Some(code.to_owned()), &Block::default());
    }

    /// The slot's answer.
    pub fn finish(self) -> SlotAnswer {
        if self.blocked_by.is_some() {
            return SlotAnswer {
                verdict: OutcomeKind::Block,
                decided_by: self.blocked_by,
                claims: Vec::new(),
                state: self.before,
                pending: Pending::default(),
            };
        }
        let (verdict, decided_by) = match (self.mfa_by, self.redirect_by) {
            (Some(by), _) => (OutcomeKind::DemandMfa, Some(by)),
            (None, Some(by)) => (OutcomeKind::Redirect, Some(by)),
            (None, None) => (OutcomeKind::Continue, None),
        };
        SlotAnswer { verdict, decided_by, claims: self.claims, state: self.state, pending: self.pending }
    }

    fn block(&mut self, attachment: &str, reason_code: Option<String>, block: &Block) {
        self.blocked_by = Some(DecidedBy {
            attachment: attachment.to_owned(),
            reason_code,
            error: Some(block.error.unwrap_or(BlockError::AccessDenied)),
            user_message: block.user_message.clone(),
            retry_after_s: block.retry_after_s,
        });
    }

    /// The state with a patch applied. Last write wins.
    fn patched(&self, attachment: &str, patch: &Object, lost: &mut Vec<Lost>) -> Result<Object, Invalid> {
        let mut state = self.state.clone();
        if patch.is_empty() {
            return Ok(state);
        }
        for (key, value) in patch {
            if let Some(writer) = self.state_writers.get(key)
                && writer != attachment
                && state.get(key) != Some(value)
            {
                lost.push(Lost {
                    kind: LostKind::State,
                    name: key.clone(),
                    attachment: writer.clone(),
                    winner: attachment.to_owned(),
                });
            }
            if value.is_null() {
                state.remove(key);
            } else {
                state.insert(key.clone(), value.clone());
            }
        }
        let bytes = claim::object_bytes(&state);
        if bytes > MAX_STATE_BYTES {
            return Err(Invalid::at(
                "/state",
                format!("the merged state has {bytes} bytes of JSON; at most {MAX_STATE_BYTES}"),
            ));
        }
        Ok(state)
    }

    fn note_writers(&mut self, attachment: &str, patch: &Object) {
        for key in patch.keys() {
            self.state_writers.insert(key.clone(), attachment.to_owned());
        }
    }

    /// The claims with an outcome's merged in; `None` where it has none. First write wins, unless it overwrites.
    fn with_claims(
        &self,
        attachment: &str,
        outcome: &Outcome,
        lost: &mut Vec<Lost>,
    ) -> Result<Option<Vec<MergedClaim>>, Invalid> {
        if outcome.claims.is_empty() {
            return Ok(None);
        }
        let mut claims = self.claims.clone();
        for (i, new) in outcome.claims.iter().enumerate() {
            for &token in new.token.tokens() {
                let written = claims.iter().position(|c| c.token == token && c.name == new.name);
                let in_token = self.token.as_ref().is_some_and(|(t, c)| *t == token && c.contains_key(&new.name));
                let merged = MergedClaim {
                    token,
                    name: new.name.clone(),
                    value: new.value.clone(),
                    attachment: attachment.to_owned(),
                };
                if written.is_none() && !in_token {
                    claims.push(merged);
                    continue;
                }
                let holder = written.map_or("", |at| claims[at].attachment.as_str()).to_owned();
                let name = format!("{token}/{}", new.name);
                let said =
                    |attachment: String, winner: String| Lost { kind: LostKind::Claim, name, attachment, winner };
                match new.if_exists.unwrap_or(IfExists::Keep) {
                    IfExists::Keep => lost.push(said(attachment.to_owned(), holder)),
                    IfExists::Overwrite => {
                        lost.push(said(holder, attachment.to_owned()));
                        match written {
                            Some(at) => claims[at] = merged,
                            None => claims.push(merged),
                        }
                    }
                    IfExists::Error => {
                        return Err(Invalid::at(
                            format!("/claims/{i}"),
                            format!("the {token} token has a claim {:?} already", new.name),
                        ));
                    }
                }
            }
        }
        for (_, token) in ClaimToken::ALL {
            let of_token = claims.iter().filter(|c| c.token == *token);
            let bytes: usize = of_token.map(|c| claim::member_bytes(&c.name, &c.value)).sum();
            if bytes > claim::MAX_TOKEN_BYTES {
                let message = format!(
                    "the claims of the {token} token have {bytes} bytes of JSON; at most {}",
                    claim::MAX_TOKEN_BYTES
                );
                return Err(Invalid::at("/claims", message));
            }
        }
        Ok(Some(claims))
    }

    fn demand(&mut self, attachment: &str, outcome: &Outcome, new: &DemandMfa, lost: &mut Vec<Lost>) {
        let merged = &mut self.demanded;
        // An empty list says "any", which is what saying nothing says.
        if let Some(factors) = new.factors.as_ref().filter(|f| !f.is_empty()) {
            merged.factors = Some(match merged.factors.take() {
                None => {
                    let mut factors = factors.clone();
                    let mut seen = Vec::new();
                    factors.retain(|f| {
                        !seen.contains(f) && {
                            seen.push(*f);
                            true
                        }
                    });
                    factors
                }
                Some(earlier) => {
                    let common: Vec<Factor> = earlier.iter().copied().filter(|f| factors.contains(f)).collect();
                    if common.is_empty() {
                        lost.push(Lost {
                            kind: LostKind::Factors,
                            name: factors.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(","),
                            attachment: attachment.to_owned(),
                            winner: self.mfa_by.as_ref().map_or(String::new(), |by| by.attachment.clone()),
                        });
                        earlier
                    } else {
                        common
                    }
                }
            });
        }
        merged.max_age_s = smaller(merged.max_age_s, new.max_age_s);
        merged.allow_remember = match (merged.allow_remember, new.allow_remember) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
        // The variants stand from strict to lenient, so the smaller is the stricter.
        merged.on_unenrolled = smaller(merged.on_unenrolled, new.on_unenrolled);
        merged.on_non_interactive = smaller(merged.on_non_interactive, new.on_non_interactive);
        self.pending.mfa = Some(PendingMfa {
            factors: merged.factors.clone().unwrap_or_default(),
            max_age_s: merged.max_age_s.unwrap_or(0),
            allow_remember: merged.allow_remember.unwrap_or(false),
            on_unenrolled: merged.on_unenrolled.unwrap_or(OnUnenrolled::Block),
            on_non_interactive: merged.on_non_interactive.unwrap_or(OnNonInteractive::Block),
        });
        self.mfa_by.get_or_insert_with(|| decided(attachment, outcome));
    }

    fn redirect(&mut self, attachment: &str, outcome: &Outcome, new: &crate::outcome::Redirect, lost: &mut Vec<Lost>) {
        if let Some(first) = &self.pending.redirect {
            lost.push(Lost {
                kind: LostKind::Redirect,
                name: new.url.clone(),
                attachment: attachment.to_owned(),
                winner: first.attachment.clone(),
            });
            return;
        }
        self.pending.redirect = Some(PendingRedirect {
            url: new.url.clone(),
            mode: new.mode.unwrap_or(RedirectMode::Landing),
            query: new.query.clone().unwrap_or_default(),
            attachment: attachment.to_owned(),
        });
        self.redirect_by = Some(decided(attachment, outcome));
    }
}

fn decided(attachment: &str, outcome: &Outcome) -> DecidedBy {
    DecidedBy { attachment: attachment.to_owned(), reason_code: outcome.reason_code.clone(), ..DecidedBy::default() }
}

/// The smaller of what was said; what was not said is neutral.
fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Checks keys and values of a patch; its sum is checked when it is merged. Pointers are into the patch.
pub(crate) fn check_patch(patch: &Object) -> Result<(), Invalid> {
    for (key, value) in patch {
        let chars = key.chars().count();
        let path = || format!("/{}", crate::decode::escape(key));
        if !(1..=MAX_STATE_KEY_CHARS).contains(&chars) {
            return Err(Invalid::at(
                path(),
                format!("a key of the state has 1 to {MAX_STATE_KEY_CHARS} characters, this one {chars}"),
            ));
        }
        check_depth(value).map_err(|e| e.under(&path()))?;
        let bytes = claim::json_bytes(value);
        if bytes > MAX_STATE_VALUE_BYTES {
            return Err(Invalid::at(
                path(),
                format!("has {bytes} bytes of JSON; a value of the state has at most {MAX_STATE_VALUE_BYTES}"),
            ));
        }
    }
    Ok(())
}

/// Checks a whole state, as a caller sends it. Pointers are into the state.
pub fn check_state(state: &Object) -> Result<(), Invalid> {
    check_patch(state)?;
    let bytes = claim::object_bytes(state);
    if bytes > MAX_STATE_BYTES {
        return Err(Invalid::here(format!("has {bytes} bytes of JSON; the state has at most {MAX_STATE_BYTES}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
