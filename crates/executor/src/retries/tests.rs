use super::*;
use crate::testing::{poll, slug};
use futures_util::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

const PLENTY: u64 = 1 << 20;

fn retries(max_bytes: u64) -> Retries {
    Retries::new(max_bytes, Metrics::for_tests())
}

fn id(name: &str) -> Id {
    Id::new(&slug("acme"), name, [1; 32])
}

fn answer(revision: u64) -> ExecuteResponse {
    ExecuteResponse { flow_revision: revision, ..ExecuteResponse::default() }
}

/// Counts how often it is begun.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn begun(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Work that ends at once.
    fn work(
        &self,
        answer: Result<ExecuteResponse, Error>,
    ) -> impl FnOnce() -> BoxFuture<'static, Result<ExecuteResponse, Error>> {
        let count = self.clone();
        move || {
            async move {
                count.0.fetch_add(1, Ordering::SeqCst);
                answer
            }
            .boxed()
        }
    }
}

/// Work that says when it is dropped, and ends when it is told to.
fn held(
    gate: &Arc<Notify>,
    dropped: &Arc<Notify>,
) -> impl FnOnce() -> BoxFuture<'static, Result<ExecuteResponse, Error>> {
    struct Told(Arc<Notify>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (gate, told) = (Arc::clone(gate), Told(Arc::clone(dropped)));
    move || {
        async move {
            let _told = told;
            gate.notified().await;
            Ok(answer(7))
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_runs_nothing() {
    let (retries, count) = (retries(PLENTY), Count::default());
    for _ in 0..3 {
        assert_eq!(retries.once(id("e"), count.work(Ok(answer(7)))).await.unwrap(), answer(7));
    }
    assert_eq!(count.begun(), 1);
}

#[tokio::test]
async fn another_request_by_the_same_id_is_refused_and_another_tenants_is_its_own() {
    let (retries, count) = (retries(PLENTY), Count::default());
    retries.once(id("e"), count.work(Ok(answer(7)))).await.unwrap();
    let other = Id::new(&slug("acme"), "e", [2; 32]);
    let refused = retries.once(other, count.work(Ok(answer(8)))).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_ref()), (Code::InvalidArgument, "EXECUTION_ID_REUSED"));
    assert_eq!(refused.fields[0].field, "execution_id");
    let foreign = Id::new(&slug("other"), "e", [2; 32]);
    assert_eq!(retries.once(foreign, count.work(Ok(answer(9)))).await.unwrap(), answer(9));
    assert_eq!(count.begun(), 2);
    // No name of one tenant can be read as another's.
    assert_eq!(&*Id::new(&slug("a"), "b/c", [0; 32]).name, "a/b/c");
}

#[tokio::test]
async fn a_refusal_is_told_to_all_who_wait_and_kept_from_the_next() {
    let (retries, count) = (retries(PLENTY), Count::default());
    let away = || Err(Error::new(Code::Unavailable, "AUDIT_UNAVAILABLE", "no"));
    assert!(retries.once(id("e"), count.work(away())).await.is_err());
    assert_eq!(retries.once(id("e"), count.work(Ok(answer(7)))).await.unwrap(), answer(7));
    assert_eq!(count.begun(), 2);
    assert_eq!(retries.answers(Instant::now()).count, 1);
}

#[tokio::test]
async fn one_that_goes_on_is_joined_and_outlives_the_caller_that_began_it() {
    let (retries, gate, dropped) = (retries(PLENTY), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut first = Box::pin(retries.once(id("e"), held(&gate, &dropped)));
    assert!(poll(&mut first).is_pending());
    let never = || -> BoxFuture<'static, Result<ExecuteResponse, Error>> { panic!("it is joined, not begun") };
    let mut second = Box::pin(retries.once(id("e"), never));
    assert!(poll(&mut second).is_pending());
    drop(first);
    gate.notify_one();
    assert_eq!(second.await.unwrap(), answer(7));
    assert_eq!(retries.once(id("e"), never).await.unwrap(), answer(7), "and it is kept");
}

#[tokio::test]
async fn one_that_nobody_waits_for_any_more_ends_and_its_id_is_free() {
    let (retries, gate, dropped) = (retries(PLENTY), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut first = Box::pin(retries.once(id("e"), held(&gate, &dropped)));
    let unheard = Arc::default();
    let mut second = Box::pin(retries.once(id("e"), held(&gate, &unheard)));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop((first, second));
    dropped.notified().await;
    assert!(retries.0.table.lock().by_id.is_empty());
    let count = Count::default();
    retries.once(Id::new(&slug("acme"), "e", [3; 32]), count.work(Ok(answer(1)))).await.unwrap();
    assert_eq!(count.begun(), 1);
}

#[tokio::test]
async fn another_request_is_refused_while_the_first_goes_on() {
    let retries = retries(PLENTY);
    let mut first = Box::pin(retries.once(id("e"), pending));
    assert!(poll(&mut first).is_pending());
    let other = retries.once(Id::new(&slug("acme"), "e", [2; 32]), pending).await;
    assert_eq!(other.unwrap_err().reason, "EXECUTION_ID_REUSED");
}

#[tokio::test]
async fn answers_are_kept_for_five_minutes() {
    let (retries, count) = (retries(PLENTY), Count::default());
    retries.once(id("e"), count.work(Ok(answer(7)))).await.unwrap();
    let now = Instant::now();
    let answers = retries.answers(now + KEEP / 2);
    assert_eq!(answers.count, 1);
    assert!((149.0..=151.0).contains(&answers.oldest_s), "{answers:?}");
    let found = retries.find_or_begin(id("e"), pending, now + KEEP - Duration::from_secs(1)).unwrap();
    assert!(matches!(found, Found::Answered(_)));
    let found = retries.find_or_begin(id("e"), pending, now + KEEP).unwrap();
    assert!(matches!(found, Found::GoesOn(_)), "it is forgotten");
    assert_eq!(retries.answers(now), Answers::default());
}

#[tokio::test]
async fn the_oldest_answers_go_when_there_are_too_many_bytes() {
    let count = Count::default();
    let probe = retries(PLENTY);
    probe.once(id("e-0"), count.work(Ok(answer(7)))).await.unwrap();
    let one = probe.answers(Instant::now()).bytes;
    let retries = retries(one * 3);
    for n in 0..10 {
        retries.once(id(&format!("e-{n}")), count.work(Ok(answer(7)))).await.unwrap();
        assert!(retries.answers(Instant::now()).bytes <= one * 3);
    }
    assert_eq!(retries.answers(Instant::now()).count, 3);
    assert_eq!(retries.0.table.lock().by_id.len(), 3, "what is forgotten takes nothing");
    let begun = count.begun();
    retries.once(id("e-9"), count.work(Ok(answer(7)))).await.unwrap();
    assert_eq!(count.begun(), begun);
    retries.once(id("e-6"), count.work(Ok(answer(7)))).await.unwrap();
    assert_eq!(count.begun(), begun + 1);
    // One that is larger than all that may be kept puts nothing out.
    let large = ExecuteResponse { execution_id: "x".repeat(4_096), ..answer(1) };
    retries.once(id("large"), count.work(Ok(large))).await.unwrap();
    assert_eq!(retries.answers(Instant::now()).count, 3);
    assert_eq!(retries.0.table.lock().by_id.len(), 3);
}

#[test]
fn whatever_differs_is_another_request() {
    let base = || ExecuteRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        trigger: "post-login".into(),
        ..Default::default()
    };
    type Change = fn(&mut ExecuteRequest);
    let changes: [Change; 7] = [
        |_| {},
        |r| r.flow = "logout".into(),
        |r| r.trigger = "pre-login".into(),
        |r| r.flow_revision = 3,
        |r| r.sign_in_id = "s".into(),
        |r| r.include_logs = true,
        |r| r.input = Some(Default::default()),
    ];
    let digests: std::collections::HashSet<Digest> = changes
        .into_iter()
        .map(|change| {
            let mut request = base();
            change(&mut request);
            assert_eq!(Id::digest(&request), Id::digest(&request.clone()));
            Id::digest(&request)
        })
        .collect();
    assert_eq!(digests.len(), 7);
}
