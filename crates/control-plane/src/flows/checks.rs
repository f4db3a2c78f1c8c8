//! What is asked of a config when it is saved, beyond its schema: the version's own `checkConfig`, run in the sandbox, and what only the
//! host knows.

use super::attach::{check_trigger, check_wall};
use super::generated::Generated;
use super::{Flows, Warning, config};
use crate::deliveries::is_slack;
use crate::secrets::Secrets;
use crate::store::BlobStore;
use crate::tenants::Tenant;
use serde_json::Value;
use sluice_model::redirect::{self, Origin};
use sluice_model::schema::fill_defaults;
use sluice_model::version::{ActionKind, ActionVersion};
use sluice_model::{Artifact, CheckedConfig, Code, Error, Failure, FailureReason, Invalid, Object, Slug, Trigger};
use sluice_sandbox::Engine;
use std::sync::Arc;

/// The template whose secret is a URL of Slack, and the field that names it.
const SLACK: &str = "slack-notify";
const SLACK_URL: &str = "webhook_url_ref";
/// The template that may wait for the answer of who it tells.
const WEBHOOK: &str = "webhook-emit";

/// Checks configs.
#[derive(Clone)]
pub(crate) struct Checker {
    engine: Engine,
    blobs: BlobStore,
    secrets: Secrets,
    /// See [`crate::config::DeliveriesConfig::slack_test_hosts`].
    slack_test_hosts: Arc<[String]>,
}

/// Where a config is to stand.
pub(super) struct Place<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) trigger: Trigger,
    /// The attachment's own limit by the clock.
    pub(super) wall_ms: Option<u32>,
}

/// A config as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) config: Object,
    pub(super) warnings: Vec<Warning>,
    /// The secrets that are to be made with it.
    pub(super) generated: Vec<Generated>,
}

impl Checker {
    pub(crate) fn new(engine: Engine, blobs: BlobStore, secrets: Secrets, slack_test_hosts: Arc<[String]>) -> Checker {
        Checker { engine, blobs, secrets, slack_test_hosts }
    }

    /// Checks a config that the schema takes, as [`config::check`] gave it, and answers it as it is kept. The error has a field for
    /// each mistake, such as `config/burst`.
    pub(super) async fn check(&self, place: &Place<'_>, version: &ActionVersion, kept: Object) -> Result<Kept, Error> {
        let mut found = Checker::by_host(place, version, &kept)?;
        found.extend(self.by_secret(place, version, &kept).await?);
        config::refuse(found)?;
        let Some(said) = self.by_action(place, version, &kept).await? else {
            return Ok(Kept { config: kept, warnings: Vec::new(), generated: Vec::new() });
        };
        config::refuse(said.errors)?;
        let warning = |Invalid { pointer, message }| Warning {
            code: "config".to_owned(),
            message,
            pointer: Some(format!("/config{pointer}")),
        };
        let warnings = said.warnings.into_iter().map(warning).collect();
        let Some(config) = said.config else { return Ok(Kept { config: kept, warnings, generated: Vec::new() }) };
        let config = without_defaults(version, config, &kept);
        if config == kept {
            return Ok(Kept { config, warnings, generated: Vec::new() });
        }
        // What it makes of the config has to be one itself.
        let config = config::check(version, &config)?;
        config::refuse(Checker::by_host(place, version, &config)?)?;
        Ok(Kept { config, warnings, generated: Vec::new() })
    }

    /// What only the host knows.
    fn by_host(place: &Place<'_>, version: &ActionVersion, kept: &Object) -> Result<Vec<Invalid>, Error> {
        let Some(schema) = config::parsed(version.schema.as_ref())? else { return Ok(Vec::new()) };
        let config = Value::Object(filled(version, kept));
        let origins = place.tenant.redirect_origins.iter().map(|origin| Origin::parse(origin));
        let origins: Vec<Origin> = origins.filter_map(Result::ok).collect();
        let mut found = Vec::new();
        for (pointer, url) in schema.texts_of("redirect-url", &config) {
            // Whether localhost may be reached without TLS is what each executor's operator says.
            if let Err(wrong) = redirect::check(&url, &origins, true) {
                let help = format!("sluice tenant redirect-origins add ORIGIN --tenant {}", place.tenant.tenant);
                found.push(Invalid::at(pointer, format!("{wrong}; an operator allows one by: {help}")));
            }
        }
        // A run that waits for an answer has to be there when it comes.
        let wall_ms = place.wall_ms.map_or(version.limits.wall_ms, |own| own.min(version.limits.wall_ms));
        // Another Action may mean something else by the same words.
        let waits = version.kind == ActionKind::Template
            && version.slug.as_str() == WEBHOOK
            && config.get("mode").is_some_and(|mode| mode == "sync");
        if let Some(timeout_ms) = config.get("timeout_ms").and_then(Value::as_u64).filter(|_| waits)
            && timeout_ms > u64::from(wall_ms)
        {
            let message = format!(
                "is {timeout_ms}; a run of this attachment has {wall_ms} ms by the clock, and waits within them"
            );
            found.push(Invalid::at("/timeout_ms", message));
        }
        Ok(found)
    }

