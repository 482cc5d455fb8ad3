# Sourced by the scripts beside it: makes sure that .venv holds what the caller needs.
#
#   ensure_venv NAME [EXTRAS]    NAME is the stamp's, EXTRAS as pip wants them: "test,lint"
#
# Nothing is installed again while setup.cfg, setup.py and the place of the checkout are the same.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    echo "hermes-green needs Python 3.11 or later; none was found (PYTHON=/path/to/python names one)" >&2
    return 69
}

ensure_venv() {
    local name=$1 extras=${2:-} stamp sum python
    stamp="$root/.venv/.installed-$name"
    sum="$root $extras $(cat "$root/setup.cfg" "$root/setup.py" | cksum)"
    if [ -x "$root/.venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]; then
        return 0
    fi
    # An interrupted first try may have left half an environment: begin anew.
    if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || return
        echo "hermes-green: creating $root/.venv" >&2
        "$python" -m venv --clear "$root/.venv" || return
    fi
    echo "hermes-green: installing what is needed (once; a minute or two)" >&2
    if ! PIP_USER=0 "$root/.venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        --editable "$root${extras:+[$extras]}" >"$root/.venv/install.log" 2>&1 </dev/null; then
        cat "$root/.venv/install.log" >&2
        echo "hermes-green: the installation failed; what pip said stands above" >&2
        return 1
    fi
    printf '%s' "$sum" >"$stamp"
}
