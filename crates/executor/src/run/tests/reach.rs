//! What runs reach: what is declared and nothing else, and what audit has of it.

use super::*;
use crate::{
    catalog::Applied,
    state::{
        State,
        update::{Change, Update, keys},
    },
};
use sluice_api::distribution::v1 as distribution;
use sluice_model::manifest::Capability;
use std::net::TcpListener;

/// An Action whose `execute` has this body.
fn body(body: &str) -> Piece {
    code(bundle(&format!("export async function execute(input) {{ {body} }}")))
}

fn granted(piece: Piece, grants: Grants) -> Piece {
    piece.with(|p| p.grants = grants)
}

fn hosts(hosts: &[&str]) -> Grants {
    Grants { hosts: hosts.iter().map(|&h| h.to_owned()).collect(), ..Grants::default() }
}

/// A stage whose state has these secrets.
fn with_secrets(mut stage: Stage, secrets: &[(&str, &str)]) -> Stage {
    let tenant = Change::Tenant { tenant: slug("acme"), origins: Vec::new(), break_glass: false, keys: None };
    let secret = |(name, value): &(&str, &str)| {
        let sent = distribution::SecretState {
            tenant: "acme".into(),
            name: (*name).into(),
            version: 1,
            value: value.as_bytes().to_vec().into(),
        };
        let (tenant, secret) = crate::state::update::secret_of(sent).unwrap();
        (tenant, Arc::new(secret))
    };
    let update = Update { full: true, changes: vec![tenant], ..Update::default() };
    let state = State::default().updated(update, &Planner::new(stage.runner.modules.clone())).unwrap();
    let applied = Arc::new(Applied { state, at: Timestamp::now() });
    stage.runner.vault = Vault::of(Arc::new(arc_swap::ArcSwapOption::from(Some(applied))));
    stage.sent = secrets.iter().map(|pair| secret(pair).1).map(|s| (s.name().to_owned(), s)).collect();
    stage
}

