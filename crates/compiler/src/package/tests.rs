#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::{fs, io::Write, path::Path};
use tar::{Builder, EntryType, Header};

const MANIFEST: &str = "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\n";
const INDEX: &str = "export const execute = () => ({ kind: 'continue' })\n";

fn files(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let base = [("action.toml", MANIFEST), ("src/index.ts", INDEX)];
    let kept = base.iter().filter(|(path, _)| more.iter().all(|(other, _)| other != path));
    kept.chain(more).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn package(more: &[(&str, &str)]) -> Package {
    Package::from_files(files(more)).unwrap()
}

fn mistakes(more: &[(&str, &str)]) -> Vec<String> {
    Package::from_files(files(more)).unwrap_err().iter().map(ToString::to_string).collect()
}

fn entry(archive: &mut Builder<GzEncoder<Vec<u8>>>, kind: EntryType, path: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    // Written by hand: the library itself refuses to write what it should refuse to read.
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    if kind.is_symlink() || kind.is_hard_link() {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    archive.append(&header, bytes).unwrap();
}

/// An archive of a sound package and these entries.
fn archive(prefix: &str, entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, text) in [("action.toml", MANIFEST), ("src/index.ts", INDEX)] {
        entry(&mut archive, EntryType::Regular, &format!("{prefix}{path}"), text.as_bytes());
    }
    for (kind, path, bytes) in entries {
        entry(&mut archive, *kind, path, bytes);
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn archive_mistakes(bytes: &[u8]) -> Vec<String> {
    Package::from_archive(bytes).unwrap_err().iter().map(ToString::to_string).collect()
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let full = folder.join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(full, bytes).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "action.toml", MANIFEST.as_bytes());
    write(folder.path(), "src/index.ts", INDEX.as_bytes());
    folder
}

#[test]
fn a_folder_and_an_archive_of_it_are_the_same_package() {
    let folder = folder();
    write(folder.path(), "src/lib/x.ts", b"export {}");
    write(folder.path(), "schema.json", br#"{"type": "object"}"#);
    write(
        folder.path(),
        "tests/a.json",
        br#"{"name": "a", "trigger": "post-login", "input": {}, "expect": {"outcome": {}}}"#,
    );
    for other in
        ["README.md", "tsconfig.json", "node_modules/x/index.js", "src/.hidden.ts", "src/notes.md", "package.json"]
    {
        write(folder.path(), other, b"\xff not text");
    }
    let read = Package::from_dir(folder.path()).unwrap();
    let paths: Vec<&str> = read.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["action.toml", "schema.json", "src/index.ts", "src/lib/x.ts", "tests/a.json"]);
    assert!(read.schema.is_some());
    assert_eq!(read.cases[0].1[0].name, "a");
    assert_eq!(Package::from_archive(&read.to_archive()).unwrap(), read);
    assert_eq!(read.to_archive(), Package::from_archive(&read.to_archive()).unwrap().to_archive());
}

#[test]
fn an_archive_may_hold_everything_in_one_folder() {
    for prefix in ["", "./", "my-action/"] {
        let read = Package::from_archive(&archive(prefix, &[])).unwrap();
        assert_eq!(read.files.len(), 2, "{prefix}");
    }
}

#[test]
fn the_digest_is_of_what_makes_a_version() {
    let base = package(&[]).content_digest();
    assert_eq!(base.len(), 64);
    let same: [&[(&str, &str)]; 4] = [
        &[(
            "action.toml",
            "version = \"3.0.0\"\nname='A'\nslug=\"a\" # spaces and comments\ntriggers = [\"post-login\"]",
        )],
        &[("tests/a.json", r#"{"name": "a", "trigger": "post-login", "input": {}, "expect": {"outcome": {}}}"#)],
        &[("tsconfig.json", "{}")],
        &[("README.md", "x")],
    ];
    for more in same {
        assert_eq!(package(more).content_digest(), base, "{more:?}");
    }
    let other: [&[(&str, &str)]; 5] = [
        &[("action.toml", "slug = \"a\"\nname = \"B\"\ntriggers = [\"post-login\"]")],
        &[("action.toml", "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\n[limits]\ncpu_ms = 51")],
        &[("src/index.ts", "export const execute = () => ({ kind: 'continue' })")],
        &[("src/unused.ts", "")],
        &[("schema.json", r#"{"type": "object"}"#)],
    ];
    for more in other {
        assert_ne!(package(more).content_digest(), base, "{more:?}");
    }
}

#[test]
fn the_mistakes_of_all_files_are_told_at_once() {
    let found = mistakes(&[
        ("action.toml", "slug = \"a\"\nnam = \"A\"\ntriggers = [\"post-login\"]\nschema = \"other.json\""),
        ("other.json", "{\n  \"type\": \"array\"}"),
        ("tests/a.json", "[]]"),
        ("tests/b.json", r#"{"name": 1}"#),
    ]);
    assert_eq!(
        found,
        [
            "action.toml: error: \"name\" is missing",
            "action.toml:2:1: error: /nam: unknown key \"nam\"",
            "tests/a.json:1:3: error: not JSON: trailing characters",
            "tests/b.json:1:2: error: /name: expected a string, got a number",
        ]
    );
    let found = mistakes(&[
        ("action.toml", "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\nschema = \"other.json\""),
        ("other.json", "{\n  \"type\": \"array\"}"),
    ]);
    assert_eq!(
        found,
        ["other.json:2:3: error: /type: a config is an object: the top level takes \"type\": \"object\""]
    );
}

#[test]
fn what_the_manifest_names_must_be_there() {
    let manifest = |line: &str| format!("{MANIFEST}{line}\n");
    let text = manifest("schema = \"config/schema.json\"");
    assert_eq!(
        mistakes(&[("action.toml", &text)]),
        ["action.toml:4:10: error: /schema: the schema config/schema.json is not in the package"]
    );
    let missing = package(&[("action.toml", &manifest("entry = \"src/main.ts\""))]).entry().unwrap_err();
    assert_eq!(missing.to_string(), "action.toml:4:9: error: /entry: the entry src/main.ts is not in the package");
    assert!(missing.help.unwrap().contains("the package has src/index.ts"));
    let text = manifest("component = \"x.wasm\"");
    assert_eq!(
        mistakes(&[("action.toml", &text)]),
        ["action.toml:4:13: error: /component: the component x.wasm is not in the package"]
    );
    let component = package(&[("action.toml", &text), ("x.wasm", "\0asm"), ("other.wasm", "")]);
    assert_eq!(component.component.as_deref(), Some(b"\0asm".as_slice()));
    assert_eq!((component.sources().count(), component.files.len()), (0, 1), "what lies in src is not this Action's");
    assert_eq!(component.entry().unwrap_err().message, "is a WebAssembly component, and has no module of JavaScript");
    assert_eq!(Package::from_archive(&component.to_archive()).unwrap(), component);
    let other = package(&[("action.toml", &text), ("x.wasm", "\0ASM")]);
    assert_ne!(component.content_digest(), other.content_digest());
    let nothing = Package::from_files([("action.toml".to_owned(), MANIFEST.to_owned())]).unwrap().entry().unwrap_err();
    assert_eq!(nothing.message, "the package has neither src/index.ts nor src/index.js");
}

#[test]
fn the_entry_names_the_folder_of_the_sources() {
    let text = format!("{MANIFEST}entry = \"dist/index.js\"\n");
    let read = package(&[("action.toml", &text), ("dist/index.js", INDEX)]);
    assert_eq!(read.entry().unwrap(), "dist/index.js");
    assert_eq!(read.sources().map(|(path, _)| path).collect::<Vec<_>>(), ["dist/index.js"]);
    assert_eq!(package(&[("src/index.js", "")]).entry().unwrap(), "src/index.ts");
}

#[test]
fn a_case_at_another_trigger_is_refused() {
    let case = r#"[{"name": "a", "trigger": "pre-login", "input": {}, "expect": {"outcome": {}}}]"#;
    assert_eq!(
        mistakes(&[("tests/a.json", case)]),
        ["tests/a.json:1:16: error: /0/trigger: pre-login is not among the triggers of action.toml"]
    );
}

#[test]
fn a_package_needs_a_manifest() {
    let found = Package::from_files([("src/index.ts".to_owned(), INDEX.to_owned())]).unwrap_err();
    assert_eq!(found[0].to_string(), "error: the package has no action.toml");
    let nowhere = Package::from_dir(Path::new("/nonexistent/package")).unwrap_err();
    assert!(nowhere[0].message.contains("cannot read the folder"), "{}", nowhere[0]);
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for (path, says) in [
        ("/etc/index.ts", "is absolute"),
        ("../index.ts", "part that is . or .."),
        ("src/../../x.ts", "part that is . or .."),
        ("src//x.ts", "has an empty part"),
        ("src\\x.ts", "has a backslash"),
        ("C:/x.ts", "has a backslash, a colon"),
        ("src/x\u{7}.ts", "control character"),
        ("src./x.ts", "ends in a dot or a space"),
    ] {
        let found = archive_mistakes(&archive("", &[(EntryType::Regular, path, b"")]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(says) && !found[0].contains('\u{7}'), "{path:?}: {found:?}");
    }
}

#[test]
fn links_and_devices_are_refused_in_archives() {
    for (kind, says) in [
        (EntryType::Symlink, "is a link; a package has only files and folders"),
        (EntryType::Link, "is a link"),
        (EntryType::Char, "is a device or a pipe"),
        (EntryType::Block, "is a device or a pipe"),
        (EntryType::Fifo, "is a device or a pipe"),
        (EntryType::new(b'V'), "is neither a plain file nor a folder"),
    ] {
        let found = archive_mistakes(&archive("", &[(kind, "src/x.ts", b"")]));
        assert!(found.iter().any(|f| f.starts_with("src/x.ts: error: ") && f.contains(says)), "{kind:?}: {found:?}");
    }
}

#[test]
#[cfg(unix)]
fn links_are_refused_in_folders() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.ts", b"export const secret = 'hunter2'");
    for link in ["src/x.ts", "src/lib", "schema.json", "tests/a.json"] {
        let folder = folder();
        fs::create_dir_all(folder.path().join("tests")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.ts"), folder.path().join(link)).unwrap();
        let found = Package::from_dir(folder.path()).unwrap_err();
        assert_eq!(found[0].to_string(), format!("{link}: error: is a link; a package has only files and folders"));
    }
    let folder = folder();
    fs::remove_dir_all(folder.path().join("src")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("src")).unwrap();
    assert_eq!(Package::from_dir(folder.path()).unwrap_err()[0].code, "link");
}

#[test]
fn paths_that_differ_by_case_alone_are_refused() {
    let found = mistakes(&[("src/Index.ts", "")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("by case alone"), "{found:?}");
    let twice = archive("", &[(EntryType::Regular, "src/index.ts", b"")]);
    assert_eq!(archive_mistakes(&twice), ["src/index.ts: error: the file is in the package twice"]);
}

#[test]
fn what_is_no_text_is_told_with_its_place() {
    let found =
        Package::from_archive(&archive("", &[(EntryType::Regular, "src/x.ts", b"let a\nlet \xff")])).unwrap_err();
    assert_eq!(found[0].to_string(), "src/x.ts:2:5: error: not UTF-8: byte 11 of the file is not part of a character");
    let folder = folder();
    write(folder.path(), "action.toml", b"slug = \"\xff\"");
    let found = Package::from_dir(folder.path()).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "action.toml:1:9: error: not UTF-8: byte 9 of the file is not part of a character"
    );
}

#[test]
fn a_byte_order_mark_is_dropped() {
    let read = package(&[("action.toml", &format!("\u{feff}{MANIFEST}"))]);
    assert!(read.files["action.toml"].starts_with("slug"));
}

#[test]
fn sizes_and_counts_are_bounded() {
    let large = "x".repeat(5 << 20);
    assert_eq!(mistakes(&[("src/x.ts", &large)]), ["src/x.ts: error: the file has over 1048576 bytes"]);
    let folder = folder();
    write(folder.path(), "src/x.ts", large.as_bytes());
    assert_eq!(Package::from_dir(folder.path()).unwrap_err()[0].message, "the file has over 1048576 bytes");

    let text = format!("{MANIFEST}component = \"build/x.wasm\"\n");
    write(folder.path(), "action.toml", text.as_bytes());
    write(folder.path(), "build/x.wasm", large.as_bytes());
    assert_eq!(Package::from_dir(folder.path()).unwrap().component.unwrap().len(), large.len());
    let larger = vec![b'x'; (24 << 20) + 1];
    write(folder.path(), "build/x.wasm", &larger);
    assert_eq!(Package::from_dir(folder.path()).unwrap_err()[0].message, "the component has over 25165824 bytes");
    let packed =
        archive("", &[(EntryType::Regular, "build/x.wasm", &larger), (EntryType::Regular, "src/a.ts", &larger)]);
    assert_eq!(archive_mistakes(&packed), ["build/x.wasm: error: the component has over 25165824 bytes"]);

    let names: Vec<String> = (0..600).map(|i| format!("src/f{i}.ts")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(mistakes(&many), ["error: the package has over 500 files"]);

    let megabyte = "x".repeat(1 << 20);
    let five: Vec<(&str, &str)> = names[..5].iter().map(|name| (name.as_str(), megabyte.as_str())).collect();
    assert_eq!(mistakes(&five), ["error: the package has over 4194304 bytes"]);
}

#[test]
fn an_archive_that_unpacks_without_end_is_not_unpacked() {
    let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
    let mut header = Header::new_gnu();
    header.set_path("README").unwrap();
    header.set_size(4 << 30);
    header.set_cksum();
    zeros.write_all(header.as_bytes()).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..200 {
        zeros.write_all(&block).unwrap();
    }
    let bomb = zeros.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let found = archive_mistakes(&bomb);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("the archive unpacks to over 41943040 bytes"), "{found:?}");
}

#[test]
fn what_is_no_archive_is_refused() {
    for (bytes, says) in [
        (b"".as_slice(), "not a .tar.gz: the file is empty"),
        (b"PK\x03\x04 not this one", "not a .tar.gz; `tar czf package.tar.gz my-action` makes one"),
        (&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], "the archive is cut short"),
    ] {
        let found = archive_mistakes(bytes);
        assert!(found[0].contains(says), "{found:?}");
    }
    let whole = archive("", &[]);
    assert!(Package::from_archive(&whole[..whole.len() / 2]).is_err());
    assert!(archive_mistakes(&vec![0; 29 << 20])[0].contains("at most 29360128 are taken"));
}
