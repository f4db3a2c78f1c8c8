//! `DeliveryService`.

use super::{answer, opened, tenant};
use crate::deliveries::{self, Attempt, Deliveries, Delivery, EnableEndpoint, Endpoint, Filter, Resend, State};
use crate::{keys, page};
use sluice_api::control::v1::{self as wire, delivery_service_server::DeliveryService};
use sluice_api::convert::{self, Ctx as _, Word as _};
use sluice_model::{Error, Slug};
use sluice_serve::Principal;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct DeliveryEdge {
    deliveries: Deliveries,
}

impl DeliveryEdge {
    pub(crate) fn new(deliveries: Deliveries) -> DeliveryEdge {
        DeliveryEdge { deliveries }
    }

    async fn list(
        &self,
        principal: Principal,
        asked: wire::ListDeliveriesRequest,
    ) -> Result<wire::ListDeliveriesResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let filter = Filter {
            state: state(asked.state)?,
            endpoint: match asked.endpoint.as_str() {
                "" => None,
                endpoint => Some(deliveries::canonical(endpoint)?),
            },
            slug: match asked.slug.as_str() {
                "" => None,
                slug => Some(convert::slug(slug).ctx("slug")?),
            },
        };
        let after = page::after(&asked.page_token, &deliveries::order(&tenant))?;
        let found = self.deliveries.list(&tenant, &filter, after, page::size(asked.page_size)?).await?;
        Ok(wire::ListDeliveriesResponse {
            deliveries: found.entries.into_iter().map(to_wire).collect::<Result<_, _>>()?,
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn get(
        &self,
        principal: Principal,
        asked: wire::GetDeliveryRequest,
    ) -> Result<wire::GetDeliveryResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let (delivery, content) = self.deliveries.get(&tenant, &asked.delivery).await?;
        Ok(wire::GetDeliveryResponse {
            attempts: delivery.attempts.iter().map(to_wire_attempt).collect(),
            delivery: Some(to_wire(delivery)?),
            body: content.body,
            signing_secret: content.signing_secret.unwrap_or_default(),
            header_names: content.headers.into_keys().collect(),
            timeout: Some(convert::to_duration(Duration::from_millis(content.timeout_ms.into()))),
        })
    }

    async fn resend(
        &self,
        principal: Principal,
        asked: wire::ResendDeliveryRequest,
    ) -> Result<wire::ResendDeliveryResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let resend = Resend { tenant, id: asked.delivery, etag: asked.etag };
        let delivery = self.deliveries.resend(&principal.name, &resend, &asked.request_id).await?;
        Ok(wire::ResendDeliveryResponse { delivery: Some(to_wire(delivery)?) })
    }

