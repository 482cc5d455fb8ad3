"""What Feishu accepts as the content of a message, and the plain text a reader would see in it. Pure."""

from __future__ import annotations

import json
from typing import Any

TEXT_BYTES = 150 * 1024
RICH_BYTES = 30 * 1024

_KEYS = {
    "image": "image_key",
    "file": "file_key",
    "audio": "file_key",
    "media": "file_key",
    "sticker": "file_key",
    "share_chat": "chat_id",
    "share_user": "user_id",
}
_POST_TAGS = frozenset("text a at img media emotion hr code_block md".split())


class Refused(Exception):
    """The platform answers with this code; ``status`` is the HTTP status, ``wait`` the seconds of a rate limit."""

    def __init__(self, code: int, text: str, status: int = 400, wait: float = 0.0) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.wait = wait


def check_content(msg_type: Any, content: Any) -> dict[str, Any]:
    """The content as an object.

    Raises:
        Refused: 230001, as for every malformed parameter, or 230099 for a card.
    """
    if not isinstance(content, str):
        raise Refused(230001, "content is not a string of JSON")
    try:
        parsed = json.loads(content)
    except ValueError:
        raise Refused(230001, "content is not in JSON format") from None
    if not isinstance(parsed, dict):
        raise Refused(230001, "content is not a JSON object")
    if msg_type == "text":
        if not isinstance(parsed.get("text"), str) or not parsed["text"]:
            raise Refused(230001, "text is empty")
    elif msg_type == "post":
        _check_post(parsed)
    elif msg_type == "interactive":
        _check_card(parsed)
    elif msg_type in _KEYS:
        if not parsed.get(_KEYS[msg_type]):
            raise Refused(230001, f"{_KEYS[msg_type]} is missing")
    else:
        raise Refused(230001, f"invalid msg_type {msg_type!r}")
    return parsed


def _check_post(parsed: dict[str, Any]) -> None:
    if not parsed:
        raise Refused(230001, "a post has at least one language")
    for language, body in parsed.items():
        lines = body.get("content") if isinstance(body, dict) else None
        if language not in ("zh_cn", "en_us", "ja_jp") or not isinstance(lines, list) or not lines:
            raise Refused(230001, f"post {language!r}: content is not a list of lines")
        for line in lines:
            if not isinstance(line, list):
                raise Refused(230001, "a post's line is a list of elements")
            for element in line:
                if not isinstance(element, dict) or element.get("tag") not in _POST_TAGS:
                    raise Refused(230001, f"unknown element in a post: {element!r}")
                if element["tag"] == "md" and len(line) > 1:
                    raise Refused(230001, "md stands alone on its line")


def _check_card(parsed: dict[str, Any]) -> None:
    if parsed.get("type") in ("card", "template"):
        if not isinstance(parsed.get("data"), dict):
            raise Refused(230099, "Failed to create card content: data is missing")
        return
    if parsed.get("schema") == "2.0":
        elements = (parsed.get("body") or {}).get("elements")
    else:
        elements = parsed.get("elements") or parsed.get("i18n_elements")
    if not isinstance(elements, (list, dict)) or not elements:
        raise Refused(230099, "Failed to create card content: no elements")
    if isinstance(elements, list) and len(elements) > 200:
        raise Refused(230099, "Failed to create card content: too many elements, ErrCode: 11310")


def check_size(msg_type: str, content: str) -> None:
    """Raises Refused 230025 for what is too long, counted in bytes."""
    limit = TEXT_BYTES if msg_type == "text" else RICH_BYTES
    size = len(content.encode())
    if size > limit:
        raise Refused(230025, f"The length of the message content reaches its limit: {size} > {limit}")


def plain_text(msg_type: str, parsed: dict[str, Any]) -> str:
    """What a reader sees, without markup of the platform's own; Markdown stays as it is."""
    if msg_type == "text":
        return str(parsed["text"])
    if msg_type == "post":
        body = next(iter(parsed.values()))
        lines = ["".join(_post_text(element) for element in line) for line in body["content"]]
        return "\n".join([body["title"], *lines] if body.get("title") else lines)
    if msg_type == "interactive":
        return "\n".join(_card_texts(parsed))
    return ""


def _post_text(element: dict[str, Any]) -> str:
    if element["tag"] == "at":
        return f"@{element.get('user_name') or element.get('user_id', '')}"
    return str(element.get("text", ""))


def _card_texts(node: Any) -> list[str]:
    if isinstance(node, list):
        return [text for item in node for text in _card_texts(item)]
    if not isinstance(node, dict):
        return []
    own = [node["content"]] if isinstance(node.get("content"), str) and node.get("tag") else []
    return own + [text for key, value in node.items() if key != "config" for text in _card_texts(value)]
