//! What the host gives the guest. Each call is synchronous; a call that an Action awaits will come as a start and a resume.

#[link(wasm_import_module = "sluice")]
unsafe extern "C" {
    /// A random number, 0 <= x < 1; a constant while a top level is evaluated for its snapshot.
    #[link_name = "random"]
    safe fn host_random() -> f64;

    /// Non-zero once the run is over one of its limits.
    #[link_name = "stopped"]
    safe fn host_stopped() -> i32;

    /// A line for the log, `len` bytes of UTF-8; answers non-zero while more would be kept.
    #[link_name = "log"]
    fn host_log(level: i32, ptr: *const u8, len: usize) -> i32;
}

/// A random number, 0 <= x < 1.
pub(crate) fn random() -> f64 {
    host_random()
}

/// Whether the run is over one of its limits and has to end.
pub(crate) fn stopped() -> bool {
    host_stopped() != 0
}

/// Logs a line; false once nothing more would be kept.
pub(crate) fn log(level: i32, text: &[u8]) -> bool {
    // SAFETY: the host reads the bytes before it returns.
    unsafe { host_log(level, text.as_ptr(), text.len()) != 0 }
}
