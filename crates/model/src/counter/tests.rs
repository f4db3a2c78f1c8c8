//! What a counter is asked, and the rules by which it answers: examples, and properties against a naive reading.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn take(value: Value) -> Take {
    Take::from_json(value).unwrap()
}

/// A counter by itself.
#[derive(Default)]
struct Counter(Option<State>);

impl Counter {
    fn ask(&self, rule: &Rule, now_ms: u64) -> Taken {
        step(rule, self.0.as_ref(), now_ms).0
    }

    fn take(&mut self, rule: &Rule, now_ms: u64) -> Taken {
        let (taken, change) = step(rule, self.0.as_ref(), now_ms);
        match change {
            Change::Keep => {}
            Change::Set(state) => self.0 = Some(state),
            Change::Clear => self.0 = None,
        }
        taken
    }
}

fn rule(value: Value) -> Rule {
    let mut whole = json!({"key": "k"});
    whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    take(whole).rule()
}

#[test]
fn what_is_asked_is_read_with_its_defaults() {
    assert_eq!(
        take(json!({"key": "k", "limit": 5, "window_s": 60})),
        Take {
            key: "k".into(),
            limit: 5,
            window_s: 60,
            algorithm: Algorithm::SlidingWindow,
            burst: None,
            block_s: 0,
            scope: CounterScope::Attachment,
            cost: 1,
            reset: false
        }
    );
    let all = take(json!({"key": "ключ", "limit": 1_000_000, "window_s": 2_592_000, "algorithm": "token_bucket",
        "burst": 7, "block_s": 2_592_000, "scope": "tenant", "cost": 0, "reset": true}));
    assert_eq!((all.burst, all.scope, all.cost, all.reset), (Some(7), CounterScope::Tenant, 0, true));
    assert_eq!(take(json!({"key": "k", "limit": 9, "window_s": 1, "algorithm": "token_bucket"})).rule().burst(), 9);
}

#[test]
fn every_mistake_is_refused_with_its_pointer() {
    let base = json!({"key": "k", "limit": 5, "window_s": 60});
    for (change, pointer, says) in [
        (json!({"key": ""}), "/key", "has 0 bytes; a key takes 1 to 256"),
        (json!({"key": "é".repeat(129)}), "/key", "has 258 bytes"),
        (json!({"key": 1}), "/key", "expected a string, got a number"),
        (json!({"limit": 0}), "/limit", "is 0; it takes 1 to 1000000"),
        (json!({"limit": 1_000_001}), "/limit", "it takes 1 to 1000000"),
        (json!({"limit": 1.5}), "/limit", "whole number"),
        (json!({"limit": -1}), "/limit", "whole number"),
        (json!({"limit": "5"}), "/limit", "got a string"),
        (json!({"window_s": 0}), "/window_s", "it takes 1 to 2592000"),
        (json!({"window_s": 4_294_967_297_u64}), "/window_s", "it takes 1 to 2592000"),
        (json!({"algorithm": "sliding_windw"}), "/algorithm", "did you mean \"sliding_window\"?"),
        (json!({"burst": 5}), "/burst", "token_bucket only; the algorithm is sliding_window"),
        (json!({"algorithm": "token_bucket", "burst": 0}), "/burst", "it takes 1 to 1000000"),
        (json!({"block_s": 2_592_001}), "/block_s", "it takes 0 to 2592000"),
        (json!({"scope": "user"}), "/scope", "attachment, flow, tenant"),
        (json!({"cost": 2}), "/cost", "is 2; it takes 0 to 1"),
        (json!({"reset": 1}), "/reset", "expected a boolean"),
        (json!({"windows": 1}), "/windows", "did you mean \"window_s\"?"),
        (json!({"burst": null}), "/burst", "got null"),
    ] {
        let mut value = base.clone();
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let found = Take::from_json(value.clone()).unwrap_err();
        assert_eq!(found.pointer, pointer, "{value}: {found}");
        assert!(found.message.contains(says), "{value}: {found}");
    }
    for missing in ["key", "limit", "window_s"] {
        let mut value = base.clone();
        value.as_object_mut().unwrap().remove(missing);
        assert_eq!(Take::from_json(value).unwrap_err(), Invalid::here(format!("{missing:?} is missing")));
    }
    assert!(Take::from_json(json!("k")).unwrap_err().message.contains("expected an object"));
}

