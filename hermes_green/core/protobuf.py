"""Protobuf: an encoded message cut and pasted as bytes (protobuf.dev "Encoding"), where objects cost too much."""

from __future__ import annotations

from hermes_green.core.errors import BadFrame


def without(raw: bytes, field: int) -> bytes:
    """The encoded message without one of its fields.

    A field is a tag, and what the tag's lowest three bits say: a varint, 8 bytes, a length and so many
    bytes, or 4 bytes.

    Raises:
        BadFrame: not an encoded message.
    """
    kept, at = [], 0
    while at < len(raw):
        start = at
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(raw, at)
        elif kind == 2:
            size, at = _varint(raw, at)
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise BadFrame(f"a field of kind {kind}")
        if at > len(raw):
            raise BadFrame("a field that is cut off")
        if tag >> 3 != field:
            kept.append(raw[start:at])
    return b"".join(kept)


def bytes_field(number: int, data: bytes) -> bytes:
    """A field of fewer than 128 bytes whose number is below 16."""
    return bytes((number << 3 | 2, len(data))) + data


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends."""
    value = shift = 0
    while at < len(raw):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise BadFrame("a number that is cut off")
