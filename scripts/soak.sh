#!/usr/bin/env bash
# Runs a gateway with all six simulated platforms for long, 20 messages a second, one fault every three seconds:
#   scripts/soak.sh [MINUTES]      30 without a number
# Prints how memory, descriptors, threads and greenlets moved, and what was lost, doubled or out of order.
set -uo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")
. "$(dirname "$here")/venv.sh"
ensure_venv test test || exit
cd "$root" || exit
case "${1:-30}" in
    "" | . | *[!0-9.]* | *.*.*) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
export HERMES_GREEN_SOAK_MINUTES=${1:-30}
exec "$root/.venv/bin/python" -m gevent.monkey --module pytest -q -s -p no:cacheprovider tests/faults/test_soak.py </dev/null
