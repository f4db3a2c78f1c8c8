//! Builds `crates/guest`, the JavaScript engine, for wasm32-unknown-unknown, and hands its path on as `SLUICE_ENGINE_WASM`.
//!
//! It is another target with another profile, so another cargo builds it, in a target folder of its own that is named
//! after the hash of its sources: a source that was built once is never built again, whatever else changes.
//!
//! - `SLUICE_ENGINE=FILE` takes a finished engine instead, for machines without a C compiler for wasm.
//! - `CC_wasm32_unknown_unknown` names the C compiler; otherwise any clang from 16 on that knows the target is taken.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const TARGET: &str = "wasm32-unknown-unknown";
/// The stack of the guest. Scripts may use half of it (`MAX_SCRIPT_STACK` in crates/guest/src/state.rs). More would cost each run
/// for the pages that resetting its memory looks through.
const STACK_BYTES: usize = 512 << 10;
const OLDEST_CLANG: u32 = 16;
const NEWEST_CLANG: u32 = 22;

fn main() {
    if let Err(message) = build() {
        // The one line that a person should see; cargo shows it as the error of this build script.
        println!("cargo::error={message}");
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=SLUICE_ENGINE");
    println!("cargo::rerun-if-env-changed=CC_wasm32_unknown_unknown");
    println!("cargo::rerun-if-env-changed=AR_wasm32_unknown_unknown");
    if let Some(file) = env::var_os("SLUICE_ENGINE") {
        let file = fs::canonicalize(&file).map_err(|e| format!("SLUICE_ENGINE={}: {e}", file.display()))?;
        println!("cargo::rerun-if-changed={}", file.display());
        return hand_on(&file);
    }
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let guest = here.parent().ok_or("crates/sandbox has no parent folder")?.join("guest");
    // What the engine is made of; `wire.rs` is shared with the host.
    let sources = [
        guest.join("Cargo.toml"),
        guest.join("Cargo.lock"),
        guest.join("src"),
        here.join("src/codec/wire.rs"),
        here.join("build.rs"),
    ];
    let mut hasher = blake3::Hasher::new();
    for source in &sources {
        println!("cargo::rerun-if-changed={}", source.display());
        hash(source, &mut hasher).map_err(|e| format!("{}: {e}", source.display()))?;
    }
    let compiler = Compiler::find()?;
    hasher.update(compiler.version.as_bytes());
    let out = PathBuf::from(variable("OUT_DIR")?).join(format!("engine-{}", &hasher.finalize().to_hex()[..16]));
    let engine = out.join(TARGET).join("release/engine.wasm");
    if !engine.exists() {
        compile(&guest, &out, &compiler)?;
    }
    hand_on(&engine)
}

fn hand_on(engine: &Path) -> Result<(), String> {
    let engine = engine.to_str().ok_or("the path of the engine is not UTF-8")?;
    println!("cargo::rustc-env=SLUICE_ENGINE_WASM={engine}");
    Ok(())
}

fn compile(guest: &Path, out: &Path, compiler: &Compiler) -> Result<(), String> {
    check_target()?;
    // Paths of this machine must not reach the bytes, or two machines build two engines.
    let cargo_home = cargo_home();
    let mut c_flags = vec![format!("-ffile-prefix-map={}=.", cargo_home.display())];
    // Has the engine take every block from the heap that it is given, where it would else keep pages of blocks of one size: a
    // run would write to one of each size. It has no other meaning in its sources; see crates/guest/src/heap.rs.
    c_flags.push("-D__SANITIZE_ADDRESS__".into());
    c_flags.extend([format!("-ffile-prefix-map={}=.", out.display()), "-mbulk-memory".into(), "-msimd128".into()]);
    let rust_flags = [
        "-Clink-arg=--import-memory".to_string(),
        format!("-Clink-arg=-zstack-size={STACK_BYTES}"),
        "-Ctarget-feature=+bulk-memory,+simd128".into(),
        format!("--remap-path-prefix={}=guest", guest.display()),
        format!("--remap-path-prefix={}=.", cargo_home.display()),
    ];
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(guest)
        .args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--target-dir"])
        .arg(out)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\x1f"))
        .env("CFLAGS_wasm32_unknown_unknown", c_flags.join(" "))
        .env("CC_wasm32_unknown_unknown", &compiler.cc)
        .env("AR_wasm32_unknown_unknown", &compiler.ar);
    // What cargo sets for this build script is about another target and another profile.
    for inherited in [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_MAKEFLAGS",
    ] {
        cargo.env_remove(inherited);
    }
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_FEATURE_") || name.starts_with("CARGO_CFG_") {
            cargo.env_remove(&*name);
        }
    }
    let output = cargo.output().map_err(|e| format!("cannot start cargo for crates/guest: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    // A folder half built would be taken for whole only if the engine stood in it, which it does not.
    let said = String::from_utf8_lossy(&output.stderr);
    // Cargo shows it with the error.
    io::stderr().write_all(said.as_bytes()).map_err(|e| e.to_string())?;
    let first = said.lines().find(|l| l.contains("error")).unwrap_or("see above");
    Err(format!("crates/guest did not build: {first}"))
}

/// The C compiler and archiver for wasm.
struct Compiler {
    cc: String,
    ar: String,
    version: String,
}

impl Compiler {
    fn find() -> Result<Compiler, String> {
        if let Ok(cc) = env::var("CC_wasm32_unknown_unknown") {
            let ar = env::var("AR_wasm32_unknown_unknown").unwrap_or_else(|_| archiver(&cc));
            let version =
                knows_wasm(&cc).ok_or_else(|| format!("CC_wasm32_unknown_unknown={cc} has no wasm32 target"))?;
            return Ok(Compiler { cc, ar, version });
        }
        // The version that this repository is tested with comes first.
        let named = std::iter::once(19).chain((OLDEST_CLANG..=NEWEST_CLANG).rev()).map(|n| format!("clang-{n}"));
        for cc in named.chain(["clang".to_string()]) {
            if let Some(version) = knows_wasm(&cc) {
                let ar = env::var("AR_wasm32_unknown_unknown").unwrap_or_else(|_| archiver(&cc));
                return Ok(Compiler { cc, ar, version });
            }
        }
        Err(format!(
            "no C compiler for wasm found (clang {OLDEST_CLANG} or newer with the wasm32 target): \
             apt-get install clang-19 lld-19 llvm-19, or set SLUICE_ENGINE to a finished engine"
        ))
    }
}

/// `llvm-ar-19` for `clang-19`.
fn archiver(cc: &str) -> String {
    let versioned = cc.replace("clang", "llvm-ar");
    if runs(&versioned) { versioned } else { "llvm-ar".into() }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

/// The version of a clang that is new enough and compiles for wasm.
fn knows_wasm(cc: &str) -> Option<String> {
    let targets = Command::new(cc).arg("--print-targets").output().ok()?;
    let version = Command::new(cc).arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).lines().next()?.to_owned();
    let major: u32 = version.split("version ").nth(1)?.split('.').next()?.parse().ok()?;
    let wasm = String::from_utf8_lossy(&targets.stdout).contains("wasm32");
    (targets.status.success() && wasm && major >= OLDEST_CLANG).then_some(version)
}

fn check_target() -> Result<(), String> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let folder = output.map_err(|e| format!("cannot start rustc: {e}"))?.stdout;
    if Path::new(String::from_utf8_lossy(&folder).trim()).exists() {
        return Ok(());
    }
    Err(format!("the Rust target {TARGET} is not installed: rustup target add {TARGET}"))
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn hash(path: &Path, hasher: &mut blake3::Hasher) -> io::Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| hash(entry, hasher));
    }
    hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    let bytes = fs::read(path)?;
    hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(&bytes);
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}
