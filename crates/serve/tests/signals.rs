//! Signals: the first drains, the second ends. They reach the whole process, so this test has one of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{request, soon, start_with, watch};
use rustix::process::{Signal, getpid, kill_process};
use sluice_serve::{Drained, Signals};

#[tokio::test]
async fn sigterm_drains_and_a_second_signal_ends_at_once() {
    let server = start_with(true, |config| config.drain.timeout_s = 600);
    let drain = server.drain.clone();
    let mut stream = watch(&server.channel().await, request("stuck", &[])).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");

    let end = tokio::spawn(server.running.until_signal(Signals::listen().unwrap()));
    kill_process(getpid(), Signal::TERM).unwrap();
    soon("the drain", drain.begun()).await;
    assert!(!end.is_finished());
    kill_process(getpid(), Signal::INT).unwrap();
    assert_eq!(soon("the end", end).await.unwrap().0, Drained::Cut(1));
}
