//! What became of flows and versions.

use super::*;
use crate::view::{
    flow::Rollout,
    history::{Deleted, Diff, PastEntry},
    tenant::{BreakGlass, TenantShown},
    version::{ActionShown, Deleted as DeletedAction, Marked},
};

fn past(revision: u64, kind: &str) -> control::FlowRevisionSummary {
    control::FlowRevisionSummary {
        revision,
        saved_at: at(0),
        principal: "platform-operator".into(),
        kind: kind.into(),
        replaced_at: at(60),
        executable_until: at(86_460),
        executable: true,
        ..control::FlowRevisionSummary::default()
    }
}

fn about(past: control::FlowRevisionSummary) -> control::FlowRevisionSummary {
    control::FlowRevisionSummary {
        trigger: "post-login".into(),
        attachment: "at-1".into(),
        slug: "domain-check".into(),
        version: "1.2.0".into(),
        ..past
    }
}

#[test]
fn histories() {
    let entries = vec![
        control::FlowRevisionSummary {
            rolled_back_to: 2,
            replaced_at: None,
            executable_until: None,
            ..past(6, "flow.rolled_back")
        },
        control::FlowRevisionSummary { trigger: "post-login".into(), ..past(5, "flow.slot_updated") },
        about(past(4, "flow.action_detached")),
        about(past(3, "flow.action_updated")),
        control::FlowRevisionSummary { executable: false, ..about(past(2, "flow.action_attached")) },
        control::FlowRevisionSummary { executable: false, ..past(1, "flow.created") },
    ];
    insta::assert_snapshot!("flow_history", both(&page::<PastEntry, _>(entries, "more")));
}

fn attachment(id: &str, version: &str) -> wire::Attachment {
    wire::Attachment {
        attachment: id.into(),
        slug: "domain-check".into(),
        version: version.into(),
        position: 1,
        enabled: true,
        config: Some(to_struct(json!({ "domains": [version], "token": "(hidden)" }).as_object().unwrap().clone())),
        on_error: wire::OnFailure::Block.into(),
        on_unavailable: wire::OnFailure::Block.into(),
        on_counters_unavailable: wire::OnCountersUnavailable::Local.into(),
        wall_ms: None,
    }
}

#[test]
fn diffs() {
    let change = |kind: wire::FlowChangeKind| wire::FlowChange {
        kind: kind.into(),
        trigger: "post-login".into(),
        ..wire::FlowChange::default()
    };
    let fields = ["version", "config/domains", "config/token"].map(str::to_owned).to_vec();
    let changes = vec![
        wire::FlowChange {
            from_budget_ms: 2_000,
            to_budget_ms: 5_000,
            trigger: "pre-login".into(),
            ..change(wire::FlowChangeKind::SlotUpdated)
        },
        wire::FlowChange { from: Some(attachment("at-1", "1.0.0")), ..change(wire::FlowChangeKind::Detached) },
        wire::FlowChange { to: Some(attachment("at-2", "1.0.0")), ..change(wire::FlowChangeKind::Attached) },
        wire::FlowChange {
            from: Some(attachment("at-3", "1.0.0")),
            to: Some(attachment("at-3", "1.2.0")),
            fields,
            ..change(wire::FlowChangeKind::Updated)
        },
    ];
    let diff = |changes| Diff::new("login".into(), control::GetFlowDiffResponse { from: 2, to: 3, changes }).unwrap();
    insta::assert_snapshot!("flow_diff", both(&diff(changes)));
    insta::assert_snapshot!("flow_diff_none", both(&diff(Vec::new())));
}

#[test]
fn deletions() {
    let deleted = control::DeleteFlowResponse {
        flow: "login".into(),
        revision: 6,
        executable_until: at(86_400),
        rollout: Some(wire::Rollout { have: 2, waiting: 1 }),
    };
    let deleted = Deleted { waited: true, ..Deleted::try_from(deleted).unwrap() };
    insta::assert_snapshot!("flow_deleted", both(&deleted));
    insta::assert_snapshot!(
        "action_deleted",
        both(&DeletedAction { slug: "domain-check".into(), newest: "1.2.0".into() })
    );
}

#[test]
fn versions_and_their_marks() {
    let schema = json!({ "type": "object", "properties": { "domains": { "type": "array" } } });
    let version = wire::Version {
        description: "Blocks strangers.".into(),
        deprecated: true,
        yanked: true,
        etag: "v1".into(),
        grants: Some(wire::VersionGrants {
            hosts: vec!["api.example.com".into()],
            secrets: vec!["API_KEY".into()],
            secrets_from_config: vec!["/hook_ref".into()],
            capabilities: vec![wire::Capability::Counters.into()],
            ..wire::VersionGrants::default()
        }),
        ..version("1.2.0")
    };
    let action = control::Action {
        slug: "domain-check".into(),
        name: "Domain check".into(),
        kind: wire::ActionKind::Custom.into(),
        triggers: vec!["post-login".into()],
        attached: 1,
        newest: "1.2.0".into(),
        etag: "a1".into(),
    };
    let with_schema =
        wire::Version { config_schema: Some(to_struct(schema.as_object().unwrap().clone())), ..version.clone() };
    insta::assert_snapshot!("action_show", both(&ActionShown::new(action, with_schema).unwrap()));
    let marked = Marked::new(Some(version.clone()), vec![warning()], None).unwrap();
    insta::assert_snapshot!("version_yanked", both(&marked));
    let revoked = Some(wire::Version { revoked: true, ..version.clone() });
    let rollout = (Rollout { have: 3, waiting: 0 }, true);
    let told = Marked::new(revoked, Vec::new(), Some(rollout)).unwrap().render(&Look::plain());
    assert_eq!(told, "✓ domain-check@1.2.0 is revoked: dropped by 3 of 3 executors\n");
    let bare = wire::Version { deprecated: false, yanked: false, ..version };
    let told = Marked::new(Some(bare), Vec::new(), None).unwrap().render(&Look::plain());
    assert_eq!(told, "✓ domain-check@1.2.0 has no mark any more\n");
}

#[test]
fn the_break_glass_switch() {
    let tenant =
        |break_glass| control::Tenant { tenant: "acme".into(), created_at: at(0), break_glass, etag: "t1".into() };
    insta::assert_snapshot!("tenant_show", both(&TenantShown(Tenant::try_from(tenant(true)).unwrap())));
    let answer = |on, have, waiting| control::SetBreakGlassResponse {
        tenant: Some(tenant(on)),
        rollout: Some(wire::Rollout { have, waiting }),
    };
    insta::assert_snapshot!("break_glass_on", both(&BreakGlass::new(answer(true, 1, 1), true).unwrap()));
    let told = BreakGlass::new(answer(false, 0, 0), true).unwrap().render(&Look::plain());
    assert_eq!(told, "✓ custom Actions of acme run: no executor is connected: those that come will hear of it\n");
}

#[test]
fn templates() {
    use crate::view::template::TemplateShown;
    let text = include_str!("../../../../templates/released/redirect-by-group/1.0.0/schema.json");
    let schema = sluice_model::ConfigSchema::parse(text).unwrap();
    let shown = TemplateShown {
        slug: "redirect-by-group".into(),
        name: "Redirect by group".into(),
        versions: vec!["1.0.0".into()],
        triggers: vec!["post-login".into()],
        schema: Some(schema.as_json().clone()),
        version: "1.0.0".into(),
        description: "Sends the members of a group to a page.".into(),
    };
    insta::assert_snapshot!("template_show", shown.render(&Look::plain()));
}
