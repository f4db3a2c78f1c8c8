//! The shape of an [`Input`] as an Action sees it. Source: DESIGN "Input and outcome", and the types package for authors.

use super::encode::{Encoder, Fields, Key, key};
use sluice_model::Invalid;
use sluice_model::input::{Client, Context, Input, Request, Risk, Session, User};
use sluice_model::slot::Pending;

type Written = Result<(), Invalid>;

/// Writes the whole input.
pub(super) fn write(encoder: &mut Encoder, input: &Input) -> Written {
    encoder.object(|f| {
        f.text(key!("trigger"), input.trigger.as_str());
        match &input.user {
            Some(user) => f.object(key!("user"), |f| write_user(f, user))?,
            None => f.null(key!("user")),
        }
        f.object(key!("request"), |f| write_request(f, &input.request))?;
        f.map(key!("state"), &input.state)?;
        f.object(key!("context"), |f| write_context(f, &input.context))
    })
}

fn write_user(f: &mut Fields<'_>, user: &User) -> Written {
    f.text(key!("id"), &user.id);
    f.optional(key!("email"), user.email.as_ref());
    if let Some(verified) = user.email_verified {
        f.bool(key!("email_verified"), verified);
    }
    if let Some(emails) = &user.emails {
        f.list(key!("emails"), emails, |e, email| {
            e.object(|f| {
                f.text(key!("address"), &email.address);
                f.bool(key!("verified"), email.verified);
                Ok(())
            })
        })?;
    }
    f.optional(key!("phone"), user.phone.as_ref());
    f.optional(key!("username"), user.username.as_ref());
    f.optional(key!("name"), user.name.as_ref());
    f.optional(key!("locale"), user.locale.as_ref());
    f.list(key!("groups"), &user.groups, |e, group| {
        e.object(|f| {
            f.text(key!("id"), &group.id);
            f.text(key!("name"), &group.name);
            Ok(())
        })
    })?;
    f.texts(key!("roles"), &user.roles)?;
    f.list(key!("identities"), &user.identities, |e, identity| {
        e.object(|f| {
            f.text(key!("provider"), &identity.provider);
            f.text(key!("subject"), &identity.subject);
            f.optional(key!("connection_id"), identity.connection_id.as_ref());
            Ok(())
        })
    })?;
    f.object(key!("mfa"), |f| {
        f.list(key!("enrolled"), &user.mfa.enrolled, |e, factor| {
            e.text(factor.as_str());
            Ok(())
        })
    })?;
    f.map(key!("app_metadata"), &user.app_metadata)?;
    f.map(key!("user_metadata"), &user.user_metadata)?;
    if let Some(at) = user.created_at {
        f.text(key!("created_at"), &at.to_string());
    }
    if let Some(count) = user.logins_count {
        f.u64(key!("logins_count"), count);
    }
    Ok(())
}

fn write_request(f: &mut Fields<'_>, request: &Request) -> Written {
    f.optional(key!("id"), request.id.as_ref());
    if let Some(time) = request.time {
        f.text(key!("time"), &time.to_string());
    }
    f.optional(key!("ip"), request.ip.as_ref());
    if let Some(asn) = request.asn {
        f.u64(key!("asn"), asn);
    }
    if let Some(geo) = &request.geo {
        f.object(key!("geo"), |f| {
            f.text(key!("country"), &geo.country);
            f.optional(key!("region"), geo.region.as_ref());
            f.optional(key!("city"), geo.city.as_ref());
            Ok(())
        })?;
    }
    f.optional(key!("user_agent"), request.user_agent.as_ref());
    f.optional(key!("hostname"), request.hostname.as_ref());
    f.optional(key!("path"), request.path.as_ref());
    f.object(key!("headers"), |f| {
        request.headers.iter().try_for_each(|(name, values)| f.texts(Key::of(name), values))
    })?;
    f.optional(key!("identifier"), request.identifier.as_ref());
    f.object(key!("client"), |f| write_client(f, &request.client))?;
    f.optional(key!("connection"), request.connection.as_ref());
    f.optional(key!("protocol"), request.protocol.as_ref());
    f.optional(key!("grant_type"), request.grant_type.as_ref());
    if let Some(scopes) = &request.scopes {
        f.texts(key!("scopes"), scopes)?;
    }
    f.optional(key!("audience"), request.audience.as_ref());
    f.optional(key!("redirect_uri"), request.redirect_uri.as_ref());
    f.bool(key!("interactive"), request.interactive);
    if let Some(device) = &request.device {
        f.object(key!("device"), |f| {
            f.text(key!("id"), &device.id);
            f.bool(key!("known"), device.known);
            Ok(())
        })?;
    }
    Ok(())
}

