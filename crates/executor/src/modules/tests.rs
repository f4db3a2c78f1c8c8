use super::*;
use crate::testing::{Shelf, action, bundle, engine, slug};
use std::path::Path;

const PLENTY: u64 = 1 << 30;

struct Bench {
    shelf: Arc<Shelf>,
    modules: Modules,
    metrics: Arc<Metrics>,
    tenant: Slug,
}

fn bench(folder: &Path, shelf: Arc<Shelf>, max_bytes: u64) -> Bench {
    let metrics = Metrics::for_tests();
    let store = Store::open(folder, engine().identity(), PLENTY).unwrap();
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
    assert_eq!(bench.metrics.loads(), [0, 0, 1], "it was tried once");
}

#[tokio::test]
async fn what_the_control_plane_cannot_send_now_is_tried_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Shelf::new(), PLENTY);
    let module = bench.modules.module(&bench.shelf.put(&action("({ kind: 'continue' })")));
    bench.shelf.refuses.store(true, Ordering::SeqCst);
    assert_eq!(bench.load(&module).await.unwrap_err().reason, FailureReason::Unavailable);
    bench.shelf.refuses.store(false, Ordering::SeqCst);
    bench.load(&module).await.unwrap();
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
    let store = Store::open(folder.path(), engine().identity(), 1).unwrap();
    store.keep_bundle("needed", b"one");
    store.keep_bundle("left", b"two");
    store.keep_snapshot("left", b"three");
    store.sweep(&["needed".to_owned()].into());
    assert!(folder.path().join("bundles/needed").exists());
    assert!(!folder.path().join("bundles/left").exists());
    let left = std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().unwrap().unwrap().path().join("left");
    assert!(!left.exists());
}
