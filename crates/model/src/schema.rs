//! The config schema of an Action: JSON Schema 2020-12, the subset that a form can draw.
//!
//! A schema describes the config of an attachment. It is checked when the Action is published ([`ConfigSchema::parse`]),
//! configs are checked against it when they are saved ([`ConfigSchema::validate`]), and a change of it that could make a
//! stored config invalid asks for a major version ([`compatibility`]).
//!
//! # The subset
//! The top level is `type: "object"`. These keywords are taken, all others are refused by name:
//!
//! | for | keywords |
//! | --- | --- |
//! | everything | `type` (a name or a list of names; without it any JSON), `title`, `description`, `$comment`, `examples`, `deprecated`, `enum`, `const`, `oneOf`, `anyOf` (1 to 20 forms), `$ref` (`#/$defs/NAME`, never back to itself) |
//! | text | `minLength`, `maxLength`, `pattern` (a linear engine: no look-around, no back-references; at most 512 characters), `format` (see [`FORMATS`]) |
//! | numbers | `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf` |
//! | lists | `items`, `minItems`, `maxItems`, `uniqueItems` |
//! | objects | `properties`, `required`, `additionalProperties` (a boolean or a schema), `minProperties`, `maxProperties`, `propertyNames`, `dependentRequired` |
//! | a property | `default`: filled in where the config lacks the property |
//! | the top level | `$schema`, `$defs` |
//! | hints | `x-default-by-trigger`, `x-order` (beside `properties`: their order in a form, which is that of the text unless it is written), `x-secret`, `x-secret-ref`, `x-secret-generate`, and any other `x-...` |
//!
//! Rules across fields (`if`, `not`, `dependentSchemas` and their like) are for the Action's `checkConfig`. A keyword that
//! cannot have an effect beside its `type` is a mistake, and so are bounds that nothing can meet.
//!
//! Bounds: [`MAX_SCHEMA_BYTES`], [`MAX_DEPTH`] and [`MAX_SUBSCHEMAS`], the last two with every `$ref` written out, so that
//! neither reading nor checking can be made to cost more than the text's size suggests.

mod compatibility;
mod defaults;
mod form;
mod formats;
mod keywords;
mod marked;
mod messages;
mod order;
#[cfg(test)]
mod tests;

use crate::{
    Diagnostic, Invalid, Object,
    limits::{MAX_CONFIG_BYTES, check_object_depth},
};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use std::{fmt, sync::Arc};

pub use compatibility::compatibility;
pub use form::{Field, FieldKind, bare};

/// The file's name in a package, where `action.toml` names no other.
pub const SCHEMA_FILE: &str = "schema.json";
/// The schema's text.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// Schemas in schemas, `$ref` written out.
pub const MAX_DEPTH: usize = 16;
/// Schemas in all, `$ref` written out.
pub const MAX_SUBSCHEMAS: usize = 2_000;
/// A `pattern`, in characters.
pub const MAX_PATTERN_CHARS: usize = 512;
/// The most mistakes of one config that are told.
pub const MAX_ERRORS: usize = 50;
/// What a compiled `pattern` may take, in bytes: `(a{1000}){1000}` is short text and a large machine.
const MAX_PATTERN_MEMORY_BYTES: usize = 1 << 20;

/// The formats that are taken: those of JSON Schema, which are checked alone, and the platform's own, which are also written in one
/// way when a config is saved.
pub const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
    "domain-pattern",
    "cidr",
    "redirect-url",
    "claim-name",
    "https-url",
    "duration",
];

/// A config schema that has been checked. Cheap to clone.
#[derive(Clone)]
pub struct ConfigSchema {
    root: Arc<Object>,
    validator: Arc<Validator>,
}

