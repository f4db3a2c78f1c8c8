//! `grpc.health.v1`, answered from [`Readiness`]. A watch ends when the drain begins, as every long stream does.

use crate::{
    drain::Drain,
    readiness::{Conditions, Readiness, is_ready},
    refusal::refusal,
};
use futures_util::{StreamExt as _, future, stream::BoxStream};
use sluice_model::Code;
use std::sync::Arc;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

/// The health service of a plane. All its services are as ready as the process.
pub(crate) fn service(readiness: Readiness, drain: Drain, services: Arc<[String]>) -> HealthServer<impl Health> {
    HealthServer::new(FromReadiness { readiness, drain, services })
}

struct FromReadiness {
    readiness: Readiness,
    drain: Drain,
    services: Arc<[String]>,
}

impl FromReadiness {
    /// The empty name asks for the server as a whole.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.iter().any(|known| known == service)
    }
}

fn status(conditions: &Conditions) -> ServingStatus {
    if is_ready(conditions) { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for FromReadiness {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !self.knows(service) {
            return Err(refusal(
                Code::NotFound,
                "SERVICE_NOT_FOUND",
                "service: this server has no service of that name",
            ));
        }
        Ok(Response::new(answer(status(&self.readiness.watch().borrow()))))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = self.knows(&request.get_ref().service);
        let mut told = None;
        let changes = WatchStream::new(self.readiness.watch())
            // The protocol wants a watch on an unknown service to stay open: it may come to be.
            .map(move |conditions| if known { status(&conditions) } else { ServingStatus::ServiceUnknown })
            .filter(move |status| future::ready(told.replace(*status) != Some(*status)))
            .map(|status| Ok(answer(status)))
            .take_until(self.drain.begun());
        Ok(Response::new(changes.boxed()))
    }
}
