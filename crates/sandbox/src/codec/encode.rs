//! Values to the guest.

use super::{KEY_NUMBERS, known_number, wire};
use serde_json::{Number, Value};
use sluice_model::{Input, Invalid};

/// The largest encoded input, in bytes. What the service accepts (input, state, config and the host's own part) is far
/// below it in any form; the bound keeps the guest's memory for the Action.
const MAX_ENCODED_BYTES: usize = 4 << 20;

/// A value in the form that the guest reads, made once and usable for several runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedInput(Vec<u8>);

impl EncodedInput {
    /// Encodes the input of a run.
    ///
    /// # Errors
    /// With the pointer to what is nested more than 128 deep, to a number that is not finite, or none where the whole is
    /// more than 4 MiB.
    pub fn new(input: &Input) -> Result<EncodedInput, Invalid> {
        let mut encoder = Encoder::new();
        super::input::write(&mut encoder, input)?;
        encoder.finish()
    }

    /// Encodes any JSON value: for tests, benches and the tools of authors. `execute` gets it as it is.
    ///
    /// # Errors
    /// As [`EncodedInput::new`].
    pub fn from_json(value: &Value) -> Result<EncodedInput, Invalid> {
        let mut encoder = Encoder::new();
        encoder.value(value)?;
        encoder.finish()
    }

