//! `sluice action publish`

mod changes;

use super::RequestId;
use crate::{
    client::{ControlUrl, Wire},
    file,
    screen::Screen,
    stop::Stop,
    trial::{Redirects, Trial},
    view::{
        self,
        action::{PublishResult, Published},
    },
};
use bytes::Bytes;
use clap::ValueEnum;
use sluice_api::control::v1::{
    self as control, catalog_service_client::CatalogServiceClient, publish_header::Next,
    publish_version_request::Message,
};
use sluice_compiler::Package;
use sluice_control_plane::catalogue::cases;
use sluice_model::{Error, manifest::Provided};
use std::path::PathBuf;
use tokio_stream::iter;

/// A piece of the package on its way; the service takes up to 1 MiB.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The package: a folder with action.toml, or a .tar.gz of one; - is a .tar.gz from standard input
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
    /// Publish without asking, also where the version may do more than the one before
    #[arg(long)]
    yes: bool,
    /// Do not run the cases on this machine first; the service runs them all the same
    #[arg(long)]
    no_test: bool,
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
/// wrong, and a case that fails, is told before anything is sent, in the words of the service.
pub(crate) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let package = file::read_package(&args.package)?;
    let slug = package.manifest.slug.to_string();
    let archive = Bytes::from(package.to_archive());
    let next = args.version.map(Next::Version).or(args.bump.map(|bump| Next::Bump(bump.number())));
    let mut catalog = args.control.catalog().await?;
    // What this build does not provide the service may; it says so itself where it does not.
    if !args.no_test && package.unmet(&Provided::THIS_BUILD).is_empty() {
        tried(package.clone(), screen).await?;
    }
    let (mut tenants, mut declined) = (Vec::new(), false);
    for tenant in args.tenants {
        let changes = changes::against_newest(&mut catalog, &tenant, &package).await;
        screen.say(|look| changes.as_ref().map(|changes| changes.render(&tenant, look)).unwrap_or_default());
        let grows = changes.is_some_and(|changes| changes.grows());
        if grows && !args.yes && screen.can_ask() && !asked(&tenant, &slug)? {
            screen.warn(&format!("{slug} was not published to {tenant}"));
            declined = true;
            continue;
        }
        tenants.push(tenant);
    }
    let (mut results, mut refused) = (Vec::new(), None);
    for tenant in tenants {
        let header = control::PublishHeader {
            tenant: tenant.clone(),
            next: next.clone(),
            request_id: args.request.request_id.clone(),
        };
        let progress = screen.progress(format!("publishing {slug} to {tenant}, {} bytes", archive.len()));
        let answer = send(&mut catalog, header, &archive).await;
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
        Some(error) => Err(error.into()),
        None if declined => Err(Stop::told()),
        None => Ok(()),
    }
}

/// Runs the package's cases on this machine, as the service will.
async fn tried(package: Package, screen: &Screen) -> Result<(), Stop> {
    let progress = screen.progress(format!("testing {}", package.manifest.slug));
    let trial = Trial::prepare(package, Redirects::default(), &mut None, false).await?;
    let found = cases::mistakes(&trial.package);
    if !found.is_empty() {
        return Err(Stop::package(&found));
    }
    let results = trial.cases().await;
    drop(progress);
    let failed = results.iter().filter(|result| !result.passed());
    let failed: Vec<_> = failed.map(|result| result.mistake(&trial.package)).collect();
    if !failed.is_empty() {
        return Err(Stop::package(&failed));
    }
    let size = format!("{} of {}", view::size(trial.code_bytes as u64), trial.language());
    screen.say(|look| match results.len() {
        0 => look.faint(&format!("{size}; the package has no cases\n")),
        n => format!(
            "{} {} passed {}\n",
            look.good("✓"),
            view::count(n as u64, "case"),
            look.faint(&format!("({size})"))
        ),
    });
    Ok(())
}

/// Asks whether to go on; the answer is no unless somebody says yes.
fn asked(tenant: &str, slug: &str) -> Result<bool, Stop> {
    let question = format!("Publish {slug} to {tenant}? It may do more than the version before");
    let answer = dialoguer::Confirm::new().with_prompt(question).default(false).interact();
    answer.map_err(|e| Stop::local("NO_ANSWER", format!("nobody answered: {e}; --yes publishes without asking")))
}

/// Sends a package.
pub(super) async fn send(
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
