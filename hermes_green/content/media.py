"""Media: what a reply carries besides words, as payloads of the outbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Sequence

from hermes_green.content.pack import LINE, Piece
from hermes_green.core.model import Attachment

_MIB = 1024 * 1024


def sendable(each: Attachment, limit: int) -> bool:
    """Whether it lies on this disk and, as far as is known, has no more than ``limit`` bytes."""
    return bool(each.path) and (each.size is None or each.size <= limit)


def apology(each: Attachment, limit: int) -> Attachment:
    """The same under a name that says why it cannot be sent, where its size is the reason."""
    if each.size is None or each.size <= limit:
        return each
    return replace(each, name=f"{each.name} ({each.size / _MIB:.1f} MiB > {limit / _MIB:g} MiB)".lstrip())


def payloads(media: Sequence[Attachment]) -> tuple[Mapping[str, Any], ...]:
    """One payload for each medium that lies on this disk: ``{"media": {kind, path, name, mime}}``."""
    return tuple(
        {"media": {"kind": each.kind, "path": each.path, "name": each.name, "mime": each.mime}}
        for each in media
        if each.path
    )


def lost(media: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """Those that lie nowhere, and can only be named."""
    return tuple(each for each in media if not each.path)


def named(each: Attachment) -> str:
    """A line in place of a medium that cannot be sent: it is said, not dropped."""
    return f"[{each.kind}] {each.name}".rstrip()


def lines(media: Sequence[Attachment]) -> tuple[Piece, ...]:
    """Such a line for each, as pieces that follow a reply's own."""
    return tuple(Piece(named(each), gap="\n", rank=LINE) for each in media)
