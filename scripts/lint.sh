#!/usr/bin/env bash
# Style, import order, types and the layers of the house; every tool runs, the worst answer counts.
set -uo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")
. "$(dirname "$here")/venv.sh"
ensure_venv lint lint || exit
cd "$root" || exit
bin="$root/.venv/bin"
failed=0
"$bin/flake8" hermes_green tests scripts setup.py || failed=1
"$bin/isort" --check-only --diff --quiet hermes_green tests scripts setup.py || failed=1
"$bin/mypy" || failed=1
"$bin/lint-imports" --config setup.cfg --cache-dir .cache/import_linter || failed=1
exit "$failed"
