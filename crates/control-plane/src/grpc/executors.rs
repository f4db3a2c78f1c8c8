//! `ExecutorService`.

use super::{answer, distribution, opened, operator};
use crate::distribution::{Cause, ConnectedExecutor, Cursors, Distribution, Missing, Subscription};
use crate::page;
use crate::store::Key;
use sluice_api::control::v1::{self as wire, executor_service_server::ExecutorService};
use sluice_api::convert;
use sluice_api::distribution::v1 as watch;
use sluice_model::Error;
use sluice_serve::Principal;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How many tenants, or modules, of an executor are listed.
const MAX_LISTED: usize = 100;

/// The service.
pub(crate) struct ExecutorEdge {
    distribution: Distribution,
}

impl ExecutorEdge {
    pub(crate) fn new(distribution: Distribution) -> ExecutorEdge {
        ExecutorEdge { distribution }
    }

    /// The connected are few and in memory: a page begins past the id that its token names.
    fn list(
        &self,
        principal: &Principal,
        asked: &wire::ListExecutorsRequest,
    ) -> Result<wire::ListExecutorsResponse, Error> {
        operator(principal)?;
        let size = page::size(asked.page_size)?;
        let list = Key::platform("executor");
        let after = page::after(&asked.page_token, &list)?;
        let after = after.and_then(|key| key.parts_after(&list)?.text());
        let mut found = self.distribution.executors();
        found.retain(|(executor, _)| after.as_ref().is_none_or(|after| executor.id > *after));
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more).map(|(executor, _)| list.text(&executor.id));
        let cursors = self.distribution.cursors();
        Ok(wire::ListExecutorsResponse {
            executors: found.into_iter().map(|(executor, lag)| to_wire(executor, lag, cursors)).collect(),
            next_page_token: page::token(last.as_ref()),
        })
    }
}

fn to_wire(executor: ConnectedExecutor, (commits, age): (u64, Duration), cursors: Cursors) -> wire::Executor {
    let kind = match &executor.subscription {
        Subscription::All => wire::SubscriptionKind::All,
        Subscription::Tenants(_) => wire::SubscriptionKind::Tenants,
        Subscription::OnDemand(_) => wire::SubscriptionKind::OnDemand,
    };
    let tenants = executor.subscription.tenants();
    let count = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
    wire::Executor {
        executor: executor.id,
        epoch: executor.epoch,
        sluice_version: executor.version,
        engine: Some(executor.engine.as_str().into()),
        subscription: kind.into(),
        tenants: tenants.into_iter().flatten().take(MAX_LISTED).map(ToString::to_string).collect(),
        tenant_count: tenants.map_or(0, |tenants| count(tenants.len())),
        connected_at: Some(convert::to_timestamp(executor.connected_at)),
        cursor: if executor.serves.0 == 0 { 0 } else { cursors.cursor(executor.serves) },
        lag_commits: commits,
        lag: Some(convert::to_duration(age)),
        nacks: executor.nacks,
        last_nack: executor.last_nack.map(|last| wire::LastNack {
            time: Some(convert::to_timestamp(last.time)),
            cursor: last.nack.cursor,
            cause: cause(last.nack.cause).into(),
            reason: last.nack.reason,
            resource: last.nack.resource,
        }),
        missing_module_count: count(executor.missing.len()),
        missing_modules: executor.missing.into_iter().take(MAX_LISTED).map(missing).collect(),
    }
}

fn cause(cause: Cause) -> watch::NackCause {
    distribution::CAUSES.iter().find(|(_, own)| *own == cause).map_or(watch::NackCause::Unspecified, |(wire, _)| *wire)
}

fn missing(missing: Missing) -> watch::MissingModule {
    let Missing { tenant, slug, version, reason } = missing;
    let version =
        watch::VersionName { tenant: tenant.to_string(), slug: slug.to_string(), version: version.to_string() };
    watch::MissingModule { version: Some(version), reason }
}

#[tonic::async_trait]
impl ExecutorService for ExecutorEdge {
    async fn list_executors(
        &self,
        request: Request<wire::ListExecutorsRequest>,
    ) -> Result<Response<wire::ListExecutorsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.list(&principal, &asked))
    }
}
