"""Files: what the bot sends beside text; uploaded first, seen by nobody until a message names it.

Sources: open.feishu.cn "Upload image" (10 MB), "Upload file" (30 MB, kinds of files), "Send message" (a
message's type for each of them).
"""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from hermes_green.adapters.feishu.render import FILE_LIMIT, IMAGE_LIMIT
from hermes_green.adapters.feishu.rest import Rest
from hermes_green.core.errors import SendRetry
from hermes_green.link.files import Outgoing, Uploads, outgoing

IMAGES = "/open-apis/im/v1/images"
FILES = "/open-apis/im/v1/files"

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".ico", ".tiff", ".heic")
_KINDS: Mapping[str, str] = {
    ".opus": "opus",
    ".mp4": "mp4",
    ".pdf": "pdf",
    ".doc": "doc",
    ".docx": "doc",
    ".xls": "xls",
    ".xlsx": "xls",
    ".ppt": "ppt",
    ".pptx": "ppt",
}


class Files:
    """Uploads of one account. Raises SendError, never SendUnknown; AuthRejected for the credentials."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._done: Uploads[tuple[str, str]] = Uploads()

    def bring(self, key: str, media: Mapping[str, Any]) -> tuple[str, str]:
        """Upload the medium of the part ``key``, once; its message's type and content.

        Raises:
            SendRefused: it cannot be read, or is larger than the platform takes; the sentence says so.
        """
        return self._done.once(key, lambda: self._upload(media))

    def _upload(self, media: Mapping[str, Any]) -> tuple[str, str]:
        with outgoing(media, FILE_LIMIT) as file:
            name = shown_name(file.name)
            suffix = os.path.splitext(name.lower())[1]
            if media.get("kind") == "image" and suffix in _PICTURES and file.size <= IMAGE_LIMIT:
                return "image", self._sent(IMAGES, {"image_type": "message"}, "image", "image_key", file, name)
            sort = _KINDS.get(suffix, "stream")
            content = self._sent(FILES, {"file_type": sort, "file_name": name}, "file", "file_key", file, name)
            return {"opus": "audio", "mp4": "media"}.get(sort, "file"), content

    def _sent(self, path: str, fields: Mapping[str, str], field: str, key: str, file: Outgoing, name: str) -> str:
        value = self._rest.upload(path, lambda: file.form(fields, field, name)).get(key)
        if not isinstance(value, str) or not value:
            raise SendRetry(f"an upload was answered without {key}", after=5.0, code=key)
        return json.dumps({key: value})


def shown_name(name: str) -> str:
    """A name that a form can carry: one line."""
    return " ".join(name.split()) or "file"
