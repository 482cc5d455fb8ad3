#!/usr/bin/env bash
# Runs the tests. Arguments that are not listed here go to pytest.
#   scripts/test.sh            everything that takes minutes in all, in five processes side by side
#   scripts/test.sh --unit     tests/unit only, seconds
#   scripts/test.sh --faults   the long fault runs, up to 40 minutes
#   scripts/test.sh --hermes   with Hermes Agent itself behind the gateway; installs it once, into .cache
#   scripts/test.sh tests/contract -k qq    just these
set -uo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")
. "$(dirname "$here")/venv.sh"
ensure_venv test test || exit
cd "$root" || exit

run_pytest() { "$root/.venv/bin/python" -m gevent.monkey --module pytest "$@" </dev/null; }

usual="not long and not hermes"
mode=all
paths=no
arguments=()
for argument in "$@"; do
    case "$argument" in
        --unit) mode=unit ;;
        --faults) mode=faults ;;
        --hermes) mode=hermes ;;
        *)
            [ -e "${argument%%::*}" ] && paths=yes
            arguments+=("$argument")
            ;;
    esac
done
set -- ${arguments[@]+"${arguments[@]}"}

if [ "$mode" = unit ]; then
    run_pytest tests/unit "$@"
    exit
elif [ "$mode" = faults ]; then
    HERMES_GREEN_FAULTS=long run_pytest tests/faults -m "not hermes" "$@"
    faults=$?
    run_pytest tests -m long --ignore tests/faults
    long=$?
    exit $((faults ? faults : long))
elif [ "$mode" = hermes ]; then
    run_pytest tests/e2e/test_hermes_agent.py -m hermes "$@"
    exit
elif [ "$paths" = yes ]; then
    run_pytest -m "$usual" "$@"
    exit
fi

# Side by side: most of these tests wait for sockets and processes, so two cores serve five of them.
# Each prints into a file, and the files are shown one after the other.
shards=(
    "tests/contract"
    "tests/e2e"
    "tests/faults/test_[a-h]*.py"
    "tests/faults/test_[i-z]*.py"
    "tests/oracles tests/unit tests/arch"
)
logs=$(mktemp -d)
workers=()
stop_workers() { kill ${workers[@]+"${workers[@]}"} 2>/dev/null; rm -rf "$logs"; }
trap stop_workers EXIT
trap 'exit 130' INT TERM

for number in "${!shards[@]}"; do
    # shellcheck disable=SC2086  # a shard is a list of paths
    run_pytest ${shards[$number]} -m "$usual" -p no:cacheprovider "$@" >"$logs/$number" 2>&1 &
    workers+=($!)
done

failed=0
for number in "${!shards[@]}"; do
    wait "${workers[$number]}"
    code=$?
    # 5: pytest found nothing to run in this shard, as -k may well bring about.
    [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || failed=$code
    printf '\n=== %s\n' "${shards[$number]}"
    cat "$logs/$number"
done
workers=()
echo
for number in "${!shards[@]}"; do grep -E '^=+ .+ =+$' "$logs/$number" | tail -n 1; done
exit "$failed"
