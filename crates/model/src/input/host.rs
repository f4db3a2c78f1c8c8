//! The host's part of an [`Input`], and the one place where it is joined with the caller's.

use super::{ActionRef, AttachmentRef, CallerInput, Context, FlowRef, Input, Mode};
use crate::{Object, Slug, Trigger, slot::Pending};
use jiff::Timestamp;

/// What the ids of a run are that belongs to no tenant: its tenant, flow, attachment, sign-in and execution.
const TEST: &str = "test";

/// What the host says of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Whose run it is.
    pub tenant: Slug,
    /// The sign-in.
    pub sign_in_id: String,
    /// The Execute call. It is the request's id too, where the caller gave none.
    pub execution_id: String,
    /// The flow and its revision.
    pub flow: FlowRef,
    /// What is run.
    pub attachment: AttachmentRef,
    /// At which version.
    pub action: ActionRef,
    /// Its config, defaults filled in.
    pub config: Object,
    /// What the clock says. It is the request's time too, where the caller gave none.
    pub now: Timestamp,
    /// How long the run may take by the clock, in milliseconds.
    pub deadline_ms: u64,
    /// Why it runs.
    pub mode: Mode,
}

impl Host {
    /// A run of a package that is not published, or not yet: the attachment alone at place 1 of revision 1 of a flow.
    pub fn test(action: ActionRef, config: Object, now: Timestamp, deadline_ms: u64) -> Host {
        // A word of the grammar always parses; the Action's own slug is the fallback that needs no panic.
        let test = Slug::parse(TEST).unwrap_or_else(|_| action.slug.clone());
        Host {
            tenant: test.clone(),
            sign_in_id: TEST.to_owned(),
            execution_id: TEST.to_owned(),
            flow: FlowRef { id: test, revision: 1 },
            attachment: AttachmentRef { id: TEST.to_owned(), position: 1 },
            action,
            config,
            now,
            deadline_ms,
            mode: Mode::Test,
        }
    }

    /// The input of a run at a trigger. Nothing is pending yet.
    pub fn input(self, trigger: Trigger, caller: CallerInput) -> Input {
        let Host { tenant, sign_in_id, execution_id, flow, attachment, action, config, now, deadline_ms, mode } = self;
        let CallerInput { user, mut request, state, organization, risk, credential, session, token } = caller;
        request.id.get_or_insert_with(|| execution_id.clone());
        request.time.get_or_insert(now);
        let context = Context {
            tenant,
            organization,
            sign_in_id,
            execution_id,
            flow,
            slot: trigger,
            attachment,
            action,
            config,
            risk,
            credential,
            session,
            token,
            pending: Pending::default(),
            now,
            deadline_ms,
            mode,
        };
        Input { trigger, user, request, state, context }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    fn host() -> Host {
        let action = ActionRef { slug: Slug::parse("gate").unwrap(), version: "1.0.0".into() };
        Host::test(action, Object::new(), Timestamp::UNIX_EPOCH, 500)
    }

    #[test]
    fn the_host_fills_in_what_the_caller_left_out_and_nothing_else() {
        let bare = CallerInput::from_json(json!({}), Trigger::PostLogin).unwrap();
        let input = host().input(Trigger::PostLogin, bare);
        assert_eq!((input.request.id.as_deref(), input.request.time), (Some("test"), Some(Timestamp::UNIX_EPOCH)));
        assert_eq!((input.trigger, input.context.slot), (Trigger::PostLogin, Trigger::PostLogin));
        let own = json!({ "request": { "id": "r1", "time": "2026-01-31T12:00:00Z" }, "state": { "k": 1 } });
        let own = CallerInput::from_json(own, Trigger::PostLogin).unwrap();
        let input = host().input(Trigger::PostLogin, own.clone());
        assert_eq!((input.request, input.state), (own.request, own.state));
    }
}
