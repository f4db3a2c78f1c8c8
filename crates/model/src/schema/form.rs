//! A schema as the form that it is: fields in their order, each with what it takes in words, and a check of an answer by itself.

use super::{ConfigSchema, MAX_ERRORS, check_size, compile, defaults, formats, keywords, messages, order, sorted};
use crate::{Invalid, Object, Trigger};
use serde_json::Value;

/// A field of a form.
#[derive(Clone, Debug)]
pub struct Field<'s> {
    /// The property's name; empty for the entries of a list.
    pub name: &'s str,
    /// Whether the config cannot be without it.
    pub required: bool,
    /// The schema as it stands.
    schema: &'s Object,
    /// The same with what it refers to written out.
    drawn: Object,
    /// The schema that `$ref` is looked up in.
    root: &'s Object,
}

/// What kind of answer a field takes.
#[derive(Clone, Debug)]
pub enum FieldKind<'f> {
    /// Text.
    Text,
    /// A number, whole or not.
    Number,
    /// True or false.
    Boolean,
    /// One of these values.
    Choice(&'f [Value]),
    /// A list of such entries.
    List(Box<Field<'f>>),
    /// An object of such fields.
    Object(Vec<Field<'f>>),
    /// What no question can be made of: JSON.
    Json,
}

impl ConfigSchema {
    /// The fields of the config, in the order in which they are asked.
    pub fn fields(&self) -> Vec<Field<'_>> {
        fields_of(&self.root, &self.root)
    }
}

fn fields_of<'s>(root: &'s Object, schema: &'s Object) -> Vec<Field<'s>> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
    let properties = order::properties(schema).into_iter();
    properties.map(|(name, schema)| Field::new(root, name, schema, is_required(name))).collect()
}

