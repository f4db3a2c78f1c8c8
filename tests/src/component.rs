//! WebAssembly components for tests: made of a core module's text and the world of `proto/wit`, as every tool chain makes them in the
//! end. What a core module has to have beside its `execute` is [`PARTS`].

use std::path::{Path, PathBuf};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// What every module has: an allocator that only goes forward, and two ways to answer: `$answer` makes `ok(text)` of a place and a
/// length, `$fail` makes `err(text)`.
pub const PARTS: &str = r#"
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $room
      (loop $more
        (br_if $room (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
        (br $more)))
    (local.get $at))
  (func $answer (param i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (local.get 0))
    (i32.store (i32.const 24) (local.get 1))
    (i32.const 16))
  (func $fail (param i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (local.get 0))
    (i32.store (i32.const 24) (local.get 1))
    (i32.const 16))
"#;

/// A component of the world `action` whose `execute` has this body, with the input at `$in` and its length in `$len`; `texts` lie
/// at 1024, 2048 and so on in its memory.
pub fn component(imports: &str, texts: &[&str], body: &str) -> Vec<u8> {
    let data: String = texts.iter().zip((1024..).step_by(1024)).map(|(text, at)| place(at, text)).collect();
    let head = "(func $execute (export \"execute\") (param $in i32) (param $len i32) (result i32)";
    encoded(&format!("(module\n{imports}\n{PARTS}\n{data}\n  {head}\n{body}))"), "action")
}

/// A text in a module's memory.
pub fn place(at: u32, text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("  (data (i32.const {at}) \"{bytes}\")\n")
}

/// A component of a core module's text and a world.
pub fn encoded(text: &str, world: &str) -> Vec<u8> {
    let mut core = wat::parse_str(text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(wit()).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().validate(true).encode().unwrap()
}

/// WebAssembly in text, as it is.
pub fn assembled(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The folder of the world.
fn wit() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|folder| folder.join("proto/wit")).find(|folder| folder.is_dir()).unwrap()
}
