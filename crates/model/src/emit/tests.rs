#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;
use crate::http::check_url;
use serde_json::{Value, json};

fn grants() -> Grants {
    Grants {
        hosts: vec!["hooks.example.com".to_owned()],
        secrets: vec!["SIGNING".to_owned(), "OTHER_URL".to_owned()],
        secrets_from_config: vec!["/ref".to_owned()],
        hosts_from_config: vec!["/ref".to_owned()],
        ..Grants::default()
    }
}

fn outcome(emit: Value) -> Outcome {
    Outcome::from_json(json!({ "kind": "continue", "emit": emit })).unwrap()
}

fn by<'a>(tenant: &'a Slug, slug: &'a Slug) -> By<'a> {
    let at = "2026-01-31T12:00:00Z".parse().unwrap();
    By { tenant, slug, execution: "e1", attachment: "att1", at }
}

fn resolved_by(grants: &Grants, emit: Value) -> Result<Vec<Held>, Failure> {
    let config = json!({ "ref": "HOOK" }).as_object().unwrap().clone();
    let secrets: Vec<String> = grants.secrets_with(&config).into_iter().collect();
    let (hosts, in_secrets) = (grants.hosts_with(&config), grants.hosts_in_secrets(&config));
    let may = May { grants, hosts: &hosts, secrets: &secrets, hosts_in_secrets: &in_secrets };
    let (tenant, slug) = (Slug::parse("acme").unwrap(), Slug::parse("a").unwrap());
    resolve(&outcome(emit), may, by(&tenant, &slug), check_url)
}

fn resolved(emit: Value) -> Result<Vec<Held>, Failure> {
    resolved_by(&grants(), emit)
}

fn to(target: Value) -> Value {
    json!([{ "type": "t", "data": 1, "to": [target] }])
}

#[test]
fn what_may_not_be_sent_to_is_denied_by_its_place_and_name() {
    for (target, says) in [
        (json!({ "url": "https://other.example/x" }), "emit[0].to[0]: the host other.example is not declared"),
        (json!({ "url_secret": "NOT_MINE" }), "emit[0].to[0]: the secret NOT_MINE is not declared"),
        (
            json!({ "url": "https://hooks.example.com/x", "signing_secret": "NOT_MINE" }),
            "emit[0].to[0]: the secret NOT_MINE is not declared",
        ),
    ] {
        let denied = resolved(to(target)).unwrap_err();
        assert_eq!(denied.reason, FailureReason::CapabilityDenied);
        assert!(denied.message.starts_with(says), "{}", denied.message);
    }
    let second = json!([
        { "type": "t", "data": 1, "to": [{ "url": "https://hooks.example.com/" }] },
        { "type": "t", "data": 1, "to": [{ "url": "https://hooks.example.com/" }, { "url": "https://b.example/" }] },
    ]);
    assert!(resolved(second).unwrap_err().message.starts_with("emit[1].to[1]: the host b.example"));
    let hostless = Grants { hosts: Vec::new(), ..grants() };
    let denied = resolved_by(&hostless, to(json!({ "url_secret": "OTHER_URL" }))).unwrap_err();
    assert_eq!(denied.reason, FailureReason::CapabilityDenied);
    assert!(resolved_by(&hostless, to(json!({ "url_secret": "HOOK" }))).is_ok(), "the config says that it leads there");
}

#[test]
fn what_cannot_be_delivered_is_an_invalid_outcome_with_its_pointer() {
    let url = "https://hooks.example.com/x";
    let long = format!("{url}?{}", "x".repeat(3_000));
    let large = json!([{ "type": "t", "data": "x".repeat(20_000), "to": [{ "url": url }] }]);
    for (emit, pointer) in [
        (to(json!({ "url": "nonsense" })), "/emit/0/to/0/url"),
        (to(json!({ "url": "http://hooks.example.com/x" })), "/emit/0/to/0/url"),
        (to(json!({ "url": "https://hooks.example.com:99/x" })), "/emit/0/to/0/url"),
        (to(json!({ "url": "https://u:p@hooks.example.com/x" })), "/emit/0/to/0/url"),
        (to(json!({ "url": long })), "/emit/0/to/0/url"),
        (to(json!({ "url": url, "headers": { "Host": "x" } })), "/emit/0/to/0/headers/Host"),
        (to(json!({ "url": url, "headers": { "webhook-id": "x" } })), "/emit/0/to/0/headers/webhook-id"),
        (to(json!({ "url": url, "headers": { "a/b": "x" } })), "/emit/0/to/0/headers/a~1b"),
        (to(json!({ "url": url, "headers": { "x-a": "a\r\nb: c" } })), "/emit/0/to/0/headers/x-a"),
        (to(json!({ "url": url, "headers": { "x-a": "1", "X-A": "2" } })), "/emit/0/to/0/headers/x-a"),
        (large, "/emit/0/data"),
    ] {
        let failure = resolved(emit).unwrap_err();
        assert_eq!(failure.reason, FailureReason::InvalidOutcome, "{}", failure.message);
        assert_eq!(failure.pointer.as_deref(), Some(pointer), "{}", failure.message);
    }
}

