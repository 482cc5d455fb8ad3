"""Parse: updates as a neutral message; pure.

Shapes: core.telegram.org/bots/api "Update", "Message", "MessageEntity". Several updates are one
message when they are an album.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Literal, Mapping, Sequence

from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, dict_of, need, seconds_of
from hermes_green.core.model import Attachment, ChatType, Inbound, Peer, Quote, Reaction

KINDS = ("message", "edited_message", "channel_post", "edited_channel_post")
REACTION = "message_reaction"
# What is asked for; the platform remembers it. Reactions are told in direct chats, and to administrators.
ASKED = (*KINDS, REACTION)

_TYPES: Mapping[str, ChatType] = {"private": "dm", "group": "group", "supergroup": "group", "channel": "channel"}
_MEDIA: Mapping[str, tuple[Literal["image", "file", "audio", "video"], str]] = {
    "animation": ("video", "animation"),  # comes with a copy under "document"
    "photo": ("image", "image"),
    "video": ("video", "video"),
    "video_note": ("video", "video"),
    "voice": ("audio", "audio"),
    "audio": ("audio", "audio"),
    "document": ("file", "file"),
}
# What stands for content that is no text: its name, and which of its fields say more.
_SHOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "sticker": ("sticker", ("emoji",)),
    "venue": ("venue", ("title", "address")),
    "location": ("location", ("latitude", "longitude")),
    "contact": ("contact", ("first_name", "last_name", "phone_number")),
    "poll": ("poll", ("question",)),
    "dice": ("dice", ("emoji", "value")),
    "game": ("game", ("title",)),
    "checklist": ("checklist", ("title",)),
    "invoice": ("invoice", ("title",)),
    "story": ("story", ()),
    "paid_media": ("paid media", ()),
    "giveaway": ("giveaway", ()),
    "giveaway_winners": ("giveaway", ()),
}
# Fields that a message has whatever it says; what has nothing else that we know is not understood.
_ENVELOPE = frozenset(
    "message_id message_thread_id direct_messages_topic from sender_chat sender_boost_count sender_business_bot"
    " date business_connection_id chat forward_origin is_topic_message is_automatic_forward reply_to_message"
    " external_reply quote reply_to_story reply_to_checklist_task_id via_bot edit_date has_protected_content"
    " is_from_offline is_paid_post media_group_id author_signature paid_star_count reply_markup sender_tag".split()
)
_SERVICE = (
    "new_chat_", "left_chat_", "delete_chat_", "group_chat_", "supergroup_chat_", "channel_chat_", "message_auto_",
    "migrate_", "pinned_", "successful_", "refunded_", "users_shared", "chat_", "connected_", "write_access_",
    "passport_", "proximity_", "boost_", "forum_", "general_forum_", "giveaway_", "video_chat_", "web_app_",
    "checklist_tasks_", "direct_message_", "paid_message_", "suggested_post_", "gift", "unique_gift",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are. ``all_messages``: in groups we are sent more than what addresses us."""

    id: int = 0
    username: str = ""
    all_messages: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """A text without what only addresses us; whether anything in it did."""

    text: str
    addressed: bool


def gathered(updates: Sequence[Any]) -> Iterator[list[Any]]:
    """The updates in order, those of one album together."""
    group: list[Any] = []
    for update in updates:
        if group and (not album_of(update) or album_of(update) != album_of(group[0])):
            yield group
            group = []
        group.append(update)
    if group:
        yield group


def album_of(update: Any) -> str:
    """Which album an update belongs to, or ""."""
    if not isinstance(update, dict):
        return ""
    for kind in ("message", "channel_post"):
        message = update.get(kind)
        if isinstance(message, dict) and isinstance(message.get("media_group_id"), str):
            return f"{kind}:{message['media_group_id']}"
    return ""


