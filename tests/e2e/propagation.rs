//! How long a pin takes until it is what runs, on three executors, over separate processes. Printed.
//!
//! `cargo test --release -p sluice-tests --test propagation -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at the first surprise, and prints")]

use sluice_api::{
    control::v1::{PinAttachmentRequest, flow_service_client::FlowServiceClient},
    executor::v1::{ExecuteRequest, ExecuteResponse, execution_service_client::ExecutionServiceClient},
};
use sluice_tests::{Planes, Server};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Executors besides the one that the planes come with.
const MORE_EXECUTORS: usize = 2;
/// Versions that no executor has had before they are pinned.
const VERSIONS: usize = 40;
/// Pins of versions that every executor has.
const REPINS: usize = 1_000;
/// Between two looks at an executor.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[test]
#[ignore = "a measurement"]
fn propagation_of_pins_to_three_executors() {
    let planes = Planes::start();
    let control = planes.control.url("control");
    let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--control-url", &control];
    let more: Vec<Server> = (0..MORE_EXECUTORS).map(|_| Server::start("sluice-executor", &ports)).collect();
    let executors: Vec<String> =
        std::iter::once(&planes.executor).chain(&more).map(|executor| executor.url("executor")).collect();
    let acme = planes.cli("acme");
    acme.run(&["tenant", "create", "acme"]);
    acme.run(&["flow", "create", "login"]);
    let mut attachment = String::new();
    for number in 0..VERSIONS {
        let source =
            format!("export async function execute() {{ return {{ kind: 'continue', reason_code: 'v{number}' }} }}\n");
        let package = planes.package("who", "who", "", &source);
        acme.run(&["action", "publish", &package]);
        if number == 0 {
            let saved = acme.run(&["flow", "attach", "login", "--trigger", "post-login", "--action", "who@1.0.0"]);
            assert_eq!(saved["rollout"], serde_json::json!({"have": MORE_EXECUTORS + 1, "waiting": 0}));
            attachment = saved["attachment"].as_str().unwrap().to_owned();
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let flows = FlowServiceClient::connect(control.clone()).await.unwrap();
        let mut watched = Vec::new();
        for url in executors {
            watched.push(ExecutionServiceClient::connect(url).await.unwrap());
        }
        let pins = Pins { flows, attachment, executors: watched };
        let new = pins.measure((1..VERSIONS).collect()).await;
        report("first pins of versions", new);
        let known = pins.measure((0..REPINS).map(|i| i % VERSIONS).collect()).await;
        report("re-pins of versions that are known", known);
    });
}

struct Pins {
    flows: FlowServiceClient<Channel>,
    attachment: String,
    executors: Vec<ExecutionServiceClient<Channel>>,
}

impl Pins {
    /// Pins patch after patch, each as soon as the one before runs everywhere: how long each took from when it was asked for.
    async fn measure(&self, patches: Vec<usize>) -> Vec<Duration> {
        let mut took = Vec::with_capacity(patches.len());
        for patch in patches {
            let version = format!("1.0.{patch}");
            let request = PinAttachmentRequest {
                tenant: "acme".into(),
                flow: "login".into(),
                attachment: self.attachment.clone(),
                version: version.clone(),
                ..Default::default()
            };
            let begun = Instant::now();
            let saved = self.flows.clone().pin_attachment(request).await.unwrap().into_inner().saved.unwrap();
            let runs = self.executors.iter().map(|executor| runs(executor.clone(), saved.revision));
            let mut tasks = tokio::task::JoinSet::new();
            runs.for_each(|run| drop(tasks.spawn(run)));
            while let Some(answer) = tasks.join_next().await {
                let answer = answer.unwrap();
                // One pin at a time: nothing newer than this one can be there.
                assert_eq!(
                    (answer.flow_revision, answer.results[0].version.as_str()),
                    (saved.revision, version.as_str())
                );
            }
            took.push(begun.elapsed());
        }
        took
    }
}

/// The first answer that is of this revision.
async fn runs(mut executor: ExecutionServiceClient<Channel>, revision: u64) -> ExecuteResponse {
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let request = ExecuteRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            trigger: "post-login".into(),
            ..Default::default()
        };
        let answer = executor.execute(request).await.unwrap().into_inner();
        if answer.flow_revision >= revision {
            return answer;
        }
    }
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let (count, max) = (took.len(), took[took.len() - 1]);
    eprintln!(
        "{count} {what}: runnable on three executors after p50 {:.1?}, p99 {:.1?}, max {max:.1?}",
        at(50),
        at(99)
    );
}
