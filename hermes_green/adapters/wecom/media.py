"""Media: files that users sent, decrypted as they come; and files of ours, uploaded over the link in pieces.

Sources: wecom-aibot-sdk 1.0.8 ``crypto.py`` and ``client.py``, @wecom/aibot-node-sdk 1.0.7 ``types``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from contextlib import closing
from typing import Any, Iterable, Iterator, Mapping
from urllib.parse import unquote

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hermes_green.adapters.wecom import wire
from hermes_green.adapters.wecom.exchange import Exchange
from hermes_green.core.errors import LinkLost, SendRetry
from hermes_green.core.model import Called
from hermes_green.link.api import delivered
from hermes_green.link.fair import Fair
from hermes_green.link.files import MIB, Shown, read_file, shown_as
from hermes_green.link.http import Http

CHUNK = 512 * 1024
# PKCS#7 over blocks of 32 bytes, twice the cipher's own.
BLOCK = 32
FILE_LIMIT = 20 * MIB
KINDS: Mapping[str, Shown[str]] = {
    "image": Shown("image", (".jpg", ".jpeg", ".png", ".gif"), 2 * MIB),
    "audio": Shown("voice", (".amr",), 2 * MIB),
    "video": Shown("video", (".mp4",), 10 * MIB),
}


# --- in --------------------------------------------------------------------------------------------


def fetched(http: Http, url: str, aeskey: str) -> Iterator[Any]:
    """The bytes at an address that the platform handed out, which is good for five minutes; before them what
    the file is called, which no frame tells.

    Raises:
        LinkLost: they cannot be had, or are not what the key was made for.
    """
    with closing(http.stream("GET", url, first=20.0, pause=20.0, total=300.0)) as answer:
        pieces = delivered(answer)
        name = name_in(answer.headers.get("Content-Disposition", ""))
        if answer.status == 200 and name:
            yield Called(name)
        yield from decrypted(pieces, aeskey) if aeskey else pieces


def name_in(disposition: str) -> str:
    """The file's name in a Content-Disposition, "" where there is none; both official clients read it so."""
    starred = re.search(r"filename\*\s*=\s*UTF-8''([^;\s]+)", disposition, re.IGNORECASE)
    plain = re.search(r'filename\s*=\s*(?:"([^"]*)"|([^;\s]+))', disposition, re.IGNORECASE)
    found = starred or plain
    return unquote(next(filter(None, found.groups()), "")) if found else ""


def decrypted(pieces: Iterable[bytes], aeskey: str) -> Iterator[bytes]:
    """AES-256-CBC; the file's own key is its vector too, and comes without the padding of base64.

    Raises:
        LinkLost: no such key, or the last block is not what this key was made for.
    """
    try:
        key = base64.b64decode(aeskey + "=" * (-len(aeskey) % 4))
        decryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).decryptor()
    except (binascii.Error, ValueError):
        raise LinkLost("the file's key is none", code="aeskey") from None
    held = b""
    for piece in pieces:
        held += decryptor.update(piece)
        if len(held) > BLOCK:
            yield held[:-BLOCK]
            held = held[-BLOCK:]
    try:
        held += decryptor.finalize()
    except ValueError:
        raise LinkLost("the file is cut short", code="truncated") from None
    padding = held[-1] if held else 0
    if not 1 <= padding <= min(BLOCK, len(held)) or held[-padding:] != bytes([padding]) * padding:
        raise LinkLost("the file does not fit its key", code="padding")
    yield held[:-padding]


# --- out -------------------------------------------------------------------------------------------


def upload(link: Exchange, media: Mapping[str, Any]) -> tuple[str, str]:
    """Bring a file to the platform: the platform's kind, and its id. Raises SendError."""
    name, data = read_file(media, FILE_LIMIT)
    kind = shown_as(media, KINDS, len(data)) or "file"
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    digest, fair = hashlib.md5(usedforsecurity=False), Fair()
    for chunk in chunks:
        fair.breathe()
        digest.update(chunk)
    begun = {
        "type": kind,
        "filename": name,
        "total_size": len(data),
        "total_chunks": len(chunks),
        "md5": digest.hexdigest(),
    }
    upload_id = _said(link.ask(wire.UPLOAD_INIT, begun).body, "upload_id")
    for index, chunk in enumerate(chunks):
        piece = {"upload_id": upload_id, "chunk_index": index, "base64_data": base64.b64encode(chunk).decode()}
        link.ask(wire.UPLOAD_CHUNK, piece)
    return kind, _said(link.ask(wire.UPLOAD_FINISH, {"upload_id": upload_id}).body, "media_id")


def _said(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise SendRetry(f"an upload was answered without {name}", after=5.0, code=name)
    return value
