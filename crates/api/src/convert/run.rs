//! What became of runs.

use super::{Ctx, FieldError, Word, each, list, required, version::slug};
use crate::types::v1 as wire;
use sluice_model::{Failure, LogLine, Outcome, RunResult};

impl TryFrom<wire::RunResult> for RunResult {
    type Error = FieldError;

    fn try_from(run: wire::RunResult) -> Result<RunResult, FieldError> {
        use wire::run_result::Result as How;
        let (mut outcome, mut failure, mut skipped) = (None, None, None);
        match required(run.result).ctx("result")? {
            How::Outcome(message) => outcome = Some(Outcome::try_from(message).ctx("outcome")?),
            How::Failure(message) => failure = Some(Failure::try_from(message).ctx("failure")?),
            How::Skipped(number) => skipped = Some(Word::from_wire(number).ctx("skipped")?),
        }
        Ok(RunResult {
            attachment: run.attachment,
            slug: slug(&run.slug).ctx("slug")?,
            version: run.version,
            outcome,
            failure,
            skipped,
            cpu_us: run.cpu_us,
            wall_us: run.wall_us,
            memory_bytes: run.memory_bytes,
            logs: list(run.logs).ctx("logs")?,
        })
    }
}

impl From<RunResult> for wire::RunResult {
    fn from(run: RunResult) -> wire::RunResult {
        use wire::run_result::Result as How;
        // The model promises exactly one of the three.
        let outcome = run.outcome.map(|o| How::Outcome(o.into()));
        let failure = run.failure.map(|f| How::Failure(f.into()));
        let skipped = run.skipped.map(|s| How::Skipped(s.to_wire()));
        wire::RunResult {
            attachment: run.attachment,
            slug: run.slug.to_string(),
            version: run.version,
            result: outcome.or(failure).or(skipped),
            cpu_us: run.cpu_us,
            wall_us: run.wall_us,
            memory_bytes: run.memory_bytes,
            logs: each(run.logs),
        }
    }
}

impl TryFrom<wire::Failure> for Failure {
    type Error = FieldError;

    fn try_from(failure: wire::Failure) -> Result<Failure, FieldError> {
        Ok(Failure {
            reason: Word::from_wire(failure.reason).ctx("reason")?,
            message: failure.message,
            pointer: failure.pointer,
            file: failure.file,
            line: failure.line,
            column: failure.column,
            stack: failure.stack,
        })
    }
}

impl From<Failure> for wire::Failure {
    fn from(failure: Failure) -> wire::Failure {
        wire::Failure {
            reason: failure.reason.to_wire(),
            message: failure.message,
            pointer: failure.pointer,
            file: failure.file,
            line: failure.line,
            column: failure.column,
            stack: failure.stack,
        }
    }
}

impl TryFrom<wire::LogLine> for LogLine {
    type Error = FieldError;

    fn try_from(line: wire::LogLine) -> Result<LogLine, FieldError> {
        Ok(LogLine { level: Word::from_wire(line.level).ctx("level")?, text: line.text })
    }
}

impl From<LogLine> for wire::LogLine {
    fn from(line: LogLine) -> wire::LogLine {
        wire::LogLine { level: line.level.to_wire(), text: line.text }
    }
}
