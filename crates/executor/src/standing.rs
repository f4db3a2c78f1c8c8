//! What the platform says now of what an execution is about to run.
//!
//! It is asked before each run, and not once an execution: a switch that is turned, or a version that is revoked, counts for
//! executions that go on and for revisions that sign-ins have long been pinned to. The answer is in the state that serves, so
//! it is there after a restart, and while the control plane is away.

use crate::{catalog::Applied, state::plan::AttachmentPlan};
use arc_swap::ArcSwapOption;
use sluice_model::Slug;
use std::sync::Arc;

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Standing(Arc<ArcSwapOption<Applied>>);

/// Why an attachment is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bar {
    /// The tenant has turned its custom Actions off.
    BreakGlass,
    /// The platform has revoked its version.
    Revoked,
}

impl Standing {
    /// By the state that serves.
    pub(crate) fn of(state: Arc<ArcSwapOption<Applied>>) -> Standing {
        Standing(state)
    }

    /// Whether anything keeps an attachment of a tenant from being run. `break_glass` is what came with its revision, for a
    /// tenant that the state does not know.
    pub(crate) fn bar(&self, tenant: &Slug, break_glass: bool, attachment: &AttachmentPlan) -> Option<Bar> {
        let applied = self.0.load();
        let known = applied.as_ref().and_then(|applied| applied.state.tenant(tenant));
        if !attachment.is_template && known.map_or(break_glass, |known| known.break_glass) {
            return Some(Bar::BreakGlass);
        }
        let since = known.is_some_and(|known| known.is_revoked(&attachment.slug, &attachment.exact));
        (attachment.is_revoked || since).then_some(Bar::Revoked)
    }
}
