//! The shape of an [`Input`] as an Action sees it. Source: DESIGN "Input and outcome", and the types package for authors.

use super::encode::{Encoder, Fields};
use sluice_model::Invalid;
use sluice_model::input::{Client, Context, Input, Request, Risk, Session, User};
use sluice_model::slot::Pending;

type Written = Result<(), Invalid>;

/// Writes the whole input.
pub(super) fn write(encoder: &mut Encoder, input: &Input) -> Written {
    encoder.object(|f| {
        f.text("trigger", input.trigger.as_str());
        match &input.user {
            Some(user) => f.object("user", |f| write_user(f, user))?,
            None => f.null("user"),
        }
        f.object("request", |f| write_request(f, &input.request))?;
        f.map("state", &input.state)?;
        f.object("context", |f| write_context(f, &input.context))
    })
}

fn write_user(f: &mut Fields<'_>, user: &User) -> Written {
    f.text("id", &user.id);
    f.optional("email", user.email.as_ref());
    if let Some(verified) = user.email_verified {
        f.bool("email_verified", verified);
    }
    if let Some(emails) = &user.emails {
        f.list("emails", emails, |e, email| {
            e.object(|f| {
                f.text("address", &email.address);
                f.bool("verified", email.verified);
                Ok(())
            })
        })?;
    }
    f.optional("phone", user.phone.as_ref());
    f.optional("username", user.username.as_ref());
    f.optional("name", user.name.as_ref());
    f.optional("locale", user.locale.as_ref());
    f.list("groups", &user.groups, |e, group| {
        e.object(|f| {
            f.text("id", &group.id);
            f.text("name", &group.name);
            Ok(())
        })
    })?;
    f.texts("roles", &user.roles)?;
    f.list("identities", &user.identities, |e, identity| {
        e.object(|f| {
            f.text("provider", &identity.provider);
            f.text("subject", &identity.subject);
            f.optional("connection_id", identity.connection_id.as_ref());
            Ok(())
        })
    })?;
    f.object("mfa", |f| {
        f.list("enrolled", &user.mfa.enrolled, |e, factor| {
            e.text(factor.as_str());
            Ok(())
        })
    })?;
    f.map("app_metadata", &user.app_metadata)?;
    f.map("user_metadata", &user.user_metadata)?;
    if let Some(at) = user.created_at {
        f.text("created_at", &at.to_string());
    }
    if let Some(count) = user.logins_count {
        f.u64("logins_count", count);
    }
    Ok(())
}

fn write_request(f: &mut Fields<'_>, request: &Request) -> Written {
    f.optional("id", request.id.as_ref());
    if let Some(time) = request.time {
        f.text("time", &time.to_string());
    }
    f.optional("ip", request.ip.as_ref());
    if let Some(asn) = request.asn {
        f.u64("asn", asn);
    }
    if let Some(geo) = &request.geo {
        f.object("geo", |f| {
            f.text("country", &geo.country);
            f.optional("region", geo.region.as_ref());
            f.optional("city", geo.city.as_ref());
            Ok(())
        })?;
    }
    f.optional("user_agent", request.user_agent.as_ref());
    f.optional("hostname", request.hostname.as_ref());
    f.optional("path", request.path.as_ref());
    f.object("headers", |f| request.headers.iter().try_for_each(|(name, values)| f.texts(name, values)))?;
    f.optional("identifier", request.identifier.as_ref());
    f.object("client", |f| write_client(f, &request.client))?;
    f.optional("connection", request.connection.as_ref());
    f.optional("protocol", request.protocol.as_ref());
    f.optional("grant_type", request.grant_type.as_ref());
    if let Some(scopes) = &request.scopes {
        f.texts("scopes", scopes)?;
    }
    f.optional("audience", request.audience.as_ref());
    f.optional("redirect_uri", request.redirect_uri.as_ref());
    f.bool("interactive", request.interactive);
    if let Some(device) = &request.device {
        f.object("device", |f| {
            f.text("id", &device.id);
            f.bool("known", device.known);
            Ok(())
        })?;
    }
    Ok(())
}

