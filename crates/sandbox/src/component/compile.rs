//! Compiling a component, in a process of its own, and keeping what comes of it.
//!
//! A component is up to 24 MiB of somebody else's making, and compiling it takes seconds and much memory: so another process of this
//! same binary does it, within limits, and this one never compiles what a tenant sent. What it gives is machine code of this
//! very build. It is kept in the engine's cache folder under the component's digest and wasmtime's compatibility hash, by the
//! rules of [`crate::cache`].

use super::{Compiled, check_component};
use crate::{cache, config};
use rustix::process::{Resource, Rlimit, setrlimit};
use sluice_model::limits::MAX_COMPONENT_BYTES;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};
use wasmtime::component::Component;

/// The hidden subcommand of every binary that compiles components.
pub const COMPILE_CHILD_COMMAND: &str = "__compile-component";

/// Begins the name of each file in the cache folder.
const CODE_PREFIX: &str = "component-";

/// The first bytes of an answer: code, or what is wrong with the component. The length of what follows is next (8 bytes, little
/// endian).
const CODE: &[u8; 8] = b"slucode\n";
const WRONG: &[u8; 8] = b"slusays\n";
/// The most that an answer may have, in bytes.
const MAX_ANSWER_BYTES: u64 = 256 << 20;
/// The stack of the compiler.
const STACK_BYTES: usize = 64 << 20;
/// Threads that it may use. Each has its own arenas, which count against its address space, and takes a core from sign-ins.
const THREADS: usize = 4;
/// How it ranks beside other processes: as the slow lane does beside other threads.
const NICE: i32 = 15;
/// What all compiled code may take in the cache folder: that of some ten thousand components in Rust.
const MAX_CODE_BYTES: u64 = 4 << 30;
/// How old the time of a file may be that says when it was used last.
const TOUCH_AFTER: Duration = Duration::from_secs(3_600);

/// Which binary compiles, and what it may use.
#[derive(Clone, Debug)]
pub struct ComponentCompiler {
    /// A binary that calls [`run_component_child_if_asked`] first thing in its main.
    pub program: PathBuf,
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// CPU time, in seconds, of all its threads together.
    pub cpu_s: u64,
    /// Time by the clock.
    pub wall: Duration,
}

impl ComponentCompiler {
    /// 6 GiB of address space, most of it reserved and never used, 120 s of CPU time, 120 s by the clock: a JavaScript engine of
    /// 12 MB takes a tenth of that.
    pub fn new(program: impl Into<PathBuf>) -> ComponentCompiler {
        ComponentCompiler { program: program.into(), memory_bytes: 6 << 30, cpu_s: 120, wall: Duration::from_secs(120) }
    }

    /// The running binary.
    ///
    /// # Errors
    /// The system does not say which binary this is.
    pub fn this_program() -> io::Result<ComponentCompiler> {
        std::env::current_exe().map(ComponentCompiler::new)
    }
}

/// Why there is no machine code.
#[derive(Debug)]
pub(crate) enum NotCompiled {
    /// The component is at fault.
    Refused(String),
    /// This machine is, for now.
    Unavailable(String),
}

/// What the cache folder has of a component, by its digest.
pub(crate) fn from_cache(engine: &wasmtime::Engine, dir: &Path, digest: &str) -> Option<Compiled> {
    let file = place(engine, dir, digest);
    let code = match cache::read_own(&file) {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "compiled code is not usable; it is made anew");
            return None;
        }
    };
    touch(&file);
    load(engine, &code).inspect_err(|error| tracing::warn!(file = %file.display(), %error, "made anew")).ok()
}

