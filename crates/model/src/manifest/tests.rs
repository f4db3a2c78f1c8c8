#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const WHOLE: &str = r#"
slug = "domain-check"
name = "Domain check"
description = "Blocks sign-ins from outside the company."
version = "1.2.0"
triggers = ["post-login", "pre-user-registration"]
outcomes = ["continue", "block"]
entry = "src/index.ts"
schema = "schema.json"
hosts = ["api.example.com", "*.example.org"]
hosts_from_config = ["/url"]
secrets = ["API_KEY"]
secrets_from_config = ["/webhook_url_ref"]
capabilities = ["counters", "kv"]
[limits]
cpu_ms = 50
wall_ms = 500
"#;

const SHORT: &str = "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\n";

/// Every mistake of `SHORT` and these lines, one a line: place, code, message, help.
fn mistakes(more: &str) -> Vec<String> {
    let found = Manifest::parse(&format!("{SHORT}{more}")).unwrap_err();
    found
        .iter()
        .map(|d| format!("{d} [{}]{}", d.code, d.help.as_ref().map_or(String::new(), |h| format!(" ({h})"))))
        .collect()
}

fn only(more: &str) -> String {
    let found = mistakes(more);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

#[test]
fn every_key_is_read() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    assert_eq!(manifest.slug.as_str(), "domain-check");
    assert_eq!(manifest.version, Some(semver::Version::new(1, 2, 0)));
    assert_eq!(manifest.triggers, [Trigger::PostLogin, Trigger::PreUserRegistration]);
    assert_eq!(manifest.outcomes, Some(vec![OutcomeKind::Continue, OutcomeKind::Block]));
    assert_eq!(manifest.hosts, ["api.example.com", "*.example.org"]);
    assert_eq!(manifest.capabilities, [Capability::Counters, Capability::Kv]);
    assert_eq!(manifest.limits, Limits { cpu_ms: 50, wall_ms: 500 });
    let read: Manifest = serde_json::from_str(&serde_json::to_string(&manifest).unwrap()).unwrap();
    assert_eq!(read, manifest);
}

#[test]
fn three_keys_are_enough() {
    let manifest = Manifest::parse(SHORT).unwrap();
    assert_eq!(manifest.description, "");
    assert_eq!((manifest.entry, manifest.version, manifest.outcomes), (None, None, None));
    assert_eq!(manifest.limits, Limits::default());
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    let found =
        Manifest::parse("slug = \"Bad\"\nname = 7\ntrigers = []\nhosts = [\"https://x\"]\n[limits]\ncpu_ms = 0\n");
    let found: Vec<String> = found.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(found[0], "action.toml: error: \"triggers\" is missing");
    assert!(found[1].starts_with("action.toml:1:8: error: /slug: \"Bad\" is not a slug"), "{}", found[1]);
    assert_eq!(found[2], "action.toml:2:8: error: /name: expected a string, got a whole number");
    assert_eq!(found[3], "action.toml:3:1: error: /trigers: unknown key \"trigers\"");
    assert!(found[4].starts_with("action.toml:4:10: error: /hosts/0: expected a host"), "{}", found[4]);
    assert!(found[5].starts_with("action.toml:6:10: error: /limits/cpu_ms: expected a whole number"), "{}", found[5]);
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    assert_eq!(
        only("descripton = \"x\""),
        "action.toml:4:1: error: /descripton: unknown key \"descripton\" [unknown_key] (did you mean \"description\"?)"
    );
    assert!(only("license = \"x\"").contains("(known are slug, name, "));
    assert!(only("[limits]\nmemory = 1").contains("/limits/memory: unknown key \"memory\""));
    assert!(only("\"a/b\" = 1").contains("/a~1b: unknown key"));
}

#[test]
fn what_is_not_toml_is_shown_where_it_stops_being_toml() {
    let found = mistakes("version = = 1\n");
    assert!(found.iter().all(|m| m.starts_with("action.toml:4:")), "{found:#?}");
    assert!(found[0].contains("[invalid_toml]"), "{found:#?}");
    assert!(Manifest::parse("slug = \"a\nname = \"b\"").is_err());
    assert!(only("name = \"twice\"").contains("duplicate key"));
}

#[test]
fn versions_are_exact() {
    assert!(Manifest::parse(&format!("{SHORT}version = \"1.0.0-rc.1\"")).is_ok());
    for (version, says) in [
        ("^1.0.0", "expected an exact version"),
        ("1.0", "expected an exact version"),
        ("01.0.0", "expected an exact version"),
        ("1.0.0+build", "build metadata (+build) is not taken"),
        ("", "expected 1 to 64 characters"),
        ("99999999999999999999.0.0", "expected an exact version"),
    ] {
        let found = only(&format!("version = \"{version}\""));
        assert!(found.starts_with("action.toml:4:11: error: /version: ") && found.contains(says), "{found}");
    }
}

#[test]
fn outcomes_must_be_possible_at_a_trigger() {
    assert!(
        only("outcomes = [\"continue\", \"deny\"]").contains("/outcomes/1: \"deny\" is not known; known are continue")
    );
    assert!(only("outcomes = []").contains("/outcomes: expected 1 to 4 entries, got 0"));
    let found =
        Manifest::parse("slug='a'\nname='A'\ntriggers=['pre-login']\noutcomes=['block','redirect']").unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "action.toml:4:19: error: /outcomes/1: \"redirect\" is allowed at none of the triggers pre-login"
    );
}

