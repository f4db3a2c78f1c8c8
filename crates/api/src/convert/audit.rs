//! Audit records. On the wire, what does not apply is empty, 0 or absent; none of these fields has a meaning when empty.

use super::{Ctx, FieldError, Word, each, input::object, json, list, optional, required, time, version};
use crate::types::v1 as wire;
use sluice_model::{
    AuditRecord,
    audit::{AuditFailure, AuditRun},
    http::{HttpAttempt, HttpFailure},
};

/// The cursor is the log's and has no place in the model: take it before.
impl TryFrom<wire::AuditRecord> for AuditRecord {
    type Error = FieldError;

    fn try_from(record: wire::AuditRecord) -> Result<AuditRecord, FieldError> {
        let given = |text: String| (!text.is_empty()).then_some(text);
        let slug = |text: &str| (!text.is_empty()).then(|| version::slug(text)).transpose();
        Ok(AuditRecord {
            time: required(record.time).and_then(time::timestamp).ctx("time")?,
            kind: record.kind.parse::<sluice_model::AuditKind>().ctx("kind")?,
            tenant: version::slug(&record.tenant).ctx("tenant")?,
            principal: record.principal,
            flow: slug(&record.flow).ctx("flow")?,
            flow_revision: (record.flow_revision != 0).then_some(record.flow_revision),
            trigger: given(record.trigger).map(|t| version::trigger(&t)).transpose().ctx("trigger")?,
            attachment: given(record.attachment),
            slug: slug(&record.slug).ctx("slug")?,
            version: given(record.version).map(|v| version::exact_version(&v)).transpose().ctx("version")?,
            sign_in_id: given(record.sign_in_id),
            execution_id: given(record.execution_id),
            user_id: given(record.user_id),
            outcome: Word::from_wire_or_none(record.outcome).ctx("outcome")?,
            failure: optional(record.failure).ctx("failure")?,
            reason_code: given(record.reason_code),
            skipped: Word::from_wire_or_none(record.skipped).ctx("skipped")?,
            from: record.from.map(json::wrapping_value).transpose().ctx("from")?,
            to: record.to.map(json::wrapping_value).transpose().ctx("to")?,
            run: optional(record.run).ctx("run")?,
            emits: list(record.emits).ctx("emits")?,
        })
    }
}

/// The cursor is left empty: it is the log's to fill in.
impl From<AuditRecord> for wire::AuditRecord {
    fn from(record: AuditRecord) -> wire::AuditRecord {
        fn text<T: ToString>(of: Option<T>) -> String {
            of.map(|t| t.to_string()).unwrap_or_default()
        }
        wire::AuditRecord {
            cursor: String::new(),
            time: Some(time::to_timestamp(record.time)),
            kind: record.kind.to_string(),
            tenant: record.tenant.to_string(),
            principal: record.principal,
            flow: text(record.flow),
            flow_revision: record.flow_revision.unwrap_or_default(),
            trigger: text(record.trigger),
            attachment: record.attachment.unwrap_or_default(),
            slug: text(record.slug),
            version: text(record.version),
            sign_in_id: record.sign_in_id.unwrap_or_default(),
            execution_id: record.execution_id.unwrap_or_default(),
            user_id: record.user_id.unwrap_or_default(),
            outcome: record.outcome.map_or(0, Word::to_wire),
            failure: record.failure.map(Into::into),
            reason_code: record.reason_code.unwrap_or_default(),
            skipped: record.skipped.map_or(0, Word::to_wire),
            from: record.from.map(json::to_value),
            to: record.to.map(json::to_value),
            run: record.run.map(Into::into),
            emits: each(record.emits),
        }
    }
}

/// Audit keeps no stack.
impl TryFrom<wire::Failure> for AuditFailure {
    type Error = FieldError;

    fn try_from(failure: wire::Failure) -> Result<AuditFailure, FieldError> {
        Ok(AuditFailure {
            reason: Word::from_wire(failure.reason).ctx("reason")?,
            message: failure.message,
            pointer: failure.pointer,
            file: failure.file,
            line: failure.line,
            column: failure.column,
        })
    }
}

impl From<AuditFailure> for wire::Failure {
    fn from(failure: AuditFailure) -> wire::Failure {
        wire::Failure {
            reason: failure.reason.to_wire(),
            message: failure.message,
            pointer: failure.pointer,
            file: failure.file,
            line: failure.line,
            column: failure.column,
            stack: None,
        }
    }
}

impl TryFrom<wire::AuditRun> for AuditRun {
    type Error = FieldError;

    fn try_from(run: wire::AuditRun) -> Result<AuditRun, FieldError> {
        Ok(AuditRun {
            executor: run.executor_id,
            engine: run.engine.unwrap_or_default().into(),
            cpu_us: run.cpu_us,
            wall_us: run.wall_us,
            lost: list(run.lost).ctx("lost")?,
            annotations: object(run.annotations).ctx("annotations")?,
            risk_unusable: run.risk_unusable,
            fetches: list(run.fetches).ctx("fetches")?,
            counters_fallback: run.counters_fallback,
            deliveries: run.deliveries,
        })
    }
}

impl From<AuditRun> for wire::AuditRun {
    fn from(run: AuditRun) -> wire::AuditRun {
        wire::AuditRun {
            executor_id: run.executor,
            engine: Some(run.engine.as_str().into()),
            cpu_us: run.cpu_us,
            wall_us: run.wall_us,
            lost: each(run.lost),
            annotations: json::to_struct_unless_empty(run.annotations),
            risk_unusable: run.risk_unusable,
            fetches: each(run.fetches),
            counters_fallback: run.counters_fallback,
            deliveries: run.deliveries,
        }
    }
}

impl TryFrom<wire::HttpAttempt> for HttpAttempt {
    type Error = FieldError;

    fn try_from(attempt: wire::HttpAttempt) -> Result<HttpAttempt, FieldError> {
        let status = (attempt.status != 0).then(|| u16::try_from(attempt.status)).transpose();
        let failure = (!attempt.failure.is_empty()).then(|| attempt.failure.parse::<HttpFailure>()).transpose();
        Ok(HttpAttempt {
            host: attempt.host,
            status: status.map_err(|_| FieldError::here("is no HTTP status")).ctx("status")?,
            failure: failure.ctx("failure")?,
            duration_us: attempt.duration_us,
        })
    }
}

impl From<HttpAttempt> for wire::HttpAttempt {
    fn from(attempt: HttpAttempt) -> wire::HttpAttempt {
        wire::HttpAttempt {
            host: attempt.host,
            status: attempt.status.map_or(0, u32::from),
            failure: attempt.failure.map(|failure| failure.as_str().to_owned()).unwrap_or_default(),
            duration_us: attempt.duration_us,
        }
    }
}