fn write_client(f: &mut Fields<'_>, client: &Client) -> Written {
    f.text(key!("id"), &client.id);
    f.optional(key!("name"), client.name.as_ref());
    f.optional(key!("type"), client.kind.as_ref());
    match &client.metadata {
        Some(metadata) => f.map(key!("metadata"), metadata),
        None => Ok(()),
    }
}

fn write_context(f: &mut Fields<'_>, context: &Context) -> Written {
    f.object(key!("tenant"), |f| {
        f.text(key!("id"), context.tenant.as_str());
        Ok(())
    })?;
    if let Some(organization) = &context.organization {
        f.object(key!("organization"), |f| {
            f.text(key!("id"), &organization.id);
            f.optional(key!("name"), organization.name.as_ref());
            Ok(())
        })?;
    }
    f.text(key!("sign_in_id"), &context.sign_in_id);
    f.text(key!("execution_id"), &context.execution_id);
    f.object(key!("flow"), |f| {
        f.text(key!("id"), context.flow.id.as_str());
        f.u64(key!("revision"), context.flow.revision);
        Ok(())
    })?;
    f.text(key!("slot"), context.slot.as_str());
    f.object(key!("attachment"), |f| {
        f.text(key!("id"), &context.attachment.id);
        f.u64(key!("position"), context.attachment.position);
        Ok(())
    })?;
    f.object(key!("action"), |f| {
        f.text(key!("slug"), context.action.slug.as_str());
        f.text(key!("version"), &context.action.version);
        Ok(())
    })?;
    f.map(key!("config"), &context.config)?;
    match &context.risk {
        Some(risk) => f.object(key!("risk"), |f| write_risk(f, risk))?,
        None => f.null(key!("risk")),
    }
    if let Some(credential) = &context.credential {
        f.object(key!("credential"), |f| {
            f.bool(key!("valid"), credential.valid);
            f.text(key!("method"), &credential.method);
            Ok(())
        })?;
    }
    if let Some(session) = &context.session {
        f.object(key!("session"), |f| write_session(f, session))?;
    }
    if let Some(token) = &context.token {
        f.object(key!("token"), |f| {
            f.text(key!("type"), &token.kind);
            f.text(key!("audience"), &token.audience);
            f.map(key!("claims"), &token.claims)
        })?;
    }
    f.object(key!("pending"), |f| write_pending(f, &context.pending))?;
    f.text(key!("now"), &context.now.to_string());
    f.u64(key!("deadline_ms"), context.deadline_ms);
    f.text(key!("mode"), context.mode.as_str());
    Ok(())
}

fn write_risk(f: &mut Fields<'_>, risk: &Risk) -> Written {
    f.field(key!("score"), |e| e.f64(risk.score))?;
    f.optional(key!("level"), risk.level.as_ref());
    if let Some(signals) = &risk.signals {
        f.list(key!("signals"), signals, |e, signal| {
            e.object(|f| {
                f.text(key!("code"), &signal.code);
                match signal.weight {
                    Some(weight) => f.field(key!("weight"), |e| e.f64(weight)),
                    None => Ok(()),
                }
            })
        })?;
    }
    f.optional(key!("assessed_at"), risk.assessed_at.as_ref());
    Ok(())
}

fn write_session(f: &mut Fields<'_>, session: &Session) -> Written {
    f.text(key!("id"), &session.id);
    if let Some(amr) = &session.amr {
        f.texts(key!("amr"), amr)?;
    }
    let Some(mfa) = &session.mfa else { return Ok(()) };
    f.object(key!("mfa"), |f| {
        f.bool(key!("satisfied"), mfa.satisfied);
        if let Some(at) = mfa.at {
            f.text(key!("at"), &at.to_string());
        }
        if let Some(factor) = mfa.factor {
            f.text(key!("factor"), factor.as_str());
        }
        Ok(())
    })
}

fn write_pending(f: &mut Fields<'_>, pending: &Pending) -> Written {
    if let Some(mfa) = &pending.mfa {
        f.object(key!("mfa"), |f| {
            f.list(key!("factors"), &mfa.factors, |e, factor| {
                e.text(factor.as_str());
                Ok(())
            })?;
            f.u64(key!("max_age_s"), mfa.max_age_s);
            f.bool(key!("allow_remember"), mfa.allow_remember);
            f.text(key!("on_unenrolled"), mfa.on_unenrolled.as_str());
            f.text(key!("on_non_interactive"), mfa.on_non_interactive.as_str());
            Ok(())
        })?;
    }
    let Some(redirect) = &pending.redirect else { return Ok(()) };
    f.object(key!("redirect"), |f| {
        f.text(key!("url"), &redirect.url);
        f.text(key!("mode"), redirect.mode.as_str());
        f.object(key!("query"), |f| {
            redirect.query.iter().for_each(|(name, value)| f.text(Key::of(name), value));
            Ok(())
        })?;
        f.text(key!("attachment"), &redirect.attachment);
        Ok(())
    })
}
