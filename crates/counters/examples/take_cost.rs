//! What a take costs: `cargo run --release -p sluice-counters --example take_cost`, on a machine that does nothing else.
#![allow(clippy::print_stdout, reason = "it is what an example is for")]

use serde_json::json;
use sluice_counters::{Backend, CallId, Key, KeyMaker, Memory, MemoryConfig, Shared, Terms};
use sluice_model::counter::{Rule, Take};
use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

const CALLS: u32 = 1_000_000;

fn measure(what: &str, mut act: impl FnMut(u32)) {
    for warm in 0..CALLS / 10 {
        act(warm);
    }
    let begun = Instant::now();
    for call in 0..CALLS {
        act(call);
    }
    let ns = begun.elapsed().as_nanos() / u128::from(CALLS);
    println!("{what:<62} {ns:>5} ns");
}

fn main() -> Result<(), sluice_model::Invalid> {
    let tenant = KeyMaker::new("acme", &[1; 32]);
    let sliding = Take::from_json(json!({"key": "203.0.113.7", "limit": 5, "window_s": 60}))?;
    let bucket =
        Take::from_json(json!({"key": "203.0.113.7", "limit": 5, "window_s": 60, "algorithm": "token_bucket"}))?;
    let keys: Vec<Key> = (0..4_096)
        .map(|i| tenant.counter(Shared::Attachment("a"), &Take { key: i.to_string(), ..sliding.clone() }))
        .collect();
    let key = |i: u32| &keys[i as usize % keys.len()];
    let of = |memory: &Memory, rule: Rule, i: u32| _ = black_box(memory.take_now(key(i), None, &rule, None));

    let memory = Memory::new(MemoryConfig::default());
    measure("a take, sliding window, 4096 keys", |i| of(&memory, sliding.rule(), i));
    let memory = Memory::new(MemoryConfig::default());
    measure("a take, token bucket, 4096 keys", |i| of(&memory, bucket.rule(), i));
    let terms = Terms::by(tokio::time::Instant::now());
    measure("the same through the trait, polled once", |i| {
        let mut pending = pin!(memory.take(key(i), None, bucket.rule(), terms));
        let ready = matches!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_)));
        assert!(ready);
    });
    let ids: Vec<CallId> = (0..CALLS).map(|i| CallId::new("0198c5a0-0000-7000-8000-000000000000", "a", i)).collect();
    for (what, max_bytes) in [("there is room for them", 1 << 30), ("64 MiB, full of them", 64 << 20)] {
        let memory = Memory::new(MemoryConfig { max_bytes });
        measure(&format!("a take whose answer is kept; {what}"), |i| {
            _ = black_box(memory.take_now(key(i), Some(&ids[i as usize]), &bucket.rule(), None));
        });
        println!("  {} entries, {} bytes, {:?}", memory.entries(), memory.bytes(), memory.evicted());
    }
    measure("making a counter's key", |i| {
        _ = black_box(tenant.counter(Shared::Attachment("a"), if i % 2 == 0 { &sliding } else { &bucket }));
    });
    measure("making the name of a call", |i| {
        _ = black_box(CallId::new("0198c5a0-0000-7000-8000-000000000000", "a", i));
    });
    Ok(())
}
