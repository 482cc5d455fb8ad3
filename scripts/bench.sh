#!/usr/bin/env bash
# Runs every measurement tests/bench/bench_NAME.py, or those named: scripts/bench.sh [NAME...].
# They print figures with the aim beside each and fail only when a measurement cannot be made.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
ensure_venv test test || exit
cd "$root" || exit
failed=0
for script in tests/bench/bench_*.py; do
    name=$(basename "$script" .py)
    name=${name#bench_}
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    printf '\n=== %s\n' "$name"
    "$root/.venv/bin/python" -m "tests.bench.bench_$name" </dev/null || failed=1
done
exit "$failed"
