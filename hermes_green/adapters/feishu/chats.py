"""Chats: how messages and files get into them, as an answer to another message or by themselves.

Sources: open.feishu.cn "Send message", "Reply message" (a message's type for each kind of file), "Upload
image" (10 MB), "Upload file" (30 MB, kinds of files).
"""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.adapters.feishu import render as bodies
from hermes_green.adapters.feishu.codes import BadContent, LostAnchor
from hermes_green.adapters.feishu.rest import MESSAGES, Rest
from hermes_green.core.loose import json_of
from hermes_green.core.model import Part, Peer
from hermes_green.core.ports import Context
from hermes_green.link.api import path_of
from hermes_green.link.files import Outgoing, Uploads, outgoing
from hermes_green.link.said import given

IMAGES = "/open-apis/im/v1/images"
FILES = "/open-apis/im/v1/files"

_PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "ico", "tiff", "heic")
_FILES = ("opus", "mp4", "pdf", "doc", "xls", "ppt")
_OFFICE: Mapping[str, str] = {"docx": "doc", "xlsx": "xls", "pptx": "ppt"}
# Which kind of id the platform is to look up, by its beginning.
_IDS: Mapping[str, str] = {"oc_": "chat_id", "ou_": "open_id", "on_": "union_id"}


class Chats:
    """What one account writes. Methods raise SendError, or AuthRejected for the credentials."""

    def __init__(self, rest: Rest, ctx: Context) -> None:
        self._rest = rest
        self._ctx = ctx
        self._uploads: Uploads[tuple[str, str]] = Uploads()

    def post(self, part: Part) -> str:
        """Bring one part to its chat, rich text at most once more as plain text; the message's id."""
        media = part.payload.get("media")
        if media is not None:
            return self._put(part.peer, part.reply_ref, part.key, *self._brought(part.key, media))
        try:
            return self._put(part.peer, part.reply_ref, part.key, *bodies.body_of(part.payload))
        except BadContent:
            if "rows" not in part.payload:
                raise
        self._ctx.count("sends", "plain")
        return self._put(part.peer, part.reply_ref, part.key, *bodies.body_of(part.payload, plain=True))

    def _put(self, peer: Peer, ref: Mapping[str, Any], key: str, kind: str, content: str) -> str:
        """Reply to the message ``ref`` names, else write to the chat; ``key`` is the message's uuid, so that
        a repeat within the hour answers with the first message."""
        body: dict[str, Any] = {"msg_type": kind, "content": content, "uuid": key}
        anchor = ref.get("message_id")
        if anchor:
            reply = {**body, "reply_in_thread": bool(ref.get("in_thread"))}
            try:
                return str(self._rest.call("POST", path_of(MESSAGES, anchor, "reply"), reply).get("message_id") or "")
            except LostAnchor:
                self._ctx.count("sends", "anchor_lost")
        params = {"receive_id_type": receive_id_type(peer.chat_id)}
        sent = self._rest.call("POST", MESSAGES, {**body, "receive_id": peer.chat_id}, params)
        return str(sent.get("message_id") or "")

    # --- files -----------------------------------------------------------------------------------

    def _brought(self, key: str, media: Mapping[str, Any]) -> tuple[str, str]:
        """Upload the medium of the part ``key``, once; its message's type and content. Nobody sees it before a
        message names it."""
        return self._uploads.once(key, lambda: self._upload(media))

    def _upload(self, media: Mapping[str, Any]) -> tuple[str, str]:
        with outgoing(media, bodies.FILE_LIMIT) as file:
            name = " ".join(file.name.split()) or "file"  # a form can carry one line
            ending = name.lower().rpartition(".")[2]
            if media.get("kind") == "image" and ending in _PICTURES and file.size <= bodies.IMAGE_LIMIT:
                return "image", self._sent(IMAGES, {"image_type": "message"}, "image", file, name)
            kind = _OFFICE.get(ending, ending if ending in _FILES else "stream")
            content = self._sent(FILES, {"file_type": kind, "file_name": name}, "file", file, name)
            return {"opus": "audio", "mp4": "media"}.get(kind, "file"), content

    def _sent(self, path: str, fields: Mapping[str, str], field: str, file: Outgoing, name: str) -> str:
        """Upload it; the content of a message that shows it."""
        key = f"{field}_key"
        return json_of({key: given(self._rest.upload(path, file.form(fields, field, name)), key)})


def receive_id_type(chat_id: str) -> str:
    """Which kind of id it is; prefixes tell all but a tenant's own user ids."""
    return _IDS.get(chat_id[:3]) or ("email" if "@" in chat_id else "user_id")
