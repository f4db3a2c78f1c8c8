//! What memory adds to the rules: its bounds, and who goes first. The rest is in `tests/conformance.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::key::{KeyMaker, Shared};
use futures_util::FutureExt;
use serde_json::json;
use sluice_model::counter::Take;
use tokio::time::Instant;

const NOW: u64 = 1_790_000_000_000;

fn take(key: &str, change: serde_json::Value) -> Take {
    let mut whole = json!({"key": key, "limit": 1, "window_s": 3600});
    whole.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    Take::from_json(whole).unwrap()
}

fn count(memory: &Memory, tenant: &KeyMaker, take: &Take, now_ms: u64) -> Taken {
    memory.take_now(&tenant.counter(Shared::Tenant, take), None, &take.rule(), Some(now_ms))
}

fn small() -> Memory {
    Memory::new(MemoryConfig { max_bytes: 256 << 10 })
}

#[test]
fn an_answer_is_there_at_the_first_poll() {
    let (memory, tenant) = (small(), KeyMaker::new("t", &[0; 32]));
    let (key, terms) = (tenant.kv("s", "k"), Terms::by(Instant::now()));
    memory.kv_set(&key, "1", 5, terms).now_or_never().unwrap().unwrap();
    assert_eq!(memory.kv_get(&key, terms).now_or_never().unwrap().unwrap().as_deref(), Some("1"));
    memory.kv_delete(&key, terms).now_or_never().unwrap().unwrap();
    assert!(memory.take(&key, None, take("k", json!({})).rule(), terms).now_or_never().is_some());
}

#[test]
fn it_never_holds_more_than_it_may() {
    let (memory, tenant) = (small(), KeyMaker::new("t", &[0; 32]));
    for i in 0..20_000_u32 {
        let key = tenant.kv("s", &i.to_string());
        let value = "x".repeat(usize::try_from(i).unwrap() * 37 % 8_000);
        _ = memory.kv_set(&key, &value, 60, Terms { now_ms: Some(NOW), ..Terms::by(Instant::now()) });
        count(&memory, &tenant, &take(&i.to_string(), json!({})), NOW);
        assert!(memory.bytes() <= 256 << 10);
    }
    assert!(memory.evicted().values > 10_000 && memory.evicted().counters > 10_000, "{:?}", memory.evicted());
    assert!(memory.entries() > 100);
    // The table itself is within the account of it.
    let table = memory.shards[0].lock().table_bytes();
    assert!(table <= 256 << 10, "{table}");
}

#[test]
fn what_has_expired_goes_before_anything_that_lives() {
    let (memory, tenant) = (small(), KeyMaker::new("t", &[0; 32]));
    let lasting = take("lasting", json!({"window_s": 86_400}));
    assert!(count(&memory, &tenant, &lasting, NOW).allowed);
    for i in 0..50_000_u64 {
        // Each lives for a second or two.
        count(&memory, &tenant, &take(&i.to_string(), json!({"window_s": 1})), NOW + i * 10);
    }
    assert_eq!(memory.evicted(), Evicted::default());
    assert!(!count(&memory, &tenant, &lasting, NOW + 500_000).allowed);
}

#[test]
fn a_tenant_pushes_out_nobody_elses() {
    let memory = small();
    let (quiet, loud) = (KeyMaker::new("quiet", &[0; 32]), KeyMaker::new("loud", &[0; 32]));
    let kept: Vec<Take> = (0..200).map(|i| take(&format!("q{i}"), json!({"window_s": 60}))).collect();
    kept.iter().for_each(|take| assert!(count(&memory, &quiet, take, NOW).allowed));
    for i in 0..50_000 {
        count(&memory, &loud, &take(&i.to_string(), json!({"window_s": 86_400})), NOW);
    }
    assert!(memory.evicted().counters > 40_000);
    kept.iter().for_each(|take| assert!(!count(&memory, &quiet, take, NOW).allowed, "still counted"));
}

#[test]
fn values_go_before_counters_and_blocked_ones_last() {
    let (memory, tenant) = (small(), KeyMaker::new("t", &[0; 32]));
    let blocked = take("blocked", json!({"window_s": 1, "block_s": 60}));
    count(&memory, &tenant, &blocked, NOW);
    count(&memory, &tenant, &blocked, NOW);
    let counter = take("counter", json!({"window_s": 1}));
    count(&memory, &tenant, &counter, NOW);
    for i in 0..1_000 {
        let key = tenant.kv("s", &i.to_string());
        _ = memory.kv_set(&key, &"x".repeat(1_000), 86_400, Terms { now_ms: Some(NOW), ..Terms::by(Instant::now()) });
    }
    assert!(memory.evicted().values > 500);
    assert!(!count(&memory, &tenant, &counter, NOW).allowed, "kv made way for it");
    for i in 0..5_000 {
        count(&memory, &tenant, &take(&i.to_string(), json!({"window_s": 86_400})), NOW);
    }
    assert!(memory.evicted().counters > 1_000);
    assert!(!count(&memory, &tenant, &blocked, NOW + 30_000).allowed, "the block holds");
}

#[test]
fn the_account_is_even_when_all_is_gone() {
    let (memory, tenant) = (small(), KeyMaker::new("t", &[0; 32]));
    let terms = Terms { now_ms: Some(NOW), ..Terms::by(Instant::now()) };
    for round in 0..3 {
        for i in 0..50 {
            _ = memory.kv_set(&tenant.kv("s", &i.to_string()), &"x".repeat(round * 10), 60, terms);
            count(&memory, &tenant, &take(&i.to_string(), json!({})), NOW);
        }
    }
    for i in 0..50 {
        _ = memory.kv_delete(&tenant.kv("s", &i.to_string()), terms);
        // 3 are counted of a limit of 1.
        let reset = take(&i.to_string(), json!({"limit": 5, "reset": true}));
        assert!(count(&memory, &tenant, &reset, NOW).allowed);
    }
    assert_eq!((memory.bytes(), memory.entries()), (0, 0));
    assert_eq!(memory.shards[0].lock().tenants_held(), 0);
}
