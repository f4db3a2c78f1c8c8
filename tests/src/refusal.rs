//! Refusals as data: what is wrong with a package or with arguments, and what is said of it. A file of `tests/refusals` is one
//! of them; the README beside them says what a file may have.
//!
//! Here a file is read, its package is made, and the command line is run on it. What is right is judged in
//! `tests/e2e/refusals.rs`.

use crate::{Cli, PATIENCE, Planes, binary, component, pause};
use flate2::{Compression, write::GzEncoder};
use rustix::fs::{CWD, Mode, mkfifoat};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// The package that every file stands on: it works.
const BASE: &[(&str, &str)] = &[
    (
        "action.toml",
        "slug = \"base\"\nname = \"Base\"\ndescription = \"A test.\"\ntriggers = [\"post-login\", \"pre-login\"]\n",
    ),
    ("src/index.ts", "export function execute() {\n  return { kind: 'continue' }\n}\n"),
];

/// What is published and attached before a file with `server = true` is run, and a config that fits it.
const STRICT: &[(&str, &str)] = &[
    (
        "strict/action.toml",
        "slug = \"strict\"\nname = \"Strict\"\ndescription = \"Takes a number.\"\n\
         triggers = [\"post-login\", \"pre-login\"]\n",
    ),
    ("strict/src/index.ts", "export function execute() {\n  return { kind: 'continue' }\n}\n"),
    (
        "strict/schema.json",
        "{\"type\": \"object\", \"additionalProperties\": false, \"required\": [\"n\"], \"properties\": {\n\
         \"n\": {\"type\": \"integer\", \"minimum\": 1}, \"m\": {\"type\": \"string\"}}}\n",
    ),
    ("one.json", "{\"n\": 1}\n"),
];

/// An address at which nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// One file of `tests/refusals`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The area and the file, without its ending.
    #[serde(skip)]
    pub name: String,
    /// What is wrong, as a phrase.
    pub about: String,
    /// The command line's arguments.
    arguments: Vec<String>,
    /// The exit code.
    #[serde(default = "refused")]
    pub exit: i32,
    /// The reason of the refusal.
    #[serde(default)]
    pub reason: String,
    /// Words of the message.
    #[serde(default)]
    pub message: Vec<String>,
    /// The fields at fault, in their order.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// How many fields there are, where `fields` has only some of them.
    pub fields_in_all: Option<usize>,
    /// What is said nowhere.
    #[serde(default)]
    pub never: Vec<String>,
    /// The cases that fail, instead of a refusal.
    pub cases: Option<Vec<Failed>>,
    /// Whether standard output has a result of each tenant, all of them refused.
    #[serde(default)]
    pub result: bool,
    /// The package's files, where they differ from the base; an empty text takes one away.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// WebAssembly, from text.
    #[serde(default)]
    wasm: Vec<Wasm>,
    /// What text cannot hold.
    #[serde(default)]
    make: Vec<Make>,
    /// Whether it needs a control plane and an executor.
    #[serde(default)]
    pub server: bool,
    /// Commands that are run first and succeed.
    #[serde(default)]
    before: Vec<Vec<String>>,
    /// How often.
    #[serde(default = "once")]
    before_times: usize,
    /// Variables of its environment.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Its standard input.
    #[serde(default)]
    standard_input: String,
    /// What is wrong today, so that the file is expected to fail.
    pub todo: Option<String>,
    /// What is wrong today with `--json` alone.
    pub todo_json: Option<String>,
    /// What a publish says differently today.
    pub todo_publish: Option<String>,
}

/// A field at fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name, to the letter.
    pub field: String,
    /// Words of its message, each on one line of it.
    pub says: Vec<String>,
}

/// A case that fails.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Its name.
    pub name: String,
    /// What it expected.
    pub expected: Option<Value>,
    /// What came.
    pub got: Option<Value>,
    /// Other keys that its JSON has.
    #[serde(default)]
    pub also: Map<String, Value>,
    /// What is said of it to people.
    #[serde(default)]
    pub says: Vec<String>,
}

