//! What must not be run is not.

use super::*;
use crate::{
    catalog::Applied,
    state::{
        State,
        update::{Change, Update},
    },
};
use arc_swap::ArcSwapOption;

/// A state that says this of the tenant and of the second Action.
fn state(stage: &Stage, break_glass: bool, revoked: bool) -> Option<Arc<Applied>> {
    let version = VersionUpsert {
        tenant: slug("acme"),
        slug: slug("action-2"),
        version: Version::new(1, 0, 0),
        digest: "1".repeat(64),
        bundle_digest: "0".repeat(64),
        limits: Limits::default(),
        grants: Grants::default(),
        outcomes: None,
        schema: None,
        revoked,
        template: false,
    };
    let tenant = Change::Tenant { tenant: slug("acme"), origins: Vec::new(), break_glass, keys: None };
    let update = Update { full: true, changes: vec![tenant, Change::Version(version)], ..Update::default() };
    let state = State::default().updated(update, &Planner::new(stage.runner.modules.clone())).unwrap();
    Some(Arc::new(Applied { state, at: Timestamp::now() }))
}

#[tokio::test]
async fn what_is_said_while_an_execution_goes_on_counts_for_what_it_has_not_run_yet() {
    for (break_glass, revoked, word) in [(true, false, "skip_reason_break_glass"), (false, true, "revoked")] {
        let endless = piece(FOREVER).on_error(OnFailure::Continue).with(|p| p.limits.wall_ms = 100);
        let mut stage = stage(Trigger::PostLogin, vec![endless, piece("({ kind: 'continue' })")]);
        let serves: Arc<ArcSwapOption<Applied>> = Arc::default();
        serves.store(state(&stage, false, false));
        stage.runner.standing = Standing::of(Arc::clone(&serves));
        stage.prepare().await;
        let execution = stage.execution();
        let mut run = std::pin::pin!(stage.runner.run(&execution, CallerInput::default()));
        // The first run has begun: it left its worker and goes on elsewhere.
        assert!(futures_util::poll!(&mut run).is_pending());
        serves.store(state(&stage, break_glass, revoked));
        let ran = run.await.unwrap();
        assert_eq!(words(&ran), ["wall_limit", word]);
    }
}

#[tokio::test]
async fn the_state_knows_better_than_what_came_with_a_revision() {
    let mut stage = stage(Trigger::PostLogin, vec![piece("({ kind: 'continue' })")]);
    let serves: Arc<ArcSwapOption<Applied>> = Arc::default();
    serves.store(state(&stage, false, false));
    stage.runner.standing = Standing::of(serves);
    stage.prepare().await;
    let execution = Execution { break_glass: true, ..stage.execution() };
    let ran = stage.runner.run(&execution, CallerInput::default()).await.unwrap();
    assert_eq!(words(&ran), ["continue"]);
}

#[tokio::test]
async fn a_revoked_version_is_not_run_and_follows_on_unavailable() {
    use OnFailure::{Block, Continue};
    let revoked = |policy| {
        piece("({ kind: 'continue', state: { ran: true } })").with(|p| {
            (p.is_revoked, p.attachment.on_unavailable, p.attachment.on_error) = (true, policy, Block);
        })
    };
    for (policy, verdict) in [(Continue, OutcomeKind::Continue), (Block, OutcomeKind::Block)] {
        let stage = stage(Trigger::PostLogin, vec![revoked(policy)]);
        let ran = stage.run().await;
        assert_eq!((words(&ran), ran.answer.verdict), (vec!["revoked".to_owned()], verdict));
        assert_eq!(failure(&ran, 0).message, "the platform has revoked action-1@1.0.0");
        assert!(ran.answer.state.is_empty());
        assert_eq!(stage.audited()[0].failure.as_ref().unwrap().reason, wire::FailureReason::Revoked as i32);
        assert_eq!(stage.runner.modules.residents().0, 0, "it is not even loaded");
    }
}

#[tokio::test]
async fn break_glass_skips_what_would_run_and_neither_blocks_nor_fails() {
    let stage = stage(
        Trigger::PostLogin,
        vec![
            piece("({ kind: 'block' })"),
            piece("({ kind: 'block' })").with(|p| p.attachment.enabled = false),
            piece("({ kind: 'block' })").with(|p| p.is_revoked = true),
        ],
    );
    let execution = Execution { break_glass: true, ..stage.execution() };
    let ran = stage.runner.run(&execution, CallerInput::default()).await.unwrap();
    let skipped = ["skip_reason_break_glass", "skip_reason_disabled", "skip_reason_break_glass"];
    assert_eq!((words(&ran), ran.answer.verdict), (skipped.map(String::from).to_vec(), OutcomeKind::Continue));
    assert_eq!(stage.audited()[0].skipped, wire::SkipReason::BreakGlass as i32);
}
