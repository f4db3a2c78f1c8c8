//! What the command line takes. What the verbs do is tested through the binary, in `tests/`.

use super::*;
use clap::{CommandFactory as _, error::ErrorKind};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn refused(line: &str) -> ErrorKind {
    parse(line).unwrap_err().kind()
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_takes_json_at_its_end() {
    for line in [
        "sluice tenant list --json",
        "sluice tenant redirect-origins list --tenant a --json",
        "sluice flow show login --tenant a --json",
        "sluice execute login --tenant a --trigger post-login --input x.json --json",
        "sluice test dir --json",
        "sluice action publish dir --tenant a --json",
        "sluice audit list --tenant a --json",
        "sluice executor list --json",
    ] {
        assert!(parse(line).is_ok_and(|cli| cli.json), "{line}");
    }
}

#[test]
fn publishing_goes_to_every_tenant_that_is_named() {
    let cli = parse("sluice action publish dir --tenant a --tenant b --bump minor").unwrap();
    let shown = format!("{:?}", cli.command);
    assert!(shown.contains(r#"tenants: ["a", "b"]"#), "{shown}");
}

#[test]
fn what_contradicts_itself_is_bad_usage() {
    assert_eq!(
        refused("sluice action publish dir --tenant a --bump minor --version 2.0.0"),
        ErrorKind::ArgumentConflict
    );
    assert_eq!(refused("sluice action publish dir --tenant a --bump huge"), ErrorKind::InvalidValue);
    assert_eq!(refused("sluice test dir --config c.json"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("sluice flow attach login --tenant a --action x@1.0.0"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("sluice audit list --tenant a --since yesterday"), ErrorKind::ValueValidation);
    assert_eq!(refused("sluice tenant list --control-url ftp://x"), ErrorKind::ValueValidation);
    assert_eq!(refused("sluice flow rollback login"), ErrorKind::InvalidSubcommand);
}

#[test]
fn a_load_program_has_few_threads_and_a_server_has_all() {
    let call = "--flow login --tenant a --trigger post-login --input x.json";
    let threads = |line: &str| parse(&format!("sluice bench {line}")).unwrap().command.worker_threads();
    assert_eq!(threads(&format!("run {call} --rate 200")), Some(1));
    assert_eq!(threads(&format!("compare {call} --rounds 3 --threads 2")), Some(2));
    assert_eq!(threads("floor --listen 127.0.0.1:0"), None);
    assert_eq!(refused("sluice bench run --tenant a"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&format!("sluice bench run {call} --requests 5 --seconds 5")), ErrorKind::ArgumentConflict);
}
