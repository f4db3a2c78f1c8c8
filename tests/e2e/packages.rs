//! What `sluice init` writes: every starter is a whole package that TypeScript's own compiler accepts, whose cases pass and
//! which is published as it is; and the types refuse what the sandbox would.

#![allow(clippy::panic, reason = "a test")]

use sluice_tests::Planes;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Those in TypeScript; docs/components.md has the one in Rust, and its test.
const STARTERS: &[&str] =
    &["empty", "profile-redirect", "geo-block", "organization-check", "http-claims", "breached-account", "npm-bundle"];

/// The folder with this file's tools.
fn types() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("types")
}

/// Runs a command in a folder; it must succeed.
fn done(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let ran = Command::new(program).args(arguments).current_dir(folder).output();
    let ran = ran.unwrap_or_else(|e| panic!("{program}: {e}; tests/run.sh installs it"));
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{program} {arguments:?}: {}\n{out}\n{err}", ran.status);
    ran
}

/// A folder with the npm packages of tests/types/package.json: what tests/run.sh has installed, or one of this test's own.
fn npm_packages(folder: &Path) -> PathBuf {
    if let Some(installed) = std::env::var_os("TESTS_NPM") {
        return installed.into();
    }
    std::fs::create_dir_all(folder).expect("made");
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(types().join(file), folder.join(file)).expect("copied");
    }
    done(folder, "npm", &["ci", "--no-audit", "--no-fund"]);
    folder.to_owned()
}

/// Bundles a package of the starter npm-bundle, as its README says, on packages that are installed already: they must be the
/// very ones that it asks for.
fn bundle(package: &Path, npm: &Path) {
    let read = |path: PathBuf| -> serde_json::Value {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).expect("JSON")
    };
    let asked = read(package.join("package.json"));
    for kind in ["dependencies", "devDependencies"] {
        for (name, version) in asked[kind].as_object().expect("an object") {
            let installed = read(npm.join("node_modules").join(name).join("package.json"));
            assert_eq!(&installed["version"], version, "{name}: tests/types/package.json and the starter differ");
        }
    }
    std::os::unix::fs::symlink(npm.join("node_modules"), package.join("node_modules")).expect("linked");
    done(package, "npm", &["run", "build"]);
}

#[test]
fn every_starter_is_typed_tested_published_and_runs() {
    let planes = Planes::start();
    let cli = planes.cli("acme");
    cli.run(&["tenant", "create", "acme"]);
    let folder = planes.folder.path();
    let npm = npm_packages(&folder.join(".npm"));
    let mut packages = Vec::new();
    for starter in STARTERS {
        let dir = folder.join(starter);
        let shown = dir.to_str().expect("text");
        let made = cli.run(&["init", shown, "--starter", starter]);
        assert_eq!(made["starter"], *starter);
        if *starter == "npm-bundle" {
            bundle(&dir, &npm);
        }
        let tested = cli.run(&["test", shown]);
        assert!(tested["cases"].as_array().is_some_and(|cases| !cases.is_empty()), "{tested}");
        let published = cli.run(&["action", "publish", shown]);
        assert_eq!(
            (&published["results"][0]["version"], &published["results"][0]["created"]),
            (&"1.0.0".into(), &true.into())
        );
        packages.push(shown.to_owned());
    }
    let check = types().join("check.mjs");
    let ran = Command::new("node")
        .arg(check)
        .args(&packages)
        .env("TYPESCRIPT_DIR", npm)
        .output()
        .expect("node; tests/run.sh installs it");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    println!("{out}");
}

#[test]
fn a_throw_through_two_modules_and_a_bundle_names_the_authors_line() {
    let planes = Planes::start();
    let cli = planes.cli("acme");
    let dir = planes.folder.path().join("bundled");
    let shown = dir.to_str().expect("text");
    cli.run(&["init", shown, "--starter", "npm-bundle"]);
    let index = "import { check } from './check.js'\n\n\nexport function execute(input: Input): Outcome {\n  check(input)\n  return { kind: 'continue' }\n}\n";
    let check = "interface Padding {\n  a: string\n}\n\nexport function check(input: Input): void {\n  // The line that is looked for.\n  if (input.user === null) throw new TypeError('nobody')\n}\n";
    std::fs::write(dir.join("src/index.ts"), index).expect("written");
    std::fs::write(dir.join("src/check.ts"), check).expect("written");
    let manifest = std::fs::read_to_string(dir.join("action.toml")).expect("it has one");
    std::fs::write(dir.join("action.toml"), manifest.replace("schema = \"schema.json\"\n", "")).expect("written");
    std::fs::remove_file(dir.join("schema.json")).expect("it had one");
    std::fs::remove_dir_all(dir.join("tests")).expect("it had some");
    bundle(&dir, &npm_packages(&planes.folder.path().join(".npm")));
    let input = planes.file("nobody.json", "{}");
    let run = cli.run(&["test", shown, "--input", &input, "--trigger", "post-login"]);
    let failure = &run["failure"];
    assert_eq!(
        (&failure["message"], &failure["file"], &failure["line"]),
        (&"TypeError: nobody".into(), &"src/check.ts".into(), &7.into()),
        "{run}"
    );
    let stack = failure["stack"].as_str().expect("a stack");
    assert!(stack.contains("src/check.ts:7:") && stack.contains("src/index.ts:5:"), "{stack}");
}
