"""Files on the simulated WeCom: what users sent, encrypted each with its own key; what the bot uploaded."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import os
import secrets
from dataclasses import dataclass, field
from typing import Any, Mapping
from urllib.parse import quote

CHUNK = 512 * 1024
CHUNKS = 100
MB = 1024 * 1024
LIMITS = {"image": 2 * MB, "voice": 2 * MB, "video": 10 * MB, "file": 20 * MB}
SESSION_TTL = 1800.0
MEDIA_TTL = 3 * 86400.0
BLOCK = 32


class Refused(Exception):
    """A request that is not done. ``wrong``: the client broke the protocol, and did not only ask too late."""

    def __init__(self, code: int, text: str, wrong: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.wrong = wrong


@dataclass(frozen=True, slots=True)
class Served:
    """A file that a user sent: as it is served, and until when (monotonic)."""

    name: str
    data: bytes
    until: float

    def headers(self) -> dict[str, str]:
        """The name stands in a header only."""
        shown = f"attachment; filename*=UTF-8''{quote(self.name)}"
        return {"Content-Type": "application/octet-stream", "Content-Disposition": shown}


def encrypted(data: bytes) -> tuple[bytes, str]:
    """AES-256-CBC with a new key, which is its vector too; PKCS#7 over 32 bytes. The key comes in base64."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = os.urandom(32)
    padding = BLOCK - len(data) % BLOCK
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).encryptor()
    cipher = encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize()
    return cipher, base64.b64encode(key).decode()


@dataclass(slots=True)
class _Upload:
    kind: str
    name: str
    size: int
    count: int
    md5: str
    until: float
    chunks: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Medium:
    """Something the bot uploaded; ``until`` is monotonic."""

    kind: str
    name: str
    data: bytes
    until: float


class Uploads:
    """Three steps: init, chunks in any order, finish. Times are monotonic and come in by the door."""

    def __init__(self) -> None:
        self.media: dict[str, Medium] = {}
        self._open: dict[str, _Upload] = {}

    def init(self, body: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Begin; answers the upload's id."""
        kind, name, size, count = (body.get(key) for key in ("type", "filename", "total_size", "total_chunks"))
        if kind not in LIMITS or not isinstance(name, str) or not name:
            raise Refused(40058, "type or filename", wrong=True)
        if not isinstance(size, int) or not 5 < size:
            raise Refused(40058, "total_size: more than 5 bytes", wrong=True)
        if size > LIMITS[kind]:
            raise Refused(40058, f"a {kind} of {size} bytes", wrong=True)
        if count != math.ceil(size / CHUNK) or count > CHUNKS:
            raise Refused(40058, f"total_chunks {count} for {size} bytes", wrong=True)
        upload_id = secrets.token_hex(12)
        self._open[upload_id] = _Upload(kind, name, size, count, str(body.get("md5") or ""), now + SESSION_TTL)
        return {"upload_id": upload_id}

    def chunk(self, body: Mapping[str, Any], now: float) -> dict[str, Any]:
        """One piece; the same again is no fault."""
        upload, index = self._of(body, now), body.get("chunk_index")
        if not isinstance(index, int) or not 0 <= index < upload.count:
            raise Refused(40058, f"chunk_index {index}", wrong=True)
        try:
            data = base64.b64decode(str(body.get("base64_data") or ""), validate=True)
        except binascii.Error:
            raise Refused(40058, "base64_data", wrong=True) from None
        if not 0 < len(data) <= CHUNK:
            raise Refused(40058, f"a chunk of {len(data)} bytes", wrong=True)
        upload.chunks[index] = data
        return {}

    def finish(self, body: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Join the pieces; answers the medium's id."""
        upload = self._of(body, now)
        data = b"".join(upload.chunks.get(index, b"") for index in range(upload.count))
        if len(data) != upload.size or (upload.md5 and hashlib.md5(data).hexdigest() != upload.md5):
            raise Refused(40058, "size or md5 differ", wrong=True)
        del self._open[str(body.get("upload_id"))]
        media_id = secrets.token_urlsafe(24)
        self.media[media_id] = Medium(upload.kind, upload.name, data, now + MEDIA_TTL)
        return {"type": upload.kind, "media_id": media_id, "created_at": "0"}

    def medium(self, kind: str, media_id: Any, now: float) -> Medium:
        """What a message names."""
        found = self.media.get(str(media_id))
        if found is None or found.until < now or found.kind != kind:
            raise Refused(40007, "invalid media_id", wrong=True)
        return found

    def _of(self, body: Mapping[str, Any], now: float) -> _Upload:
        upload = self._open.get(str(body.get("upload_id")))
        if upload is None or upload.until < now:
            raise Refused(40058, "no such upload", wrong=True)
        return upload
