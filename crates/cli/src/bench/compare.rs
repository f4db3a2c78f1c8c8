//! The floor and the executor in turns, on the same machine, with the same load program and messages of the same sizes.

use super::{
    CallArgs, count,
    load::{Amount, Load, Target},
    report::{Report, shown},
    seconds,
};
use crate::{
    screen::{Look, Screen, View},
    stop::{Stop, in_words},
    view::{Cell, Table},
};
use prost::Message as _;
use serde::Serialize;
use sluice_api::executor::v1::ExecuteResponse;
use std::{io::Write as _, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tonic::transport::Uri;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The flow's slug
    #[arg(long, value_name = "FLOW")]
    flow: String,
    #[command(flatten)]
    pub(super) call: CallArgs,
    /// How often both are measured, in turns; what is told are the medians
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// The callers of the closed loop that the ratio is of
    #[arg(long, value_name = "N", default_value_t = 8)]
    callers: usize,
    /// How long each of the four measurements of a round takes
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    seconds: f64,
}

/// One round: many callers, then one.
#[derive(Clone, Debug, Serialize)]
struct Round {
    floor: Report,
    executor: Report,
    floor_one: Report,
    executor_one: Report,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.executor.calls_per_second / self.floor.calls_per_second.max(f64::MIN_POSITIVE)
    }

    fn over_us(&self) -> f64 {
        self.executor_one.latency_us.p50 - self.floor_one.latency_us.p50
    }
}

/// `{callers, floor_calls_per_second, executor_calls_per_second, ratio, floor_p50_us, executor_p50_us, over_us, failed,
/// rounds: [{floor, executor, floor_one, executor_one}]}`: medians over the rounds; `ratio` is that of the rounds' ratios,
/// the p50 are those of one caller, `over_us` is the median of their differences, `failed` counts calls without an answer.
#[derive(Clone, Debug, Serialize)]
struct Comparison {
    callers: usize,
    floor_calls_per_second: f64,
    executor_calls_per_second: f64,
    ratio: f64,
    floor_p50_us: f64,
    executor_p50_us: f64,
    over_us: f64,
    failed: u64,
    rounds: Vec<Round>,
}

impl Comparison {
    fn new(callers: usize, rounds: Vec<Round>) -> Comparison {
        let of = |number: fn(&Round) -> f64| median(rounds.iter().map(number).collect());
        let thousandths = |number: f64| (number * 1_000.0).round() / 1_000.0;
        Comparison {
            callers,
            floor_calls_per_second: of(|r| r.floor.calls_per_second),
            executor_calls_per_second: of(|r| r.executor.calls_per_second),
            ratio: thousandths(of(Round::ratio)),
            floor_p50_us: of(|r| r.floor_one.latency_us.p50),
            executor_p50_us: of(|r| r.executor_one.latency_us.p50),
            over_us: thousandths(of(Round::over_us)),
            failed: rounds.iter().map(|r| r.executor.failed() + r.executor_one.failed()).sum(),
            rounds,
        }
    }
}

/// The middle one; of two in the middle their mean.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

impl View for Comparison {
    fn render(&self, look: &Look) -> String {
        let columns = ["ROUND", "FLOOR CALLS/S", "EXECUTOR CALLS/S", "RATIO", "FLOOR P50", "EXECUTOR P50", "OVER"];
        let mut table = Table::new(&columns);
        let mut row = |name: String, floor: f64, executor: f64, ratio: f64, p50: (f64, f64), over: f64| {
            let cells = [format!("{floor:.0}"), format!("{executor:.0}"), format!("{ratio:.3}")];
            let times = [shown(p50.0), shown(p50.1), shown(over.max(0.0))];
            table.row([name].into_iter().chain(cells).chain(times).map(Cell::number));
        };
        for (number, r) in self.rounds.iter().enumerate() {
            let p50 = (r.floor_one.latency_us.p50, r.executor_one.latency_us.p50);
            let (floor, executor) = (r.floor.calls_per_second, r.executor.calls_per_second);
            row((number + 1).to_string(), floor, executor, r.ratio(), p50, r.over_us());
        }
        let p50 = (self.floor_p50_us, self.executor_p50_us);
        row(
            "median".to_owned(),
            self.floor_calls_per_second,
            self.executor_calls_per_second,
            self.ratio,
            p50,
            self.over_us,
        );
        let mut text = table.render(look);
        text.push_str(&look.faint(&format!("calls/s of {} callers, p50 of one caller\n", self.callers)));
        if self.failed > 0 {
            text.push_str(&look.bad(&format!("{} calls were not answered", self.failed)));
            text.push('\n');
        }
        text
    }
}

pub(super) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let many = Load {
        callers: count("--callers", args.callers)?,
        connections: count("--connections", args.call.connections)?,
        rate: None,
        warmup: seconds("--warmup", args.call.warmup)?,
        amount: Amount::Time(seconds("--seconds", args.seconds)?),
    };
    let one = Load { callers: 1, connections: 1, ..many };
    let rounds_in_all = count("--rounds", args.rounds)?;
    // Only then a call is made, which is recorded.
    let (executor, answer) = args.call.target(&args.flow, screen).await?;
    let floor = FloorProcess::start(&answer).await?;
    let floor_target = Target { url: floor.url.clone(), request: executor.request.clone() };
    let mut rounds = Vec::new();
    for number in 1..=rounds_in_all {
        let progress = screen.progress(format!("round {number} of {rounds_in_all}"));
        rounds.push(Round {
            floor: many.run(&floor_target).await?,
            executor: many.run(&executor).await?,
            floor_one: one.run(&floor_target).await?,
            executor_one: one.run(&executor).await?,
        });
        drop(progress);
    }
    drop(floor);
    screen.show(&Comparison::new(args.callers, rounds));
    Ok(())
}

/// The floor in a process of its own, as the executor is in one.
struct FloorProcess {
    url: Uri,
    /// It ends when its standard input does, with this.
    _child: Child,
    /// Holds the answer while the floor reads it.
    _answer: AnswerFile,
}

/// A file that is removed at the end.
struct AnswerFile(std::path::PathBuf);

impl AnswerFile {
    fn write(answer: &ExecuteResponse) -> std::io::Result<AnswerFile> {
        let path = std::env::temp_dir().join(format!("sluice-floor-{}.bin", uuid::Uuid::now_v7()));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        let written = AnswerFile(path);
        file.write_all(&answer.encode_to_vec())?;
        Ok(written)
    }
}

impl Drop for AnswerFile {
    fn drop(&mut self) {
        // What cannot be removed is a few bytes in a folder for such things.
        let _left = std::fs::remove_file(&self.0);
    }
}

impl FloorProcess {
    async fn start(answer: &ExecuteResponse) -> Result<FloorProcess, Stop> {
        let failed =
            |e: std::io::Error| Stop::local("FLOOR_FAILED", format!("the floor cannot be started: {}", in_words(&e)));
        let answer = AnswerFile::write(answer).map_err(failed)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["--json", "bench", "floor", "--listen", "127.0.0.1:0", "--until-end-of-input", "--answer"])
            .arg(&answer.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).await.map_err(failed)?;
        }
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let url = said["address"].as_str().and_then(|address| format!("http://{address}").parse().ok());
        let url = url.ok_or_else(|| Stop::local("FLOOR_FAILED", "the floor did not say where it listens"))?;
        Ok(FloorProcess { url, _child: child, _answer: answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
