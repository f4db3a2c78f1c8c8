//! Does what `user.app_metadata.do` says, and answers what came of it as `state.got`.

use serde_json::{Value, json};
use sluice::action::{counters, http, kv, log, secrets, types};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

wit_bindgen::generate!({ path: "../../../proto/wit", world: "action-with-config" });

struct Action;

impl Guest for Action {
    fn execute(input: String) -> Result<String, String> {
        let input: Value = serde_json::from_str(&input).map_err(|error| error.to_string())?;
        let metadata = &input["user"]["app_metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let got = match text("do").as_str() {
            "log" => logs(),
            "print" => prints(),
            "fetch" => http::fetch(&request(&text("url"))).map(|answer| shown(&answer)).unwrap_or_else(|error| told(&error)),
            "fetch-all" => fetch_all(metadata),
            "secret" => secrets::get(&text("name")).map(Value::from).unwrap_or_else(|error| told(&error)),
            "must-have-secret" => match secrets::get(&text("name")) {
                Ok(value) => value.into(),
                Err(types::Error::Denied(message)) => return Err(message),
                Err(error) => return Err(told(&error).to_string()),
            },
            "count" => counts(&text("key")),
            "kv" => keeps(),
            "surroundings" => surroundings(),
            "clock" => clocks(),
            "panic" => panics(&text("why")),
            "exit" => std::process::exit(3),
            "sleep" => sleeps(),
            other => return Err(format!("no such thing to do: {other}")),
        };
        Ok(json!({ "kind": "continue", "state": { "got": got } }).to_string())
    }

    fn check_config(_: String) -> Result<(), String> {
        Ok(())
    }
}

fn told(error: &types::Error) -> Value {
    match error {
        types::Error::Denied(message) => json!({ "denied": message }),
        types::Error::Invalid(message) => json!({ "invalid": message }),
        types::Error::Failed(failure) => json!({ "failed": failure.code, "message": failure.message }),
        types::Error::Unavailable(message) => json!({ "unavailable": message }),
    }
}

fn logs() -> Value {
    for (level, text) in [
        (log::Level::Debug, "fine"),
        (log::Level::Info, "plain"),
        (log::Level::Warn, "odd"),
        (log::Level::Error, "wrong"),
    ] {
        log::write(level, text);
    }
    Value::Null
}

fn prints() -> Value {
    println!("one\ntwo");
    eprintln!("three");
    print!("no end");
    // Rust keeps what has no end until somebody asks for it.
    std::io::Write::flush(&mut std::io::stdout()).map_or(Value::Bool(false), |()| Value::Null)
}

fn request(url: &str) -> http::Request {
    http::Request {
        method: "POST".into(),
        url: url.into(),
        headers: vec![("X-Asked".into(), "yes".into())],
        body: Some(b"{}".to_vec()),
        redirect: http::Redirect::Follow,
    }
}

fn shown(answer: &http::Response) -> Value {
    json!({ "status": answer.status, "body": String::from_utf8_lossy(&answer.body), "url": answer.url })
}

fn fetch_all(metadata: &Value) -> Value {
    let urls = metadata["urls"].as_array().into_iter().flatten();
    let requests: Vec<_> = urls.map(|url| request(url.as_str().unwrap_or_default())).collect();
    let answers = http::fetch_all(&requests);
    answers.iter().map(|answer| answer.as_ref().map(shown).unwrap_or_else(told)).collect()
}

fn counts(key: &str) -> Value {
    let options = counters::Options {
        limit: 2,
        window_s: 60,
        algorithm: counters::Algorithm::SlidingWindow,
        burst: None,
        block_s: 0,
        scope: counters::Scope::Attachment,
        cost: 1,
        reset: false,
    };
    let take = |_| match counters::take(key, options) {
        Ok(taken) => json!([taken.allowed, taken.remaining, taken.retry_after_s > 0]),
        Err(error) => told(&error),
    };
    (0..3).map(take).collect()
}

fn keeps() -> Value {
    let told = |error: types::Error| told(&error);
    let nothing = kv::get("a").map(Value::from).unwrap_or_else(told);
    let set = kv::set("a", r#"{"n": 1}"#, 60).map(|()| Value::Null).unwrap_or_else(told);
    let there = kv::get("a").map(Value::from).unwrap_or_else(told);
    let no_json = kv::set("a", "{", 60).map(|()| Value::Null).unwrap_or_else(told);
    let deleted = kv::delete("a").map(|()| Value::Null).unwrap_or_else(told);
    let gone = kv::get("a").map(Value::from).unwrap_or_else(told);
    json!([nothing, set, there, no_json, deleted, gone])
}

fn surroundings() -> Value {
    let arguments: Vec<String> = std::env::args().collect();
    let variables: Vec<(String, String)> = std::env::vars().collect();
    let mut read = String::new();
    let standard_input = std::io::Read::read_to_string(&mut std::io::stdin(), &mut read);
    json!({
        "arguments": arguments,
        "variables": variables,
        "standard_input": standard_input.unwrap_or(1),
        "opens": std::fs::read("/etc/passwd").is_ok() || std::fs::read("action.toml").is_ok(),
        "lists": std::fs::read_dir("/").is_ok(),
        "writes": std::fs::write("/tmp/x", "x").is_ok(),
    })
}

fn clocks() -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (began, mut turns) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_millis(2) {
        turns += 1;
    }
    let mut random = String::new();
    // Each map has keys of its own, from wasi:random.
    for _ in 0..2 {
        let _ = write!(random, "{:?} ", std::collections::hash_map::RandomState::new());
    }
    json!({ "now": now, "goes_on": turns > 0 })
}

#[inline(never)]
fn panics(why: &str) -> Value {
    panic!("{why}")
}

fn sleeps() -> Value {
    std::thread::sleep(Duration::from_secs(60));
    Value::Null
}

export!(Action);