#[test]
fn triggers_are_known_and_none_stands_twice() {
    let found = Manifest::parse("slug='a'\nname='A'\ntriggers=['post-logn','pre-login','pre-login']").unwrap_err();
    assert_eq!(found[0].message, "\"post-logn\" is not known; did you mean \"post-login\"?");
    assert_eq!(found[1].to_string(), "action.toml:3:35: error: /triggers/2: stands here twice");
    assert!(Manifest::parse("slug='a'\nname='A'\ntriggers=[]").unwrap_err()[0].message.contains("1 to 16 entries"));
}

#[test]
fn bounds_are_told_with_what_is_taken() {
    for (line, says) in [
        ("entry = \"../index.ts\"", "/entry: the path \"../index.ts\" has a part that is . or .."),
        ("entry = \"/src/index.ts\"", "is absolute"),
        ("entry = \"src/index.tsx\"", "expected a path that ends in .ts or .mts or .js or .mjs"),
        ("component = \"x.wat\"", "expected a path that ends in .wasm"),
        ("entry = \"src/a.ts\"\ncomponent = \"x.wasm\"", "/component: stands beside \"entry\""),
        ("schema = \"a\\\\b.json\"", "has a backslash"),
        ("hosts = [\"EXAMPLE.com\"]", "/hosts/0: expected a host"),
        ("hosts = [\"*\"]", "/hosts/0: expected a host"),
        ("hosts = [\"*.com\"]", "/hosts/0: expected a host"),
        ("hosts = [\"a.com:443\"]", "/hosts/0: expected a host"),
        ("hosts_from_config = [\"url\"]", "expected a JSON pointer"),
        ("hosts_from_config = [\"/a~2\"]", "expected a JSON pointer"),
        ("capabilities = [\"counter\"]", "did you mean \"counters\"?"),
        ("limits = 5", "/limits: expected a table, got a whole number"),
        ("[limits]\nwall_ms = 5001", "from 1 to 5000, got 5001"),
        ("[limits]\ncpu_ms = 1.5", "/limits/cpu_ms: expected a whole number of milliseconds, got a number"),
        ("[limits]\ncpu_ms = -1", "from 1 to 1000, got -1"),
        ("[limits]\ncpu_ms = 99999999999", "from 1 to 1000, got 99999999999"),
    ] {
        let found = only(line);
        assert!(found.contains(says), "{line}: {found}");
    }
    let long = format!("description = \"{}\"", "x".repeat(1001));
    assert!(only(&long).contains("expected 0 to 1000 characters, got 1001"));
    let found = Manifest::parse("slug='a'\nname=' '\ntriggers=['pre-login']").unwrap_err();
    assert!(found[0].message.contains("a space at an end"), "{found:?}");
}

#[test]
fn a_secret_value_in_the_place_of_a_name_is_not_repeated() {
    let found = Manifest::parse(&format!("{SHORT}secrets = [\"sk live/51H8xQ\"]")).unwrap_err();
    assert!(found[0].pointer.as_deref() == Some("/secrets/0") && !found[0].message.contains("51H8xQ"), "{found:?}");
}

#[test]
fn hostile_files_are_refused_in_time() {
    assert!(Manifest::parse(&"[".repeat(60_000)).is_err());
    assert!(Manifest::parse(&format!("a = {}", "[".repeat(60_000))).is_err());
    let found = Manifest::parse(&"x".repeat(70_000)).unwrap_err();
    assert_eq!(found[0].message, "the file has 70000 bytes; at most 65536 are taken");
}

#[test]
fn what_a_build_does_not_provide_is_named() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    let unmet: Vec<String> = manifest.unmet(&Provided::default()).iter().map(ToString::to_string).collect();
    assert_eq!(
        unmet,
        [
            "action.toml: error: /hosts: this build does not provide outbound HTTP",
            "action.toml: error: /hosts_from_config: this build does not provide outbound HTTP",
            "action.toml: error: /secrets: this build does not provide secrets",
            "action.toml: error: /secrets_from_config: this build does not provide secrets",
            "action.toml: error: /capabilities/0: this build does not provide counters",
            "action.toml: error: /capabilities/1: this build does not provide kv",
        ]
    );
    let all = Provided { fetch: true, secrets: true, counters: true, kv: true, components: true };
    assert_eq!(manifest.unmet(&all), []);
    assert_eq!(Manifest::parse(SHORT).unwrap().unmet(&Provided::default()), []);
}

#[test]
fn answers_are_allowed_by_the_trigger_and_by_what_is_declared() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    assert!(manifest.may_answer(Trigger::PostLogin, OutcomeKind::Block));
    assert!(!manifest.may_answer(Trigger::PostLogin, OutcomeKind::Redirect));
    assert!(!manifest.may_answer(Trigger::PostLogout, OutcomeKind::Block));
}

#[test]
fn a_mistake_that_is_found_later_stands_at_its_line_too() {
    let text = "slug = \"a\"\nentry = \"src/main.ts\"\nhosts = [\"x.example\"]\n[limits]\ncpu_ms = 5\n";
    let at = |pointer: &str| {
        let found = placed(Diagnostic::error("x", MANIFEST_FILE, "x").with_pointer(pointer), text);
        (found.line, found.column)
    };
    assert_eq!(at("/entry"), (Some(2), Some(9)));
    assert_eq!(at("/hosts"), (Some(3), Some(1)));
    assert_eq!(at("/hosts/0"), (Some(3), Some(10)));
    assert_eq!(at("/limits/cpu_ms"), (Some(5), Some(1)));
    assert_eq!(at("/nowhere/0"), (None, None));
}
