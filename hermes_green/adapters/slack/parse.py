"""Parse: the payload of an ``events_api`` envelope as a neutral message; pure.

Shapes: docs.slack.dev/reference/events (message, app_mention, file_share) and
docs.slack.dev/messaging/formatting-message-text (escapes, mentions, links).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, count_of, dict_of, need, objects_of, text_at
from hermes_green.core.model import Attachment, ChatType, Inbound, Peer, Quote, Reaction, kind_of, together, wordless
from hermes_green.core.text import reworded

# What people and bots write, by the subtypes of their messages; and those by which others tell of something: an
# edit, a deletion, a join and the like (docs.slack.dev/reference/events/message).
_SUBTYPES = frozenset({"", "file_share", "thread_broadcast", "bot_message", "me_message"})
_TOLD = re.compile(
    "message_.*|(channel|group|mpim|bot|reminder)_.*|(un)?pinned_item|ekm_access_denied|tombstone|sh_room_.*"
    "|huddle_thread|assistant_app_thread|document_mention|file_(comment|mention)|joiner_notification.*"
    "|slackbot_response|reply_broadcast"
)
_REACTIONS: Mapping[str, bool] = {"reaction_added": True, "reaction_removed": False}
_GONE = ("tombstone", "hidden_by_limit")
_SLACKBOT = "USLACKBOT"
_TOKEN = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>( ?)")
_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are in the workspace, as far as is known; empty before the platform has told."""

    user_id: str = ""
    bot_id: str = ""
    name: str = ""


@bordered
def parse(payload: Mapping[str, Any], child: str, bot: Bot = Bot()) -> Inbound | None:
    """The neutral message in one event; None means valid, but not for us.

    Raises:
        BadFrame: an event that must be a message lacks what makes it one.
    """
    event = payload.get("event")
    if not isinstance(event, dict):
        if payload.get("type") == "event_callback" or not payload:
            raise BadFrame("an event without its event")
        return None
    kind = text_at(event, "type")
    if kind in _REACTIONS:
        return _reaction(payload, event, child, bot.user_id or _authorized(payload))
    subtype = text_at(event, "subtype")
    if kind not in ("message", "app_mention") or (subtype not in _SUBTYPES and _TOLD.fullmatch(subtype)):
        return None
    if subtype not in _SUBTYPES:
        raise BadFrame(f"a message of the unknown subtype {subtype[:40]!r}")
    us = bot.user_id or _authorized(payload)
    user = text_at(event, "user") or text_at(event, "bot_id")
    if _is_ours(payload, event, bot, us) or user == _SLACKBOT:
        return None
    channel, ts = need(event, "channel"), need(event, "ts")
    if not user:
        raise BadFrame("a message without its user")
    chat_type = _chat_type(text_at(event, "channel_type"), channel)
    raw = text_at(event, "text")
    attachments = _files(event.get("files"))
    text, forwarded = plain(raw, us), _forwarded(event.get("attachments"), us)
    # In channels each question opens a thread, which is the conversation's place from then on.
    thread = text_at(event, "thread_ts") or (ts if chat_type != "dm" else "")
    event_id = text_at(payload, "event_id")
    place = f"{channel}:{ts}"  # a post that mentions us comes as message and as app_mention
    return Inbound(
        keys=(event_id, place) if event_id else (place,),
        peer=Peer(child, channel, chat_type, thread_id=thread or None, user_id=user),
        message_id=ts,
        text=text or wordless(attachments) or ("" if forwarded else _no_words(event)),
        attachments=attachments,
        reply_ref={"message_id": ts, "thread_ts": thread},
        mentioned=chat_type == "dm" or kind == "app_mention" or _mentions(raw, us),
        sent_at=seconds_of(ts),
        quote=forwarded or _opening(event, channel),
        bot=_by_bot(event),
    )


def _reaction(payload: Mapping[str, Any], event: Mapping[str, Any], child: str, us: str) -> Inbound | None:
    """Somebody's reaction to a message; those to files are of before files were messages."""
    item = dict_of(event.get("item"))
    user, emoji, event_id = text_at(event, "user"), text_at(event, "reaction"), text_at(payload, "event_id")
    if item.get("type") != "message" or user in ("", us, _SLACKBOT):
        return None
    channel, ts = need(item, "channel"), need(item, "ts")
    if not emoji or not event_id:
        raise BadFrame("a reaction without its name or its event")
    return Inbound(
        keys=(event_id,),
        peer=Peer(child, channel, _chat_type("", channel), user_id=user),
        message_id=ts,
        text="",
        sent_at=seconds_of(text_at(event, "event_ts")),
        reaction=Reaction(emoji, _REACTIONS[text_at(event, "type")]),
    )