    /// The same as JSON text: what a component is given.
    pub(crate) fn to_json(&self) -> Option<String> {
        serde_json::to_string(&super::decode::decode(&self.0, usize::MAX).ok()?).ok()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes tagged values one after another.
pub(crate) struct Encoder {
    out: Vec<u8>,
    depth: usize,
}

impl Encoder {
    pub(crate) fn new() -> Encoder {
        Encoder { out: Vec::with_capacity(4 << 10), depth: 0 }
    }

    /// For a few small values.
    pub(crate) fn small() -> Encoder {
        Encoder { out: Vec::with_capacity(64), depth: 0 }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn finish(self) -> Result<EncodedInput, Invalid> {
        if self.out.len() > MAX_ENCODED_BYTES {
            return Err(Invalid::here(format!("larger than {} MiB", MAX_ENCODED_BYTES >> 20)));
        }
        Ok(EncodedInput(self.out))
    }

    pub(crate) fn null(&mut self) {
        self.out.push(wire::NULL);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.out.push(if value { wire::TRUE } else { wire::FALSE });
    }

    pub(crate) fn u64(&mut self, value: u64) {
        match i32::try_from(value) {
            Ok(int) => self.int(int),
            // The nearest double, as JSON.parse would read it.
            Err(_) => self.double(value as f64),
        }
    }

    fn i64(&mut self, value: i64) {
        match i32::try_from(value) {
            Ok(int) => self.int(int),
            Err(_) => self.double(value as f64),
        }
    }

    fn int(&mut self, value: i32) {
        self.out.push(wire::INT);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn double(&mut self, value: f64) {
        self.out.push(wire::DOUBLE);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A number; one value has one form, so an integer in a double goes as an integer.
    pub(crate) fn f64(&mut self, value: f64) -> Result<(), Invalid> {
        if !value.is_finite() {
            return Err(Invalid::here("expected a finite number"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "the comparison below finds what was cut")]
        let int = value as i32;
        // Comparing bits keeps -0, which no integer is.
        if f64::from(int).to_bits() == value.to_bits() {
            self.int(int);
        } else {
            self.double(value);
        }
        Ok(())
    }

    fn number(&mut self, number: &Number) -> Result<(), Invalid> {
        if let Some(value) = number.as_u64() {
            self.u64(value);
        } else if let Some(value) = number.as_i64() {
            self.i64(value);
        } else {
            self.f64(number.as_f64().unwrap_or(f64::NAN))?;
        }
        Ok(())
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.out.push(wire::TEXT);
        self.bytes(text);
    }

    fn bytes(&mut self, text: &str) {
        self.len(text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A length. One that u32 cannot hold is far above [`MAX_ENCODED_BYTES`], so what follows is never read.
    fn len(&mut self, len: usize) {
        self.out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// Begins an array; its elements follow.
    pub(crate) fn array<T>(
        &mut self,
        items: &[T],
        mut write: impl FnMut(&mut Encoder, &T) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.deeper()?;
        self.out.push(wire::ARRAY);
        self.len(items.len());
        for (index, item) in items.iter().enumerate() {
            write(self, item).map_err(|e| e.under(&format!("/{index}")))?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// An object; `write` adds its fields.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Fields<'_>) -> Result<(), Invalid>) -> Result<(), Invalid> {
        self.deeper()?;
        self.out.push(wire::OBJECT);
        let count_at = self.out.len();
        self.len(0);
        let mut fields = Fields { encoder: self, count: 0 };
        write(&mut fields)?;
        let count = fields.count;
        if let Some(place) = self.out.get_mut(count_at..count_at + 4) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Invalid> {
        if self.depth == wire::MAX_DEPTH {
            return Err(Invalid::here(format!("nested more than {} deep", wire::MAX_DEPTH)));
        }
        self.depth += 1;
        Ok(())
    }

    /// Any JSON value.
    pub(crate) fn value(&mut self, value: &Value) -> Result<(), Invalid> {
        match value {
            Value::Null => self.null(),
            Value::Bool(flag) => self.bool(*flag),
            Value::Number(number) => self.number(number)?,
            Value::String(text) => self.text(text),
            Value::Array(items) => self.array(items, Encoder::value)?,
            Value::Object(map) => self.map(map)?,
        }
        Ok(())
    }

    /// A JSON object.
    pub(crate) fn map(&mut self, map: &sluice_model::Object) -> Result<(), Invalid> {
        self.object(|fields| {
            for (key, value) in map {
                fields.field(Key::of(key), |e| e.value(value))?;
            }
            Ok(())
        })
    }
}

/// A key and its number in the table of known keys, [`wire::KEY_INLINE`] where it has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    name: &'a str,
    number: u16,
}

impl<'a> Key<'a> {
    /// Any key, such as one of a tenant's metadata.
    pub(crate) fn of(name: &'a str) -> Key<'a> {
        Key { name, number: KEY_NUMBERS.get(name).copied().unwrap_or(wire::KEY_INLINE) }
    }

    /// A key of the platform's own; see [`key!`].
    pub(crate) const fn known(name: &'static str) -> Key<'static> {
        Key { name, number: known_number(name) }
    }
}

/// A key of the platform's own, looked up while this is compiled: an input has some seventy of them.
macro_rules! key {
    ($name:literal) => {
        const { $crate::codec::encode::Key::known($name) }
    };
}
pub(crate) use key;

/// The fields of an object that is being written.
pub(crate) struct Fields<'a> {
    encoder: &'a mut Encoder,
    count: u32,
}

impl Fields<'_> {
    /// A field. Keys are distinct, as the callers' maps and structs have it.
    pub(crate) fn field(
        &mut self,
        key: Key<'_>,
        write: impl FnOnce(&mut Encoder) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.key(key);
        write(self.encoder).map_err(|e| e.under(&format!("/{}", key.name.replace('~', "~0").replace('/', "~1"))))
    }

    fn key(&mut self, key: Key<'_>) {
        self.count += 1;
        self.encoder.out.extend_from_slice(&key.number.to_le_bytes());
        if key.number == wire::KEY_INLINE {
            self.encoder.bytes(key.name);
        }
    }

    pub(crate) fn text(&mut self, key: Key<'_>, text: &str) {
        self.key(key);
        self.encoder.text(text);
    }

    /// A text that is absent where it is `None`.
    pub(crate) fn optional(&mut self, key: Key<'_>, text: Option<&String>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(crate) fn bool(&mut self, key: Key<'_>, value: bool) {
        self.key(key);
        self.encoder.bool(value);
    }

    pub(crate) fn u64(&mut self, key: Key<'_>, value: u64) {
        self.key(key);
        self.encoder.u64(value);
    }

    pub(crate) fn null(&mut self, key: Key<'_>) {
        self.key(key);
        self.encoder.null();
    }

    pub(crate) fn texts(&mut self, key: Key<'_>, texts: &[String]) -> Result<(), Invalid> {
        self.list(key, texts, |e, text| {
            e.text(text);
            Ok(())
        })
    }

    pub(crate) fn list<T>(
        &mut self,
        key: Key<'_>,
        items: &[T],
        write: impl FnMut(&mut Encoder, &T) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.field(key, |e| e.array(items, write))
    }

    pub(crate) fn object(
        &mut self,
        key: Key<'_>,
        write: impl FnOnce(&mut Fields<'_>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.field(key, |e| e.object(write))
    }

    pub(crate) fn map(&mut self, key: Key<'_>, map: &sluice_model::Object) -> Result<(), Invalid> {
        self.field(key, |e| e.map(map))
    }
}
