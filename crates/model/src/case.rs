//! Test cases: `tests/*.json` of a package.
//!
//! A file holds one case or a list of cases. A case is one run, or a sequence of runs that share what lasts (`steps`):
//!
//! ```json
//! {"name": "outsiders are blocked", "trigger": "post-login", "config": {"domains": ["example.com"]},
//!  "input": {"user": {"id": "u1", "email": "a@evil.example"}}, "expect": {"outcome": {"kind": "block"}}}
//! ```
//!
//! What is expected is matched as a subset ([`differences`]): an author writes down what matters.

mod http;
mod subset;
#[cfg(test)]
mod tests;

use crate::{
    Diagnostic, FailureReason, Invalid, Object, Outcome, OutcomeKind, Trigger,
    decode::{Decode, Fields, Path, unknown_key, wrong_type},
    diagnostic::locate_json,
};
use serde_json::Value;

pub use http::{HttpAnswer, MAX_ANSWERS};
pub use subset::{Difference, differences};

/// The folder of the files in a package.
pub const CASES_FOLDER: &str = "tests/";
/// A file.
pub const MAX_CASE_FILE_BYTES: usize = 1 << 20;
/// Cases in a file, and steps in a case.
pub const MAX_CASES: usize = 500;
/// The name of a case, in characters.
pub const MAX_NAME_CHARS: usize = 200;

/// One case of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What the case shows, 1 to [`MAX_NAME_CHARS`] characters.
    pub name: String,
    /// The trigger that it runs at.
    pub trigger: Trigger,
    /// The attachment's config, checked against the schema when the case is run; `{}` where the file has none.
    pub config: Value,
    /// The secrets that the Action finds, by name.
    pub secrets: std::collections::BTreeMap<String, String>,
    /// What servers answer, to all of its runs.
    pub http: Vec<HttpAnswer>,
    /// The runs, in order: exactly one where the file has no `steps`.
    pub steps: Vec<Step>,
}

/// One run of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The input as a caller sends it, read when the case is run.
    pub input: Value,
    /// What the clock says; `None`: the clock of the machine.
    pub now: Option<jiff::Timestamp>,
    /// What must come of it.
    pub expect: Expectation,
}

/// What must come of a run, as a subset.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// It answers; the outcome has at least these keys.
    Outcome(Value),
    /// It fails; the failure has at least these keys.
    Failure(Value),
}

impl Expectation {
    /// Where a run's result (`{"outcome": ... | null, "failure": ... | null}`, as the command line prints it) differs from
    /// what is expected. Empty: the run is as expected.
    pub fn differences(&self, result: &Value) -> Vec<Difference> {
        let (key, expected, other) = match self {
            Expectation::Outcome(expected) => ("outcome", expected, "failure"),
            Expectation::Failure(expected) => ("failure", expected, "outcome"),
        };
        let got = result.get(key).unwrap_or(&Value::Null);
        if got.is_null() {
            // What happened instead says more than that nothing came; what it lacks says nothing.
            let instead = result.get(other).filter(|v| !v.is_null()).map(|v| match v {
                Value::Object(keys) => {
                    let told: Object =
                        keys.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
                    serde_json::json!({ other: told })
                }
                v => serde_json::json!({ other: v }),
            });
            return vec![Difference { pointer: format!("/{key}"), expected: expected.clone(), got: instead }];
        }
        let mut found = differences(expected, got);
        found.iter_mut().for_each(|difference| difference.pointer.insert_str(0, &format!("/{key}")));
        found
    }
}

impl Case {
    /// Reads a file. `file` is its path in the package.
    ///
    /// # Errors
    /// What is not JSON, or the first mistake of each case, with its place and pointer.
    pub fn parse(file: &str, text: &str) -> Result<Vec<Case>, Vec<Diagnostic>> {
        if text.len() > MAX_CASE_FILE_BYTES {
            let message = format!("the file has {} bytes; at most {MAX_CASE_FILE_BYTES} are taken", text.len());
            return Err(vec![Diagnostic::error("too_large", file, message)]);
        }
        let value: Value = serde_json::from_str(text).map_err(|e| vec![Diagnostic::not_json(file, text, &e)])?;
        if let Some(found) = Diagnostic::key_twice(file, text) {
            return Err(vec![found]);
        }
        let root = Path::ROOT;
        let read: Vec<Result<Case, Invalid>> = match value {
            Value::Array(items) if items.len() > MAX_CASES => {
                vec![Err(root.invalid(format!("expected at most {MAX_CASES} cases, got {}", items.len())))]
            }
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(i, item)| Case::decode(item, root.index(i))).collect()
            }
            value => vec![Case::decode(value, root)],
        };
        let (mut cases, mut found) = (Vec::new(), Vec::new());
        for result in read {
            match result {
                Ok(case) => cases.push(case),
                Err(invalid) => found.push(Diagnostic::in_json("test_case", file, text, invalid)),
            }
        }
        if found.is_empty() { Ok(cases) } else { Err(found) }
    }
}

