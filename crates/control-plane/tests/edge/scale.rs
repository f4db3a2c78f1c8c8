//! What a large platform costs: measurements, printed, of the binary as a process of its own.
//!
//! `cargo test --release -p sluice-control-plane --test edge -- --ignored --nocapture scale`

use crate::support::{PROGRAM, Plane, attachment, domain_check, with_config};
use crate::watching::{Executor, hello};
use serde_json::{Value, json};
use sluice_api::distribution::v1::distribution_service_client::DistributionServiceClient;
use sluice_api::distribution::v1::watch_request;
use sluice_control_plane::store::{Batch, Key, MetaStore as _, SledStore};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::Channel;

const TENANTS: usize = 100;
const ACTIONS: usize = 100;
const FLOWS: usize = 20;
const WATCHERS: usize = 50;
/// The path of a value in a row: the same row for another tenant, Action or flow.
type Change<'a> = &'a dyn Fn(&mut Value);

/// Copies a row of the store.
async fn copy(store: &SledStore, from: Key, to: Key, change: Change<'_>) -> (Key, Vec<u8>) {
    let row = store.get(&from).await.unwrap().unwrap_or_else(|| panic!("{from}"));
    let mut value: Value = serde_json::from_slice(&row.value).unwrap();
    change(&mut value);
    (to, serde_json::to_vec(&value).unwrap())
}

/// Fills a store that has tenant `acme` with `domain-check@1.0.0` attached once in revision 2 of flow `login`: so many
/// tenants with so many Actions, each attached once, five to a flow.
async fn fill(store: &SledStore) {
    let tenant_key = |tenant: &str| Key::platform("tenant").text(tenant);
    let row_key = |tenant: &str, kind: &str, name: &str| {
        Key::tenant(&sluice_model::Slug::parse(tenant).unwrap(), kind).text(name)
    };
    let version = |tenant: &str, slug: &str| row_key(tenant, "version", slug).number(1).number(0).number(0).number(1);
    for t in 0..TENANTS {
        let tenant = format!("t{t:03}");
        let own = |value: &mut Value| value["tenant"] = json!(tenant);
        let mut rows = vec![copy(store, tenant_key("acme"), tenant_key(&tenant), &own).await];
        for a in 0..ACTIONS {
            let slug = format!("action-{a:03}");
            let named = |value: &mut Value| {
                value["slug"] = json!(slug);
                if value.get("tenant").is_some() {
                    value["tenant"] = json!(tenant);
                }
            };
            let action = (row_key("acme", "action", "domain-check"), row_key(&tenant, "action", &slug));
            rows.push(copy(store, action.0, action.1, &named).await);
            rows.push(copy(store, version("acme", "domain-check"), version(&tenant, &slug), &named).await);
        }
        for f in 0..FLOWS {
            let flow = format!("flow-{f:03}");
            let named = |value: &mut Value| {
                value["flow"] = json!(flow);
                let Some(slots) = value.get_mut("slots") else { return };
                let template = slots[0]["attachments"][0].clone();
                let attachments = (0..ACTIONS / FLOWS).map(|i| {
                    let mut attachment = template.clone();
                    attachment["slug"] = json!(format!("action-{:03}", f * (ACTIONS / FLOWS) + i));
                    attachment["id"] = json!(format!("att-{f}-{i}"));
                    attachment
                });
                slots[0]["attachments"] = attachments.collect();
                value["tenant"] = json!(tenant);
            };
            rows.push(copy(store, row_key("acme", "flow", "login"), row_key(&tenant, "flow", &flow), &named).await);
            let revision = |tenant: &str, flow: &str| row_key(tenant, "revision", flow).number(2);
            rows.push(copy(store, revision("acme", "login"), revision(&tenant, &flow), &named).await);
        }
        let batch = rows.into_iter().fold(Batch::new(), |batch, (key, value)| batch.put(key, value));
        store.commit(batch).await.unwrap();
    }
}

struct Process {
    child: Child,
}

impl Process {
    /// A line of `/proc/<pid>/status`, in KiB.
    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        found.trim_matches([':', '\t', ' ']).split(' ').next().unwrap().parse().unwrap()
    }

    /// The CPU time that it has taken, in hundredths of a second.
    fn cpu(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

async fn start(data: &Path) -> (Process, Channel) {
    let child = Command::new(PROGRAM)
        .arg("--data")
        .arg(data)
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--set", "log.level=warn"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process { child };
    let file = data.join("addresses.json");
    let mut every = tokio::time::interval(Duration::from_millis(5));
    let addresses: Value = loop {
        every.tick().await;
        if let Some(found) = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            break found;
        }
    };
    let url = format!("http://{}", addresses["control"].as_str().unwrap());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    (process, channel)
}

async fn told(channel: Channel, name: String) -> (Duration, usize, Executor) {
    let begun = Instant::now();
    let distribution = DistributionServiceClient::new(channel).max_decoding_message_size(16 << 20);
    let first = watch_request::Message::Hello(hello(&name));
    let mut executor = Executor::connect_by(distribution, first).await.unwrap();
    let state = executor.applied().await;
    (begun.elapsed(), state.upserts.len(), executor)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: 10,000 Actions, 50 executors that connect at once"]
async fn scale_of_many_executors_and_actions() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::with_acme().await;
    plane.publish("acme", &domain_check()).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    let config = json!({"domains": ["a.example", "b.example"]});
    plane.attach(with_config(attachment("domain-check", ""), config)).await.unwrap();
    let data = folder.path().join("plane");
    plane.end_into(&data).await;
    let store = SledStore::open(data.join("meta"), 100_000).await.unwrap();
    fill(&store).await;
    drop(store);

    let (process, channel) = start(&data).await;
    let mib = |kib: u64| format!("{}.{} MiB", kib >> 10, ((kib & 1023) * 10) >> 10);
    eprintln!("{} Actions of {TENANTS} tenants in {} flows", TENANTS * ACTIONS, TENANTS * FLOWS);
    eprintln!("started: {} resident", mib(process.memory("VmRSS")));
    let (took, resources, first) = told(channel.clone(), "first".into()).await;
    eprintln!("one executor: {resources} resources in {took:?}; {} resident", mib(process.memory("VmRSS")));
    drop(first);
    drop((process, channel));

    let _gone = std::fs::remove_file(data.join("addresses.json"));
    let (process, channel) = start(&data).await;
    let cpu = process.cpu();
    let begun = Instant::now();
    let all = (0..WATCHERS).map(|i| tokio::spawn(told(channel.clone(), format!("e{i:02}"))));
    let all = futures_util::future::join_all(all).await;
    let took = begun.elapsed();
    let slowest = all.iter().map(|told| told.as_ref().unwrap().0).max().unwrap();
    let ten_ms = process.cpu() - cpu;
    eprintln!(
        "{WATCHERS} executors at once: all of them have everything after {took:?} (slowest {slowest:?}); {}0 ms of CPU; {} \
         resident, {} at most",
        ten_ms,
        mib(process.memory("VmRSS")),
        mib(process.memory("VmHWM"))
    );
    assert!(all.iter().all(|told| told.as_ref().unwrap().1 == resources));
}
