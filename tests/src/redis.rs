//! A redis-server of a test's own, in a folder of its own, behind a socket there.

use std::{
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// See the [module](self). It ends when this is dropped.
pub struct Redis {
    folder: TempDir,
    child: Child,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Redis {
        let folder = TempDir::new().unwrap();
        let child = spawn(&folder);
        let redis = Redis { folder, child };
        redis.wait();
        redis
    }

    /// The settings of an executor that shares counters and kv through it. It waits as long as can be: a machine that is busy with
    /// something else is not a Redis that is away.
    pub fn settings(&self) -> String {
        let socket = self.socket();
        let socket = socket.display();
        format!("[counters]\nredis_url = \"redis+unix://{socket}\"\nredis_timeout_ms = 10000\nredis_retry_ms = 100\n")
    }

    /// Kills it, as a crash would: what it had is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew, empty, where it was.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = spawn(&self.folder);
        self.wait();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn wait(&self) {
        crate::until("redis-server answers", || UnixStream::connect(self.socket()).ok());
    }
}

fn spawn(folder: &TempDir) -> Child {
    let started = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(folder.path().join("s"))
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.unwrap_or_else(|e| {
        panic!("redis-server could not be started ({e}): these tests need it; install the package redis-server")
    })
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