#[tokio::test]
async fn what_is_not_declared_is_denied_by_name_with_the_authors_place() {
    for (what, says) in [
        ("await fetch('https://api.example.com/x')", "the host api.example.com is not declared by the version"),
        ("secrets.get('API_KEY')", "the secret API_KEY is not declared by the version"),
        ("await counters.take('k', { limit: 1, window_s: 60 })", "the capability counters is not declared"),
        ("await kv.get('k')", "the capability kv is not declared"),
    ] {
        for grants in [Grants::default(), hosts(&["other.example.com"])] {
            let stage = stage(
                Trigger::PostLogin,
                vec![granted(body(&format!("\n{what};\nreturn {{ kind: 'continue' }}")), grants)],
            );
            let ran = stage.run().await;
            assert_eq!(words(&ran), ["capability_denied"], "{what}: {:?}", ran.results);
            let failure = failure(&ran, 0);
            assert!(failure.message.contains(says), "{what}: {}", failure.message);
            assert_eq!(failure.line, Some(2), "{what}: {failure:?}");
            let fetches = stage.audited().remove(0).run.unwrap().fetches;
            let told: Vec<_> = fetches.iter().map(|f| (f.host.as_str(), f.failure.as_str())).collect();
            let expected: &[_] = if what.contains("fetch") { &[("api.example.com", "host_not_declared")] } else { &[] };
            assert_eq!(told, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn counters_and_kv_last_from_run_to_run() {
    let grants = Grants { capabilities: vec![Capability::Counters, Capability::Kv], ..Grants::default() };
    let code = "const taken = await counters.take('k', { limit: 2, window_s: 3600 });
        const runs = (await kv.get('runs') ?? 0) + 1;
        await kv.set('runs', runs, { ttl_s: 60 });
        return taken.allowed ? { kind: 'continue', state: { runs } } : { kind: 'block', reason_code: 'too_many' }";
    let mut stage = stage(Trigger::PostLogin, vec![granted(body(code), grants)]);
    let unkeyed = stage.run().await;
    assert_eq!(words(&unkeyed), ["unavailable"], "without a key no key is made");
    stage.keys = keys(&slug("acme"), &[7; 32]).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let ran = stage.run().await;
        seen.push((words(&ran).remove(0), ran.answer.state.get("runs").and_then(Value::as_u64)));
    }
    let expected = [("continue", Some(1)), ("continue", Some(2)), ("block", None)];
    assert_eq!(seen, expected.map(|(word, runs)| (word.to_owned(), runs)));
    assert!(stage.audited().iter().all(|record| !record.run.as_ref().unwrap().counters_fallback));
}

#[tokio::test]
async fn a_secret_is_read_and_taken_out_of_what_a_run_says() {
    let grants = Grants { secrets: vec!["API_KEY".into(), "UNSET".into()], ..Grants::default() };
    let told = "const key = secrets.get('API_KEY');
        return { kind: 'block', reason_code: 'x', user_message: `it is ${key}`, annotations: { length: key.length, key } }";
    let thrown = "throw new Error(`cannot use ${secrets.get('API_KEY')}`)";
    let unset = "try { secrets.get('UNSET') } catch {} return { kind: 'continue' }";
    for (code, word) in [(told, "block"), (thrown, "threw"), (unset, "unavailable")] {
        let pieces = vec![granted(body(code), grants.clone())];
        let stage = with_secrets(stage(Trigger::PostLogin, pieces), &[("API_KEY", "s3cret-canary-value")]);
        let ran = stage.run().await;
        assert_eq!(words(&ran), [word], "{:?}", ran.results);
        let all = format!("{:?} {:?} {:?}", ran.results, ran.answer, stage.audited());
        assert!(!all.contains("s3cret-canary-value"), "{all}");
        assert_eq!(all.contains("[secret API_KEY]"), word != "unavailable", "{all}");
    }
}

#[tokio::test]
async fn each_attempt_is_in_audit_also_of_a_caller_who_went_away() {
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let grants = Grants { hosts_from_config: vec!["/url".into()], ..hosts(&[]) };
    let code =
        "await Promise.allSettled([fetch(input.context.config.url + '/canary?canary'), fetch('https://10.1.2.3/')]);
        return { kind: 'continue' }";
    let piece = granted(body(code), grants).with(|p| {
        p.attachment.config = config_with(&format!("http://localhost:{port}"));
        p.limits.wall_ms = 300;
    });
    let mut stage = stage(Trigger::PostLogin, vec![piece]);
    let mut config = ExecutorConfig::default();
    config.egress.0.allow =
        serde_json::from_value(json!([{ "host": "localhost", "cidr": "127.0.0.1/32", "port": port, "http": true }]))
            .unwrap();
    stage.runner.reach = Reach::new(&config, Arc::default()).unwrap();
    stage.prepare().await;
    let ran = stage.run().await;
    assert_eq!(words(&ran), ["wall_limit"], "{:?}", ran.results);
    assert!(failure(&ran, 0).message.contains("waiting for fetch of localhost"), "{:?}", ran.results);
    let execution = stage.execution();
    let input = CallerInput::from_json(json!({}), stage.trigger).unwrap();
    let gone = tokio::time::timeout(Duration::from_millis(50), stage.runner.run(&execution, input)).await;
    assert!(gone.is_err(), "{gone:?}");
    for record in stage.audited() {
        let fetches = record.run.unwrap().fetches;
        let told: Vec<_> = fetches.iter().map(|f| (f.host.as_str(), f.status, f.failure.as_str())).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.contains(&("10.1.2.3", 0, "host_not_declared")), "{told:?}");
        assert!(told.iter().any(|(host, status, failure)| *host == "localhost"
            && *status == 0
            && ["canceled", "timed_out"].contains(failure)));
        assert!(!format!("{fetches:?}").contains("canary"), "{fetches:?}");
    }
    assert_eq!(stage.audited().len(), 2);
}

/// A config with a URL in it.
fn config_with(url: &str) -> Object {
    json!({ "url": url }).as_object().unwrap().clone()
}