    async fn endpoints(
        &self,
        principal: Principal,
        asked: wire::ListEndpointsRequest,
    ) -> Result<wire::ListEndpointsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let after = page::after(&asked.page_token, &keys::endpoints(&tenant))?;
        let found = self.deliveries.endpoints(&tenant, after, page::size(asked.page_size)?).await?;
        Ok(wire::ListEndpointsResponse {
            endpoints: found.entries.into_iter().map(to_wire_endpoint).collect::<Result<_, _>>()?,
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn enable(
        &self,
        principal: Principal,
        asked: wire::EnableEndpointRequest,
    ) -> Result<wire::EnableEndpointResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let enable = EnableEndpoint { tenant, endpoint: asked.endpoint, etag: asked.etag };
        let endpoint = self.deliveries.enable(&principal.name, &enable, &asked.request_id).await?;
        Ok(wire::EnableEndpointResponse { endpoint: Some(to_wire_endpoint(endpoint)?) })
    }
}

fn state(number: i32) -> Result<Option<State>, Error> {
    match wire::DeliveryState::try_from(number) {
        Ok(wire::DeliveryState::Unspecified) => Ok(None),
        Ok(wire::DeliveryState::Pending) => Ok(Some(State::Pending)),
        Ok(wire::DeliveryState::Delivered) => Ok(Some(State::Delivered)),
        Ok(wire::DeliveryState::Dead) => Ok(Some(State::Dead)),
        Err(_) => Err(Error::field("state", format!("{number} is not known here; it takes pending, delivered, dead"))),
    }
}

fn to_wire(delivery: Delivery) -> Result<wire::Delivery, Error> {
    let state = match delivery.state {
        State::Pending => wire::DeliveryState::Pending,
        State::Delivered => wire::DeliveryState::Delivered,
        State::Dead => wire::DeliveryState::Dead,
    };
    Ok(wire::Delivery {
        etag: delivery.etag()?,
        format: delivery.format.to_wire(),
        state: state.into(),
        made_at: Some(convert::to_timestamp(delivery.made_at)),
        due_at: delivery.due_at.map(convert::to_timestamp),
        ended_at: delivery.ended_at.map(convert::to_timestamp),
        attempts: delivery.tries,
        max_attempts: delivery.max_attempts,
        last_attempt: delivery.attempts.last().map(to_wire_attempt),
        dead_reason: delivery.dead.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        told_by: delivery.told_by.unwrap_or_default(),
        flow: delivery.flow.as_ref().map(Slug::to_string).unwrap_or_default(),
        trigger: delivery.trigger.map(|trigger| trigger.as_str().to_owned()).unwrap_or_default(),
        attachment: delivery.attachment.unwrap_or_default(),
        slug: delivery.slug.to_string(),
        version: delivery.version.to_string(),
        execution_id: delivery.execution_id.unwrap_or_default(),
        id: delivery.id,
        endpoint: delivery.endpoint,
        r#type: delivery.kind,
    })
}

fn to_wire_attempt(attempt: &Attempt) -> wire::DeliveryAttempt {
    wire::DeliveryAttempt {
        at: Some(convert::to_timestamp(attempt.at)),
        duration: Some(convert::to_duration(Duration::from_millis(attempt.duration_ms))),
        status: attempt.status.unwrap_or_default().into(),
        failure: attempt.failure.clone().unwrap_or_default(),
    }
}

fn to_wire_endpoint(endpoint: Endpoint) -> Result<wire::Endpoint, Error> {
    let etag = endpoint.etag()?;
    let disabled = endpoint.disabled.as_ref();
    Ok(wire::Endpoint {
        made_at: Some(convert::to_timestamp(endpoint.made_at)),
        enabled: disabled.is_none(),
        disabled_at: disabled.map(|disabled| convert::to_timestamp(disabled.at)),
        status: disabled.map_or(0, |disabled| disabled.status.into()),
        delivery: disabled.map(|disabled| disabled.delivery.clone()).unwrap_or_default(),
        endpoint: endpoint.endpoint,
        etag,
    })
}

#[tonic::async_trait]
impl DeliveryService for DeliveryEdge {
    async fn list_deliveries(
        &self,
        request: Request<wire::ListDeliveriesRequest>,
    ) -> Result<Response<wire::ListDeliveriesResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.list(principal, asked).await)
    }

    async fn get_delivery(
        &self,
        request: Request<wire::GetDeliveryRequest>,
    ) -> Result<Response<wire::GetDeliveryResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.get(principal, asked).await)
    }

    async fn resend_delivery(
        &self,
        request: Request<wire::ResendDeliveryRequest>,
    ) -> Result<Response<wire::ResendDeliveryResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.resend(principal, asked).await)
    }

    async fn list_endpoints(
        &self,
        request: Request<wire::ListEndpointsRequest>,
    ) -> Result<Response<wire::ListEndpointsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.endpoints(principal, asked).await)
    }

    async fn enable_endpoint(
        &self,
        request: Request<wire::EnableEndpointRequest>,
    ) -> Result<Response<wire::EnableEndpointResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.enable(principal, asked).await)
    }
}
