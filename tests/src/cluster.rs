//! A control plane and executors with settings of their own, a tenant, and Actions that are told by their input what to do.

use crate::{Cli, PATIENCE, Server, binary, control_plane, trail, until};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The tenant.
pub const TENANT: &str = "acme";

/// A line of action.toml for an Action that may take as long as there is: that it is slow here is no finding.
const PATIENT: &str = "\n[limits]\ncpu_ms = 1000\nwall_ms = 5000\n";

/// See the [module](self).
pub struct Cluster {
    /// The control plane.
    pub control: Server,
    /// The executors, in the order of their settings.
    pub executors: Vec<Server>,
    folder: TempDir,
}

impl Cluster {
    /// Starts a control plane and one executor for each text of settings, in TOML, and waits until all are connected.
    pub fn start(settings: &[String]) -> Cluster {
        Cluster::start_with(control_plane(), settings)
    }

    /// The same with a control plane that runs already.
    pub fn start_with(control: Server, settings: &[String]) -> Cluster {
        let folder = TempDir::new().unwrap();
        let url = control.url("control");
        let start = |(number, settings): (usize, &String)| {
            let file = folder.path().join(format!("executor-{number}.toml"));
            fs::write(&file, settings).unwrap();
            let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
            let others = ["--control-url", &url, "--config", file.to_str().unwrap()];
            Server::start("sluice-executor", &[ports.as_slice(), &others].concat())
        };
        let executors = settings.iter().enumerate().map(start).collect();
        let cluster = Cluster { control, executors, folder };
        let cli = cluster.cli(0);
        cli.run(&["tenant", "create", TENANT]);
        until("all executors are connected", || {
            let listed = cli.run(&["executor", "list"]);
            let count = listed["entries"].as_array().map_or(0, Vec::len);
            (count == cluster.executors.len()).then_some(())
        });
        cluster
    }

    /// The command line, with one of the executors.
    pub fn cli(&self, executor: usize) -> Cli {
        Cli {
            control: self.control.url("control"),
            executor: self.executors[executor].url("executor"),
            tenant: TENANT.to_owned(),
        }
    }

    /// The executors' addresses.
    pub fn urls(&self) -> Vec<String> {
        self.executors.iter().map(|e| e.url("executor")).collect()
    }

    /// Publishes an Action of one module and attaches it in a flow of its name. `extra` is more of action.toml.
    pub fn action(&self, slug: &str, extra: &str, source: &str) {
        let package = self.folder.path().join(slug);
        let manifest = format!("slug = \"{slug}\"\nname = \"{slug}\"\ntriggers = [\"post-login\"]\n{extra}\n{PATIENT}");
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("action.toml"), manifest).unwrap();
        fs::write(package.join("src/index.ts"), source).unwrap();
        self.cli(0).run(&["action", "publish", package.to_str().unwrap()]);
        self.flow(slug, slug);
    }

    /// Makes a flow with a published Action attached; it is everywhere when this returns.
    pub fn flow(&self, flow: &str, slug: &str) {
        let cli = self.cli(0);
        cli.run(&["flow", "create", flow]);
        let action = format!("{slug}@1.0.0");
        cli.run(&["flow", "attach", flow, "--trigger", "post-login", "--action", &action]);
        let patient = cli.run(&["flow", "slot", flow, "--trigger", "post-login", "--budget-ms", "10000"]);
        assert_eq!(patient["rollout"], json!({"have": self.executors.len(), "waiting": 0}), "{patient}");
    }

    /// Runs a flow's slot on one of the executors. The Action finds `ask` as `input.user.app_metadata`.
    pub fn run(&self, executor: usize, flow: &str, ask: &Value) -> Value {
        let input = json!({"user": {"id": "u1", "app_metadata": ask}}).to_string();
        let arguments = ["execute", flow, "--trigger", "post-login", "--input", "-", "--logs"];
        self.cli(executor).run_with(&arguments, &input)
    }

    /// The record of an answered run, which has one attachment, as soon as it is there.
    pub fn audit(&self, answer: &Value) -> Value {
        let id = answer["execution_id"].as_str().unwrap();
        until(&format!("audit has the run {id}"), || {
            let page = self.cli(0).run(&["audit", "list", "--execution", id]);
            let entries = page["entries"].as_array().unwrap().clone();
            assert!(entries.len() <= 1, "one run has one record: {entries:?}");
            entries.into_iter().next()
        })
    }

    /// Everything that audit has, as text.
    pub fn whole_audit(&self) -> String {
        let page = self.cli(0).run(&["audit", "list", "--limit", "1000"]);
        assert_eq!(page["next_page_token"].as_str().unwrap_or_default(), "", "one page is all of it");
        page.to_string()
    }

    /// Waits until audit has this many runs; answers how many of them say that an executor counted alone. One that was killed
    /// before it had answered may have run twice.
    pub async fn counted_alone(&self, runs: u64) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let records = trail::records(&self.control.url("control"), TENANT, "flow.action_executed").await;
            let there: HashSet<&str> = records.iter().map(|record| record.execution_id.as_str()).collect();
            if u64::try_from(there.len()).unwrap() == runs {
                return records.iter().filter(|record| record.run.as_ref().unwrap().counters_fallback).count();
            }
            assert!(Instant::now() < end, "audit has {} of {runs} runs", there.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every file under the data folders of all processes, logs included, that has this text.
    pub fn holding(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for server in self.executors.iter().chain([&self.control]) {
            find(server.data.path(), text.as_bytes(), &mut found);
        }
        found
    }

    /// Waits until an executor knows that so many are connected.
    pub fn knows_of(&self, executor: usize, executors: usize) {
        const GAUGE: &str = "sluice_executor_executors";
        let value = format!(" {executors}");
        until(&format!("{GAUGE} is{value}"), || {
            let shown = metrics(&self.executors[executor].url("admin"));
            shown.lines().any(|line| line.starts_with(GAUGE) && line.ends_with(&value)).then_some(())
        });
    }
}

impl Cli {
    /// Runs a command with `--json` and this as its standard input, and answers it as it ended.
    pub fn raw_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(binary("sluice"))
            .args(arguments)
            .arg("--json")
            .env("SLUICE_CONTROL_URL", &self.control)
            .env("SLUICE_EXECUTOR_URL", &self.executor)
            .env("SLUICE_TENANT", &self.tenant)
            // Whoever runs the tests may have profiles.
            .env("XDG_CONFIG_HOME", "/nowhere")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Less than a pipe holds; its end is the end of the input.
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The same; it must succeed. Answers what it printed.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.raw_with(arguments, input);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "sluice {}: {}\n{out}{err}", arguments.join(" "), output.status);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("sluice {}: not JSON ({e}): {out}", arguments.join(" ")))
    }
}

fn find(folder: &Path, text: &[u8], found: &mut Vec<String>) {
    // The servers go on: what the spool has let go of meanwhile is gone.
    let Some(entries) = unless_gone(folder, fs::read_dir(folder)) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, text, found);
        } else if let Some(bytes) = unless_gone(&path, fs::read(&path))
            && bytes.windows(text.len()).any(|window| window == text)
        {
            found.push(path.display().to_string());
        }
    }
}

fn unless_gone<T>(path: &Path, read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
    }
}

/// What a server shows to whoever measures it.
fn metrics(url: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
