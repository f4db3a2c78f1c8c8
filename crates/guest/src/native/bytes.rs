//! Bytes: text and its encodings, digests, random numbers.

use super::{Arguments, buffer, scalars};
use crate::host;
use crate::js::{self, Thrown, Value};
use alloc::string::String;
use alloc::vec::Vec;
use digest::{Digest, FixedOutput, KeyInit, Update};
use hmac::{Mac, SimpleHmac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

/// `encode(text)`: UTF-8.
pub(super) fn encode(arguments: &Arguments) -> Result<Value, Thrown> {
    let text = arguments.text(0)?;
    match text.strict() {
        Some(text) => buffer(text.as_bytes()),
        None => buffer(scalars(&text).as_bytes()),
    }
}

/// `decode(encoding, buffer, offset, length, fatal)`: text, or undefined where it is malformed and that is fatal.
pub(super) fn decode(arguments: &Arguments) -> Result<Value, Thrown> {
    let encoding = arguments.scalars(0)?;
    let (bytes, fatal) = (arguments.bytes(1)?, arguments.is_true(4));
    let text = match encoding.as_str() {
        "utf-8" => match core::str::from_utf8(bytes) {
            Ok(text) => return Value::text(text.as_bytes()),
            Err(_) => (!fatal).then(|| String::from_utf8_lossy(bytes).into_owned()),
        },
        "utf-16le" => utf16(bytes, u16::from_le_bytes, fatal),
        "utf-16be" => utf16(bytes, u16::from_be_bytes, fatal),
        "windows-1252" => Some(bytes.iter().map(|byte| windows_1252(*byte)).collect()),
        _ => return Err(js::throw("an encoding that is not known")),
    };
    text.map_or(Ok(Value::UNDEFINED), |text| Value::text(text.as_bytes()))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, fatal: bool) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks();
    let mut text = String::with_capacity(bytes.len());
    for scalar in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match scalar {
            Ok(scalar) => text.push(scalar),
            Err(_) if fatal => return None,
            Err(_) => text.push('\u{fffd}'),
        }
    }
    if !rest.is_empty() {
        if fatal {
            return None;
        }
        text.push('\u{fffd}');
    }
    Some(text)
}

/// The Encoding Standard's index of windows-1252: that of Latin-1 but for 0x80 to 0x9f.
fn windows_1252(byte: u8) -> char {
    const UPPER: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => UPPER[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// `digest(algorithm, buffer, offset, length)`.
pub(super) fn digest(arguments: &Arguments) -> Result<Value, Thrown> {
    let algorithm = arguments.scalars(0)?;
    let bytes = arguments.bytes(1)?;
    match algorithm.as_str() {
        "SHA-1" => buffer(&Sha1::digest(bytes)),
        "SHA-256" => buffer(&Sha256::digest(bytes)),
        "SHA-384" => buffer(&Sha384::digest(bytes)),
        "SHA-512" => buffer(&Sha512::digest(bytes)),
        _ => Err(unknown()),
    }
}

/// `hmac(algorithm, key, offset, length, buffer, offset, length)`.
pub(super) fn hmac(arguments: &Arguments) -> Result<Value, Thrown> {
    fn mac<D: Digest + digest::core_api::BlockSizeUser>(key: &[u8], bytes: &[u8]) -> Vec<u8>
    where
        SimpleHmac<D>: Mac + KeyInit + Update + FixedOutput,
    {
        // A key of any length will do.
        let Ok(mut mac) = <SimpleHmac<D> as KeyInit>::new_from_slice(key) else { core::arch::wasm32::unreachable() };
        Update::update(&mut mac, bytes);
        mac.finalize_fixed().to_vec()
    }
    let algorithm = arguments.scalars(0)?;
    let (key, bytes) = (arguments.bytes(1)?, arguments.bytes(4)?);
    match algorithm.as_str() {
        "SHA-1" => buffer(&mac::<Sha1>(key, bytes)),
        "SHA-256" => buffer(&mac::<Sha256>(key, bytes)),
        "SHA-384" => buffer(&mac::<Sha384>(key, bytes)),
        "SHA-512" => buffer(&mac::<Sha512>(key, bytes)),
        _ => Err(unknown()),
    }
}

fn unknown() -> Thrown {
    js::throw("a digest that is not known")
}

/// `equal(buffer, offset, length, buffer, offset, length)`: it takes as long whatever the bytes are.
pub(super) fn equal(arguments: &Arguments) -> Result<Value, Thrown> {
    let (one, other) = (arguments.bytes(0)?, arguments.bytes(3)?);
    let different = one.iter().zip(other).fold(0, |different, (a, b)| different | (a ^ b));
    Ok(Value::truth(one.len() == other.len() && core::hint::black_box(different) == 0))
}

/// `entropy(buffer, offset, length)`: fills it; false where there is none to have.
pub(super) fn entropy(arguments: &Arguments) -> Result<Value, Thrown> {
    let (at, len) = arguments.place(0)?;
    // SAFETY: the place is in a buffer that an argument holds, and nothing else looks at it now.
    Ok(Value::truth(host::entropy(unsafe { core::slice::from_raw_parts_mut(at, len) })))
}
