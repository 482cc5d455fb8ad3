"""Files: what the bot sends beside text; uploaded first, seen by nobody until a message names it.

Sources: bot-docs server-inter/message/send-receive/rich-media.md: a file's ``file_info`` may be used again for
as long as its ``ttl`` says, in chats of the same kind.
"""

from __future__ import annotations

import base64
from typing import Any, Mapping

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.render import FILE_LIMIT
from hermes_green.adapters.qq.rest import Rest
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendRefused
from hermes_green.core.model import Part
from hermes_green.core.remembered import Remembered
from hermes_green.link.files import place_of, read_file
from hermes_green.link.said import unseen

# What is no picture, film or voice for the platform goes as a file.
_KINDS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "image": (1, (".png", ".jpg", ".jpeg")),
    "video": (2, (".mp4",)),
    "audio": (3, (".silk",)),
}
_FILE = 4
REMEMBERED = 500
FILE_READ = 60.0


class Files:
    """Uploads of one account. Raises SendError, never SendUnknown; AuthRejected for the credentials."""

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._done: Remembered[str, tuple[str, float]] = Remembered(REMEMBERED)

    def bring(self, part: Part) -> str:
        """Upload the part's medium, once; its ``file_info``.

        Raises:
            SendRefused: it cannot be read or is too large; the sentence says the limit.
        """
        info, until = self._done.get(part.key, ("", 0.0))
        if info and self._clock.monotonic() < until:
            return info
        media = part.payload["media"]
        path, name = place_of(media)
        data = read_file(path, FILE_LIMIT, name)
        kind = kind_of(str(media.get("kind") or ""), name, path)
        body: dict[str, Any] = {"file_type": kind, "srv_send_msg": False}
        if kind == _FILE:
            body["file_name"] = name
        body["file_data"] = base64.b64encode(data).decode()
        with unseen("the upload"):
            said = self._rest.call("POST", wire.files_path(part.peer), body, read=FILE_READ)
        info = str(said.get("file_info") or "")
        if not info:
            raise SendRefused("QQ took the file and gave nothing to send it by", code="file_info")
        ttl = said.get("ttl")
        lives = float(ttl) if isinstance(ttl, (int, float)) and ttl > 0 else 3600.0
        self._done[part.key] = (info, self._clock.monotonic() + lives / 2)
        return info


def kind_of(kind: str, name: str, path: str) -> int:
    """The platform's number for a medium."""
    number, endings = _KINDS.get(kind, (_FILE, ()))
    return number if name.lower().endswith(endings) or path.lower().endswith(endings) else _FILE
