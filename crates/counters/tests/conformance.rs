//! One set of cases over every backend: memory, Redis, and the fallback over Redis while Redis is there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;
use sluice_counters::{
    Backend, BackendError, CallId, FallbackConfig, Memory, MemoryConfig, Redis, Shared, WithFallback,
};
use sluice_model::counter::{Change, State, Take, Taken, step};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};
use support::{NOW, Server, at, counter, live, take, tenant};

/// A backend, and the server behind it.
struct Bench {
    backend: Arc<dyn Backend>,
    _server: Option<Server>,
}

impl Bench {
    async fn memory() -> Bench {
        Bench { backend: Arc::new(Memory::new(MemoryConfig::default())), _server: None }
    }

    async fn redis() -> Bench {
        let server = Server::start().await;
        let backend: Redis = server.backend();
        Bench { backend: Arc::new(backend), _server: Some(server) }
    }

    async fn fallback() -> Bench {
        let Bench { backend, _server } = Bench::redis().await;
        let (local, executors) = (Arc::new(Memory::new(MemoryConfig::default())), Arc::new(AtomicU32::new(3)));
        let backend = Arc::new(WithFallback::new(backend, local, executors, FallbackConfig::default()));
        Bench { backend, _server }
    }
}

/// Each case is a test of its own name over each implementation.
macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        conformance!(@over memory, $($case),+);
        conformance!(@over redis, $($case),+);
        conformance!(@over fallback, $($case),+);
    };
    (@over $backend:ident, $($case:ident),+) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let bench = super::Bench::$backend().await;
                    super::$case(bench.backend.clone()).await;
                }
            )+
        }
    };
}

conformance! {
    a_window_allows_its_limit_and_says_when_there_is_more,
    a_bucket_allows_its_burst_and_then_a_pace,
    random_calls_are_answered_as_the_model_answers,
    the_largest_numbers_are_answered_as_the_model_answers,
    a_hundred_at_once_are_exactly_the_limit,
    a_call_that_is_repeated_counts_once,
    a_call_that_is_repeated_at_the_same_time_counts_once,
    a_reset_clears_unless_a_block_holds,
    a_block_holds_and_ends,
    asking_counts_nothing,
    scopes_tenants_and_rules_count_apart,
    the_backends_own_clock_will_do,
    a_value_is_kept_for_its_time,
    values_are_what_was_set_to_the_byte,
    values_are_apart_and_a_counter_is_none,
    a_value_that_is_too_large_is_refused,
}

async fn a_window_allows_its_limit_and_says_when_there_is_more(backend: Arc<dyn Backend>) {
    let take = take(json!({}));
    let counter = counter(&*backend, &tenant(), &take);
    // 20 s into a window.
    let now = NOW - NOW % 60_000 + 20_000;
    for remaining in (0..5).rev() {
        assert_eq!(counter.take(&take, now).await, Taken { allowed: true, remaining, retry_after_s: 0 });
    }
    // 6 are counted; of them less than 4 must weigh: 20 of the next window's 60 seconds, after the 40 of this one.
    let refused = counter.take(&take, now).await;
    assert_eq!(refused, Taken { allowed: false, remaining: 0, retry_after_s: 60 });
    assert!(counter.take(&take, now + 60_000).await.allowed);
}

async fn a_bucket_allows_its_burst_and_then_a_pace(backend: Arc<dyn Backend>) {
    let take = take(json!({"algorithm": "token_bucket", "limit": 60, "burst": 2}));
    let counter = counter(&*backend, &tenant(), &take);
    for expected in [true, true, false, false] {
        assert_eq!(counter.take(&take, NOW).await.allowed, expected);
    }
    assert_eq!(counter.take(&take, NOW + 999).await.retry_after_s, 1);
    assert!(counter.take(&take, NOW + 1_000).await.allowed);
    assert!(!counter.take(&take, NOW + 1_001).await.allowed);
}

/// The model by itself, a counter for each key.
#[derive(Default)]
struct Model(HashMap<String, State>);

impl Model {
    fn take(&mut self, take: &Take, now_ms: u64) -> Taken {
        let (taken, change) = step(&take.rule(), self.0.get(&take.key), now_ms);
        match change {
            Change::Keep => {}
            Change::Set(state) => _ = self.0.insert(take.key.clone(), state),
            Change::Clear => _ = self.0.remove(&take.key),
        }
        taken
    }
}

