//! Outcomes. The rules of what an Action may answer are the model's; what travels here was checked by the host that ran it.

use super::{Ctx, FieldError, Word, bounded, each, input::object, json, list, required};
use crate::types::v1 as wire;
use sluice_model::{
    Outcome,
    outcome::{Block, Claim, Decision, DemandMfa, Emit, EmitTarget, Redirect},
};

impl TryFrom<wire::Outcome> for Outcome {
    type Error = FieldError;

    fn try_from(outcome: wire::Outcome) -> Result<Outcome, FieldError> {
        use wire::outcome::Decision as On;
        let annotation = |(key, value): (String, _)| match json::value(value) {
            Ok(value) => Ok((key, value)),
            Err(e) => Err(e.at_key(&key)),
        };
        Ok(Outcome {
            decision: match required(outcome.decision).ctx("decision")? {
                On::Continue(wire::Continue {}) => Decision::Continue,
                On::Block(block) => Decision::Block(Block::try_from(block).ctx("block")?),
                On::DemandMfa(demand) => Decision::DemandMfa(DemandMfa::try_from(demand).ctx("demand_mfa")?),
                On::Redirect(redirect) => Decision::Redirect(Redirect::try_from(redirect).ctx("redirect")?),
            },
            reason_code: outcome.reason_code,
            state: object(outcome.state).ctx("state")?,
            claims: list(outcome.claims).ctx("claims")?,
            emit: list(outcome.emit).ctx("emit")?,
            annotations: outcome
                .annotations
                .into_iter()
                .map(annotation)
                .collect::<Result<_, _>>()
                .ctx("annotations")?,
        })
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> wire::Outcome {
        use wire::outcome::Decision as On;
        wire::Outcome {
            decision: Some(match outcome.decision {
                Decision::Continue => On::Continue(wire::Continue {}),
                Decision::Block(block) => On::Block(block.into()),
                Decision::DemandMfa(demand) => On::DemandMfa(demand.into()),
                Decision::Redirect(redirect) => On::Redirect(redirect.into()),
            }),
            reason_code: outcome.reason_code,
            state: json::to_struct_unless_empty(outcome.state),
            claims: each(outcome.claims),
            annotations: outcome.annotations.into_iter().map(|(key, value)| (key, json::to_value(value))).collect(),
            emit: each(outcome.emit),
        }
    }
}

impl TryFrom<wire::Block> for Block {
    type Error = FieldError;

    fn try_from(block: wire::Block) -> Result<Block, FieldError> {
        Ok(Block {
            user_message: block.user_message,
            error: Word::from_optional(block.error).ctx("error")?,
            retry_after_s: block.retry_after_s.map(u64::from),
        })
    }
}

impl From<Block> for wire::Block {
    fn from(block: Block) -> wire::Block {
        wire::Block {
            user_message: block.user_message,
            error: block.error.map(Word::to_wire),
            retry_after_s: block.retry_after_s.map(bounded),
        }
    }
}

impl TryFrom<wire::DemandMfa> for DemandMfa {
    type Error = FieldError;

    fn try_from(demand: wire::DemandMfa) -> Result<DemandMfa, FieldError> {
        let factors = Word::from_list(&demand.factors).ctx("factors")?;
        Ok(DemandMfa {
            factors: (!factors.is_empty()).then_some(factors),
            max_age_s: demand.max_age_s.map(u64::from),
            allow_remember: demand.allow_remember,
            on_unenrolled: Word::from_optional(demand.on_unenrolled).ctx("on_unenrolled")?,
            on_non_interactive: Word::from_optional(demand.on_non_interactive).ctx("on_non_interactive")?,
        })
    }
}

impl From<DemandMfa> for wire::DemandMfa {
    fn from(demand: DemandMfa) -> wire::DemandMfa {
        wire::DemandMfa {
            factors: Word::to_list(&demand.factors.unwrap_or_default()),
            max_age_s: demand.max_age_s.map(bounded),
            allow_remember: demand.allow_remember,
            on_unenrolled: demand.on_unenrolled.map(Word::to_wire),
            on_non_interactive: demand.on_non_interactive.map(Word::to_wire),
        }
    }
}

impl TryFrom<wire::Redirect> for Redirect {
    type Error = FieldError;

