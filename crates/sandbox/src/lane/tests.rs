//! Which lane a run ends in. Ticks are given, not waited for: work gives way as a guest does when the epoch ticks.

use super::*;
use crate::meter::thread_cpu_ns;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;

const A_DAY: Duration = Duration::from_secs(86_400);

fn meter() -> Arc<Meter> {
    Arc::new(Meter::new(A_DAY, A_DAY))
}

/// Gives way `ticks` times, having used `cpu_us` of its processor before each, and ends with the name of its thread.
struct Work {
    meter: Arc<Meter>,
    ticks: u32,
    cpu_us: u64,
    polls: Arc<AtomicU64>,
    dropped: Option<mpsc::Sender<u64>>,
}

impl Work {
    fn new(meter: &Arc<Meter>, ticks: u32, cpu_us: u64) -> Work {
        Work { meter: meter.clone(), ticks, cpu_us, polls: Arc::default(), dropped: None }
    }
}

impl Future for Work {
    type Output = Option<String>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        let began = thread_cpu_ns();
        while thread_cpu_ns() - began < self.cpu_us * 1_000 {
            std::hint::spin_loop();
        }
        if self.ticks == 0 {
            return Poll::Ready(std::thread::current().name().map(str::to_owned));
        }
        self.ticks -= 1;
        self.meter.gives_way();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let _nobody_waits = dropped.send(self.polls.load(Ordering::SeqCst));
        }
    }
}

async fn lane_of(work: Work, meter: &Arc<Meter>) -> String {
    let lane = Lane::new(1).unwrap();
    let done = lane.run(work, meter).await;
    done.ok().flatten().unwrap_or_default()
}

#[tokio::test]
async fn a_run_that_was_kept_from_its_processor_ends_where_it_began() {
    // Fifty ticks are fifty milliseconds by the clock; of its processor the run has used next to nothing.
    let meter = meter();
    assert_ne!(lane_of(Work::new(&meter, 50, 0), &meter).await, "sluice-slow");
    assert_eq!(meter.yields(), 50);
    assert!(meter.cpu_us() < FAST_LANE_CPU_US, "{} us", meter.cpu_us());
}

#[tokio::test]
async fn a_run_that_uses_its_processor_goes_to_the_slow_lane_after_two_milliseconds_of_it() {
    let meter = meter();
    let work = Work::new(&meter, 50, 500);
    let polls = work.polls.clone();
    let lane = Lane::new(1).unwrap();
    let mut run = Box::pin(lane.run(work, &meter));
    // The first poll is all that its worker gives it.
    assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(meter.cpu_us() >= FAST_LANE_CPU_US);
    assert!(polls.load(Ordering::SeqCst) >= 4, "four polls of half a millisecond");
    assert_eq!(run.await.ok().flatten().as_deref(), Some("sluice-slow"));
}

#[tokio::test]
async fn a_run_that_waits_for_something_else_is_not_asked_again_in_vain() {
    struct Waits(bool, Arc<AtomicU64>);
    impl Future for Waits {
        type Output = ();
        fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            self.1.fetch_add(1, Ordering::SeqCst);
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    let (lane, polls) = (Lane::new(1).unwrap(), Arc::new(AtomicU64::new(0)));
    assert!(lane.run(Waits(false, polls.clone()), &meter()).await.is_ok());
    assert_eq!(polls.load(Ordering::SeqCst), 2, "once where it began, once in the slow lane");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_waits_for_any_more_ends_at_its_next_tick() {
    let (lane, meter) = (Lane::new(1).unwrap(), meter());
    let (dropped, heard) = mpsc::channel();
    let mut work = Work::new(&meter, u32::MAX, 1_000);
    work.dropped = Some(dropped);
    let polls = work.polls.clone();
    let mut run = Box::pin(lane.run(work, &meter));
    assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // It goes on in the slow lane.
    let before = polls.load(Ordering::SeqCst);
    while polls.load(Ordering::SeqCst) < before + 3 {
        tokio::task::yield_now().await;
    }
    drop(run);
    let at_drop = polls.load(Ordering::SeqCst);
    let at_end = tokio::task::spawn_blocking(move || heard.recv()).await.unwrap().unwrap();
    // One that went on when it was dropped, and one that had begun before that was seen.
    assert!(at_end <= at_drop + 2, "it was polled {} times more", at_end - at_drop);
}
