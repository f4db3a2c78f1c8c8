//! What the stack costs: one echo of 1.5 KB served by tonic's own server, and by ours in front of the router and behind it.
//!
//! `cargo run --release -p sluice-serve --example stack_cost -- [off|info] [otlp endpoint]`: the level of the log, `info`
//! when not said. The server has one thread, whose CPU time is read around every round; rounds alternate and the median
//! of eleven counts, since other programs share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails ends, and its result is what it prints"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Echo, SAY, connect, descriptors, request};
use rustix::time::{ClockId, clock_gettime};
use sluice_serve::{
    About, Drain, Grpc, Listener, Readiness, Telemetry,
    config::{DrainConfig, GrpcConfig, LogConfig, TelemetryConfig},
};
use std::{net::SocketAddr, time::Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

const ROUNDS: usize = 11;
const CALLS: usize = 16_000;
const CALLERS: usize = 8;
const MESSAGE_BYTES: usize = 1536;

fn one_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The CPU time of the server's thread so far, in microseconds.
fn cpu_us(server: &Runtime) -> f64 {
    let read = server.spawn(async { clock_gettime(ClockId::ThreadCPUTime) });
    let time = server.block_on(read).unwrap();
    std::time::Duration::try_from(time).unwrap().as_secs_f64() * 1e6
}

async fn load(address: SocketAddr) {
    let callers = TaskTracker::new();
    let message = "x".repeat(MESSAGE_BYTES);
    for _ in 0..CALLERS {
        let (channel, message) = (connect(address).await.unwrap(), message.clone());
        callers.spawn(async move {
            for _ in 0..CALLS / CALLERS {
                common::call(&channel, SAY, request(&message, &[("grpc-timeout", "2S")])).await.unwrap();
            }
        });
    }
    callers.close();
    callers.wait().await;
}

fn main() {
    let level = std::env::args().nth(1).unwrap_or_else(|| "info".into());
    let (server, client) = (one_thread(), one_thread());
    let variants = server.block_on(async {
        let about = About::new("stack-cost", "0");
        let log = LogConfig { level, ..LogConfig::default() };
        let config = TelemetryConfig { otlp_endpoint: std::env::args().nth(2), ..TelemetryConfig::default() };
        let telemetry = Telemetry::start(&about, &log, &config).unwrap();
        let readiness = Readiness::new();
        let drain = Drain::new(&DrainConfig::default(), &readiness, "accepting");
        let any = || Listener::bind("listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let grpc = || Grpc::new(&GrpcConfig::default()).descriptors(descriptors());
        let echo = Echo::new().0;

        let plain = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let plain = plain.with_nodelay(Some(true));
        let floor = plain.local_addr().unwrap();
        tokio::spawn(tonic::transport::Server::builder().add_service(echo.clone()).serve_with_incoming(plain));
        let behind = grpc().service(echo.clone()).spawn(any(), &telemetry, &readiness, &drain).unwrap().address();
        let front = grpc().front(echo).spawn(any(), &telemetry, &readiness, &drain).unwrap().address();
        // The globals live on; dropping the handle would end the exporters.
        std::mem::forget(telemetry);
        [("tonic's server, no stack", floor), ("stack, behind the router", behind), ("stack, in front", front)]
    });

    let mut figures = vec![Vec::new(); variants.len()];
    for round in 0..=ROUNDS {
        for (variant, (_, address)) in variants.iter().enumerate() {
            let (cpu, began) = (cpu_us(&server), Instant::now());
            client.block_on(client.spawn(load(*address))).unwrap();
            let (cpu, wall) = (cpu_us(&server) - cpu, began.elapsed());
            // The first round warms up.
            if round > 0 {
                figures[variant].push((cpu / CALLS as f64, CALLS as f64 / wall.as_secs_f64()));
            }
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let medians: Vec<(f64, f64)> = figures
        .into_iter()
        .map(|rounds| (median(rounds.iter().map(|r| r.0).collect()), median(rounds.iter().map(|r| r.1).collect())))
        .collect();
    println!("{:<28} {:>12} {:>8} {:>10} {:>8}", "", "CPU us/call", "ratio", "calls/s", "ratio");
    for ((name, _), (cpu, rate)) in variants.iter().zip(&medians) {
        let (floor_cpu, floor_rate) = medians[0];
        println!("{name:<28} {cpu:>12.1} {:>8.3} {rate:>10.0} {:>8.3}", cpu / floor_cpu, rate / floor_rate);
    }
}
