//! `sluice action publish`

use super::RequestId;
use crate::{
    client::{ControlUrl, Wire},
    file,
    screen::Screen,
    stop::Stop,
    view::action::{PublishResult, Published},
};
use bytes::Bytes;
use clap::ValueEnum;
use sluice_api::control::v1::{
    self as control, catalog_service_client::CatalogServiceClient, publish_header::Next,
    publish_version_request::Message,
};
use sluice_model::Error;
use std::path::PathBuf;
use tokio_stream::iter;

/// A piece of the package on its way; the service takes up to 1 MiB.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The package: a folder with action.toml, or a .tar.gz of one
    package: PathBuf,
    /// Which part of the version grows; without it the patch, or action.toml's own version
    #[arg(long, value_name = "PART", conflicts_with = "version")]
    bump: Option<Bump>,
    /// Exactly this version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// A tenant to publish to; may be given several times
    #[arg(long = "tenant", value_name = "TENANT", env = "SLUICE_TENANT", required = true)]
    tenants: Vec<String>,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    control: ControlUrl,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bump {
    /// 1.2.3 becomes 1.2.4
    Patch,
    /// 1.2.3 becomes 1.3.0
    Minor,
    /// 1.2.3 becomes 2.0.0
    Major,
}

impl Bump {
    fn number(self) -> i32 {
        let bump = match self {
            Bump::Patch => control::Bump::Patch,
            Bump::Minor => control::Bump::Minor,
            Bump::Major => control::Bump::Major,
        };
        bump.into()
    }
}

/// Publishes to every tenant, whatever became of the tenants before; each has its result. What the package itself has
/// wrong is told before anything is sent, in the words of the service.
pub(crate) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let package = file::read_package(&args.package)?;
    let slug = package.manifest.slug.to_string();
    let archive = Bytes::from(package.to_archive());
    let next = args.version.map(Next::Version).or(args.bump.map(|bump| Next::Bump(bump.number())));
    let mut catalog = args.control.catalog().await?;
    let (mut results, mut refused) = (Vec::new(), None);
    for tenant in args.tenants {
        let header = control::PublishHeader {
            tenant: tenant.clone(),
            next: next.clone(),
            request_id: args.request.request_id.clone(),
        };
        let progress = screen.progress(format!("publishing {slug} to {tenant}"));
        let answer = publish(&mut catalog, header, &archive).await;
        drop(progress);
        results.push(match answer {
            Ok(answer) => PublishResult::new(tenant, answer),
            Err(error) => {
                let result = PublishResult::refused(tenant, Some(slug.clone()), &error);
                refused.get_or_insert(error);
                result
            }
        });
    }
    screen.show(&Published { results });
    match refused {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}

async fn publish(
    catalog: &mut CatalogServiceClient<Wire>,
    header: control::PublishHeader,
    archive: &Bytes,
) -> Result<control::PublishVersionResponse, Error> {
    let mut messages = vec![Message::Header(header)];
    messages.extend(archive.chunks(CHUNK_BYTES).map(|chunk| Message::Chunk(archive.slice_ref(chunk))));
    let messages = messages.into_iter().map(|message| control::PublishVersionRequest { message: Some(message) });
    let answer = catalog.publish_version(iter(messages.collect::<Vec<_>>())).await;
    answer.map(tonic::Response::into_inner).map_err(|status| sluice_api::status::from_status(&status))
}
