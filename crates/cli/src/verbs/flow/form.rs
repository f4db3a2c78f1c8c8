//! The questions of a config's form: each answer is checked at once, and asked for again where it is wrong.

use super::EditArgs;
use crate::{
    screen::{Screen, foreign},
    stop::{Stop, Told},
    view::form::{told_default, wrapped},
};
use serde_json::Value;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, json, required},
};
use sluice_model::{ConfigSchema, Error, Invalid, Object, Trigger, schema::Field, schema::FieldKind, schema::bare};
use std::{collections::BTreeSet, io, sync::Arc};

/// How wide descriptions are.
const WIDTH: usize = 88;
/// So many secrets are named as a hint.
const MAX_SECRETS: u32 = 50;

/// The form of a version's config.
#[derive(Clone)]
pub(super) struct Form {
    schema: ConfigSchema,
    trigger: Option<Trigger>,
    /// The names of the tenant's secrets.
    secrets: Arc<Vec<String>>,
    screen: Screen,
    /// The exact version that it is the form of.
    pub(super) version: String,
}

/// The form was left: by Ctrl-C, by Ctrl-D, or by a no to the last question.
struct Left;

impl Form {
    /// The form of a version; `None` where it takes no config.
    pub(super) async fn of(
        edit: &EditArgs,
        (slug, version): (&str, &str),
        trigger: &str,
        screen: &Screen,
    ) -> Result<Option<Form>, Stop> {
        let tenant = edit.save.tenant.tenant.clone();
        let request =
            control::GetVersionRequest { tenant: tenant.clone(), slug: slug.to_owned(), version: version.to_owned() };
        let found = edit.save.control.catalog().await?.get_version(request).await?.into_inner().version;
        let found = required(found).ctx("version")?;
        let Some(schema) = found.config_schema else { return Ok(None) };
        // A schema that only a newer program reads is filled in by a file.
        let Ok(schema) = ConfigSchema::new(Value::Object(json::object(schema).ctx("config_schema")?)) else {
            return Ok(None);
        };
        if schema.fields().is_empty() {
            return Ok(None);
        }
        let mut secrets = Vec::new();
        if names_secrets(&schema.fields()) {
            let request = control::ListSecretsRequest { tenant, page_size: MAX_SECRETS, page_token: String::new() };
            // They are a hint: who may not list them can name one all the same.
            if let Ok(answer) = edit.save.control.secrets().await?.list_secrets(request).await {
                secrets = answer.into_inner().secrets.into_iter().map(|secret| secret.name).collect();
            }
        }
        let (secrets, screen) = (Arc::new(secrets), screen.clone());
        Ok(Some(Form { schema, trigger: trigger.parse().ok(), secrets, screen, version: found.version }))
    }

    /// Asks for the fields, or those that are named, until the config is one that the schema takes and that is to be saved.
    pub(super) async fn fill(&self, config: Object, only: Option<BTreeSet<String>>) -> Result<Object, Stop> {
        let form = self.clone();
        let left = || {
            Stop::local("NO_ANSWER", "the form was left, and nothing is saved; --config says it without being asked")
        };
        let asked = tokio::task::spawn_blocking(move || form.ask(config, only));
        tokio::select! {
            answered = asked => answered.ok().and_then(Result::ok).ok_or_else(left),
            _ = tokio::signal::ctrl_c() => {
                self.screen.ask("\n");
                Err(left())
            }
        }
    }

    /// The fields of the config that a refusal names, which are told.
    pub(super) fn refused(&self, error: &Error) -> BTreeSet<String> {
        let paths = error.fields.iter().filter_map(|field| field.field.strip_prefix("config/"));
        let named = self.known(paths);
        if !named.is_empty() {
            self.screen.ask(&format!("\nrefused: {}\n", Told(error)));
        }
        named
    }

