//! Compiling in a child process with limits.
//!
//! The child is the same binary, started with [`CHILD_COMMAND`] as its only argument and an empty environment. It gets the
//! sources on its standard input, limits itself before it reads them, and writes to its standard output: a line for each file that
//! it begins with ([`BEGINS`] and the path), then one frame, which is its answer: [`MAGIC`], the length of what follows (8
//! bytes, little endian), and JSON. Whatever else happens to it (a signal, another exit status, no whole frame) is a mistake of
//! the package, told as one diagnostic at the file that it was at; only what is the machine's fault (no process can be
//! started) is not.

mod inside;

use crate::{
    Package,
    compile::{Compiled, Sources, counters::CountedLine},
};
use sluice_model::{Bundle, Diagnostic};
use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

pub use inside::run_child_if_asked;

/// The hidden subcommand of every binary that compiles.
pub const CHILD_COMMAND: &str = "__compile";

/// What a line begins with that names a file.
const BEGINS: &[u8] = b"file ";
/// The first bytes of an answer.
const MAGIC: &[u8; 8] = b"sluice\x01\n";
/// The most that a child may answer: source maps and the JSON's quoting take their part.
const MAX_ANSWER_BYTES: u64 = 32 << 20;
/// How long is waited for what a child said that has been ended: it is all written already.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the child may use, and which binary it is.
#[derive(Clone, Debug)]
pub struct ChildOptions {
    /// A binary that calls [`run_child_if_asked`] first thing in its main.
    pub program: PathBuf,
    /// Address space, in bytes. The binary's own code and the parser's stack count too; below 256 MiB nothing may start.
    pub memory_bytes: u64,
    /// CPU time, in seconds.
    pub cpu_s: u64,
    /// Time by the clock, from the start of the process to its answer.
    pub wall: Duration,
}

impl ChildOptions {
    /// 1 GiB of address space, 5 s of CPU time, 10 s by the clock: a thousand times what a large package takes.
    pub fn new(program: impl Into<PathBuf>) -> ChildOptions {
        ChildOptions { program: program.into(), memory_bytes: 1 << 30, cpu_s: 5, wall: Duration::from_secs(10) }
    }

    /// The running binary with the limits of [`ChildOptions::new`].
    ///
    /// # Errors
    /// The system does not say which binary this is.
    pub fn this_program() -> io::Result<ChildOptions> {
        std::env::current_exe().map(ChildOptions::new)
    }
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The package is at fault: all its mistakes, sorted. A compiler that ran out of its limits is one of them.
    #[error("the package has {} mistakes, the first: {}", .0.len(), .0.first().map_or(String::new(), ToString::to_string))]
    Refused(Vec<Diagnostic>),
    /// The machine is at fault: the child could not be started or waited for. Trying again may help.
    #[error("cannot run the compiler: {0}")]
    Unavailable(#[from] io::Error),
}

/// Compiles a package in a child process. Blocks for the few milliseconds that it takes, at most [`ChildOptions::wall`]: an
/// async caller wraps it in `spawn_blocking`.
///
/// # Errors
/// See [`CompileError`].
pub fn compile_in_child(package: &Package, options: &ChildOptions) -> Result<Bundle, CompileError> {
    let sources = Sources::of(package).map_err(|found| CompileError::Refused(vec![found]))?;
    compile(&sources, options).map(|compiled| compiled.bundle)
}

/// The same, of code that counts which of its statements run: a run prints it as its last line, which [`crate::counted`] reads.
/// The lines are where the statements begin. Such a bundle is for tests; nobody publishes it.
///
/// # Errors
/// See [`CompileError`].
pub fn compile_counting_in_child(
    package: &Package,
    options: &ChildOptions,
) -> Result<(Bundle, Vec<CountedLine>), CompileError> {
    let sources = Sources::of(package).map_err(|found| CompileError::Refused(vec![found]))?;
    compile(&Sources { counting: true, ..sources }, options).map(|compiled| (compiled.bundle, compiled.lines))
}

fn compile(sources: &Sources, options: &ChildOptions) -> Result<Compiled, CompileError> {
    let question = serde_json::to_vec(sources).map_err(io::Error::other)?;
    let (said, status) = ask(&question, options)?;
    let (file, rest) = split_files(&said, sources);
    let answer = match status {
        None => Err(Ending::Time),
        Some(status) => read_answer(rest).ok_or_else(|| ending(status)),
    };
    match answer {
        Ok(answer) => answer.map_err(CompileError::Refused),
        Err(ending) => Err(CompileError::Refused(vec![ending.diagnostic(file, options)])),
    }
}

/// What the child says of the sources.
type Answer = Result<Compiled, Vec<Diagnostic>>;

/// How a child ended that gave no answer.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// Its time was up, by the clock or by the CPU.
    Time,
    /// It was ended by a signal, or aborted.
    Crash,
    /// It ended by itself and said nothing.
    Silence,
}

