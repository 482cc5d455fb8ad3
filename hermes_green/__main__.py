"""Patches the standard library before anything else is imported; this file exists for that order."""

from __future__ import annotations

import os
import sys

# Verbs that serve or open the store run greenlets; the others stay light and start fast.
_COOPERATIVE = frozenset({"run", "try", "sim", "dead", "sessions", "audit", "doctor"})


def main() -> int:
    """The console script ``hermes-green``."""
    _open_streams()
    if _COOPERATIVE.intersection(sys.argv[1:]):
        _patch()
    from hermes_green import cli

    return cli.main(sys.argv[1:])


def _open_streams() -> None:
    """Who started us may have closed standard streams: what we open next must not take their place."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode))  # the lowest number that is free


def _patch() -> None:
    from gevent import events, monkey

    # Of each single patch gevent would tell plugins, and search the metadata of every installed package
    # for them, some thirty times. Who else is told stays as it is.
    if hasattr(events, "notify_and_call_entry_points"):
        events.notify_and_call_entry_points = events.notify
    monkey.patch_all()


if __name__ == "__main__":
    sys.exit(main())
