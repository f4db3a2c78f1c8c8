#!/bin/sh
# Builds Sluice, starts both planes on this machine, publishes a sample tenant, Action and flow, and runs two sign-ins.
#
#   sh deploy/local/run.sh            stays up afterwards; Ctrl-C ends it
#   sh deploy/local/run.sh --check    stops after the sign-ins; the exit code says whether all went well
#
# Ports are the usual ones (control plane 7070, executor 7071, admin 7072), or free ones with --check.
set -eu
cd "$(dirname "$0")/../.."
. deploy/local/setup.sh

check=no
case "${1:-}" in
    "") ;;
    --check) check=yes ;;
    *) echo "usage: sh deploy/local/run.sh [--check]" >&2; exit 2 ;;
esac

say "1/5 what the build needs"
need_system_packages
need_rust

say "2/5 building (the first time takes some ten minutes on two cores)"
# All of it, though only one binary is needed here: so the tests build none of it again.
cargo build --release --locked --workspace --bins
sluice="${CARGO_TARGET_DIR:-target}/release/sluice"

data=$(mktemp -d "${TMPDIR:-/tmp}/sluice-local.XXXXXX")
if [ "$check" = yes ]; then
    set -- --control-addr 127.0.0.1:0 --executor-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0
else
    set --
fi
say "3/5 starting both planes: sluice dev --data $data $*"
"$sluice" dev --data "$data" "$@" >"$data/dev.log" 2>&1 &
dev=$!
stop() {
    kill -TERM "$dev" 2>/dev/null || true
    wait "$dev" 2>/dev/null || true
    rm -rf "$data"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tries=0
until [ -s "$data/addresses.json" ]; do
    kill -0 "$dev" 2>/dev/null || { cat "$data/dev.log" >&2; fail "sluice dev ended; its log is above"; }
    tries=$((tries + 1))
    [ "$tries" -le 600 ] || { cat "$data/dev.log" >&2; fail "sluice dev is not up after a minute; its log is above"; }
    sleep 0.1
done
address() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$data/addresses.json"; }
SLUICE_CONTROL_URL="http://$(address control)"
SLUICE_EXECUTOR_URL="http://$(address executor)"
SLUICE_TENANT=acme
export SLUICE_CONTROL_URL SLUICE_EXECUTOR_URL SLUICE_TENANT
echo "    control plane $SLUICE_CONTROL_URL, executor $SLUICE_EXECUTOR_URL"

# run COMMAND...: shows a command of the command line as a person would type it, then runs it.
run() {
    printf '\n$ sluice %s\n' "$*"
    "$sluice" "$@"
}
sample=deploy/local/sample
say "4/5 a tenant, an Action, a flow"
run tenant create acme
run test "$sample/domain-check"
run action publish "$sample/domain-check"
run flow create login
run flow attach login --trigger post-login --action domain-check@1.0.0 --config "$sample/config.json"

say "5/5 two sign-ins, each decided by TypeScript in its sandbox, and their audit"
run execute login --trigger post-login --input "$sample/sign-ins/employee.json"
run execute login --trigger post-login --input "$sample/sign-ins/stranger.json"
# A run's record reaches the control plane a moment after its answer.
tries=0
until [ "$("$sluice" audit list --kind flow.action_executed --json | grep -o '"flow.action_executed"' | wc -l)" -ge 2 ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || fail "the audit of the two sign-ins is not there after ten seconds"
    sleep 0.1
done
run audit list

# The people above were to read it; this is for --check, and for whoever trusts only machines.
verdict() { "$sluice" execute login --trigger post-login --input "$sample/sign-ins/$1.json" --json | sed -n 's/.*"verdict": *"\([a-z_]*\)".*/\1/p'; }
[ "$(verdict employee)" = continue ] || fail "the employee's sign-in was not continued"
[ "$(verdict stranger)" = block ] || fail "the stranger's sign-in was not blocked"

if [ "$check" = yes ]; then
    say "done: both sign-ins ended as they should"
    exit 0
fi
say "up; Ctrl-C ends it. In another terminal:"
cat <<TEXT
    export SLUICE_CONTROL_URL=$SLUICE_CONTROL_URL SLUICE_EXECUTOR_URL=$SLUICE_EXECUTOR_URL SLUICE_TENANT=acme
    export PATH="$(cd "$(dirname "$sluice")" && pwd):\$PATH"
    sluice init my-action && sluice test my-action && sluice action publish my-action
TEXT
wait "$dev"
