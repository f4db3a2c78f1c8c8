//! What a component may be: looked at before anything is compiled, so that a refusal names what is wrong.

use sluice_model::limits::MAX_COMPONENT_BYTES;
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures};

/// WASI's packages that are linked; they hold nothing.
const WASI: [&str; 5] = ["wasi:cli", "wasi:io", "wasi:clocks", "wasi:random", "wasi:filesystem"];

/// Interfaces of ours.
const OWN: [&str; 6] = ["types", "log", "http", "secrets", "counters", "kv"];

/// The versions of the package `sluice:action` whose components run on this platform, as `major.minor`.
const RELEASED: [(u64, u64); 1] = [(1, 0)];

/// The part that costs nothing: size, and what kind of file it is.
pub(crate) fn check_head(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        let (is, most) = (bytes.len() as f64 / f64::from(1 << 20), MAX_COMPONENT_BYTES >> 20);
        return Err(format!("the component has {is:.1} MiB; at most {most} MiB are taken"));
    }
    check_header(bytes)
}

/// Looks at a component's bytes: form, size, imports and exports by name. Types are compared when it is compiled.
///
/// # Errors
/// What is wrong, for the author.
pub fn check_component(bytes: &[u8]) -> Result<(), String> {
    check_head(bytes)?;
    let mut validator = Validator::new_with_features(features());
    validator.validate_all(bytes).map_err(|error| {
        format!("the component is damaged, or uses what is not taken: {} (at byte {})", error.message(), error.offset())
    })?;
    let (imports, exports) = names(bytes)?;
    for import in imports {
        check_import(&import)?;
    }
    if exports.iter().any(|name| name == "execute") {
        return Ok(());
    }
    let found = match exports.as_slice() {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let help = if exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        "; it is a command: build a library of the world sluice:action/action"
    } else {
        ""
    };
    Err(format!("the component exports {found}, and no function execute{help}"))
}

/// What a component may use: what the components of today's tool chains do.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::COMPONENT_MODEL | WasmFeatures::EXTENDED_CONST | WasmFeatures::TAIL_CALL
}

/// The first eight bytes say which of four things it is.
fn check_header(bytes: &[u8]) -> Result<(), String> {
    let Some((head, _)) = bytes.split_first_chunk::<8>() else {
        return Err("the file is no WebAssembly: it has fewer than 8 bytes".into());
    };
    let [b'\0', b'a', b's', b'm', version, 0, layer, 0] = head else {
        return Err("the file is no WebAssembly: it does not begin as one".into());
    };
    match (layer, version) {
        (1, 0x0d) => Ok(()),
        (0, 1) => Err("the file is a core module, and no component: make one of it with the component tools of your \
                       language, such as wasm-tools component new"
            .into()),
        (1, old) => Err(format!(
            "the component is of an older form of the component model (version {old:#04x}); 0x0d is taken: build it with a \
             newer tool chain"
        )),
        _ => Err("the file is of a form of WebAssembly that is not known".into()),
    }
}

/// The names of what the outermost component imports and exports.
fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(|error| error.to_string())?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    if matches!(export.kind, ComponentExternalKind::Func | ComponentExternalKind::Instance) {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn check_import(import: &str) -> Result<(), String> {
    let (package, rest) = import.split_once('/').unwrap_or((import, ""));
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    if package == "sluice:action" {
        return check_own(import, interface, version);
    }
    if WASI.contains(&package) {
        return match version.split('.').collect::<Vec<_>>().as_slice() {
            ["0", "2", _] => Ok(()),
            _ => Err(format!("the component imports {import}; of WASI, 0.2 is taken")),
        };
    }
    let instead = match package {
        "wasi:sockets" => ": there are no sockets; sluice:action/http sends requests",
        "wasi:http" => ": sluice:action/http sends requests, to hosts that action.toml declares",
        "wasi:keyvalue" => ": sluice:action/kv keeps values",
        "wasi:config" => ": the config is in the input, and secrets are in sluice:action/secrets",
        "wasi:logging" => ": sluice:action/log writes to the run's log",
        _ => "",
    };
    Err(format!("the component imports {import}, which Actions do not have{instead}"))
}

fn check_own(import: &str, interface: &str, version: &str) -> Result<(), String> {
    if !OWN.contains(&interface) {
        return Err(format!("the component imports {import}; sluice:action has {}", OWN.join(", ")));
    }
    let is_ours =
        |version: semver::Version| version.pre.is_empty() && RELEASED.contains(&(version.major, version.minor));
    if semver::Version::parse(version).is_ok_and(is_ours) {
        return Ok(());
    }
    let ours: Vec<String> = RELEASED.iter().map(|(major, minor)| format!("{major}.{minor}")).collect();
    Err(format!("the component imports {import}; this platform has sluice:action {}", ours.join(", ")))
}
