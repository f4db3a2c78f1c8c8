//! What a package would change against the newest version of its Action.

use crate::{client::Wire, screen::Look};
use serde_json::{Map, Value};
use sluice_api::{
    control::v1::{self as control, catalog_service_client::CatalogServiceClient},
    convert::{Word as _, grants, json},
    types::v1 as wire,
};
use sluice_compiler::Package;
use sluice_model::{
    Grants, Limits, OutcomeKind,
    schema::{ConfigSchema, compatibility},
};
use std::collections::BTreeSet;

/// The changes, a line each.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// The newest version.
    against: String,
    /// What it may do, or may be given, that the version before could not.
    more: Vec<String>,
    /// What it may not any more.
    less: Vec<String>,
    /// The config: what is new, gone or different.
    config: Vec<String>,
    /// Why configs that are stored may be refused: a major version is asked for.
    breaks: Vec<String>,
}

/// Against what the tenant's newest version declares; none where there is none, or it cannot be read: the service says why.
pub(super) async fn against_newest(
    catalog: &mut CatalogServiceClient<Wire>,
    tenant: &str,
    package: &Package,
) -> Option<Changes> {
    let slug = package.manifest.slug.to_string();
    let request = control::GetActionRequest { tenant: tenant.to_owned(), slug: slug.clone() };
    let newest = catalog.get_action(request).await.ok()?.into_inner().action?.newest;
    let request = control::GetVersionRequest { tenant: tenant.to_owned(), slug, version: newest };
    let version = catalog.get_version(request).await.ok()?.into_inner().version?;
    (version.digest != package.content_digest()).then(|| Changes::between(version, package))
}

impl Changes {
    fn between(before: wire::Version, package: &Package) -> Changes {
        let manifest = &package.manifest;
        let mut changes = Changes { against: before.version, ..Changes::default() };
        let triggers = manifest.triggers.iter().map(|trigger| trigger.as_str().to_owned()).collect();
        changes.set("trigger", before.triggers.into_iter().collect(), triggers);
        let outcomes = OutcomeKind::from_list(&before.outcomes).unwrap_or_default();
        changes.set("outcome", words(&outcomes), words(manifest.outcomes.as_deref().unwrap_or_default()));
        if let Some(limits) = before.limits {
            let Limits { cpu_ms, wall_ms } = manifest.limits;
            changes.limit("cpu_ms", limits.cpu_ms, cpu_ms);
            changes.limit("wall_ms", limits.wall_ms, wall_ms);
        }
        changes.reach(&grants(before.grants).unwrap_or_default(), &Grants::of(manifest));
        let old = before.config_schema.and_then(|schema| json::object(schema).ok()).map(Value::Object);
        let new = package.schema.as_ref().map(|schema| Value::Object(schema.as_json().clone()));
        compare("", properties(old.as_ref()), properties(new.as_ref()), &mut changes.config);
        let old = old.and_then(|schema| ConfigSchema::new(schema).ok());
        let breaks = compatibility(old.as_ref(), package.schema.as_ref());
        changes.breaks = breaks.iter().map(ToString::to_string).collect();
        changes
    }

    /// Whether the version may do more than the one before.
    pub(super) fn grows(&self) -> bool {
        !self.more.is_empty()
    }

    fn set(&mut self, what: &str, before: BTreeSet<String>, after: BTreeSet<String>) {
        // No outcomes declared: all that the triggers allow.
        match (before.is_empty(), after.is_empty()) {
            (false, true) => self.more.push(format!("every {what} that its triggers allow")),
            (true, false) => self.less.push(format!("only {what} {}", joined(&after))),
            _ => {
                self.more.extend(after.difference(&before).map(|name| format!("{what} {name}")));
                self.less.extend(before.difference(&after).map(|name| format!("{what} {name}")));
            }
        }
    }

    /// What it may reach beyond its input.
    fn reach(&mut self, before: &Grants, after: &Grants) {
        let capabilities =
            |grants: &Grants| grants.capabilities.iter().map(|asked| asked.as_str().to_owned()).collect::<Vec<_>>();
        for (what, before, after) in [
            ("host", before.hosts.clone(), after.hosts.clone()),
            ("host from config", before.hosts_from_config.clone(), after.hosts_from_config.clone()),
            ("secret", before.secrets.clone(), after.secrets.clone()),
            ("secret from config", before.secrets_from_config.clone(), after.secrets_from_config.clone()),
            ("capability", capabilities(before), capabilities(after)),
        ] {
            let (before, after) = (BTreeSet::from_iter(before), BTreeSet::from_iter(after));
            self.more.extend(after.difference(&before).map(|name| format!("{what} {name}")));
            self.less.extend(before.difference(&after).map(|name| format!("{what} {name}")));
        }
    }

    fn limit(&mut self, what: &str, before: u32, after: u32) {
        let line = format!("{what} {before} to {after}");
        match before.cmp(&after) {
            std::cmp::Ordering::Less => self.more.push(line),
            std::cmp::Ordering::Greater => self.less.push(line),
            std::cmp::Ordering::Equal => {}
        }
    }

