//! What a run costs, row by row: `cargo bench -p sluice-sandbox --features probe`.
//!
//! The rows take turns, round after round, so that a machine that is busy for a while is so for all of them; each shows the
//! median round's CPU and wall time a call. `-- WORD` runs the rows whose name holds the word, for a profiler. The targets are those of the design; a row that misses its own says so.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

mod rows;

use rows::{ALLOW_LIST, Dice, ROW, Row, bundle, input, measure, resident_mib, target};
use sluice_counters::{Backend, CallId, KeyMaker, Memory, MemoryConfig, Shared, Terms};
use sluice_model::counter::{KvSet, Take, Taken};
use sluice_model::http::{HttpRequest, HttpResponse};
use sluice_model::{Bundle, Limits};
use sluice_sandbox::probe::{EmptyModule, Reused, bare, engine_no_op};
use sluice_sandbox::{Answer, EncodedInput, Engine, EngineOptions, NoPorts, Ports, Refusal, RunRequest, Snapshot};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MANY: usize = 10_000;
/// The rows that need all of them.
const NEED_MANY: [&str; 5] = [
    "one of 10,000, repeated",
    "1,000 different at random",
    "10,000 different at random",
    "first call, snapshot in the cache folder",
    "first call, only the bundle on disk",
];

/// The allow-list, and how often this e-mail address was here in the last hour.
const COUNTED: &str = "
const ALLOWED = new Set(['example.com', 'example.org', 'acme.io', 'initech.com', 'hooli.xyz', 'umbrella.co', 'stark.dev', 'wayne.net',
  'wonka.eu', 'soylent.org', 'tyrell.ai', 'cyberdyne.sys', 'piedpiper.com', 'globex.com', 'vandelay.com', 'sterling.com']);
export async function execute(input) {
  const email = input.user?.email ?? '';
  const at = email.lastIndexOf('@');
  const domain = email.slice(at + 1).toLowerCase();
  if (at < 1 || !ALLOWED.has(domain)) {
    return { kind: 'block', reason_code: 'domain_not_allowed', user_message: `Sign-ins from ${domain} are not allowed.` };
  }
  const taken = await counters.take(email, { limit: 1000000, window_s: 3600 });
  if (!taken.allowed) return { kind: 'block', reason_code: 'too_many_attempts' };
  return { kind: 'continue', annotations: { domain } };
}";

/// Counters in memory as an executor has them, and nothing else.
struct Counters {
    memory: Arc<Memory>,
    keys: Arc<KeyMaker>,
    execution: u32,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}

impl Ports for Counters {
    fn take(&self, take: Take, call: u32) -> Answer<Taken> {
        let key = self.keys.counter(Shared::Attachment("att_1"), &take);
        let call = CallId::new(&self.execution.to_string(), "att_1", call);
        let memory = self.memory.clone();
        Box::pin(async move {
            let terms = Terms::by(tokio::time::Instant::now() + Duration::from_secs(5));
            let answered = memory.take(&key, Some(&call), take.rule(), terms).await;
            answered.map(|answered| answered.taken).map_err(|error| Refusal::Unavailable(error.to_string()))
        })
    }

    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        NoPorts.fetch(request)
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        NoPorts.secret(name)
    }

    fn kv_get(&self, key: String) -> Answer<Option<String>> {
        NoPorts.kv_get(key)
    }

    fn kv_set(&self, set: KvSet) -> Answer<()> {
        NoPorts.kv_set(set)
    }

    fn kv_delete(&self, key: String) -> Answer<()> {
        NoPorts.kv_delete(key)
    }
}