    /// The names of fields among paths that begin with one.
    fn known<'p>(&self, paths: impl Iterator<Item = &'p str>) -> BTreeSet<String> {
        let first = |path: &str| path.split('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
        let fields = self.schema.fields();
        paths.map(first).filter(|name| fields.iter().any(|field| field.name == *name)).collect()
    }

    /// The config as it may be shown: on one line.
    pub(super) fn shown(&self, config: &Object) -> String {
        self.schema.redact(&Value::Object(config.clone())).to_string()
    }

    fn ask(&self, mut config: Object, mut only: Option<BTreeSet<String>>) -> Result<Object, Left> {
        self.screen.ask("An empty answer takes the default, or leaves a field out. Ctrl-C leaves without saving.\n");
        loop {
            for field in self.schema.fields() {
                if only.as_ref().is_some_and(|only| !only.contains(field.name)) {
                    continue;
                }
                match self.field(&field, field.name)? {
                    Some(value) => config.insert(field.name.to_owned(), value),
                    None => config.remove(field.name),
                };
            }
            // What several fields say together.
            let Err(found) = self.schema.validate(&Value::Object(config.clone())) else { break };
            self.wrong(&found);
            let named = self.known(found.iter().filter_map(|invalid| invalid.pointer.strip_prefix('/')));
            only = (!named.is_empty()).then_some(named);
        }
        let shown = self.schema.redact(&Value::Object(config.clone()));
        self.screen.ask(&format!("\n{}\n", foreign(&serde_json::to_string_pretty(&shown).unwrap_or_default())));
        if self.confirms("Save this config?", true)? { Ok(config) } else { Err(Left) }
    }

    /// Asks for a field until its answer is right; `None` leaves it out.
    fn field(&self, field: &Field<'_>, path: &str) -> Result<Option<Value>, Left> {
        self.introduce(field, path);
        loop {
            let answer = match field.kind() {
                FieldKind::List(entry) => self.list(field, &entry, path)?,
                FieldKind::Object(inner) => {
                    if !field.required && !self.confirms(&format!("Set {path}?"), false)? {
                        return Ok(None);
                    }
                    Some(self.object(&inner, path)?)
                }
                _ => self.scalar(field, path)?,
            };
            match answer {
                None if field.required && field.default().is_none() => self.say_wrong("an answer is needed"),
                None => return Ok(None),
                Some(value) => match field.check(&value) {
                    Ok(kept) => return Ok(Some(kept)),
                    Err(found) => self.wrong(&found),
                },
            }
        }
    }

    /// What a question is about.
    fn introduce(&self, field: &Field<'_>, path: &str) {
        let title = field.title().unwrap_or(path);
        let mut text = format!("\n{}", foreign(title));
        text.push_str(if field.required { " (required)\n" } else { "\n" });
        for line in field.description().map(|description| wrapped(description, WIDTH)).unwrap_or_default() {
            text.push_str(&format!("  {}\n", foreign(&line)));
        }
        let default = match self.trigger.and_then(|trigger| field.default_at(trigger)) {
            Some(Value::String(words)) if field.default_by_trigger().is_some_and(Value::is_string) => {
                Some(format!("default as {words}"))
            }
            Some(value) => Some(format!("default {}", bare(value))),
            None if field.default_by_trigger().is_some() => None,
            None => told_default(field),
        };
        let default = default.map(|told| format!(" [{told}]")).unwrap_or_default();
        text.push_str(&format!("  takes {}{}\n", foreign(&field.takes()), foreign(&default)));
        if field.names_secret() && !self.secrets.is_empty() {
            text.push_str(&format!("  set are: {}\n", self.secrets.join(", ")));
        }
        self.screen.ask(&text);
    }

    fn object(&self, fields: &[Field<'_>], path: &str) -> Result<Value, Left> {
        let mut object = Object::new();
        for field in fields {
            if let Some(value) = self.field(field, &format!("{path}/{}", field.name))? {
                object.insert(field.name.to_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn list(&self, field: &Field<'_>, entry: &Field<'_>, path: &str) -> Result<Option<Value>, Left> {
        let mut items: Vec<Value> = Vec::new();
        if let FieldKind::Object(inner) = entry.kind() {
            while (items.is_empty() && field.required)
                || self.confirms(&format!("Add entry {} to {path}?", items.len() + 1), false)?
            {
                let item = self.object(&inner, &format!("{path}/{}", items.len()))?;
                match entry.check(&item) {
                    Ok(kept) => items.push(kept),
                    Err(found) => self.wrong(&found),
                }
            }
        } else {
            let commas = entry.has_no_commas();
            let how = if commas { "with commas between, or one a line" } else { "one a line" };
            self.screen.ask(&format!("  {how}; an empty line ends the list\n"));
            loop {
                let line = self.line(&format!("{path}[{}]> ", items.len()))?;
                if line.is_empty() {
                    break;
                }
                let parts: Vec<&str> = if commas { line.split(',').map(str::trim).collect() } else { vec![&line] };
                for part in parts.into_iter().filter(|part| !part.is_empty()) {
                    match parsed(entry, part).and_then(|value| entry.check(&value).map_err(|found| told(&found))) {
                        Ok(kept) => items.push(kept),
                        Err(reason) => self.say_wrong(&format!("{}: {reason}", foreign(part))),
                    }
                }
            }
        }
        Ok((!items.is_empty()).then_some(Value::Array(items)))
    }

    fn scalar(&self, field: &Field<'_>, path: &str) -> Result<Option<Value>, Left> {
        if let FieldKind::Choice(values) = field.kind() {
            let numbered = values.iter().zip(1..).map(|(value, number)| format!("{number} {}", bare(value)));
            self.screen.ask(&format!("  {}\n", foreign(&numbered.collect::<Vec<_>>().join("   "))));
        }
        loop {
            let prompt = format!("{path}> ");
            let line = match field.is_secret() {
                false => self.line(&prompt)?,
                true => dialoguer::Password::new()
                    .with_prompt(path)
                    .allow_empty_password(true)
                    .interact()
                    .map_err(|_| Left)?,
            };
            if line.is_empty() {
                return Ok(None);
            }
            match parsed(field, &line) {
                Ok(value) => {
                    if field.names_secret() && !self.secrets.contains(&line) {
                        let name = foreign(&line);
                        self.screen.ask(&format!("  {name} is not set yet: `sluice secret set {name}` sets it\n"));
                    }
                    return Ok(Some(value));
                }
                Err(reason) => self.say_wrong(&reason),
            }
        }
    }

    fn confirms(&self, question: &str, unless_said: bool) -> Result<bool, Left> {
        loop {
            let line = self.line(&format!("{question} [{}] ", if unless_said { "Y/n" } else { "y/N" }))?;
            match yes_or_no(&line) {
                _ if line.is_empty() => return Ok(unless_said),
                Some(answer) => return Ok(answer),
                None => self.say_wrong("expected y or n"),
            }
        }
    }

    /// A line that is typed, without the spaces around it.
    fn line(&self, prompt: &str) -> Result<String, Left> {
        self.screen.ask(&foreign(prompt));
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(1..) => Ok(line.trim().to_owned()),
            _ => {
                self.screen.ask("\n");
                Err(Left)
            }
        }
    }

    fn wrong(&self, found: &[Invalid]) {
        found.iter().for_each(|invalid| self.say_wrong(&invalid.to_string()));
    }

    fn say_wrong(&self, reason: &str) {
        self.screen.ask(&format!("  ✗ {}\n", foreign(reason)));
    }
}

fn names_secrets(fields: &[Field<'_>]) -> bool {
    fields.iter().any(|field| match field.kind() {
        FieldKind::Object(inner) => names_secrets(&inner),
        FieldKind::List(entry) => names_secrets(&[*entry]),
        _ => field.names_secret(),
    })
}

fn told(found: &[Invalid]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" => Some(true),
        "n" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// What was typed, as a value of the field. The error says what is expected.
fn parsed(field: &Field<'_>, text: &str) -> Result<Value, String> {
    match field.kind() {
        FieldKind::Text => Ok(Value::from(text)),
        FieldKind::Number => {
            let number: Option<Value> = serde_json::from_str(text).ok();
            number.filter(Value::is_number).ok_or_else(|| format!("expected {}", field.takes()))
        }
        FieldKind::Boolean => yes_or_no(text).map(Value::from).ok_or_else(|| "expected y or n".to_owned()),
        FieldKind::Choice(values) => {
            let by_word = values.iter().find(|value| bare(value) == text);
            let by_number = || text.parse::<usize>().ok()?.checked_sub(1).and_then(|index| values.get(index));
            by_word.or_else(by_number).cloned().ok_or_else(|| format!("expected {}, or its number", field.takes()))
        }
        // Text that is no JSON is meant as text; whether the field takes text is checked.
        FieldKind::List(_) | FieldKind::Object(_) | FieldKind::Json => {
            Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
        }
    }
}
