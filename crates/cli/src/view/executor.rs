//! The executors that are connected.

use super::{Cell, Entry, count, cut, duration};
use crate::{screen::Look, stop::Stop};
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::{
    control::v1::{self as control, SubscriptionKind},
    convert::{self, Ctx as _, required, timestamp},
    distribution::v1::{MissingModule, NackCause},
};
use std::time::Duration;

/// How many characters of an id are shown in a table.
const ID_CHARS: usize = 24;
/// How many characters of what was refused.
const REASON_CHARS: usize = 60;

/// `{executor, epoch, version, engine: {engine, base_image}, subscription: {kind, tenants, count}, connected_at, cursor, lag:
/// {commits, ms}, nacks, last_nack: {time, cursor, cause, reason, resource} | null, missing_modules: [{tenant, slug, version,
/// reason}], missing_module_count}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Executor {
    executor: String,
    epoch: u64,
    version: String,
    engine: Engine,
    subscription: Subscription,
    connected_at: Timestamp,
    cursor: u64,
    lag: Lag,
    nacks: u64,
    last_nack: Option<LastNack>,
    missing_modules: Vec<Missing>,
    missing_module_count: u32,
}

#[derive(Clone, Debug, Serialize)]
struct Engine {
    engine: String,
    base_image: String,
}

/// `kind` is `all`, `tenants` or `on_demand`; of very many tenants the first are listed.
#[derive(Clone, Debug, Serialize)]
struct Subscription {
    kind: &'static str,
    tenants: Vec<String>,
    count: u32,
}

#[derive(Clone, Debug, Serialize)]
struct Lag {
    commits: u64,
    ms: u64,
}

#[derive(Clone, Debug, Serialize)]
struct LastNack {
    time: Timestamp,
    cursor: u64,
    cause: String,
    reason: String,
    resource: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Missing {
    tenant: String,
    slug: String,
    version: String,
    reason: String,
}

impl TryFrom<control::Executor> for Executor {
    type Error = Stop;

    fn try_from(executor: control::Executor) -> Result<Executor, Stop> {
        let kind = match executor.subscription() {
            SubscriptionKind::Unspecified => "unknown",
            SubscriptionKind::All => "all",
            SubscriptionKind::Tenants => "tenants",
            SubscriptionKind::OnDemand => "on_demand",
        };
        let lag = convert::duration(executor.lag, Duration::MAX).ctx("lag")?;
        let engine = executor.engine.unwrap_or_default();
        Ok(Executor {
            executor: executor.executor,
            epoch: executor.epoch,
            version: executor.sluice_version,
            engine: Engine { engine: engine.engine, base_image: engine.base_image },
            subscription: Subscription { kind, tenants: executor.tenants, count: executor.tenant_count },
            connected_at: required(executor.connected_at).and_then(timestamp).ctx("connected_at")?,
            cursor: executor.cursor,
            lag: Lag { commits: executor.lag_commits, ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX) },
            nacks: executor.nacks,
            last_nack: executor.last_nack.map(LastNack::try_from).transpose()?,
            missing_modules: executor.missing_modules.into_iter().map(Missing::from).collect(),
            missing_module_count: executor.missing_module_count,
        })
    }
}

impl TryFrom<control::LastNack> for LastNack {
    type Error = Stop;

    fn try_from(nack: control::LastNack) -> Result<LastNack, Stop> {
        let cause = match nack.cause() {
            NackCause::Unspecified => "unspecified",
            NackCause::Unreadable => "unreadable",
            NackCause::Incomplete => "incomplete",
            NackCause::Outdated => "outdated",
            NackCause::Gap => "gap",
            NackCause::Unresolved => "unresolved",
            NackCause::Conflict => "conflict",
            NackCause::Internal => "internal",
        };
        Ok(LastNack {
            time: required(nack.time).and_then(timestamp).ctx("time").ctx("last_nack")?,
            cursor: nack.cursor,
            cause: cause.to_owned(),
            reason: nack.reason,
            resource: Some(nack.resource).filter(|resource| !resource.is_empty()),
        })
    }
}

impl From<MissingModule> for Missing {
    fn from(module: MissingModule) -> Missing {
        let version = module.version.unwrap_or_default();
        Missing { tenant: version.tenant, slug: version.slug, version: version.version, reason: module.reason }
    }
}

impl Entry for Executor {
    const NONE: &'static str = "No executor is connected.";
    const COLUMNS: &'static [&'static str] =
        &["EXECUTOR", "EPOCH", "VERSION", "HEARS OF", "CONNECTED", "LAG", "MISSING", "LAST REFUSED"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let hears = match (self.subscription.kind, self.subscription.count) {
            ("all", _) => "all".to_owned(),
            ("on_demand", tenants) => format!("{} on demand", count(tenants.into(), "tenant")),
            (_, tenants) => count(tenants.into(), "tenant"),
        };
        let lag = match self.lag {
            _ if self.cursor == 0 => Cell::new("has nothing yet").warning(),
            Lag { commits: 0, .. } => Cell::new("none").good(),
            Lag { commits, ms } => {
                let commits = count(commits, "commit");
                Cell::new(format!("{commits}, {}", duration(ms.saturating_mul(1_000)))).warning()
            }
        };
        let missing = match self.missing_module_count {
            0 => Cell::number(0),
            missing => Cell::number(missing).bad(),
        };
        let refused = match &self.last_nack {
            None => Cell::new("-").faint(),
            Some(nack) => Cell::new(format!("{}: {}", look.time(nack.time), cut(&nack.reason, REASON_CHARS))).bad(),
        };
        vec![
            Cell::new(cut(&self.executor, ID_CHARS)),
            Cell::number(self.epoch),
            Cell::new(&self.version),
            Cell::new(hears),
            Cell::new(look.time(self.connected_at)).faint(),
            lag,
            missing,
            refused,
        ]
    }
}
