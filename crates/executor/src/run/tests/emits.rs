//! Emits: held until the slot has ended, then in the record of the run that made them.

use super::*;

/// An Action that emits to a host that it declares, and answers with this kind.
fn emitting(kind: &str, on: &str) -> Piece {
    let to = "[{ url: 'https://hooks.example.com/x' }]";
    let emit = format!("[{{ type: 't', data: {{ n: 1 }}, on: '{on}', to: {to} }}]");
    let grants = Grants { hosts: vec!["hooks.example.com".to_owned()], ..Grants::default() };
    piece(&format!("({{ kind: '{kind}', emit: {emit} }})")).with(|p| p.grants = grants)
}

/// For each record: how many emits ride in it, and how many deliveries it names.
fn riding(stage: &Stage) -> Vec<(usize, usize)> {
    let named = |record: &wire::AuditRecord| record.run.as_ref().unwrap().deliveries.len();
    stage.audited().iter().map(|record| (record.emits.len(), named(record))).collect()
}

#[tokio::test]
async fn an_emit_is_denied_by_the_name_of_its_host() {
    let emit = |to: &str| piece(&format!("({{ kind: 'continue', emit: [{{ type: 't', data: 1, to: [{to}] }}] }})"));
    for (to, named) in [
        ("{ url: 'https://hooks.example.com/x' }", "emit[0].to[0]: the host hooks.example.com"),
        ("{ url_secret: 'HOOK' }", "emit[0].to[0]: the secret HOOK"),
    ] {
        let stage = stage(Trigger::PostLogin, vec![emit(to)]);
        let ran = stage.run().await;
        assert_eq!(words(&ran), ["capability_denied"]);
        assert!(failure(&ran, 0).message.starts_with(named), "{}", failure(&ran, 0).message);
        assert_eq!(riding(&stage), [(0, 0)]);
    }
}

#[tokio::test]
async fn what_goes_out_is_decided_by_the_end_of_the_slot() {
    let all = || vec![emitting("continue", "success"), emitting("continue", "blocked"), emitting("continue", "always")];
    let went = stage(Trigger::PostLogin, all());
    went.run().await;
    assert_eq!(riding(&went), [(1, 1), (0, 0), (1, 1)]);

    let mut pieces = all();
    pieces.extend([piece("({ kind: 'block' })"), emitting("continue", "always")]);
    let blocked = stage(Trigger::PostLogin, pieces);
    blocked.run().await;
    assert_eq!(riding(&blocked), [(0, 0), (1, 1), (1, 1), (0, 0), (0, 0)], "what is skipped emits nothing");
    let attachments: Vec<String> = blocked.audited().into_iter().map(|record| record.attachment).collect();
    assert_eq!(attachments, ["att-1", "att-2", "att-3", "att-4", "att-5"], "the order stays");
}

#[tokio::test]
async fn a_failure_that_blocks_ends_the_slot_as_a_block_does() {
    let stage =
        stage(Trigger::PostLogin, vec![emitting("continue", "success"), piece("(() => { throw new Error('no') })()")]);
    stage.run().await;
    assert_eq!(riding(&stage), [(0, 0), (0, 0)]);
}

#[tokio::test]
async fn at_an_asynchronous_trigger_everything_is_a_success() {
    let stage = stage(
        Trigger::PostLogout,
        vec![emitting("continue", "success"), piece("({ kind: 'block' })"), emitting("continue", "blocked")],
    );
    stage.run().await;
    assert_eq!(riding(&stage), [(1, 1), (0, 0), (0, 0)]);
}

#[tokio::test]
async fn the_same_execution_again_names_the_same_delivery() {
    let one = stage(Trigger::PostLogin, vec![emitting("continue", "always")]);
    let ids = |stage: &Stage| -> Vec<String> {
        stage.audited().into_iter().flat_map(|record| record.run.unwrap().deliveries).collect()
    };
    one.run().await;
    let other = stage(Trigger::PostLogin, vec![emitting("continue", "always")]);
    other.run().await;
    assert_eq!(ids(&one).len(), 1);
    assert_eq!(ids(&one), ids(&other), "another executor, the same execution");
    let emitted = &one.audited()[0].emits[0];
    assert_eq!(emitted.to[0].id, ids(&one)[0]);
    let body: Value = serde_json::from_str(&emitted.body).unwrap();
    assert_eq!((&body["type"], &body["data"]), (&json!("t"), &json!({ "n": 1 })));
}

#[tokio::test]
async fn an_execution_that_is_dropped_sends_nothing_unless_its_end_is_known() {
    for (trigger, riding_then) in [(Trigger::PostLogin, (0, 0)), (Trigger::PostLogout, (1, 1))] {
        let pieces = vec![
            emitting("continue", "success"),
            code(bundle_that_waits()).with(|p| p.limits = Limits { cpu_ms: 1_000, wall_ms: 5_000 }),
        ];
        let stage = stage(trigger, pieces);
        stage.prepare().await;
        let execution = stage.execution();
        let input = CallerInput::from_json(json!({ "user": { "id": "u1" } }), trigger).unwrap();
        // The first has long ended when the second is given up.
        let given_up = tokio::time::timeout(Duration::from_millis(500), stage.runner.run(&execution, input)).await;
        assert!(given_up.is_err());
        stage.runner.audit.settled().await;
        assert_eq!(riding(&stage)[0], riding_then, "{trigger}");
    }
}

fn bundle_that_waits() -> Bundle {
    let waits = "await new Promise((done) => setTimeout(done, 4000)); return { kind: 'continue' }";
    bundle(&format!("export async function execute(input) {{ {waits} }}"))
}