fn write_client(f: &mut Fields<'_>, client: &Client) -> Written {
    f.text("id", &client.id);
    f.optional("name", client.name.as_ref());
    f.optional("type", client.kind.as_ref());
    match &client.metadata {
        Some(metadata) => f.map("metadata", metadata),
        None => Ok(()),
    }
}

fn write_context(f: &mut Fields<'_>, context: &Context) -> Written {
    f.object("tenant", |f| {
        f.text("id", context.tenant.as_str());
        Ok(())
    })?;
    if let Some(organization) = &context.organization {
        f.object("organization", |f| {
            f.text("id", &organization.id);
            f.optional("name", organization.name.as_ref());
            Ok(())
        })?;
    }
    f.text("sign_in_id", &context.sign_in_id);
    f.text("execution_id", &context.execution_id);
    f.object("flow", |f| {
        f.text("id", context.flow.id.as_str());
        f.u64("revision", context.flow.revision);
        Ok(())
    })?;
    f.text("slot", context.slot.as_str());
    f.object("attachment", |f| {
        f.text("id", &context.attachment.id);
        f.u64("position", context.attachment.position);
        Ok(())
    })?;
    f.object("action", |f| {
        f.text("slug", context.action.slug.as_str());
        f.text("version", &context.action.version);
        Ok(())
    })?;
    f.map("config", &context.config)?;
    match &context.risk {
        Some(risk) => f.object("risk", |f| write_risk(f, risk))?,
        None => f.null("risk"),
    }
    if let Some(credential) = &context.credential {
        f.object("credential", |f| {
            f.bool("valid", credential.valid);
            f.text("method", &credential.method);
            Ok(())
        })?;
    }
    if let Some(session) = &context.session {
        f.object("session", |f| write_session(f, session))?;
    }
    if let Some(token) = &context.token {
        f.object("token", |f| {
            f.text("type", &token.kind);
            f.text("audience", &token.audience);
            f.map("claims", &token.claims)
        })?;
    }
    f.object("pending", |f| write_pending(f, &context.pending))?;
    f.text("now", &context.now.to_string());
    f.u64("deadline_ms", context.deadline_ms);
    f.text("mode", context.mode.as_str());
    Ok(())
}

fn write_risk(f: &mut Fields<'_>, risk: &Risk) -> Written {
    f.field("score", |e| e.f64(risk.score))?;
    f.optional("level", risk.level.as_ref());
    if let Some(signals) = &risk.signals {
        f.list("signals", signals, |e, signal| {
            e.object(|f| {
                f.text("code", &signal.code);
                match signal.weight {
                    Some(weight) => f.field("weight", |e| e.f64(weight)),
                    None => Ok(()),
                }
            })
        })?;
    }
    f.optional("assessed_at", risk.assessed_at.as_ref());
    Ok(())
}

fn write_session(f: &mut Fields<'_>, session: &Session) -> Written {
    f.text("id", &session.id);
    if let Some(amr) = &session.amr {
        f.texts("amr", amr)?;
    }
    let Some(mfa) = &session.mfa else { return Ok(()) };
    f.object("mfa", |f| {
        f.bool("satisfied", mfa.satisfied);
        if let Some(at) = mfa.at {
            f.text("at", &at.to_string());
        }
        if let Some(factor) = mfa.factor {
            f.text("factor", factor.as_str());
        }
        Ok(())
    })
}

fn write_pending(f: &mut Fields<'_>, pending: &Pending) -> Written {
    if let Some(mfa) = &pending.mfa {
        f.object("mfa", |f| {
            f.list("factors", &mfa.factors, |e, factor| {
                e.text(factor.as_str());
                Ok(())
            })?;
            f.u64("max_age_s", mfa.max_age_s);
            f.bool("allow_remember", mfa.allow_remember);
            f.text("on_unenrolled", mfa.on_unenrolled.as_str());
            f.text("on_non_interactive", mfa.on_non_interactive.as_str());
            Ok(())
        })?;
    }
    let Some(redirect) = &pending.redirect else { return Ok(()) };
    f.object("redirect", |f| {
        f.text("url", &redirect.url);
        f.text("mode", redirect.mode.as_str());
        f.object("query", |f| {
            redirect.query.iter().for_each(|(name, value)| f.text(name, value));
            Ok(())
        })?;
        f.text("attachment", &redirect.attachment);
        Ok(())
    })
}