#[test]
fn what_kv_is_asked_is_read_and_refused_alike() {
    let read = KvSet::from_json(json!({"key": "k", "value": {"b": [1, null], "a": "ü"}, "ttl_s": 86_400})).unwrap();
    assert_eq!(read, KvSet { key: "k".into(), value_json: r#"{"a":"ü","b":[1,null]}"#.into(), ttl_s: 86_400 });
    assert_eq!(KvSet::from_json(json!({"key": "k", "value": null, "ttl_s": 1})).unwrap().value_json, "null");
    assert!(KvSet::from_json(json!({"key": "k", "value": "x".repeat(8_190), "ttl_s": 1})).is_ok());
    let mut deep = json!(0);
    (0..25).for_each(|_| deep = json!([deep.clone()]));
    for (value, pointer, says) in [
        (json!({"key": "k", "value": 1}), "", "\"ttl_s\" is missing"),
        (json!({"key": "k", "ttl_s": 1}), "", "\"value\" is missing"),
        (json!({"key": "", "value": 1, "ttl_s": 1}), "/key", "1 to 256"),
        (json!({"key": "k", "value": 1, "ttl_s": 0}), "/ttl_s", "1 to 86400"),
        (json!({"key": "k", "value": 1, "ttl_s": 86_401}), "/ttl_s", "1 to 86400"),
        (json!({"key": "k", "value": 1, "ttl_ms": 1}), "/ttl_ms", "did you mean \"ttl_s\"?"),
        (json!({"key": "k", "value": "x".repeat(8_191), "ttl_s": 1}), "/value", "has 8193 bytes as JSON; at most 8192"),
        (json!({"key": "k", "value": deep, "ttl_s": 1}), "/value", "24 deep"),
    ] {
        let found = KvSet::from_json(value).unwrap_err();
        assert_eq!(found.pointer, pointer, "{found}");
        assert!(found.message.contains(says), "{found}");
    }
    assert_eq!(key_from_json(json!("k")).unwrap(), "k");
    assert!(key_from_json(json!(null)).is_err());
    assert!(key_from_json(json!("x".repeat(257))).is_err());
}

#[test]
fn a_sliding_window_weighs_the_previous_one() {
    let (mut counter, five) = (Counter::default(), rule(json!({"limit": 5, "window_s": 60})));
    for left in (0..5).rev() {
        assert_eq!(counter.take(&five, 600_000), Taken { allowed: true, remaining: left, retry_after_s: 0 });
    }
    // The sixth is counted too: six weigh a whole less than five where 12 of the next window's seconds are over, and 20
    // seconds in they leave room for one.
    let sixth = counter.take(&five, 600_000);
    assert_eq!(sixth, Taken { allowed: false, remaining: 0, retry_after_s: 80 });
    assert!(!counter.ask(&five, 679_999).allowed);
    assert!(counter.ask(&five, 680_000).allowed);
    assert_eq!(counter.ask(&five, 720_000).remaining, 4);
}

#[test]
fn who_goes_on_hammering_stays_out() {
    let (mut counter, one) = (Counter::default(), rule(json!({"limit": 1, "window_s": 1})));
    assert!(counter.take(&one, 0).allowed);
    for second in 1..1_000 {
        assert!(!counter.take(&one, second * 1_000).allowed);
    }
    // A window of silence, and one more.
    assert!(counter.take(&one, 1_001_000).allowed);
}

#[test]
fn a_bucket_lets_a_burst_through_and_then_a_steady_pace() {
    let bucket = rule(json!({"limit": 60, "window_s": 60, "algorithm": "token_bucket", "burst": 3}));
    let mut counter = Counter::default();
    for left in (0..3).rev() {
        assert_eq!(counter.take(&bucket, 500).remaining, left);
    }
    for _ in 0..100 {
        assert_eq!(counter.take(&bucket, 500), Taken { allowed: false, remaining: 0, retry_after_s: 1 });
    }
    assert!(!counter.take(&bucket, 1_499).allowed);
    assert!(counter.take(&bucket, 1_500).allowed, "refused calls changed nothing");
    assert!(!counter.take(&bucket, 1_501).allowed);
    assert_eq!(
        counter
            .ask(&rule(json!({"limit": 60, "window_s": 60, "algorithm": "token_bucket", "burst": 3, "cost": 0})), 9_000)
            .remaining,
        3
    );
}

#[test]
fn a_block_holds_for_as_long_as_it_says_and_not_longer() {
    for algorithm in ["sliding_window", "token_bucket"] {
        let blocking = rule(json!({"limit": 1, "window_s": 1, "block_s": 900, "algorithm": algorithm}));
        let plain = rule(json!({"limit": 1, "window_s": 1, "algorithm": algorithm}));
        let mut counter = Counter::default();
        assert!(counter.take(&blocking, 0).allowed);
        assert_eq!(counter.take(&blocking, 0).retry_after_s, 900);
        assert_eq!(counter.take(&blocking, 899_000).retry_after_s, if algorithm == "token_bucket" { 1 } else { 2 });
        assert!(!counter.take(&plain, 899_999).allowed, "a block is the counter's, not the call's");
        assert!(counter.ask(&plain, 901_000).allowed, "what was refused meanwhile made it no longer");
    }
}

#[test]
fn asking_counts_nothing_and_blocks_nothing() {
    let ask = rule(json!({"limit": 2, "window_s": 10, "cost": 0, "block_s": 60}));
    let take = rule(json!({"limit": 2, "window_s": 10}));
    let mut counter = Counter::default();
    for _ in 0..10 {
        assert_eq!(counter.take(&ask, 0), Taken { allowed: true, remaining: 2, retry_after_s: 0 });
    }
    counter.take(&take, 0);
    counter.take(&take, 0);
    assert_eq!(counter.take(&ask, 0), Taken { allowed: true, remaining: 0, retry_after_s: 0 }, "2 + 0 <= 2");
    counter.take(&take, 0);
    assert_eq!(counter.take(&ask, 0), Taken { allowed: false, remaining: 0, retry_after_s: 17 });
    assert!(counter.take(&take, 17_000).allowed, "the refusal of a question begins no block");
}

#[test]
fn a_reset_clears_what_it_was_allowed_to() {
    for algorithm in ["sliding_window", "token_bucket"] {
        let take = rule(json!({"limit": 2, "window_s": 10, "algorithm": algorithm, "block_s": 60}));
        let reset = rule(json!({"limit": 2, "window_s": 10, "algorithm": algorithm, "cost": 0, "reset": true}));
        let mut counter = Counter::default();
        counter.take(&take, 0);
        assert_eq!(counter.take(&reset, 0), Taken { allowed: true, remaining: 2, retry_after_s: 0 });
        assert!(counter.0.is_none());
        (0..3).for_each(|_| _ = counter.take(&take, 0));
        assert!(!counter.take(&reset, 0).allowed, "a block holds");
        assert!(counter.0.is_some());
    }
}

#[test]
fn the_largest_numbers_stay_below_what_a_double_holds() {
    const EXACT: u64 = 1 << 53;
    let widest = json!({"limit": MAX_LIMIT, "window_s": MAX_WINDOW_S});
    assert!(MAX_COUNT * rule(widest).window_ms() < EXACT);
    let bucket = rule(json!({"limit": MAX_LIMIT, "window_s": MAX_WINDOW_S, "algorithm": "token_bucket"}));
    assert!((bucket.burst() + 1) * bucket.window_ms() < EXACT);
    // A count at its end refuses, and says how long.
    let one = rule(json!({"limit": 1, "window_s": MAX_WINDOW_S}));
    let state = State { used: MAX_COUNT, previous: MAX_COUNT, ..step(&one, None, 0).1.state() };
    let (taken, change) = step(&one, Some(&state), 1);
    assert_eq!((taken.retry_after_s, change), (2 * MAX_WINDOW_S, Change::Keep));
}

impl Change {
    fn state(self) -> State {
        match self {
            Change::Set(state) => state,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    for algorithm in ["sliding_window", "token_bucket"] {
        let two = rule(json!({"limit": 2, "window_s": 10, "algorithm": algorithm}));
        let mut counter = Counter::default();
        assert!(counter.take(&two, 100_000).allowed);
        assert!(counter.take(&two, 40_000).allowed);
        assert!(!counter.take(&two, 40_000).allowed);
        assert_eq!(counter.0.unwrap().at_ms, 100_000);
    }
}

#[test]
fn a_share_is_a_part_of_the_limit_and_at_least_one() {
    let whole = rule(json!({"limit": 10, "window_s": 1, "algorithm": "token_bucket", "burst": 5}));
    for (shares, limit, burst) in [(0, 10, 5), (1, 10, 5), (3, 3, 1), (100, 1, 1)] {
        let part = whole.divided(shares);
        assert_eq!((part.limit(), part.burst()), (limit, burst), "of {shares}");
    }
}

/// Rules of all kinds, small ones above all, where the edges are.
fn rules() -> impl Strategy<Value = Rule> {
    let small = prop_oneof![4 => 1_u64..8, 1 => 1_u64..=MAX_LIMIT];
    let window = prop_oneof![6 => 1_u32..12, 1 => 1_u32..=MAX_WINDOW_S];
    let block = prop_oneof![3 => Just(0_u32), 1 => 1_u32..20];
    (any::<bool>(), small.clone(), window, small, block).prop_map(|(bucket, limit, window_s, burst, block_s)| {
        let algorithm = if bucket { Algorithm::TokenBucket } else { Algorithm::SlidingWindow };
        let burst = bucket.then_some(burst);
        Take {
            key: "k".into(),
            limit,
            window_s,
            algorithm,
            burst,
            block_s,
            scope: CounterScope::Flow,
            cost: 1,
            reset: false,
        }
        .rule()
    })
}

/// When calls come: each some milliseconds after the one before.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![3 => Just(0_u64), 3 => 1_u64..1_500, 1 => 1_u64..30_000], 1..80)
}

const EPOCH_MS: u64 = 1_790_000_000_123;

proptest! {
    #[test]
    fn no_window_allows_more_than_its_limit(rule in rules(), gaps in gaps()) {
        let (mut counter, mut now) = (Counter::default(), EPOCH_MS);
        let mut allowed: Vec<u64> = Vec::new();
        for gap in gaps {
            now += gap;
            if counter.take(&rule, now).allowed {
                allowed.push(now);
            }
        }
        for (i, first) in allowed.iter().enumerate() {
            for (j, last) in allowed.iter().enumerate().skip(i) {
                let count = (j - i + 1) as u64;
                match rule.algorithm() {
                    Algorithm::SlidingWindow if first / rule.window_ms() == last / rule.window_ms() => {
                        prop_assert!(count <= rule.limit());
                    }
                    Algorithm::SlidingWindow => {}
                    // GCRA's bound, of any stretch of time.
                    Algorithm::TokenBucket => prop_assert!(
                        count.saturating_sub(rule.burst()) * rule.window_ms() <= (last - first) * rule.limit()
                    ),
                }
            }
        }
    }

    #[test]
    fn the_formula_is_the_one_that_is_promised(rule in rules(), gaps in gaps()) {
        prop_assume!(rule.algorithm() == Algorithm::SlidingWindow && rule.block_ms() == 0);
        let (mut counter, mut now) = (Counter::default(), EPOCH_MS);
        let mut calls: Vec<u64> = Vec::new();
        for gap in gaps {
            now += gap;
            let (window, w) = (now / rule.window_ms(), u128::from(rule.window_ms()));
            let within = |k: u64| calls.iter().filter(|at| **at / rule.window_ms() == k).count() as u128;
            let weighed = within(window - 1) * (w - u128::from(now) % w) + (within(window) + 1) * w;
            prop_assert_eq!(counter.take(&rule, now).allowed, weighed <= u128::from(rule.limit()) * w);
            calls.push(now);
        }
    }

    #[test]
    fn what_is_said_of_later_is_true(rule in rules(), gaps in gaps()) {
        let (mut counter, mut now) = (Counter::default(), EPOCH_MS);
        for gap in gaps {
            now += gap;
            let taken = counter.take(&rule, now);
            prop_assert_eq!(taken.allowed, taken.retry_after_s == 0);
            if !taken.allowed {
                let at = |s: u32| now + u64::from(s) * 1_000;
                prop_assert!(counter.ask(&rule, at(taken.retry_after_s)).allowed);
                prop_assert!(taken.retry_after_s == 0 || !counter.ask(&rule, at(taken.retry_after_s - 1)).allowed);
            }
            // `remaining` more are allowed, and then no more.
            if taken.remaining < 50 {
                let mut copy = Counter(counter.0);
                for _ in 0..taken.remaining {
                    prop_assert!(copy.take(&rule, now).allowed);
                }
                prop_assert!(!copy.take(&rule, now).allowed);
            }
        }
    }

    #[test]
    fn asking_changes_nothing(rule in rules(), gaps in gaps(), reset in any::<bool>()) {
        let (mut counter, mut now) = (Counter::default(), EPOCH_MS);
        for gap in gaps {
            now += gap;
            counter.take(&rule, now);
            let (taken, change) = step(&Rule { cost: 0, reset, ..rule }, counter.0.as_ref(), now);
            prop_assert!(change == Change::Keep || (change == Change::Clear && reset && taken.allowed));
        }
    }

    #[test]
    fn what_has_expired_is_as_if_it_were_not_there(rule in rules(), gaps in gaps(), later in 0_u64..5_000) {
        let (mut counter, mut now) = (Counter::default(), EPOCH_MS);
        for gap in gaps {
            now += gap;
            counter.take(&rule, now);
        }
        let state = counter.0.unwrap();
        prop_assert!(state.expires_at_ms > now || state.used == 0);
        let then = state.expires_at_ms.max(now) + later;
        let forever = State { expires_at_ms: u64::MAX, ..state };
        prop_assert_eq!(step(&rule, Some(&forever), then).0, step(&rule, None, then).0);
    }
}
