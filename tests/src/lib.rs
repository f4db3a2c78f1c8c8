//! What the end-to-end tests stand on: the real binaries as separate processes on free loopback ports, each with a data
//! folder of its own, driven by the real command line.
//!
//! Every process that is started here is ended here, and only those. Nothing sleeps for a guessed time: a process is up
//! when it has written its addresses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

pub mod attempts;
pub mod cluster;
pub mod component;
pub mod document;
pub mod load;
pub mod meddler;
pub mod receiver;
pub mod redis;
pub mod refusal;
pub mod signatures;
pub mod third_party;
pub mod trail;
pub mod world;

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a process may take until it is up, or down: far more than it needs, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a test repeats what it does: `fast` times, or `full` times where the environment has `TESTS_FULL`.
pub fn rounds(fast: usize, full: usize) -> usize {
    if std::env::var_os("TESTS_FULL").is_some() { full } else { fast }
}

/// The path of one of the product's binaries, built beside the test that asks.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is not built: cargo build --release --workspace", path.display());
    path
}

/// A server process with its data folder.
pub struct Server {
    name: &'static str,
    child: Child,
    data: TempDir,
    addresses: Value,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Server {
    /// Starts a binary with `--data` and free ports, and waits until it has bound them.
    pub fn start(name: &'static str, arguments: &[&str]) -> Server {
        Server::start_in(name, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn start_in(name: &'static str, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let variables: Vec<_> = variables.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let data = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let child = spawn(name, data.path(), &arguments, &variables);
        let mut server = Server { name, child, data, addresses: Value::Null, arguments, variables };
        server.wait_for_addresses();
        server
    }

    /// Ends the process at once, as `kill -9` does: it cannot finish anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the addresses and with the data that it had.
    pub fn start_again(&mut self) {
        let address = |key: &str| self.addresses[key].as_str().unwrap().to_owned();
        let main = if self.addresses["control"].is_string() { "control" } else { "executor" };
        for (flag, key) in [("--listen", main), ("--admin-listen", "admin")] {
            if let Some(at) = self.arguments.iter().position(|a| a == flag) {
                self.arguments[at + 1] = address(key);
            }
        }
        // Its own old file must not be taken for the new one's.
        std::fs::remove_file(self.data.path().join("addresses.json")).unwrap();
        self.child = spawn(self.name, self.data.path(), &self.arguments, &self.variables);
        self.wait_for_addresses();
    }

    fn wait_for_addresses(&mut self) {
        let file = self.data.path().join("addresses.json");
        self.addresses = self.wait_for("its addresses", |_| {
            let text = std::fs::read_to_string(&file).ok()?;
            serde_json::from_str(&text).ok()
        });
    }

    /// A bound address by its name in `addresses.json`, as a URL.
    pub fn url(&self, key: &str) -> String {
        let address = self.addresses[key].as_str();
        format!(
            "http://{}",
            address.unwrap_or_else(|| panic!("{} has no {key} address: {}", self.name, self.addresses))
        )
    }

    /// Asks the process to end, and answers how it did.
    pub fn terminate(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "{} does not end; its log:\n{}", self.name, self.log());
            pause();
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log.txt")).unwrap_or_default()
    }

    fn wait_for(&mut self, what: &str, mut probe: impl FnMut(&mut Server) -> Option<Value>) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = probe(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended ({status}); its log:\n{}", self.name, self.log());
            }
            assert!(Instant::now() < until, "{} does not show {what}; its log:\n{}", self.name, self.log());
            pause();
        }
    }
}

/// Starts a process. Its log goes on where the one before it ended.
fn spawn(name: &str, data: &Path, arguments: &[String], variables: &[(String, String)]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(data.join("log.txt")).unwrap();
    Command::new(binary(name))
        .args(arguments)
        .envs(variables.iter().map(|(k, v)| (k, v)))
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.name, self.log());
        }
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Between two looks at something that another process does.
#[allow(clippy::disallowed_methods, reason = "a test's own thread, between two looks at another process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Looks again and again until there is something; far longer than it needs, so that only a hang fails.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        pause();
    }
}