    /// For people.
    pub(super) fn render(&self, tenant: &str, look: &Look) -> String {
        let mut text = format!("against {} in {tenant}:", look.strong(&self.against));
        if self == &(Changes { against: self.against.clone(), ..Changes::default() }) {
            text.push_str(" other code, the same declarations\n");
            return text;
        }
        text.push('\n');
        self.more.iter().for_each(|line| text.push_str(&format!("  {} {line}\n", look.warning("+"))));
        self.less.iter().for_each(|line| text.push_str(&format!("  - {line}\n")));
        self.config.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        for line in &self.breaks {
            text.push_str(&format!("  {} stored configs may be refused: {line}\n", look.bad("!")));
        }
        text
    }
}

fn words(kinds: &[OutcomeKind]) -> BTreeSet<String> {
    kinds.iter().map(|kind| kind.as_str().to_owned()).collect()
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn properties(schema: Option<&Value>) -> Option<&Map<String, Value>> {
    schema?.get("properties")?.as_object()
}

/// The fields of a config, by pointer: new, gone, different.
fn compare(at: &str, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, lines: &mut Vec<String>) {
    let names = old.into_iter().chain(new).flat_map(Map::keys);
    let names: BTreeSet<&String> = names.collect();
    for name in names {
        let pointer = format!("{at}/{name}");
        match (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name))) {
            (None, Some(_)) => lines.push(format!("+ config {pointer}")),
            (Some(_), None) => lines.push(format!("- config {pointer}")),
            (Some(old), Some(new)) if old != new => {
                let before = lines.len();
                compare(&pointer, properties(Some(old)), properties(Some(new)), lines);
                if lines.len() == before {
                    lines.push(format!("~ config {pointer}: {}", differing(old, new)));
                }
            }
            _ => {}
        }
    }
}

/// The keywords that differ.
fn differing(old: &Value, new: &Value) -> String {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return "is different".to_owned() };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let shown = |value: Option<&Value>| {
        value.map_or_else(|| "none".to_owned(), |value| crate::view::cut(&value.to_string(), 60))
    };
    changed
        .map(|name| format!("{name} {} to {}", shown(old.get(name)), shown(new.get(name))))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sluice_api::convert::json::to_struct;
    use std::collections::BTreeMap;

    fn package(manifest: &str, schema: Option<Value>) -> Package {
        let manifest = format!("slug = \"gate\"\nname = \"Gate\"\n{manifest}");
        let mut files = BTreeMap::from([
            ("action.toml".to_owned(), manifest),
            ("src/index.ts".to_owned(), "export function execute() {}".to_owned()),
        ]);
        if let Some(schema) = schema {
            files.insert("schema.json".to_owned(), schema.to_string());
        }
        Package::from_files(files).unwrap()
    }

    fn schema(properties: Value, required: Value) -> Value {
        json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
    }

    #[test]
    fn what_grows_is_told_apart_from_what_shrinks_and_what_breaks() {
        let number = json!({ "type": "integer", "title": "N", "description": "A number.", "minimum": 1 });
        let text = json!({ "type": "string", "title": "T", "description": "A text.", "maxLength": 9 });
        let Value::Object(old) = schema(json!({ "n": number, "gone": text }), json!([])) else { panic!() };
        let before = wire::Version {
            version: "1.2.0".into(),
            triggers: vec!["post-login".into(), "pre-login".into()],
            limits: Some(wire::VersionLimits { cpu_ms: 50, wall_ms: 500 }),
            config_schema: Some(to_struct(old)),
            grants: Some(wire::VersionGrants {
                hosts: vec!["old.example".into(), "kept.example".into()],
                capabilities: vec![wire::Capability::Kv.into()],
                ..wire::VersionGrants::default()
            }),
            ..wire::Version::default()
        };
        let higher = json!({ "type": "integer", "title": "N", "description": "A number.", "minimum": 5 });
        let reference = json!({ "type": "string", "title": "R", "description": "A secret.", "x-secret-ref": true });
        let new = schema(json!({ "n": higher, "added": reference }), json!(["added"]));
        let manifest = "triggers = [\"post-login\", \"pre-token-issue\"]\noutcomes = [\"continue\"]\nhosts = [\"kept.example\", \"new.example\"]\n\
             secrets = [\"API_KEY\"]\nsecrets_from_config = [\"/added\"]\n[limits]\ncpu_ms = 80\n";
        let changes = Changes::between(before, &package(manifest, Some(new)));
        assert!(changes.grows());
        let text = changes.render("acme", &Look::plain());
        for line in [
            "against 1.2.0 in acme:\n",
            "  + trigger pre-token-issue\n",
            "  + cpu_ms 50 to 80\n",
            "  + host new.example\n",
            "  + secret API_KEY\n",
            "  + secret from config /added\n",
            "  - host old.example\n",
            "  - capability kv\n",
            "  - trigger pre-login\n",
            "  - only outcome continue\n",
            "  + config /added\n",
            "  - config /gone\n",
            "  ~ config /n: minimum 1 to 5\n",
            "  ! stored configs may be refused: ",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn other_code_alone_grows_nothing() {
        let before = wire::Version {
            version: "1.0.0".into(),
            triggers: vec!["post-login".into()],
            limits: Some(wire::VersionLimits { cpu_ms: 50, wall_ms: 500 }),
            ..wire::Version::default()
        };
        let changes = Changes::between(before, &package("triggers = [\"post-login\"]\n", None));
        assert!(!changes.grows());
        assert_eq!(
            changes.render("acme", &Look::plain()),
            "against 1.0.0 in acme: other code, the same declarations\n"
        );
    }
}
