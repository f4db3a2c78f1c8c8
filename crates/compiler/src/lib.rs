//! An Action package to a bundle.
//!
//! A [`Package`] is read from a folder, a `.tar.gz` or files in memory, and everything that it says about itself is checked on
//! the way: `action.toml`, the config schema, the test cases. [`compile`] turns its TypeScript or JavaScript into the ES
//! modules of a [`sluice_model::Bundle`], each with a source map: types are stripped, relative imports are resolved to exact
//! paths, and what the platform does not take is refused by name. All mistakes of a package are told at once, as
//! [`sluice_model::Diagnostic`]s.
//!
//! Compiling runs a parser over hostile text, and parsers can be made to overflow their stack. So servers and the command
//! line use [`compile_in_child`]: the same work in a child process of the same binary, with limits on memory, CPU time and
//! wall time. Every binary that does so calls [`run_child_if_asked`] first thing in its main.
//!
//! What is left to others: whether the module can be evaluated, whether `execute` works, and whether the cases pass. The
//! sandbox knows.

mod child;
mod compile;
mod package;

pub use child::{
    CHILD_COMMAND, ChildOptions, CompileError, compile_counting_in_child, compile_in_child, run_child_if_asked,
};
pub use compile::{
    compile,
    counters::{CountedLine, counted},
};
pub use package::{MAX_ARCHIVE_BYTES, MAX_FILE_BYTES, MAX_FILES, MAX_PACKAGE_BYTES, MAX_UNPACKED_BYTES, Package};
