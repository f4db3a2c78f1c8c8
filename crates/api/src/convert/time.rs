//! Times and durations.

use super::FieldError;
use jiff::Timestamp;
use std::time::Duration;

/// Reads a time. It must lie in the years 1 to 9999, with nanoseconds from 0 to 999,999,999.
pub fn timestamp(time: prost_types::Timestamp) -> Result<Timestamp, FieldError> {
    // 0001-01-01T00:00:00Z and 9999-12-30T22:00:00Z: where google.protobuf.Timestamp begins, and what jiff holds at most.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_207_200;
    let in_range = SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    let read = in_range.then(|| Timestamp::new(time.seconds, time.nanos).ok()).flatten();
    read.ok_or_else(|| {
        FieldError::here(format!(
            "expected a time in the years 1 to 9999 with nanoseconds from 0 to 999999999, got {} s and {} ns",
            time.seconds, time.nanos
        ))
    })
}

/// The wire's form of a time.
pub fn to_timestamp(time: Timestamp) -> prost_types::Timestamp {
    // jiff's nanoseconds have the sign of the seconds; the wire's count up from them.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

/// Reads a duration from 0 to `max`. Absent is 0.
pub fn duration(length: Option<prost_types::Duration>, max: Duration) -> Result<Duration, FieldError> {
    let Some(length) = length else {
        return Ok(Duration::ZERO);
    };
    let whole = u64::try_from(length.seconds).ok();
    let nanos = u32::try_from(length.nanos).ok().filter(|n| *n < 1_000_000_000);
    match whole.zip(nanos).map(|(s, n)| Duration::new(s, n)) {
        Some(read) if read <= max => Ok(read),
        _ => Err(FieldError::here(format!("expected 0 to {max:?}, got {} s and {} ns", length.seconds, length.nanos))),
    }
}

/// The wire's form of a duration, at most 292 billion years.
pub fn to_duration(length: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    // Below a billion, always.
    let nanos = i32::try_from(length.subsec_nanos()).unwrap_or_default();
    prost_types::Duration { seconds, nanos }
}
