//! What a run logged.

use sluice_model::limits::MAX_LOG_BYTES;
use sluice_model::{LogLevel, LogLine};

/// Ends a text that was cut.
const CUT_MARK: &str = "… (cut: a run may log 16 KiB)";

/// What a run logged, up to [`MAX_LOG_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Vec<LogLine>,
    bytes: usize,
    full: bool,
}

impl Log {
    /// Keeps a line or the part of it that fits; false once the log is full.
    pub(crate) fn push(&mut self, level: LogLevel, text: &str) -> bool {
        if self.full {
            return false;
        }
        let room = MAX_LOG_BYTES - CUT_MARK.len() - self.bytes;
        let mut text = text.to_owned();
        if text.len() > room {
            text.truncate(text.floor_char_boundary(room));
            text.push_str(CUT_MARK);
            self.full = true;
        }
        // An empty line counts too, or a log of them has no end.
        self.bytes += text.len().max(1);
        self.full |= self.bytes + CUT_MARK.len() >= MAX_LOG_BYTES;
        self.lines.push(LogLine { level, text });
        !self.full
    }

    /// Whether nothing more is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Takes the lines.
    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines)
    }
}
