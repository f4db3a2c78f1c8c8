//! `sluice test`

use super::execute;
use crate::{
    file,
    screen::Screen,
    stop::Stop,
    trial::{Attempt, Reach, Redirects, Trial},
    view::{
        case::{CaseResult, Cases},
        coverage::Coverage,
    },
    watch::Watch,
};
use jiff::Timestamp;
use serde_json::Value;
use sluice_control_plane::catalogue::cases;
use sluice_model::{Error, Invalid, Manifest, Trigger, case::HttpAnswer, redirect::Origin};
use sluice_sandbox::Engine;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The package: a folder with action.toml, or a .tar.gz of one; - is a .tar.gz from standard input
    package: PathBuf,
    /// A JSON file with an input to run; - is standard input. Without it the package's own cases are run
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The trigger to run the input at; without it the one in the file, or the package's only one
    #[arg(long, value_name = "TRIGGER", requires = "input")]
    trigger: Option<String>,
    /// A JSON file with a config, for --input; - is standard input
    #[arg(long, value_name = "FILE", requires = "input")]
    config: Option<PathBuf>,
    /// A JSON file with secrets, {"NAME": "value"}, for --input; - is standard input
    #[arg(long, value_name = "FILE", requires = "input")]
    secrets: Option<PathBuf>,
    /// A JSON file with what servers answer, a list as the http of a case, for --input; - is standard input. Without it every
    /// fetch fails: no server is ever asked
    #[arg(long, value_name = "FILE", requires = "input")]
    http: Option<PathBuf>,
    /// What the clock says, for --input: a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "input", value_parser = now)]
    now: Option<Timestamp>,
    /// An origin that redirects may lead to, may be given several times; without it any https origin will do
    #[arg(long, value_name = "ORIGIN", value_parser = Origin::parse)]
    redirect_origin: Vec<Origin>,
    /// Let redirects of --input lead to localhost by http, as where an operator sets redirect.http_localhost
    #[arg(long, requires = "input")]
    http_localhost: bool,
    /// Say which lines the cases have run. A line with two statements has run when both have
    #[arg(long, conflicts_with = "input")]
    coverage: bool,
    /// Run again whenever a file of the package, or the input, is saved; Ctrl-C ends it
    #[arg(long)]
    watch: bool,
}

fn now(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "takes a time such as 2026-01-31T12:00:00Z".to_owned())
}

pub(crate) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    check_standard_input(&args)?;
    let mut engine = None;
    if !args.watch {
        return once(&args, &mut engine, screen).await;
    }
    let folder = if args.package.is_file() { args.package.parent() } else { Some(args.package.as_path()) };
    let mut watch = Watch::new(folder.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    loop {
        if let Err(stop) = once(&args, &mut engine, screen).await {
            // What is wrong is mended by the next save.
            screen.stopped(&stop);
        }
        screen.say(|look| look.faint("waiting for a save; Ctrl-C ends it\n"));
        let saved = watch.changed().await;
        screen.say(|look| look.strong(&format!("\n{} {}\n", look.time(Timestamp::now()), named(&saved))));
    }
}

/// Refuses what would be read from standard input twice: the second reading would find nothing.
fn check_standard_input(args: &Args) -> Result<(), Stop> {
    let all = [
        ("PACKAGE", Some(&args.package)),
        ("--input", args.input.as_ref()),
        ("--config", args.config.as_ref()),
        ("--secrets", args.secrets.as_ref()),
        ("--http", args.http.as_ref()),
    ];
    let mut read = all.into_iter().filter(|(_, path)| path.is_some_and(|path| file::is_standard_input(path)));
    match (read.next(), read.next()) {
        (Some((first, _)), Some((second, _))) => {
            Err(Stop::misused(second, format!("is standard input, which {first} reads already")))
        }
        (Some((only, _)), None) if args.watch => {
            Err(Stop::misused("--watch", format!("reads all again at each save, and {only} is standard input")))
        }
        _ => Ok(()),
    }
}

