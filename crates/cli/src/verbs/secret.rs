//! `sluice secret`

use super::{
    Etag, PageArgs, RequestId,
    flow::{ROLLOUT_SLACK, ROLLOUT_WAIT},
};
use crate::{
    client::{ControlUrl, TenantArg},
    file,
    screen::Screen,
    stop::Stop,
    view::{
        Page,
        secret::{Removed, Secret, Set},
    },
};
use clap::Subcommand;
use sluice_api::{control::v1 as control, convert::to_duration};
use sluice_model::Error;
use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set a secret, or give it another value
    Set {
        /// Its name: a letter, then letters, digits, _, - and .
        name: String,
        /// Where a value must not stand: it would be in the list of processes and in the shell's history
        #[arg(hide = true, num_args = 0..)]
        value: Vec<OsString>,
        /// A file that holds the value; - is standard input
        #[arg(long, value_name = "FILE")]
        value_file: Option<PathBuf>,
        #[command(flatten)]
        tenant: TenantArg,
        /// Do not wait for the executors
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// List the secrets, without their values
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Remove a secret
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: TenantArg,
        /// Do not wait for the executors
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Set { name, value, value_file, tenant: TenantArg { tenant }, no_wait, etag, request, control } => {
            if !value.is_empty() {
                let says = "is asked for on a terminal, or read by --value-file FILE or from standard input; as an argument \
                            others would see it";
                return Err(Stop::misused("value", says));
            }
            let value = value_of(&name, value_file.as_deref())?;
            let mut request = tonic::Request::new(control::SetSecretRequest {
                tenant,
                name,
                value,
                request_id: request.request_id,
                etag: etag.etag,
                wait: (!no_wait).then(|| to_duration(ROLLOUT_WAIT)),
            });
            request.set_timeout(ROLLOUT_WAIT + ROLLOUT_SLACK);
            let answer = control.secrets().await?.set_secret(request).await?.into_inner();
            screen.show(&Set::new(answer, !no_wait)?);
        }
        Command::List { tenant: TenantArg { tenant }, page, control } => {
            let request = control::ListSecretsRequest { tenant, page_size: page.limit, page_token: page.page_token };
            let answer = control.secrets().await?.list_secrets(request).await?.into_inner();
            let entries = answer.secrets.into_iter().map(Secret::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Secret> { entries, next_page_token: answer.next_page_token });
        }
        Command::Remove { name, tenant: TenantArg { tenant }, no_wait, etag, request, control } => {
            let mut request = tonic::Request::new(control::RemoveSecretRequest {
                tenant,
                name,
                request_id: request.request_id,
                etag: etag.etag,
                wait: (!no_wait).then(|| to_duration(ROLLOUT_WAIT)),
            });
            request.set_timeout(ROLLOUT_WAIT + ROLLOUT_SLACK);
            let answer = control.secrets().await?.remove_secret(request).await?.into_inner();
            screen.show(&Removed::new(answer, !no_wait));
        }
    }
    Ok(())
}

/// The value that is read or asked for. A newline at the end of a file or of standard input is the editor's, or the shell's,
/// and not the value's.
fn value_of(name: &str, file: Option<&Path>) -> Result<String, Stop> {
    if file.is_none() && io::stdin().is_terminal() {
        let asked = dialoguer::Password::new()
            .with_prompt(format!("Value of {name}"))
            .with_confirmation("Once more", "These two differ")
            .interact();
        return asked.map_err(|e| Stop::local("NO_ANSWER", format!("the value was not told: {e}")));
    }
    let (flag, path) = match file {
        Some(path) => ("--value-file", path),
        None => ("value", Path::new("-")),
    };
    let mut text =
        String::from_utf8(file::read(flag, path)?).map_err(|_| Stop::from(Error::field(flag, "is not UTF-8 text")))?;
    if text.ends_with('\n') {
        text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
    }
    Ok(text)
}
