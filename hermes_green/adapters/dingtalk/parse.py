"""From a robot callback's data to a neutral message; pure.

Shapes: dingtalk-stream 0.24.3 ``chatbot.py`` (ChatbotMessage) and payloads captured by users of the
Stream mode. Read by hand: the SDK's class gives up on a message with one odd field, and keeps the
content of voice, video and files aside.
"""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.core.errors import BadFrame
from hermes_green.core.kinds import Kind
from hermes_green.core.loose import bordered, dict_of, need, objects_of, seconds_of, text_at, text_of
from hermes_green.core.model import Attachment, Inbound, Peer, Quote

GROUP = "2"

# The media of a message by its msgtype.
_NAMED = ("fileName",)
_MEDIA: Mapping[str, Kind] = {
    "picture": Kind("image", "image", _NAMED),
    "audio": Kind("audio", "audio", _NAMED),
    "video": Kind("video", "video", _NAMED),
    "file": Kind("file", "file", _NAMED),
}
KNOWN = frozenset({"text", "richText", *_MEDIA})
_MIMES: Mapping[str, str] = {"audio": "audio/amr", "video": "video/mp4"}


@bordered
def parse(data: Any, *, child: str) -> Inbound | None:
    """The neutral message in a robot callback; None means valid, but not for us (our own words).

    Raises:
        BadFrame: no message, or one without what a message must have.
    """
    if not isinstance(data, dict):
        raise BadFrame(f"a message is a JSON object, not {type(data).__name__}")
    message_id, conversation = need(data, "msgId"), need(data, "conversationId")
    kind = need(data, "msgtype")
    sender, robot = text_of(data.get("senderId")), text_of(data.get("chatbotUserId"))
    if sender and sender == robot:
        return None
    # Users of other organisations have no staff id, and nothing but the webhook reaches them.
    staff = text_of(data.get("senderStaffId"))
    group = str(data.get("conversationType")) == GROUP
    code = text_of(data.get("robotCode"))
    text, attachments = _body(kind, data, code)
    reference = {
        "message_id": message_id,
        "conversation": conversation,
        "webhook": text_of(data.get("sessionWebhook")),
        "until": seconds_of(data.get("sessionWebhookExpiredTime"), 1000),
        "staff": staff,
        "robot": code,
    }
    return Inbound(
        keys=(message_id,),
        peer=Peer(
            child=child,
            chat_id=conversation,
            chat_type="group" if group else "dm",
            user_id=staff or sender or None,
            user_name=text_of(data.get("senderNick")) or None,
        ),
        message_id=message_id,
        text=text,
        attachments=attachments,
        reply_ref={name: value for name, value in reference.items() if value},
        mentioned=not group or _addressed(data, robot),
        sent_at=seconds_of(data.get("createAt"), 1000),
        quote=_quoted(dict_of(data.get("text")), code),
        strange="" if kind in KNOWN else kind,
    )


def _addressed(data: dict[str, Any], robot: str) -> bool:
    """Whether a group's message names the robot. Only such messages are pushed, so one that does not
    say is taken for one."""
    listed = data.get("isInAtList")
    if isinstance(listed, bool):
        return listed
    users = data.get("atUsers")
    if not isinstance(users, list):
        return True
    return any(isinstance(user, dict) and text_of(user.get("dingtalkId")) == robot for user in users)


def _body(kind: str, data: dict[str, Any], robot: str) -> tuple[str, tuple[Attachment, ...]]:
    """Text and media of one message."""
    content = dict_of(data.get("content"))
    if kind == "text":
        return text_of(dict_of(data.get("text")).get("content")).strip(), ()
    if kind == "richText":
        return _rich(content, robot)
    if kind not in _MEDIA:
        return f"[{kind[:40]}]", ()
    media, code = _MEDIA[kind], _code(content)
    text = text_at(content, "recognition").strip() or media.shown(content)
    return text, (_attachment(media.becomes, code, robot, text_at(content, "fileName")),) if code else ()


def _rich(content: dict[str, Any], robot: str) -> tuple[str, tuple[Attachment, ...]]:
    """A mixed message: its pieces in order, pictures as words in the text and as attachments."""
    pieces: list[str] = []
    media: list[Attachment] = []
    for piece in objects_of(content.get("richText")):
        if words := text_at(piece, "text"):
            pieces.append(words)
        if code := _code(piece):
            pieces.append("[image]")
            media.append(_attachment("image", code, robot))
        elif not words and (kind := text_at(piece, "type")) not in ("", "text"):
            pieces.append(f"[{kind[:40]}]")
    return "".join(pieces).strip(), tuple(media)


def _quoted(said: dict[str, Any], robot: str) -> Quote | None:
    """The message that a text answers, with its content as that of messages is; whose it was is not told in a
    way that a reader would know."""
    replied = dict_of(said.get("repliedMsg"))
    if not replied:
        return None
    kind, content = text_of(replied.get("msgType")), dict_of(replied.get("content"))
    words = text_of(content.get("text")).strip()
    media: tuple[Attachment, ...] = ()
    if not words:
        words, media = _body(kind, {"content": content}, robot) if kind and kind != "text" else ("", ())
    return Quote(words, message_id=text_of(replied.get("msgId")), attachments=media) if words or media else None


def _code(content: dict[str, Any]) -> str:
    """What a medium is fetched by."""
    return text_at(content, "downloadCode") or text_at(content, "pictureDownloadCode")


def _attachment(kind: Any, code: str, robot: str, name: str = "") -> Attachment:
    return Attachment(kind=kind, ref={"code": code, "robot": robot}, name=name, mime=_MIMES.get(kind, ""))
