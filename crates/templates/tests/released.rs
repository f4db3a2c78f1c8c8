//! Every released version, for ever: its sources are those that were released, its cases pass in the sandbox, and its schema refuses
//! what it should, at the field.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde::Deserialize;
use serde_json::{Value, json};
use sluice_compiler::{Package, compile};
use sluice_control_plane::catalogue::{TEMPLATE_SLUGS, cases, cases::CaseResult};
use sluice_model::schema;
use sluice_sandbox::{Engine, EngineOptions};
use sluice_templates::{Template, released};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cases of a template, at least.
const CASES: usize = 40;
/// Configs of a template that are refused, at least.
const REFUSED: usize = 20;

fn folder(template: &Template) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released").join(template.slug).join(template.version)
}

type Files = BTreeMap<String, String>;

/// A template's files; in `tests` its cases.
fn files(template: &Template) -> Files {
    template.files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

fn with_cases(template: &Template) -> Files {
    let mut files = files(template);
    files.extend(texts(&folder(template).join("tests"), "tests"));
    take_formats_away(&mut files);
    files
}

/// Cases hold configs, too, that no save of today lets through: what is attached stays attached, and has to be safe all the same.
fn take_formats_away(files: &mut Files) {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.retain(|key, value| key != "format" || !value.is_string());
                object.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    let mut schema: Value = serde_json::from_str(&files["schema.json"]).unwrap();
    walk(&mut schema);
    files.insert("schema.json".into(), schema.to_string());
}

/// The files of a folder, by their path in a package.
fn texts(folder: &Path, under: &str) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let named = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (format!("{under}/{name}"), fs::read_to_string(path).unwrap())
    };
    entries.map(named).collect()
}

/// Puts another entry in front of the template's.
fn wrap(files: &mut Files, entry: &str) {
    let template = files.insert("src/index.ts".into(), entry.into()).unwrap();
    files.insert("src/template.ts".into(), template);
}

/// Runs the cases of a package; answers those that do not pass, and how many there are.
async fn run(engine: &Engine, what: &str, files: Files) -> (usize, Vec<String>) {
    let package = Package::from_files(files).unwrap_or_else(|found| panic!("{what}: {found:#?}"));
    let bundle = compile(&package).unwrap_or_else(|found| panic!("{what}: {found:#?}"));
    let snapshot = Arc::new(engine.snapshot(&bundle).await.unwrap());
    let results = cases::run(engine, &package, &snapshot).await;
    let failed = results.iter().filter(|result| !result.passed());
    let told = |result: &CaseResult| format!("{what}: {}: {:?} {:?}", result.name, result.refused, result.differences);
    (results.len(), failed.map(told).collect())
}

fn engine() -> Engine {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine-cache");
    Engine::new(EngineOptions { cache_dir: Some(cache), ..EngineOptions::default() }).unwrap()
}

#[test]
fn all_ten_are_released() {
    let slugs: BTreeSet<&str> = released().iter().map(|template| template.slug).collect();
    assert_eq!(slugs, TEMPLATE_SLUGS.iter().copied().collect());
}

#[test]
fn what_was_released_is_not_changed() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("released.lock")).unwrap();
    let line = |template: &Template| {
        let package = template.package().unwrap_or_else(|found| panic!("{}: {found:#?}", template.slug));
        assert_eq!(package.manifest.version.as_ref().unwrap().to_string(), template.version);
        format!("{} {} {}", template.slug, template.version, package.content_digest())
    };
    let is: Vec<String> = released().iter().map(line).collect();
    let locked: Vec<&str> = lock.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(is, locked, "a released version differs from released.lock, or is not in it");
}

