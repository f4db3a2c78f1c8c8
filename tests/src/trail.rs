//! What audit says in the end, held against what was answered and acknowledged.

use crate::load::{Answered, channel};
use sluice_api::{
    control::v1::{ListAuditRecordsRequest, audit_service_client::AuditServiceClient},
    types::v1::AuditRecord,
};
use std::{collections::HashMap, time::Instant};

/// A tenant's records of one kind, newest first.
pub async fn records(control: &str, tenant: &str, kind: &str) -> Vec<AuditRecord> {
    let mut client = AuditServiceClient::new(channel(control)).max_decoding_message_size(64 << 20);
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAuditRecordsRequest {
            tenant: tenant.into(),
            kind: kind.into(),
            page_size: 1000,
            page_token,
            ..ListAuditRecordsRequest::default()
        };
        let page = client.list_audit_records(request).await.unwrap().into_inner();
        all.extend(page.records);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// How the runs in audit and the answers differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Executions that were answered, and are not in audit.
    pub missing: Vec<String>,
    /// Executions that audit has more than once.
    pub doubled: Vec<String>,
    /// Executions whose record names another version or revision than their answer.
    pub other: Vec<String>,
}

/// Compares every run in audit with the answers. What is missing is waited for, since executors ship their records after
/// they have answered: until nothing is missing, or until `patience` is over.
pub async fn compare(control: &str, tenant: &str, answers: &[Answered], patience: std::time::Duration) -> Difference {
    let until = Instant::now() + patience;
    loop {
        let records = records(control, tenant, "flow.action_executed").await;
        let difference = differ(&records, answers);
        if difference.missing.is_empty() || Instant::now() >= until {
            return difference;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn differ(records: &[AuditRecord], answers: &[Answered]) -> Difference {
    let mut told: HashMap<&str, (u32, &AuditRecord)> = HashMap::with_capacity(records.len());
    for record in records {
        told.entry(&record.execution_id).and_modify(|(count, _)| *count += 1).or_insert((1, record));
    }
    let mut difference = Difference::default();
    for answer in answers {
        match told.get(answer.execution_id.as_str()) {
            None => difference.missing.push(answer.execution_id.clone()),
            Some((_, record)) => {
                if (record.flow_revision, &record.version) != (answer.revision, &answer.version) {
                    difference.other.push(answer.execution_id.clone());
                }
            }
        }
    }
    difference.doubled = told.iter().filter(|(_, (n, _))| *n > 1).map(|(id, _)| (*id).to_owned()).collect();
    difference
}