/// The JSON pointer to a run in the text of its file: to the case, which is a list's or the whole file, or to its step.
pub fn pointer_to_run(text: &str, case: usize, step: usize) -> String {
    let case = if text.trim_start().starts_with('[') { format!("/{case}") } else { String::new() };
    let steps = format!("{case}/steps");
    // A pointer that leads nowhere is found where the last part of it is.
    let has_steps = locate_json(text, &steps) != locate_json(text, &case);
    if has_steps { format!("{steps}/{step}") } else { case }
}

impl Decode for Case {
    fn decode(value: Value, path: Path<'_>) -> Result<Case, Invalid> {
        const KEYS: &[&str] = &["config", "expect", "http", "input", "name", "now", "secrets", "steps", "trigger"];
        let mut fields = Fields::new(value, &path, KEYS)?;
        let name: String = fields.required("name")?;
        if name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS {
            return Err(path.key("name").invalid(format!("expected 1 to {MAX_NAME_CHARS} characters")));
        }
        let trigger = fields.required("trigger")?;
        let config: Object = fields.or_default("config")?;
        let secrets = fields.or_default("secrets")?;
        let http = fields.raw("http").map(|answers| http::answers(answers, path.key("http"))).transpose()?;
        let single = (fields.raw("input"), fields.optional("now")?, fields.optional("expect")?);
        let steps = match (fields.optional::<Vec<Step>>("steps")?, single) {
            (None, (Some(input), now, Some(expect))) => {
                vec![Step { input: object(input, path.key("input"))?, now, expect }]
            }
            (None, (input, _, _)) => {
                let missing = if input.is_none() { "input" } else { "expect" };
                return Err(path.invalid(format!("\"{missing}\" is missing (or \"steps\" for a sequence of runs)")));
            }
            (Some(steps), (None, None, None)) if (1..=MAX_CASES).contains(&steps.len()) => steps,
            (Some(_), (None, None, None)) => {
                return Err(path.key("steps").invalid(format!("expected 1 to {MAX_CASES} steps")));
            }
            (Some(_), _) => {
                return Err(path
                    .key("steps")
                    .invalid("each step has its own input, now and expect; none stand beside steps"));
            }
        };
        Ok(Case { name, trigger, config: Value::Object(config), secrets, http: http.unwrap_or_default(), steps })
    }
}

impl Decode for Step {
    fn decode(value: Value, path: Path<'_>) -> Result<Step, Invalid> {
        let mut fields = Fields::new(value, &path, &["expect", "input", "now"])?;
        let input = fields.raw("input").ok_or_else(|| path.invalid("\"input\" is missing"))?;
        Ok(Step {
            input: object(input, path.key("input"))?,
            now: fields.optional("now")?,
            expect: fields.required("expect")?,
        })
    }
}

impl Decode for Expectation {
    fn decode(value: Value, path: Path<'_>) -> Result<Expectation, Invalid> {
        let mut fields = Fields::new(value, &path, &["failure", "outcome"])?;
        match (fields.raw("outcome"), fields.raw("failure")) {
            (Some(outcome), None) => {
                let at = path.key("outcome");
                let outcome = object(outcome, at)?;
                known_word::<OutcomeKind>(&outcome, "kind", at)?;
                // A key that no outcome has is never there: with null it would be as expected, whatever comes.
                let kind = outcome.get("kind").and_then(|kind| kind.as_str()?.parse().ok());
                known_keys(&outcome, &Outcome::keys(kind), at)?;
                Ok(Expectation::Outcome(outcome))
            }
            (None, Some(failure)) => {
                let at = path.key("failure");
                let failure = object(failure, at)?;
                known_word::<FailureReason>(&failure, "reason", at)?;
                known_keys(&failure, &["reason", "message", "pointer", "file", "line", "column", "stack"], at)?;
                Ok(Expectation::Failure(failure))
            }
            _ => Err(path.invalid("expected \"outcome\" or \"failure\", one of them")),
        }
    }
}

fn known_keys(value: &Value, known: &[&str], path: Path<'_>) -> Result<(), Invalid> {
    let keys = value.as_object().into_iter().flat_map(Object::keys);
    match keys.into_iter().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(path.key(unknown).invalid(unknown_key(unknown, known))),
        None => Ok(()),
    }
}

/// A misspelt word would make a case fail for a reason that its author does not see.
fn known_word<T: Decode>(value: &Value, key: &str, path: Path<'_>) -> Result<(), Invalid> {
    match value.get(key) {
        Some(word) => T::decode(word.clone(), path.key(key)).map(|_| ()),
        None => Ok(()),
    }
}

fn object(value: Value, path: Path<'_>) -> Result<Value, Invalid> {
    match value {
        Value::Object(_) => Ok(value),
        other => Err(wrong_type(path, "an object", &other)),
    }
}