def _by_bot(event: Mapping[str, Any]) -> bool:
    """Whether a bot posted it; an incoming webhook's post may say so by its subtype alone."""
    return text_at(event, "bot_id") != "" or text_at(event, "subtype") == "bot_message"


def _is_ours(payload: Mapping[str, Any], event: Mapping[str, Any], bot: Bot, us: str) -> bool:
    """Whether we have posted it ourselves, for that comes back. Where who we are is not known at all, any
    bot may be us."""
    if _by_bot(event) and not us:
        return True
    app, user, bot_id = text_at(event, "app_id"), text_at(event, "user"), text_at(event, "bot_id")
    return us != "" and user == us or bot_id != "" and bot_id == bot.bot_id or (
        app != "" and app == text_at(payload, "api_app_id")
    )


def quoted(message: Mapping[str, Any], bot: Bot) -> Quote:
    """A message as history tells it."""
    user = text_at(message, "user") or text_at(message, "bot_id")
    ours = user != "" and user in (bot.user_id, bot.bot_id)
    author = bot.name if bot.name and ours else user or text_at(message, "username")
    media = _files(message.get("files"))
    text = plain(text_at(message, "text"), bot.user_id) or wordless(media)
    return Quote(text, author, text_at(message, "ts"), media)


def _opening(event: Mapping[str, Any], channel: str) -> Quote | None:
    """What opened the thread that a message stands in: the frame has its ts alone."""
    root = text_at(event, "thread_ts")
    if not root or root == text_at(event, "ts"):
        return None
    return Quote(message_id=root, ref={"channel": channel, "ts": root}, opens=True)


def plain(text: str, us: str = "") -> str:
    """Text as people see it: escapes undone, mentions, channels and links in words, our own mention gone."""

    def shown(mark: re.Match[str]) -> str:
        ours = mark[1] == "@" and mark[2] == us
        return "" if ours else _word(mark[1], mark[2], mark[3] or "")

    words = reworded(text, _TOKEN, shown)
    for escape, character in _ESCAPES:  # the ampersand last: "&amp;lt;" stands for "&lt;"
        words = words.replace(escape, character)
    return words.strip()


def _mentions(text: str, us: str) -> bool:
    return us != "" and (f"<@{us}>" in text or f"<@{us}|" in text)


def _word(sign: str, target: str, label: str) -> str:
    """What people see of one mention, command or link."""
    if sign == "!" and target in ("here", "channel", "everyone"):
        return f"@{target}"
    if sign in ("@", "#"):
        return sign + (label or target)
    address = target.removeprefix("mailto:")
    if sign or label in ("", target, address):
        return label or address
    return f"[{label}]({target})"


def _chat_type(named: str, channel: str) -> ChatType:
    """``app_mention`` names no type; it does not come from direct messages."""
    if named == "im" or channel.startswith("D"):
        return "dm"
    return "group" if named == "mpim" else "channel"


def _authorized(payload: Mapping[str, Any]) -> str:
    """The bot's user id, as the event itself tells for whom it is."""
    bots = (each for each in objects_of(payload.get("authorizations")) if each.get("is_bot") is True)
    return text_at(next(bots, {}), "user_id")


def _forwarded(listed: Any, us: str) -> Quote | None:
    """Other people's messages that were shared with this one."""
    found = []
    for each in objects_of(listed):
        if each.get("is_share") is True or each.get("is_msg_unfurl") is True:
            author, words = text_at(each, "author_name"), plain(text_at(each, "text"), us)
            if words:
                found.append(Quote(words, author, text_at(each, "ts")))
    return together(found) if found else None


def _files(listed: Any) -> tuple[Attachment, ...]:
    """What was sent along; what is deleted or hidden by a plan's limit is none any more."""
    found = (each for each in objects_of(listed) if text_at(each, "id") and text_at(each, "mode") not in _GONE)
    return tuple(map(_file, found))


def _file(told: Mapping[str, Any]) -> Attachment:
    url, mime = text_at(told, "url_private_download") or text_at(told, "url_private"), text_at(told, "mimetype")
    ref = {"id": text_at(told, "id"), "url": url, "mime": mime}
    return Attachment(kind_of(mime), ref, name=text_at(told, "name"), mime=mime, size=count_of(told.get("size")))


def _no_words(event: Mapping[str, Any]) -> str:
    """A message of nothing we carry is named; an empty one (a bare mention) stays empty."""
    return "[file]" if event.get("files") else "[card]" if event.get("attachments") else ""


def seconds_of(ts: str) -> float | None:
    """Wall seconds of a ``ts``, which is a number of seconds with six digits after the point."""
    whole, _, rest = ts.partition(".")
    digits = whole + rest
    return float(f"{whole}.{rest or 0}") if digits.isascii() and digits.isdigit() and len(whole) <= 11 else None
