//! One record as the log stores it: JSON, with what does not apply left out.
//!
//! JSON because a log is read for years by builds that do not know each other; packed by the block it costs little. The
//! stored form is a type of its own, so that a change of the model cannot quietly change the files.

use super::index::Term;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_model::audit::{AuditFailure, AuditRun};
use sluice_model::{AuditKind, AuditRecord, OutcomeKind, Skipped, Slug, Trigger};
use std::borrow::Cow;

/// Borrowed when written, owned when read.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    time: Timestamp,
    kind: AuditKind,
    tenant: Slug,
    principal: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<Slug>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<Trigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<Slug>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, Version>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Cow<'a, AuditFailure>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Skipped>,
    /// A value that is `null` is not the same as none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    from: Option<Cow<'a, Value>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    to: Option<Cow<'a, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Cow<'a, AuditRun>>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'static, Value>>, D::Error> {
    Value::deserialize(deserializer).map(|value| Some(Cow::Owned(value)))
}

fn text(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::Borrowed)
}

/// The bytes of a record. Everything in one can be written as JSON, so an error is a bug of its types.
pub(crate) fn encode(record: &AuditRecord) -> Result<Vec<u8>, serde_json::Error> {
    // Destructured whole, so that a new field cannot be forgotten.
    let AuditRecord {
        time,
        kind,
        tenant,
        principal,
        flow,
        flow_revision,
        trigger,
        attachment,
        slug,
        version,
        sign_in_id,
        execution_id,
        user_id,
        outcome,
        failure,
        reason_code,
        skipped,
        from,
        to,
        run,
        // Deliveries are made of them before the record comes here.
        emits: _,
    } = record;
    serde_json::to_vec(&Stored {
        time: *time,
        kind: *kind,
        tenant: tenant.clone(),
        principal: Cow::Borrowed(principal),
        flow: flow.clone(),
        flow_revision: *flow_revision,
        trigger: *trigger,
        attachment: text(attachment),
        slug: slug.clone(),
        version: version.as_ref().map(Cow::Borrowed),
        sign_in_id: text(sign_in_id),
        execution_id: text(execution_id),
        user_id: text(user_id),
        outcome: *outcome,
        failure: failure.as_ref().map(Cow::Borrowed),
        reason_code: text(reason_code),
        skipped: *skipped,
        from: from.as_ref().map(Cow::Borrowed),
        to: to.as_ref().map(Cow::Borrowed),
        run: run.as_ref().map(Cow::Borrowed),
    })
}

/// The record of its bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<AuditRecord, serde_json::Error> {
    let stored: Stored<'_> = serde_json::from_slice(bytes)?;
    let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    Ok(AuditRecord {
        time: stored.time,
        kind: stored.kind,
        tenant: stored.tenant,
        principal: stored.principal.into_owned(),
        flow: stored.flow,
        flow_revision: stored.flow_revision,
        trigger: stored.trigger,
        attachment: owned(stored.attachment),
        slug: stored.slug,
        version: stored.version.map(Cow::into_owned),
        sign_in_id: owned(stored.sign_in_id),
        execution_id: owned(stored.execution_id),
        user_id: owned(stored.user_id),
        outcome: stored.outcome,
        failure: stored.failure.map(Cow::into_owned),
        reason_code: owned(stored.reason_code),
        skipped: stored.skipped,
        from: stored.from.map(Cow::into_owned),
        to: stored.to.map(Cow::into_owned),
        run: stored.run.map(Cow::into_owned),
        emits: Vec::new(),
    })
}

/// The terms that the block's index knows a record by: one for each field that a query may ask for.
pub(super) fn terms(record: &AuditRecord) -> Vec<Term> {
    let term = |field: Field, text: &str| Term::of(&record.tenant, field as u8, text);
    let texts = [
        (Field::SignIn, record.sign_in_id.as_deref()),
        (Field::Execution, record.execution_id.as_deref()),
        (Field::User, record.user_id.as_deref()),
        (Field::Kind, Some(record.kind.as_str())),
        (Field::Flow, record.flow.as_ref().map(Slug::as_str)),
        (Field::Trigger, record.trigger.map(Trigger::as_str)),
        (Field::Action, record.slug.as_ref().map(Slug::as_str)),
        (Field::Outcome, record.outcome.map(OutcomeKind::as_str)),
        (Field::Reason, record.reason_code.as_deref()),
        (Field::Reason, record.failure.as_ref().map(|failure| failure.reason.as_str())),
    ];
    let version = record.version.as_ref().map(|version| term(Field::Version, &version.to_string()));
    texts.into_iter().filter_map(|(field, text)| Some(term(field, text?))).chain(version).collect()
}

/// The fields that have terms. The numbers are in the files: never change one.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Field {
    SignIn = 1,
    Execution = 2,
    User = 3,
    Kind = 4,
    Flow = 5,
    Trigger = 6,
    Action = 7,
    Version = 8,
    Outcome = 9,
    Reason = 10,
}
