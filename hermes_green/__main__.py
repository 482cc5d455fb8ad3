"""Patches the standard library before anything else is imported; this file exists for that order."""

from __future__ import annotations

import sys

# Verbs that serve or open the store run greenlets; the others stay light and start fast.
_COOPERATIVE = frozenset({"run", "sim", "dead", "sessions"})


def main() -> int:
    """The console script ``hermes-green``."""
    if _COOPERATIVE.intersection(sys.argv[1:]):
        from gevent import monkey

        monkey.patch_all()
    from hermes_green import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