/// WebAssembly that is made from text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wasm {
    /// Where.
    path: String,
    /// All of it: a component, or a core module; or
    text: Option<String>,
    /// the body of `execute` of a component of the world,
    #[serde(default)]
    execute: String,
    /// what it imports, as a core module does,
    #[serde(default)]
    imports: String,
    /// and what lies at 1024, 2048 and so on in its memory.
    #[serde(default)]
    texts: Vec<String>,
    /// Bytes that are another's afterwards: where, and what.
    #[serde(default)]
    patch: Vec<(usize, u8)>,
    /// How many bytes of it are kept.
    keep: Option<usize>,
}

impl Wasm {
    fn bytes(&self) -> Vec<u8> {
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        let mut bytes = match &self.text {
            Some(text) => component::assembled(text),
            None => component::component(&self.imports, &texts, &self.execute),
        };
        for (at, byte) in &self.patch {
            bytes[*at] = *byte;
        }
        bytes.truncate(self.keep.unwrap_or(bytes.len()));
        bytes
    }
}

/// Something in the package's folder that text cannot hold, or would be long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    /// Where; `{n}` is replaced by a number from 0.
    path: String,
    /// How many.
    #[serde(default = "once")]
    count: usize,
    /// The content begins with this,
    #[serde(default)]
    before: String,
    /// goes on with these bytes,
    #[serde(default)]
    bytes_hex: String,
    /// and this, with `{i}` replaced by a number from 0,
    #[serde(default)]
    repeat: String,
    /// so many times,
    #[serde(default)]
    times: usize,
    /// and ends with this.
    #[serde(default)]
    after: String,
    /// It is a link that leads here.
    link: Option<String>,
    /// It is a pipe.
    #[serde(default)]
    pipe: bool,
    /// It is a folder.
    #[serde(default)]
    folder: bool,
    /// It is a .tar.gz with these entries behind those of the package.
    archive: Option<Vec<Entry>>,
    /// Whether the archive has the package.
    #[serde(default = "yes")]
    with_package: bool,
    /// Whether the archive is compressed.
    #[serde(default = "yes")]
    gzip: bool,
    /// How many bytes of the archive are kept.
    keep: Option<usize>,
}

/// An entry of an archive.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    name: String,
    /// The name, where it is no text.
    name_hex: String,
    kind: Kind,
    text: String,
    /// How many zeros follow the text.
    zeros: usize,
    /// The size that it declares, where it is not its own.
    declares: Option<u64>,
    /// Where a link leads.
    link: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    File,
    Hardlink,
    Symlink,
    Device,
    Dir,
    Fifo,
}

fn refused() -> i32 {
    1
}

fn once() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// What a run of the command line came to.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A file that is laid out: its package is made, and what comes before is done.
pub struct Scene {
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// What placeholders stand for.
    names: Vec<(&'static str, String)>,
    /// The tenant's command line, where there is a server.
    cli: Option<Cli>,
}

impl Refusal {
    /// Reads all files of a folder of areas, sorted.
    pub fn read_all(folder: &Path) -> Vec<Refusal> {
        let mut all = Vec::new();
        for area in sorted(folder).iter().filter(|path| path.is_dir()) {
            for path in sorted(area) {
                let text = fs::read_to_string(&path).unwrap();
                let read: Refusal = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                all.push(Refusal { name: format!("{}/{}", stem(area), stem(&path)), ..read });
            }
        }
        all
    }

