#!/usr/bin/env bash
# Starts the gateway from a checkout: scripts/run_gateway.sh [arguments of "hermes-green run"].
# The first start builds .venv; later ones go straight to the gateway, which takes the place of
# this shell so that signals reach it.
set -euo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")
. "$(dirname "$here")/venv.sh"
ensure_venv run
exec "$root/.venv/bin/hermes-green" run --conf "$root/conf" "$@"
