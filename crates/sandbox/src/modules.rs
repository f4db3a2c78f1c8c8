//! A bundle as the guest reads it; `crates/guest/src/modules.rs` has the layout.

use sluice_model::{Bundle, Failure, FailureReason};

/// The bundle's modules in one buffer. What cannot be loaded by its form alone is refused here.
pub(crate) fn for_guest(bundle: &Bundle) -> Result<Vec<u8>, Failure> {
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
        if module.path.contains('\0') {
            return Err(refused(&module.path, "the path of a module holds a zero character".into()));
        }
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
