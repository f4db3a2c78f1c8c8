//! Compiles proto/ into Rust, without protoc, and keeps the descriptors for server reflection.

use protox::prost::Message as _;
use std::{env, error::Error, fs, path::Path};

/// Every file of the wire, in proto/.
const FILES: &[&str] = &[
    "sluice/types/v1/input.proto",
    "sluice/types/v1/outcome.proto",
    "sluice/types/v1/run.proto",
    "sluice/types/v1/flow.proto",
    "sluice/types/v1/version.proto",
    "sluice/types/v1/audit.proto",
    "sluice/control/v1/tenant.proto",
    "sluice/control/v1/catalog.proto",
    "sluice/control/v1/flow.proto",
    "sluice/control/v1/audit.proto",
    "sluice/control/v1/executor.proto",
    "sluice/control/v1/secret.proto",
    "sluice/control/v1/delivery.proto",
    "sluice/executor/v1/execution.proto",
    "sluice/distribution/v1/distribution.proto",
    "sluice/distribution/v1/audit_ingest.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root])?;
    // Comments become the documentation of the generated types; imports are what reflection needs to be complete.
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();

    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(Path::new(&out).join("sluice_descriptors.bin"), bare.encode_to_vec())?;

    tonic_prost_build::configure()
        // Sorted maps: what is digested, compared or printed is the same everywhere.
        .btree_map(".sluice")
        // Chunks of packages and bundles are passed on, not copied.
        .bytes(".sluice")
        // What has a secret in it says so, and nothing else: see src/secret.rs.
        .skip_debug([".sluice.control.v1.SetSecretRequest", ".sluice.distribution.v1.SecretState"])
        .codec_path("crate::codec::WholeCodec")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