/// Takes of a few keys by all kinds of rules, each some milliseconds after the one before, now and then before it.
fn calls() -> impl Strategy<Value = Vec<(Take, i64)>> {
    let limit = prop_oneof![6 => 1_u64..6, 1 => 1_u64..=1_000_000];
    let window = prop_oneof![6 => 1_u32..8, 1 => 1_u32..=2_592_000];
    let gap = prop_oneof![
        4 => Just(0_i64),
        4 => 1_i64..900,
        3 => 900_i64..9_000,
        1 => -5_000_i64..0,
        1 => 0_i64..4_000_000_000,
    ];
    let block = prop_oneof![4 => Just(0_u32), 1 => 1_u32..9];
    let call = (any::<bool>(), limit.clone(), window, limit, block, 0_u32..4, 0_u32..12, 0_u32..3, gap);
    let call = call.prop_map(|(bucket, limit, window_s, burst, block_s, cost, reset, key, gap)| {
        let (algorithm, burst) =
            if bucket { ("token_bucket", json!({"burst": burst})) } else { ("sliding_window", json!({})) };
        let mut asked = json!({"key": format!("k{key}"), "limit": limit, "window_s": window_s, "algorithm": algorithm,
            "block_s": block_s, "cost": u32::from(cost > 0), "reset": reset == 0});
        asked.as_object_mut().unwrap().extend(burst.as_object().unwrap().clone());
        (take(asked), gap)
    });
    // Runs of one rule, so that its limit is reached.
    prop::collection::vec((call, 1_usize..12), 1..30)
        .prop_map(|runs| runs.into_iter().flat_map(|(call, times)| std::iter::repeat_n(call, times)).collect())
}

async fn random_calls_are_answered_as_the_model_answers(backend: Arc<dyn Backend>) {
    let mut runner = TestRunner::deterministic();
    let (mut allowed, mut refused) = (0, 0);
    for _ in 0..80 {
        let calls = calls().new_tree(&mut runner).unwrap().current();
        let (mut model, tenant, mut now) = (Model::default(), tenant(), NOW);
        for (i, (take, gap)) in calls.iter().enumerate() {
            now = now.saturating_add_signed(*gap);
            // One counter for all rules of a key, which a KeyMaker would keep apart: a state must stand any rule.
            let key = tenant.kv("any rule", &take.key);
            let answered = backend.take(&key, None, take.rule(), at(now)).await.unwrap();
            assert_eq!(answered.taken, model.take(take, now), "call {i}, at {now}: {take:?}");
            *if answered.taken.allowed { &mut allowed } else { &mut refused } += 1;
        }
    }
    assert!(allowed > 1_000 && refused > 1_000, "{allowed} and {refused}: both must be tried");
}

async fn the_largest_numbers_are_answered_as_the_model_answers(backend: Arc<dyn Backend>) {
    for change in [
        json!({"limit": 1_000_000, "window_s": 2_592_000}),
        json!({"limit": 999_983, "window_s": 2_591_999, "algorithm": "token_bucket", "burst": 999_979}),
        json!({"limit": 1, "window_s": 2_592_000, "block_s": 2_592_000}),
        json!({"limit": 1_000_000, "window_s": 1, "algorithm": "token_bucket", "burst": 1}),
    ] {
        let take = take(change);
        let (counter, mut model) = (counter(&*backend, &tenant(), &take), Model::default());
        for i in 0..200_u64 {
            let now = NOW * 2 + i * i * 1_234_567;
            assert_eq!(counter.take(&take, now).await, model.take(&take, now), "at {now}: {take:?}");
        }
    }
}

async fn a_hundred_at_once_are_exactly_the_limit(backend: Arc<dyn Backend>) {
    for algorithm in ["sliding_window", "token_bucket"] {
        let (take, tenant) = (take(json!({"limit": 37, "algorithm": algorithm})), tenant());
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (backend, take, tenant) = (backend.clone(), take.clone(), tenant.clone());
                tokio::spawn(async move { counter(&*backend, &tenant, &take).take(&take, NOW).await.allowed })
            })
            .collect();
        let mut allowed = 0;
        for task in tasks {
            allowed += u32::from(task.await.unwrap());
        }
        assert_eq!(allowed, 37, "{algorithm}");
    }
}

async fn a_call_that_is_repeated_counts_once(backend: Arc<dyn Backend>) {
    let (take, tenant) = (take(json!({"limit": 2})), tenant());
    let counter = counter(&*backend, &tenant, &take);
    let id = |call| CallId::new("execution", "a", call);
    let first = counter.call(&take, &id(0), NOW).await;
    assert_eq!(first.remaining, 1);
    for later in [0, 1, 59_999] {
        assert_eq!(counter.call(&take, &id(0), NOW + later).await, first);
    }
    assert_eq!(counter.call(&take, &id(1), NOW).await.remaining, 0);
    let refused = counter.call(&take, &id(2), NOW).await;
    assert!(!refused.allowed);
    assert_eq!(counter.call(&take, &id(2), NOW).await, refused);
    // Whatever came between: the same answer, though it would be another one now.
    assert_eq!(counter.call(&take, &id(0), NOW).await, first);
    // After 60 s it is a call like any other.
    assert!(!counter.call(&take, &id(0), NOW + 60_000).await.allowed);
    // A repeated reset is one reset, a repeated question one answer.
    let reset = support::take(json!({"limit": 100, "reset": true}));
    assert_eq!(counter.call(&reset, &id(3), NOW + 60_000).await.remaining, 100);
    counter.call(&take, &id(4), NOW + 60_000).await;
    assert_eq!(counter.call(&reset, &id(3), NOW + 60_000).await.remaining, 100);
    assert_eq!(counter.call(&take, &id(5), NOW + 60_000).await.remaining, 0, "4 is counted still");
    // The same call of another counter is another call.
    let other = support::counter(&*backend, &support::tenant(), &take);
    assert_eq!(other.call(&take, &id(0), NOW).await.remaining, 1);
    assert_eq!(other.call(&take, &id(1), NOW).await.remaining, 0);
}