impl ConfigSchema {
    /// Reads and checks a schema.
    ///
    /// # Errors
    /// All mistakes, each with the pointer to the keyword that is at fault and its place in the text. `file` of each is
    /// [`SCHEMA_FILE`]; who read another file says so.
    pub fn parse(text: &str) -> Result<ConfigSchema, Vec<Diagnostic>> {
        if text.len() > MAX_SCHEMA_BYTES {
            let message = format!("the schema has {} bytes; at most {MAX_SCHEMA_BYTES} are taken", text.len());
            return Err(vec![Diagnostic::error("too_large", SCHEMA_FILE, message)]);
        }
        let mut value: Value =
            serde_json::from_str(text).map_err(|e| vec![Diagnostic::not_json(SCHEMA_FILE, text, &e)])?;
        if let Some(found) = Diagnostic::key_twice(SCHEMA_FILE, text) {
            return Err(vec![found]);
        }
        order::note(text, &mut value);
        ConfigSchema::new(value).map_err(|found| {
            found.into_iter().map(|invalid| Diagnostic::in_json("schema", SCHEMA_FILE, text, invalid)).collect()
        })
    }

    /// Checks a schema that is JSON already.
    ///
    /// # Errors
    /// All mistakes, each with the pointer to the keyword that is at fault.
    pub fn new(schema: Value) -> Result<ConfigSchema, Vec<Invalid>> {
        let root = keywords::check(schema)?;
        // As JSON it is nested up to twice as deep as its schemas are, and it travels to executors.
        check_object_depth(&root).map_err(|too_deep| vec![too_deep])?;
        let validator = compile(&Value::Object(root.clone())).map_err(|message| vec![Invalid::here(message)])?;
        let schema = ConfigSchema { root: Arc::new(root), validator: Arc::new(validator) };
        defaults::check(&schema.root).map(|()| schema)
    }

    /// The schema as JSON, as the author wrote it, with the order of the properties as `x-order` where that is not the alphabet's.
    pub fn as_json(&self) -> &Object {
        &self.root
    }

    /// Checks a config, fills in the defaults of properties that it lacks, and writes the platform's formats as they are kept: what
    /// the Action sees.
    ///
    /// # Errors
    /// All mistakes (at most [`MAX_ERRORS`]), sorted by pointer: to the key itself, also when it is unknown; to the parent
    /// when a key is missing. No message repeats a value of the config, which may be a secret.
    pub fn validate(&self, config: &Value) -> Result<Value, Vec<Invalid>> {
        check_size(config)?;
        let mut filled = config.clone();
        defaults::fill(&self.root, &self.root, &mut filled);
        self.check(&filled)?;
        let mut kept = filled.clone();
        sorted(formats::apply(&self.root, &mut kept))?;
        if kept != filled {
            // Two items can be one now, and a text longer than it was.
            self.check(&kept)?;
        }
        Ok(kept)
    }

    /// Checks a config, and answers it as it is kept: the platform's formats written in one way, no defaults.
    ///
    /// # Errors
    /// As [`ConfigSchema::validate`].
    pub fn normalised(&self, config: &Value) -> Result<Value, Vec<Invalid>> {
        self.validate(config)?;
        let mut kept = config.clone();
        // What is wrong was told, with the defaults in their places.
        let _told = formats::apply(&self.root, &mut kept);
        Ok(kept)
    }

    fn check(&self, config: &Value) -> Result<(), Vec<Invalid>> {
        let mut found: Vec<Invalid> = Vec::new();
        for error in self.validator.iter_errors(config) {
            if found.len() >= MAX_ERRORS {
                break;
            }
            messages::explain(&self.root, config, &error, &mut found);
        }
        sorted(found)
    }

    /// The texts of a config that stand under a format of the platform, such as `redirect-url`, as they are kept; each with its
    /// pointer. What only the host knows of them is checked elsewhere.
    pub fn texts_of(&self, format: &str, config: &Value) -> Vec<(String, String)> {
        formats::texts(self.as_json(), config, format)
    }

