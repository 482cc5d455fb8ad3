"""Pictures: what users sent to be looked at, as parts of a request in the OpenAI chat protocol.

A picture is read and encoded piece by piece while the request leaves: whole, it would hold the hub for as long
as its JSON takes to write, and be in memory for as long as the endpoint thinks.
"""

from __future__ import annotations

import base64
import json
import secrets
from contextlib import closing
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from hermes_green.core.model import Attachment
from hermes_green.link.disk import Reading
from hermes_green.link.fair import Fair

# Of one picture, and of all that go along with a message: what common endpoints take.
LIMIT, TOGETHER, MOST = 10 * 1024 * 1024, 20 * 1024 * 1024, 10
# A multiple of three, so that the pieces' base64 can stand side by side.
_PIECE = 3 * 32 * 1024
_SIGN = 16
# How a refusal names what the endpoint does not take, where its status says nothing.
_ABOUT = (b"image", b"multimodal", b"vision")


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that is a picture; ``mark`` stands for its base64 until the request leaves."""

    path: str
    mime: str
    size: int
    mark: str = field(default_factory=lambda: secrets.token_hex(16))

    def part(self) -> Mapping[str, Any]:
        """What names it among a message's parts."""
        return {"type": "image_url", "image_url": {"url": f"data:{self.mime};base64,{self.mark}"}}

    def __len__(self) -> int:
        return (self.size + 2) // 3 * 4

    def __iter__(self) -> Iterator[bytes]:
        """Its base64. Raises OSError: it cannot be read any more, or has changed."""
        left, rest, fair = self.size, b"", Fair()
        with closing(Reading(self.path)) as file:
            while left:
                data = file.read(min(left, _PIECE))
                if not data:
                    raise OSError(0, "a picture became shorter while it was sent")
                left -= len(data)
                data = rest + data
                whole = len(data) if not left else len(data) // 3 * 3
                rest = data[whole:]
                yield base64.b64encode(data[:whole])
                fair.breathe()


def seen(attachments: Sequence[Attachment]) -> list[Picture]:
    """Those that can be looked at: of a kind that endpoints know, and of a size that they take."""
    found: list[Picture] = []
    for each in attachments:
        picture = _picture(each) if each.kind == "image" and each.path and len(found) < MOST else None
        if picture is not None and sum(other.size for other in found) + picture.size <= TOGETHER:
            found.append(picture)
    return found


def _picture(each: Attachment) -> Picture | None:
    path = str(each.path)
    try:
        with closing(Reading(path)) as file:
            mime = _mime(file.read(_SIGN)) if 0 < file.size <= LIMIT else ""
            return Picture(path, mime, file.size) if mime else None
    except OSError:
        return None


def _mime(begin: bytes) -> str:
    """What it is, by how it begins: names and types of strangers tell less."""
    if begin.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if begin.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if begin.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP" else ""


class Body:
    """A request's JSON in which pictures stand, of known length; read anew for each try. ``left``: all of it has
    been read."""

    def __init__(self, body: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        self.left = False
        rest = json.dumps(body, allow_nan=False)
        self._pieces: list[bytes | Picture] = []
        for picture in pictures:
            before, _, rest = rest.partition(picture.mark)
            self._pieces += [before.encode(), picture]
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


def refused(status: int, said: bytes) -> bool:
    """Whether an endpoint that was shown pictures has refused because of them, as far as can be told."""
    return status in (400, 413, 415, 422) or (
        status in (404, 500, 501) and any(word in said.lower() for word in _ABOUT)
    )


def near(base_url: str) -> bool:
    """Whether who answers there lives on this machine, and can open its files."""
    host = urlsplit(base_url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
