//! What is refused at start, and what is shown. The rest needs a server: `tests/`.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::key::KeyMaker;

#[test]
fn a_bad_configuration_is_refused_by_its_name_and_shows_no_password() {
    let url = "redis://:hunter2@localhost";
    for (config, says) in [
        (RedisConfig::new("http://u:hunter2@x"), "url: takes redis://"),
        (RedisConfig::new("redis://u:hunter2@x:port"), "url: takes redis://"),
        (RedisConfig::new(""), "url: takes redis://"),
        (RedisConfig::new("rediss://:hunter2@localhost"), "url: TLS (rediss) is not built in"),
        (RedisConfig { prefix: "a{b}".into(), ..RedisConfig::new(url) }, "prefix: takes"),
        (RedisConfig { timeout: Duration::ZERO, ..RedisConfig::new(url) }, "timeout: takes"),
    ] {
        let refusal = Redis::new(&config).unwrap_err();
        assert!(refusal.starts_with(says), "{refusal}");
        assert!(!format!("{refusal} {config:?}").contains("hunter2"), "{refusal} {config:?}");
    }
    let redis = Redis::new(&RedisConfig::new(url)).unwrap();
    assert!(!format!("{redis:?}").contains("hunter2"));
}

#[test]
fn all_that_a_script_touches_has_one_hash_tag() {
    let redis = Redis::new(&RedisConfig::new("redis://localhost")).unwrap();
    let key = KeyMaker::new("t", &[0; 32]).kv("s", "{other}");
    let tag = |text: &str| text[text.find('{').unwrap()..=text.find('}').unwrap()].to_owned();
    let (counter, answer) = (redis.key("c:", &key, None), redis.key("a:", &key, Some(&CallId::new("e", "a", 1))));
    assert_eq!(tag(&counter), tag(&answer));
    assert!(counter.starts_with("sluice:c:") && answer.starts_with("sluice:a:"));
    assert_eq!(tag(&counter).len(), 66);
}