def update_id_of(update: Any) -> int | None:
    """The number of an update, None where there is none."""
    value = update.get("update_id") if isinstance(update, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def moved(update: Any) -> tuple[str, str] | None:
    """(old, new) where a group became a supergroup with another id."""
    message = update.get("message") if isinstance(update, dict) else None
    if not isinstance(message, dict) or not isinstance(message.get("chat"), dict):
        return None
    here = message["chat"].get("id")
    to, origin = message.get("migrate_to_chat_id"), message.get("migrate_from_chat_id")
    old, new = (here, to) if to else (origin, here)
    return (str(old), str(new)) if isinstance(old, int) and isinstance(new, int) else None


@bordered
def parse(updates: Sequence[Any], child: str, bot: Bot) -> Inbound | None:
    """The neutral message in an update (or in an album's); None means valid, but not for us.

    Raises:
        BadFrame: no update, or one with a message that lacks what makes it one.
    """
    found = [each for each in (_parse(update, child, bot) for update in updates) if each is not None]
    if len(found) < 2:
        return found[0] if found else None
    first = found[0]
    said = [each.text for each in found if not each.text.startswith("[")] or [first.text]
    return Inbound(
        keys=tuple(key for each in found for key in each.keys),
        peer=first.peer,
        message_id=first.message_id,
        text="\n".join(said),
        attachments=tuple(item for each in found for item in each.attachments),
        reply_ref=first.reply_ref,
        mentioned=any(each.mentioned for each in found),
        sent_at=first.sent_at,
        quote=first.quote,
        bot=first.bot,
    )


def _parse(update: Any, child: str, bot: Bot) -> Inbound | None:
    if update_id_of(update) is None:
        raise BadFrame("an update without update_id")
    if REACTION in update:
        return _reaction(need(update, REACTION, dict), child, bot)
    kind = next((kind for kind in KINDS if kind in update), None)
    if kind is None:
        if len(update) < 2:
            raise BadFrame("an update without content")
        return None
    message = update[kind]
    if not isinstance(message, dict):
        raise BadFrame(f"{kind} is not an object")
    chat = need(message, "chat", dict)
    chat_id, message_id = need(chat, "id", int), need(message, "message_id", int)
    chat_type = _TYPES.get(need(chat, "type", str))
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
    heard = _heard(message, text, bot, chat_type)
    who = group or sender
    user_id = need(who, "id", int) if who else None
    thread = message.get("message_thread_id") if message.get("is_topic_message") is True else None
    key = f"{chat_id}:{message_id}" + (f":{message.get('edit_date')}" if edited else "")
    return Inbound(
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
        text=heard.text or _stand_in(message, attachments),
        attachments=attachments,
        # In a direct chat nobody needs to be told which message is answered.
        reply_ref={} if chat_type == "dm" else {"message_id": str(message_id)},
        mentioned=chat_type == "dm" or heard.addressed,
        sent_at=seconds_of(message.get("edit_date") if edited else message.get("date")),
        quote=_quote(message),
        bot=by_bot,
    )


def _reaction(body: Mapping[str, Any], child: str, bot: Bot) -> Inbound | None:
    """Somebody's reactions to a message, as a change of what was there: what was put there, or else what
    was taken away."""
    chat = need(body, "chat", dict)
    chat_id, message_id = need(chat, "id", int), need(body, "message_id", int)
    chat_type = _TYPES.get(need(chat, "type", str))
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


def _emojis(listed: Any) -> list[str]:
    """Reactions by themselves; those of a set of its own by their id."""
    found = [dict_of(each) for each in listed] if isinstance(listed, list) else []
    return [str(each.get("emoji") or each.get("custom_emoji_id") or each.get("type")) for each in found]


def _content(message: Mapping[str, Any]) -> tuple[str, tuple[Attachment, ...]] | None:
    """Text (or caption) and media; None for service messages.

    Raises:
        BadFrame: nothing that we know.
    """
    text = message.get("text", message.get("caption", ""))
    if not isinstance(text, str):
        raise BadFrame("a text that is none")
    for field in _MEDIA:
        if field in message:
            return text, (_attachment(field, message[field]),)
    if text or any(field in message for field in _SHOWN):
        return text, ()
    rest = [field for field in message if field not in _ENVELOPE]
    if any(field.startswith(_SERVICE) for field in rest):
        return None
    raise BadFrame(f"a message with nothing that is known: {', '.join(rest)[:80] or 'empty'}")


def _attachment(field: str, value: Any) -> Attachment:
    if field == "photo":
        # The sizes of one picture, smallest first.
        value = value[-1] if isinstance(value, list) and value else None
    if not isinstance(value, dict):
        raise BadFrame(f"{field} is not an object")
    size, name, mime = value.get("file_size"), value.get("file_name"), value.get("mime_type")
    return Attachment(
        kind=_MEDIA[field][0],
        ref={"file_id": need(value, "file_id", str)},
        name=name if isinstance(name, str) else "",
        mime=mime if isinstance(mime, str) else "image/jpeg" if field == "photo" else "",
        size=size if isinstance(size, int) else None,
    )


def _stand_in(message: Mapping[str, Any], attachments: Sequence[Attachment]) -> str:
    """What is shown for a message without words."""
    for field, (_, name) in _MEDIA.items():
        if field in message:
            return f"[{name}: {attachments[0].name}]" if attachments[0].name else f"[{name}]"
    for field, (name, more) in _SHOWN.items():
        if field in message:
            facts = dict_of(message[field])
            said = " ".join(str(facts[each])[:200] for each in more if facts.get(each) not in (None, ""))
            return f"[{name}: {said}]" if said else f"[{name}]"
    return ""


def _heard(message: Mapping[str, Any], text: str, bot: Bot, chat_type: str) -> Heard:
    """Who is addressed stands in entities; their offsets count UTF-16 code units."""
    entities = message.get("entities" if "text" in message else "caption_entities")
    raw = text.encode("utf-16-le", "surrogatepass")
    ours, name = False, f"@{bot.username}".lower()
    cuts: list[tuple[int, int]] = []
    for entity in entities if isinstance(entities, list) else ():
        kind, offset, length = entity["type"], entity["offset"], entity["length"]
        begin, end = 2 * int(offset), 2 * (int(offset) + int(length))
        said = raw[begin:end].decode("utf-16-le", "replace")
        if kind == "mention" and bot.username and said.lower() == name:
            cuts.append((begin, end))
        elif kind == "text_mention" and dict_of(entity.get("user")).get("id") == bot.id:
            cuts.append((begin, end))
        elif kind == "bot_command" and bot.username and said.lower().endswith(name):
            cuts.append((end - len(name.encode("utf-16-le")), end))
        elif kind == "bot_command" and "@" not in said and begin == 0 and not bot.all_messages:
            # With privacy on, a command that names nobody is sent to the bot it is for.
            ours = True
    words = _without(raw, cuts)
    return Heard(words.strip() if cuts else words, ours or bool(cuts) or _answers_us(message, bot))


def _without(raw: bytes, cuts: Sequence[tuple[int, int]]) -> str:
    """The text without these places, and without the blank that a name leaves behind."""
    kept, position = [], 0
    for begin, end in sorted(cuts):
        kept.append(raw[position:begin])
        alone = begin == 0 or raw[begin - 2 : begin] in (b" \0", b"\n\0")
        position = end + 2 if alone and raw[end : end + 2] == b" \0" else end
    kept.append(raw[position:])
    return b"".join(kept).decode("utf-16-le", "surrogatepass")


def _answers_us(message: Mapping[str, Any], bot: Bot) -> bool:
    """Whether it replies to a message of ours."""
    return bool(bot.id) and dict_of(_answered(message).get("from")).get("id") == bot.id


def _answered(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message that it replies to; in a topic everything replies to what opened it, which is none."""
    answered = dict_of(message.get("reply_to_message"))
    if message.get("is_topic_message") is True and answered.get("message_id") == message.get("message_thread_id"):
        return {}
    return answered


def _quote(message: Mapping[str, Any]) -> Quote | None:
    """What it answers. ``quote`` is the part of it that the user chose; ``external_reply`` stands in another
    chat, and only that part of it is told."""
    answered, chosen = _answered(message), dict_of(message.get("quote")).get("text")
    elsewhere = dict_of(message.get("external_reply"))
    if not answered and not elsewhere:
        return None
    try:
        text, media = _content(answered) or ("", ())
    except BadFrame:
        text, media = "", ()
    words = chosen if isinstance(chosen, str) and chosen else text or _stand_in(answered, media)
    author = dict_of(answered.get("sender_chat")) or dict_of(answered.get("from"))
    who = _name(author) or _name(dict_of(dict_of(elsewhere.get("origin")).get("sender_user")))
    if not words and not media:
        return None
    return Quote(words, who, str(answered.get("message_id") or ""), media)


def _name(who: Mapping[str, Any]) -> str:
    names = (who.get(name) for name in ("first_name", "last_name"))
    return " ".join(name for name in names if isinstance(name, str) and name) or str(who.get("title") or "")
