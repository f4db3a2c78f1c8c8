//! Emits on their way to the control plane, and what makes deliveries of them.

use super::{Ctx, FieldError, Word, each, list, required};
use crate::types::v1 as wire;
use sluice_model::{
    Emitted,
    delivery::{Address, EmittedTarget},
};

impl TryFrom<wire::Emitted> for Emitted {
    type Error = FieldError;

    fn try_from(emitted: wire::Emitted) -> Result<Emitted, FieldError> {
        Ok(Emitted { kind: emitted.r#type, body: emitted.body, hosts: emitted.hosts, to: list(emitted.to).ctx("to")? })
    }
}

impl From<Emitted> for wire::Emitted {
    fn from(emitted: Emitted) -> wire::Emitted {
        wire::Emitted { r#type: emitted.kind, body: emitted.body, hosts: emitted.hosts, to: each(emitted.to) }
    }
}

impl TryFrom<wire::EmittedTarget> for EmittedTarget {
    type Error = FieldError;

    fn try_from(target: wire::EmittedTarget) -> Result<EmittedTarget, FieldError> {
        use wire::emitted_target::Address as On;
        let address = match required(target.address).ctx("address")? {
            On::Url(url) => {
                let url = url.parse().map_err(|error| FieldError::here(format!("is no URL: {error}")));
                Address::Url(url.ctx("url")?)
            }
            On::UrlSecret(name) => Address::UrlSecret { name, own_host: target.own_host },
        };
        Ok(EmittedTarget {
            id: target.id,
            address,
            format: Word::from_wire(target.format).ctx("format")?,
            signing_secret: (!target.signing_secret.is_empty()).then_some(target.signing_secret),
            headers: target.headers,
            timeout_ms: target.timeout_ms,
            max_attempts: target.max_attempts,
            max_per_minute: (target.max_per_minute != 0).then_some(target.max_per_minute),
            digest: target.digest,
        })
    }
}

impl From<EmittedTarget> for wire::EmittedTarget {
    fn from(target: EmittedTarget) -> wire::EmittedTarget {
        use wire::emitted_target::Address as On;
        let (address, own_host) = match target.address {
            Address::Url(url) => (On::Url(url.into()), false),
            Address::UrlSecret { name, own_host } => (On::UrlSecret(name), own_host),
        };
        wire::EmittedTarget {
            id: target.id,
            address: Some(address),
            own_host,
            format: target.format.to_wire(),
            signing_secret: target.signing_secret.unwrap_or_default(),
            headers: target.headers,
            timeout_ms: target.timeout_ms,
            max_attempts: target.max_attempts,
            max_per_minute: target.max_per_minute.unwrap_or_default(),
            digest: target.digest,
        }
    }
}
