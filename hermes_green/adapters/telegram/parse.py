"""Parse: updates as a neutral message; pure.

Shapes: core.telegram.org/bots/api "Update", "Message", "MessageEntity". Several updates are one
message when they are an album.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from hermes_green.core.errors import BadFrame
from hermes_green.core.kinds import Kind, kinds_of
from hermes_green.core.loose import bordered, count_of, dict_of, need, objects_of, seconds_of, text_at, text_of
from hermes_green.core.model import Attachment, ChatType, Inbound, Peer, Quote, Reaction

MESSAGES = ("message", "edited_message", "channel_post", "edited_channel_post")
REACTION = "message_reaction"
# What is asked for; the platform remembers it. Reactions are told in direct chats, and to administrators.
ASKED = (*MESSAGES, REACTION)

_TYPES: Mapping[str, ChatType] = {"private": "dm", "group": "group", "supergroup": "group", "channel": "channel"}
_KINDS = kinds_of(Path(__file__).with_name("kinds.txt").read_text("utf-8"))
_HELD = {field: kind for field, kind in _KINDS.items() if kind.name}
_SERVICE = tuple(field for field, kind in _KINDS.items() if kind.becomes == "service")
_WORDS = "words"


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are. ``all_messages``: in groups we are sent more than what addresses us."""

    id: int = 0
    username: str = ""
    all_messages: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """A text without what only addresses us; whether anything in it did, or it is a command for another bot."""

    text: str
    addressed: bool
    elsewhere: bool


def gathered(updates: Sequence[Any]) -> Iterator[list[Any]]:
    """The updates in order, those of one album together."""
    for album, group in groupby(updates, album_of):
        if album:
            yield list(group)
        else:
            yield from ([update] for update in group)


def album_of(update: Any) -> str:
    """Which album an update belongs to, or ""."""
    for kind in ("message", "channel_post"):
        album = dict_of(dict_of(update).get(kind)).get("media_group_id")
        if isinstance(album, str):
            return f"{kind}:{album}"
    return ""


def update_id_of(update: Any) -> int | None:
    """The number of an update, None where there is none."""
    return count_of(dict_of(update).get("update_id"))


def moved(update: Any) -> tuple[str, str] | None:
    """(old, new) where a group became a supergroup with another id."""
    message = dict_of(dict_of(update).get("message"))
    here = dict_of(message.get("chat")).get("id")
    to, origin = message.get("migrate_to_chat_id"), message.get("migrate_from_chat_id")
    old, new = (here, to) if to else (origin, here)
    return (str(old), str(new)) if isinstance(old, int) and isinstance(new, int) else None


@bordered
def parse(updates: Sequence[Any], child: str, bot: Bot) -> Inbound | None:
    """The neutral message in an update (or in an album's); None means valid, but not for us.

    Raises:
        BadFrame: no update, or one with a message that lacks what makes it one.
    """
    read = [each for each in (_parse(update, child, bot) for update in updates) if each is not None]
    if not read:
        return None
    found = [inbound for inbound, _ in read]
    return replace(
        found[0],
        keys=tuple(key for each in found for key in each.keys),
        text="\n".join(each.text for each in found if each.text) or read[0][1],
        attachments=tuple(item for each in found for item in each.attachments),
        mentioned=any(each.mentioned for each in found),
    )


def _told(value: Any) -> dict[str, Any]:
    """The fields of an object; null is as good as none."""
    return {name: each for name, each in dict_of(value).items() if each is not None}