/// Says that a file was used. Where that fails it goes a little earlier than it would.
fn touch(file: &Path) {
    let is_recent = |at: SystemTime| at.elapsed().is_ok_and(|age| age < TOUCH_AFTER);
    if fs::metadata(file).and_then(|about| about.modified()).is_ok_and(is_recent) {
        return;
    }
    let _ = File::options().append(true).open(file).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes what was not used for longest, where all of it takes more than it may; but for what was just written. What runs from a
/// removed file goes on: its code is in memory.
fn sweep(dir: &Path, newest: &Path, most: u64) {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(CODE_PREFIX)) {
            continue;
        }
        if let Ok(about) = entry.metadata() {
            files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()));
        }
    }
    files.sort_unstable();
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files.iter().filter(|(_, _, path)| path != newest) {
        if total <= most {
            return;
        }
        // Another process may have removed it.
        if fs::remove_file(path).is_ok() {
            total -= len;
        }
    }
}

fn place(engine: &wasmtime::Engine, dir: &Path, digest: &str) -> PathBuf {
    dir.join(format!("{CODE_PREFIX}{digest}-{}.code", &cache::compatibility(engine)[..16]))
}

fn load(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Compiled> {
    // SAFETY: `deserialize` trusts the machine code in the bytes. They are what a process of this very binary has just compiled,
    // or what one of this build kept in a file that `cache::read_own` has checked: this user's, closed to the writing of others, under a
    // name with wasmtime's compatibility hash, whole by its digest.
    let component = unsafe { Component::deserialize(engine, code)? };
    Compiled::new(engine, &component)
}

/// Checks a component, compiles it and keeps what comes of it. Blocks for as long as that takes.
///
/// # Errors
/// See [`NotCompiled`].
pub(crate) fn compile(
    engine: &wasmtime::Engine,
    compiler: Option<&ComponentCompiler>,
    dir: Option<&Path>,
    bytes: &[u8],
) -> Result<Compiled, NotCompiled> {
    let code = match compiler {
        Some(compiler) => in_child(compiler, bytes)?,
        None => here(bytes).map_err(NotCompiled::Refused)?,
    };
    if let Some(dir) = dir {
        let file = place(engine, dir, &sluice_model::Bundle::digest(bytes));
        match cache::write_own(&file, &code) {
            Ok(()) => sweep(dir, &file, MAX_CODE_BYTES),
            Err(error) => tracing::warn!(file = %file.display(), %error, "compiled code cannot be kept"),
        }
    }
    load(engine, &code).map_err(|error| match error.root_cause().downcast_ref::<io::Error>() {
        Some(machine) => NotCompiled::Unavailable(format!("compiled code cannot be loaded: {machine}")),
        // It is this build's own and whole: what it asks of the pool is more than a component may have.
        None => NotCompiled::Refused(format!("the component takes more than one may: {}", said(&error))),
    })
}

/// Checks and compiles in this process.
fn here(bytes: &[u8]) -> Result<Vec<u8>, String> {
    check_component(bytes)?;
    let engine = wasmtime::Engine::new(&config::compiling()).map_err(|error| error.to_string())?;
    let component = Component::new(&engine, bytes).map_err(|error| said(&error))?;
    // Types of imports and exports are compared here, so that what is wrong with them is told with the rest.
    Compiled::new(&engine, &component).map_err(|error| said(&error))?;
    component.serialize().map_err(|error| error.to_string())
}

/// An error and its causes, in one line.
fn said(error: &wasmtime::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn in_child(compiler: &ComponentCompiler, bytes: &[u8]) -> Result<Vec<u8>, NotCompiled> {
    let away = |error: io::Error| NotCompiled::Unavailable(format!("the compiler cannot be started: {error}"));
    let mut child = Command::new(&compiler.program)
        .arg(COMPILE_CHILD_COMMAND)
        .arg(compiler.memory_bytes.to_string())
        .arg(compiler.cpu_s.to_string())
        .env_clear()
        .env("RAYON_NUM_THREADS", thread::available_parallelism().map_or(1, usize::from).min(THREADS).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(away)?;
    let (stdin, stdout, question) = (child.stdin.take(), child.stdout.take(), bytes.to_vec());
    let (sender, receiver) = mpsc::channel();
    // It ends when the child does: the pipes break.
    thread::spawn(move || {
        // A child that ends early leaves part of the question unread; that it gives no answer says more.
        let _ = stdin.map(|mut stdin| stdin.write_all(&question));
        let mut answer = Vec::new();
        let _ = stdout.map(|stdout| stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer));
        let _ = sender.send(answer);
    });
    let answer = receiver.recv_timeout(compiler.wall).ok();
    if answer.is_none() {
        // It may have ended already; either way it is gone after this.
        let _ = child.kill();
    }
    child.wait().map_err(away)?;
    let Some(answer) = answer else {
        let message = format!("compiling the component took longer than {:?}", compiler.wall);
        return Err(NotCompiled::Refused(message));
    };
    // What is cut off is no answer.
    let whole = |head: &[u8; 8]| {
        let (len, rest) = answer.strip_prefix(head)?.split_first_chunk::<8>()?;
        (usize::try_from(u64::from_le_bytes(*len)) == Ok(rest.len())).then_some(rest)
    };
    if let Some(code) = whole(CODE) {
        return Ok(code.to_vec());
    }
    Err(NotCompiled::Refused(match whole(WRONG) {
        Some(message) => String::from_utf8_lossy(message).into_owned(),
        None => format!(
            "compiling the component takes more than {} s of CPU time or {} MiB of memory",
            compiler.cpu_s,
            compiler.memory_bytes >> 20
        ),
    }))
}

/// If this process was started to compile a component, does that work and ends the process; otherwise returns at once. Every
/// binary that runs an [`crate::Engine`] calls this first thing in its main, before it starts threads or reads settings.
pub fn run_component_child_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != COMPILE_CHILD_COMMAND) {
        return;
    }
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let (memory_bytes, cpu_s) = (number(), number());
    let done = match (memory_bytes, cpu_s) {
        (Some(memory_bytes), Some(cpu_s)) => answer(memory_bytes, cpu_s).is_ok(),
        _ => false,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a child of the compiler has nothing to drain, and its caller has not begun"
    )]
    std::process::exit(i32::from(!done));
}

