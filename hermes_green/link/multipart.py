"""Multipart: a form with one file, read from the disk while it is sent."""

from __future__ import annotations

import mimetypes
import secrets
from typing import Iterator, Mapping, Protocol

_CHUNK = 64 * 1024


class File(Protocol):
    """What a form reads."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""

    def seek(self, place: int, /) -> object:
        """Go on from there."""


class Multipart:
    """A multipart/form-data body (RFC 7578) for ``Http.request(data=...)``, of known length; read anew for each try.

    ``file`` is open for reading and has ``size`` bytes; a ``mime`` that is "" or no line is guessed from
    ``name``. Its ``content_type`` goes into the request's headers.
    """

    def __init__(
        self, fields: Mapping[str, str], field: str, name: str, file: File, size: int, mime: str = ""
    ) -> None:
        self._border = secrets.token_hex(16)
        if not mime or not mime.isprintable():
            mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        head = [self._part(key) + value for key, value in fields.items()]
        head.append(self._part(field, f'; filename="{_quoted(name)}"\r\nContent-Type: {mime}'))
        self._head = "\r\n".join(head).encode("utf-8", "replace")
        self._tail = f"\r\n--{self._border}--\r\n".encode()
        self._file, self._size = file, size

    @property
    def content_type(self) -> str:
        """The header's value."""
        return f"multipart/form-data; boundary={self._border}"

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from pieces_of(self._file, self._size)
        yield self._tail

    def _part(self, name: str, more: str = "") -> str:
        return f'--{self._border}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{more}\r\n\r\n'


def pieces_of(file: File, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of a file. Raises OSError: it has fewer, or cannot be read any more."""
    file.seek(0)
    while size > 0:
        piece = file.read(min(_CHUNK, size))
        if not piece:
            raise OSError(0, "it became shorter while it was sent")
        size -= len(piece)
        yield piece


def _quoted(name: str) -> str:
    """As browsers write names (WHATWG form-data)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