def _parse(update: Any, child: str, bot: Bot) -> tuple[Inbound, str] | None:
    """What one update says, and what stands for it where nothing is said in words."""
    update = _told(update)
    if update_id_of(update) is None:
        raise BadFrame("an update without update_id")
    if REACTION in update:
        reaction = _reaction(need(update, REACTION, dict), child, bot)
        return (reaction, "") if reaction is not None else None
    kind = next((kind for kind in MESSAGES if kind in update), None)
    if kind is None:
        if len(update) < 2:
            raise BadFrame("an update without content")
        return None
    message = _told(need(update, kind, dict))
    chat_id, message_id, chat_type = _place(message)
    if chat_type is None:
        raise BadFrame("a chat of a kind that is not known")
    sender, group = dict_of(message.get("from")), dict_of(message.get("sender_chat"))
    # An administrator who writes as the group itself comes as a bot, with the group as sender.
    by_bot = sender.get("is_bot") is True and not group
    if (by_bot and sender.get("id") == bot.id) or message.get("is_automatic_forward"):
        return None
    content = _content(message)
    edited = kind.startswith("edited_")
    if content is None or (edited and not content[0]):
        return None
    text, attachments = content
    heard = _heard(message, text, bot)
    if heard.elsewhere and chat_type != "dm":
        return None
    who = group or sender
    user_id = need(who, "id", int) if who else None
    thread = message.get("message_thread_id") if message.get("is_topic_message") is True else None
    key = f"{chat_id}:{message_id}" + (f":{message.get('edit_date')}" if edited else "")
    inbound = Inbound(
        keys=(key,),
        peer=Peer(
            child=child,
            chat_id=str(chat_id),
            chat_type=chat_type,
            thread_id=str(thread) if thread else None,
            user_id=str(user_id) if user_id is not None else None,
            user_name=_name(who) or None,
        ),
        message_id=str(message_id),
        text=heard.text,
        attachments=attachments,
        # In a direct chat nobody needs to be told which message is answered.
        reply_ref={} if chat_type == "dm" else {"message_id": str(message_id)},
        mentioned=chat_type == "dm" or heard.addressed,
        sent_at=seconds_of(message.get("edit_date") if edited else message.get("date")),
        quote=_quote(message),
        bot=by_bot,
    )
    return inbound, _stand_in(message)


def _reaction(body: Mapping[str, Any], child: str, bot: Bot) -> Inbound | None:
    """Somebody's reactions to a message, as a change of what was there: what was put there, or else what
    was taken away."""
    chat_id, message_id, chat_type = _place(body)
    who = dict_of(body.get("actor_chat")) or dict_of(body.get("user"))
    old, new = _emojis(body.get("old_reaction")), _emojis(body.get("new_reaction"))
    added, removed = [each for each in new if each not in old], [each for each in old if each not in new]
    if chat_type is None or who.get("id") in (None, bot.id) or not (added or removed):
        return None
    user_id, when = need(who, "id", int), body.get("date")
    return Inbound(
        keys=(f"{chat_id}:{message_id}:{user_id}:{when}:{'+'.join(new)}",),
        peer=Peer(child, str(chat_id), chat_type, user_id=str(user_id), user_name=_name(who) or None),
        message_id=str(message_id),
        text="",
        sent_at=seconds_of(when),
        bot=who.get("is_bot") is True,
        reaction=Reaction(" ".join(added or removed), bool(added)),
    )


def _place(body: Mapping[str, Any]) -> tuple[int, int, ChatType | None]:
    """Chat and message, and the type of the chat where it is one that is known."""
    chat = need(body, "chat", dict)
    return need(chat, "id", int), need(body, "message_id", int), _TYPES.get(need(chat, "type"))


def _emojis(listed: Any) -> list[str]:
    """Reactions by themselves; those of a set of its own by their id."""
    found = (each.get("emoji") or each.get("custom_emoji_id") or each.get("type") for each in objects_of(listed))
    return [emoji for emoji in map(text_of, found) if emoji]


def _content(message: Mapping[str, Any]) -> tuple[str, tuple[Attachment, ...]] | None:
    """Text (or caption) and media; None for service messages.

    Raises:
        BadFrame: nothing that we know.
    """
    text = message.get("text", message.get("caption", ""))
    if not isinstance(text, str):
        raise BadFrame("a text that is none")
    field, kind = _held(message)
    if field and kind.becomes != _WORDS:
        return text_of(text), (_attachment(field, kind, message[field]),)
    if text or field:
        return text_of(text), ()
    if any(each.startswith(_SERVICE) for each in message):
        return None
    rest = ", ".join(each for each in message if each not in _KINDS)
    raise BadFrame(f"a message with nothing that is known: {rest[:80] or 'empty'}")


def _held(message: Mapping[str, Any]) -> tuple[str, Kind]:
    """What it holds beside words, and under which name; "" nothing."""
    return next(((field, kind) for field, kind in _HELD.items() if field in message), ("", Kind(_WORDS)))


