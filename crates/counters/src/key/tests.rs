//! No two things have one key.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::json;
use std::collections::HashSet;

fn take(key: &str, window_s: u32, algorithm: &str) -> Take {
    Take::from_json(json!({"key": key, "limit": 1, "window_s": window_s, "algorithm": algorithm})).unwrap()
}

#[test]
fn what_is_named_otherwise_has_another_key() {
    let (a, b) = (KeyMaker::new("a", &[1; 32]), KeyMaker::new("b", &[1; 32]));
    let minute = take("k", 60, "sliding_window");
    let keys = [
        a.counter(Shared::Attachment("x"), &minute),
        a.counter(Shared::Attachment("y"), &minute),
        a.counter(Shared::Flow("x"), &minute),
        a.counter(Shared::Tenant, &minute),
        a.counter(Shared::Tenant, &take("k", 61, "sliding_window")),
        a.counter(Shared::Tenant, &take("k", 60, "token_bucket")),
        a.counter(Shared::Tenant, &take("K", 60, "sliding_window")),
        a.counter(Shared::Tenant, &take("ḱ", 60, "sliding_window")),
        b.counter(Shared::Tenant, &minute),
        KeyMaker::new("a", &[2; 32]).counter(Shared::Tenant, &minute),
        a.kv("x", "k"),
        a.kv("y", "k"),
        // The parts' lengths keep them apart.
        a.kv("xk", ""),
        a.kv("", "xk"),
        b.kv("x", "k"),
    ];
    let names: HashSet<[u8; 32]> = keys.iter().map(|key| *key.name()).collect();
    assert_eq!(names.len(), keys.len());
    let tenants: HashSet<u64> = keys.iter().map(Key::tenant).collect();
    assert_eq!(tenants.len(), 3, "two ids, one of them under two secrets");
    // A limit, a burst or a block that is changed goes on with what was counted.
    let wider = Take { limit: 9, block_s: 5, ..minute.clone() };
    assert_eq!(a.counter(Shared::Tenant, &minute), a.counter(Shared::Tenant, &wider));
}

#[test]
fn a_key_is_the_same_on_every_executor_and_in_every_release() {
    // As Python's hmac and hashlib have them.
    let key = KeyMaker::new("acme", &[7; 32]).kv("geo", "k");
    assert_eq!(
        format!("{key:?}"),
        "6c79b29abb3a5d36:{ee842e03a445acf8c212e747012ba154006e56a06040d76e5d358cc43ea93fc9}"
    );
    assert_eq!(format!("{:?}", CallId::new("e", "a", 1)), "38e954406a55ed5663fbcdde60b9f064");
}

#[test]
fn calls_are_told_apart() {
    let ids = [
        CallId::new("e", "a", 0),
        CallId::new("e", "a", 1),
        CallId::new("e", "b", 0),
        CallId::new("ea", "", 0),
        CallId::new("", "ea", 0),
    ];
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
}

#[test]
fn what_is_shown_holds_no_secret_and_one_hash_tag() {
    let maker = KeyMaker::new("acme", b"0123456789abcdef0123456789abcdef");
    assert!(!format!("{maker:?}").contains("0123456789"));
    let shown = format!("{:?}", maker.kv("geo", "someone@example.com"));
    assert_eq!(shown.len(), 83);
    assert_eq!((shown.matches('{').count(), shown.matches('}').count()), (1, 1));
    assert!(!shown.contains("example"));
}
