//! An Action with one of its versions, what a mark of a version came to, and the end of an Action.

use super::{
    Warning,
    action::{Action, Version},
    count,
    flow::Rollout,
    form::form,
    warnings,
};
use crate::{
    screen::{Look, View},
    stop::Stop,
};
use serde::Serialize;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, json, required},
    types::v1 as wire,
};
use sluice_model::{Grants, Object};

/// `{slug, name, kind, triggers, attached, newest, etag, description, version: V, schema | null}`, V as in `action versions`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ActionShown {
    #[serde(flatten)]
    action: Action,
    etag: String,
    description: String,
    version: Version,
    schema: Option<Object>,
}

impl ActionShown {
    pub(crate) fn new(action: control::Action, mut version: wire::Version) -> Result<ActionShown, Stop> {
        let action = Action::try_from(action)?;
        Ok(ActionShown {
            etag: action.etag.clone(),
            action,
            description: std::mem::take(&mut version.description),
            schema: version.config_schema.take().map(json::object).transpose().ctx("config_schema")?,
            version: Version::try_from(version)?,
        })
    }
}

impl View for ActionShown {
    fn render(&self, look: &Look) -> String {
        let Action { slug, name, kind, attached, newest, etag, .. } = &self.action;
        let attached = match attached {
            0 => "attached nowhere".to_owned(),
            slots => format!("attached in {}", count(u64::from(*slots), "slot")),
        };
        let mut text = format!("{}  {name}, {kind}, {attached}, newest {newest}, etag {etag}\n", look.strong(slug));
        if !self.description.is_empty() {
            text.push_str(&format!("{}\n", self.description));
        }
        let mut table = super::Table::new(<Version as super::Entry>::COLUMNS);
        table.row(super::Entry::row(&self.version, look));
        text.push_str(&format!("\n{}", table.render(look)));
        reached(&self.version.grants).iter().for_each(|line| text.push_str(&format!("It {line}.\n")));
        match &self.schema {
            None => text.push_str("It takes no config.\n"),
            Some(schema) => {
                text.push_str(&format!("\nconfig\n{}", form(schema, look)));
            }
        }
        text
    }
}

/// What a version may reach, a phrase each.
fn reached(grants: &Grants) -> Vec<String> {
    let config = |pointers: &[String]| pointers.iter().map(|pointer| format!("config {pointer}")).collect::<Vec<_>>();
    let said = |verb: &str, declared: &[String], named: &[String]| {
        let all: Vec<String> = declared.iter().cloned().chain(config(named)).collect();
        (!all.is_empty()).then(|| format!("{verb} {}", all.join(", ")))
    };
    let capabilities: Vec<String> = grants.capabilities.iter().map(ToString::to_string).collect();
    let lines = [
        said("may send to", &grants.hosts, &grants.hosts_from_config),
        said("reads the secrets", &grants.secrets, &grants.secrets_from_config),
        said("uses", &capabilities, &[]),
    ];
    lines.into_iter().flatten().collect()
}

/// `{slug, version, deprecated, yanked, revoked, etag, warnings, rollout: {have, waiting} | null}`; only a revocation has a
/// rollout, since executors need not know of the rest.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Marked {
    slug: String,
    version: String,
    deprecated: bool,
    yanked: bool,
    revoked: bool,
    etag: String,
    warnings: Vec<Warning>,
    rollout: Option<Rollout>,
    #[serde(skip)]
    state: &'static str,
    #[serde(skip)]
    waited: bool,
}

impl Marked {
    /// What the control plane answered; a rollout comes with whether it was waited for.
    pub(crate) fn new(
        version: Option<wire::Version>,
        warnings: Vec<wire::Warning>,
        rollout: Option<(Rollout, bool)>,
    ) -> Result<Marked, Stop> {
        let wire = required(version).ctx("version")?;
        let (slug, etag) = (wire.slug.clone(), wire.etag.clone());
        let (deprecated, yanked, revoked) = (wire.deprecated, wire.yanked, wire.revoked);
        let version = Version::try_from(wire)?;
        Ok(Marked {
            slug,
            version: version.number().to_owned(),
            deprecated,
            yanked,
            revoked,
            etag,
            warnings: warnings.into_iter().map(Warning::from).collect(),
            rollout: rollout.map(|(rollout, _)| rollout),
            state: version.state(),
            waited: rollout.is_some_and(|(_, waited)| waited),
        })
    }
}

impl View for Marked {
    fn render(&self, look: &Look) -> String {
        let name = look.strong(&format!("{}@{}", self.slug, self.version));
        let says = match self.state {
            "-" => "has no mark any more".to_owned(),
            state => format!("is {state}"),
        };
        let far = self.rollout.map(|rollout| format!(": {}", rollout.told(look, self.waited, "dropped by")));
        format!("{} {name} {says}{}\n{}", look.good("✓"), far.unwrap_or_default(), warnings(&self.warnings, look))
    }
}

/// `{slug, newest}`: the highest version that the Action had.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Deleted {
    pub(crate) slug: String,
    pub(crate) newest: String,
}

impl View for Deleted {
    fn render(&self, look: &Look) -> String {
        let hint = look.hint(&format!("What is published as {} next counts on from {}.", self.slug, self.newest));
        format!("{} Action {} deleted\n{hint}", look.good("✓"), look.strong(&self.slug))
    }
}
