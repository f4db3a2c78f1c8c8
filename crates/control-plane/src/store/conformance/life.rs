//! Cases about the life of a store, which need more than a store that is there: little memory of changes, an end and a beginning.

use super::{CHANGES_KEPT, Fresh, Store, all, entries, key, memory, names, put, sabotage, sled, value};
use crate::store::{Batch, Changes, Revision, Scan};
use std::sync::Arc;

pub(super) async fn a_commit_whose_caller_went_away_is_finished(store: Store) {
    for at in 0..20 {
        let mut watch = store.watch();
        let name = format!("{at}");
        let mut commit = store.commit(Batch::new().put(key(&name), vec![]));
        // Polled once, so it has begun; then dropped.
        let first = futures_util::poll!(&mut commit);
        drop(commit);
        assert!(first.is_pending() || first.is_ready());
        watch.wait_for(|newest| newest.0 == at + 1).await.unwrap();
        assert_eq!(value(&store, &name).await.as_deref(), Some(""));
    }
}

async fn compaction_is_reported(store: Store) {
    for at in 1..=10 {
        put(&store, "a", &at.to_string()).await;
    }
    for after in 0..7 {
        let answer = store.changes(Revision(after), 10).await.unwrap();
        assert_eq!(answer, Changes::Compacted { oldest: Revision(7) }, "after {after}");
    }
    for after in 7..=10 {
        assert_eq!(entries(&store, after, 10).await.0.len() as u64, 10 - after, "after {after}");
    }
}

#[tokio::test]
async fn compaction_is_reported_in_memory() {
    compaction_is_reported(memory(3).store).await;
}

#[tokio::test]
async fn compaction_is_reported_on_sled() {
    let fresh = sled(3).await;
    compaction_is_reported(Arc::clone(&fresh.store)).await;
}

#[tokio::test]
async fn compaction_that_is_not_reported_is_noticed() {
    sabotage::assert_noticed(compaction_is_reported(memory(4).store)).await;
}

/// A store that can be closed and opened again; memory keeps what it has as long as it lives.
async fn reopening_keeps_what_was_acknowledged(mut fresh: Fresh) {
    for round in 1..=4u64 {
        let name = format!("{round}");
        let revision = put(&fresh.store, &name, "x").await;
        let batch = Batch::new().delete(key(&format!("{}", round - 1))).append(key("queue"), vec![]);
        fresh.store.commit(batch).await.unwrap();
        let told = entries(&fresh.store, 0, 1000).await;
        fresh = fresh.reopened().await;
        let store = &fresh.store;
        assert_eq!(store.newest().await.unwrap(), Revision(round * 2));
        assert_eq!(*store.watch().borrow(), Revision(round * 2));
        assert_eq!(names(store, Scan::of(all()).limit(1)).await, [name.as_str()]);
        assert_eq!(store.get(&key(&name)).await.unwrap().unwrap().revision, revision, "its etag stands");
        assert_eq!(store.last_appended(&key("queue")).await.unwrap(), round);
        assert_eq!(entries(store, 0, 1000).await, told);
    }
}

#[tokio::test]
async fn reopening_keeps_what_was_acknowledged_in_memory() {
    reopening_keeps_what_was_acknowledged(memory(CHANGES_KEPT)).await;
}

#[tokio::test]
async fn reopening_keeps_what_was_acknowledged_on_sled() {
    reopening_keeps_what_was_acknowledged(sled(CHANGES_KEPT).await).await;
}

#[tokio::test]
async fn a_store_that_forgets_when_it_is_reopened_is_noticed() {
    let forgetful = Fresh { store: sabotage::store(sabotage::Defect::QueuesForget), folder: None };
    sabotage::assert_noticed(reopening_keeps_what_was_acknowledged(forgetful)).await;
}
