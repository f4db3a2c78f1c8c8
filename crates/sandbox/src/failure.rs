//! Turns what the guest says of a failure into the author's terms: his own file, line and column.

mod absent;

use serde_json::{Map, Value};
use sluice_model::{Bundle, Failure, FailureReason, LogLine};

/// The most of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// The most of a stack, in bytes.
const MAX_STACK_BYTES: usize = 8 << 10;

/// The modules of a snapshot, to find the author's places. Source maps stay compressed until something fails.
#[derive(Debug)]
pub(crate) struct Places {
    entry: Box<str>,
    modules: Box<[ModulePlaces]>,
}

#[derive(Debug)]
struct ModulePlaces {
    path: Box<str>,
    /// The source map, compressed; empty where lines are the author's already.
    map: Box<[u8]>,
}

/// A place in the author's file, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: String,
    line: u32,
    column: u32,
}

impl Places {
    pub(crate) fn new(bundle: &Bundle) -> Places {
        let modules = bundle.modules.iter().map(|module| {
            let map = if module.source_map.is_empty() {
                Vec::new()
            } else {
                // Compressing to memory fails only without memory; then lines stay those of the compiled code.
                zstd::bulk::compress(module.source_map.as_bytes(), zstd::DEFAULT_COMPRESSION_LEVEL).unwrap_or_default()
            };
            ModulePlaces { path: module.path.as_str().into(), map: map.into() }
        });
        Places { entry: bundle.entry.as_str().into(), modules: modules.collect() }
    }

    pub(crate) fn entry(&self) -> &str {
        &self.entry
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.entry.len()
            + size_of_val(&*self.modules)
            + self.modules.iter().map(|m| m.path.len() + m.map.len()).sum::<usize>()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = |bytes: &[u8]| {
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        bytes(self.entry.as_bytes());
        bytes(&u32::try_from(self.modules.len()).unwrap_or(u32::MAX).to_le_bytes());
        for module in &self.modules {
            bytes(module.path.as_bytes());
            bytes(&module.map);
        }
    }

    /// Reads what [`Places::write`] wrote, and answers what follows it.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Places, &[u8])> {
        let mut rest = bytes;
        let mut next = || -> Option<&[u8]> {
            let (len, tail) = rest.split_first_chunk()?;
            let (bytes, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = tail;
            Some(bytes)
        };
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Box::from);
        let entry = text(next()?)?;
        let count = u32::from_le_bytes(next()?.try_into().ok()?);
        let mut modules = Vec::new();
        for _ in 0..count {
            modules.push(ModulePlaces { path: text(next()?)?, map: next()?.into() });
        }
        Some((Places { entry, modules: modules.into() }, rest))
    }

    /// The lines of a log with the places of stacks, which the console prints as the compiled code's, as the author's. Frames
    /// of the platform's own scripts are left out.
    pub(crate) fn in_logs(&self, mut logs: Vec<LogLine>) -> Vec<LogLine> {
        let mut finder = Finder::new(self);
        for line in logs.iter_mut().filter(|line| line.text.contains(FRAME)) {
            let mut text = String::with_capacity(line.text.len());
            for (number, part) in line.text.split('\n').enumerate() {
                let is_frame = number > 0 && part.trim_start().starts_with("at ") && part.starts_with(FRAME_INDENT);
                if is_frame && is_of_scripts(part) {
                    continue;
                }
                if number > 0 {
                    text.push('\n');
                }
                match Frame::parse(part, &mut finder).filter(|frame| is_frame && frame.place.is_some()) {
                    Some(frame) => {
                        // In a group it stands further in.
                        text.push_str(&part[..part.len() - part.trim_start().len()]);
                        text.push_str(&frame.to_string());
                    }
                    None => text.push_str(part),
                }
            }
            line.text = text;
        }
        logs
    }
}

/// How far a frame of a stack stands in, at least.
const FRAME_INDENT: &str = "    ";
const FRAME: &str = "    at ";

/// Whether a line of a stack is a frame of a script of the web's APIs, whose names in `base.rs` no module can have.
fn is_of_scripts(line: &str) -> bool {
    line.contains("(:web/") || line.trim_start().starts_with("at :web/")
}

/// Finds places; a source map is read once.
struct Finder<'p> {
    places: &'p Places,
    read: Vec<(&'p str, Option<sourcemap::SourceMap>)>,
}

