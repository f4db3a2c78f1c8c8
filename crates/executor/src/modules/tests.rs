use super::*;
use crate::testing::{Shelf, action, bundle, engine, poll, slug};
use sluice_model::{Failure, FailureReason};
use std::{path::Path, time::Duration};

const PLENTY: u64 = 1 << 30;

struct Bench {
    shelf: Arc<Shelf>,
    modules: Modules,
    metrics: Arc<Metrics>,
    tenant: Slug,
}

fn bench(folder: &Path, shelf: Arc<Shelf>, max_bytes: u64) -> Bench {
    let metrics = Metrics::for_tests();
    let store = Store::open(folder, engine().identity(), PLENTY, Arc::clone(&metrics)).unwrap();
    let modules =
        Modules::new(engine(), store, Arc::clone(&shelf) as Arc<dyn Source>, max_bytes, 2, Arc::clone(&metrics));
    Bench { shelf, modules, metrics, tenant: slug("acme") }
}

impl Bench {
    async fn load(&self, module: &Arc<Module>) -> Result<Arc<Snapshot>, Failure> {
        self.modules.load(&self.tenant, module).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_who_miss_at_once_cause_one_load() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::behind(0), PLENTY);
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    assert!(bench.modules.resident(&module).is_none());
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (modules, tenant, module) = (bench.modules.clone(), bench.tenant.clone(), Arc::clone(&module));
            tokio::spawn(async move { modules.load(&tenant, &module).await })
        })
        .collect();
    bench.shelf.open();
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(bench.shelf.asked(), 1);
    assert_eq!(bench.metrics.loads(), [0, 0, 1]);
    assert!(bench.modules.resident(&module).is_some());
}

#[tokio::test]
async fn a_load_goes_on_when_its_caller_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::behind(0), PLENTY);
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    let given_up = tokio::time::timeout(Duration::from_millis(1), bench.load(&module)).await;
    assert!(given_up.is_err());
    bench.shelf.open();
    bench.load(&module).await.unwrap();
    assert_eq!(bench.shelf.asked(), 1);
}

#[tokio::test]
async fn after_a_restart_the_snapshot_comes_from_the_folder_and_else_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let first = bench(folder.path(), Shelf::new(), PLENTY);
    let digest = first.shelf.put(&action("({ kind: 'continue' })"));
    first.load(&first.modules.module(&digest)).await.unwrap();

    let second = bench(folder.path(), Shelf::new(), PLENTY);
    second.load(&second.modules.module(&digest)).await.unwrap();
    assert_eq!((second.metrics.loads(), second.shelf.asked()), ([1, 0, 0], 0));

    std::fs::remove_dir_all(folder.path().join("snapshots")).unwrap();
    let third = bench(folder.path(), Shelf::new(), PLENTY);
    third.load(&third.modules.module(&digest)).await.unwrap();
    assert_eq!((third.metrics.loads(), third.shelf.asked()), ([0, 1, 0], 0));
}

#[tokio::test]
async fn damaged_files_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = bench(folder.path(), Shelf::new(), PLENTY);
    let digest = first.shelf.put(&action("({ kind: 'continue' })"));
    first.load(&first.modules.module(&digest)).await.unwrap();
    let engine_folder = std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    for file in [engine_folder.join(&digest), folder.path().join("bundles").join(&digest)] {
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    let second = bench(folder.path(), Arc::clone(&first.shelf), PLENTY);
    second.load(&second.modules.module(&digest)).await.unwrap();
    assert_eq!(second.metrics.loads(), [0, 0, 1], "it was fetched again");
    assert_eq!(second.metrics.damaged(), 2);
    assert_eq!(std::fs::read_dir(folder.path().join("damaged")).unwrap().count(), 2, "they can be looked at");
    let third = self::bench(folder.path(), Shelf::new(), PLENTY);
    third.load(&third.modules.module(&digest)).await.unwrap();
    assert_eq!(third.metrics.loads(), [1, 0, 0], "and are whole again");
}

#[tokio::test]
async fn a_snapshot_under_another_bundles_name_is_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = bench(folder.path(), Shelf::new(), PLENTY);
    let allows = first.shelf.put(&action("({ kind: 'continue' })"));
    let blocks = first.shelf.put(&action("({ kind: 'block' })"));
    for digest in [&allows, &blocks] {
        first.load(&first.modules.module(digest)).await.unwrap();
    }
    let engine_folder = std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(engine_folder.join(&allows), engine_folder.join(&blocks)).unwrap();
    let second = bench(folder.path(), Shelf::new(), PLENTY);
    second.load(&second.modules.module(&blocks)).await.unwrap();
    assert_eq!((second.metrics.loads(), second.metrics.damaged()), ([0, 1, 0], 1), "it was made anew of its bundle");
}

