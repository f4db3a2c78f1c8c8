//! Publishing: a package becomes a version, or is refused with everything that is wrong with it.
//!
//! Reading, compiling (in a child process), evaluating and the package's own cases come first, without any lock; then the
//! bundle is stored, and then one commit makes the version, its catalogue entry and its audit. Whoever loses a race for a
//! number takes the next one.

use super::number::{Next, Numbered};
use super::{ActionRow, Catalogue, Published, VersionRow, cases, refusal};
use crate::audit::outbox;
use crate::flows::Warning;
use crate::keys;
use crate::requests::{self, Keep, RequestId, Seen};
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, BlobStore};
use crate::tenants::Tenants;
use bytes::Bytes;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_compiler::{ChildOptions, CompileError, Package, compile_in_child};
use sluice_model::manifest::Provided;
use sluice_model::version::{ActionKind, ActionVersion, Bump};
use sluice_model::{Artifact, AuditKind, AuditRecord, Bundle, Code, Diagnostic, Error, FailureReason, Grants, Slug};
use sluice_sandbox::{Engine, Snapshot};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long all cases of a package may take together.
const CASES_TIMEOUT: Duration = Duration::from_secs(30);

/// A package to be published.
pub(crate) struct Publish {
    /// For whom.
    pub(crate) tenant: Slug,
    /// As which version; `None` leaves it to the package.
    pub(crate) next: Option<Bump>,
    /// The package, a `.tar.gz` of its folder.
    pub(crate) archive: Bytes,
    /// Makes a retry safe.
    pub(crate) request_id: String,
}

/// What a package was published as.
#[derive(Clone, Debug)]
pub(crate) struct PublishedAs {
    /// The version.
    pub(crate) version: ActionVersion,
    /// Whether it was made now.
    pub(crate) created: bool,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

/// What is kept of an answer: the version itself never changes.
#[derive(Serialize, Deserialize)]
struct Answer {
    slug: Slug,
    version: Version,
    created: bool,
    warnings: Vec<Warning>,
}

/// Publishes packages.
#[derive(Clone)]
pub(crate) struct Publisher {
    shared: Shared,
    tenants: Tenants,
    catalogue: Catalogue,
    blobs: BlobStore,
    engine: Engine,
    child: Arc<ChildOptions>,
    /// Packages that are compiled and evaluated at once; more wait.
    at_once: Arc<Semaphore>,
}

fn compiler_unavailable() -> Error {
    Error::new(Code::Unavailable, "COMPILER_UNAVAILABLE", "the compiler cannot be started now; try again")
}

/// A package that works.
struct Built {
    artifact: Artifact,
    warnings: Vec<Warning>,
}

impl Publisher {
    pub(crate) fn new(
        shared: Shared,
        tenants: Tenants,
        catalogue: Catalogue,
        blobs: BlobStore,
        engine: Engine,
        child: ChildOptions,
        at_once: usize,
    ) -> Publisher {
        let at_once = Arc::new(Semaphore::new(at_once.max(1)));
        Publisher { shared, tenants, catalogue, blobs, engine, child: Arc::new(child), at_once }
    }

    /// Publishes a package.
    #[tracing::instrument(level = "info", skip_all, fields(tenant = %publish.tenant))]
    pub(crate) async fn publish(&self, who: &str, publish: Publish) -> Result<PublishedAs, Error> {
        let published = self.try_publish(who, publish).await;
        self.shared.metrics.published(match &published {
            Ok(PublishedAs { created: true, .. }) => "created",
            Ok(_) => "unchanged",
            Err(_) => "refused",
        });
        published
    }

