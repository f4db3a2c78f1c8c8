//! A bundle as the guest reads it; `crates/guest/src/modules.rs` has the layout.

use sluice_model::{Bundle, Failure, FailureReason, manifest::check_path};

/// The bundle's modules in one buffer. What cannot be loaded by its form alone is refused here.
pub(crate) fn for_guest(bundle: &Bundle) -> Result<Vec<u8>, Failure> {
    for module in &bundle.modules {
        // Others are the engine's own.
        if let Err(wrong) = check_path(&module.path) {
            return Err(refused(&module.path, format!("the path of a module {wrong}")));
        }
    }
    packed(bundle)
}

/// The same, of a bundle of this crate's own.
pub(crate) fn packed(bundle: &Bundle) -> Result<Vec<u8>, Failure> {
    let entry = bundle.modules.iter().position(|module| module.path == bundle.entry);
    let Some(entry) = entry else {
        return Err(refused(
            &bundle.entry,
            format!("the bundle has no module {:?}, which it names as its entry", bundle.entry),
        ));
    };
    let mut out = Vec::with_capacity(bundle.code_bytes() + 64 * bundle.modules.len());
    number(&mut out, entry);
    number(&mut out, bundle.modules.len());
    for module in &bundle.modules {
        for text in [&module.path, &module.code] {
            number(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
    }
    Ok(out)
}

fn refused(path: &str, message: String) -> Failure {
    Failure { file: Some(path.to_owned()), ..Failure::new(FailureReason::Threw, message) }
}

/// A number of the layout. What u32 cannot hold is refused long before, by the limit on bundles.
fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}
