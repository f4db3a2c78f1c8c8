//! The child's side: limits first, then the work.

use super::{CHILD_COMMAND, write_answer, write_file};
use crate::compile::{Sources, compile_telling};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{
    io::{self, Read},
    thread,
};

/// The stack of the compiler, in bytes. Ordinary code needs less than one; generated code with long chains more.
const STACK_BYTES: usize = 64 << 20;
/// The most that is read from standard input.
const MAX_QUESTION_BYTES: u64 = 64 << 20;

/// If this process was started as a compiler's child, does that work and ends the process; otherwise returns at once. Every
/// binary that compiles calls this first thing in its main, before it starts threads or reads settings.
pub fn run_child_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != CHILD_COMMAND) {
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
    let mut question = Vec::new();
    io::stdin().lock().take(MAX_QUESTION_BYTES).read_to_end(&mut question)?;
    let sources: Sources = serde_json::from_slice(&question).map_err(io::Error::other)?;
    // The main thread's stack is what the caller's shell says; this one is the same everywhere.
    let work = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        compile_telling(&sources, &mut |path| {
            // A caller who does not listen any more ends this process, whatever it does.
            let _ = write_file(path, &mut io::stdout().lock());
        })
    })?;
    let answer = work.join().map_err(|_| io::Error::other("the compiler panicked"))?;
    write_answer(&answer, &mut io::stdout().lock())
}

/// Address space, CPU time, no core dumps; and it ends with its parent.
fn limit(memory_bytes: u64, cpu_s: u64) -> io::Result<()> {
    let at_most = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, at_most(memory_bytes))?;
    // The soft limit's signal says what happened; the hard one, a second later, cannot be caught.
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_s), maximum: Some(cpu_s + 1) })?;
    setrlimit(Resource::Core, at_most(0))?;
    // It has no use for files; what it has open, it keeps.
    setrlimit(Resource::Fsize, at_most(0))?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