#[test]
fn defaults_are_those_of_the_form() {
    let held = resolved(to(json!({ "url": "https://hooks.example.com/x", "headers": { "X-A": "1" } }))).unwrap();
    assert_eq!((held.len(), held[0].on), (1, EmitOn::Success));
    let emitted = &held[0].emitted;
    assert_eq!(emitted.body, r#"{"type":"t","timestamp":"2026-01-31T12:00:00Z","data":1}"#);
    assert!(emitted.hosts.is_empty());
    let target = &emitted.to[0];
    assert_eq!(target.address, Address::Url("https://hooks.example.com/x".parse().unwrap()));
    assert_eq!(
        (target.timeout_ms, target.max_attempts, target.max_per_minute, target.digest),
        (15_000, 8, None, false)
    );
    assert_eq!(target.headers, [("x-a".to_owned(), "1".to_owned())].into());

    let held = resolved(to(json!({ "url_secret": "HOOK", "format": "slack" }))).unwrap();
    assert_eq!(held[0].emitted.body, "1", "Slack gets the data as it is");
    assert_eq!(held[0].emitted.to[0].address, Address::UrlSecret { name: "HOOK".to_owned(), own_host: true });
    assert_eq!((held[0].emitted.to[0].max_per_minute, held[0].emitted.to[0].digest), (Some(10), true));

    let held = resolved(to(json!({ "url_secret": "OTHER_URL", "max_per_minute": 3, "timeout_ms": 50 }))).unwrap();
    assert_eq!(held[0].emitted.hosts, ["hooks.example.com"], "a secret's URL leads to what is declared");
    assert_eq!((held[0].emitted.to[0].max_per_minute, held[0].emitted.to[0].timeout_ms), (Some(3), 50));
}

#[test]
fn one_emit_in_two_forms_is_two() {
    let both = json!([{ "type": "t", "data": { "text": "x" }, "on": "always", "to": [
        { "url": "https://hooks.example.com/a" }, { "url_secret": "HOOK", "format": "slack" }, { "url": "https://hooks.example.com/b" },
    ] }]);
    let held = resolved(both).unwrap();
    let shape: Vec<(usize, &str)> = held.iter().map(|held| (held.emitted.to.len(), &held.emitted.body[..7])).collect();
    assert_eq!(shape, [(2, r#"{"type""#), (1, r#"{"text""#)]);
    let mut ids: Vec<&str> = held.iter().flat_map(|held| held.emitted.to.iter().map(|to| to.id.as_str())).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn when_it_goes_out_is_decided_by_the_end_of_the_slot() {
    let of = |on: &str| {
        let emit = json!([{ "type": "t", "data": 1, "on": on, "to": [{ "url": "https://hooks.example.com/" }] }]);
        let held = resolved(emit).unwrap().remove(0);
        (held.goes(false), held.goes(true))
    };
    assert_eq!(of("always"), (true, true));
    assert_eq!(of("success"), (true, false));
    assert_eq!(of("blocked"), (false, true));
}

#[test]
fn the_same_run_emits_the_same_and_a_key_makes_two_one() {
    let plain = to(json!({ "url": "https://hooks.example.com/x" }));
    let id = |emit: Value| resolved(emit).unwrap()[0].emitted.to[0].id.clone();
    assert_eq!(id(plain.clone()), id(plain.clone()));
    let keyed = |key: &str, url: &str| {
        let other = json!({ "type": "t", "data": 1, "to": [{ "url": "https://hooks.example.com/first" }] });
        let emit = json!({ "type": "t", "data": 2, "dedupe_key": key, "to": [{ "url": url }] });
        let alone = id(json!([emit]));
        assert_eq!(resolved(json!([other, emit])).unwrap()[1].emitted.to[0].id, alone, "whichever its place");
        alone
    };
    let one = keyed("k", "https://hooks.example.com/x");
    assert_ne!(one, id(plain));
    assert_ne!(one, keyed("l", "https://hooks.example.com/x"));
    assert_ne!(one, keyed("k", "https://hooks.example.com/y"));
    assert_eq!(one, keyed("k", "https://hooks.example.com/x#part"));
}

#[test]
fn what_a_run_emits_in_all_is_bounded() {
    let hosts = || "é".repeat(900);
    let targets: Vec<Value> =
        (0..10).map(|n| json!({ "url": format!("https://hooks.example.com/{n}{}", hosts()) })).collect();
    let emits: Vec<Value> = (0..4).map(|_| json!({ "type": "t", "data": 1, "to": targets })).collect();
    let failure = resolved(Value::Array(emits)).unwrap_err();
    assert_eq!(failure.pointer.as_deref(), Some("/emit"), "{}", failure.message);
}
