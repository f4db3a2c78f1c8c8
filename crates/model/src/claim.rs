//! Claims: which names no Action may write, and how much of a token they may fill.
//!
//! The HOST checks these for every Action, so that none can pass them by.

use crate::{Object, decode::words, outcome::Claim};
use caseless::Caseless;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;
/// All claims of one outcome, as compact JSON members.
pub const MAX_ACTION_BYTES: usize = 4 << 10;
/// All claims that a slot adds to one token, as compact JSON members.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;

/// Registered and protocol claims. Source: TEMPLATES "decorate-token".
const RESERVED: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "nonce",
    "azp",
    "acr",
    "amr",
    "auth_time",
    "at_hash",
    "c_hash",
    "s_hash",
    "sid",
    "act",
    "may_act",
    "cnf",
    "client_id",
    "scope",
    "scp",
    "typ",
    "kid",
    "jwk",
    "jku",
    "txn",
    "events",
    "token_use",
    "origin_jti",
    "gty",
    "org_id",
    "org_name",
    "authorization_details",
    "vot",
    "vtm",
    "sub_jwk",
    "x5t#s256",
    "email_verified",
    "phone_number_verified",
    "__proto__",
    "constructor",
    "prototype",
];

/// The platform's own prefixes.
const RESERVED_PREFIXES: &[&str] = &["sluice_", "urn:sluice:"];

words! {
    /// Where an Action wants a claim.
    ClaimTarget {
        /// The ID token.
        Id = "id",
        /// The access token.
        Access = "access",
        /// Both: two claims.
        Both = "both",
    }
}

words! {
    /// A token that carries claims.
    ClaimToken {
        /// The ID token.
        Id = "id",
        /// The access token.
        Access = "access",
    }
}

impl ClaimTarget {
    /// The tokens that are meant.
    pub const fn tokens(self) -> &'static [ClaimToken] {
        match self {
            ClaimTarget::Id => &[ClaimToken::Id],
            ClaimTarget::Access => &[ClaimToken::Access],
            ClaimTarget::Both => &[ClaimToken::Id, ClaimToken::Access],
        }
    }
}

/// Whether an Action may write a claim of this name. The error says why not.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(format!("a claim's name has 1 to {MAX_NAME_BYTES} bytes"));
    }
    let odd = name.chars().find(|c| {
        !matches!(
            c.general_category_group(),
            GeneralCategoryGroup::Letter
                | GeneralCategoryGroup::Mark
                | GeneralCategoryGroup::Number
                | GeneralCategoryGroup::Punctuation
                | GeneralCategoryGroup::Symbol
        )
    });
    if let Some(odd) = odd {
        return Err(format!(
            "U+{:04X} cannot stand in a claim's name; letters, marks, numbers, punctuation and symbols can",
            u32::from(odd)
        ));
    }
    let folded = fold(name);
    if RESERVED.contains(&folded.as_str()) {
        return Err(format!("the claim {name:?} is reserved; no Action may write it"));
    }
    if RESERVED_PREFIXES.iter().any(|p| folded.starts_with(p)) {
        return Err(format!("the claim {name:?} has a prefix of the platform's own (sluice_, urn:sluice:)"));
    }
    Ok(())
}

/// A name as it is compared with reserved ones: NFKC, case folded, without what is not shown at all.
fn fold(name: &str) -> String {
    // An ASCII name, the usual case, is its own NFKC form.
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.nfkc().filter(|c| !is_default_ignorable(*c)).default_case_fold().nfkc().collect()
}

/// Code points that are shown as nothing though they are letters or marks (Unicode's Default_Ignorable_Code_Point,
/// without the format characters, which are refused before).
fn is_default_ignorable(c: char) -> bool {
    matches!(u32::from(c), 0x034F | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x3164 | 0xFE00..=0xFE0F
        | 0xFFA0 | 0xE0100..=0xE01EF)
}

/// The bytes of a claim as a member of a compact JSON object: `"name":value`.
pub fn member_bytes(name: &str, value: &Value) -> usize {
    json_bytes(&Value::String(name.to_owned())) + 1 + json_bytes(value)
}

/// The bytes of a value as compact UTF-8 JSON.
pub fn json_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing to a counter cannot fail, and a Value has only string keys.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// The bytes of an object as compact UTF-8 JSON.
pub fn object_bytes(object: &Object) -> usize {
    let members: usize = object.iter().map(|(k, v)| member_bytes(k, v)).sum();
    2 + members + object.len().saturating_sub(1)
}

/// Whether the claims of one outcome are within [`MAX_ACTION_BYTES`]. A claim for both tokens counts once.
pub(crate) fn check_action_size(claims: &[Claim]) -> Result<(), String> {
    let bytes: usize = claims.iter().map(|c| member_bytes(&c.name, &c.value)).sum();
    if bytes > MAX_ACTION_BYTES {
        return Err(format!("the claims have {bytes} bytes of JSON; an Action may add {MAX_ACTION_BYTES}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