fn answer(memory_bytes: u64, cpu_s: u64) -> io::Result<()> {
    limit(memory_bytes, cpu_s)?;
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_COMPONENT_BYTES as u64).read_to_end(&mut bytes)?;
    // The main thread's stack is what the caller's shell says; this one is the same everywhere.
    let work = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || here(&bytes))?;
    let (head, rest) = match work.join().map_err(|_| io::Error::other("the compiler panicked"))? {
        Ok(code) => (CODE, code),
        Err(message) => (WRONG, message.into_bytes()),
    };
    let mut out = io::stdout().lock();
    out.write_all(head)?;
    out.write_all(&(rest.len() as u64).to_le_bytes())?;
    out.write_all(&rest)?;
    out.flush()
}

/// Address space, CPU time, no core dumps, no files; and it ends with its parent.
fn limit(memory_bytes: u64, cpu_s: u64) -> io::Result<()> {
    let at_most = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
    // Where memory is short it is the first to go. What cannot be had here is no reason not to compile.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let _ = rustix::process::setpriority_process(None, NICE);
    setrlimit(Resource::As, at_most(memory_bytes))?;
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_s), maximum: Some(cpu_s + 1) })?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(86_400);
        let file = |name: &str, days: u32| {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            File::options().append(true).open(&path).unwrap().set_modified(SystemTime::now() - day * days).unwrap();
            path
        };
        let (old, used) = (file("component-a.code", 3), file("component-b.code", 2));
        let (other, newest) = (file("base-c.image", 9), file("component-d.code", 4));
        touch(&used);
        sweep(folder.path(), &newest, 300);
        assert!(old.exists(), "there is room for all three");
        sweep(folder.path(), &newest, 200);
        assert!(!old.exists() && used.exists(), "what was used today stays longer");
        sweep(folder.path(), &newest, 0);
        assert!(
            !used.exists() && newest.exists() && other.exists(),
            "neither what was just written nor what is another's"
        );
    }
}
