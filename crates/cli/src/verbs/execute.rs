//! `sluice execute`: what an auth engine does, by hand.

use crate::{
    client::{ExecutorUrl, TenantArg},
    file,
    screen::Screen,
    stop::Stop,
    view::execution::Execution,
};
use serde_json::Value;
use sluice_api::executor::v1 as executor;
use sluice_model::{CallerInput, Error, Trigger};
use std::{path::PathBuf, time::Duration};

/// The longest wait for an answer: more than any flow may take.
const MAX_TIMEOUT_MS: u64 = 600_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The flow's slug
    flow: String,
    #[command(flatten)]
    what: SignIn,
    /// The flow revision that an earlier answer of this sign-in named; without it the newest
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
    /// The id of this call: sent again, it gets the same answer and runs nothing
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    execution_id: String,
    /// The id of the sign-in, for audit
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    sign_in_id: String,
    /// Show what the Actions logged
    #[arg(long)]
    logs: bool,
    /// How long to wait for the answer, 1 to 600000 milliseconds
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    timeout_ms: u64,
    #[command(flatten)]
    executor: ExecutorUrl,
}

/// Which slot, of whom, with what input.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SignIn {
    /// The slot, such as post-login
    #[arg(long, value_name = "TRIGGER")]
    pub(crate) trigger: String,
    /// A JSON file with the input; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
}

/// Reads a trigger as the service would, and refuses it as the service would.
pub(crate) fn read_trigger(text: &str) -> Result<Trigger, Stop> {
    text.parse().map_err(|invalid| Error::invalid("trigger", invalid).into())
}

/// Reads an input strictly: a mistake is told with its JSON pointer.
pub(crate) fn check_input(value: Value, trigger: Trigger) -> Result<CallerInput, Stop> {
    CallerInput::from_json(value, trigger).map_err(|invalid| Error::invalid("input", invalid).into())
}

impl SignIn {
    /// The request, of the newest revision and without ids.
    pub(crate) fn request(self, flow: String) -> Result<executor::ExecuteRequest, Stop> {
        let input = check_input(file::read_json("--input", &self.input)?, read_trigger(&self.trigger)?)?;
        Ok(executor::ExecuteRequest {
            tenant: self.tenant.tenant,
            flow,
            trigger: self.trigger,
            input: Some(input.into()),
            ..executor::ExecuteRequest::default()
        })
    }
}

pub(crate) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let mut request = tonic::Request::new(executor::ExecuteRequest {
        flow_revision: args.revision,
        execution_id: args.execution_id,
        sign_in_id: args.sign_in_id,
        include_logs: args.logs,
        ..args.what.request(args.flow)?
    });
    request.set_timeout(Duration::from_millis(args.timeout_ms));
    let answer = args.executor.executions().await?.execute(request).await?.into_inner();
    screen.show(&Execution::try_from(answer)?);
    Ok(())
}