    /// A message of Slack goes to Slack: looked at where the secret is set already, and before each delivery.
    async fn by_secret(
        &self,
        place: &Place<'_>,
        version: &ActionVersion,
        kept: &Object,
    ) -> Result<Option<Invalid>, Error> {
        if version.kind != ActionKind::Template || version.slug.as_str() != SLACK {
            return Ok(None);
        }
        let Some(name) = kept.get(SLACK_URL).and_then(Value::as_str) else { return Ok(None) };
        let Some((_, value)) = self.secrets.value(&place.tenant.tenant, name).await? else { return Ok(None) };
        let url = url::Url::parse(value.expose().trim());
        let is_slacks = url.is_ok_and(|url| is_slack(&url, &self.slack_test_hosts));
        let message = "names a secret that holds no URL of an incoming webhook: https://hooks.slack.com/services/..., or \
                       that of hooks.slack-gov.com";
        Ok((!is_slacks).then(|| Invalid::at(format!("/{SLACK_URL}"), message)))
    }

    /// What the Action says. `None` where it has no check.
    async fn by_action(
        &self,
        place: &Place<'_>,
        version: &ActionVersion,
        kept: &Object,
    ) -> Result<Option<CheckedConfig>, Error> {
        let lost = |what: &str| {
            tracing::error!(slug = %version.slug, version = %version.version, what, "a version cannot be read");
            Error::internal("the code of this version cannot be read")
        };
        let digest = version.bundle_digest.parse().map_err(|_wrong| lost("digest"))?;
        let bytes = self.blobs.get(digest).await?.ok_or_else(|| lost("bundle"))?;
        let artifact = Artifact::from_bytes(bytes.into()).map_err(|wrong| lost(&wrong))?;
        if let Artifact::Bundle(bundle) = &artifact
            && !bundle.modules.iter().any(|module| module.code.contains("checkConfig"))
        {
            return Ok(None);
        }
        let said = self.engine.check_config(&artifact, &filled(version, kept), place.trigger).await;
        said.map_err(|failure| failed(&version.slug, version, failure))
    }
}

/// A config to be checked for a place that it does not have yet.
pub(crate) struct Trial {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The Action.
    pub(crate) slug: Slug,
    /// An exact version, a range, or empty for the highest release.
    pub(crate) version: String,
    /// The slot.
    pub(crate) trigger: Trigger,
    /// The config.
    pub(crate) config: Object,
    /// The attachment's own limit by the clock, in milliseconds.
    pub(crate) wall_ms: Option<u32>,
}

/// What a save would make of a config.
pub(crate) struct Tried {
    /// What it was checked by.
    pub(crate) version: ActionVersion,
    /// As it is kept.
    pub(crate) config: Object,
    /// As the Action sees it.
    pub(crate) effective: Object,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

impl Flows {
    /// Checks a config as attaching does, and saves nothing.
    pub(crate) async fn check_config(&self, trial: &Trial) -> Result<Tried, Error> {
        let Trial { tenant, slug, version, trigger, config, wall_ms } = trial;
        let whose = self.tenants.get(tenant).await?.value;
        let wall_ms = wall_ms.map(check_wall).transpose()?;
        let version = self.catalogue.resolve(tenant, slug, version).await?.value;
        check_trigger(&version, *trigger)?;
        let kept = config::check(&version, config)?;
        let place = Place { tenant: &whose, trigger: *trigger, wall_ms };
        let Kept { config, warnings, .. } = self.checker.check(&place, &version, kept).await?;
        let effective = filled(&version, &config);
        Ok(Tried { version, config, effective, warnings })
    }
}

/// A config as the Action sees it.
fn filled(version: &ActionVersion, config: &Object) -> Object {
    match &version.schema {
        Some(schema) => fill_defaults(schema, config.clone()),
        None => config.clone(),
    }
}

/// The config without the defaults that nobody sent: they stay the schema's.
fn without_defaults(version: &ActionVersion, mut config: Object, sent: &Object) -> Object {
    let defaults = filled(version, &Object::new());
    config.retain(|key, value| sent.contains_key(key) || defaults.get(key) != Some(value));
    config
}

fn failed(slug: &Slug, version: &ActionVersion, failure: Failure) -> Error {
    match failure.reason {
        FailureReason::Unavailable => {
            Error::new(Code::ResourceExhausted, "OVERLOADED", "too many configs are being checked; try again")
        }
        FailureReason::Internal => {
            tracing::error!(message = failure.message, "the sandbox failed on a check of a config");
            Error::internal("the sandbox failed on this config")
        }
        reason => {
            let at = match (&failure.file, failure.line) {
                (Some(file), Some(line)) => format!(" ({file}:{line})"),
                _ => String::new(),
            };
            let version = &version.version;
            let message = format!("checkConfig of {slug}@{version} failed: {reason}: {}{at}", failure.message);
            Error::precondition("CONFIG_CHECK_FAILED", message).about("version", format!("{slug}@{version}"))
        }
    }
}