#[tokio::test]
async fn what_newest_revisions_need_is_not_put_out_by_a_flood_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = bench(folder.path(), Shelf::new(), PLENTY);
    let put = |n: usize| sizes.shelf.put(&action(&format!("({{ kind: 'continue', reason_code: 'r{n:02}' }})")));
    let digests: Vec<String> = (0..40).map(put).collect();
    let size = sizes.load(&sizes.modules.module(&digests[0])).await.unwrap().memory_bytes() as u64;

    let bench = bench(folder.path(), Arc::clone(&sizes.shelf), size * 21 / 2);
    let modules: Vec<_> = digests.iter().map(|digest| bench.modules.module(digest)).collect();
    let (needed, others) = modules.split_at(8);
    bench.modules.need(needed.iter());
    for module in needed {
        bench.load(module).await.unwrap();
    }
    for _ in 0..3 {
        for module in others {
            bench.load(module).await.unwrap();
            assert!(bench.modules.residents().1 <= size * 21 / 2);
        }
    }
    let there = |module: &Arc<Module>| module.snapshot.load().is_some();
    assert_eq!(needed.iter().filter(|module| there(module)).count(), 8);
    assert!(others.iter().filter(|module| there(module)).count() <= 2);

    // Another state needs others; the eight are as any.
    bench.modules.need(others[..9].iter());
    for module in &others[..9] {
        bench.load(module).await.unwrap();
    }
    assert_eq!(others[..9].iter().filter(|module| there(module)).count(), 9);
    // All is full of what is needed: one that is not goes by, and is not kept.
    bench.modules.need(others[..10].iter());
    bench.load(&others[9]).await.unwrap();
    let evicted = bench.metrics.evictions();
    for module in needed {
        bench.load(module).await.unwrap();
        assert!(!there(module));
    }
    assert_eq!(bench.metrics.evictions(), evicted);
    // What is needed makes room among its like.
    bench.modules.need(others[..12].iter());
    bench.load(&others[11]).await.unwrap();
    assert!(there(&others[11]));
    assert!(bench.modules.residents().1 <= size * 21 / 2);
}

#[tokio::test]
async fn one_that_is_larger_than_the_bound_is_run_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), 100);
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    for _ in 0..2 {
        bench.load(&module).await.unwrap();
        assert_eq!(bench.modules.residents(), (0, 0));
    }
    assert_eq!(bench.metrics.loads(), [1, 0, 1]);
}

#[tokio::test]
async fn a_tenant_that_is_refused_a_bundle_refuses_it_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), PLENTY);
    let (acme, other) = (slug("acme"), slug("other"));
    *bench.shelf.closed_to.lock() = Some(other.clone());
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    assert!(bench.modules.load(&other, &module).await.is_err());
    assert!(bench.modules.load(&other, &module).await.is_err());
    assert_eq!(bench.shelf.asked(), 1, "the refused one rests");
    bench.modules.load(&acme, &module).await.unwrap();
    assert_eq!(bench.shelf.asked(), 2);
}

#[tokio::test]
async fn who_waits_for_another_tenants_fetch_asks_for_itself_when_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::behind(0), PLENTY);
    let (acme, other) = (slug("acme"), slug("other"));
    *bench.shelf.closed_to.lock() = Some(other.clone());
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    let mut refused = Box::pin(bench.modules.load(&other, &module));
    let mut served = Box::pin(bench.modules.load(&acme, &module));
    assert!(poll(&mut refused).is_pending() && poll(&mut served).is_pending());
    bench.shelf.open();
    bench.shelf.open();
    assert!(refused.await.is_err());
    served.await.unwrap();
}

#[tokio::test]
async fn preloading_fills_what_is_free_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let first = bench(folder.path(), Shelf::new(), PLENTY);
    let put = |n: usize| first.shelf.put(&action(&format!("({{ kind: 'continue', reason_code: 'r{n}' }})")));
    let digests: Vec<String> = (0..6).map(put).collect();
    let mut size = 0;
    for digest in &digests[..5] {
        size = first.load(&first.modules.module(digest)).await.unwrap().memory_bytes() as u64;
    }
    let second = bench(folder.path(), Shelf::new(), size * 7 / 2);
    let modules: Vec<_> = digests.iter().rev().map(|digest| (slug("acme"), second.modules.module(digest))).collect();
    let missing = second.modules.preload(modules.clone(), &CancellationToken::new());
    assert_eq!(missing.iter().map(|(_, module)| module.digest()).collect::<Vec<_>>(), [digests[5].as_str()]);
    assert_eq!((second.modules.residents().0, second.metrics.evictions(), second.shelf.asked()), (3, 0, 0));
    // What was not preloaded comes when it is asked for.
    assert!(second.modules.for_run(&modules[5].1).is_none());
    second.load(&modules[5].1).await.unwrap();
    assert!(second.modules.for_run(&modules[5].1).is_some());
    assert_eq!(second.metrics.asked(), [1, 1]);
    assert_eq!(second.metrics.loads(), [4, 0, 0]);
}

