//! The effective flow: what is told of its slots as a whole.

use crate::edits::update;
use crate::support::{Plane, answered, attachment, domain_check, package, with_config};
use serde_json::json;
use sluice_api::control::v1 as control;
use sluice_api::types::v1 as types;

const WALL: &str = "slug = \"wall\"\nname = \"Wall\"\ntriggers = [\"post-login\"]\noutcomes = [\"block\"]\n";

/// The codes of slots: those of attachments have tests of their own.
fn of_slots(warnings: &[types::Warning]) -> Vec<&str> {
    const CODES: [&str; 3] = ["duplicate_attachment", "never_runs", "wall_budget_exceeded"];
    warnings.iter().map(|warning| warning.code.as_str()).filter(|code| CODES.contains(code)).collect()
}

async fn shown(plane: &Plane) -> control::GetFlowResponse {
    let request = control::GetFlowRequest { tenant: "acme".into(), flow: "login".into(), revision: 0 };
    answered(plane.flows().get_flow(request).await).unwrap()
}

/// Attaches `domain-check`, whose version asks for 300 ms, with a config of its own.
async fn attach_check(plane: &Plane, domain: &str) -> control::SavedFlow {
    plane.attach(with_config(attachment("domain-check", ""), json!({"domains": [domain]}))).await.unwrap()
}

#[tokio::test]
async fn a_save_that_makes_limits_exceed_the_slots_budget_says_how_to_raise_it() {
    let plane = Plane::with_gate().await;
    plane.publish("acme", &domain_check()).await.unwrap();
    plane.slot("post-login", 500).await.unwrap();
    assert_eq!(of_slots(&attach_check(&plane, "a.example").await.warnings), [""; 0]);
    let second = attach_check(&plane, "b.example").await;
    let told = second.warnings.iter().find(|warning| warning.code == "wall_budget_exceeded").unwrap();
    assert!(told.message.contains("600 ms") && told.message.contains("500 ms"), "{told:?}");
    assert!(told.message.contains("`sluice flow slot login --trigger post-login --budget-ms 600`"), "{told:?}");

    // A save of another slot does not repeat it; the flow goes on saying it.
    let elsewhere = control::AttachActionRequest { trigger: "pre-login".into(), ..attachment("gate", "") };
    assert_eq!(of_slots(&plane.attach(elsewhere).await.unwrap().warnings), [""; 0]);
    let flow = shown(&plane).await;
    assert_eq!(of_slots(&flow.warnings), ["wall_budget_exceeded"]);
    let worst: Vec<_> = flow.worst_cases.iter().map(|slot| (slot.trigger.as_str(), slot.worst_case_ms)).collect();
    assert_eq!(worst, [("pre-login", 500), ("post-login", 500)], "never more than the budget");

    // The command that it names cures it.
    assert_eq!(of_slots(&plane.slot("post-login", 600).await.unwrap().warnings), [""; 0]);
    let flow = shown(&plane).await;
    assert_eq!(of_slots(&flow.warnings), [""; 0]);
    assert_eq!(flow.worst_cases[1].worst_case_ms, 600);

    // What is disabled takes no time.
    let off = control::UpdateAttachmentRequest { enabled: Some(false), ..update(&second.attachment) };
    plane.update(off).await.unwrap();
    assert_eq!(shown(&plane).await.worst_cases[1].worst_case_ms, 300);
}

#[tokio::test]
async fn what_can_never_run_and_what_is_there_twice_is_told() {
    let plane = Plane::with_gate().await;
    plane.publish("acme", &package(WALL, "export const execute = () => ({ kind: 'block' })\n")).await.unwrap();
    let gate = plane.attach(attachment("gate", "")).await.unwrap();
    let again = plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(of_slots(&again.warnings), ["duplicate_attachment"]);
    let told = again.warnings.iter().find(|warning| warning.code == "duplicate_attachment").unwrap();
    assert!(told.message.contains(&gate.attachment) && told.message.contains(&again.attachment), "{told:?}");
    plane.detach(&again.attachment).await.unwrap();

    let wall = control::AttachActionRequest { position: Some(1), ..attachment("wall", "") };
    let wall = plane.attach(wall).await.unwrap();
    assert_eq!(of_slots(&wall.warnings), ["never_runs"]);
    let told = wall.warnings.iter().find(|warning| warning.code == "never_runs").unwrap();
    assert!(told.message.contains(&gate.attachment), "it names what does not run: {told:?}");
    // Behind the others it is in nobody's way.
    let last = control::UpdateAttachmentRequest { position: Some(2), ..update(&wall.attachment) };
    assert_eq!(of_slots(&plane.update(last).await.unwrap().warnings), [""; 0]);

    // A revision that comes back says what it has.
    let back = plane.roll_back(wall.revision).await.unwrap();
    assert_eq!(of_slots(&back.warnings), ["never_runs"]);
}
