"""Embedded: files that stand in a request's JSON as base64, read and encoded while it leaves.

Whole, a file of some megabytes would hold the hub for as long as its JSON takes to write.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

from hermes_green.link.fair import Fair


class Embedded:
    """The base64 of ``size`` bytes, which ``read`` gives out anew for each try. ``mark`` stands for it in JSON."""

    def __init__(self, size: int, read: Callable[[], Iterable[bytes]]) -> None:
        self.mark = secrets.token_hex(16)
        self._size = size
        self._read = read

    def __len__(self) -> int:
        return (self._size + 2) // 3 * 4

    def __iter__(self) -> Iterator[bytes]:
        """Raises what reading raises."""
        rest, fair = b"", Fair()
        for piece in self._read():
            piece = rest + piece
            whole = len(piece) // 3 * 3
            rest = piece[whole:]
            yield base64.b64encode(piece[:whole])
            fair.breathe()
        yield base64.b64encode(rest)


class Body:
    """A request's JSON in which files stand, in this order; of known length, and read anew for each try. ``left``:
    all of it has been read."""

    def __init__(self, body: Mapping[str, Any], files: Sequence[Embedded]) -> None:
        self.left = False
        rest = json.dumps(body, allow_nan=False)
        self._pieces: list[bytes | Embedded] = []
        for file in files:
            before, _, rest = rest.partition(file.mark)
            self._pieces += [before.encode(), file]
        self._pieces.append(rest.encode())

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def __iter__(self) -> Iterator[bytes]:
        self.left = False
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece
        self.left = True
