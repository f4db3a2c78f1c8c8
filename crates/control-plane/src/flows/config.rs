//! Configs of attachments: checked against the version's schema, and shown without their secrets.

use serde_json::Value;
use sluice_model::version::ActionVersion;
use sluice_model::{ConfigSchema, Error, Invalid, Object, schema};

/// The schema of a published version. It was checked when it was published.
pub(super) fn parsed(schema: Option<&Object>) -> Result<Option<ConfigSchema>, Error> {
    schema.map(|schema| ConfigSchema::new(Value::Object(schema.clone()))).transpose().map_err(|found| {
        tracing::error!(?found, "the schema of a published version does not parse any more");
        Error::internal("the schema of this version cannot be read")
    })
}

/// Whether any part of a schema marks a secret. It spares the compiling of those that do not.
fn marks_secrets(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => {
            object.get("x-secret") == Some(&Value::Bool(true)) || object.values().any(marks_secrets)
        }
        Value::Array(items) => items.iter().any(marks_secrets),
        _ => false,
    }
}

/// Checks a config, and answers it as it is kept: the platform's formats written in one way. The error has one field for each mistake,
/// such as `config/domains/0`.
pub(super) fn check(version: &ActionVersion, config: &Object) -> Result<Object, Error> {
    let parsed = parsed(version.schema.as_ref())?;
    let config = Value::Object(config.clone());
    let found = match schema::validate(parsed.as_ref(), &config) {
        Ok(filled) => {
            let mut found = parsed.as_ref().map(|schema| schema.check_unhidden(&config)).unwrap_or_default();
            let names = filled.as_object().map(|filled| version.grants.check_secret_names(filled));
            found.extend(names.and_then(Result::err).unwrap_or_default());
            found
        }
        Err(found) => found,
    };
    refuse(found)?;
    let kept = match parsed {
        None => config,
        Some(schema) => schema.normalised(&config).map_err(|found| {
            tracing::error!(?found, "a config that was checked is refused");
            Error::internal("the config cannot be written as it is kept")
        })?,
    };
    // What is an object stays one.
    Ok(kept.as_object().cloned().unwrap_or_default())
}

/// The refusal of a config that has mistakes.
pub(super) fn refuse(found: Vec<Invalid>) -> Result<(), Error> {
    let mut mistakes = found.into_iter().map(|Invalid { pointer, message }| (format!("config{pointer}"), message));
    let Some((field, message)) = mistakes.next() else { return Ok(()) };
    Err(mistakes.fold(Error::field(field, message), |error, (field, message)| error.with_field(field, message)))
}

/// The config as it may be shown.
pub(super) fn shown(schema: Option<&Object>, config: &Object) -> Result<Object, Error> {
    let Some(schema) = schema.filter(|schema| schema.values().any(marks_secrets)) else { return Ok(config.clone()) };
    let Some(parsed) = parsed(Some(schema))? else { return Ok(config.clone()) };
    match parsed.redact(&Value::Object(config.clone())) {
        Value::Object(shown) => Ok(shown),
        // The schema marks the whole config.
        _ => Ok(Object::new()),
    }
}

/// Whether something that one version hides would be shown by another.
pub(super) fn would_uncover(from: &ActionVersion, to: &ActionVersion, config: &Object) -> Result<bool, Error> {
    let hidden = shown(from.schema.as_ref(), config)?;
    Ok(shown(to.schema.as_ref(), &hidden)? != shown(to.schema.as_ref(), config)?)
}

/// A config that takes the place of another, whose secrets it may have as they were shown; checked. `from` is the version
/// that the former config was shown by, `to` the one that the new config is for.
pub(super) fn replaced(
    from: &ActionVersion,
    former: &Object,
    to: &ActionVersion,
    sent: &Object,
) -> Result<Object, Error> {
    let mut config = Value::Object(sent.clone());
    if let Some(schema) = parsed(from.schema.as_ref())? {
        schema.unhide(&mut config, &Value::Object(former.clone()));
    }
    let config = match config {
        Value::Object(config) => config,
        // The schema marks the whole config.
        _ => former.clone(),
    };
    let kept = check(to, &config)?;
    if config != *sent && would_uncover(from, to, &kept)? {
        return Err(uncovers(from, to));
    }
    Ok(kept)
}

/// The refusal of a version that would show a secret that another hides.
pub(super) fn uncovers(from: &ActionVersion, to: &ActionVersion) -> Error {
    let message = format!(
        "{} marks a config field as secret that {} would show; send the config with it, or attach it anew",
        from.version, to.version
    );
    Error::field("version", message)
}
