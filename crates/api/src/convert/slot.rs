//! The answer of a slot: verdict, who decided it, claims, state, and what is pending.

use super::{Ctx, FieldError, Word, bounded, each, input::object, json, list, optional, required};
use crate::{executor::v1 as executor, types::v1 as wire};
use sluice_model::slot::{DecidedBy, Lost, MergedClaim, Pending, PendingMfa, PendingRedirect, SlotAnswer};

/// The slot's part of an answer; revision, execution id and results are left for the handler to fill in.
impl From<SlotAnswer> for executor::ExecuteResponse {
    fn from(answer: SlotAnswer) -> executor::ExecuteResponse {
        executor::ExecuteResponse {
            verdict: answer.verdict.to_wire(),
            decided_by: answer.decided_by.map(Into::into),
            claims: each(answer.claims),
            state: Some(json::to_struct(answer.state)),
            pending: Some(answer.pending.into()),
            ..executor::ExecuteResponse::default()
        }
    }
}

/// The slot's part of an answer. Take `results` out before, with `std::mem::take`.
impl TryFrom<executor::ExecuteResponse> for SlotAnswer {
    type Error = FieldError;

    fn try_from(answer: executor::ExecuteResponse) -> Result<SlotAnswer, FieldError> {
        Ok(SlotAnswer {
            verdict: Word::from_wire(answer.verdict).ctx("verdict")?,
            decided_by: optional(answer.decided_by).ctx("decided_by")?,
            claims: list(answer.claims).ctx("claims")?,
            state: object(answer.state).ctx("state")?,
            pending: Pending::try_from(answer.pending.unwrap_or_default()).ctx("pending")?,
        })
    }
}

impl TryFrom<executor::DecidedBy> for DecidedBy {
    type Error = FieldError;

    fn try_from(by: executor::DecidedBy) -> Result<DecidedBy, FieldError> {
        Ok(DecidedBy {
            attachment: by.attachment,
            reason_code: by.reason_code,
            error: Word::from_optional(by.error).ctx("error")?,
            user_message: by.user_message,
            retry_after_s: by.retry_after_s.map(u64::from),
        })
    }
}

impl From<DecidedBy> for executor::DecidedBy {
    fn from(by: DecidedBy) -> executor::DecidedBy {
        executor::DecidedBy {
            attachment: by.attachment,
            reason_code: by.reason_code,
            error: by.error.map(Word::to_wire),
            user_message: by.user_message,
            retry_after_s: by.retry_after_s.map(bounded),
        }
    }
}

impl TryFrom<wire::MergedClaim> for MergedClaim {
    type Error = FieldError;

    fn try_from(claim: wire::MergedClaim) -> Result<MergedClaim, FieldError> {
        Ok(MergedClaim {
            token: Word::from_wire(claim.token).ctx("token")?,
            name: claim.name,
            value: required(claim.value).and_then(json::value).ctx("value")?,
            attachment: claim.attachment,
        })
    }
}

impl From<MergedClaim> for wire::MergedClaim {
    fn from(claim: MergedClaim) -> wire::MergedClaim {
        wire::MergedClaim {
            token: claim.token.to_wire(),
            name: claim.name,
            value: Some(json::to_value(claim.value)),
            attachment: claim.attachment,
        }
    }
}

impl TryFrom<wire::Pending> for Pending {
    type Error = FieldError;

    fn try_from(pending: wire::Pending) -> Result<Pending, FieldError> {
        Ok(Pending { mfa: optional(pending.mfa).ctx("mfa")?, redirect: optional(pending.redirect).ctx("redirect")? })
    }
}

impl From<Pending> for wire::Pending {
    fn from(pending: Pending) -> wire::Pending {
        wire::Pending { mfa: pending.mfa.map(Into::into), redirect: pending.redirect.map(Into::into) }
    }
}

impl TryFrom<wire::PendingMfa> for PendingMfa {
    type Error = FieldError;

    fn try_from(mfa: wire::PendingMfa) -> Result<PendingMfa, FieldError> {
        Ok(PendingMfa {
            factors: Word::from_list(&mfa.factors).ctx("factors")?,
            max_age_s: u64::from(mfa.max_age_s),
            allow_remember: mfa.allow_remember,
            on_unenrolled: Word::from_wire(mfa.on_unenrolled).ctx("on_unenrolled")?,
            on_non_interactive: Word::from_wire(mfa.on_non_interactive).ctx("on_non_interactive")?,
        })
    }
}

impl From<PendingMfa> for wire::PendingMfa {
    fn from(mfa: PendingMfa) -> wire::PendingMfa {
        wire::PendingMfa {
            factors: Word::to_list(&mfa.factors),
            max_age_s: bounded(mfa.max_age_s),
            allow_remember: mfa.allow_remember,
            on_unenrolled: mfa.on_unenrolled.to_wire(),
            on_non_interactive: mfa.on_non_interactive.to_wire(),
        }
    }
}

impl TryFrom<wire::PendingRedirect> for PendingRedirect {
    type Error = FieldError;

    fn try_from(redirect: wire::PendingRedirect) -> Result<PendingRedirect, FieldError> {
        Ok(PendingRedirect {
            url: redirect.url,
            mode: Word::from_wire(redirect.mode).ctx("mode")?,
            query: redirect.query,
            attachment: redirect.attachment,
        })
    }
}

impl From<PendingRedirect> for wire::PendingRedirect {
    fn from(redirect: PendingRedirect) -> wire::PendingRedirect {
        wire::PendingRedirect {
            url: redirect.url,
            mode: redirect.mode.to_wire(),
            query: redirect.query,
            attachment: redirect.attachment,
        }
    }
}

impl TryFrom<wire::Lost> for Lost {
    type Error = FieldError;

    fn try_from(lost: wire::Lost) -> Result<Lost, FieldError> {
        Ok(Lost {
            kind: Word::from_wire(lost.kind).ctx("kind")?,
            name: lost.name,
            attachment: lost.attachment,
            winner: lost.winner,
        })
    }
}

impl From<Lost> for wire::Lost {
    fn from(lost: Lost) -> wire::Lost {
        wire::Lost { kind: lost.kind.to_wire(), name: lost.name, attachment: lost.attachment, winner: lost.winner }
    }
}