async fn a_call_that_is_repeated_at_the_same_time_counts_once(backend: Arc<dyn Backend>) {
    let (take, tenant) = (take(json!({"limit": 50})), tenant());
    let tasks: Vec<_> = (0..100)
        .map(|i| {
            let (backend, take, tenant) = (backend.clone(), take.clone(), tenant.clone());
            let id = CallId::new("execution", "a", i / 10);
            tokio::spawn(async move { counter(&*backend, &tenant, &take).call(&take, &id, NOW).await.remaining })
        })
        .collect();
    let mut remaining = Vec::new();
    for task in tasks {
        remaining.push(task.await.unwrap());
    }
    assert!(remaining.chunks(10).all(|same| same.iter().all(|r| *r == same[0])), "{remaining:?}");
    assert_eq!(remaining.iter().min(), Some(&40));
}

async fn a_reset_clears_unless_a_block_holds(backend: Arc<dyn Backend>) {
    for algorithm in ["sliding_window", "token_bucket"] {
        let blocking = take(json!({"algorithm": algorithm, "block_s": 30}));
        let reset = take(json!({"algorithm": algorithm, "reset": true, "cost": 0}));
        let counter = counter(&*backend, &tenant(), &blocking);
        assert_eq!(counter.take(&reset, NOW).await.remaining, 5, "there is nothing to clear");
        counter.take(&blocking, NOW).await;
        assert_eq!(counter.take(&reset, NOW).await, Taken { allowed: true, remaining: 5, retry_after_s: 0 });
        for _ in 0..6 {
            counter.take(&blocking, NOW).await;
        }
        let held = counter.take(&reset, NOW).await;
        assert_eq!((held.allowed, held.remaining), (false, 0));
        assert!(!counter.take(&blocking, NOW + 29_999).await.allowed, "nothing was cleared");
    }
}

async fn a_block_holds_and_ends(backend: Arc<dyn Backend>) {
    let blocking = take(json!({"algorithm": "token_bucket", "limit": 1, "window_s": 1, "block_s": 900}));
    let counter = counter(&*backend, &tenant(), &blocking);
    assert!(counter.take(&blocking, NOW).await.allowed);
    assert_eq!(counter.take(&blocking, NOW).await.retry_after_s, 900);
    let plain = Take { block_s: 0, ..blocking.clone() };
    assert_eq!(counter.take(&plain, NOW + 450_000).await.retry_after_s, 450, "whatever is asked");
    assert!(!counter.take(&blocking, NOW + 899_999).await.allowed);
    assert!(counter.take(&blocking, NOW + 900_000).await.allowed, "refusals made it no longer");
}

async fn asking_counts_nothing(backend: Arc<dyn Backend>) {
    let (take, ask) = (take(json!({})), take(json!({"cost": 0, "block_s": 60})));
    let counter = counter(&*backend, &tenant(), &take);
    for _ in 0..20 {
        assert_eq!(counter.take(&ask, NOW).await, Taken { allowed: true, remaining: 5, retry_after_s: 0 });
    }
    for _ in 0..6 {
        counter.take(&take, NOW).await;
    }
    let refused = counter.take(&ask, NOW).await;
    assert!(!refused.allowed && refused.retry_after_s > 0);
    assert_eq!(counter.take(&ask, NOW).await, refused, "and it began no block");
    let then = NOW + u64::from(refused.retry_after_s) * 1_000;
    assert!(counter.take(&take, then).await.allowed);
}

async fn scopes_tenants_and_rules_count_apart(backend: Arc<dyn Backend>) {
    let (one, other) = (tenant(), tenant());
    let base = take(json!({"limit": 1, "key": "ключ 🔑 \u{0}{x}"}));
    let named = |changed: Take| one.counter(Shared::Tenant, &changed);
    for key in [
        one.counter(Shared::Attachment("a"), &base),
        one.counter(Shared::Attachment("b"), &base),
        one.counter(Shared::Flow("a"), &base),
        named(base.clone()),
        named(Take { window_s: 61, ..base.clone() }),
        named(Take { key: "ключ 🔑 \u{0}{y}".to_owned(), ..base.clone() }),
        other.counter(Shared::Tenant, &base),
    ] {
        let counter = support::Counter { backend: &*backend, key };
        assert!(counter.take(&base, NOW).await.allowed);
        assert!(!counter.take(&base, NOW).await.allowed);
    }
}

