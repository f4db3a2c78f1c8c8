//! Values from the guest. An Action may have corrupted its guest, so every byte is checked, and everything is bounded.

use super::{KEY_NAMES, wire};
use serde_json::{Map, Number, Value};
use sluice_model::Invalid;

/// Why there is no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The value is larger than allowed, at the pointer.
    TooLarge(Invalid),
    /// These are no tagged values.
    Corrupt,
}

/// Reads one value that is at most `max_json_bytes` as compact UTF-8 JSON.
pub(crate) fn decode(bytes: &[u8], max_json_bytes: usize) -> Result<Value, DecodeError> {
    let mut decoder = Decoder { rest: bytes, room: max_json_bytes, max: max_json_bytes, path: Vec::new() };
    let value = decoder.value()?;
    if decoder.rest.is_empty() { Ok(value) } else { Err(DecodeError::Corrupt) }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

struct Decoder<'a> {
    rest: &'a [u8],
    /// Bytes of JSON that may still come.
    room: usize,
    max: usize,
    path: Vec<Step<'a>>,
}

impl<'a> Decoder<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Corrupt)?;
        self.rest = rest;
        Ok(*head)
    }

    fn len(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| DecodeError::Corrupt)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.len()?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Corrupt)?;
        self.rest = rest;
        std::str::from_utf8(head).map_err(|_| DecodeError::Corrupt)
    }

    /// Counts bytes of JSON.
    fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                Ok(())
            }
            None => Err(DecodeError::TooLarge(Invalid::at(self.pointer(), size_message(self.max)))),
        }
    }

    fn pointer(&self) -> String {
        let step = |step: &Step<'_>| match step {
            Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        };
        self.path.iter().map(step).collect()
    }

    fn value(&mut self) -> Result<Value, DecodeError> {
        if self.path.len() > wire::MAX_DEPTH {
            return Err(DecodeError::Corrupt);
        }
        let [tag] = self.array()?;
        Ok(match tag {
            wire::NULL => {
                self.take(4)?;
                Value::Null
            }
            wire::TRUE => {
                self.take(4)?;
                Value::Bool(true)
            }
            wire::FALSE => {
                self.take(5)?;
                Value::Bool(false)
            }
            wire::INT => {
                let number = i32::from_le_bytes(self.array()?);
                self.number(number.into())?
            }
            wire::DOUBLE => {
                let number = number(f64::from_le_bytes(self.array()?)).ok_or(DecodeError::Corrupt)?;
                self.number(number)?
            }
            wire::TEXT => {
                let text = self.text()?;
                self.take(json_text_len(text))?;
                Value::String(text.to_owned())
            }
            wire::ARRAY => self.elements()?,
            wire::OBJECT => self.object()?,
            _ => return Err(DecodeError::Corrupt),
        })
    }

    fn number(&mut self, number: Number) -> Result<Value, DecodeError> {
        self.take(match number.as_i64() {
            Some(n) => n.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1 + usize::from(n < 0),
            None => number.to_string().len(),
        })?;
        Ok(Value::Number(number))
    }

    fn elements(&mut self) -> Result<Value, DecodeError> {
        let count = self.len()?;
        // Brackets and the commas between.
        self.take(2 + count.saturating_sub(1))?;
        let mut items = Vec::with_capacity(count.min(self.rest.len()));
        for index in 0..count {
            self.path.push(Step::Index(index));
            items.push(self.value()?);
            self.path.pop();
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Result<Value, DecodeError> {
        let count = self.len()?;
        self.take(2 + count.saturating_sub(1))?;
        let mut map = Map::new();
        for _ in 0..count {
            let key = match u16::from_le_bytes(self.array()?) {
                wire::KEY_INLINE => self.text()?,
                number => *KEY_NAMES.get(usize::from(number)).ok_or(DecodeError::Corrupt)?,
            };
            self.path.push(Step::Key(key));
            // The key, and its colon.
            self.take(json_text_len(key) + 1)?;
            let value = self.value()?;
            self.path.pop();
            if map.insert(key.to_owned(), value).is_some() {
                return Err(DecodeError::Corrupt);
            }
        }
        Ok(Value::Object(map))
    }
}

/// `the outcome is larger than 64 KiB of JSON`.
fn size_message(max: usize) -> String {
    format!("the outcome is larger than {} KiB of JSON", max >> 10)
}

/// A double as JSON has it: an integer without a fraction where it is one, so that `5` stays `5`. -0 stays -0.
fn number(value: f64) -> Option<Number> {
    // 2^63: below it every whole double is an i64 exactly.
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    let whole = value.fract() == 0.0 && value.abs() < I64_END && !(value == 0.0 && value.is_sign_negative());
    if whole {
        #[allow(clippy::cast_possible_truncation, reason = "whole and in range, as checked")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// The length of a text as JSON, quotes included; as serde_json escapes it.
fn json_text_len(text: &str) -> usize {
    let escapes = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    };
    2 + text.len() + text.bytes().map(escapes).sum::<usize>()
}
