//! `sluice tenant`

use super::{
    Etag, PageArgs, RequestId,
    flow::{ROLLOUT_SLACK, ROLLOUT_WAIT},
};
use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    view::{
        Page,
        tenant::{BreakGlass, Origin, OriginChanged, Tenant, TenantShown},
    },
};
use clap::{Subcommand, ValueEnum};
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, required, to_duration},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a tenant
    Create {
        /// Its slug: a to z, 0 to 9 and -, the first a letter
        tenant: String,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// List the tenants
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Show a tenant
    Show {
        /// The tenant's slug
        #[arg(env = "SLUICE_TENANT")]
        tenant: String,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Turn a tenant's custom Actions off (break-glass on), or on again
    BreakGlass {
        /// Whether the switch is on, and custom Actions are skipped
        switch: Switch,
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
    /// Say where a tenant's Actions may send users
    #[command(subcommand)]
    RedirectOrigins(Origins),
}

/// A position of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Custom Actions are skipped
    On,
    /// They run
    Off,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Origins {
    /// Allow redirects to an origin
    Add {
        /// Such as https://app.example.com
        origin: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Forbid redirects to an origin
    Remove {
        /// Such as https://app.example.com
        origin: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// List the origins that are allowed
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Create { tenant, request, control } => {
            let request = control::CreateTenantRequest { tenant, request_id: request.request_id };
            let answer = control.tenants().await?.create_tenant(request).await?.into_inner();
            screen.show(&Tenant::try_from(required(answer.tenant).ctx("tenant")?)?);
        }
        Command::List { page, control } => {
            let request = control::ListTenantsRequest { page_size: page.limit, page_token: page.page_token };
            let answer = control.tenants().await?.list_tenants(request).await?.into_inner();
            let entries = answer.tenants.into_iter().map(Tenant::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Tenant> { entries, next_page_token: answer.next_page_token });
        }
        Command::Show { tenant, control } => {
            let answer = control.tenants().await?.get_tenant(control::GetTenantRequest { tenant }).await?.into_inner();
            screen.show(&TenantShown(Tenant::try_from(required(answer.tenant).ctx("tenant")?)?));
        }
        Command::BreakGlass { switch, tenant: TenantArg { tenant }, no_wait, etag, request, control } => {
            let mut request = tonic::Request::new(control::SetBreakGlassRequest {
                tenant,
                on: switch == Switch::On,
                etag: etag.etag,
                request_id: request.request_id,
                wait: (!no_wait).then(|| to_duration(ROLLOUT_WAIT)),
            });
            request.set_timeout(ROLLOUT_WAIT + ROLLOUT_SLACK);
            let answer = control.tenants().await?.set_break_glass(request).await?.into_inner();
            screen.show(&BreakGlass::new(answer, !no_wait)?);
        }
        Command::RedirectOrigins(command) => origins(command, screen).await?,
    }
    Ok(())
}

async fn origins(command: Origins, screen: &Screen) -> Result<(), Stop> {
    match command {
        Origins::Add { origin, tenant: TenantArg { tenant }, etag: Etag { etag }, request, control } => {
            let request_id = request.request_id;
            let request = control::AddRedirectOriginRequest { tenant: tenant.clone(), origin, request_id, etag };
            let answer = control.tenants().await?.add_redirect_origin(request).await?.into_inner();
            screen.show(&OriginChanged { tenant, origin: answer.origin, allowed: true });
        }
        Origins::Remove { origin, tenant: TenantArg { tenant }, etag: Etag { etag }, request, control } => {
            let request_id = request.request_id;
            let request = control::RemoveRedirectOriginRequest { tenant: tenant.clone(), origin, request_id, etag };
            let answer = control.tenants().await?.remove_redirect_origin(request).await?.into_inner();
            screen.show(&OriginChanged { tenant, origin: answer.origin, allowed: false });
        }
        Origins::List { tenant: TenantArg { tenant }, page, control } => {
            let request =
                control::ListRedirectOriginsRequest { tenant, page_size: page.limit, page_token: page.page_token };
            let answer = control.tenants().await?.list_redirect_origins(request).await?.into_inner();
            let entries = answer.origins.into_iter().map(|origin| Origin { origin }).collect();
            screen.show(&Page { entries, next_page_token: answer.next_page_token });
        }
    }
    Ok(())
}
