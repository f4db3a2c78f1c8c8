//! What the templates cost beside an Action that only returns continue: `cargo bench -p sluice-templates`.
//!
//! Rows take turns in one process, so that a noisy machine is the same for all. Those that count take from counters in memory; those that
//! fetch are not here: webhook-emit is in its mode async.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

#[path = "../../sandbox/benches/rows/mod.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod rows;

use rows::{ROW, Row, bundle, input, measure, target};
use serde_json::{Value, json};
use sluice_compiler::compile;
use sluice_control_plane::catalogue::ports::TestPorts;
use sluice_model::{Limits, schema};
use sluice_sandbox::{EncodedInput, Engine, EngineOptions, NoPorts, Ports, RunRequest, Snapshot};
use sluice_templates::released;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads nothing and decides nothing.
const CONTINUE: &str = "export async function execute(input) { return { kind: 'continue' } }";
/// The most that a template may cost, as a multiple of that.
const TARGET: f64 = 1.5;

/// A usual config.
fn config(slug: &str) -> Value {
    match slug {
        "domain-allowlist" | "domain-blocklist" => json!({"domains": ["example.com", "*.example.org", "acme.io"]}),
        "decorate-token" => json!({"claims": [{"name": "plan", "source": "path", "path": "user.app_metadata.plan"}]}),
        "webhook-emit" => json!({"url": "https://example.com/hook", "secret_ref": "HOOK"}),
        "slack-notify" => json!({"webhook_url_ref": "SLACK", "text": "{{user.name}} has signed in"}),
        "redirect-by-group" => json!({"rules": [{"group": "g2", "url": "https://example.com/team"}]}),
        _ => json!({}),
    }
}

/// One that is ready to be run.
struct Ready {
    slug: &'static str,
    snapshot: Arc<Snapshot>,
    input: EncodedInput,
    ports: Arc<dyn Ports>,
}

async fn ready(engine: &Engine, slug: &'static str, code: Option<&sluice_templates::Template>) -> Ready {
    let mut given = input();
    let Some(template) = code else {
        let snapshot = Arc::new(engine.snapshot(&bundle(CONTINUE)).await.unwrap());
        return Ready { slug, snapshot, input: EncodedInput::from_json(&given).unwrap(), ports: Arc::new(NoPorts) };
    };
    let package = template.package().unwrap();
    let schema = package.schema.as_ref().unwrap();
    let config = schema::fill_defaults(schema.as_json(), config(slug).as_object().unwrap().clone());
    given["context"]["config"] = Value::Object(config.clone());
    // What a host fills in.
    given["user"]["emails"] = json!([{"address": "jane.doe@example.com", "verified": true}]);
    given["context"]["risk"] = json!({"score": 12, "signals": []});
    let ports = TestPorts::of_flags(&package.manifest, &config, BTreeMap::new(), None);
    let snapshot = Arc::new(engine.snapshot(&compile(&package).unwrap()).await.unwrap());
    Ready { slug, snapshot, input: EncodedInput::from_json(&given).unwrap(), ports: Arc::new(ports.at(None)) }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let folder = std::env::temp_dir().join(format!("sluice-bench-{}", std::process::id()));
    let engine = Engine::new(EngineOptions { cache_dir: Some(folder.clone()), ..EngineOptions::default() }).unwrap();
    let mut all = vec![ready(&engine, "continue alone", None).await];
    for template in released() {
        all.push(ready(&engine, template.slug, Some(template)).await);
    }
    let run = async |ready: &Ready| {
        let request = RunRequest {
            input: ready.input.clone(),
            limits: Limits { cpu_ms: 1_000, wall_ms: 5_000 },
            now: None,
            ports: ready.ports.clone(),
        };
        let report = engine.run(&ready.snapshot, request).await;
        assert!(report.outcome.is_ok(), "{}: {report:?}", ready.slug);
    };
    println!("{:56} {:>9} {:>9}", "microseconds a call, median round", "CPU", "wall");
    let mut rows: Vec<Row<'_>> =
        all.iter().map(|ready| Row::new(ready.slug, Box::new(|| Box::pin(run(ready))))).collect();
    measure(&mut rows, ROW).await;
    println!();
    let (floor, rows) = rows.split_first().unwrap();
    for (row, ready) in rows.iter().zip(&all[1..]) {
        target(row.name, row.wall() / floor.wall(), TARGET, "times continue alone");
        println!("{:56} {:>9.1} KiB loaded, once for all tenants", "", ready.snapshot.memory_bytes() as f64 / 1024.0);
    }
    std::fs::remove_dir_all(folder).unwrap();
}
