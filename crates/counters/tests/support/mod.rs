//! A Redis server of a test's own, and what tests ask.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use sluice_counters::{Answered, Backend, BackendError, CallId, Key, KeyMaker, Redis, RedisConfig, Shared, Terms};
use sluice_model::counter::{Rule, Take, Taken};
use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// A time within a window of any length that is used here.
pub const NOW: u64 = 1_790_000_000_000;

/// A redis-server in a folder of its own, behind a socket there; ends with the test.
pub struct Server {
    folder: tempfile::TempDir,
    child: Option<Child>,
    arguments: Vec<String>,
}

impl Server {
    /// Starts one and waits until it answers.
    pub async fn start() -> Server {
        Server::start_with(&[]).await
    }

    pub async fn start_with(arguments: &[&str]) -> Server {
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut server = Server { folder: tempfile::tempdir().unwrap(), child: None, arguments };
        server.restart().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}/s", self.folder.path().display())
    }

    /// Kills it, as a crash would: what it had is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it anew, empty, where it was.
    pub async fn restart(&mut self) {
        self.kill();
        let folder = self.folder.path();
        let started = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.join("s"))
            .arg("--dir")
            .arg(folder)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = started.unwrap_or_else(|e| {
            panic!("redis-server could not be started ({e}): these tests need it; install the package redis-server")
        });
        self.child = Some(child);
        let begun = Instant::now();
        while tokio::net::UnixStream::connect(folder.join("s")).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends it a signal: `STOP` makes it hang, `CONT` ends that.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// A backend of it, patient: a machine that is busy with builds is no finding.
    pub fn backend(&self) -> Redis {
        self.backend_within(Duration::from_secs(20))
    }

    pub fn backend_within(&self, timeout: Duration) -> Redis {
        Redis::new(&RedisConfig { timeout, ..RedisConfig::new(self.url()) }).unwrap()
    }

    /// A connection for the test itself, past the backend.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// A tenant that no other test has.
pub fn tenant() -> KeyMaker {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    KeyMaker::new(&format!("tenant {}", NEXT.fetch_add(1, Ordering::Relaxed)), &[3; 32])
}

/// A take of the key `k`, 5 a minute, changed as said.
pub fn take(change: Value) -> Take {
    let mut whole = json!({"key": "k", "limit": 5, "window_s": 60});
    whole.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    Take::from_json(whole).unwrap()
}

pub fn at(now_ms: u64) -> Terms {
    Terms { now_ms: Some(now_ms), ..live() }
}

pub fn live() -> Terms {
    Terms::by(Instant::now() + Duration::from_secs(30))
}

/// A counter behind a backend.
pub struct Counter<'a> {
    pub backend: &'a dyn Backend,
    pub key: Key,
}

impl Counter<'_> {
    pub async fn ask(&self, rule: Rule, call: Option<&CallId>, terms: Terms) -> Result<Answered, BackendError> {
        self.backend.take(&self.key, call, rule, terms).await
    }

    pub async fn take(&self, take: &Take, now_ms: u64) -> Taken {
        let answered = self.ask(take.rule(), None, at(now_ms)).await.unwrap();
        assert!(!answered.fallback);
        answered.taken
    }

    pub async fn call(&self, take: &Take, call: &CallId, now_ms: u64) -> Taken {
        self.ask(take.rule(), Some(call), at(now_ms)).await.unwrap().taken
    }
}

pub fn counter<'a>(backend: &'a dyn Backend, tenant: &KeyMaker, take: &Take) -> Counter<'a> {
    Counter { backend, key: tenant.counter(Shared::Attachment("a"), take) }
}