impl<'p> Finder<'p> {
    fn new(places: &'p Places) -> Finder<'p> {
        Finder { places, read: Vec::new() }
    }

    /// The author's place of a place in compiled code; nothing for a file that is no module of the bundle. A module that was
    /// itself made of others, by a bundler that left its source map, has the places of those.
    fn find(&mut self, file: &str, line: u32, column: u32) -> Option<Place> {
        let module = self.places.modules.iter().find(|module| &*module.path == file)?;
        let place = |file: &str, line, column| Place { file: file.to_owned(), line, column };
        if module.map.is_empty() {
            return Some(place(file, line, column));
        }
        let at = match self.read.iter().position(|(path, _)| *path == &*module.path) {
            Some(at) => at,
            None => {
                self.read.push((&module.path, module.source_map()));
                self.read.len() - 1
            }
        };
        // Source maps count from 0.
        let map = self.read.get(at).and_then(|(_, map)| map.as_ref());
        let token = map.and_then(|map| map.lookup_token(line.checked_sub(1)?, column.checked_sub(1)?));
        Some(token.map_or_else(
            || place(file, line, column),
            |t| place(t.get_source().unwrap_or(file), t.get_src_line() + 1, t.get_src_col() + 1),
        ))
    }
}

impl ModulePlaces {
    fn source_map(&self) -> Option<sourcemap::SourceMap> {
        // A map has 1 MiB of code at most behind it.
        const MAX_MAP_BYTES: usize = 32 << 20;
        let map = zstd::bulk::decompress(&self.map, MAX_MAP_BYTES).ok()?;
        sourcemap::SourceMap::from_slice(&map).ok()
    }
}

/// A failure from what the guest tells of something thrown.
pub(crate) fn thrown(reason: FailureReason, record: &Value, places: &Places) -> Failure {
    let mut failure = Failure::new(reason, cut(&message(record), MAX_MESSAGE_BYTES));
    let Some(stack) = record.get("stack").and_then(Value::as_str) else { return failure };
    let (mut shown, mut finder) = (String::new(), Finder::new(places));
    for frame in stack.lines().filter_map(|line| Frame::parse(line, &mut finder)) {
        if let Some(place) = frame.place.as_ref().filter(|_| failure.file.is_none()) {
            failure.file = Some(place.file.clone());
            failure.line = Some(place.line);
            failure.column = Some(place.column);
        }
        let line = frame.to_string();
        if shown.len() + line.len() >= MAX_STACK_BYTES {
            break;
        }
        if !shown.is_empty() {
            shown.push('\n');
        }
        shown.push_str(&line);
    }
    failure.stack = (!shown.is_empty()).then_some(shown);
    failure
}

/// `TypeError: x is not a function`; or what was thrown, where it was no Error.
fn message(record: &Value) -> String {
    let text = |key| record.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("name"), text("message"), text("value")) {
        (Some(name), Some(message), _) => match absent::hint(message).filter(|_| name == "ReferenceError") {
            Some(hint) => format!("{name}: {message} ({hint})"),
            None => format!("{name}: {message}"),
        },
        (Some(name), None, _) => name.to_owned(),
        (None, Some(message), _) => message.to_owned(),
        (None, None, Some(value)) => format!("threw {value}, which is no Error"),
        (None, None, None) if record.as_object().is_some_and(Map::is_empty) => "threw null, which is no Error".into(),
        (None, None, None) => "threw an Error without a message".into(),
    }
}

/// Whether the guest tells of an error that it makes when memory is out: its own, or none where not even that could be made.
pub(crate) fn is_out_of_memory(record: &Value) -> bool {
    let text = |key| record.get(key).and_then(Value::as_str);
    record.as_object().is_some_and(Map::is_empty) || text("message") == Some("out of memory")
}

/// A line of the engine's stack: `    at name (file:line:column)`.
struct Frame<'a> {
    name: &'a str,
    /// Nothing for a function of the engine's own.
    place: Option<Place>,
}

impl<'a> Frame<'a> {
    /// Frames of neither the bundle nor the language are left out.
    fn parse(line: &'a str, places: &mut Finder<'_>) -> Option<Frame<'a>> {
        let rest = line.trim().strip_prefix("at ")?;
        let (name, at) = match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
            Some((name, at)) => (name, at),
            None => ("", rest),
        };
        if at == "native" {
            return Some(Frame { name, place: None });
        }
        let mut parts = at.rsplitn(3, ':');
        let (column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
        let place = places.find(file, line.parse().ok()?, column.parse().ok()?)?;
        Some(Frame { name, place: Some(place) })
    }
}

impl std::fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.place, self.name) {
            (None, name) => write!(f, "at {name} (native)"),
            (Some(p), "") => write!(f, "at {}:{}:{}", p.file, p.line, p.column),
            (Some(p), name) => write!(f, "at {name} ({}:{}:{})", p.file, p.line, p.column),
        }
    }
}

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mark = "…";
    format!("{}{mark}", &text[..text.floor_char_boundary(max - mark.len())])
}

#[cfg(test)]
mod tests;
