//! `sluice audit`

use super::PageArgs;
use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    view::{Page, audit::AuditEntry},
};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use sluice_api::{
    control::v1 as control,
    convert::{Word as _, to_timestamp},
};
use sluice_model::OutcomeKind;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the records of the tenant, newest first
    List(ListArgs),
}

/// Every filter that is given must hold.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    tenant: TenantArg,
    /// Only this flow
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// Only this trigger
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
    /// Only this Action, by its slug
    #[arg(long, value_name = "SLUG")]
    action: Option<String>,
    /// Only this exact version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Only this sign-in
    #[arg(long, value_name = "ID")]
    sign_in: Option<String>,
    /// Only this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only runs with this outcome: continue, block, demand_mfa or redirect
    #[arg(long, value_name = "KIND", value_parser = outcome)]
    outcome: Option<OutcomeKind>,
    /// Only this reason: an Action's reason code, or why a run failed, such as threw
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only this kind, such as flow.action_executed
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only what happened then or later: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only what happened before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only this call of Execute
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    control: ControlUrl,
}

fn outcome(text: &str) -> Result<OutcomeKind, String> {
    text.parse().map_err(|e: sluice_model::Invalid| e.message)
}

/// Reads a time, or how long ago one was.
fn time(text: &str) -> Result<Timestamp, &'static str> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago: Option<SignedDuration> = text.trim_end_matches(" ago").parse().ok();
    // Further back than time goes is none either.
    ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok())
        .ok_or("takes a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m or 2h")
}

/// Refuses a span that ends before it begins: its answer would be an empty list, as if nothing had happened.
fn check_span(since: Option<Timestamp>, until: Option<Timestamp>) -> Result<(), Stop> {
    match (since, until) {
        (Some(since), Some(until)) if until < since => {
            Err(Stop::misused("--until", format!("{until} is before --since, which is {since}")))
        }
        _ => Ok(()),
    }
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    let Command::List(args) = command;
    check_span(args.since, args.until)?;
    let request = control::ListAuditRecordsRequest {
        tenant: args.tenant.tenant,
        since: args.since.map(to_timestamp),
        until: args.until.map(to_timestamp),
        kind: args.kind.unwrap_or_default(),
        flow: args.flow.unwrap_or_default(),
        trigger: args.trigger.unwrap_or_default(),
        slug: args.action.unwrap_or_default(),
        version: args.version.unwrap_or_default(),
        sign_in_id: args.sign_in.unwrap_or_default(),
        execution_id: args.execution.unwrap_or_default(),
        user_id: args.user.unwrap_or_default(),
        outcome: args.outcome.map_or(0, |kind| kind.to_wire()),
        reason: args.reason.unwrap_or_default(),
        page_size: args.page.limit,
        page_token: args.page.page_token,
    };
    let answer = args.control.audit().await?.list_audit_records(request).await?.into_inner();
    let entries = answer.records.into_iter().map(AuditEntry::try_from).collect::<Result<_, _>>()?;
    screen.show(&Page::<AuditEntry> { entries, next_page_token: answer.next_page_token });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_how_long_ago() {
        assert_eq!(time("1970-01-01T00:00:10Z").unwrap(), Timestamp::from_second(10).unwrap());
        let ago = Timestamp::now().duration_since(time("15m").unwrap());
        assert!((899..=902).contains(&ago.as_secs()), "{ago}");
        for none in ["yesterday", "99999999999999h"] {
            assert!(time(none).unwrap_err().contains("15m"), "{none}");
        }
    }

    #[test]
    fn a_span_ends_after_it_begins() {
        let at = |second| Timestamp::from_second(second).ok();
        check_span(at(1), at(1)).unwrap();
        check_span(at(2), None).unwrap();
        let error = check_span(at(2), at(1)).unwrap_err().error.unwrap();
        assert_eq!((&*error.reason, error.fields[0].field.as_str()), ("USAGE", "--until"));
        assert!(error.message.contains("before --since"), "{}", error.message);
    }
}
