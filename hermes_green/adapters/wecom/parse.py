"""Parse: a message callback as a neutral message; pure.

Source of the fields: @wecom/aibot-node-sdk 1.0.7 ``types/message`` and the page on receiving messages.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Mapping

from hermes_green.adapters.wecom.wire import CHOSEN, Frame
from hermes_green.core.loose import bordered, dict_of, list_of, need, objects_of, seconds_of, text_at, text_of
from hermes_green.core.model import Attachment, ChatType, Inbound, Peer, Quote

_MENTION = re.compile(r"^\s*@\S+\s*")
_MEDIA: Mapping[str, Literal["image", "file", "video"]] = {"image": "image", "file": "file", "video": "video"}
KNOWN = frozenset({"text", "voice", "mixed", *_MEDIA})


@bordered
def parse(frame: Frame, child: str, bot_name: str = "") -> Inbound | None:
    """The neutral message in one callback; None means valid, but not for us.

    A group's messages reach only the bots they mention, so that all of them are for us. ``bot_name``:
    the bot's own name, where it is known; else a mention at the beginning is taken to end at a blank.

    Raises:
        BadFrame: it lacks what a message must have.
    """
    body = frame.body
    message_id, kind = need(body, "msgid"), need(body, "msgtype")
    chosen = frame.event == CHOSEN
    if kind == "stream" or (kind == "event" and not chosen):
        return None  # "stream" asks webhook bots for the next piece; here pieces are pushed
    user_id = need(dict_of(body.get("from")), "userid")
    group = text_of(body.get("chattype")) == "group"
    chat_type: ChatType = "group" if group else "dm"
    text, attachments = (_choice(body), ()) if chosen else _content(kind, body)
    if group and not chosen:
        text = _addressed(text, bot_name)
    sent_at = seconds_of(body.get("create_time"))
    ref = {"message_id": message_id}
    return Inbound(
        keys=(message_id,),
        peer=Peer(child, need(body, "chatid") if group else user_id, chat_type, user_id=user_id),
        message_id=message_id,
        text=text,
        attachments=attachments,
        # Under an event's id the platform takes no answer, only messages of the bot's own.
        reply_ref=ref if chosen else {"req_id": frame.req_id, **ref, "at": sent_at},
        sent_at=sent_at,
        quote=_quote(body.get("quote")),
        strange="" if chosen or kind in KNOWN else kind,
    )


def _content(kind: str, body: Mapping[str, Any]) -> tuple[str, tuple[Attachment, ...]]:
    """Text and media of a message, or of one that it quotes."""
    part = dict_of(body.get(kind))
    if kind in ("text", "voice"):  # a voice message comes as its transcript
        return text_of(part.get("content")).strip() or ("[voice]" if kind == "voice" else ""), ()
    if kind == "mixed":
        items = part.get("msg_item")
        found = [_content(text_of(item.get("msgtype")), item) for item in list_of(items) if isinstance(item, dict)]
        return "\n".join(text for text, _ in found if text), tuple(each for _, media in found for each in media)
    name = text_of(part.get("filename")) or text_of(part.get("name"))
    text = f"[{kind[:40]}: {name}]" if name else f"[{kind[:40]}]"
    url = text_of(part.get("url"))
    if kind not in _MEDIA or not url:
        return text, ()
    ref = {"url": url, "aeskey": text_of(part.get("aeskey"))}
    return text, (Attachment(kind=_MEDIA[kind], ref=ref, name=name),)


def _choice(body: Mapping[str, Any]) -> str:
    """What a user has chosen on a card: the name of what was pressed, and the answers to its questions."""
    event = dict_of(body.get("event"))
    told = dict_of(event.get(CHOSEN)) or event
    words = [text_at(told, "event_key")]
    for item in objects_of(dict_of(told.get("selected_items")).get("selected_item")):
        options = ", ".join(filter(None, map(text_of, list_of(dict_of(item.get("option_ids")).get("option_id")))))
        words.append(f"{text_at(item, 'question_key')}: {options}" if options else "")
    said = " ".join(filter(None, words))
    return f"[card: {said}]" if said else "[card]"


def _quote(quote: Any) -> Quote | None:
    """The quoted message, shaped as messages are; whose it was is not told."""
    if not isinstance(quote, dict) or not text_of(quote.get("msgtype")):
        return None
    text, media = _content(text_of(quote.get("msgtype")), quote)
    return Quote(text, attachments=media) if text or media else None


def _addressed(text: str, bot_name: str) -> str:
    """The text without the mention of us, which is an address and not a part of the message."""
    mention = re.escape(f"@{bot_name.strip()}")
    # Others' names may begin with ours; where a blank follows it is ours.
    found = bot_name.strip() and (re.search(rf"{mention}(?!\S)", text) or re.search(mention, text))
    if found:
        return " ".join(part for part in (text[: found.start()].strip(), text[found.end() :].strip()) if part)
    return _MENTION.sub("", text)