fn main() {
    // One thread, as one worker of a server: what is measured is a call, not the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let cache = std::env::temp_dir().join(format!("sluice-bench-{}", std::process::id()));
    let options = EngineOptions { cache_dir: Some(cache.clone()), ..EngineOptions::default() };
    let started = Instant::now();
    drop(Engine::new(options.clone()).unwrap());
    println!("engine compiled in {:.2} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let engine = Engine::new(options.clone()).unwrap();
    println!("engine from the cache in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);

    let value = input();
    let encoded = EncodedInput::from_json(&value).unwrap();
    println!("input: {} bytes of JSON\n", value.to_string().len());
    println!("{:56} {:>9} {:>9}", "microseconds a call, median round", "CPU", "wall");

    let make = async |code: &str| Arc::new(engine.snapshot(&bundle(code)).await.unwrap());
    let request = || RunRequest {
        input: encoded.clone(),
        limits: Limits { cpu_ms: 1_000, wall_ms: 5_000 },
        now: None,
        ports: Arc::new(NoPorts),
    };
    let run_on = async |engine: &Engine, snapshot: &Arc<Snapshot>, request: RunRequest| {
        let report = engine.run(snapshot, request).await;
        assert!(report.outcome.is_ok(), "{report:?}");
    };
    let run = async |snapshot: &Arc<Snapshot>| run_on(&engine, snapshot, request()).await;

    let allow = make(ALLOW_LIST).await;
    // Each with slots of its own, that nothing else writes to.
    let (with, without) = (Engine::new(options.clone()).unwrap(), bare(options).unwrap());
    let allow_with = Arc::new(with.snapshot(&bundle(ALLOW_LIST)).await.unwrap());
    let allow_without = Arc::new(without.snapshot(&bundle(ALLOW_LIST)).await.unwrap());
    let counted = make(COUNTED).await;
    let (memory, keys) = (Arc::new(Memory::new(MemoryConfig::default())), Arc::new(KeyMaker::new("acme", &[7; 32])));
    let execution = std::cell::Cell::new(0_u32);
    let counters = || {
        execution.set(execution.get().wrapping_add(1));
        Arc::new(Counters { memory: memory.clone(), keys: keys.clone(), execution: execution.get() })
    };
    let looping = make("export function execute() { let n = 0; for (let i = 0; i < 50000; i++) n += i; return { kind: 'continue', annotations: { n } } }").await;
    let large_code = large();
    let large = make(&large_code).await;
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    // A profile of other rows is not to be one of making what they do not use.
    let with_many = word.as_ref().is_none_or(|word| NEED_MANY.iter().any(|name| name.contains(&**word)));
    let mut many = Vec::with_capacity(MANY);
    for i in 0..if with_many { MANY } else { 1 } {
        many.push(make(&ALLOW_LIST.replace("example.org", &format!("tenant{i}.example"))).await);
    }
    let held: usize = many.iter().map(|snapshot| snapshot.memory_bytes()).sum();
    let files: Vec<_> = (0..1_000).map(|i| cache.join(format!("{i}"))).collect();
    for (file, snapshot) in files.iter().zip(&many) {
        std::fs::write(file.with_extension("snapshot"), snapshot.to_bytes(&engine)).unwrap();
    }
    for (i, file) in files.iter().enumerate() {
        std::fs::write(
            file.with_extension("bundle"),
            bundle(&ALLOW_LIST.replace("example.org", &format!("tenant{i}.example"))).to_bytes(),
        )
        .unwrap();
    }

    let empty = EmptyModule::new(&engine).unwrap();
    let reused = tokio::sync::Mutex::new(Reused::new(&engine, &allow).unwrap());
    let (mut one, mut ten) = (Dice(0x9e37_79b9), Dice(0x9e37_79b9));
    let (mut from_cache, mut from_bundle) = (0, 0);
    let mut rows = [
        Row::new("empty module", Box::new(|| Box::pin(async { empty.run().await.unwrap() }))),
        Row::new(
            "engine no-op",
            Box::new(|| {
                Box::pin(async {
                    engine_no_op(&engine).await.unwrap();
                })
            }),
        ),
        Row::new(
            "encoding the input on the host",
            Box::new(|| {
                std::hint::black_box(EncodedInput::from_json(&value).unwrap());
                Box::pin(async {})
            }),
        ),
        Row::new(
            "allow-list, reused instance, nothing restored",
            Box::new(|| {
                Box::pin(async {
                    reused.lock().await.run(&encoded).await.unwrap();
                })
            }),
        ),
        Row::new("allow-list, isolated, warm", Box::new(|| Box::pin(run(&allow)))),
        Row::new(
            "allow-list alone, the web's APIs in the base image",
            Box::new(|| Box::pin(run_on(&with, &allow_with, request()))),
        ),
        Row::new(
            "allow-list alone, no APIs in the base image",
            Box::new(|| Box::pin(run_on(&without, &allow_without, request()))),
        ),
        Row::new(
            "allow-list and a counters.take in memory",
            Box::new(|| Box::pin(run_on(&engine, &counted, RunRequest { ports: counters(), ..request() }))),
        ),
        Row::new("one of 10,000, repeated", Box::new(|| Box::pin(run(&many[4_711])))),
        Row::new("1,000 different at random", Box::new(|| Box::pin(run(&many[one.roll(1_000)])))),
        Row::new("10,000 different at random", Box::new(|| Box::pin(run(&many[ten.roll(MANY)])))),
        Row::new(
            "first call, snapshot in the cache folder",
            Box::new(|| {
                from_cache = (from_cache + 1) % files.len();
                let file = files[from_cache].with_extension("snapshot");
                let (engine, run) = (&engine, &run);
                Box::pin(async move {
                    run(&Arc::new(Snapshot::from_bytes(engine, &std::fs::read(file).unwrap()).unwrap())).await;
                })
            }),
        ),
        Row::new(
            "first call, only the bundle on disk",
            Box::new(|| {
                from_bundle = (from_bundle + 1) % files.len();
                let file = files[from_bundle].with_extension("bundle");
                let (engine, run) = (&engine, &run);
                Box::pin(async move {
                    let bundle = Bundle::from_bytes(&std::fs::read(file).unwrap()).unwrap();
                    run(&Arc::new(engine.snapshot(&bundle).await.unwrap())).await;
                })
            }),
        ),
        Row::new("a loop of 50,000", Box::new(|| Box::pin(run(&looping)))),
        Row::new("a bundle of 100 KB: its snapshot", Box::new(|| Box::pin(async { drop(make(&large_code).await) }))),
        Row::new("a bundle of 100 KB: a run", Box::new(|| Box::pin(run(&large)))),
    ];
    if let Some(word) = word {
        let mut chosen: Vec<_> = rows.into_iter().filter(|row| row.name.contains(&word)).collect();
        measure(&mut chosen, Duration::from_secs(1)).await;
        std::fs::remove_dir_all(&cache).unwrap();
        return;
    }
    measure(&mut rows, ROW).await;

    let of = |name: &str| rows.iter().find(|row| row.name.starts_with(name)).unwrap();
    println!();
    target(
        "isolated over reused, CPU",
        of("allow-list, isolated").cpu() / of("allow-list, reused").cpu(),
        2.0,
        "times",
    );
    target(
        "with the web's APIs over without, unused, wall",
        of("allow-list alone, the web's").wall() / of("allow-list alone, no").wall(),
        1.03,
        "times",
    );
    target(
        "with a counters.take over without, wall",
        of("allow-list and a counters").wall() / of("allow-list, isolated").wall(),
        1.2,
        "times",
    );
    target("10,000 at random over one repeated, wall", of("10,000").wall() / of("one of").wall(), 1.3, "times");
    target("1,000 at random over one repeated, wall", of("1,000").wall() / of("one of").wall(), 1.3, "times");
    target("first call, snapshot in the cache folder", of("first call, snapshot").wall() / 1e3, 1.0, "ms");
    target("first call, only the bundle on disk", of("first call, only").wall() / 1e3, 3.0, "ms");
    target("memory of the process with 10,000 Actions", resident_mib(), 400.0, "MiB");
    let (runs, pages) = sluice_sandbox::probe::spread(&allow);
    println!("{:56} {runs:>9} runs on {pages} pages", "what a snapshot changes in the base image");
    println!("{:56} {:>9.1} KiB", "memory an Action (allow-list)", held as f64 / MANY as f64 / 1024.0);
    println!("{:56} {:>9.1} KiB", "memory of the bundle of 100 KB", large.memory_bytes() as f64 / 1024.0);
    std::fs::remove_dir_all(cache).unwrap();
}

/// 100 KB of code that does something at its top level: functions, a table of them, strings and objects.
fn large() -> String {
    let mut code = String::from("const table = {};\n");
    let mut i = 0;
    while code.len() < 100_000 {
        code.push_str(&format!(
            "function rule{i}(user, limit = {i}) {{\n  const name = user?.name ?? 'nobody-{i}';\n  return name.length > limit ? {{ id: {i}, name }} : null;\n}}\ntable['rule-{i}'] = {{ run: rule{i}, tags: ['tag-{i}', 'all'], weight: {i} / 7 }};\n"
        ));
        i += 1;
    }
    code + "export function execute(input) { return { kind: 'continue', annotations: { rules: Object.keys(table).length, hit: table['rule-3'].run(input.user) !== null } } }"
}
