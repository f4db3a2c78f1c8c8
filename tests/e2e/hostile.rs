//! Actions that mean harm end with their reason, while a neighbour is served.

use serde_json::{Value, json};
use sluice_tests::{Cli, Planes};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const HOSTILE: &[(&str, &str, &str)] = &[
    ("endless-loop", "cpu_limit", "while (true) {}"),
    ("memory-bomb", "memory_limit", "const all: ArrayBuffer[] = []; for (;;) all.push(new ArrayBuffer(4 << 20))"),
    ("endless-recursion", "threw", "const again = (): number => 1 + again(); again(); return { kind: 'continue' }"),
    ("never-settles", "never_settled", "await new Promise(() => {}); return { kind: 'continue' }"),
    ("hostile-outcome", "invalid_outcome", "return { kind: 'continue', get state() { return { a: NaN } } } as never"),
    ("unknown-kind", "invalid_outcome", "return { kind: 'allow' } as never"),
    ("throws", "threw", "throw new Error('on purpose')"),
];

#[test]
fn hostile_actions_end_with_their_reason_while_a_neighbour_is_served() {
    let planes = Planes::start();
    let cli = planes.cli("acme");
    let neighbour = planes.cli("neighbour");
    let input = planes.file("input.json", r#"{"user": {"id": "u1"}}"#);
    for tenant in ["acme", "neighbour"] {
        cli.run(&["tenant", "create", tenant]);
    }
    attach(&planes, &neighbour, "fine", "return { kind: 'continue', state: { served: true } }");
    for (slug, _, body) in HOSTILE {
        attach(&planes, &cli, slug, body);
    }

    let (done, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Also when an assertion ends this thread: the neighbour's would go on for ever.
        let _end = SetOnDrop(&done);
        scope.spawn(|| {
            let _end = SetOnDrop(&done);
            while !done.load(Relaxed) {
                let answer = execute(&neighbour, "fine", &input);
                assert_eq!(answer["state"], json!({"served": true}), "{answer}");
                served.fetch_add(1, Relaxed);
            }
        });
        for _ in 0..2 {
            for (slug, reason, _) in HOSTILE {
                let before = served.load(Relaxed);
                let answer = execute(&cli, slug, &input);
                assert_eq!(answer["results"][0]["failure"]["reason"], *reason, "{slug}: {answer}");
                assert_eq!(answer["verdict"], "block", "{slug}: the default policy blocks");
                assert_eq!(answer["decided_by"]["reason_code"], "action_failed", "{slug}");
                // The neighbour gets its turn whatever happens beside it.
                while served.load(Relaxed) == before && !done.load(Relaxed) {
                    std::thread::yield_now();
                }
            }
        }
    });

    // A thrown error is told at the author's own line.
    let failure = &execute(&cli, "throws", &input)["results"][0]["failure"];
    assert_eq!((&failure["file"], &failure["line"]), (&json!("src/index.ts"), &json!(2)), "{failure}");
    assert!(failure["message"].as_str().is_some_and(|m| m.contains("on purpose")));
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn attach(planes: &Planes, cli: &Cli, slug: &str, body: &str) {
    let source = format!("export async function execute(input: Input): Promise<Outcome> {{\n  {body}\n}}\n");
    // Its own limit is what each runs into: time enough for those that mean to use up something else.
    let limits = if slug == "endless-loop" { "" } else { "[limits]\ncpu_ms = 1000\nwall_ms = 5000" };
    let package = planes.package(slug, slug, limits, &source);
    cli.run(&["action", "publish", &package]);
    cli.run(&["flow", "create", slug]);
    cli.run(&["flow", "attach", slug, "--trigger", "post-login", "--action", &format!("{slug}@1.0.0")]);
}

fn execute(cli: &Cli, flow: &str, input: &str) -> Value {
    cli.run(&["execute", flow, "--trigger", "post-login", "--input", input])
}
