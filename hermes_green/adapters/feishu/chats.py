"""Chats: how a message gets into one, as an answer to another or by itself."""

from __future__ import annotations

from typing import Any, Mapping
from urllib.parse import quote

from hermes_green.adapters.feishu import render as bodies
from hermes_green.adapters.feishu.codes import BAD_CONTENT, LOST_ANCHOR, number
from hermes_green.adapters.feishu.files import Files
from hermes_green.adapters.feishu.rest import MESSAGES, Rest
from hermes_green.core.errors import SendRefused
from hermes_green.core.model import Part, Peer
from hermes_green.core.ports import Context


class Chats:
    """What one account writes. Methods raise SendError, or AuthRejected for the credentials."""

    def __init__(self, rest: Rest, ctx: Context) -> None:
        self._rest = rest
        self._ctx = ctx
        self._files = Files(rest)

    def deliver(self, part: Part) -> str:
        """Bring one part to its chat, rich text at most once more as plain text; the message's id."""
        media = part.payload.get("media")
        if media is not None:
            return self.post(part.peer, part.reply_ref, part.key, *self._files.bring(part.key, media))
        try:
            return self.post(part.peer, part.reply_ref, part.key, *bodies.body_of(part.payload))
        except SendRefused as refused:
            if "rows" not in part.payload or number(refused) not in BAD_CONTENT:
                raise
        self._ctx.count("sends", "plain")
        return self.post(part.peer, part.reply_ref, part.key, *bodies.body_of(part.payload, plain=True))

    def post(self, peer: Peer, ref: Mapping[str, Any], key: str, kind: str, content: str) -> str:
        """Reply to the message ``ref`` names, else write to the chat; ``key`` is the message's uuid, so that
        a repeat within the hour answers with the first message."""
        body: dict[str, Any] = {"msg_type": kind, "content": content, "uuid": key}
        anchor = str(ref.get("message_id") or "")
        if anchor:
            path = f"{MESSAGES}/{quote(anchor, safe='')}/reply"
            try:
                return self._id(path, {**body, "reply_in_thread": bool(ref.get("in_thread"))})
            except SendRefused as refused:
                if number(refused) not in LOST_ANCHOR:
                    raise
            self._ctx.count("sends", "anchor_lost")
        params = {"receive_id_type": receive_id_type(peer.chat_id)}
        return self._id(MESSAGES, {**body, "receive_id": peer.chat_id}, params)

    def _id(self, path: str, body: Mapping[str, Any], params: Mapping[str, str] | None = None) -> str:
        return str(self._rest.call("POST", path, body, params).get("message_id") or "")


def receive_id_type(chat_id: str) -> str:
    """Which kind of id the platform is to look up; its prefixes tell all but a tenant's own user ids."""
    for prefix, kind in (("oc_", "chat_id"), ("ou_", "open_id"), ("on_", "union_id")):
        if chat_id.startswith(prefix):
            return kind
    return "email" if "@" in chat_id else "user_id"