/// The files of a save, in short.
pub(super) fn named(saved: &BTreeSet<PathBuf>) -> String {
    let mut names = saved.iter().map(|path| path.display().to_string());
    let first = names.next().unwrap_or_default();
    match names.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Compiles and runs it once.
async fn once(args: &Args, engine: &mut Option<Engine>, screen: &Screen) -> Result<(), Stop> {
    let package = file::read_package(&args.package)?;
    if let (Some(component), true) = (&package.manifest.component, args.coverage) {
        let message = format!("counts lines of TypeScript and JavaScript, and {component} is a WebAssembly component");
        return Err(Stop::misused("--coverage", message));
    }
    let progress = screen.progress(format!("compiling {}", package.manifest.slug));
    let origins = (!args.redirect_origin.is_empty()).then(|| args.redirect_origin.clone());
    let redirects = Redirects { origins, http_localhost: args.http_localhost };
    let trial = Trial::prepare(package, redirects, engine, args.coverage).await?;
    drop(progress);
    let Some(input) = &args.input else {
        return cases(&trial, args.coverage, screen).await;
    };
    let input = file::read_json("--input", input)?;
    let trigger = trigger(args.trigger.as_deref(), &input, &trial)?;
    trial.check_trigger(trigger)?;
    let config = trial.config(&file::read_config(args.config.as_deref())?).map_err(|found| invalid_config(&found))?;
    let input = execute::check_input(input, trigger)?;
    let secrets = args.secrets.as_deref().map(|path| read_secrets(path, &trial.package.manifest)).transpose()?;
    let http = args.http.as_deref().map(read_answers).transpose()?;
    let reach = Reach { secrets: secrets.unwrap_or_default(), http };
    screen.show(&trial.run(Attempt { trigger, config, input, now: args.now, reach }).await);
    Ok(())
}

/// Reads the file of `--secrets`. No message repeats what may be a value.
fn read_secrets(path: &Path, manifest: &Manifest) -> Result<BTreeMap<String, String>, Stop> {
    let Value::Object(read) = file::read_secret_json("--secrets", path)? else {
        return Err(Error::field("secrets", "expected a JSON object: {\"NAME\": \"value\"}").into());
    };
    let mut secrets = BTreeMap::new();
    for (name, value) in read {
        let refused = |message: &str| Err(Error::field(format!("secrets/{name}"), message).into());
        // Where the config names secrets, any may be one.
        if manifest.secrets_from_config.is_empty() && !manifest.secrets.contains(&name) {
            return refused("is not among the secrets of action.toml");
        }
        let Value::String(value) = value else { return refused("expected a string") };
        secrets.insert(name, value);
    }
    Ok(secrets)
}

/// Reads the file of `--http`.
fn read_answers(path: &Path) -> Result<Vec<HttpAnswer>, Stop> {
    let answers = HttpAnswer::list_from_json(file::read_json("--http", path)?);
    answers.map_err(|invalid| Error::invalid("http", invalid).into())
}

/// The trigger that is asked for, or else the one that the input names, or the only one that the package is made for.
fn trigger(asked: Option<&str>, input: &Value, trial: &Trial) -> Result<Trigger, Stop> {
    match (asked.or(input.get("trigger").and_then(Value::as_str)), trial.package.manifest.triggers.as_slice()) {
        (Some(text), _) => execute::read_trigger(text),
        (None, [only]) => Ok(*only),
        (None, several) => {
            if let Some(any) = several.first().filter(|_| input.get("trigger").is_some()) {
                // It names one, and not by a word: what is wrong there is the same at every trigger.
                execute::check_input(input.clone(), *any)?;
            }
            let names: Vec<&str> = several.iter().map(|t| t.as_str()).collect();
            let message = format!("the package is made for several, name one: {}", names.join(", "));
            Err(Stop::misused("--trigger", message))
        }
    }
}

/// A config that the schema refuses, each mistake with its pointer.
fn invalid_config(found: &[Invalid]) -> Stop {
    let mut fields = found.iter().map(|invalid| (format!("config{}", invalid.pointer), invalid.message.clone()));
    let Some((field, message)) = fields.next() else {
        return Error::field("config", "is refused").into();
    };
    fields.fold(Error::field(field, message), |error, (field, message)| error.with_field(field, message)).into()
}

async fn cases(trial: &Trial, counting: bool, screen: &Screen) -> Result<(), Stop> {
    let found = cases::mistakes(&trial.package);
    if !found.is_empty() {
        return Err(Stop::package(&found));
    }
    let began = Instant::now();
    let mut results = trial.cases().await;
    let coverage = counting.then(|| Coverage::of(&trial.lines, &mut results));
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let cases = trial.package.cases.iter().flat_map(|(_, cases)| cases);
    let cases = cases.zip(results).map(|(case, result)| CaseResult::new(case, result)).collect();
    let code_bytes = trial.code_bytes as u64;
    let view = Cases {
        cases,
        took_us,
        code_bytes,
        language: trial.language(),
        logs: trial.logs().to_vec(),
        coverage,
        slug: trial.package.manifest.slug.to_string(),
    };
    screen.show(&view);
    if view.passed() { Ok(()) } else { Err(Stop::told()) }
}

#[cfg(test)]
mod tests {
    use crate::verbs::{Cli, Command};
    use clap::Parser as _;

    fn refused(line: &str) -> Option<(String, String)> {
        let Command::Test(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("{line}");
        };
        let error = super::check_standard_input(&args).err()?.error?;
        error.fields.into_iter().next().map(|field| (field.field, field.message))
    }

    #[test]
    fn standard_input_is_read_once() {
        for (line, field, says) in [
            ("sluice test dir --input - --config -", "--config", "--input"),
            ("sluice test - --input -", "--input", "PACKAGE"),
            ("sluice test dir --input x --secrets - --http -", "--http", "--secrets"),
            ("sluice test - --watch", "--watch", "PACKAGE"),
            ("sluice test dir --input - --watch", "--watch", "--input"),
        ] {
            let (got, message) = refused(line).unwrap();
            assert!(got == field && message.contains(says) && message.contains("standard input"), "{line}: {message}");
        }
        for line in ["sluice test -", "sluice test dir --input -", "sluice test dir --input x.json --config -"] {
            assert_eq!(refused(line), None, "{line}");
        }
    }
}
