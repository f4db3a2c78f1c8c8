//! Rewrites the engine's wasm: the memory that it imports becomes one of its own, with other contents.
//!
//! This is how a base image is made (Wizer's way): code, types, tables and globals stay as they are, byte by byte; the data
//! segments are replaced by a picture of the memory, and the start function, which would clear it, is dropped.

use wasm_encoder as encode;
use wasmparser::{DataKind, ExternalKind, Operator, Parser, Payload, TypeRef};

/// The size of a wasm page.
pub(crate) const PAGE_BYTES: usize = 64 << 10;

/// The engine is not built as this host needs it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// It is no wasm that the parser knows.
    #[error("the engine is no valid wasm: {0}")]
    Wasm(#[from] wasmparser::BinaryReaderError),
    /// It is built with something that a picture of its memory would lose.
    #[error("the engine is not built as expected: {0}")]
    Shape(&'static str),
}

/// What the memory is to hold.
pub(crate) enum Contents<'a> {
    /// What the engine itself puts there, start function included.
    Own,
    /// A picture of a whole memory; its length is a multiple of [`PAGE_BYTES`].
    Picture(&'a [u8]),
}

/// What is known of the engine before it runs.
pub(crate) struct Facts {
    /// Pages that it asks for.
    pub(crate) min_pages: u64,
    /// Where its stack begins; it grows down from there to 0.
    pub(crate) stack_top: usize,
}

/// Reads the facts, and refuses an engine that keeps state where no picture would show it.
pub(crate) fn facts(wasm: &[u8]) -> Result<Facts, RewriteError> {
    let (mut min_pages, mut stack_top, mut mutable) = (None, None, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Memory(memory) => min_pages = Some(memory.initial),
                        TypeRef::Func(_) => {}
                        _ => return Err(RewriteError::Shape("it imports more than functions and a memory")),
                    }
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global?;
                    if global.ty.mutable {
                        mutable += 1;
                        if let Operator::I32Const { value } = global.init_expr.get_operators_reader().read()? {
                            stack_top = usize::try_from(value).ok();
                        }
                    }
                }
            }
            _ => {}
        }
    }
    match (min_pages, stack_top, mutable) {
        // The stack pointer stands where it stood whenever no call is running, so a picture needs no globals.
        (Some(min_pages), Some(stack_top), 1) => Ok(Facts { min_pages, stack_top }),
        (None, ..) => Err(RewriteError::Shape("it does not import its memory")),
        _ => Err(RewriteError::Shape("its only mutable global has to be the stack pointer")),
    }
}

/// The engine with a memory of its own of `min_pages` to `max_pages`, exported as `memory`.
pub(crate) fn rewrite(
    wasm: &[u8],
    min_pages: u64,
    max_pages: u64,
    contents: &Contents<'_>,
) -> Result<Vec<u8>, RewriteError> {
    let mut module = encode::Module::new();
    let mut data = encode::DataSection::new();
    let copy = |module: &mut encode::Module, id: encode::SectionId, range: std::ops::Range<usize>| {
        let data = wasm.get(range).unwrap_or_default();
        module.section(&encode::RawSection { id: id as u8, data });
    };
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { .. } | Payload::CodeSectionEntry(_) | Payload::End(_) => {}
            Payload::TypeSection(s) => copy(&mut module, encode::SectionId::Type, s.range()),
            Payload::ImportSection(s) => {
                module.section(&functions_only(s)?);
            }
            Payload::FunctionSection(s) => copy(&mut module, encode::SectionId::Function, s.range()),
            Payload::TableSection(s) => {
                copy(&mut module, encode::SectionId::Table, s.range());
                module.section(&memory(min_pages, max_pages));
            }
            Payload::GlobalSection(s) => copy(&mut module, encode::SectionId::Global, s.range()),
            Payload::ExportSection(s) => {
                module.section(&exports(s)?);
            }
            Payload::StartSection { func, .. } => {
                if matches!(contents, Contents::Own) {
                    module.section(&encode::StartSection { function_index: func });
                }
            }
            Payload::ElementSection(s) => copy(&mut module, encode::SectionId::Element, s.range()),
            Payload::CodeSectionStart { range, .. } => copy(&mut module, encode::SectionId::Code, range),
            Payload::DataSection(s) => match contents {
                Contents::Own => {
                    for segment in s {
                        let segment = segment?;
                        let DataKind::Active { memory_index: 0, offset_expr } = segment.kind else {
                            return Err(RewriteError::Shape("it has data segments that are not active"));
                        };
                        let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
                            return Err(RewriteError::Shape("a data segment's place is no constant"));
                        };
                        data.active(0, &encode::ConstExpr::i32_const(value), segment.data.iter().copied());
                    }
                }
                Contents::Picture(picture) => {
                    for (offset, bytes) in filled_pages(picture) {
                        let offset =
                            i32::try_from(offset).map_err(|_| RewriteError::Shape("the picture is too large"))?;
                        data.active(0, &encode::ConstExpr::i32_const(offset), bytes.iter().copied());
                    }
                }
            },
            // Names and the like; nothing runs by them.
            Payload::CustomSection(_) => {}
            _ => return Err(RewriteError::Shape("it has a section that a rewrite would lose")),
        }
    }
    module.section(&data);
    Ok(module.finish())
}

fn functions_only(section: wasmparser::ImportSectionReader<'_>) -> Result<encode::ImportSection, RewriteError> {
    let mut imports = encode::ImportSection::new();
    for import in section.into_imports() {
        let import = import?;
        match import.ty {
            TypeRef::Func(kind) => {
                imports.import(import.module, import.name, encode::EntityType::Function(kind));
            }
            TypeRef::Memory(_) => {}
            _ => return Err(RewriteError::Shape("it imports more than functions and a memory")),
        }
    }
    Ok(imports)
}

fn memory(minimum: u64, maximum: u64) -> encode::MemorySection {
    let mut section = encode::MemorySection::new();
    section.memory(encode::MemoryType {
        minimum,
        maximum: Some(maximum),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    section
}

fn exports(section: wasmparser::ExportSectionReader<'_>) -> Result<encode::ExportSection, RewriteError> {
    let mut exports = encode::ExportSection::new();
    exports.export("memory", encode::ExportKind::Memory, 0);
    for export in section {
        let export = export?;
        // Only functions are called; what else the linker exports (its own addresses) nobody needs.
        if export.kind == ExternalKind::Func {
            exports.export(export.name, encode::ExportKind::Func, export.index);
        }
    }
    Ok(exports)
}

/// Runs of host pages that are not all zero, with their offsets.
fn filled_pages(picture: &[u8]) -> Vec<(usize, &[u8])> {
    const HOST_PAGE_BYTES: usize = 4096;
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, page) in picture.chunks(HOST_PAGE_BYTES).enumerate() {
        if page.iter().all(|byte| *byte == 0) {
            continue;
        }
        let start = index * HOST_PAGE_BYTES;
        match runs.last_mut() {
            Some(run) if run.end == start => run.end += page.len(),
            _ => runs.push(start..start + page.len()),
        }
    }
    runs.into_iter().map(|run| (run.start, picture.get(run).unwrap_or_default())).collect()
}