    async fn try_publish(&self, who: &str, publish: Publish) -> Result<PublishedAs, Error> {
        let Publish { tenant, next, archive, request_id } = publish;
        self.tenants.get(&tenant).await?;
        let asked = (next.as_ref().map(|bump| format!("{bump:?}")), blake3::hash(&archive).to_hex().to_string());
        let request = RequestId::of(Some(&tenant), &request_id, "PublishVersion", &asked)?;
        if let Seen::Answered(answer) = requests::look(&self.shared, request.as_ref()).await? {
            return self.answered(&tenant, answer).await;
        }
        let (package, digest) = self.stage("read", read(archive)).await?;
        // Asked before the work, so that what cannot be published, or is there already, costs nothing.
        let unchanged =
            matches!(self.catalogue.number(&tenant, &package, &digest, next.as_ref()).await?, Numbered::Is(_));
        let mut built = None;
        if !unchanged {
            built = Some(self.build(&package).await?);
        }
        loop {
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(answer) => return self.answered(&tenant, answer).await,
                Seen::New(keep) => keep,
            };
            let numbered = self.catalogue.number(&tenant, &package, &digest, next.as_ref()).await?;
            let done = match (numbered, &built) {
                (Numbered::Is(found), _) => self.unchanged(*found, keep).await?,
                (Numbered::Becomes(next), Some(built)) => {
                    self.stage("store", self.store(who, &tenant, &package, &digest, built, next, keep)).await?
                }
                // The version that it was is not there any more: it has to be built after all.
                (Numbered::Becomes(_), None) => {
                    built = Some(self.build(&package).await?);
                    None
                }
            };
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    async fn answered(&self, tenant: &Slug, answer: Answer) -> Result<PublishedAs, Error> {
        let version = self.catalogue.get(tenant, &answer.slug, &answer.version).await?.value;
        Ok(PublishedAs { version, created: answer.created, warnings: answer.warnings })
    }

    /// Compiles a package, evaluates it once, and runs its cases.
    async fn build(&self, package: &Arc<Package>) -> Result<Built, Error> {
        let _permit = self.at_once.acquire().await.map_err(|_closed| Error::internal("the publisher has ended"))?;
        let artifact = match &package.component {
            Some(component) => Artifact::Component(component.clone()),
            None => Artifact::Bundle(self.stage("compile", self.compile(package)).await?),
        };
        let snapshot = self.stage("evaluate", self.evaluate(package, &artifact)).await?;
        if !package.cases.is_empty() {
            self.stage("cases", self.run_cases(package, &snapshot)).await?;
        }
        Ok(Built { artifact, warnings: Vec::new() })
    }

    async fn stage<T>(&self, stage: &'static str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let begun = Instant::now();
        let done = work.await;
        self.shared.metrics.publish_stage(stage, begun.elapsed());
        tracing::debug!(stage, took_us = begun.elapsed().as_micros(), "a stage of a publish");
        done
    }

    async fn compile(&self, package: &Arc<Package>) -> Result<Bundle, Error> {
        let (package, child) = (Arc::clone(package), Arc::clone(&self.child));
        let compiled = tokio::task::spawn_blocking(move || compile_in_child(&package, &child)).await;
        match compiled {
            Ok(Ok(bundle)) => Ok(bundle),
            Ok(Err(CompileError::Refused(found))) => Err(refusal::invalid_package(&found)),
            Ok(Err(CompileError::Unavailable(error))) => {
                tracing::error!(%error, "the compiler cannot be started");
                Err(compiler_unavailable())
            }
            Err(error) => {
                tracing::error!(%error, "the compiler failed");
                Err(Error::internal("the compiler failed on this package"))
            }
        }
    }

    async fn evaluate(&self, package: &Package, artifact: &Artifact) -> Result<Arc<Snapshot>, Error> {
        match self.engine.prepare(artifact).await {
            Ok(snapshot) => Ok(Arc::new(snapshot)),
            Err(failure) if failure.reason == FailureReason::Unavailable && package.component.is_some() => {
                tracing::error!(error = failure.message, "a component cannot be compiled");
                Err(compiler_unavailable())
            }
            Err(failure) if failure.reason == FailureReason::Unavailable => Err(Error::new(
                Code::ResourceExhausted,
                "OVERLOADED",
                "too many packages are being published; try again",
            )),
            Err(failure) if failure.reason == FailureReason::Internal => {
                tracing::error!(message = failure.message, "the sandbox failed on a package");
                Err(Error::internal("the sandbox failed on this package"))
            }
            Err(failure) => Err(refusal::invalid_package(&[refusal::evaluation(package, &failure)])),
        }
    }

    async fn run_cases(&self, package: &Package, snapshot: &Arc<Snapshot>) -> Result<(), Error> {
        let found = cases::mistakes(package);
        if !found.is_empty() {
            return Err(refusal::invalid_package(&found));
        }
        let Ok(results) = tokio::time::timeout(CASES_TIMEOUT, cases::run(&self.engine, package, snapshot)).await else {
            let message = format!("the cases take longer than {} s together", CASES_TIMEOUT.as_secs());
            return Err(refusal::invalid_package(&[Diagnostic::error("cases", "tests", message)]));
        };
        if results.iter().any(cases::platform_fault) {
            return Err(Error::internal("the sandbox failed on the cases of this package"));
        }
        let failed = results.iter().filter(|result| !result.passed());
        let failed: Vec<Diagnostic> = failed.map(|result| result.mistake(package)).collect();
        if failed.is_empty() { Ok(()) } else { Err(refusal::invalid_package(&failed)) }
    }

    /// Nothing is new; only the answer is kept where the caller may ask again.
    async fn unchanged(&self, found: Published, keep: Keep) -> Result<Option<PublishedAs>, Error> {
        let version = found.value.clone();
        let mut warnings = Vec::new();
        if !version.is_attachable() {
            let state = if version.revoked { "revoked" } else { "yanked" };
            let message = format!(
                "version {} has this content already and is {state}; ask for a patch by its number, or for a minor or \
                 major version, to publish it anew",
                version.version
            );
            warnings.push(Warning::new(&format!("version_{state}"), message));
        }
        let answer = Answer { slug: version.slug.clone(), version: version.version.clone(), created: false, warnings };
        if keep.is_asked() {
            let batch = Batch::new().at(found.key(), found.revision);
            let batch = keep.keep(batch, &answer, self.shared.clock.now())?;
            if rows::commit(&*self.shared.store, batch).await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(PublishedAs { version, created: false, warnings: answer.warnings }))
    }

    /// Stores the bundle, then the version with everything that tells of it; `None` where another publish was first.
    #[allow(clippy::too_many_arguments, reason = "each is a different thing, and all of them make the version")]
    async fn store(
        &self,
        who: &str,
        tenant: &Slug,
        package: &Package,
        digest: &str,
        built: &Built,
        next: Next,
        keep: Keep,
    ) -> Result<Option<PublishedAs>, Error> {
        let generation = next.generation();
        let bundle_digest = self.blobs.put(built.artifact.to_bytes()).await?.to_string();
        let now = self.shared.clock.now();
        let manifest = &package.manifest;
        let identity = self.engine.identity();
        let version = ActionVersion {
            tenant: tenant.clone(),
            slug: manifest.slug.clone(),
            version: next.version,
            kind: ActionKind::Custom,
            name: manifest.name.clone(),
            description: manifest.description.clone(),
            triggers: manifest.triggers.clone(),
            outcomes: manifest.outcomes.clone(),
            limits: manifest.limits,
            grants: Grants::of(manifest),
            schema: package.schema.as_ref().map(|schema| schema.as_json().clone()),
            content_digest: digest.to_owned(),
            bundle_digest,
            engine: format!("{}/{}", identity.engine, identity.base_image),
            published_at: now,
            published_by: who.to_owned(),
            deprecated: false,
            yanked: false,
            revoked: false,
        };
        let (action_key, gone_key) = (keys::action(tenant, &version.slug), keys::gone_action(tenant, &version.slug));
        let (batch, action) = match (next.action, next.gone) {
            (Some(row), _) => (Batch::new().at(action_key.clone(), row.revision), Some(row.value)),
            (None, Some(gone)) => {
                let batch = Batch::new().absent(action_key.clone()).at(gone_key.clone(), gone.revision);
                (batch.delete(gone_key), None)
            }
            (None, None) => (Batch::new().absent(action_key.clone()).absent(gone_key), None),
        };
        let action = match action {
            Some(action) if action.newest > version.version => action,
            _ => ActionRow {
                slug: version.slug.clone(),
                name: version.name.clone(),
                kind: ActionKind::Custom,
                triggers: version.triggers.clone(),
                newest: version.version.clone(),
                generation,
            },
        };
        let mut record = AuditRecord::new(now, AuditKind::ActionPublished, tenant.clone(), who);
        record.slug = Some(version.slug.clone());
        record.version = Some(version.version.clone());
        let mut to = json!({
            "name": version.name,
            "triggers": version.triggers,
            "digest": version.content_digest,
            "bundle_digest": version.bundle_digest,
        });
        if !version.grants.is_empty() {
            to["grants"] = json!(version.grants);
        }
        record.to = Some(to);
        let version_key = keys::version(tenant, &version.slug, &version.version);
        let batch = batch
            .exists(keys::tenant(tenant))
            .absent(version_key.clone())
            .put(version_key, rows::encode(&VersionRow { version: version.clone(), generation })?)
            // Written again where it is the same: it is what two publishes race for.
            .put(action_key, rows::encode(&action)?)
            .put(keys::bundle(tenant, &version.bundle_digest), Vec::new())
            .append(keys::outbox(), outbox::row(&record)?);
        let answer = Answer {
            slug: version.slug.clone(),
            version: version.version.clone(),
            created: true,
            warnings: built.warnings.clone(),
        };
        let batch = keep.keep(batch, &answer, now)?;
        if rows::commit(&*self.shared.store, batch).await?.is_none() {
            return Ok(None);
        }
        tracing::info!(%tenant, slug = %version.slug, version = %version.version, "a version was published");
        Ok(Some(PublishedAs { version, created: true, warnings: answer.warnings }))
    }
}

/// Reads an archive and checks what can be told without compiling. On a blocking thread: it unpacks up to 16 MiB.
async fn read(archive: Bytes) -> Result<(Arc<Package>, String), Error> {
    let read = tokio::task::spawn_blocking(move || {
        let package = Package::from_archive(&archive).map_err(|found| refusal::invalid_package(&found))?;
        if let Some(refused) = refusal::unsupported(&package.unmet(&Provided::THIS_BUILD)) {
            return Err(refused);
        }
        if let Some(found) = refusal::reserved(&package) {
            return Err(refusal::invalid_package(&[found]));
        }
        let digest = package.content_digest();
        Ok((Arc::new(package), digest))
    });
    match read.await {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(%error, "a package could not be read");
            Err(Error::internal("the package could not be read"))
        }
    }
}
