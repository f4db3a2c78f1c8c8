//! The one definition of what crosses between host and guest; `crates/guest` compiles this very file too.
//!
//! A **tagged value** is one byte that says what follows, numbers in little endian:
//!
//! | tag | then |
//! | --- | --- |
//! | `NULL`, `FALSE`, `TRUE` | nothing |
//! | `INT` | an i32 |
//! | `DOUBLE` | an IEEE double; never an integer that `INT` could hold, except -0 |
//! | `TEXT` | u32 length, that many bytes of UTF-8 |
//! | `ARRAY` | u32 count, that many values |
//! | `OBJECT` | u32 count, that many pairs of key and value |
//!
//! A key is a u16: its line in `keys.txt`, or `KEY_INLINE` and then the key as in `TEXT`. Every number of JavaScript is a
//! double, so an integer past 2^53 crosses as the nearest one, exactly as `JSON.parse` would read it.
//!
//! **Answers** of calls that an Action waits for cross as: u32 the call's id; u32 the length of its JSON, and that; u32 0, or
//! one more than the length of its body, and that; and so on for the next.

pub(crate) const NULL: u8 = 0;
pub(crate) const FALSE: u8 = 1;
pub(crate) const TRUE: u8 = 2;
pub(crate) const INT: u8 = 3;
pub(crate) const DOUBLE: u8 = 4;
pub(crate) const TEXT: u8 = 5;
pub(crate) const ARRAY: u8 = 6;
pub(crate) const OBJECT: u8 = 7;

/// A key that is not in the table.
pub(crate) const KEY_INLINE: u16 = u16::MAX;

/// How deep arrays and objects may be nested, in either direction.
pub(crate) const MAX_DEPTH: usize = 128;

/// The static input buffer of the guest, in bytes; a larger input gets a buffer of its own.
pub(crate) const INPUT_AREA: usize = 64 << 10;

/// The largest outcome that the guest writes, in bytes of tagged values. The limit that authors know (64 KiB of JSON) is
/// the host's to check; no JSON of that size is larger than this as tagged values (`[` and `,` take one byte, an empty
/// array five).
pub(crate) const MAX_OUTCOME_TAGGED: usize = 512 << 10;

/// Text that the guest reports about a failure or to a log is cut here, in bytes.
pub(crate) const MAX_REPORT_TEXT: usize = 16 << 10;

/// `execute` returned, and what it returned follows. For a load: it was evaluated, nothing follows.
pub(crate) const STATUS_OK: u8 = 0;
/// It threw; `{name, message, stack}` of the error follows, or `{value}` with the text of what was thrown.
pub(crate) const STATUS_THREW: u8 = 1;
/// Its promise is pending and nothing is left that could settle it.
pub(crate) const STATUS_NEVER_SETTLED: u8 = 2;
/// What it returned cannot cross; `{pointer, message}` follows.
pub(crate) const STATUS_REFUSED: u8 = 3;
/// The host's [`stopped`] flag ended it; `{name, message, stack}` follows.
pub(crate) const STATUS_STOPPED: u8 = 4;
/// The entry has no function `execute`.
pub(crate) const STATUS_NO_EXECUTE: u8 = 5;

/// `execute` waits, and something is under way that can settle it; a double follows: the time of the next timer, in milliseconds
/// since the run began, or NaN where there is none.
pub(crate) const STATUS_WAITING: u8 = 6;

/// The kinds of calls of the host, by number.
pub(crate) const CALLS: [&str; 6] = ["fetch", "secret", TAKE, "kv.get", "kv.set", "kv.delete"];

/// The one call that has two forms. With a body, the key stands where other calls have their JSON, and the body is what else is asked
/// as a tagged value; an answer that is there at once is no JSON either, but a body with a tagged value.
pub(crate) const TAKE: &str = "counters.take";

/// The number of [`TAKE`].
pub(crate) const TAKE_NUMBER: u32 = 2;
const _: () = assert!(matches!(CALLS[TAKE_NUMBER as usize].as_bytes(), b"counters.take"));

/// A report: the status in the top byte, then 24 bits of length, then the address.
pub(crate) const fn pack(status: u8, len: u32, address: u32) -> u64 {
    (status as u64) << 56 | (len as u64 & 0xff_ffff) << 32 | address as u64
}

/// Status, length and address of a report.
pub(crate) fn unpack(report: u64) -> (u8, usize, usize) {
    let [a, b, c, d, low, mid, high, status] = report.to_le_bytes();
    (status, u32::from_le_bytes([low, mid, high, 0]) as usize, u32::from_le_bytes([a, b, c, d]) as usize)
}
