#!/bin/sh
# Runs everything: format, lint, unit, integration, end to end. Does its own set-up.
#
#   sh tests/run.sh           the fast tier, what CI runs
#   sh tests/run.sh --full    also the fault tests in full (50 kills of either plane, 1,000 re-pins) and the benches
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

# What a client of the last landed commit sends must still be understood.
no_breaking_proto() {
    base=$(git rev-parse --quiet --verify origin/main || true)
    if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
        base=$(git rev-parse --quiet --verify HEAD~1 || true)
    fi
    if [ -z "$base" ]; then
        echo "    there is no earlier commit to compare with"
        return
    fi
    mkdir -p target
    before=$(mktemp -d target/proto-before.XXXXXX)
    git archive "$base" buf.yaml proto | tar -x -C "$before"
    status=0
    buf breaking --against "$before" || status=$?
    rm -rf "$before"
    return "$status"
}

step "set-up: packages" need_system_packages
step "set-up: servers for tests" need_test_servers
step "set-up: Rust" need_rust
step "set-up: buf and cargo-deny" need_check_tools
step "set-up: node, TypeScript, esbuild" need_node_tools

step "format: Rust" cargo fmt --all --check
step "format: guest" cargo fmt --manifest-path crates/guest/Cargo.toml --check
step "format: proto" buf format --diff --exit-code
step "lint: proto" buf lint
step "lint: proto breaks nothing" no_breaking_proto
step "lint: shell" sh -n deploy/local/run.sh deploy/local/setup.sh tests/run.sh .ci/run
step "lint: house" sh tests/tidy.sh
step "lint: dependencies" cargo deny --locked check bans licenses sources
step "build" cargo build --release --locked --workspace --all-targets
step "lint: Rust" cargo clippy --release --locked --workspace --all-targets -- -D warnings
if [ "$tier" = full ]; then
    # The fault tests repeat themselves as often as the promise says.
    export TESTS_FULL=1
fi
step "tests" cargo test --release --locked --workspace
if [ "$tier" = full ]; then
    step "bench: engine, components" cargo bench --locked -p sluice-sandbox --features probe
    step "bench: templates" cargo bench --locked -p sluice-templates
fi
printf '\nall passed (%s tier) in %s s\n' "$tier" "$(($(date +%s) - started))"
