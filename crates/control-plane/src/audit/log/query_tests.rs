//! The property that a query finds what a plain list would.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::tests::{at, batch, cursors, everything, slug};
use super::{AuditLog, FileAuditLog, Query, Source};
use proptest::prelude::*;
use sluice_model::audit::AuditFailure;
use sluice_model::{AuditKind, AuditRecord, FailureReason, OutcomeKind, Trigger};

fn records() -> impl Strategy<Value = AuditRecord> {
    let slugs = ["acme", "acme-2", "beta"];
    let kinds = [AuditKind::ActionExecuted, AuditKind::ActionAttached, AuditKind::FlowCreated];
    let who = (0..3usize, 0..3usize, 0..50i64, 0..2u8, 0..4u8, 0..3u8);
    (who, 0..3u8, 0..3u8, 0..4u8, 0..3u8).prop_map(move |(who, trigger, outcome, reason, version)| {
        let (tenant, kind, time, flow, sign_in, user) = who;
        let mut record = AuditRecord::new(at(time), kinds[kind], slug(slugs[tenant]), "operator");
        record.flow = (flow > 0).then(|| slug("main"));
        record.sign_in_id = (sign_in > 0).then(|| format!("s{sign_in}"));
        record.execution_id = (sign_in > 0).then(|| format!("e{sign_in}"));
        record.user_id = (user > 0).then(|| format!("u{user}"));
        record.trigger = [None, Some(Trigger::PostLogin), Some(Trigger::PreLogin)][usize::from(trigger)];
        record.outcome = [None, Some(OutcomeKind::Block), Some(OutcomeKind::Continue)][usize::from(outcome)];
        record.slug = (version > 0).then(|| slug("check"));
        record.version = (version > 0).then(|| semver::Version::new(1, version.into(), 0));
        record.reason_code = (reason == 1).then(|| "denied".to_owned());
        record.failure = (reason > 1).then(|| AuditFailure {
            reason: if reason == 2 { FailureReason::Threw } else { FailureReason::CpuLimit },
            message: "x".to_owned(),
            pointer: None,
            file: None,
            line: None,
            column: None,
        });
        record
    })
}

/// A query that asks for some of what a record has, so that most find something.
fn queries() -> impl Strategy<Value = Query> {
    (records(), any::<[bool; 11]>(), 1..6usize, 0..30i64).prop_map(|(like, asked, limit, span)| {
        fn keep<T>(asked: bool, value: Option<T>) -> Option<T> {
            value.filter(|_| asked)
        }
        let reason = like.failure.as_ref().map(|failure| failure.reason.as_str().to_owned());
        Query {
            since: keep(asked[0], Some(like.time)),
            until: keep(asked[1], Some(like.time + jiff::SignedDuration::from_secs(span))),
            kind: keep(asked[2], Some(like.kind)),
            flow: keep(asked[3], like.flow),
            trigger: keep(asked[4], like.trigger),
            slug: keep(asked[5], like.slug),
            version: keep(asked[6], like.version),
            sign_in_id: keep(asked[7], like.sign_in_id.clone()),
            execution_id: keep(asked[7] && asked[8], like.execution_id),
            user_id: keep(asked[8], like.user_id),
            outcome: keep(asked[9], like.outcome),
            reason: keep(asked[10], like.reason_code.or(reason)),
            before: None,
            limit,
            tenant: like.tenant,
        }
    })
}

/// What a query means, said once more and as plainly as can be.
fn is_asked_for(query: &Query, record: &AuditRecord) -> bool {
    let Query {
        tenant,
        since,
        until,
        kind,
        flow,
        trigger,
        slug,
        version,
        sign_in_id,
        execution_id,
        user_id,
        outcome,
        ..
    } = query;
    let reason = |reason: &str| {
        record.reason_code.as_deref() == Some(reason)
            || record.failure.as_ref().map(|failure| failure.reason.to_string()).as_deref() == Some(reason)
    };
    *tenant == record.tenant
        && since.is_none_or(|since| since <= record.time)
        && until.is_none_or(|until| record.time < until)
        && kind.is_none_or(|kind| kind == record.kind)
        && (flow.is_none() || *flow == record.flow)
        && (trigger.is_none() || *trigger == record.trigger)
        && (slug.is_none() || *slug == record.slug)
        && (version.is_none() || *version == record.version)
        && (sign_in_id.is_none() || *sign_in_id == record.sign_in_id)
        && (execution_id.is_none() || *execution_id == record.execution_id)
        && (user_id.is_none() || *user_id == record.user_id)
        && (outcome.is_none() || *outcome == record.outcome)
        && query.reason.as_deref().is_none_or(reason)
}

async fn agrees(batches: Vec<Vec<AuditRecord>>, queries: Vec<Query>, segment_bytes: u64, reopen: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = FileAuditLog::open(folder.path().to_owned(), segment_bytes).await.unwrap();
    let mut oracle: Vec<AuditRecord> = Vec::new();
    for records in batches {
        log.append(batch(&Source::ControlPlane, oracle.len() as u64 + 1, records.clone())).await.unwrap();
        oracle.extend(records);
    }
    if reopen {
        drop(log);
        log = FileAuditLog::open(folder.path().to_owned(), segment_bytes).await.unwrap();
    }
    for query in queries {
        let places = oracle.iter().zip(1..);
        let mut expected: Vec<u64> =
            places.filter(|(record, _)| is_asked_for(&query, record)).map(|(_, place)| place).collect();
        expected.reverse();
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = log.query(Query { before, ..query.clone() }).await.unwrap();
            assert!(page.entries.len() <= query.limit);
            for entry in &page.entries {
                assert_eq!(entry.record, oracle[usize::try_from(entry.cursor.0 - 1).unwrap()]);
            }
            found.extend(cursors(&page));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
    }
    let whole: Vec<_> = everything(&log).await.into_iter().map(|entry| entry.record).collect();
    assert_eq!(whole, oracle);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn queries_find_what_a_plain_list_would(
        batches in prop::collection::vec(prop::collection::vec(records(), 1..8), 1..25),
        queries in prop::collection::vec(queries(), 1..12),
        segment_bytes in prop_oneof![Just(1u64), Just(2_000), Just(1_000_000)],
        reopen: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agrees(batches, queries, segment_bytes, reopen));
    }
}
