#!/bin/sh
# The house's invariants that a machine can check (docs/architecture.md, "Invariants"): each line says what is wrong.
set -eu
cd "$(dirname "$0")/.."
bad=0
wrong() { printf 'tidy: %s\n' "$*" >&2; bad=1; }
files() { git ls-files --cached --others --exclude-standard -- "$@"; }

# A file that no one can hold in their head hides its mistakes.
for f in $(files '*.rs'); do
    [ ! -e "$f" ] || [ "$(wc -c <"$f")" -le 25600 ] || wrong "$f is over 25 KB: make it two"
done
# The domain knows no wire, no disk and no clock.
for name in tonic prost tokio sled wasmtime reqwest; do
    grep -q "^$name" crates/model/Cargo.toml && wrong "crates/model must not depend on $name"
done
grep -rnE 'std::(fs|net|process|env)::|SystemTime::now|Timestamp::now' crates/model/src --include='*.rs' && wrong "crates/model does I/O or reads a clock"
# The planes know the wire between them, never each other.
grep -q 'sluice-executor' crates/control-plane/Cargo.toml && wrong "the control plane must not depend on the executor"
grep -q 'sluice-control-plane' crates/executor/Cargo.toml && wrong "the executor must not depend on the control plane"
# unsafe is argued for, and only where foreign code is run.
for f in $(files 'crates/*.rs'); do
    case $f in crates/sandbox/* | crates/guest/*) continue ;; esac
    [ ! -e "$f" ] || ! grep -nE '\bunsafe (\{|fn|impl)' "$f" || wrong "$f: unsafe belongs to crates/sandbox and crates/guest"
done
# A page that names a file names one that is there.
for page in README.md docs/*.md docs/adr/*.md docs/recipes/*.md; do
    [ -e "$page" ] || continue
    for path in $(grep -oE '`(crates|proto|docs|tests|deploy)/[A-Za-z0-9_./-]+`' "$page" | tr -d '`' | sort -u); do
        [ -e "$path" ] || wrong "$page names $path, which is not there"
    done
done
# Nothing is half done.
grep -rnE '\b(todo|unimplemented)!\(|\b(TODO|FIXME|XXX)\b' crates proto tests/src deploy --include='*.rs' --include='*.ts' --include='*.proto' --include='*.sh' && wrong "left open, see above"
exit $bad
