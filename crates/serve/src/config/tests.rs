//! Settings: precedence, sources, and every refusal as data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    #[serde(flatten)]
    server: Common,
    hosts: Vec<String>,
    labels: BTreeMap<String, u32>,
    store: Store,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Common {
    listen: std::net::SocketAddr,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Store {
    size: u32,
    sync: bool,
    password: Option<String>,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            server: Common { listen: "127.0.0.1:7070".parse().unwrap(), name: "sample".into() },
            hosts: Vec::new(),
            labels: BTreeMap::new(),
            store: Store { size: 10, sync: true, password: None },
        }
    }
}

impl Settings for Sample {
    fn check(&self, at: &mut Checks<'_>) {
        at.takes("listen", "an address");
        at.require("hosts", self.hosts.len() < 4, "up to 3 names");
        at.section("store", &self.store);
    }
}

impl Default for Store {
    fn default() -> Store {
        Sample::default().store
    }
}

impl Settings for Store {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("size", self.size, 1..=100, "MiB");
        at.takes("sync", "true or false");
        let long = self.password.as_ref().is_none_or(|password| password.len() >= 8);
        at.secret("password", long, "8 characters or more");
    }
}

struct Given {
    folder: tempfile::TempDir,
    file: Option<String>,
    variables: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

fn given() -> Given {
    Given { folder: tempfile::tempdir().unwrap(), file: None, variables: Vec::new(), flags: Vec::new() }
}

impl Given {
    fn file(mut self, text: &str) -> Given {
        self.file = Some(text.into());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Given {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn set(mut self, key: &str, value: &str) -> Given {
        self.flags.push((key.into(), value.into()));
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s.toml")
    }

    fn load(&self) -> Result<Loaded<Sample>, Refusal> {
        let mut sources = Sources::new(EXECUTOR_PREFIX)
            .environment(self.variables.iter().map(|(name, value)| (name.into(), value.into())));
        if let Some(text) = &self.file {
            std::fs::write(self.path(), text).unwrap();
            sources = sources.file(self.path());
        }
        for (key, value) in &self.flags {
            sources = sources.flag("--set", key, value);
        }
        sources.load()
    }

    /// The lines of the refusal, with the file's folder left out.
    fn refused(&self) -> Vec<String> {
        let text = self.load().unwrap_err().to_string();
        let folder = format!("{}/", self.folder.path().display());
        text.lines().skip(1).map(|line| line.trim().replace(&folder, "")).collect()
    }
}

#[test]
fn a_flag_goes_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let all = given()
        .file("[store]\nsize = 2\nsync = false\npassword = 'from the file'\n")
        .variable("SLUICE_EXECUTOR_STORE_SIZE", "3")
        .variable("SLUICE_EXECUTOR_STORE_SYNC", "true")
        .set("store.size", "4")
        .load()
        .unwrap();
    assert_eq!(all.settings.store, Store { size: 4, sync: true, password: Some("from the file".into()) });
    assert_eq!(all.settings.server, Sample::default().server);
    assert_eq!(all.origin("store.size"), Origin::Flag("--set".into()));
    assert_eq!(all.origin("store.sync"), Origin::Variable("SLUICE_EXECUTOR_STORE_SYNC".into()));
    assert!(matches!(all.origin("store.password"), Origin::File { line: 4, .. }));
    assert_eq!(all.origin("name"), Origin::Default);
}

#[test]
fn text_is_taken_as_what_the_setting_is() {
    let loaded = given()
        .set("name", "7")
        .set("hosts", "a.example, b.example")
        .set("labels", "{ one = 1 }")
        .set("store.password", "123456789")
        .load()
        .unwrap()
        .settings;
    assert_eq!(loaded.server.name, "7");
    assert_eq!(loaded.hosts, ["a.example", "b.example"]);
    assert_eq!(loaded.labels["one"], 1);
    assert_eq!(loaded.store.password.unwrap(), "123456789");
    assert_eq!(given().set("hosts", r#"["a,b"]"#).load().unwrap().settings.hosts, ["a,b"]);
}

#[test]
fn a_map_of_the_users_keys_may_be_a_section_of_the_file() {
    let loaded = given().file("[labels]\none = 1\ntwo = 2\n[store]\n").load().unwrap();
    assert_eq!(loaded.settings.labels, BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]));
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    std::fs::write(&path, "name = 'there'").unwrap();
    let loaded = given().variable("SLUICE_EXECUTOR_CONFIG", path.to_str().unwrap()).load().unwrap();
    assert_eq!(loaded.settings.server.name, "there");
}

#[test]
fn variables_of_clients_and_of_other_servers_are_none_of_ours() {
    let mut all = given().variable("SLUICE_CONTROL_PLANE_ANYTHING", "x").variable("PATH", "x").variable("SLUICE", "x");
    for name in CLIENT_VARIABLES {
        all = all.variable(name, "x");
    }
    assert_eq!(all.load().unwrap().settings, Sample::default());
}

#[test]
fn every_refusal_names_the_setting_its_source_and_what_it_takes() {
    let file = |text: &str| given().file(text);
    let there = "there are: hosts, labels, listen, name, store";
    for (given, told) in [
        (file("\n\nsiez = 1"), format!("siez is no setting; {there} (s.toml:3)")),
        (file("[store]\nsiez = 1"), "store.siez is no setting; store takes: password, size, sync (s.toml:2)".into()),
        (file("[stoer]"), format!("stoer is no setting; {there} (s.toml:1)")),
        (file("store = 5"), "store takes a table of: password, size, sync (s.toml:1)".into()),
        (file("name.first = 'x'"), "name is not understood: invalid type: map, expected a string (s.toml:1)".into()),
        (given().set("name.first", "x"), "name.first is no setting: name is one value (flag --set)".into()),
        (file("store.size = 'big'"), "store.size takes 1 to 100 MiB, not \"big\" (s.toml:1)".into()),
        (file("store.size = 0"), "store.size takes 1 to 100 MiB, not 0 (s.toml:1)".into()),
        (file("store.size = -1"), "store.size takes 1 to 100 MiB, not -1 (s.toml:1)".into()),
        (
            file("store.size = 99999999999999999999"),
            "store.size takes 1 to 100 MiB, not \"99999999999999999999\" (s.toml:1)".into(),
        ),
        (file("listen = 7070"), "listen takes an address, not 7070 (s.toml:1)".into()),
        (
            file("labels = {a = 'x'}"),
            "labels is not understood: invalid type: string \"x\", expected u32 (s.toml:1)".into(),
        ),
        (
            given().set("hosts", "a,b,c,d"),
            "hosts takes up to 3 names, not [\"a\", \"b\", \"c\", \"d\"] (flag --set)".into(),
        ),
        (given().set("store.sync", "maybe"), "store.sync takes true or false, not \"maybe\" (flag --set)".into()),
        (given().set("nothing", ""), format!("nothing is no setting; {there} (flag --set)")),
        (
            given().variable("SLUICE_EXECUTOR_STORE_SIZE", "1e9"),
            "store.size takes 1 to 100 MiB, not \"1e9\" (environment variable SLUICE_EXECUTOR_STORE_SIZE)".into(),
        ),
        (
            given().variable("SLUICE_EXECUTOR_STORE_SIEZ", "1"),
            "SLUICE_EXECUTOR_STORE_SIEZ is no setting of this server (--print-config lists them)".into(),
        ),
        (
            given().variable("SLUICE_LOG_LEVEL", "info"),
            "SLUICE_LOG_LEVEL is no variable of Sluice: this server's begin with SLUICE_EXECUTOR_".into(),
        ),
        (
            given().set("store.password", "short"),
            "store.password takes 8 characters or more, not what it was set to (flag --set)".into(),
        ),
        (file("store.password = 12345"), "store.password takes 8 characters or more (s.toml:1)".into()),
    ] {
        assert_eq!(given.refused(), [told]);
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_no_toml_is_told_with_its_line() {
    let missing = Sources::new(EXECUTOR_PREFIX).file("/does/not/exist.toml").load::<Sample>().unwrap_err();
    assert_eq!(missing.problems[0].key, "/does/not/exist.toml");
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    let broken = given().file("name = 'x'\nlisten = \n").refused();
    assert!(broken[0].contains("s.toml is not TOML") && broken[0].ends_with("(s.toml:2)"), "{broken:?}");
    let twice = given().file("name = 'x'\nname = 'y'\n").refused();
    assert!(twice[0].ends_with("(s.toml:2)"), "{twice:?}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let all = given()
        .file("nmae = 1\n[store]\nsize = 1000\n")
        .variable("SLUICE_EXECUTOR_LISTEN", "here")
        .set("store.sync", "2")
        .refused();
    let keys: Vec<&str> = all.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(keys, ["nmae", "listen", "store.sync", "store.size"]);
}

#[test]
fn the_effective_settings_are_a_file_again_and_hide_secrets() {
    let loaded =
        given().set("store.size", "7").set("labels", "{ a = 1 }").set("store.password", "hush-hush").load().unwrap();
    let text = loaded.effective().to_string();
    assert!(text.contains("store.size = 7  # flag --set\n"), "{text}");
    assert!(text.contains("store.sync = true  # default\n"), "{text}");
    assert!(text.contains("# store.password is set and secret"), "{text}");
    assert!(!text.contains("hush-hush"));
    let again = given().file(&text).load().unwrap().settings;
    assert_eq!(again, Sample { store: Store { password: None, ..loaded.settings.store }, ..loaded.settings });
}

#[test]
fn the_settings_of_every_server_are_sound_and_refuse_what_they_do_not_take() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Plain {
        #[serde(flatten)]
        server: ServerConfig,
    }
    impl Default for Plain {
        fn default() -> Plain {
            Plain { server: ServerConfig::on(7071, 7073, "data") }
        }
    }
    impl Settings for Plain {
        fn check(&self, at: &mut Checks<'_>) {
            self.server.check(at);
        }
    }
    let load = |key: &str, value: &str| Sources::new(EXECUTOR_PREFIX).flag("--set", key, value).load::<Plain>();
    assert_eq!(load("listen", "[::1]:0").unwrap().settings.server.listen.port(), 0);
    assert_eq!(
        load("log.level", "warn,sluice_executor=debug").unwrap().settings.server.log.level,
        "warn,sluice_executor=debug"
    );
    for (key, value) in [
        ("listen", "0.0.0.0:7071"),
        ("listen", "192.0.2.1:7071"),
        ("listen", "localhost"),
        ("admin_listen", "[::]:7073"),
        ("data", ""),
        ("grpc.max_in_flight", "0"),
        ("grpc.max_message_bytes", "1"),
        ("log.level", "loud"),
        ("log.level", "info,sluice_executor"),
        ("log.format", "xml"),
        ("telemetry.otlp_endpoint", "https://collector:4317"),
        ("telemetry.otlp_endpoint", "collector"),
        ("telemetry.trace_ratio", "1.5"),
        ("telemetry.trace_ratio", "nan"),
        ("drain.timeout_s", "601"),
    ] {
        let refusal = load(key, value).unwrap_err();
        assert_eq!(refusal.problems.len(), 1, "{refusal}");
        assert_eq!(refusal.problems[0].key, key, "{refusal}");
        assert!(refusal.problems[0].message.starts_with("takes "), "{refusal}");
    }
}