    /// Makes its package, and with a server its tenant: with the Action `strict` attached in the flow `login`.
    pub fn lay_out(&self, planes: &Planes) -> Scene {
        let folder = tempfile::Builder::new().prefix("refusal").tempdir().unwrap();
        let package = folder.path().join("package");
        self.package(&package);
        let shown = |path: &Path| path.to_str().unwrap().to_owned();
        let mut names = vec![("{package}", shown(&package)), ("{folder}", shown(folder.path()))];
        let mut environment = variables(NOWHERE, NOWHERE, None);
        let mut cli = None;
        if self.server {
            let tenant = self.name.replace(['/', '_'], "-");
            environment = variables(&planes.control.url("control"), &planes.executor.url("executor"), Some(&tenant));
            for (path, text) in STRICT {
                write(&folder.path().join(path), text.as_bytes());
            }
            names.push(("{attachment}", attach_strict(&planes.cli(&tenant), &tenant, folder.path())));
            cli = Some(planes.cli(&tenant));
            names.push(("{tenant}", tenant));
        }
        let scene = Scene { folder, environment, names, cli };
        for arguments in (0..self.before_times).flat_map(|_| &self.before) {
            let ran = scene.run(arguments, &BTreeMap::new(), "", true);
            assert_eq!(ran.code, Some(0), "{}: {arguments:?}: {}{}", self.name, ran.out, ran.err);
        }
        scene
    }

    /// Runs its arguments, for scripts or for people.
    pub fn run(&self, scene: &Scene, json: bool) -> Ran {
        scene.run(&self.arguments, &self.environment, &self.standard_input, json)
    }

    /// Whether a publish of the same package must say the same.
    pub fn is_of_a_package(&self) -> bool {
        !self.server && self.cases.is_none() && self.arguments == ["test", "{package}"]
    }

    fn package(&self, folder: &Path) {
        let mut files: BTreeMap<&str, &str> = BASE.iter().copied().collect();
        for (path, text) in &self.files {
            files.insert(path, text);
        }
        files.retain(|_, text| !text.is_empty());
        fs::create_dir_all(folder).unwrap();
        for (path, text) in &files {
            write(&folder.join(path), text.as_bytes());
        }
        for wasm in &self.wasm {
            write(&folder.join(&wasm.path), &wasm.bytes());
        }
        for make in &self.make {
            for number in 0..make.count {
                make.make(&folder.join(make.path.replace("{n}", &number.to_string())), &files);
            }
        }
    }
}

impl Scene {
    /// A text with its placeholders replaced.
    pub fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Publishes the package to a tenant of these planes, for scripts, in the control plane's own words.
    pub fn publish(&self, planes: &Planes, tenant: &str) -> Ran {
        let environment = variables(&planes.control.url("control"), &planes.executor.url("executor"), Some(tenant));
        let arguments = ["action", "publish", "{package}", "--no-test", "--json"].map(|argument| self.fill(argument));
        ran(self.folder.path(), &arguments, &environment, "")
    }

    /// What the tenant has: its flows, the flow `login` and its Actions; nothing without a server.
    pub fn state(&self) -> Vec<Value> {
        let told = |arguments: &[&str]| {
            let output = self.cli.as_ref()?.raw(&[arguments, &["--json"]].concat());
            // A flow that a file has deleted is refused, before and after.
            Some(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
        };
        let asked: [&[&str]; 3] = [&["flow", "list"], &["flow", "show", "login"], &["action", "list"]];
        asked.into_iter().filter_map(told).collect()
    }

    fn run(&self, arguments: &[String], more: &BTreeMap<String, String>, input: &str, json: bool) -> Ran {
        let mut arguments: Vec<String> = arguments.iter().map(|argument| self.fill(argument)).collect();
        if json {
            arguments.push("--json".to_owned());
        }
        let environment: Vec<(String, String)> =
            self.environment.iter().cloned().chain(more.iter().map(|(k, v)| (k.clone(), v.clone()))).collect();
        ran(self.folder.path(), &arguments, &environment, input)
    }
}

impl Make {
    fn make(&self, path: &Path, files: &BTreeMap<&str, &str>) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match (&self.link, &self.archive) {
            (Some(to), _) => {
                let _was_there = fs::remove_file(path);
                symlink(to, path).unwrap();
            }
            _ if self.pipe => mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap(),
            _ if self.folder => fs::create_dir_all(path).unwrap(),
            (_, Some(entries)) => write(path, &self.pack(entries, files)),
            _ => write(path, &self.content()),
        }
    }

