//! The caller's part of the input. On the path of every Execute: texts are moved, never copied, and only what the wire
//! keeps in a Struct becomes a tree of JSON values.

use super::{Ctx, FieldError, Word, each, json, optional, time};
use crate::types::v1 as wire;
use sluice_model::{
    CallerInput, Object,
    input::{
        Client, Credential, Device, Email, Geo, Group, Identity, Mfa, Organization, Request, Risk, Session, SessionMfa,
        Signal, Token, User,
    },
};

/// The greatest whole number that JavaScript holds exactly: 2^53 - 1.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Reads and checks it: what comes out keeps [`CallerInput::check`]'s rules, and what may be left out is filled in.
impl TryFrom<wire::Input> for CallerInput {
    type Error = FieldError;

    fn try_from(input: wire::Input) -> Result<CallerInput, FieldError> {
        let context = input.context.unwrap_or_default();
        let mut read = CallerInput {
            user: optional(input.user).ctx("user")?,
            request: input.request.map(Request::try_from).transpose().ctx("request")?.unwrap_or_default(),
            state: object(input.state).ctx("state")?,
            organization: context.organization.map(Organization::from),
            risk: context.risk.map(Risk::from),
            credential: context.credential.map(Credential::from),
            session: optional(context.session).ctx("session").ctx("context")?,
            token: optional(context.token).ctx("token").ctx("context")?,
        };
        read.fill_in();
        read.check()?;
        Ok(read)
    }
}

impl From<CallerInput> for wire::Input {
    fn from(input: CallerInput) -> wire::Input {
        wire::Input {
            user: input.user.map(Into::into),
            request: Some(input.request.into()),
            state: json::to_struct_unless_empty(input.state),
            context: Some(wire::Context {
                organization: input.organization.map(Into::into),
                risk: input.risk.map(Into::into),
                credential: input.credential.map(Into::into),
                session: input.session.map(Into::into),
                token: input.token.map(Into::into),
            }),
        }
    }
}

impl TryFrom<wire::User> for User {
    type Error = FieldError;

    fn try_from(user: wire::User) -> Result<User, FieldError> {
        if let Some(count) = user.logins_count
            && count > MAX_SAFE
        {
            let message = format!("expected a whole number from 0 to {MAX_SAFE}, got {count}");
            return Err(FieldError::here(message).under("logins_count"));
        }
        Ok(User {
            id: user.id,
            email: user.email,
            email_verified: user.email_verified,
            emails: Some(each(user.emails)),
            phone: user.phone,
            username: user.username,
            name: user.name,
            locale: user.locale,
            groups: each(user.groups),
            roles: user.roles,
            identities: each(user.identities),
            mfa: Mfa { enrolled: Word::from_list(&user.mfa.unwrap_or_default().enrolled).ctx("enrolled").ctx("mfa")? },
            app_metadata: object(user.app_metadata).ctx("app_metadata")?,
            user_metadata: object(user.user_metadata).ctx("user_metadata")?,
            created_at: user.created_at.map(time::timestamp).transpose().ctx("created_at")?,
            logins_count: user.logins_count,
        })
    }
}

impl From<User> for wire::User {
    fn from(user: User) -> wire::User {
        wire::User {
            id: user.id,
            email: user.email,
            email_verified: user.email_verified,
            emails: each(user.emails.unwrap_or_default()),
            phone: user.phone,
            username: user.username,
            name: user.name,
            locale: user.locale,
            groups: each(user.groups),
            roles: user.roles,
            identities: each(user.identities),
            mfa: Some(wire::Mfa { enrolled: Word::to_list(&user.mfa.enrolled) }),
            app_metadata: json::to_struct_unless_empty(user.app_metadata),
            user_metadata: json::to_struct_unless_empty(user.user_metadata),
            created_at: user.created_at.map(time::to_timestamp),
            logins_count: user.logins_count,
        }
    }
}

impl TryFrom<wire::Request> for Request {
    type Error = FieldError;

    fn try_from(request: wire::Request) -> Result<Request, FieldError> {
        Ok(Request {
            id: request.id,
            time: request.time.map(time::timestamp).transpose().ctx("time")?,
            ip: request.ip,
            asn: request.asn.map(u64::from),
            geo: request.geo.map(Into::into),
            user_agent: request.user_agent,
            hostname: request.hostname,
            path: request.path,
            headers: request.headers.into_iter().map(|(name, values)| (name, values.values)).collect(),
            identifier: request.identifier,
            client: request.client.map(Client::try_from).transpose().ctx("client")?.unwrap_or_default(),
            connection: request.connection,
            protocol: request.protocol,
            grant_type: request.grant_type,
            scopes: Some(request.scopes),
            audience: request.audience,
            redirect_uri: request.redirect_uri,
            interactive: request.interactive,
            device: request.device.map(Into::into),
        })
    }
}

