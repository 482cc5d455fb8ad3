"""From an event's JSON to a neutral message; pure.

Shapes: open.feishu.cn "Receive message" (schema 2.0) and lark-oapi 1.7.5 ``api/im/v1/model``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from hermes_green.core.kinds import Kind, kinds_of
from hermes_green.core.loose import bordered, dict_of, list_of, need, object_in, objects_of, seconds_of, text_at
from hermes_green.core.model import Attachment, Inbound, Peer, Quote, Reaction
from hermes_green.core.text import reworded

MESSAGE = "im.message.receive_v1"
REACTIONS: Mapping[str, bool] = {"im.message.reaction.created_v1": True, "im.message.reaction.deleted_v1": False}

_MENTION = re.compile(r"(@_(?:user_\d+|all))( ?)")
KINDS = kinds_of(Path(__file__).with_name("kinds.txt").read_text("utf-8"))
KNOWN = frozenset({"text", "post", *KINDS})


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are on the platform, as far as is known; both empty before the platform has told."""

    open_id: str = ""
    name: str = ""

    def is_me(self, mention: Mapping[str, Any]) -> bool:
        """Does a ``mentions`` entry mean us? Without our open_id, a mentioned bot of our name does,
        or, where the name is unknown too, any bot: without ``im:message.group_msg`` a group's messages
        only reach the bots they mention."""
        if self.open_id:
            return text_at(dict_of(mention.get("id")), "open_id") == self.open_id
        if text_at(mention, "mentioned_type") != "bot":
            return False
        return not self.name or text_at(mention, "name") == self.name


@bordered
def parse(payload: bytes, *, child: str, bot: Bot = Bot()) -> Inbound | None:
    """The neutral message in one event; None means valid, but not for us.

    Everything but messages and reactions is not for us: recalls, chats entered, members, cards; nor is what
    we do ourselves, which comes back where it is a reaction.

    Raises:
        BadFrame: not an event, or a message event without what a message must have.
    """
    event = object_in(payload)
    header = dict_of(event.get("header"))
    happened = text_at(header, "event_type")
    if happened in REACTIONS:
        return _reaction(dict_of(event.get("event")), text_at(header, "event_id"), REACTIONS[happened], child)
    if happened != MESSAGE:
        return None
    body = need(event, "event", dict)
    message = need(body, "message", dict)
    message_id, chat_id = need(message, "message_id"), need(message, "chat_id")
    kind = need(message, "message_type")
    sender = dict_of(body.get("sender"))
    user_id = text_at(dict_of(sender.get("sender_id")), "open_id")
    by_bot = text_at(sender, "sender_type") in ("app", "bot")
    # Whose words a bot's are can only be told by ids: ours must not come back to us.
    ours = user_id == bot.open_id if user_id and bot.open_id else by_bot
    if ours or kind == "system":
        return None
    dm = text_at(message, "chat_type") == "p2p"
    thread_id = text_at(message, "thread_id") or None
    mentions = objects_of(message.get("mentions"))
    text, attachments = _body(kind, _content(message, kind), message_id)
    event_id = text_at(header, "event_id")
    return Inbound(
        keys=(event_id, message_id) if event_id else (message_id,),
        peer=Peer(child, chat_id, "dm" if dm else "group", thread_id=thread_id, user_id=user_id or None),
        message_id=message_id,
        text=_named(text, mentions, bot),
        attachments=attachments,
        reply_ref={"message_id": message_id, **({"in_thread": True} if thread_id else {})},
        mentioned=dm or any(bot.is_me(entry) for entry in mentions),
        sent_at=seconds_of(text_at(message, "create_time"), 1000),
        quote=_answered(message, thread_id),
        bot=by_bot,
        strange="" if kind in KNOWN else kind,
    )


def _reaction(body: dict[str, Any], event_id: str, added: bool, child: str) -> Inbound | None:
    """Somebody's reaction to a message. In which chat the platform does not say: so the rules for direct
    chats hold, and the message is asked for where somebody wants to know."""
    user_id, message_id = text_at(dict_of(body.get("user_id")), "open_id"), text_at(body, "message_id")
    emoji = text_at(dict_of(body.get("reaction_type")), "emoji_type")
    if text_at(body, "operator_type") != "user" or not (user_id and message_id and emoji and event_id):
        return None
    return Inbound(
        keys=(event_id,),
        peer=Peer(child, "", "dm", user_id=user_id),
        message_id=message_id,
        text="",
        sent_at=seconds_of(text_at(body, "action_time"), 1000),
        quote=Quote(message_id=message_id, ref={"message_id": message_id}),
        reaction=Reaction(emoji, added),
    )


