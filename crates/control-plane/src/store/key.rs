//! Keys that keep tenants, and kinds of rows, apart.
//!
//! A key is a row of parts. A text part is its bytes, with 0x00 escaped as 0x00 0xFF, ended by 0x00 0x01; a number is eight bytes,
//! the highest first. So keys sort as their parts do, and no text is a prefix of another: scanning tenant `acme` never
//! meets `acme-2`. Every key starts with its space: `p` and a kind for the platform's rows, `t`, the tenant and a kind for a
//! tenant's.

use sluice_model::Slug;
use std::fmt;

const END: [u8; 2] = [0x00, 0x01];
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xFF];

/// The key of a row, or a prefix of keys. Build it with [`Key::platform`] or [`Key::tenant`]; the parts that follow are the
/// caller's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// The platform's rows of a kind, e.g. `tenant` for the list of tenants.
    pub fn platform(kind: &str) -> Key {
        Key(Vec::with_capacity(32)).text("p").text(kind)
    }

    /// A tenant's rows of a kind, e.g. `flow`.
    pub fn tenant(tenant: &Slug, kind: &str) -> Key {
        Key::all_of(tenant).text(kind)
    }

    /// Everything of a tenant: a prefix, never a row.
    pub fn all_of(tenant: &Slug) -> Key {
        Key(Vec::with_capacity(64)).text("t").text(tenant.as_str())
    }

    /// The key with a part of text behind it.
    #[must_use]
    pub fn text(mut self, part: &str) -> Key {
        for byte in part.bytes() {
            match byte {
                0 => self.0.extend_from_slice(&ESCAPED_ZERO),
                byte => self.0.push(byte),
            }
        }
        self.0.extend_from_slice(&END);
        self
    }

    /// The key with a number behind it. Smaller numbers sort first.
    #[must_use]
    pub fn number(mut self, part: u64) -> Key {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    /// A key from bytes that [`Key::as_bytes`] gave, e.g. in a page token. Any bytes are taken: a token of a caller must be
    /// checked to begin with the prefix that the caller may read, as [`super::MetaStore::scan`] does.
    pub fn from_bytes(bytes: Vec<u8>) -> Key {
        Key(bytes)
    }

    /// Its bytes, in the order that keys sort by.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its parts, to be read in the order that they were added, the space first.
    pub fn parts(&self) -> KeyParts<'_> {
        KeyParts(&self.0)
    }

    /// What follows a prefix, or `None` where the key does not begin with it.
    pub fn parts_after(&self, prefix: &Key) -> Option<KeyParts<'_>> {
        self.0.strip_prefix(prefix.as_bytes()).map(KeyParts)
    }
}

/// Keys are for people in errors and logs: texts as they are, everything else in hexadecimal.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.0[..];
        let mut first = true;
        while !rest.is_empty() {
            if !first {
                f.write_str("/")?;
            }
            first = false;
            let mut parts = KeyParts(rest);
            match parts.text() {
                Some(text) if text.chars().all(|c| !c.is_control()) => {
                    f.write_str(&text)?;
                    rest = parts.0;
                }
                _ => match KeyParts(rest).number() {
                    Some(number) => {
                        write!(f, "{number}")?;
                        rest = &rest[8..];
                    }
                    None => {
                        for byte in rest {
                            write!(f, "{byte:02x}")?;
                        }
                        rest = &[];
                    }
                },
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Reads the parts of a key one after the other. Whoever made the key knows which are texts and which are numbers.
#[derive(Debug, Clone)]
pub struct KeyParts<'a>(&'a [u8]);

impl KeyParts<'_> {
    /// The next part as text, `None` where there is none.
    pub fn text(&mut self) -> Option<String> {
        let mut text = Vec::new();
        let mut at = 0;
        loop {
            match (self.0.get(at)?, self.0.get(at + 1)) {
                (0x00, Some(0x01)) => break,
                (0x00, Some(0xFF)) => {
                    text.push(0);
                    at += 2;
                }
                (0x00, _) => return None,
                (byte, _) => {
                    text.push(*byte);
                    at += 1;
                }
            }
        }
        let text = String::from_utf8(text).ok()?;
        self.0 = &self.0[at + END.len()..];
        Some(text)
    }

    /// The next part as a number, `None` where there are no eight bytes left.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    /// Whether every part was read.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