impl From<Request> for wire::Request {
    fn from(request: Request) -> wire::Request {
        wire::Request {
            id: request.id,
            time: request.time.map(time::to_timestamp),
            ip: request.ip,
            asn: request.asn.map(super::bounded),
            geo: request.geo.map(Into::into),
            user_agent: request.user_agent,
            hostname: request.hostname,
            path: request.path,
            headers: request.headers.into_iter().map(|(name, values)| (name, wire::HeaderValues { values })).collect(),
            identifier: request.identifier,
            client: Some(request.client.into()),
            connection: request.connection,
            protocol: request.protocol,
            grant_type: request.grant_type,
            scopes: request.scopes.unwrap_or_default(),
            audience: request.audience,
            redirect_uri: request.redirect_uri,
            interactive: request.interactive,
            device: request.device.map(Into::into),
        }
    }
}

impl TryFrom<wire::Client> for Client {
    type Error = FieldError;

    fn try_from(client: wire::Client) -> Result<Client, FieldError> {
        let metadata = object(client.metadata).ctx("metadata")?;
        Ok(Client { id: client.id, name: client.name, kind: client.r#type, metadata: Some(metadata) })
    }
}

impl From<Client> for wire::Client {
    fn from(client: Client) -> wire::Client {
        let metadata = client.metadata.and_then(json::to_struct_unless_empty);
        wire::Client { id: client.id, name: client.name, r#type: client.kind, metadata }
    }
}

/// A score that is absent is NaN, which [`CallerInput::drop_unusable_risk`] takes away; a weight that is not finite says
/// nothing, and is as absent.
impl From<wire::Risk> for Risk {
    fn from(risk: wire::Risk) -> Risk {
        let signal = |s: wire::Signal| Signal { code: s.code, weight: s.weight.filter(|w| w.is_finite()) };
        Risk {
            score: risk.score.unwrap_or(f64::NAN),
            level: risk.level,
            signals: Some(risk.signals.into_iter().map(signal).collect()),
            assessed_at: risk.assessed_at,
        }
    }
}

impl From<Risk> for wire::Risk {
    fn from(risk: Risk) -> wire::Risk {
        let signal = |s: Signal| wire::Signal { code: s.code, weight: s.weight };
        wire::Risk {
            score: (!risk.score.is_nan()).then_some(risk.score),
            level: risk.level,
            signals: risk.signals.unwrap_or_default().into_iter().map(signal).collect(),
            assessed_at: risk.assessed_at,
        }
    }
}

impl TryFrom<wire::Session> for Session {
    type Error = FieldError;

    fn try_from(session: wire::Session) -> Result<Session, FieldError> {
        Ok(Session { id: session.id, amr: Some(session.amr), mfa: optional(session.mfa).ctx("mfa")? })
    }
}

impl From<Session> for wire::Session {
    fn from(session: Session) -> wire::Session {
        wire::Session { id: session.id, amr: session.amr.unwrap_or_default(), mfa: session.mfa.map(Into::into) }
    }
}

impl TryFrom<wire::SessionMfa> for SessionMfa {
    type Error = FieldError;

    fn try_from(mfa: wire::SessionMfa) -> Result<SessionMfa, FieldError> {
        Ok(SessionMfa {
            satisfied: mfa.satisfied,
            at: mfa.at.map(time::timestamp).transpose().ctx("at")?,
            factor: Word::from_optional(mfa.factor).ctx("factor")?,
        })
    }
}

impl From<SessionMfa> for wire::SessionMfa {
    fn from(mfa: SessionMfa) -> wire::SessionMfa {
        wire::SessionMfa {
            satisfied: mfa.satisfied,
            at: mfa.at.map(time::to_timestamp),
            factor: mfa.factor.map(Word::to_wire),
        }
    }
}

impl TryFrom<wire::Token> for Token {
    type Error = FieldError;

    fn try_from(token: wire::Token) -> Result<Token, FieldError> {
        Ok(Token { kind: token.r#type, audience: token.audience, claims: object(token.claims).ctx("claims")? })
    }
}

impl From<Token> for wire::Token {
    fn from(token: Token) -> wire::Token {
        let claims = json::to_struct_unless_empty(token.claims);
        wire::Token { r#type: token.kind, audience: token.audience, claims }
    }
}

/// Messages that have the same fields on both sides and no rule of their own.
macro_rules! plain {
    ($($name:ident { $($field:ident),+ })+) => {$(
        impl From<wire::$name> for $name {
            fn from(message: wire::$name) -> $name {
                $name { $($field: message.$field),+ }
            }
        }

        impl From<$name> for wire::$name {
            fn from(part: $name) -> wire::$name {
                wire::$name { $($field: part.$field),+ }
            }
        }
    )+};
}

plain! {
    Email { address, verified }
    Group { id, name }
    Identity { provider, subject, connection_id }
    Organization { id, name }
    Credential { valid, method }
    Geo { country, region, city }
    Device { id, known }
}

/// A Struct that is absent is an empty one.
pub(super) fn object(fields: Option<prost_types::Struct>) -> Result<Object, FieldError> {
    fields.map_or_else(|| Ok(Object::new()), json::object)
}