def _answered(message: dict[str, Any], thread_id: str | None) -> Quote | None:
    """What it answers, which in a thread is always what opened it, or what was forwarded in it: the frame has its id
    alone."""
    forwarded = text_at(message, "message_type") == "merge_forward"
    id = text_at(message, "message_id" if forwarded else "parent_id")
    opens = thread_id is not None and not forwarded
    return Quote(message_id=id, ref={"message_id": id}, opens=opens) if id else None


@bordered
def quoted(item: Mapping[str, Any], app_id: str, bot: Bot) -> Quote:
    """A message as "Get message" tells it.

    Raises:
        BadFrame: it is none that says anything.
    """
    message_id, kind = text_at(item, "message_id"), text_at(item, "msg_type")
    text, attachments = _body(kind, _content(dict_of(item.get("body")), kind), message_id)
    author = text_at(dict_of(item.get("sender")), "id")
    return Quote(
        text=_named(text, objects_of(item.get("mentions")), bot),
        author=bot.name if bot.name and author == app_id else author,
        message_id=message_id,
        attachments=attachments,
        chat_id=text_at(item, "chat_id"),
    )


def _content(message: dict[str, Any], kind: str) -> dict[str, Any]:
    """What it holds; what was forwarded as one holds a sentence that is always the same, and need not be JSON."""
    raw = message.get("content")
    return object_in("{}" if raw in (None, "") or kind == "merge_forward" else raw)


def _body(kind: str, content: dict[str, Any], message_id: str) -> tuple[str, tuple[Attachment, ...]]:
    """Text and media of one message."""
    if kind == "text":
        return text_at(content, "text"), ()
    if kind == "post":
        return _post(content, message_id)
    if kind == "interactive" and isinstance(content.get("elements"), list):
        # A card is told as a post is, one list of elements for each of its lines.
        text, media = _post({"title": content.get("title"), "content": content["elements"]}, message_id)
        return text or KINDS[kind].shown(), media
    known = KINDS.get(kind) or Kind("", kind[:40])
    # Content and the resource's address know images, and files of all other kinds.
    resource = "image" if known.becomes == "image" else "file"
    key = text_at(content, f"{resource}_key")
    if not (known.becomes and key):
        return known.shown(content), ()
    ref = {"message_id": message_id, "key": key, "type": resource}
    return known.shown(content), (known.attachment(ref, text_at(content, "file_name")),)


def _post(content: dict[str, Any], message_id: str) -> tuple[str, tuple[Attachment, ...]]:
    """A rich text as plain text: its title, then a line per paragraph."""
    if not isinstance(content.get("content"), list):
        # As it is sent, and in some forwarded messages: one body per language.
        content = next((body for body in content.values() if isinstance(body, dict)), {})
    title = text_at(content, "title")
    lines = [title] if title else []
    media: list[Attachment] = []
    for paragraph in list_of(content.get("content")):
        pieces = [_element(element, message_id, media) for element in objects_of(paragraph)]
        lines.append("".join(pieces).strip("\n"))
    return "\n".join(lines), tuple(media)


def _element(element: dict[str, Any], message_id: str, media: list[Attachment]) -> str:
    tag = text_at(element, "tag")
    text = text_at(element, "text")
    if tag == "a":
        href = text_at(element, "href")
        return f"[{text}]({href})" if href and text and text != href else text or href
    if tag == "at":
        # ``user_id`` is the key of an entry in ``mentions``, replaced with those of a text message.
        key = text_at(element, "user_id")
        return key if _MENTION.fullmatch(key) else "@" + (text_at(element, "user_name") or key)
    if tag == "code_block":
        return f"\n```{text_at(element, 'language').lower()}\n{text.rstrip()}\n```\n"
    if tag == "emotion":
        return f":{text_at(element, 'emoji_type')}:"
    if tag == "hr":
        return "---"
    if tag in ("img", "media"):
        shown, found = _body(tag, element, message_id)
        media.extend(found)
        return shown
    return text if text or tag in ("", "text", "md") else f"[{tag[:40]}]"


def _named(text: str, mentions: list[dict[str, Any]], bot: Bot) -> str:
    """Keys become names; our own mention goes, for it is an address and not a part of the message.

    ``@_all`` becomes ``@all``; it addresses the room, not the bot.
    """
    names: dict[str, str] = {}
    for entry in mentions:
        name = " ".join(text_at(entry, "name").split())
        names[text_at(entry, "key")] = "" if bot.is_me(entry) else f"@{name}"
    names["@_all"] = "@all"
    return reworded(text, _MENTION, lambda key: names.get(key[1], key[1])).strip()