def _attachment(field: str, kind: Kind, value: Any) -> Attachment:
    if field == "photo":
        # The sizes of one picture, smallest first.
        value = value[-1] if isinstance(value, list) and value else None
    if not isinstance(value, dict):
        raise BadFrame(f"{field} is not an object")
    mime = text_at(value, "mime_type") or ("image/jpeg" if field == "photo" else "")
    ref, size = {"file_id": need(value, "file_id")}, count_of(value.get("file_size"))
    return kind.attachment(ref, text_at(value, "file_name"), mime, size)


def _stand_in(message: Mapping[str, Any]) -> str:
    """What is shown for a message without words."""
    field, kind = _held(message)
    return kind.shown(dict_of(message[field])) if field else ""


def _heard(message: Mapping[str, Any], text: str, bot: Bot) -> Heard:
    """Who is addressed, and where words lead, stands in entities; their offsets count UTF-16 code units."""
    raw = text.encode("utf-16-le")
    ours, elsewhere, name = False, False, f"@{bot.username}".lower()
    cuts: list[tuple[int, int, str]] = []
    for entity in objects_of(message.get("entities" if "text" in message else "caption_entities")):
        kind, offset, length = entity["type"], entity["offset"], entity["length"]
        begin, end = 2 * int(offset), 2 * (int(offset) + int(length))
        said = raw[begin:end].decode("utf-16-le", "replace")
        if kind == "mention" and said.lower() == name:
            cuts.append((begin, end, ""))
        elif kind == "text_mention" and dict_of(entity.get("user")).get("id") == bot.id:
            cuts.append((begin, end, ""))
        elif kind == "bot_command" and said.lower().endswith(name):
            cuts.append((end - len(name.encode("utf-16-le")), end, ""))
        elif kind == "text_link" and (url := text_at(entity, "url")):
            cuts += [(begin, begin, "["), (end, end, f"]({url})")]
        elif kind == "bot_command" and begin == 0:
            # With privacy on, a command that names nobody is sent to the bot it is for.
            ours, elsewhere = "@" not in said and not bot.all_messages, "@" in said
    words = _without(raw, cuts)
    addressed = ours or not all(said for *_, said in cuts) or _answers_us(message, bot)
    return Heard(words.strip() if cuts else words, addressed, elsewhere)


def _without(raw: bytes, cuts: Sequence[tuple[int, int, str]]) -> str:
    """The text with words in place of these, and without the blank that a name leaves behind."""
    kept, position = [], 0
    # Of two links side by side one ends before the other begins.
    for begin, end, said in sorted(cuts, key=lambda cut: (cut[0], cut[2] == "[", cut[1])):
        kept += [raw[position:begin], said.encode("utf-16-le")]
        alone = not said and (begin == 0 or raw[begin - 2 : begin] in (b" \0", b"\n\0"))
        position = max(position, end + 2 if alone and raw[end : end + 2] == b" \0" else end)
    kept.append(raw[position:])
    return b"".join(kept).decode("utf-16-le", "replace")


def _answers_us(message: Mapping[str, Any], bot: Bot) -> bool:
    """Whether it replies to a message of ours."""
    return bool(bot.id) and dict_of(_answered(message).get("from")).get("id") == bot.id


def _answered(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message that it replies to; in a topic everything replies to what opened it, which is none."""
    answered = _told(message.get("reply_to_message"))
    if message.get("is_topic_message") is True and answered.get("message_id") == message.get("message_thread_id"):
        return {}
    return answered


def _quote(message: Mapping[str, Any]) -> Quote | None:
    """What it answers. ``quote`` is the part of it that the user chose; ``external_reply`` stands in another
    chat, and only that part of it is told."""
    answered, chosen = _answered(message), text_at(dict_of(message.get("quote")), "text")
    elsewhere = dict_of(message.get("external_reply"))
    if not answered and not elsewhere:
        return None
    try:
        text, media = _content(answered) or ("", ())
    except BadFrame:
        text, media = "", ()
    words = chosen or text or _stand_in(answered)
    author = dict_of(answered.get("sender_chat")) or dict_of(answered.get("from"))
    who = _name(author) or _name(dict_of(dict_of(elsewhere.get("origin")).get("sender_user")))
    if not words and not media:
        return None
    return Quote(words, who, str(answered.get("message_id") or ""), media)


def _name(who: Mapping[str, Any]) -> str:
    names = (text_at(who, "first_name"), text_at(who, "last_name"))
    return " ".join(filter(None, names)) or text_at(who, "title")
