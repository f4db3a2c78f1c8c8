//! What the host gives the guest. Each import is synchronous; a call that takes its time begins with [`start`], and its answer
//! comes with `sluice_resume`.

use alloc::vec;
use alloc::vec::Vec;

#[link(wasm_import_module = "sluice")]
unsafe extern "C" {
    /// A random number, 0 <= x < 1; a constant while a top level is evaluated for its snapshot.
    #[link_name = "random"]
    safe fn host_random() -> f64;

    /// Non-zero once the run is over one of its limits.
    #[link_name = "stopped"]
    safe fn host_stopped() -> i32;

    /// Milliseconds since the run began, with their fractions; 0 while a top level is evaluated.
    #[link_name = "now"]
    safe fn host_now() -> f64;

    /// Non-zero while a top level is evaluated for its snapshot.
    #[link_name = "frozen"]
    safe fn host_frozen() -> i32;

    /// A line for the log, `len` bytes of UTF-8; answers non-zero while more would be kept.
    #[link_name = "log"]
    fn host_log(level: i32, ptr: *const u8, len: usize) -> i32;

    /// Fills `len` bytes with random ones; answers 0 where there are none to have.
    #[link_name = "entropy"]
    fn host_entropy(ptr: *mut u8, len: usize) -> i32;

    /// Begins a call: its kind by number, what it asks as JSON, and a body where `body` is not null. Answers the call's id,
    /// or, with the highest bit set, the lengths of an answer that is there already: of its JSON in bits 32 to 62, and of its
    /// body, one more than that, in the lower 32.
    #[link_name = "start"]
    fn host_start(kind: i32, meta: *const u8, meta_len: usize, body: *const u8, body_len: usize) -> u64;

    /// Writes the answer that [`host_start`] has just told of, its JSON and then its body.
    #[link_name = "take"]
    fn host_take(ptr: *mut u8);

    /// Gives a call up; answers non-zero where it was pending.
    #[link_name = "cancel"]
    safe fn host_cancel(id: i32) -> i32;
}

/// A random number, 0 <= x < 1.
pub(crate) fn random() -> f64 {
    host_random()
}

/// Whether the run is over one of its limits and has to end.
pub(crate) fn stopped() -> bool {
    host_stopped() != 0
}

/// Milliseconds since the run began.
pub(crate) fn now() -> f64 {
    host_now()
}

/// Whether a top level is being evaluated for its snapshot.
pub(crate) fn frozen() -> bool {
    host_frozen() != 0
}

/// Logs a line; false once nothing more would be kept.
pub(crate) fn log(level: i32, text: &[u8]) -> bool {
    // SAFETY: the host reads the bytes before it returns.
    unsafe { host_log(level, text.as_ptr(), text.len()) != 0 }
}

/// Fills it with random bytes; false where there are none to have.
pub(crate) fn entropy(place: &mut [u8]) -> bool {
    // SAFETY: the host writes to these bytes alone.
    unsafe { host_entropy(place.as_mut_ptr(), place.len()) != 0 }
}

/// How a call began.
pub(crate) enum Started {
    /// It takes its time; its answer will name this id.
    Pending(i32),
    /// The answer is there.
    Answered {
        /// As JSON.
        meta: Vec<u8>,
        /// Where it has one.
        body: Option<Vec<u8>>,
    },
}

/// Begins a call.
pub(crate) fn start(kind: i32, meta: &[u8], body: Option<&[u8]>) -> Started {
    const ANSWERED: u64 = 1 << 63;
    let (body_at, body_len) = body.map_or((core::ptr::null(), 0), |body| (body.as_ptr(), body.len()));
    // SAFETY: the host reads the bytes before it returns.
    let started = unsafe { host_start(kind, meta.as_ptr(), meta.len(), body_at, body_len) };
    if started & ANSWERED == 0 {
        return Started::Pending(started as i32);
    }
    let (meta_len, body_len) = (((started & !ANSWERED) >> 32) as usize, (started & 0xffff_ffff) as usize);
    let mut meta = vec![0; meta_len + body_len.saturating_sub(1)];
    // SAFETY: the buffer is as long as what the host has told that it would write.
    unsafe { host_take(meta.as_mut_ptr()) };
    let body = meta.split_off(meta_len);
    Started::Answered { meta, body: (body_len > 0).then_some(body) }
}

/// Gives a call up; false where it was not pending.
pub(crate) fn cancel(id: i32) -> bool {
    host_cancel(id) != 0
}