/// Free ports, for either server.
const FREE_PORTS: &[&str] = &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// An executor of the control plane at `url`, with these variables in its environment.
pub fn executor(url: &str, variables: &[(&str, &str)]) -> Server {
    Server::start_in("sluice-executor", &[FREE_PORTS, &["--control-url", url]].concat(), variables)
}

/// A control plane.
pub fn control_plane() -> Server {
    Server::start("sluice-control-plane", FREE_PORTS)
}

/// One control plane and one executor, as separate processes, and a folder for packages.
pub struct Planes {
    /// The control plane.
    pub control: Server,
    /// The executor.
    pub executor: Server,
    /// For packages and inputs.
    pub folder: TempDir,
}

impl Planes {
    /// Starts both and waits until the executor is connected.
    pub fn start() -> Planes {
        let control = control_plane();
        let executor = executor(&control.url("control"), &[]);
        Planes { control, executor, folder: TempDir::new().unwrap() }
    }

    /// The command line, for a tenant.
    pub fn cli(&self, tenant: &str) -> Cli {
        Cli { control: self.control.url("control"), executor: self.executor.url("executor"), tenant: tenant.to_owned() }
    }

    /// Writes a file into the folder and answers its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Writes a package of one module and answers its folder. `extra` is more lines of action.toml.
    pub fn package(&self, folder: &str, slug: &str, extra: &str, source: &str) -> String {
        let triggers = if extra.contains("triggers") { "" } else { "triggers = [\"post-login\", \"pre-login\"]\n" };
        let manifest = format!("slug = \"{slug}\"\nname = \"{slug}\"\ndescription = \"A test.\"\n{triggers}{extra}\n");
        self.file(&format!("{folder}/action.toml"), &manifest);
        self.file(&format!("{folder}/src/index.ts"), source);
        self.folder.path().join(folder).to_str().unwrap().to_owned()
    }
}

/// The command line for one tenant.
pub struct Cli {
    control: String,
    executor: String,
    tenant: String,
}

impl Cli {
    /// Runs a command as it is.
    pub fn raw(&self, arguments: &[&str]) -> Output {
        Command::new(binary("sluice"))
            .args(arguments)
            .env("SLUICE_CONTROL_URL", &self.control)
            .env("SLUICE_EXECUTOR_URL", &self.executor)
            .env("SLUICE_TENANT", &self.tenant)
            // Whoever runs the tests may have profiles.
            .env("XDG_CONFIG_HOME", "/nowhere")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command with `--json`; it must succeed. Answers what it printed.
    pub fn run(&self, arguments: &[&str]) -> Value {
        let output = self.raw(&[arguments, &["--json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "sluice {}: {}\n{out}{err}", arguments.join(" "), output.status);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("sluice {}: not JSON ({e}): {out}", arguments.join(" ")))
    }

    /// The same, asked again while it is refused for this reason: for what another process is about to become.
    pub fn eventually(&self, arguments: &[&str], until_not: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let output = self.raw(&[arguments, &["--json"]].concat());
            if output.status.success() || !String::from_utf8_lossy(&output.stderr).contains(until_not) {
                return self.run(arguments);
            }
            assert!(Instant::now() < until, "sluice {}: still {until_not}", arguments.join(" "));
            pause();
        }
    }

    /// Runs a command with `--json`; it must be refused with exit code 1. Answers the `error` of the refusal.
    pub fn refused(&self, arguments: &[&str]) -> Value {
        let output = self.raw(&[arguments, &["--json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "sluice {}: {out}{err}", arguments.join(" "));
        let refusal: Value = serde_json::from_str(err.trim())
            .unwrap_or_else(|e| panic!("sluice {}: not JSON ({e}): {err}", arguments.join(" ")));
        refusal["error"].clone()
    }
}
