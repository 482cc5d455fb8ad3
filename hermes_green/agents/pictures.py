"""Pictures: what users sent to be looked at, as parts of a request in the OpenAI chat protocol."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from hermes_green.core.model import Attachment
from hermes_green.link.disk import Reading
from hermes_green.link.embedded import Embedded
from hermes_green.link.multipart import pieces_of

# Of one picture, and of all that go along with a message: what common endpoints take.
LIMIT, TOGETHER, MOST = 10 * 1024 * 1024, 20 * 1024 * 1024, 10
_SIGN = 16
# How a refusal names what the endpoint does not take, where its status says nothing.
_ABOUT = (b"image", b"multimodal", b"vision")


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that is a picture, as a request holds it."""

    path: str
    mime: str
    size: int
    data: Embedded

    def part(self) -> Mapping[str, Any]:
        """What names it among a message's parts."""
        return {"type": "image_url", "image_url": {"url": f"data:{self.mime};base64,{self.data.mark}"}}


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
            size = file.size
            mime = _mime(file.read(_SIGN)) if 0 < size <= LIMIT else ""
    except OSError:
        return None
    return Picture(path, mime, size, Embedded(size, lambda: _read(path, size))) if mime else None


def _read(path: str, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of a file. Raises OSError: it cannot be read any more, or became shorter."""
    with closing(Reading(path)) as file:
        yield from pieces_of(file, size)


def _mime(begin: bytes) -> str:
    """What it is, by how it begins: names and types of strangers tell less."""
    if begin.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if begin.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if begin.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP" else ""


def refused(status: int, said: bytes) -> bool:
    """Whether an endpoint that was shown pictures has refused because of them, as far as can be told."""
    return status in (400, 413, 415, 422) or (
        status in (404, 500, 501) and any(word in said.lower() for word in _ABOUT)
    )
