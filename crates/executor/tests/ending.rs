//! The end of the true binary: whatever hangs on it, it answers what runs, keeps its audit, and ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{Event, Fake, PATIENCE, Taking, flow, metric, request, start, story, tenant, until, version};
use rustix::process::{Pid, Signal, kill_process};
use sluice_api::{
    distribution::v1::{VersionState, resource::Resource},
    executor::v1::execution_service_client::ExecutionServiceClient,
    types::v1 as types,
};
use std::{
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const FOREVER: &str = "(() => { while (true) {} })()";

/// The process of an executor.
struct Process {
    child: Child,
    executor: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    async fn start(control: &str, data: &Path, settings: &[&str]) -> Process {
        let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-engine");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-executor"));
        command.args(["--control-url", control, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--data").arg(data).arg("--set").arg(format!("engine.cache={}", engine.display()));
        command.args(["--set", "engine.max_runs=32"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let log = std::fs::File::create(data.join("log.txt")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let file = data.join("addresses.json");
        until(async || file.exists()).await;
        let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let address = |key: &str| addresses[key].as_str().unwrap().parse().unwrap();
        Process { child, executor: address("executor"), admin: address("admin") }
    }

    /// An admin page: its code and its text.
    async fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let code = text.split(' ').nth(1).unwrap().parse().unwrap();
        (code, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    async fn is_ready(&self) -> bool {
        self.page("/readyz").await.0 == 200
    }

    async fn metric(&self, name: &str) -> f64 {
        metric(&self.page("/metrics").await.1, name, "")
    }

    fn url(&self) -> String {
        format!("http://{}", self.executor)
    }

    fn signal(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends by itself").unwrap()
    }
}

fn resources(fake: &Fake) -> Vec<Resource> {
    // A second of CPU.
    let limits = Some(types::VersionLimits { cpu_ms: 1_000, wall_ms: 5_000 });
    let version = VersionState { limits, ..version("acme", "1.0.0", &fake.bundle(FOREVER)) };
    let mut flow = flow("acme", 1, "1.0.0");
    for slot in &mut flow.flow.as_mut().unwrap().slots {
        slot.budget_ms = 10_000;
    }
    vec![tenant("acme"), Resource::Version(version), Resource::FlowRevision(flow)]
}

#[tokio::test]
async fn an_executor_without_a_state_is_alive_and_not_ready_and_a_signal_ends_it() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    fake.go_away().await;
    let mut process = Process::start(&fake.url(), data.path(), &["drain.notice_ms=0", "drain.timeout_s=5"]).await;
    let (code, alive) = process.page("/healthz").await;
    let alive: serde_json::Value = serde_json::from_str(&alive).unwrap();
    assert_eq!((code, &alive["status"]), (200, &"alive".into()));
    assert_eq!(alive["details"]["executor"]["state"], serde_json::Value::Null);
    let (code, why) = process.page("/readyz").await;
    assert_eq!(code, 503);
    let why: serde_json::Value = serde_json::from_str(&why).unwrap();
    let state = why["reasons"]["state"].as_str().unwrap();
    assert!(state.contains("state.log") && state.contains(&fake.url()), "{state}");
    assert_eq!(why["reasons"].as_object().unwrap().len(), 1, "{why}");
    process.signal();
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn a_signal_ends_it_whatever_hangs_on_it_and_nothing_that_ran_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let bounds = ["drain.notice_ms=0", "drain.timeout_s=8", "audit.drain_timeout_s=1"];
    let mut process = Process::start(&fake.url(), data.path(), &bounds).await;
    fake.push(1, true, resources(&fake));
    fake.acked(1).await;
    until(async || process.is_ready().await).await;
    // From here on nobody takes audit.
    fake.go_away().await;

    let channel = Channel::from_shared(process.url()).unwrap().connect().await.unwrap();
    let mut probe = HealthClient::new(channel);
    let mut health = probe.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status, 1, "serving");
    // A client that speaks HTTP/2 up to half of its headers, and never reads.
    let mut stuck = TcpStream::connect(process.executor).await.unwrap();
    stuck.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x10\x01\x04\0\0\0\x01").await.unwrap();

    let client = ExecutionServiceClient::connect(process.url()).await.unwrap();
    let calls: Vec<_> = (0..4)
        .map(|n| {
            let mut client = client.clone();
            tokio::spawn(async move { client.execute(request(|r| r.execution_id = format!("e-{n}"))).await })
        })
        .collect();
    until(async || process.metric("sluice_executor_runs_in_flight").await > 3.5).await;
    process.signal();
    for call in calls {
        let answer = call.await.unwrap().expect("what runs is answered").into_inner();
        assert_eq!(answer.results.len(), 1);
    }
    // The probe is told that nobody should come any more, and its stream ends.
    while let Some(change) = health.message().await.unwrap() {
        assert_eq!(change.status, 2, "not serving");
    }
    assert!(process.ended().await.success());
    drop(stuck);

    // Its audit is in the spool, and the next one ships it.
    fake.come_back().await;
    let _next = start(&fake, data.path(), |_| {}).await;
    while fake.records().len() < 4 {
        fake.wait_for(|event| matches!(event, Event::Batch { .. }).then_some(())).await;
        tokio::task::yield_now().await;
    }
    let mut executions: Vec<String> = fake.records().into_values().map(|record| record.execution_id).collect();
    executions.sort();
    assert_eq!(executions, ["e-0", "e-1", "e-2", "e-3"]);
}

#[tokio::test]
async fn an_answer_that_waits_for_an_acknowledgement_is_not_given_without_it_and_holds_up_no_end() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let settings = ["audit.durability=acked", "drain.notice_ms=0", "drain.timeout_s=1", "audit.drain_timeout_s=1"];
    let mut process = Process::start(&fake.url(), data.path(), &settings).await;
    fake.push(1, true, story(&fake, "({ kind: 'continue' })"));
    fake.acked(1).await;
    fake.taking(Taking::Silent);
    let mut client = ExecutionServiceClient::connect(process.url()).await.unwrap();
    let call = tokio::spawn(async move { client.execute(request(|_| {})).await });
    fake.wait_for(|event| matches!(event, Event::Batch { .. }).then_some(())).await;
    process.signal();
    assert!(call.await.unwrap().is_err());
    assert!(process.ended().await.success());
    let kept = std::fs::read_dir(data.path().join("spool")).unwrap().count();
    assert_eq!(kept, 1, "what nobody acknowledged stays");
}

#[tokio::test]
async fn after_a_kill_and_without_a_control_plane_sign_ins_go_on() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let mut first = Process::start(&fake.url(), data.path(), &[]).await;
    fake.push(1, true, resources(&fake));
    fake.acked(1).await;
    first.child.kill().await.unwrap();
    std::fs::remove_file(data.path().join("addresses.json")).unwrap();
    fake.go_away().await;
    let second = Process::start(&fake.url(), data.path(), &[]).await;
    until(async || second.is_ready().await).await;
    let mut client = ExecutionServiceClient::connect(second.url()).await.unwrap();
    let answer = client.execute(request(|_| {})).await.unwrap().into_inner();
    assert_eq!((answer.flow_revision, answer.results.len()), (1, 1));
    let alive: serde_json::Value = serde_json::from_str(&second.page("/healthz").await.1).unwrap();
    assert_eq!(alive["details"]["executor"]["state"]["cursor"], 1);
}
