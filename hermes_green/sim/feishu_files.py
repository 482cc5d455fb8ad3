"""Files on the simulated Feishu: what users sent along, and what the bot uploaded."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from hermes_green.sim.feishu_content import Refused
from hermes_green.sim.feishu_events import new_id
from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.kit_form import form_of

if TYPE_CHECKING:
    from hermes_green.sim.feishu_rest import Message

IMAGES = "/open-apis/im/v1/images"
FILES = "/open-apis/im/v1/files"
MIB = 1024 * 1024
IMAGE_LIMIT, FILE_LIMIT = 10 * MIB, 30 * MIB
_SORTS = ("opus", "mp4", "pdf", "doc", "xls", "ppt", "stream")
# What a file must have been uploaded as to be shown as a message of this type.
_AS = {"audio": ("opus",), "media": ("mp4",)}


class Files:
    """All files of one simulator."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.sent: dict[str, bytes] = {}  # by users, key -> data
        self.uploaded: dict[str, str] = {}  # by the bot, key -> what it was uploaded as

    def upload(self, request: Request) -> dict[str, Any]:
        """An image or a file; its key. Raises Refused."""
        fields, files = form_of(request)
        image = request.path == IMAGES
        file = files.get("image" if image else "file")
        if file is None or (image and fields.get("image_type") != "message"):
            raise Refused(234001, "Invalid request param")
        if not image and (fields.get("file_type") not in _SORTS or not fields.get("file_name")):
            raise Refused(234001, "Invalid request param: file_type, file_name")
        if not file.data:
            raise Refused(234010, "File's size can't be 0")
        if len(file.data) > (IMAGE_LIMIT if image else FILE_LIMIT):
            raise Refused(234006, "The file size exceed the max value")
        sort = "image" if image else fields["file_type"]
        key = new_id("img_v3_" if image else "file_v3_")
        self.uploaded[key] = sort
        md5 = hashlib.md5(file.data).hexdigest()
        self._log.add("upload", sort=sort, name=fields.get("file_name", ""), size=len(file.data), md5=md5, key=key)
        return {"image_key" if image else "file_key": key}

    def check(self, msg_type: str, parsed: dict[str, Any]) -> None:
        """Whether the bot may send this content. Raises Refused."""
        if msg_type == "image":
            if self.uploaded.get(str(parsed.get("image_key"))) != "image":
                raise Refused(230001, "invalid image_key")
        elif msg_type in ("file", "audio", "media"):
            sort = self.uploaded.get(str(parsed.get("file_key")), "")
            if not sort or sort == "image":
                raise Refused(230001, "invalid file_key")
            if msg_type in _AS and sort not in _AS[msg_type]:
                raise Refused(230055, "The type of file upload does not match the type of message being sent")

    def resource(self, message: Message, key: str, sort: str) -> Answer:
        """A file out of a message. Raises Refused."""
        if sort not in ("image", "file"):
            raise Refused(234001, "Invalid request param: type")
        if key not in message.content or message.msg_type == "sticker":
            raise Refused(234003, "File not in msg")
        if sort == "image" and not key.startswith("img_"):
            raise Refused(234003, "File not in msg")
        data = self.sent.get(key, f"simulated {message.msg_type}".encode())
        name = json.loads(message.content).get("file_name", "") if message.msg_type != "post" else ""
        self._log.add("download", message_id=message.id, key=key, size=len(data))
        kind = "image/png" if sort == "image" else "application/octet-stream"
        return Answer(200, data, {"Content-Type": kind, "X-File-Name": name.encode("ascii", "replace").decode()})