async fn the_backends_own_clock_will_do(backend: Arc<dyn Backend>) {
    let take = take(json!({"algorithm": "token_bucket", "limit": 2, "window_s": 86_400, "block_s": 3_600}));
    let counter = counter(&*backend, &tenant(), &take);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(counter.ask(take.rule(), None, live()).await.unwrap().taken);
    }
    assert_eq!(answers.iter().map(|t| t.allowed).collect::<Vec<_>>(), [true, true, false]);
    // Of a day's two the first comes back after half a day, but for the time that the test took.
    assert!((43_000..=43_200).contains(&answers[2].retry_after_s), "{answers:?}");
}

async fn a_value_is_kept_for_its_time(backend: Arc<dyn Backend>) {
    let (key, get) = (tenant().kv("geo", "k"), |now| at(now));
    assert_eq!(backend.kv_get(&key, get(NOW)).await.unwrap(), None);
    backend.kv_set(&key, "1", 60, at(NOW)).await.unwrap();
    assert_eq!(backend.kv_get(&key, get(NOW + 59_999)).await.unwrap().as_deref(), Some("1"));
    assert_eq!(backend.kv_get(&key, get(NOW + 60_000)).await.unwrap(), None);
    backend.kv_set(&key, "2", 86_400, at(NOW + 1_000)).await.unwrap();
    assert_eq!(backend.kv_get(&key, get(NOW + 86_400_999)).await.unwrap().as_deref(), Some("2"));
    backend.kv_delete(&key, at(NOW)).await.unwrap();
    backend.kv_delete(&key, at(NOW)).await.unwrap();
    assert_eq!(backend.kv_get(&key, get(NOW)).await.unwrap(), None);
    // By the backend's own clock, which cannot be set: the shortest time there is.
    backend.kv_set(&key, "3", 1, live()).await.unwrap();
    assert_eq!(backend.kv_get(&key, live()).await.unwrap().as_deref(), Some("3"));
    let gone = async {
        while backend.kv_get(&key, live()).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is kept for longer than a second");
}

async fn values_are_what_was_set_to_the_byte(backend: Arc<dyn Backend>) {
    let key = tenant().kv("geo", "страна/🇺🇦\u{0}");
    for value in
        [r#""""#, "null", "0", r#"" 1 2 {} \u0000 ü 🇺🇦""#, r#"{"a":[1,2.5,null]}"#, &format!("{:?}", "x".repeat(8_190))]
    {
        backend.kv_set(&key, value, 60, live()).await.unwrap();
        assert_eq!(backend.kv_get(&key, live()).await.unwrap().as_deref(), Some(value));
    }
}

async fn values_are_apart_and_a_counter_is_none(backend: Arc<dyn Backend>) {
    let (one, other) = (tenant(), tenant());
    let keys = [one.kv("geo", "k"), one.kv("geo", "K"), one.kv("geo2", "k"), other.kv("geo", "k")];
    for (i, key) in keys.iter().enumerate() {
        backend.kv_set(key, &i.to_string(), 60, live()).await.unwrap();
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(backend.kv_get(key, live()).await.unwrap(), Some(i.to_string()));
    }
    // A key is of one kind, and nothing is mixed up where it is not.
    let take = take(json!({}));
    let answered = backend.take(&keys[0], None, take.rule(), at(NOW)).await.unwrap();
    assert_eq!(answered.taken.remaining, 4);
    assert_eq!(backend.kv_get(&keys[0], live()).await.unwrap().as_deref(), Some("0"));
}

async fn a_value_that_is_too_large_is_refused(backend: Arc<dyn Backend>) {
    let key = tenant().kv("geo", "k");
    let refused = backend.kv_set(&key, &"1".repeat(8_193), 60, live()).await;
    assert_eq!(refused, Err(BackendError::TooLarge { bytes: 8_193, max: 8_192 }));
    assert_eq!(backend.kv_get(&key, live()).await.unwrap(), None);
    // A time out of its bounds is cut to them.
    backend.kv_set(&key, "1", 0, at(NOW)).await.unwrap();
    assert_eq!(backend.kv_get(&key, at(NOW + 999)).await.unwrap().as_deref(), Some("1"));
    backend.kv_set(&key, "1", u32::MAX, at(NOW)).await.unwrap();
    assert_eq!(backend.kv_get(&key, at(NOW + 86_400_000)).await.unwrap(), None);
}
