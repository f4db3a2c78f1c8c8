#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;
use crate::catalogue::Templates;
use crate::clock::Clock;
use crate::deliveries::{Endpoints, Pulse};
use crate::metrics::Metrics;
use crate::store::{Batch, Changes, CommitError, MemoryStore, MetaStore, Page, Revision, StoreError, Versioned};
use crate::tenants::Tenants;
use async_trait::async_trait;
use serde::Serialize;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A store in which somebody commits something else just after a key was read for the first time.
struct Interrupted {
    store: MemoryStore,
    after: Key,
    commits: Mutex<Vec<Batch>>,
}

#[async_trait]
impl MetaStore for Interrupted {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let found = self.store.get(key).await;
        if *key == self.after {
            let commits = std::mem::take(&mut *self.commits.lock().unwrap());
            for commit in commits {
                self.store.commit(commit).await.unwrap();
            }
        }
        found
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StoreError> {
        self.store.scan(scan).await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        self.store.commit(batch).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.store.changes(after, limit).await
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        self.store.newest().await
    }

    async fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        self.store.last_appended(queue).await
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.store.watch()
    }
}

fn put<T: Serialize>(batch: Batch, key: Key, value: &T) -> Batch {
    batch.put(key, rows::encode(value).unwrap())
}

/// What a save of this revision commits, as far as it is told.
fn save(tenant: &Slug, flow: &Slug, number: u64, at: Timestamp) -> Batch {
    let revision =
        FlowRevision { tenant: tenant.clone(), flow: flow.clone(), revision: number, created_at: at, slots: vec![] };
    let head = FlowHead {
        flow: flow.clone(),
        revision: number,
        etag: format!("{number}-0"),
        triggers: vec![],
        attachments: 0,
        updated_at: at,
    };
    let batch = put(Batch::new(), keys::flow(tenant, flow), &head);
    let batch = put(batch, keys::revision(tenant, flow, number), &revision);
    match number {
        1 => batch,
        _ => put(batch, keys::replaced(tenant, flow, number - 1), &at),
    }
}

/// The numbers that are told, and whether each is told as the newest.
async fn told_while_saving(numbers: std::ops::RangeInclusive<u64>, also: Also<'_>) -> Vec<(u64, bool)> {
    let (tenant, flow) = (Slug::parse("acme").unwrap(), Slug::parse("login").unwrap());
    let at = Timestamp::UNIX_EPOCH;
    let store = MemoryStore::new(100);
    for number in 1..*numbers.start() {
        store.commit(save(&tenant, &flow, number, at)).await.unwrap();
    }
    let commits = numbers.map(|number| save(&tenant, &flow, number, at)).collect();
    let interrupted = Interrupted { store, after: keys::flow(&tenant, &flow), commits: Mutex::new(commits) };
    let shared = Shared {
        store: Arc::new(interrupted),
        clock: Clock::new(move || at),
        metrics: Arc::new(Metrics::new(&opentelemetry::global::meter("test"))),
    };
    let catalogue = Catalogue::new(shared.clone(), Tenants::new(shared.clone()), Templates::default());
    let tenants = Tenants::new(shared.clone());
    let folder = tempfile::tempdir().unwrap();
    let key = sluice_serve::seal::KeyFile::make(&folder.path().join("key")).unwrap();
    let sealer = Arc::new(key.sealer("test").unwrap());
    let pulse = Pulse::new(&opentelemetry::global::meter("test"), shared.clock.clone());
    let endpoints = Endpoints::new(shared.clone(), pulse);
    let overlap = SignedDuration::from_hours(24);
    let secrets = Secrets::new(shared.clone(), tenants, catalogue.clone(), endpoints, sealer, overlap);
    let resources = Resources::new(shared, catalogue, secrets, SignedDuration::from_hours(1));
    let told = resources.flow(&tenant, &flow, also, &mut Told::default()).await.unwrap();
    told.iter()
        .map(|resource| match resource {
            Resource::Revision { revision, expires_at } => (revision.revision, expires_at.is_none()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_flow_that_is_edited_while_it_is_read_still_has_a_newest_revision() {
    let numbers = BTreeSet::from([2, 3]);
    assert_eq!(told_while_saving(4..=4, Also::These(&numbers)).await, [(2, false), (3, true)]);
    assert_eq!(told_while_saving(4..=4, Also::All).await, [(1, false), (2, false), (3, true)]);
}

#[tokio::test]
async fn what_is_saved_while_a_flow_is_read_is_told_by_the_next_change() {
    assert_eq!(told_while_saving(4..=6, Also::All).await, [(1, false), (2, false), (3, true)]);
    // The numbers of a change may be newer than the head only where the flow was read before them: never told twice.
    let numbers = BTreeSet::from([3, 4]);
    assert_eq!(told_while_saving(4..=5, Also::These(&numbers)).await, [(3, true)]);
}