#[tokio::test]
async fn what_was_used_longest_ago_is_put_out_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = bench(folder.path(), Shelf::new(), PLENTY);
    let digests: Vec<String> =
        (0..4).map(|i| sizes.shelf.put(&action(&format!("({{ kind: 'continue', reason_code: 'r{i}' }})")))).collect();
    let size = sizes.load(&sizes.modules.module(&digests[0])).await.unwrap().memory_bytes() as u64;

    let bench = bench(folder.path(), Arc::clone(&sizes.shelf), size * 7 / 2);
    let modules: Vec<_> = digests.iter().map(|digest| bench.modules.module(digest)).collect();
    for module in &modules[..3] {
        bench.load(module).await.unwrap();
    }
    assert_eq!(bench.metrics.evictions(), 0);
    assert!(bench.modules.resident(&modules[0]).is_some(), "used again");
    bench.load(&modules[3]).await.unwrap();
    assert_eq!(bench.metrics.evictions(), 1);
    assert!(bench.modules.residents().1 <= size * 7 / 2);
    assert!(bench.modules.resident(&modules[1]).is_none());
    assert!(bench.modules.resident(&modules[0]).is_some());
    bench.load(&modules[1]).await.unwrap();
    assert_eq!(bench.shelf.asked(), 4, "it came back from the folder");
}

#[tokio::test]
async fn a_bundle_that_makes_no_module_is_unavailable_and_rests() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), PLENTY);
    let module = bench.modules.module(&bench.shelf.put(&bundle("throw new Error('never')")));
    for _ in 0..3 {
        let failure = bench.load(&module).await.unwrap_err();
        assert_eq!(failure.reason, FailureReason::Unavailable);
        assert!(failure.message.contains("never"), "{}", failure.message);
    }
    assert!(module.is_resting());
    assert_eq!((bench.shelf.asked(), bench.metrics.loads()), (1, [0, 0, 0]), "it was tried once");
}

#[tokio::test]
async fn what_the_control_plane_cannot_send_now_is_tried_again_soon_and_not_by_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), PLENTY);
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    bench.shelf.refuses.store(true, Ordering::SeqCst);
    for _ in 0..1000 {
        assert_eq!(bench.load(&module).await.unwrap_err().reason, FailureReason::Unavailable);
    }
    assert!(bench.shelf.asked() < 100, "asked {} times for 1,000 sign-ins", bench.shelf.asked());
    assert!(!module.is_resting(), "it is not at fault itself");
    bench.shelf.refuses.store(false, Ordering::SeqCst);
    let rested = async {
        while bench.load(&module).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rested).await.unwrap();
}

#[tokio::test]
async fn bytes_of_another_digest_are_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), PLENTY);
    let digest = bench.shelf.put(&action("({ kind: 'block' })"));
    bench.shelf.put_wrong(&digest, &action("({ kind: 'continue' })").to_bytes());
    let failure = bench.load(&bench.modules.module(&digest)).await.unwrap_err();
    assert!(failure.message.contains("another bundle"), "{}", failure.message);
    assert!(!folder.path().join("bundles").join(&digest).exists());
}

#[tokio::test]
async fn versions_of_one_bundle_share_a_module_and_nobody_keeps_what_no_flow_has() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), PLENTY);
    let digest = bench.shelf.put(&action("({ kind: 'continue' })"));
    let module = bench.modules.module(&digest);
    assert!(Arc::ptr_eq(&module, &bench.modules.module(&digest)));
    bench.load(&module).await.unwrap();
    assert_eq!(bench.modules.residents().0, 1);
    drop(module);
    bench.modules.sweep(true);
    assert_eq!(bench.modules.residents(), (0, 0));
    assert!(folder.path().join("bundles").join(&digest).exists(), "the folder is far below its bound");
}

#[tokio::test]
async fn a_cache_folder_over_its_bound_keeps_what_flows_need() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), engine().identity(), 1, Metrics::for_tests()).unwrap();
    store.keep_bundle("needed", b"one");
    store.keep_bundle("left", b"two");
    store.keep_snapshot("left", b"three");
    store.sweep(&["needed".to_owned()].into());
    assert!(folder.path().join("bundles/needed").exists());
    assert!(!folder.path().join("bundles/left").exists());
    let left = std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().unwrap().unwrap().path().join("left");
    assert!(!left.exists());
}
