//! The breaker, over a backend that does as it is told, by a clock that stands until it is moved.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{KeyMaker, MemoryConfig, Shared};
use serde_json::json;
use sluice_model::counter::Take;
use std::sync::atomic::AtomicBool;

/// Away, hanging, or memory.
#[derive(Default)]
struct Fickle {
    away: AtomicBool,
    hangs: AtomicBool,
    asked: AtomicU32,
}

impl Fickle {
    async fn answer<T>(&self, terms: Terms, value: T) -> Result<T, BackendError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            tokio::time::sleep_until(terms.deadline.min(Instant::now() + Duration::from_millis(100))).await;
            return Err(BackendError::Unavailable(Why::Timeout));
        }
        if self.away.load(Ordering::Relaxed) { Err(BackendError::Unavailable(Why::Connection)) } else { Ok(value) }
    }
}

impl Backend for Fickle {
    fn take<'a>(&'a self, _: &'a Key, _: Option<&'a CallId>, rule: Rule, terms: Terms) -> Pending<'a, Answered> {
        let taken = sluice_model::counter::step(&rule, None, 0).0;
        Box::pin(self.answer(terms, Answered { taken, fallback: false }))
    }

    fn kv_get<'a>(&'a self, _: &'a Key, terms: Terms) -> Pending<'a, Option<String>> {
        Box::pin(self.answer(terms, Some("1".to_owned())))
    }

    fn kv_set<'a>(&'a self, _: &'a Key, _: &'a str, _: u32, terms: Terms) -> Pending<'a, ()> {
        Box::pin(self.answer(terms, ()))
    }

    fn kv_delete<'a>(&'a self, _: &'a Key, terms: Terms) -> Pending<'a, ()> {
        Box::pin(self.answer(terms, ()))
    }
}

struct Bench {
    fickle: Arc<Fickle>,
    executors: Arc<AtomicU32>,
    backend: WithFallback,
    key: Key,
    rule: Rule,
}

impl Bench {
    fn new() -> Bench {
        let (fickle, executors) = (Arc::new(Fickle::default()), Arc::new(AtomicU32::new(2)));
        let local = Arc::new(Memory::new(MemoryConfig { max_bytes: 0 }));
        let take = Take::from_json(json!({"key": "k", "limit": 10, "window_s": 3600})).unwrap();
        let key = KeyMaker::new("t", &[0; 32]).counter(Shared::Tenant, &take);
        let backend = WithFallback::new(fickle.clone(), local, executors.clone(), FallbackConfig::default());
        Bench { fickle, executors, backend, key, rule: take.rule() }
    }

    fn asked(&self) -> u32 {
        self.fickle.asked.swap(0, Ordering::Relaxed)
    }

    async fn take(&self, within_ms: u64) -> Answered {
        let terms = Terms { now_ms: Some(0), ..Terms::by(Instant::now() + Duration::from_millis(within_ms)) };
        self.backend.take(&self.key, None, self.rule, terms).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_and_nobody_asks_until_a_probe_is_answered() {
    let bench = Bench::new();
    assert!(!bench.take(500).await.fallback);
    bench.fickle.away.store(true, Ordering::Relaxed);
    assert_eq!(bench.asked(), 1);
    for _ in 0..100 {
        assert!(bench.take(500).await.fallback);
    }
    assert_eq!((bench.asked(), bench.backend.fallbacks(), bench.backend.is_away()), (1, 100, true));
    tokio::time::advance(Duration::from_millis(1_001)).await;
    for _ in 0..100 {
        assert!(bench.take(500).await.fallback);
    }
    assert_eq!(bench.asked(), 1, "one probe a second");
    bench.fickle.away.store(false, Ordering::Relaxed);
    assert!(bench.take(500).await.fallback, "not before its time");
    tokio::time::advance(Duration::from_millis(1_001)).await;
    assert!(!bench.take(500).await.fallback);
    assert!(!bench.backend.is_away());
}

#[tokio::test(start_paused = true)]
async fn one_operation_pays_for_a_backend_that_hangs() {
    let bench = Bench::new();
    bench.fickle.hangs.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(bench.take(500).await.fallback);
    }
    assert_eq!((bench.asked(), begun.elapsed().as_millis()), (1, 100));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.fickle.hangs.store(true, Ordering::Relaxed);
    assert!(bench.take(500).await.fallback);
    tokio::time::advance(Duration::from_millis(1_001)).await;
    tokio::select! {
        biased;
        _ = bench.take(500) => panic!("it hangs"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(bench.asked(), 2);
    bench.fickle.hangs.store(false, Ordering::Relaxed);
    assert!(bench.take(500).await.fallback);
    tokio::time::advance(Duration::from_millis(1_001)).await;
    assert!(!bench.take(500).await.fallback);
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_say_little_but_not_nothing() {
    let bench = Bench::new();
    bench.fickle.hangs.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    for asked in 1..5 {
        assert!(bench.take(20).await.fallback);
        assert_eq!((bench.asked(), bench.backend.is_away()), (1, false), "{asked}");
    }
    // Half of the time is left for the fallback.
    assert_eq!(begun.elapsed().as_millis(), 40);
    bench.take(20).await;
    assert!(bench.backend.is_away());
}

#[tokio::test(start_paused = true)]
async fn each_executor_has_its_share_of_the_limit() {
    let bench = Bench::new();
    bench.fickle.away.store(true, Ordering::Relaxed);
    let mut allowed = 0;
    for _ in 0..20 {
        allowed += u32::from(bench.take(500).await.taken.allowed);
    }
    assert_eq!(allowed, 5, "of 10, with two executors");
    for (executors, limit) in [(0, 10), (1, 10), (100, 1)] {
        bench.executors.store(executors, Ordering::Relaxed);
        let fresh = Bench { key: KeyMaker::new(&executors.to_string(), &[0; 32]).kv("", ""), ..Bench::new() };
        fresh.fickle.away.store(true, Ordering::Relaxed);
        fresh.executors.store(executors, Ordering::Relaxed);
        let mut allowed = 0;
        for _ in 0..20 {
            allowed += u32::from(fresh.take(500).await.taken.allowed);
        }
        assert_eq!(allowed, limit, "with {executors}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_caller_may_rather_have_an_error_and_kv_is_absent() {
    let bench = Bench::new();
    bench.fickle.away.store(true, Ordering::Relaxed);
    let terms = Terms::by(Instant::now() + Duration::from_millis(500));
    let strict = Terms { on_unavailable: OnCountersUnavailable::Fail, ..terms };
    let unavailable = |why| Some(BackendError::Unavailable(why));
    assert_eq!(bench.backend.take(&bench.key, None, bench.rule, strict).await.err(), unavailable(Why::Connection));
    assert_eq!(bench.backend.take(&bench.key, None, bench.rule, strict).await.err(), unavailable(Why::Open));
    assert_eq!(bench.backend.kv_get(&bench.key, terms).await, Ok(None));
    assert_eq!(bench.backend.kv_set(&bench.key, "1", 1, terms).await.err(), unavailable(Why::Open));
    assert_eq!(bench.backend.kv_delete(&bench.key, terms).await.err(), unavailable(Why::Open));
    assert_eq!(bench.backend.fallbacks(), 5);
}
