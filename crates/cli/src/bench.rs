//! `sluice bench`: a load program for Execute, and a floor to hold its numbers against.
//!
//! Requests are encoded once before the run, so that the load program takes as little as it can of the cores that it shares
//! with the server. The [floor](floor) is a server that does nothing, with the same messages of the same sizes: what it
//! reaches on a machine is what any server could, and the ratio to it says what the rest costs.

mod codec;
mod compare;
mod floor;
mod load;
mod report;

use crate::{client::ExecutorUrl, screen::Screen, stop::Stop, verbs::SignIn, view::execution::Execution};
use clap::Subcommand;
use load::{Amount, Load, Target};
use prost::Message as _;
use sluice_api::executor::v1 as executor;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call Execute, and tell how often and how fast it answers
    Run(RunArgs),
    /// Serve Execute by doing nothing: what a server of these messages could reach at most on this machine
    Floor(floor::Args),
    /// Measure the floor and the executor in turns, and tell their ratio
    Compare(compare::Args),
}

/// One measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The flow's slug
    #[arg(long, value_name = "FLOW")]
    flow: String,
    #[command(flatten)]
    call: CallArgs,
    /// Closed loop: callers that each send, wait and send again. Open loop: the most calls in flight
    #[arg(long, value_name = "N", default_value_t = 8)]
    callers: usize,
    /// Open loop: calls a second, on a fixed schedule; a latency counts from when its call was due
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    seconds: f64,
    /// Measure so many calls instead
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    requests: Option<u64>,
}

/// What is called, and how.
#[derive(Clone, Debug, clap::Args)]
struct CallArgs {
    #[command(flatten)]
    what: SignIn,
    #[command(flatten)]
    executor: ExecutorUrl,
    /// Connections that the callers share
    #[arg(long, value_name = "N", default_value_t = 1)]
    connections: usize,
    /// Threads of this load program
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// How long to call before measuring, in seconds
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    warmup: f64,
}

impl Command {
    /// The load program has few threads, so that the server has the cores; the floor is such a server.
    pub(crate) fn worker_threads(&self) -> Option<usize> {
        let call = match self {
            Command::Floor(_) => return None,
            Command::Run(args) => &args.call,
            Command::Compare(args) => &args.call,
        };
        Some(call.threads.max(1))
    }
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Run(args) => measure(args, screen).await,
        Command::Floor(args) => floor::run(args, screen).await,
        Command::Compare(args) => compare::run(args, screen).await,
    }
}

async fn measure(args: RunArgs, screen: &Screen) -> Result<(), Stop> {
    let load = Load {
        callers: count("--callers", args.callers)?,
        connections: count("--connections", args.call.connections)?,
        rate: args.rate.map(|rate| positive("--rate", rate)).transpose()?,
        warmup: seconds("--warmup", args.call.warmup)?,
        amount: match args.requests {
            Some(calls) => Amount::Calls(calls),
            None => Amount::Time(seconds("--seconds", args.seconds)?),
        },
    };
    // Only then a call is made, which is recorded.
    let (target, _) = args.call.target(&args.flow, screen).await?;
    let progress = screen.progress("measuring".to_owned());
    let report = load.run(&target).await?;
    drop(progress);
    screen.show(&report);
    Ok(())
}

impl CallArgs {
    /// The executor with the request, after one call that shows that it works, and its answer.
    async fn target(&self, flow: &str, screen: &Screen) -> Result<(Target, executor::ExecuteResponse), Stop> {
        let request = self.what.clone().request(flow.to_owned())?;
        let answer = self.executor.executions().await?.execute(request.clone()).await?.into_inner();
        let shown = Execution::try_from(answer.clone())?;
        if shown.failures() > 0 {
            screen.warn("a run fails with this input: what is measured is how failures are served");
        }
        screen.say(|look| {
            let sizes = format!("request {} B, answer {} B", request.encoded_len(), answer.encoded_len());
            look.faint(&format!("one call answers {} ({sizes})\n", shown.verdict()))
        });
        let url = self.executor.executor_url.clone();
        Ok((Target { url, request: request.encode_to_vec().into() }, answer))
    }
}

fn count(flag: &str, number: usize) -> Result<usize, Stop> {
    if (1..=100_000).contains(&number) { Ok(number) } else { Err(Stop::misused(flag, "takes 1 to 100000")) }
}

fn positive(flag: &str, number: f64) -> Result<f64, Stop> {
    let fits = number > 0.0 && number <= 1e6;
    if fits { Ok(number) } else { Err(Stop::misused(flag, "takes a number over 0, at most 1000000")) }
}

fn seconds(flag: &str, number: f64) -> Result<Duration, Stop> {
    let fits = (0.0..=86_400.0).contains(&number);
    if fits { Ok(Duration::from_secs_f64(number)) } else { Err(Stop::misused(flag, "takes 0 to 86400 seconds")) }
}
