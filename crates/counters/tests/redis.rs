//! What can happen to a Redis: it is killed, hangs, forgets its scripts, refuses us; and two executors on one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;
use sluice_counters::{
    Backend, BackendError, CallId, FallbackConfig, Memory, MemoryConfig, Redis, RedisConfig, Terms, Why, WithFallback,
};
use sluice_model::counter::{Algorithm, Change, MAX_COUNT, MAX_LIMIT, MAX_WINDOW_S, State, step};
use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};
use support::{NOW, Server, at, counter, live, take, tenant};
use tokio::time::Instant;

fn with_fallback(redis: Redis, retry_after_ms: u64) -> WithFallback {
    let (local, executors) = (Arc::new(Memory::new(MemoryConfig::default())), Arc::new(AtomicU32::new(2)));
    let config = FallbackConfig { retry_after: Duration::from_millis(retry_after_ms) };
    WithFallback::new(Arc::new(redis), local, executors, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_is_fallen_back_from_and_come_back_to() {
    let mut server = Server::start().await;
    let backend = with_fallback(server.backend(), 50);
    let (take, tenant) = (take(json!({"limit": 4, "window_s": 86_400})), tenant());
    let counter = counter(&backend, &tenant, &take);
    assert!(!counter.ask(take.rule(), None, live()).await.unwrap().fallback);
    server.kill();
    let mut allowed = 0;
    for _ in 0..10 {
        let answered = counter.ask(take.rule(), None, live()).await.unwrap();
        assert!(answered.fallback);
        allowed += u32::from(answered.taken.allowed);
    }
    assert_eq!(allowed, 2, "half of the limit, of two executors");
    assert!(backend.is_away());
    let strict = Terms { on_unavailable: sluice_model::OnCountersUnavailable::Fail, ..live() };
    assert!(matches!(counter.ask(take.rule(), None, strict).await, Err(BackendError::Unavailable(_))));
    server.restart().await;
    let begun = Instant::now();
    while counter.ask(take.rule(), None, live()).await.unwrap().fallback {
        assert!(begun.elapsed() < Duration::from_secs(20), "Redis is back, and is not found");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!backend.is_away());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_never_there_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::new(&RedisConfig::new(format!("redis+unix://{}/none", folder.path().display()))).unwrap();
    let key = tenant().kv("s", "k");
    assert_eq!(redis.kv_get(&key, live()).await, Err(BackendError::Unavailable(Why::Connection)));
    assert_eq!(redis.stats().errors, 1);
    assert_eq!(with_fallback(redis, 1_000).kv_get(&key, live()).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_costs_no_more_than_the_deadline_and_that_once() {
    let server = Server::start().await;
    let redis = Arc::new(server.backend_within(Duration::from_millis(300)));
    let (take, tenant) = (take(json!({})), tenant());
    let direct = counter(&*redis, &tenant, &take);
    assert!(direct.ask(take.rule(), None, live()).await.unwrap().taken.allowed);
    server.signal("STOP");
    // The caller's deadline, then the setting's.
    for (within_ms, bound_ms) in [(50, 50), (10_000, 300), (10_000, 300)] {
        let begun = Instant::now();
        let terms = Terms::by(begun + Duration::from_millis(within_ms));
        let refused = direct.ask(take.rule(), None, terms).await;
        assert_eq!(refused.err(), Some(BackendError::Unavailable(Why::Timeout)));
        let took = begun.elapsed().as_millis();
        assert!((bound_ms..bound_ms + 250).contains(&took), "{took} ms instead of {bound_ms}");
    }
    assert_eq!(redis.stats().timeouts, 3);
    // Behind a breaker one pays for all.
    let backend = with_fallback(server.backend_within(Duration::from_millis(300)), 60_000);
    let counter = counter(&backend, &tenant, &take);
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert!(counter.ask(take.rule(), None, live()).await.unwrap().fallback);
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    server.signal("CONT");
    let begun = Instant::now();
    while direct.ask(take.rule(), None, live()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on, and is not found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_refuses_us_is_told_without_the_password() {
    let server = Server::start_with(&["--requirepass", "correct horse"]).await;
    let key = tenant().kv("s", "k");
    for query in ["", "?pass=hunter2", "?user=me&pass=hunter2"] {
        let redis = Redis::new(&RedisConfig::new(format!("{}{query}", server.url()))).unwrap();
        let refused = redis.kv_get(&key, live()).await.unwrap_err();
        assert_eq!(refused, BackendError::Unavailable(Why::Credentials), "{query}");
        let shown = format!("{refused} {refused:?} {redis:?}");
        assert!(!shown.contains("hunter2") && !shown.contains('/'), "{shown}");
    }
    let config = RedisConfig {
        timeout: Duration::from_secs(20),
        ..RedisConfig::new(format!("{}?pass=correct%20horse", server.url()))
    };
    assert_eq!(Redis::new(&config).unwrap().kv_get(&key, live()).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgot_the_script_is_told_again() {
    let server = Server::start().await;
    let (redis, take, tenant) = (server.backend(), take(json!({})), tenant());
    let mut connection = server.connection().await;
    for remaining in (0..5).rev() {
        _ = redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut connection).await;
        assert_eq!(counter(&redis, &tenant, &take).take(&take, NOW).await.remaining, remaining);
    }
    assert_eq!((redis.stats().errors, redis.stats().connections), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_is_one_round_trip_and_all_that_is_stored_ends() {
    let server = Server::start().await;
    let (redis, tenant) = (server.backend(), tenant());
    let mut connection = server.connection().await;
    let sliding = take(json!({"limit": 1, "block_s": 600}));
    let bucket = take(json!({"algorithm": "token_bucket"}));
    for i in 0..3 {
        for take in [&sliding, &bucket] {
            counter(&redis, &tenant, take).call(take, &CallId::new("e", "a", i), NOW).await;
        }
    }
    redis.kv_set(&tenant.kv("s", "k"), "1", 60, live()).await.unwrap();
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let calls = |command: &str| {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse::<u32>().unwrap())
    };
    assert_eq!((calls("evalsha"), calls("eval"), calls("script|load")), (6, 1, 0), "{info}");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    // Two counters, six answers, a value.
    assert_eq!(keys.len(), 9, "{keys:?}");
    for key in keys {
        let ttl: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(key.starts_with("sluice:") && (1..=600_000).contains(&ttl), "{key}: {ttl}");
    }
}

/// The script against the model from states that calls would take long to reach: counts at their end, buckets that are full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_does_as_the_model_does_from_any_state() {
    let server = Server::start().await;
    let (redis, tenant, mut connection) = (server.backend(), tenant(), server.connection().await);
    let mut runner = TestRunner::deterministic();
    let edges = |max: u64| prop_oneof![Just(0), Just(max - 1), Just(max), 0..=max, 0..=max.min(9)];
    let states =
        (any::<bool>(), edges(MAX_LIMIT - 1), edges(u64::from(MAX_WINDOW_S) - 1), edges(MAX_COUNT), edges(MAX_COUNT));
    let rest = (edges(u64::from(MAX_WINDOW_S)), 0_u64..3, 0_u64..2_000_000, 0_u64..4, any::<bool>());
    let strategy = (states, rest);
    let mut seen = [0, 0];
    for i in 0..4_000_u32 {
        let ((bucket, limit, window_s, used, previous), (block_s, windows, into_ms, cost, blocked)) =
            strategy.new_tree(&mut runner).unwrap().current();
        let algorithm = if bucket { Algorithm::TokenBucket } else { Algorithm::SlidingWindow };
        let mut asked = json!({"limit": limit + 1, "window_s": window_s + 1, "algorithm": algorithm.as_str(),
            "block_s": block_s, "cost": u32::from(cost > 0)});
        if bucket {
            asked["burst"] = json!(previous.clamp(1, MAX_LIMIT));
        }
        let take = take(asked);
        let (rule, window_ms) = (take.rule(), take.rule().window_ms());
        let used = if bucket { used.min(rule.burst()) * window_ms - into_ms.min(used * window_ms) } else { used };
        let state = State {
            algorithm,
            window_ms,
            at_ms: NOW,
            used: if bucket { used.min(rule.burst() * window_ms) } else { used },
            previous: if bucket { 0 } else { previous },
            blocked_until_ms: if blocked { NOW + into_ms } else { 0 },
            expires_at_ms: NOW + 3 * window_ms,
        };
        let key = tenant.kv("seeded", &i.to_string());
        let letter = if bucket { "t" } else { "s" };
        let State { at_ms, used, previous, blocked_until_ms, expires_at_ms, .. } = state;
        let text = format!("{letter} {window_ms} {at_ms} {used} {previous} {blocked_until_ms} {expires_at_ms}");
        let stored = format!("sluice:c:{key:?}");
        redis::cmd("SET").arg(&stored).arg(text).query_async::<()>(&mut connection).await.unwrap();
        let now = NOW + windows * window_ms / 2 + into_ms;
        let (taken, change) = step(&rule, Some(&state), now);
        assert_eq!(redis.take(&key, None, rule, at(now)).await.unwrap().taken, taken, "{take:?} {state:?} at {now}");
        seen[usize::from(taken.allowed)] += 1;
        // What is written down is the same, too.
        if let Change::Set(State { window_ms, at_ms, used, previous, blocked_until_ms, expires_at_ms, .. }) = change {
            let text: String = redis::cmd("GET").arg(&stored).query_async(&mut connection).await.unwrap();
            let expected = format!("{letter} {window_ms} {at_ms} {used} {previous} {blocked_until_ms} {expires_at_ms}");
            assert_eq!(text, expected, "{take:?} {state:?} at {now}");
        }
    }
    assert!(seen.iter().all(|n| *n > 500), "{seen:?}");
}

/// Two executors on one Redis, ten thousand attempts; one of the two is gone midway. Every attempt that was answered with a
/// yes counts, also of those that nobody waited for any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_executors_let_no_more_through_than_one_would() {
    const LIMIT: u32 = 1_000;
    let server = Server::start().await;
    for algorithm in ["sliding_window", "token_bucket"] {
        let (take, tenant) = (take(json!({"limit": LIMIT, "window_s": 86_400, "algorithm": algorithm})), tenant());
        let executors: Vec<Arc<WithFallback>> = (0..2).map(|_| Arc::new(with_fallback(server.backend(), 50))).collect();
        let through = Arc::new(AtomicU32::new(0));
        let mut tasks: Vec<_> = Vec::new();
        for worker in 0..20_usize {
            let (take, tenant, through) = (take.clone(), tenant.clone(), through.clone());
            let executor = executors[worker % 2].clone();
            tasks.push(tokio::spawn(async move {
                let counter = counter(&*executor, &tenant, &take);
                for attempt in 0..500 {
                    // The first is gone after a fifth of its attempts: its connection goes with it.
                    if worker.is_multiple_of(2) && attempt == 100 {
                        return;
                    }
                    let answered = counter.ask(take.rule(), None, live()).await.unwrap();
                    assert!(!answered.fallback);
                    through.fetch_add(u32::from(answered.taken.allowed), std::sync::atomic::Ordering::Relaxed);
                }
            }));
        }
        drop(executors);
        for task in tasks {
            task.await.unwrap();
        }
        // A day's end in the middle of the test would let some of a sliding window's weight go; no more than 1 % in seconds.
        let through = through.load(std::sync::atomic::Ordering::Relaxed);
        assert!((LIMIT..=LIMIT + LIMIT / 100).contains(&through), "{algorithm}: {through}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_repeated_on_another_executor_counts_once() {
    let server = Server::start().await;
    let (one, other) = (server.backend(), server.backend());
    let (take, tenant, id) = (take(json!({})), tenant(), CallId::new("e", "a", 0));
    let first = counter(&one, &tenant, &take).call(&take, &id, NOW).await;
    assert_eq!(counter(&other, &tenant, &take).call(&take, &id, NOW).await, first);
    assert_eq!(counter(&other, &tenant, &take).take(&take, NOW).await.remaining, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_share_a_server_by_their_prefixes() {
    let server = Server::start().await;
    let key = tenant().kv("s", "k");
    let one = server.backend();
    let config =
        RedisConfig { prefix: "other:".to_owned(), timeout: Duration::from_secs(20), ..RedisConfig::new(server.url()) };
    let other = Redis::new(&config).unwrap();
    one.kv_set(&key, "1", 60, at(NOW)).await.unwrap();
    assert_eq!(other.kv_get(&key, at(NOW)).await, Ok(None));
    assert!(one.ping(live()).await.is_ok());
}
