#!/usr/bin/env bash
# Measures, and prints each figure with its aim beside it: scripts/bench.sh [--quick] [NAME...]
#   NAME     gateway, hops, start, memory, flood, store or link; all of them without a name
#   --quick  fewer rounds, and 10 s of idling in place of 60
# Fails only when a measurement cannot be made; what misses its aim is said and is no failure.
set -uo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")
. "$(dirname "$here")/venv.sh"
ensure_venv test test || exit
cd "$root" || exit
quick=()
names=()
for word in "$@"; do
    case "$word" in
    --quick) quick=(--quick) ;;
    -*) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) names+=("$word") ;;
    esac
done
failed=0
[ ${#names[@]} -gt 0 ] || names=(gateway hops start memory flood store link)
for name in "${names[@]}"; do
    printf '\n=== %s\n' "$name"
    "$root/.venv/bin/python" -m "tests.bench.bench_$name" ${quick[@]+"${quick[@]}"} </dev/null || failed=1
done
exit "$failed"
