"""Frames and payloads of the simulated DingTalk, as captured from the real one; and what is wrong with an ack. Pure."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any, Mapping, Sequence

ROBOT = "/v1.0/im/bot/messages/get"
CARD = "/v1.0/card/instances/callback"
CORP = "dingsimcorp0001"


def new_id(prefix: str = "msg") -> str:
    """A fresh id as the platform forms them."""
    return prefix + base64.b64encode(uuid.uuid4().bytes).decode()


def millis() -> int:
    """Now, as the platform writes times."""
    return int(time.time() * 1000)


def hidden(name: str) -> str:
    """The id of a user or robot that means nothing outside the platform."""
    return "$:LWCP_v1:$" + base64.b64encode(name.encode()).decode()


def frame(kind: str, topic: str, message_id: str, data: Any, **headers: str) -> str:
    """A frame; ``data`` is a string of JSON within it."""
    return json.dumps(
        {
            "specVersion": "1.0",
            "type": kind,
            "headers": {
                "topic": topic,
                "messageId": message_id,
                "contentType": "application/json",
                "time": str(millis()),
                **headers,
            },
            "data": json.dumps(data, ensure_ascii=False),
        },
        ensure_ascii=False,
    )


def event_headers(event_type: str, event_id: str) -> dict[str, str]:
    """What an EVENT's headers say beside the common ones."""
    return {
        "eventType": event_type,
        "eventId": event_id,
        "eventCorpId": CORP,
        "eventBornTime": str(millis()),
        "eventUnifiedAppId": "sim-unified-app",
    }


def robot_message(
    *,
    client_id: str,
    message_id: str,
    chat: str,
    user: str,
    group: bool,
    msgtype: str,
    body: Mapping[str, Any],
    webhook: str,
    webhook_until: float,
    outside: bool = False,
    mentions: Sequence[str] = ("bot",),
) -> dict[str, Any]:
    """What a user wrote to the robot. ``outside``: the user is of another organisation."""
    said: dict[str, Any] = {
        "chatbotCorpId": CORP,
        "chatbotUserId": hidden(client_id),
        "conversationId": chat,
        "conversationType": "2" if group else "1",
        "createAt": millis(),
        "isAdmin": not outside,
        "msgId": message_id,
        "msgtype": msgtype,
        "openThreadId": chat,
        "robotCode": client_id,
        "senderCorpId": "dingothercorp" if outside else CORP,
        "senderId": hidden(user),
        "senderNick": user,
        "senderPlatform": "Mac",
        "sessionWebhook": webhook,
        "sessionWebhookExpiredTime": int(webhook_until * 1000),
        **body,
    }
    if not outside:
        said["senderStaffId"] = user
    if group:
        called = [{"dingtalkId": hidden(client_id if who == "bot" else who)} for who in mentions]
        for entry, who in zip(called, mentions):
            if who != "bot":
                entry["staffId"] = who
        said |= {"conversationTitle": chat, "isInAtList": "bot" in mentions, "atUsers": called}
    return said


def body_of(msgtype: str, text: str, group: bool, code: str) -> dict[str, Any]:
    """The part of a message that its type decides, made from ``text``; ``code`` leads to its file."""
    if msgtype == "text":
        return {"text": {"content": f" {text}" if group else text}}  # where the mention was, a blank stays
    if msgtype == "richText":
        pieces: list[dict[str, Any]] = [
            {"text": f"{line}\n" if more else line}
            for line, more in zip(text.split("\n"), [*text.split("\n")[1:], None])
        ]
        picture = {"type": "picture", "downloadCode": code, "pictureDownloadCode": code}
        return {"content": {"richText": [*pieces, picture]}}
    if msgtype == "picture":
        return {"content": {"downloadCode": code, "pictureDownloadCode": code}}
    if msgtype == "audio":
        return {"content": {"duration": 4000, "downloadCode": code, "recognition": text}}
    if msgtype == "video":
        return {"content": {"duration": 4000, "downloadCode": code, "videoType": "mp4"}}
    if msgtype == "file":
        name = text or "report.pdf"
        return {"content": {"downloadCode": code, "fileName": name, "fileId": "1", "spaceId": "2"}}
    return {"content": {"text": text}}


def replying(text: str) -> dict[str, Any]:
    """What the text of a message has besides when it answers one that said ``text``."""
    replied = {"msgId": new_id(), "msgType": "text", "content": {"text": text}, "createdAt": millis()}
    return {"isReplyMsg": True, "repliedMsg": replied}


def read_ack(raw: str | bytes) -> tuple[str, int, Any]:
    """messageId, code and decoded data of a client's frame.

    Raises:
        ValueError: it is no acknowledgement; the text says why.
    """
    if isinstance(raw, bytes):
        raise ValueError("a binary message where only text is defined")
    body = json.loads(raw)
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    headers = body.get("headers")
    if not isinstance(headers, dict) or not isinstance(headers.get("messageId"), str):
        raise ValueError("no headers.messageId")
    if headers.get("contentType") != "application/json":
        raise ValueError("headers.contentType is not application/json")
    if not isinstance(body.get("code"), int):
        raise ValueError("code is not a number")
    if not isinstance(body.get("data"), str):
        raise ValueError("data is not a string of JSON")
    return headers["messageId"], body["code"], json.loads(body["data"] or "null")
