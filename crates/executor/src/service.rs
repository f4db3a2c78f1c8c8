//! Execute: what an auth engine calls on the path of every sign-in.

use crate::{
    audit::Audit,
    catalog::Catalog,
    retries::{self, Retries},
    run::{
        Execution, Runner,
        ledger::{RunsOn, Subject},
    },
    telemetry::Metrics,
};
use prost::Message as _;
use sluice_api::{
    FieldError,
    convert::{slug, trigger},
    executor::v1::{ExecuteRequest, ExecuteResponse, execution_service_server::ExecutionService},
    status::to_status,
};
use sluice_model::{
    CallerInput, Error, FieldViolation, Slug, Trigger,
    limits::{MAX_INPUT_BYTES, check_id},
};
use sluice_serve::{Principal, authorize_tenant, deadline, principal};
use std::{sync::Arc, time::Instant};
use tonic::{Request, Response, Status};

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Execute(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    catalog: Arc<Catalog>,
    runner: Runner,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    retries: Retries,
    runs_on: Arc<RunsOn>,
}

impl Execute {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        runner: Runner,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        retries: Retries,
        runs_on: RunsOn,
    ) -> Execute {
        Execute(Arc::new(Inner { catalog, runner, audit, metrics, retries, runs_on: Arc::new(runs_on) }))
    }

    async fn answer(
        &self,
        request: ExecuteRequest,
        principal: Principal,
        deadline: Option<Instant>,
    ) -> Result<ExecuteResponse, Error> {
        let asked = Asked::read(request)?;
        authorize_tenant(&principal, &asked.tenant)?;
        let Some(digest) = asked.digest else { return self.run(asked, principal, deadline).await };
        let id = retries::Id::new(&asked.tenant, &asked.execution_id, digest);
        let service = self.clone();
        self.0.retries.once(id, || async move { service.run(asked, principal, deadline).await }).await
    }

    /// Runs what is asked for. Dropping the future stops it.
    async fn run(
        &self,
        asked: Asked,
        principal: Principal,
        deadline: Option<Instant>,
    ) -> Result<ExecuteResponse, Error> {
        let inner = &*self.0;
        let pinned = inner.catalog.find(&asked.tenant, &asked.flow, asked.revision, deadline).await?;
        inner.audit.admit(Instant::now())?;
        let _in_flight = inner.metrics.in_flight();
        let Asked {
            tenant, flow, trigger, sign_in_id, execution_id, digest, input, include_logs, risk_unusable, ..
        } = asked;
        let revision = pinned.plan.revision;
        let execution = Execution {
            subject: Subject {
                tenant,
                flow,
                revision,
                trigger,
                principal: principal.name,
                sign_in_id,
                execution_id,
                user_id: input.user.as_ref().map_or_else(String::new, |user| user.id.clone()),
                risk_unusable,
                runs_on: Arc::clone(&inner.runs_on),
            },
            origins: pinned.origins,
            break_glass: pinned.break_glass,
            secrets: pinned.secrets,
            keys: pinned.keys,
            repeatable: digest.is_some(),
            plan: pinned.plan,
            trigger,
            deadline,
            include_logs,
        };
        let ran = inner.runner.run(&execution, input).await?;
        inner.metrics.answered(trigger, ran.answer.verdict);
        let response = ExecuteResponse::from(ran.answer);
        Ok(ExecuteResponse {
            flow_revision: revision,
            execution_id: execution.subject.execution_id,
            results: ran.results,
            ..response
        })
    }
}

#[tonic::async_trait]
impl ExecutionService for Execute {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        let deadline = deadline(&request).map(|deadline| deadline.instant());
        let principal = principal(&request)?.clone();
        self.answer(request.into_inner(), principal, deadline).await.map(Response::new).map_err(to_status)
    }
}

/// A request whose fields are what they must be.
#[derive(Debug)]
struct Asked {
    tenant: Slug,
    flow: Slug,
    trigger: Trigger,
    revision: u64,
    sign_in_id: String,
    execution_id: String,
    /// The digest of the request; none where the caller sent no execution id: nobody can ask for it again.
    digest: Option<retries::Digest>,
    input: CallerInput,
    include_logs: bool,
    risk_unusable: bool,
}

impl Asked {
    /// Reads a request. The error names every field that is at fault.
    fn read(request: ExecuteRequest) -> Result<Asked, Error> {
        let bytes = request.encoded_len();
        if bytes > MAX_INPUT_BYTES {
            return Err(Error::field(
                "input",
                format!("the request has {bytes} bytes; at most {MAX_INPUT_BYTES} are taken"),
            ));
        }
        let digest = (!request.execution_id.is_empty()).then(|| retries::Id::digest(&request));
        let mut wrong = Wrong::default();
        let tenant = wrong.note("tenant", slug(&request.tenant));
        let flow = wrong.note("flow", slug(&request.flow));
        let trigger = wrong.note("trigger", trigger(&request.trigger));
        for (field, id) in [("sign_in_id", &request.sign_in_id), ("execution_id", &request.execution_id)] {
            if !id.is_empty() {
                wrong.note(field, check_id(id));
            }
        }
        let input = wrong.note("input", read_input(request.input));
        let (Some(tenant), Some(flow), Some(trigger), Some((input, risk_unusable))) = (tenant, flow, trigger, input)
        else {
            return Err(wrong.into_error());
        };
        if wrong.error.is_some() {
            return Err(wrong.into_error());
        }
        let execution_id = match request.execution_id {
            id if id.is_empty() => uuid::Uuid::now_v7().to_string(),
            id => id,
        };
        let sign_in_id = match request.sign_in_id {
            id if id.is_empty() => execution_id.clone(),
            id => id,
        };
        Ok(Asked {
            tenant,
            flow,
            trigger,
            revision: request.flow_revision,
            sign_in_id,
            execution_id,
            digest,
            input,
            include_logs: request.include_logs,
            risk_unusable,
        })
    }
}

fn read_input(input: Option<sluice_api::types::v1::Input>) -> Result<(CallerInput, bool), FieldError> {
    let mut input = CallerInput::try_from(input.unwrap_or_default())?;
    let risk_unusable = input.drop_unusable_risk();
    Ok((input, risk_unusable))
}

/// The fields that are at fault.
#[derive(Debug, Default)]
struct Wrong {
    error: Option<Error>,
}

impl Wrong {
    fn note<T>(&mut self, field: &str, read: Result<T, impl Into<FieldError>>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                let error: FieldError = error.into().under(field);
                match &mut self.error {
                    Some(first) => first.fields.push(FieldViolation { field: error.field, message: error.message }),
                    None => self.error = Some(error.into()),
                }
                None
            }
        }
    }

    fn into_error(self) -> Error {
        self.error.unwrap_or_else(|| Error::internal("a request was refused without a reason"))
    }
}

#[cfg(test)]
mod tests;
