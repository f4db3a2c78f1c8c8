//! What was measured.

use super::{
    codec::Verdict,
    load::{Load, Target},
};
use crate::{
    screen::{Look, View},
    view::{Cell, Table, count, duration},
};
use hdrhistogram::Histogram;
use serde::Serialize;
use sluice_api::types::v1::OutcomeKind;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tonic::Code;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// What one caller saw, or all of them.
#[derive(Debug)]
pub(super) struct Tally {
    /// Latencies in nanoseconds of calls that were answered.
    latencies: Histogram<u64>,
    verdicts: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    /// When the last call ended.
    pub(super) last_end: Option<Instant>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        #[allow(clippy::expect_used, reason = "only a number of digits over five is refused")]
        let latencies = Histogram::new(DIGITS).expect("three digits are taken");
        Tally { latencies, verdicts: BTreeMap::new(), errors: BTreeMap::new(), last_end: None }
    }

    pub(super) fn record(&mut self, since: Instant, end: Instant, answer: Result<Verdict, Code>) {
        self.last_end = self.last_end.max(Some(end));
        match answer {
            Ok(Verdict { verdict }) => {
                let nanoseconds = end.saturating_duration_since(since).as_nanos();
                // It grows to what it is told; only 64 bits of nanoseconds, 584 years, are too many for it.
                let _grown = self.latencies.record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
                *self.verdicts.entry(verdict_name(verdict)).or_default() += 1;
            }
            Err(code) => *self.errors.entry(code_name(code)).or_default() += 1,
        }
    }

    pub(super) fn add(&mut self, other: &Tally) {
        // Both grow by themselves.
        let _grown = self.latencies.add(&other.latencies);
        other.verdicts.iter().for_each(|(name, count)| *self.verdicts.entry(name).or_default() += count);
        other.errors.iter().for_each(|(name, count)| *self.errors.entry(name).or_default() += count);
        self.last_end = self.last_end.max(other.last_end);
    }
}

fn verdict_name(verdict: i32) -> &'static str {
    match OutcomeKind::try_from(verdict) {
        Ok(OutcomeKind::Continue) => "continue",
        Ok(OutcomeKind::Block) => "block",
        Ok(OutcomeKind::DemandMfa) => "demand_mfa",
        Ok(OutcomeKind::Redirect) => "redirect",
        _ => "unknown",
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "UNAVAILABLE",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Internal => "INTERNAL",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::PermissionDenied => "PERMISSION_DENIED",
        _ => "OTHER",
    }
}

/// `{url, callers, connections, rate | null, seconds, calls, calls_per_second, latency_us: {p50, p90, p99, p999, max, mean},
/// verdicts: {KIND: N}, errors: {CODE: N}}`. Latencies are of calls that were answered; `calls` are those.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    url: String,
    callers: usize,
    connections: usize,
    rate: Option<f64>,
    seconds: f64,
    calls: u64,
    pub(super) calls_per_second: f64,
    pub(super) latency_us: Latency,
    verdicts: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
}

/// In microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    mean: f64,
}

impl Report {
    pub(super) fn new(load: &Load, target: &Target, tally: &Tally, took: Duration) -> Report {
        let at = |quantile| microseconds(tally.latencies.value_at_quantile(quantile) as f64);
        let calls = tally.latencies.len();
        let seconds = took.as_secs_f64();
        Report {
            url: target.url.to_string().trim_end_matches('/').to_owned(),
            callers: load.callers,
            connections: load.connections,
            rate: load.rate,
            seconds: rounded(seconds, 1_000.0),
            calls,
            calls_per_second: if seconds > 0.0 { rounded(calls as f64 / seconds, 10.0) } else { 0.0 },
            latency_us: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: microseconds(tally.latencies.max() as f64),
                mean: microseconds(tally.latencies.mean()),
            },
            verdicts: tally.verdicts.clone(),
            errors: tally.errors.clone(),
        }
    }

    /// How many calls were not answered.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl View for Report {
    fn render(&self, look: &Look) -> String {
        let loop_ = match self.rate {
            Some(rate) => format!("open loop, {rate} calls/s, at most {} in flight", self.callers),
            None => format!("closed loop, {}", count(self.callers as u64, "caller")),
        };
        let mut text = look.faint(&format!(
            "{}: {loop_}, {}, {:.1} s\n",
            self.url,
            count(self.connections as u64, "connection"),
            self.seconds
        ));
        let mut table = Table::new(&["CALLS/S", "CALLS", "P50", "P90", "P99", "P99.9", "MAX"]);
        let Latency { p50, p90, p99, p999, max, .. } = self.latency_us;
        let mut cells = vec![Cell::number(format!("{:.0}", self.calls_per_second)), Cell::number(self.calls)];
        cells.extend([p50, p90, p99, p999, max].map(|us| Cell::number(shown(us))));
        table.row(cells);
        text.push_str(&table.render(look));
        let pairs =
            |of: &BTreeMap<&str, u64>| of.iter().map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>().join(", ");
        if !self.verdicts.is_empty() {
            text.push_str(&format!("verdicts: {}\n", pairs(&self.verdicts)));
        }
        if !self.errors.is_empty() {
            text.push_str(&look.bad(&format!("errors: {}", pairs(&self.errors))));
            text.push('\n');
        }
        text
    }
}

/// Microseconds for people.
pub(super) fn shown(us: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "latencies are positive and under a day"
    )]
    duration(us.round() as u64)
}

/// Nanoseconds as microseconds with one place.
fn microseconds(nanoseconds: f64) -> f64 {
    rounded(nanoseconds / 1_000.0, 10.0)
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::{super::load::Amount, *};
    use bytes::Bytes;

    #[test]
    fn latencies_are_of_what_was_answered_and_the_rest_is_counted() {
        let load = Load { callers: 2, connections: 1, rate: None, warmup: Duration::ZERO, amount: Amount::Calls(101) };
        let target = Target { url: "http://127.0.0.1:7071".parse().unwrap(), request: Bytes::new() };
        let start = Instant::now();
        let (mut all, mut one) = (Tally::new(), Tally::new());
        for ms in 1..=100 {
            let answer = Ok(Verdict { verdict: OutcomeKind::Continue.into() });
            one.record(start, start + Duration::from_millis(ms), answer);
        }
        one.record(start, start + Duration::from_secs(2), Err(Code::Unavailable));
        all.add(&one);
        let report = Report::new(&load, &target, &all, Duration::from_secs(2));
        let within = |us: f64, expected: f64| (us - expected).abs() / expected < 0.002;
        assert!(within(report.latency_us.p50, 50_000.0) && within(report.latency_us.p99, 99_000.0), "{report:?}");
        assert!(within(report.latency_us.max, 100_000.0), "{report:?}");
        assert_eq!((report.calls, report.calls_per_second, report.failed()), (100, 50.0, 1));
        assert_eq!((report.verdicts["continue"], report.errors["UNAVAILABLE"]), (100, 1));
    }
}
