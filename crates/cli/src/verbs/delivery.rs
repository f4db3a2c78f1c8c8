//! `sluice delivery`

use super::{Etag, PageArgs, RequestId};
use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    view::{
        Page,
        delivery::{Delivery, Endpoint, EndpointEnabled, Resent, Shown},
    },
};
use clap::{Subcommand, ValueEnum};
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, required},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List deliveries, newest first
    List {
        /// Only those in this state
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only those that go there: a URL, or secret:NAME
        #[arg(long, value_name = "ENDPOINT", default_value = "", hide_default_value = true)]
        endpoint: String,
        /// Only those of this Action
        #[arg(long, value_name = "SLUG", default_value = "", hide_default_value = true)]
        action: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Show a delivery, what is delivered, and its attempts
    Show {
        /// Its id
        delivery: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Send a delivery again, at once
    Resend {
        /// Its id
        delivery: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// List where deliveries went, and whether they may
    Endpoints {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Send again to an endpoint that said that it is gone
    Enable {
        /// A URL, or secret:NAME
        endpoint: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum State {
    /// It is to be sent
    Pending,
    /// The receiver has it
    Delivered,
    /// It is sent again only by `delivery resend`
    Dead,
}

impl From<State> for control::DeliveryState {
    fn from(state: State) -> control::DeliveryState {
        match state {
            State::Pending => control::DeliveryState::Pending,
            State::Delivered => control::DeliveryState::Delivered,
            State::Dead => control::DeliveryState::Dead,
        }
    }
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::List { state, endpoint, action, tenant: TenantArg { tenant }, page, control } => {
            let request = control::ListDeliveriesRequest {
                tenant,
                state: state.map_or(control::DeliveryState::Unspecified, Into::into).into(),
                endpoint,
                slug: action,
                page_size: page.limit,
                page_token: page.page_token,
            };
            let answer = control.deliveries().await?.list_deliveries(request).await?.into_inner();
            let entries = answer.deliveries.into_iter().map(Delivery::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Delivery> { entries, next_page_token: answer.next_page_token });
        }
        Command::Show { delivery, tenant: TenantArg { tenant }, control } => {
            let request = control::GetDeliveryRequest { tenant, delivery };
            let answer = control.deliveries().await?.get_delivery(request).await?.into_inner();
            screen.show(&Shown::try_from(answer)?);
        }
        Command::Resend { delivery, tenant: TenantArg { tenant }, etag, request, control } => {
            let RequestId { request_id } = request;
            let request = control::ResendDeliveryRequest { tenant, delivery, request_id, etag: etag.etag };
            let answer = control.deliveries().await?.resend_delivery(request).await?.into_inner();
            screen.show(&Resent(required(answer.delivery).ctx("delivery")?.try_into()?));
        }
        Command::Endpoints { tenant: TenantArg { tenant }, page, control } => {
            let request = control::ListEndpointsRequest { tenant, page_size: page.limit, page_token: page.page_token };
            let answer = control.deliveries().await?.list_endpoints(request).await?.into_inner();
            let entries = answer.endpoints.into_iter().map(Endpoint::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Endpoint> { entries, next_page_token: answer.next_page_token });
        }
        Command::Enable { endpoint, tenant: TenantArg { tenant }, etag, request, control } => {
            let RequestId { request_id } = request;
            let request = control::EnableEndpointRequest { tenant, endpoint, request_id, etag: etag.etag };
            let answer = control.deliveries().await?.enable_endpoint(request).await?.into_inner();
            screen.show(&EndpointEnabled(required(answer.endpoint).ctx("endpoint")?.try_into()?));
        }
    }
    Ok(())
}