impl<'s> Field<'s> {
    fn new(root: &'s Object, name: &'s str, schema: &'s Object, required: bool) -> Field<'s> {
        let mut drawn = schema.clone();
        let mut next = keywords::target(root, schema);
        // A `$ref` never leads back to itself.
        while let Some(target) = next {
            for (key, value) in target {
                drawn.entry(key.as_str()).or_insert_with(|| value.clone());
            }
            next = keywords::target(root, target);
        }
        Field { name, required, schema, drawn, root }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.drawn.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn is_marked(&self, hint: &str) -> bool {
        self.drawn.get(hint) == Some(&Value::Bool(true))
    }

    /// What people call it.
    pub fn title(&self) -> Option<&str> {
        self.text("title")
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.text("description")
    }

    /// What it is where the config lacks it.
    pub fn default(&self) -> Option<&Value> {
        self.drawn.get("default")
    }

    /// What the code makes of it where the config lacks it: by trigger, or in words such as the name of another field.
    pub fn default_by_trigger(&self) -> Option<&Value> {
        self.drawn.get("x-default-by-trigger")
    }

    /// The default at a trigger, where it depends on that.
    pub fn default_at(&self, trigger: Trigger) -> Option<&Value> {
        match self.default_by_trigger()? {
            Value::Object(by_trigger) => by_trigger.get(trigger.as_str()),
            words => Some(words),
        }
    }

    /// Whether it is never shown again.
    pub fn is_secret(&self) -> bool {
        self.is_marked("x-secret")
    }

    /// Whether it holds the name of a secret.
    pub fn names_secret(&self) -> bool {
        self.is_marked("x-secret-ref")
    }

    /// Whether the platform makes the secret where none is named.
    pub fn generates_secret(&self) -> bool {
        self.text("x-secret-generate").is_some()
    }

    /// Whether an answer of several entries may have commas between them: none of what it takes has one.
    pub fn has_no_commas(&self) -> bool {
        const PLAIN: [&str; 10] =
            ["domain-pattern", "cidr", "duration", "date", "date-time", "email", "hostname", "ipv4", "ipv6", "uuid"];
        match self.kind() {
            FieldKind::Number | FieldKind::Boolean => true,
            FieldKind::Choice(values) => !values.iter().any(|value| value.to_string().contains(',')),
            FieldKind::Text => self.text("format").is_some_and(|format| PLAIN.contains(&format)),
            _ => false,
        }
    }

    /// What kind of answer it takes.
    pub fn kind(&self) -> FieldKind<'_> {
        if let Some(Value::Array(values)) = self.drawn.get("enum") {
            return FieldKind::Choice(values);
        }
        if self.drawn.contains_key("oneOf") || self.drawn.contains_key("anyOf") {
            return FieldKind::Json;
        }
        match self.text("type") {
            Some("string") => FieldKind::Text,
            Some("integer" | "number") => FieldKind::Number,
            Some("boolean") => FieldKind::Boolean,
            Some("array") => match self.drawn.get("items") {
                Some(Value::Object(items)) => FieldKind::List(Box::new(Field::new(self.root, "", items, true))),
                _ => FieldKind::Json,
            },
            // Keys of one's own are nothing that can be asked one by one.
            Some("object") if !matches!(self.drawn.get("additionalProperties"), Some(Value::Object(_))) => {
                match fields_of(self.root, &self.drawn) {
                    fields if fields.is_empty() => FieldKind::Json,
                    fields => FieldKind::Object(fields),
                }
            }
            _ => FieldKind::Json,
        }
    }

    /// Checks a value of this field by itself, and answers it as it is kept: the platform's formats written in one way.
    ///
    /// # Errors
    /// All mistakes, by their pointers into the value.
    pub fn check(&self, value: &Value) -> Result<Value, Vec<Invalid>> {
        check_size(value)?;
        let mut alone = self.schema.clone();
        if let Some(defs) = self.root.get("$defs") {
            alone.insert("$defs".to_owned(), defs.clone());
        }
        let validator = compile(&Value::Object(alone.clone())).map_err(|message| vec![Invalid::here(message)])?;
        let check = |value: &Value| {
            let mut filled = value.clone();
            defaults::fill(&alone, &alone, &mut filled);
            let mut found = Vec::new();
            for error in validator.iter_errors(&filled).take(MAX_ERRORS) {
                messages::explain(&alone, &filled, &error, &mut found);
            }
            sorted(found)
        };
        check(value)?;
        let mut kept = value.clone();
        sorted(formats::apply(&alone, &mut kept))?;
        if kept != *value {
            check(&kept)?;
        }
        Ok(kept)
    }

    /// What it takes, in words: `a whole number from 1 to 100`. Of an object that its fields are asked for is all there is to say.
    pub fn takes(&self) -> String {
        if self.names_secret() {
            return "the name of a secret".to_owned();
        }
        let number = |key: &str| self.drawn.get(key).filter(|value| value.is_number());
        match self.kind() {
            FieldKind::Choice(values) => format!("one of {}", values.iter().map(bare).collect::<Vec<_>>().join(", ")),
            FieldKind::Boolean => "true or false".to_owned(),
            FieldKind::Number => {
                let whole = if self.text("type") == Some("integer") { "a whole number" } else { "a number" };
                let mut words = match (number("minimum"), number("maximum")) {
                    (Some(low), Some(high)) => format!("{whole} from {low} to {high}"),
                    (Some(low), None) => format!("{whole}, {low} or more"),
                    (None, Some(high)) => format!("{whole}, {high} or less"),
                    (None, None) => whole.to_owned(),
                };
                let more =
                    [("exclusiveMinimum", "over"), ("exclusiveMaximum", "under"), ("multipleOf", "a multiple of")];
                for (key, word) in more {
                    number(key).into_iter().for_each(|value| words.push_str(&format!(", {word} {value}")));
                }
                words
            }
            FieldKind::Text => {
                let mut words = match self.text("format") {
                    Some(format) => messages::format_in_words(format),
                    None => "text".to_owned(),
                };
                let least = number("minLength").filter(|least| least.as_u64() > Some(1));
                match (least, number("maxLength")) {
                    (Some(low), Some(high)) => words.push_str(&format!(" of {low} to {high} characters")),
                    (Some(low), None) => words.push_str(&format!(" of {low} or more characters")),
                    (None, Some(high)) => words.push_str(&format!(" of at most {high} characters")),
                    (None, None) => {}
                }
                if let Some(pattern) = self.text("pattern") {
                    words.push_str(&format!(" that matches {pattern}"));
                }
                words
            }
            FieldKind::List(entry) => {
                let number = |key| number(key).filter(|value| value.as_u64() != Some(0));
                let many = match (number("minItems"), number("maxItems")) {
                    (Some(low), Some(high)) => format!("a list of {low} to {high}"),
                    (Some(low), None) => format!("a list of {low} or more"),
                    (None, Some(high)) => format!("a list of at most {high}"),
                    (None, None) => "a list".to_owned(),
                };
                let each = if self.is_marked("uniqueItems") { "each once" } else { "each" };
                match entry.kind() {
                    FieldKind::Object(_) => format!("{many}, {each} with fields"),
                    _ => format!("{many}, {each} {}", entry.takes()),
                }
            }
            FieldKind::Object(_) => "fields".to_owned(),
            FieldKind::Json => self.takes_json(),
        }
    }

    fn takes_json(&self) -> String {
        let forms = ["oneOf", "anyOf"].into_iter().find_map(|key| self.drawn.get(key)?.as_array());
        if let Some(forms) = forms {
            let forms = forms.iter().filter_map(Value::as_object);
            let told: Vec<String> = forms.map(|form| Field::new(self.root, "", form, true).takes()).collect();
            return format!("as JSON: {}", told.join("; or "));
        }
        match self.drawn.get("additionalProperties") {
            Some(Value::Object(others)) => {
                format!("a JSON object of names, each {}", Field::new(self.root, "", others, true).takes())
            }
            _ => match self.drawn.get("type") {
                None => "any JSON".to_owned(),
                Some(Value::String(name)) => format!("JSON: {}", messages::type_name(name)),
                Some(names) => {
                    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
                    format!("JSON: {}", names.map(messages::type_name).collect::<Vec<_>>().join(" or "))
                }
            },
        }
    }
}

/// A value in words: text without its quotes.
pub fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