    fn content(&self) -> Vec<u8> {
        let mut content = self.before.clone().into_bytes();
        content.extend(bytes(&self.bytes_hex));
        if self.repeat.contains("{i}") {
            (0..self.times).for_each(|i| content.extend(self.repeat.replace("{i}", &i.to_string()).bytes()));
        } else {
            content.extend(self.repeat.repeat(self.times).bytes());
        }
        content.extend(self.after.bytes());
        content
    }

    fn pack(&self, entries: &[Entry], files: &BTreeMap<&str, &str>) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (path, text) in files.iter().filter(|_| self.with_package) {
            Entry { name: (*path).to_owned(), text: (*text).to_owned(), ..Entry::default() }.append(&mut archive);
        }
        entries.iter().for_each(|entry| entry.append(&mut archive));
        let mut packed = archive.into_inner().unwrap();
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            std::io::Write::write_all(&mut encoder, &packed).unwrap();
            packed = encoder.finish().unwrap();
        }
        packed.truncate(self.keep.unwrap_or(packed.len()));
        packed
    }
}

impl Entry {
    /// The header is written by hand: the library itself refuses to write what is to be refused.
    fn append(&self, archive: &mut Builder<Vec<u8>>) {
        let mut content = self.text.clone().into_bytes();
        content.resize(content.len() + self.zeros, 0);
        let name = if self.name_hex.is_empty() { self.name.clone().into_bytes() } else { bytes(&self.name_hex) };
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(&name);
        gnu.linkname[..self.link.len()].copy_from_slice(self.link.as_bytes());
        header.set_entry_type(match self.kind {
            Kind::File => EntryType::Regular,
            Kind::Hardlink => EntryType::Link,
            Kind::Symlink => EntryType::Symlink,
            Kind::Device => EntryType::Char,
            Kind::Dir => EntryType::Directory,
            Kind::Fifo => EntryType::Fifo,
        });
        header.set_size(self.declares.unwrap_or(content.len() as u64));
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, content.as_slice()).unwrap();
    }
}

/// Makes a tenant with the Action `strict` attached in the flow `login`; answers the attachment.
fn attach_strict(cli: &Cli, tenant: &str, folder: &Path) -> String {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    cli.run(&["tenant", "create", tenant]);
    cli.run(&["action", "publish", &path("strict")]);
    cli.run(&["flow", "create", "login"]);
    let attach = ["flow", "attach", "login", "--trigger", "post-login", "--action", "strict@1.0.0", "--config"];
    let attached = cli.run(&[attach.as_slice(), &[&path("one.json")]].concat());
    attached["attachment"].as_str().unwrap().to_owned()
}

fn variables(control: &str, executor: &str, tenant: Option<&str>) -> Vec<(String, String)> {
    let tenant = tenant.map(|tenant| ("SLUICE_TENANT", tenant));
    let all = [("SLUICE_CONTROL_URL", control), ("SLUICE_EXECUTOR_URL", executor)].into_iter().chain(tenant);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Runs the command line with these variables and none of this shell's own, for as long as anything may take. Its output goes
/// to files: a pipe that nobody reads would hold it up.
fn ran(folder: &Path, arguments: &[String], environment: &[(String, String)], input: &str) -> Ran {
    let path = |name: &str| folder.join(name);
    fs::write(path("in"), input).unwrap();
    let mut command = Command::new(binary("sluice"));
    for name in ["SLUICE_CONTROL_URL", "SLUICE_EXECUTOR_URL", "SLUICE_TENANT", "SLUICE_TOKEN", "SLUICE_PROFILE"] {
        command.env_remove(name);
    }
    // Whoever runs the test may have profiles.
    command.env("XDG_CONFIG_HOME", folder);
    let mut child = command
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(File::open(path("in")).unwrap()))
        .stdout(Stdio::from(File::create(path("out")).unwrap()))
        .stderr(Stdio::from(File::create(path("err")).unwrap()))
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("sluice {}: does not end", arguments.join(" "));
        }
        pause();
    };
    let text = |name: &str| String::from_utf8_lossy(&fs::read(path(name)).unwrap()).into_owned();
    Ran { code: status.code(), out: text("out"), err: text("err") }
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Bytes that are written as hexadecimal digits, with spaces where they help.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}