    /// The config with the values of all fields that are marked `x-secret: true` replaced by `"(hidden)"`.
    pub fn redact(&self, config: &Value) -> Value {
        let mut shown = config.clone();
        defaults::redact(&self.root, &self.root, &mut shown);
        shown
    }

    /// Puts secrets back into a config that was made from a shown one: where it has `"(hidden)"` and `stored`, the config
    /// that was shown, has a secret, it gets that secret.
    pub fn unhide(&self, config: &mut Value, stored: &Value) {
        defaults::unhide(config, &self.redact(stored), stored);
    }

    /// The mistakes of a config that has `"(hidden)"` for a secret: the mark would be taken for the value.
    pub fn check_unhidden(&self, config: &Value) -> Vec<Invalid> {
        // Only a mark that is hidden itself stands where a secret does: elsewhere it is a text as any other.
        let redacted = self.redact(&defaults::without_marks(config));
        let mut found = Vec::new();
        defaults::marks_left(config, &redacted, "", &mut found);
        let wrong = |pointer| Invalid::at(pointer, "is what is shown instead of a secret; send the secret itself");
        found.into_iter().map(wrong).collect()
    }
}

impl fmt::Debug for ConfigSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfigSchema").field(&self.root).finish()
    }
}

impl PartialEq for ConfigSchema {
    fn eq(&self, other: &ConfigSchema) -> bool {
        self.root == other.root
    }
}

/// Fills in the defaults of properties that a config lacks, without checking anything: for an executor, whose configs and
/// schemas the control plane has checked by these very rules.
pub fn fill_defaults(schema: &Object, config: Object) -> Object {
    let mut filled = Value::Object(config);
    defaults::fill(schema, schema, &mut filled);
    match filled {
        Value::Object(config) => config,
        // What was an object stays one.
        _ => Object::new(),
    }
}

/// Checks a config against a version's schema. An Action without a schema takes only `{}`.
///
/// # Errors
/// As [`ConfigSchema::validate`].
pub fn validate(schema: Option<&ConfigSchema>, config: &Value) -> Result<Value, Vec<Invalid>> {
    match (schema, config) {
        (Some(schema), config) => schema.validate(config),
        (None, Value::Object(config)) if config.is_empty() => Ok(Value::Object(Object::new())),
        (None, Value::Object(config)) => {
            let unknown = |key: &String| {
                Invalid::at(format!("/{}", crate::decode::escape(key)), "unknown key: this Action has no config")
            };
            Err(config.keys().take(MAX_ERRORS).map(unknown).collect())
        }
        (None, _) => Err(vec![Invalid::here("expected {}: this Action has no config")]),
    }
}

/// Mistakes as they are told; none is no error.
fn sorted(mut found: Vec<Invalid>) -> Result<(), Vec<Invalid>> {
    if found.is_empty() {
        return Ok(());
    }
    found.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
    found.dedup();
    found.truncate(MAX_ERRORS);
    Err(found)
}

fn check_size(config: &Value) -> Result<(), Vec<Invalid>> {
    let bytes = serde_json::to_string(config).map_or(usize::MAX, |text| text.len());
    if bytes <= MAX_CONFIG_BYTES {
        return Ok(());
    }
    Err(vec![Invalid::here(format!("the config has {bytes} bytes; at most {MAX_CONFIG_BYTES} are taken"))])
}

/// Compiles a schema whose keywords have been checked. Nothing outside it is ever read: the library is built without file
/// and network access, and `$ref` leads only into `$defs`.
fn compile(schema: &Value) -> Result<Validator, String> {
    let patterns =
        PatternOptions::regex().size_limit(MAX_PATTERN_MEMORY_BYTES).dfa_size_limit(MAX_PATTERN_MEMORY_BYTES);
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).with_pattern_options(patterns);
    formats::NAMES
        .into_iter()
        .fold(options, |options, name| {
            options.with_format(name, move |text: &str| formats::normalise(name, text).is_ok())
        })
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(schema)
        .map_err(|e| e.masked().to_string())
}
