//! Lists the released templates: each version's own files, and the shared modules that it uses, as `src/shared/NAME.ts`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    println!("cargo::rerun-if-changed=released");
    println!("cargo::rerun-if-changed=shared");
    let mut table = String::from("const RELEASED: &[Template] = &[\n");
    for slug in sorted(Path::new("released"))? {
        for version in sorted(&slug)? {
            let files = files_of(&version)?;
            writeln!(table, "    Template {{ slug: {:?}, version: {:?}, files: &[", name(&slug), name(&version))?;
            for (path, file) in files {
                writeln!(table, "        ({path:?}, include_str!({:?})),", fs::canonicalize(file)?)?;
            }
            writeln!(table, "    ] }},")?;
        }
    }
    table.push_str("];\n");
    fs::write(Path::new(&std::env::var("OUT_DIR")?).join("released.rs"), table)?;
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sorted(folder: &Path) -> Done<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Done<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The files of a package, by their path in it.
fn files_of(version: &Path) -> Done<Vec<(String, PathBuf)>> {
    let mut files = vec![
        ("action.toml".to_owned(), version.join("action.toml")),
        ("schema.json".to_owned(), version.join("schema.json")),
    ];
    for source in sorted(&version.join("src"))? {
        files.push((format!("src/{}", name(&source)), source));
    }
    let shared: serde_json::Value = serde_json::from_str(&fs::read_to_string(version.join("shared.json"))?)?;
    let set = Path::new("shared").join(shared["set"].to_string());
    let mut open: Vec<String> =
        shared["modules"].as_array().into_iter().flatten().filter_map(|m| m.as_str().map(str::to_owned)).collect();
    let mut used = BTreeSet::new();
    while let Some(module) = open.pop() {
        let text = fs::read_to_string(set.join(format!("{module}.ts")))?;
        let imports = text
            .lines()
            .filter_map(|line| line.split_once("from './")?.1.split_once('\'').map(|(name, _)| name.to_owned()));
        if used.insert(module) {
            open.extend(imports);
        }
    }
    files.extend(used.into_iter().map(|module| (format!("src/shared/{module}.ts"), set.join(format!("{module}.ts")))));
    Ok(files)
}