    fn try_from(redirect: wire::Redirect) -> Result<Redirect, FieldError> {
        Ok(Redirect {
            url: redirect.url,
            mode: Word::from_optional(redirect.mode).ctx("mode")?,
            query: (!redirect.query.is_empty()).then_some(redirect.query),
        })
    }
}

impl From<Redirect> for wire::Redirect {
    fn from(redirect: Redirect) -> wire::Redirect {
        wire::Redirect {
            url: redirect.url,
            mode: redirect.mode.map(Word::to_wire),
            query: redirect.query.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::Claim> for Claim {
    type Error = FieldError;

    fn try_from(claim: wire::Claim) -> Result<Claim, FieldError> {
        Ok(Claim {
            token: Word::from_wire(claim.token).ctx("token")?,
            name: claim.name,
            value: required(claim.value).and_then(json::value).ctx("value")?,
            if_exists: Word::from_optional(claim.if_exists).ctx("if_exists")?,
        })
    }
}

impl From<Claim> for wire::Claim {
    fn from(claim: Claim) -> wire::Claim {
        wire::Claim {
            token: claim.token.to_wire(),
            name: claim.name,
            value: Some(json::to_value(claim.value)),
            if_exists: claim.if_exists.map(Word::to_wire),
        }
    }
}

impl TryFrom<wire::Emit> for Emit {
    type Error = FieldError;

    fn try_from(emit: wire::Emit) -> Result<Emit, FieldError> {
        Ok(Emit {
            kind: emit.r#type,
            data: required(emit.data).and_then(json::value).ctx("data")?,
            dedupe_key: emit.dedupe_key,
            on: Word::from_optional(emit.on).ctx("on")?,
            to: list(emit.to).ctx("to")?,
        })
    }
}

impl From<Emit> for wire::Emit {
    fn from(emit: Emit) -> wire::Emit {
        wire::Emit {
            r#type: emit.kind,
            data: Some(json::to_value(emit.data)),
            dedupe_key: emit.dedupe_key,
            on: emit.on.map(Word::to_wire),
            to: each(emit.to),
        }
    }
}

impl TryFrom<wire::EmitTarget> for EmitTarget {
    type Error = FieldError;

    fn try_from(target: wire::EmitTarget) -> Result<EmitTarget, FieldError> {
        use wire::emit_target::Address;
        let (url, url_secret) = match required(target.address).ctx("address")? {
            Address::Url(url) => (Some(url), None),
            Address::UrlSecret(name) => (None, Some(name)),
        };
        Ok(EmitTarget {
            url,
            url_secret,
            format: Word::from_optional(target.format).ctx("format")?,
            signing_secret: target.signing_secret,
            headers: (!target.headers.is_empty()).then_some(target.headers),
            timeout_ms: target.timeout_ms.map(u64::from),
            max_attempts: target.max_attempts.map(u64::from),
            max_per_minute: target.max_per_minute.map(u64::from),
            digest: target.digest,
        })
    }
}

impl From<EmitTarget> for wire::EmitTarget {
    fn from(target: EmitTarget) -> wire::EmitTarget {
        use wire::emit_target::Address;
        let secret = target.url_secret.map(Address::UrlSecret);
        wire::EmitTarget {
            address: target.url.map(Address::Url).or(secret),
            format: target.format.map(Word::to_wire),
            signing_secret: target.signing_secret,
            headers: target.headers.unwrap_or_default(),
            timeout_ms: target.timeout_ms.map(bounded),
            max_attempts: target.max_attempts.map(bounded),
            max_per_minute: target.max_per_minute.map(bounded),
            digest: target.digest,
        }
    }
}
