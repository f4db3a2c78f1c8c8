#!/bin/sh
# Runs everything: format, lint, unit, integration, end to end. Does its own set-up.
#
#   sh tests/run.sh           the fast tier, what CI runs
#   sh tests/run.sh --full    also the benches
#
# It says how long each step took and stops at the first that fails.
set -eu
cd "$(dirname "$0")/.."
. deploy/local/setup.sh

tier=fast
case "${1:-}" in
    "") ;;
    --full) tier=full ;;
    *) echo "usage: sh tests/run.sh [--full]" >&2; exit 2 ;;
esac

# step NAME COMMAND...: runs a step and says how long it took.
started=$(date +%s)
step() {
    name=$1
    shift
    say "$name"
    from=$(date +%s)
    "$@" || fail "$name: failed: $*"
    printf '    %s: %s s\n' "$name" "$(($(date +%s) - from))"
}

step "set-up: packages" need_system_packages
step "set-up: Rust" need_rust
step "set-up: buf and cargo-deny" need_check_tools

step "format: Rust" cargo fmt --all --check
step "format: guest" cargo fmt --manifest-path crates/guest/Cargo.toml --check
step "format: proto" buf format --diff --exit-code
step "lint: proto" buf lint
step "lint: shell" sh -n deploy/local/run.sh deploy/local/setup.sh tests/run.sh .ci/run
step "lint: house" sh tests/tidy.sh
step "lint: dependencies" cargo deny --locked check bans licenses sources
step "build" cargo build --release --locked --workspace --all-targets
step "lint: Rust" cargo clippy --release --locked --workspace --all-targets -- -D warnings
step "tests" cargo test --release --locked --workspace
if [ "$tier" = full ]; then
    step "bench: engine" cargo bench --locked -p sluice-sandbox --features probe
fi
printf '\nall passed (%s tier) in %s s\n' "$tier" "$(($(date +%s) - started))"
