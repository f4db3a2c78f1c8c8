//! The signatures of Standard Webhooks, checked by nothing of ours: by Python's own library.

use serde_json::Value;
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// Standard Webhooks by nothing of ours: a line of standard input is a message, the answer is whether each one's signature fits.
const VERIFIES: &str = r#"
import base64, hashlib, hmac, json, sys

def fits(message):
    prefix, key = message["secret"].split("_", 1)
    assert prefix == "whsec"
    signed = "{id}.{timestamp}.{body}".format(**message).encode()
    mac = hmac.new(base64.b64decode(key), signed, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(mac).decode()
    return any(hmac.compare_digest(wanted, given) for given in message["signature"].split(" "))

messages = [json.loads(line) for line in sys.stdin.buffer.read().splitlines()]
print(json.dumps([fits(message) for message in messages]))
"#;

/// Whether the signature of each message fits: an object of `secret`, `id`, `timestamp`, `signature` and `body`, all texts.
///
/// # Panics
/// There is no python3.
pub fn fit(messages: &[Value]) -> Vec<bool> {
    let started = Command::new("python3")
        .args(["-I", "-c", VERIFIES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = started.unwrap_or_else(|e| {
        panic!("python3 could not be started ({e}): this test needs it; install the package python3")
    });
    let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
    // It answers once it has read all of it.
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "python3: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
