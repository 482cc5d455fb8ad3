"""Files: what an agent hands over to be sent, read without stopping the hub."""

from __future__ import annotations

import os

from hermes_green.core.errors import SendRefused
from hermes_green.link.fair import Fair

_CHUNK = 256 * 1024
MIB = 1024 * 1024


def read_file(path: str, limit: int, name: str = "") -> bytes:
    """The whole of a file of at most ``limit`` bytes. ``name``: what people call it.

    Raises:
        SendRefused: it cannot be read, is empty, or is larger; the sentence says the limit.
    """
    shown = name or os.path.basename(path)
    pieces, size, fair = [], 0, Fair()
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise SendRefused(f"{shown} has {size} bytes; the platform takes {limit // MIB} MiB", code="too_large")
            size = 0
            while piece := file.read(_CHUNK):
                fair.breathe()
                size += len(piece)
                if size > limit:
                    raise SendRefused(f"{shown} grew beyond the {limit // MIB} MiB that are taken", code="too_large")
                pieces.append(piece)
    except OSError as error:
        raise SendRefused(f"{shown} cannot be read: {error.strerror}", code="unreadable") from error
    if not size:
        raise SendRefused(f"{shown} is empty", code="empty")
    return b"".join(pieces)
