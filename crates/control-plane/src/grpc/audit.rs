//! `AuditService`.

use super::{answer, opened, tenant};
use crate::audit::Audit;
use crate::audit::log::{Cursor, Listed, Query};
use crate::page;
use crate::tenants::Tenants;
use prost::Message as _;
use sluice_api::control::v1::{self as wire, audit_service_server::AuditService};
use sluice_api::convert::{self, Ctx as _, FieldError, Word as _};
use sluice_api::types::v1 as types;
use sluice_model::{AuditKind, Error, OutcomeKind, Slug};
use sluice_serve::Principal;
use tonic::{Request, Response, Status};

/// The longest text that is looked for.
const MAX_SOUGHT_BYTES: usize = 1024;

/// A page ends with the record that makes it larger than this.
const MAX_PAGE_BYTES: usize = 2 << 20;

/// The service.
pub(crate) struct AuditEdge {
    tenants: Tenants,
    audit: Audit,
}

impl AuditEdge {
    pub(crate) fn new(tenants: Tenants, audit: Audit) -> AuditEdge {
        AuditEdge { tenants, audit }
    }

    async fn list(
        &self,
        principal: Principal,
        asked: wire::ListAuditRecordsRequest,
    ) -> Result<wire::ListAuditRecordsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let query = query(tenant, asked)?;
        self.tenants.get(&query.tenant).await?;
        let found = self.audit.query(query).await?;
        let (mut records, mut next, mut bytes) = (Vec::new(), found.next, 0);
        for listed in found.entries {
            let cursor = listed.cursor;
            let record = to_wire(listed);
            bytes += record.encoded_len();
            records.push(record);
            // Edits carry configs: a page by count alone could be more than a message may be.
            if bytes > MAX_PAGE_BYTES {
                next = Some(cursor);
                break;
            }
        }
        Ok(wire::ListAuditRecordsResponse {
            records,
            next_page_token: next.map(|cursor| cursor.0.to_string()).unwrap_or_default(),
        })
    }
}

fn query(tenant: Slug, asked: wire::ListAuditRecordsRequest) -> Result<Query, Error> {
    let before = match asked.page_token.as_str() {
        "" => None,
        text => Some(Cursor(text.parse().map_err(|_not_ours| {
            Error::field("page_token", "is not the next_page_token of an earlier page of this list")
        })?)),
    };
    Ok(Query {
        since: asked.since.map(convert::timestamp).transpose().ctx("since")?,
        until: asked.until.map(convert::timestamp).transpose().ctx("until")?,
        kind: given(&asked.kind, |kind| Ok(kind.parse::<AuditKind>()?)).ctx("kind")?,
        flow: given(&asked.flow, convert::slug).ctx("flow")?,
        trigger: given(&asked.trigger, convert::trigger).ctx("trigger")?,
        slug: given(&asked.slug, convert::slug).ctx("slug")?,
        version: given(&asked.version, convert::exact_version).ctx("version")?,
        sign_in_id: given(&asked.sign_in_id, sought).ctx("sign_in_id")?,
        execution_id: given(&asked.execution_id, sought).ctx("execution_id")?,
        user_id: given(&asked.user_id, sought).ctx("user_id")?,
        outcome: OutcomeKind::from_wire_or_none(asked.outcome).ctx("outcome")?,
        reason: given(&asked.reason, sought).ctx("reason")?,
        before,
        limit: page::size(asked.page_size)?,
        ..Query::of(tenant)
    })
}

/// A filter that may be left empty.
fn given<T>(text: &str, read: impl FnOnce(&str) -> Result<T, FieldError>) -> Result<Option<T>, FieldError> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

fn sought(text: &str) -> Result<String, FieldError> {
    if text.len() > MAX_SOUGHT_BYTES {
        return Err(FieldError::here(format!("has {} bytes; at most {MAX_SOUGHT_BYTES} are looked for", text.len())));
    }
    Ok(text.to_owned())
}

fn to_wire(listed: Listed) -> types::AuditRecord {
    types::AuditRecord { cursor: listed.cursor.0.to_string(), ..listed.record.into() }
}

#[tonic::async_trait]
impl AuditService for AuditEdge {
    async fn list_audit_records(
        &self,
        request: Request<wire::ListAuditRecordsRequest>,
    ) -> Result<Response<wire::ListAuditRecordsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.list(principal, asked).await)
    }
}