#[tokio::test]
async fn the_cases_of_every_released_version_pass() {
    let (engine, mut wrong) = (engine(), Vec::new());
    for template in released() {
        let (count, failed) = run(&engine, template.slug, with_cases(template)).await;
        assert!(count >= CASES, "{} has {count} cases", template.slug);
        wrong.extend(failed);
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn shared_modules_agree_with_published_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for set in fs::read_dir(root.join("shared")).unwrap() {
        let mut files = texts(&set.unwrap().path(), "src/shared");
        files.extend(texts(&root.join("vectors"), "src"));
        files.extend(texts(&root.join("vectors/run/src"), "src"));
        files.extend(texts(&root.join("vectors/run/tests"), "tests"));
        for file in ["action.toml", "schema.json"] {
            files.insert(file.into(), fs::read_to_string(root.join("vectors/run").join(file)).unwrap());
        }
        let (count, wrong) = run(&engine(), "vectors", files).await;
        assert!(count >= 5 && wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Runs `checkConfig` on a config as a save does: its defaults are filled in.
const CHECKS: &str = "import { checkConfig } from './template'
export function execute(input: any) {
  const { config, trigger, pointer, says } = input.context.config
  const { config: kept, errors } = checkConfig(config, { trigger })
  const refused = errors.some((error: any) => error.pointer === pointer && error.message.includes(says))
  return { kind: 'continue', state: pointer === undefined ? { kept, errors } : { refused, errors } }
}
";

#[tokio::test]
async fn check_config_refuses_and_normalises_what_it_should() {
    let (engine, mut wrong, mut counted) = (engine(), Vec::new(), 0);
    for template in released() {
        let configs = configs(template);
        let schema = template.package().unwrap().schema.unwrap();
        let case = |name: &str, trigger: &str, config: &Value, more: Value, state: Value| {
            let filled = schema::fill_defaults(schema.as_json(), config.as_object().unwrap().clone());
            let mut given = json!({"config": filled, "trigger": trigger});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"name": name, "trigger": trigger, "input": {}, "config": given, "expect": {"outcome": {"state": state}}})
        };
        let refused = configs.refused.iter().filter(|refused| refused.by == "check").map(|refused| {
            let Refused { name, trigger, config, pointer, says, .. } = refused;
            case(name, trigger, config, json!({"pointer": pointer, "says": says}), json!({"refused": true}))
        });
        let accepted = configs.accepted.iter().map(|Accepted { name, trigger, config, normalised }| {
            case(name, trigger, config, json!({}), json!({"errors": [], "kept": normalised}))
        });
        let cases: Vec<Value> = refused.chain(accepted).collect();
        if cases.is_empty() {
            continue;
        }
        let mut files = files(template);
        wrap(&mut files, CHECKS);
        files.insert("schema.json".into(), json!({"type": "object"}).to_string());
        let manifest = files["action.toml"].lines().filter(|line| !line.contains("_from_config"));
        let manifest: String = manifest.flat_map(|line| [line, "\n"]).collect();
        files.insert("action.toml".into(), manifest);
        files.insert("tests/configs.json".into(), json!(cases).to_string());
        let (count, failed) = run(&engine, template.slug, files).await;
        counted += count;
        wrong.extend(failed);
    }
    assert!(wrong.is_empty(), "{} configs:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counted > 100, "{counted}");
}

/// `configs.json` of a version.
#[derive(Deserialize)]
struct Configs {
    refused: Vec<Refused>,
    #[serde(default)]
    accepted: Vec<Accepted>,
}

fn configs(template: &Template) -> Configs {
    serde_json::from_str(&fs::read_to_string(folder(template).join("configs.json")).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Accepted {
    name: String,
    trigger: String,
    config: Value,
    /// What `checkConfig` makes of it.
    normalised: Value,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    trigger: String,
    config: Value,
    pointer: String,
    says: String,
    /// What refuses it: `schema`, a `format` in it, `check` of its own, or the `host`, which knows the tenant.
    by: String,
}

#[test]
fn a_schema_refuses_what_it_should_at_the_field() {
    let mut wrong = Vec::new();
    for template in released() {
        let configs = configs(template);
        assert!(configs.refused.len() >= REFUSED, "{}: {}", template.slug, configs.refused.len());
        let schema = template.package().unwrap().schema.unwrap();
        for Refused { name, config, pointer, says, .. } in
            configs.refused.iter().filter(|refused| matches!(&*refused.by, "schema" | "format"))
        {
            let found = schema.validate(config).err().unwrap_or_default();
            if !found.iter().any(|invalid| invalid.pointer == *pointer && invalid.message.contains(says.as_str())) {
                wrong.push(format!("{}: {name}: expected {pointer} {says:?}, got {found:?}", template.slug));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
