//! What components cost beside TypeScript: `cargo bench -p sluice-sandbox --bench components`.
//!
//! The allow-list of the other bench, in Rust (`benches/allow-list`, which is built here; it needs the target wasm32-wasip2), takes turns
//! with the one in TypeScript. `-- FILE` measures a component of yours on the same input instead.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

mod rows;

use bytes::Bytes;
use rows::{ALLOW_LIST, Dice, ROW, Row, bundle, input, measure, resident_mib, target};
use sluice_model::Limits;
use sluice_sandbox::{EncodedInput, Engine, EngineOptions, NoPorts, RunRequest, Snapshot};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const MANY: usize = 1_000;

/// Builds the allow-list in Rust.
fn in_rust(target: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/allow-list");
    let arguments = ["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2"];
    let built =
        Command::new(env!("CARGO")).args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target).status();
    assert!(built.unwrap().success());
    target.join("wasm32-wasip2/release/allow_list.wasm")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let folder = std::env::temp_dir().join(format!("sluice-bench-{}", std::process::id()));
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let file = asked.map_or_else(|| in_rust(&folder.join("target")), PathBuf::from);
    let component = Bytes::from(std::fs::read(file).unwrap());
    let options = EngineOptions { cache_dir: Some(folder.join("cache")), ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();

    let typescript = Arc::new(engine.snapshot(&bundle(ALLOW_LIST)).await.unwrap());
    let started = Instant::now();
    let rust = Arc::new(engine.component(&component).await.unwrap());
    let compiled = started.elapsed();
    let packed = rust.to_bytes(&engine);
    let encoded = EncodedInput::from_json(&input()).unwrap();
    let run = async |snapshot: &Arc<Snapshot>| {
        let limits = Limits { cpu_ms: 1_000, wall_ms: 5_000 };
        let request = RunRequest { input: encoded.clone(), limits, now: None, ports: Arc::new(NoPorts) };
        let report = engine.run(snapshot, request).await;
        assert!(report.outcome.is_ok(), "{report:?}");
    };
    let before = resident_mib();
    // Each is loaded for itself from the cache folder, and shares nothing with the others.
    let many: Vec<_> = (0..MANY).map(|_| Arc::new(Snapshot::from_bytes(&engine, &packed).unwrap())).collect();
    let loaded = resident_mib() - before;
    let mut dice = Dice(0x9e37_79b9);
    println!("{:56} {:>9} {:>9}", "microseconds a call, median round", "CPU", "wall");
    let mut rows = [
        Row::new("allow-list in TypeScript", Box::new(|| Box::pin(run(&typescript)))),
        Row::new("the component", Box::new(|| Box::pin(run(&rust)))),
        Row::new("1,000 components at random", Box::new(|| Box::pin(run(&many[dice.roll(MANY)])))),
        Row::new(
            "first call, compiled code in the cache folder",
            Box::new(|| Box::pin(async { run(&Arc::new(Snapshot::from_bytes(&engine, &packed).unwrap())).await })),
        ),
    ];
    measure(&mut rows, ROW).await;
    println!();
    target("the component over TypeScript, wall", rows[1].wall() / rows[0].wall(), 1.5, "times");
    println!("{:56} {:>9.2} s", "compiling it", compiled.as_secs_f64());
    println!("{:56} {:>9.1} KiB of WebAssembly", "its size", component.len() as f64 / 1024.0);
    println!("{:56} {:>9.1} KiB", "machine code and initial memory, as it says", rust.memory_bytes() as f64 / 1024.0);
    println!("{:56} {loaded:>9.1} MiB more", "memory of the process with 1,000 of them");
    std::fs::remove_dir_all(folder).unwrap();
}