impl Ending {
    /// What is told of it, at the file that it happened on where that is known.
    fn diagnostic(&self, file: Option<&str>, options: &ChildOptions) -> Diagnostic {
        let what = if file.is_some() { "file" } else { "package" };
        let (code, message) = match self {
            Ending::Time => {
                let ChildOptions { cpu_s, wall, .. } = options;
                let message =
                    format!("the compiler ran out of time on this {what}: it takes {cpu_s} s of CPU, {wall:?} in all");
                ("compiler_time", message)
            }
            Ending::Crash => {
                let why = "something in it is nested too deeply, or too large";
                ("compiler_crash", format!("the compiler ran out of stack or memory on this {what}: {why}"))
            }
            Ending::Silence => ("compiler_crash", format!("the compiler failed on this {what}, by a fault of its own")),
        };
        Diagnostic::error(code, file.unwrap_or_default(), message)
            .with_help("split what is large or deeply nested, such as generated tables")
    }
}

/// What the child said, and how it ended; `None` when its time was up.
fn ask(question: &[u8], options: &ChildOptions) -> io::Result<(Vec<u8>, Option<ExitStatus>)> {
    let mut child = Command::new(&options.program)
        .arg(CHILD_COMMAND)
        .arg(options.memory_bytes.to_string())
        .arg(options.cpu_s.to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let said = talk(&mut child, question);
    let answer = said.recv_timeout(options.wall).ok();
    if answer.is_none() {
        // It may have ended already; either way it is gone after this.
        child.kill()?;
    }
    let status = child.wait()?;
    Ok(match answer {
        Some(bytes) => (bytes, Some(status)),
        // What it said before it was ended is in the pipe. Nobody else should hold that open; nobody is waited for who does.
        None => (said.recv_timeout(LAST_WORDS).unwrap_or_default(), None),
    })
}

/// Writes the question, and sends all that is said from here to the end.
fn talk(child: &mut Child, question: &[u8]) -> mpsc::Receiver<Vec<u8>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let question = question.to_vec();
    let (sender, receiver) = mpsc::channel();
    // It ends when the child does: the pipes break.
    thread::spawn(move || {
        // A child that ends early leaves part of the question unread; how it ended says more than the broken pipe.
        let _ = stdin.map(|mut stdin| stdin.write_all(&question));
        let mut answer = Vec::new();
        let _ = stdout.map(|stdout| stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer));
        let _ = sender.send(answer);
    });
    receiver
}

/// The last file that a child said it begins with, and what it said after that. A line that names no file of the package is
/// part of what comes after: it is no answer then.
fn split_files<'a>(mut said: &'a [u8], sources: &'a Sources) -> (Option<&'a str>, &'a [u8]) {
    let mut last = None;
    while let Some(line) = said.strip_prefix(BEGINS)
        && let Some(end) = line.iter().position(|byte| *byte == b'\n')
        && let Ok(path) = std::str::from_utf8(&line[..end])
        && let Some((path, _)) = sources.files.get_key_value(path)
    {
        last = Some(path.as_str());
        said = &line[end + 1..];
    }
    (last, said)
}

/// Says that work on a file begins. Nothing is held back: who crashes cannot say it afterwards.
fn write_file(path: &str, to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[BEGINS, path.as_bytes(), b"\n"].concat())?;
    to.flush()
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let (length, json) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    if usize::try_from(u64::from_le_bytes(*length)) != Ok(json.len()) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn write_answer(answer: &Answer, to: &mut impl Write) -> io::Result<()> {
    let json = serde_json::to_vec(answer).map_err(io::Error::other)?;
    to.write_all(MAGIC)?;
    to.write_all(&(json.len() as u64).to_le_bytes())?;
    to.write_all(&json)?;
    to.flush()
}

fn ending(status: ExitStatus) -> Ending {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        let out_of_time = [rustix::process::Signal::XCPU.as_raw(), rustix::process::Signal::KILL.as_raw()];
        match status.signal() {
            Some(signal) if out_of_time.contains(&signal) => return Ending::Time,
            Some(_) => return Ending::Crash,
            None => {}
        }
    }
    let _ = status;
    Ending::Silence
}
