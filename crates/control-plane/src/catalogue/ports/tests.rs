#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::{Value, json};
use sluice_model::counter::Algorithm;

const MANIFEST: &str = "slug = \"x\"\nname = \"X\"\ntriggers = [\"post-login\"]\nhosts = [\"a.example\", \"*.b.example\"]\n\
                        hosts_from_config = [\"/url\", \"/ref\"]\nsecrets = [\"KEY\", \"UNSET\"]\n\
                        secrets_from_config = [\"/ref\"]\ncapabilities = [\"counters\", \"kv\"]\n";
const NOTHING: &str = "slug = \"x\"\nname = \"X\"\ntriggers = [\"post-login\"]\n";

fn of(manifest: &str, more: Value) -> TestPorts {
    let mut case = json!({ "name": "x", "trigger": "post-login", "input": {}, "expect": { "outcome": {} } });
    case.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let case = Case::parse("tests/a.json", &case.to_string()).unwrap().remove(0);
    let config = case.config.as_object().unwrap().clone();
    TestPorts::of_case(&Manifest::parse(manifest).unwrap(), &config, &case)
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url: Url::parse(url).unwrap(),
        headers: Vec::new(),
        body: None,
        redirect: RedirectPolicy::Follow,
    }
}

async fn got(ports: &TestPorts, request: HttpRequest) -> Result<String, String> {
    match ports.fetch(request).await {
        Ok(response) => Ok(String::from_utf8(response.body).unwrap()),
        Err(Refusal::Http(error)) => Err(error.failure.to_string() + ": " + &error.message),
        Err(Refusal::Denied(message)) => Err(format!("denied: {message}")),
        Err(other) => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn answers_are_given_in_turn_and_the_last_again_and_again() {
    let ports = of(
        MANIFEST,
        json!({ "http": [
            { "url": "https://a.example/x", "text": "1" },
            { "url": "https://a.example/y", "text": "other" },
            { "method": "POST", "url": "https://a.example/x", "text": "posted" },
            { "url": "https://a.example/x", "failure": "timed_out" },
            { "url": "https://a.example/x", "text": "3" },
        ] }),
    );
    let late = ports.at(Some("2026-01-31T12:00:00Z".parse().unwrap()));
    let asked = || request("https://a.example/x#part");
    assert_eq!(got(&ports, asked()).await.unwrap(), "1");
    assert_eq!(got(&late, asked()).await.unwrap_err(), "timed_out: a.example: timed_out, as the test says");
    assert_eq!(got(&ports, HttpRequest { method: "POST".into(), ..asked() }).await.unwrap(), "posted");
    assert_eq!(got(&ports, asked()).await.unwrap(), "3");
    assert_eq!(got(&late, asked()).await.unwrap(), "3");
    assert_eq!(got(&ports, request("https://a.example/y")).await.unwrap(), "other");
    assert_eq!(
        got(&ports, request("https://a.example/z?q=1")).await.unwrap_err(),
        "request_refused: the case has no answer for GET https://a.example/z?q=1: add it to \"http\""
    );
}

#[tokio::test]
async fn without_a_case_the_flags_are_named() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let without = TestPorts::of_flags(&manifest, &Object::new(), BTreeMap::new(), None);
    let told = got(&without, request("https://a.example/")).await.unwrap_err();
    assert_eq!(
        told,
        "request_refused: sluice test asks no server: give --http with a file that says what GET https://a.example/ answers"
    );
    let told = without.secret("KEY");
    assert_eq!(told, Err(Refusal::Unavailable("the secret KEY is not set: give it with --secrets".into())));
    let with = TestPorts::of_flags(&manifest, &Object::new(), BTreeMap::new(), Some(Vec::new()));
    let told = got(&with, request("https://a.example/")).await.unwrap_err();
    assert_eq!(told, "request_refused: the file of --http has no answer for GET https://a.example/: add it");
}

#[tokio::test]
async fn hosts_are_those_of_the_version_of_the_config_and_of_secrets() {
    let urls = ["a.example", "deep.b.example", "own.example", "hook.example"];
    let http: Vec<Value> = urls.map(|host| json!({ "url": format!("https://{host}/") })).to_vec();
    let config = json!({ "url": "https://own.example/v1", "ref": "HOOK" });
    let ports =
        of(MANIFEST, json!({ "http": http, "config": config, "secrets": { "HOOK": "https://hook.example/x" } }));
    for host in urls {
        assert_eq!(got(&ports, request(&format!("https://{host}/"))).await, Ok(String::new()), "{host}");
    }
    let told = got(&ports, request("https://b.example/")).await.unwrap_err();
    assert!(told.starts_with("denied: the host b.example is not declared by the version"), "{told}");
    let told = got(&of(NOTHING, json!({})), request("https://a.example/")).await.unwrap_err();
    assert!(told.ends_with("add \"a.example\" to hosts in action.toml"), "{told}");
}

#[tokio::test]
async fn urls_keep_the_rules_that_they_keep_live() {
    let ports = of(MANIFEST, json!({}));
    for (url, says) in [
        ("http://a.example/", "url_refused: a URL must begin with https://"),
        ("https://a.example:444/", "url_refused: a.example: port 444 is not allowed"),
        ("https://me@a.example/", "url_refused: a.example: a URL must not carry a user name"),
    ] {
        let told = got(&ports, request(url)).await.unwrap_err();
        assert!(told.starts_with(says), "{told}");
    }
}

#[tokio::test]
async fn redirects_are_followed_as_the_request_says() {
    let to = |from: &str, to: &str| json!({ "url": from, "status": 302, "headers": { "location": to } });
    let ports = of(
        MANIFEST,
        json!({ "http": [
            to("https://a.example/one", "/two"),
            to("https://a.example/two", "https://x.b.example/end#part"),
            { "url": "https://x.b.example/end", "text": "there" },
            to("https://a.example/out", "https://elsewhere.example/"),
            to("https://a.example/plain", "http://a.example/"),
            to("https://a.example/round", "/round"),
            { "method": "POST", "url": "https://a.example/post", "status": 303, "headers": { "location": "/done" } },
            { "url": "https://a.example/done", "text": "done" },
        ] }),
    );
    let one = || request("https://a.example/one");
    let answer = ports.fetch(one()).await.unwrap();
    assert_eq!((answer.url.as_str(), answer.redirected), ("https://x.b.example/end", true));
    let answer = ports.fetch(HttpRequest { redirect: RedirectPolicy::Manual, ..one() }).await.unwrap();
    assert_eq!((answer.status, answer.redirected), (302, false));
    let told = got(&ports, HttpRequest { redirect: RedirectPolicy::Error, ..one() }).await.unwrap_err();
    assert!(told.starts_with("redirect_refused: a.example: the server redirects, and the request"), "{told}");
    for (path, says) in [
        ("out", "the server redirects: the host elsewhere.example is not declared"),
        ("plain", "the server redirects: a URL must begin with https://"),
        ("round", "the server redirects once more after 5 redirects"),
    ] {
        let told = got(&ports, request(&format!("https://a.example/{path}"))).await.unwrap_err();
        assert!(told.starts_with("redirect_refused: ") && told.contains(says), "{told}");
    }
    let post = HttpRequest { method: "POST".into(), ..request("https://a.example/post") };
    assert_eq!(got(&ports, post).await.unwrap(), "done");
}

#[test]
fn secrets_are_those_that_the_case_brings() {
    let ports = of(MANIFEST, json!({ "secrets": { "KEY": "v", "HOOK": "w" }, "config": { "ref": "HOOK" } }));
    assert_eq!((ports.secret("KEY"), ports.secret("HOOK")), (Ok("v".to_owned()), Ok("w".to_owned())));
    assert!(!ports.lacked_a_secret());
    let told = ports.secret("OTHER").unwrap_err();
    assert!(matches!(&told, Refusal::Denied(m) if m.starts_with("the secret OTHER is not declared")), "{told:?}");
    assert!(!ports.lacked_a_secret());
    assert_eq!(ports.at(None).secret("UNSET"), Err(Refusal::Unavailable("the secret UNSET is not set".into())));
    assert!(ports.lacked_a_secret());
    assert!(!format!("{ports:?}").contains('v'), "values are not shown");
}

#[tokio::test]
async fn counters_and_kv_last_for_a_case_by_its_clock() {
    let ports = of(MANIFEST, json!({}));
    let at = |time: &str| ports.at(Some(time.parse().unwrap()));
    let take = || Take {
        key: "k".into(),
        limit: 1,
        window_s: 60,
        algorithm: Algorithm::SlidingWindow,
        burst: None,
        block_s: 0,
        scope: CounterScope::Flow,
        cost: 1,
        reset: false,
    };
    let noon = at("2026-01-31T12:00:00Z");
    assert!(noon.take(take(), 0).await.unwrap().allowed);
    assert!(!noon.take(take(), 0).await.unwrap().allowed, "each call counts, whatever its number");
    assert!(at("2026-01-31T12:05:00Z").take(take(), 0).await.unwrap().allowed);
    noon.kv_set(KvSet { key: "k".into(), value_json: "7".into(), ttl_s: 60 }).await.unwrap();
    assert_eq!(at("2026-01-31T12:00:59Z").kv_get("k".into()).await.unwrap().as_deref(), Some("7"));
    assert_eq!(at("2026-01-31T12:01:01Z").kv_get("k".into()).await.unwrap(), None);
    noon.kv_set(KvSet { key: "k".into(), value_json: "7".into(), ttl_s: 60 }).await.unwrap();
    noon.kv_delete("k".into()).await.unwrap();
    assert_eq!(noon.kv_get("k".into()).await.unwrap(), None);
    assert_eq!(of(MANIFEST, json!({})).kv_get("k".into()).await.unwrap(), None, "another case begins empty");
}

#[tokio::test]
async fn what_is_not_declared_is_denied() {
    let ports = of(NOTHING, json!({}));
    let told = ports.kv_get("k".into()).await.unwrap_err();
    let says = "the capability kv is not declared by the version: add \"kv\" to capabilities in action.toml";
    assert_eq!(told, Refusal::Denied(says.into()));
    assert!(ports.world.kept.get().is_none(), "it costs no memory");
}
