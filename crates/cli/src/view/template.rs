//! The platform's templates.

use super::{Cell, Entry, action::Action, form::form};
use crate::screen::{Look, View};
use serde::Serialize;
use sluice_model::Object;

/// An entry of `template list`: that of `action list`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct TemplateEntry(pub(crate) Action);

impl Entry for TemplateEntry {
    const NONE: &'static str = "This control plane has no templates.";
    const COLUMNS: &'static [&'static str] = Action::COLUMNS;

    fn row(&self, look: &Look) -> Vec<Cell> {
        self.0.row(look)
    }
}

/// `{slug, name, versions, triggers, schema | null}`; the schema is that of the version that is named, or of the highest.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TemplateShown {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) versions: Vec<String>,
    pub(crate) triggers: Vec<String>,
    pub(crate) schema: Option<Object>,
    #[serde(skip)]
    pub(crate) version: String,
    #[serde(skip)]
    pub(crate) description: String,
}

impl View for TemplateShown {
    fn render(&self, look: &Look) -> String {
        let TemplateShown { slug, name, version, .. } = self;
        let mut text = format!("{}  {name}\n", look.strong(&format!("{slug}@{version}")));
        if !self.description.is_empty() {
            text.push_str(&format!("{}\n", self.description));
        }
        text.push_str(&format!("triggers  {}\nversions  {}\n", self.triggers.join(", "), self.versions.join(", ")));
        match &self.schema {
            None => text.push_str("\nIt takes no config.\n"),
            Some(schema) => text.push_str(&format!("\nconfig\n{}", form(schema, look))),
        }
        let trigger = self.triggers.first().map_or("TRIGGER", String::as_str);
        text.push_str(
            &look.hint(&format!("Next: sluice flow attach FLOW --trigger {trigger} --action {slug}@{version}")),
        );
        text
    }
}
