"""The shapes of what QQ pushes: events, ids and the intents that let them through. Pure."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from html import escape
from typing import Any, Mapping, Sequence

BOT_ID = "14463452147234967021"
BOT_NAME = "sim-bot"

INTENTS = {
    "GUILDS": 1 << 0,
    "GUILD_MEMBERS": 1 << 1,
    "GUILD_MESSAGES": 1 << 9,
    "GUILD_MESSAGE_REACTIONS": 1 << 10,
    "DIRECT_MESSAGE": 1 << 12,
    "OPEN_FORUM_EVENT": 1 << 18,
    "AUDIO_OR_LIVE_CHANNEL_MEMBER": 1 << 19,
    "GROUP_AND_C2C": 1 << 25,
    "INTERACTION": 1 << 26,
    "MESSAGE_AUDIT": 1 << 27,
    "FORUMS": 1 << 28,
    "AUDIO_ACTION": 1 << 29,
    "PUBLIC_GUILD_MESSAGES": 1 << 30,
}
KNOWN_INTENTS = sum(INTENTS.values())
PRIVATE_INTENTS = INTENTS["GUILD_MESSAGES"] | INTENTS["FORUMS"]

SCENE_OF = {
    "c2c": "c2c",
    "dm": "c2c",
    "p2p": "c2c",
    "group": "group",
    "guild": "guild",
    "channel": "guild",
    "direct": "direct",
}
EVENT_OF = {
    "c2c": "C2C_MESSAGE_CREATE",
    "group": "GROUP_AT_MESSAGE_CREATE",
    "guild": "AT_MESSAGE_CREATE",
    "direct": "DIRECT_MESSAGE_CREATE",
}
INTENT_OF = {
    "C2C_MESSAGE_CREATE": INTENTS["GROUP_AND_C2C"],
    "GROUP_AT_MESSAGE_CREATE": INTENTS["GROUP_AND_C2C"],
    "GROUP_MESSAGE_CREATE": INTENTS["GROUP_AND_C2C"],
    "FRIEND_ADD": INTENTS["GROUP_AND_C2C"],
    "FRIEND_DEL": INTENTS["GROUP_AND_C2C"],
    "C2C_MSG_REJECT": INTENTS["GROUP_AND_C2C"],
    "C2C_MSG_RECEIVE": INTENTS["GROUP_AND_C2C"],
    "GROUP_ADD_ROBOT": INTENTS["GROUP_AND_C2C"],
    "GROUP_DEL_ROBOT": INTENTS["GROUP_AND_C2C"],
    "GROUP_MSG_REJECT": INTENTS["GROUP_AND_C2C"],
    "GROUP_MSG_RECEIVE": INTENTS["GROUP_AND_C2C"],
    "INTERACTION_CREATE": INTENTS["INTERACTION"],
    "AT_MESSAGE_CREATE": INTENTS["PUBLIC_GUILD_MESSAGES"],
    "DIRECT_MESSAGE_CREATE": INTENTS["DIRECT_MESSAGE"],
    "MESSAGE_CREATE": INTENTS["GUILD_MESSAGES"],
    "MESSAGE_REACTION_ADD": INTENTS["GUILD_MESSAGE_REACTIONS"],
    "MESSAGE_REACTION_REMOVE": INTENTS["GUILD_MESSAGE_REACTIONS"],
}
USER = "E4F4AEA33253A2797FB897C50B81D7ED"
CHATS = {
    "c2c": USER,
    "group": "C9F778FE6ADF9D1D1DBE395BF744A33A",
    "guild": "2568610",
    "direct": "17093471522735",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that happens, before any session has numbered it."""

    scene: str
    chat: str
    user: str
    t: str
    d: Mapping[str, Any]
    event_id: str
    message_id: str = ""

    def wants(self, intents: int) -> bool:
        """A session with these intents gets it; an event nobody knows goes to all."""
        need = INTENT_OF.get(self.t, 0)
        return not need or bool(intents & need)


def openid(*words: str) -> str:
    """A stable opaque id: the same person has another one in every group."""
    return hashlib.md5("/".join(words).encode()).hexdigest().upper()


def number_of(user: str) -> str:
    """A guild user's id."""
    return str(int(openid(user)[:15], 16))


def message(
    scene: str, chat: str, user: str, text: str, attachments: Sequence[Mapping[str, Any]], number: int, stamp: str,
    quote: str = "",
) -> Said:
    """A user's message as the platform words it; ``chat`` is the openid, group, channel or DM guild. ``quote``:
    what the message says that it answers; of that, guilds tell an id alone."""
    event = EVENT_OF[scene]
    d: dict[str, Any]
    if scene == "c2c":
        d = {"id": _message_id(), "author": {"id": chat, "user_openid": chat}, "content": text}
    elif scene == "group":
        user = openid(chat, user)
        d = {"id": _message_id(), "author": {"id": user, "member_openid": user}, "content": f" {text}"}
        d.update(group_id=chat, group_openid=chat)
    else:
        text = escape(text, quote=False)  # what could be a mark; bot-docs message_format.md
        author = {"id": number_of(user), "username": user, "bot": False}
        d = {"id": f"08{secrets.token_hex(24)}", "author": author, "seq": number, "seq_in_channel": str(number)}
        if scene == "guild":
            mention = {"id": BOT_ID, "username": BOT_NAME, "bot": True}
            d.update(content=f"<@!{BOT_ID}> {text}", mentions=[mention], guild_id="8326491", channel_id=chat)
        else:
            d.update(content=text, guild_id=chat, channel_id=f"{chat}1", src_guild_id="8326491", direct_message=True)
        user = number_of(user)
    d["timestamp"] = stamp
    if quote and scene in ("c2c", "group"):
        d |= {"message_type": 103, "msg_elements": [{"msg_idx": "REFIDX_1", "message_type": 0, "content": quote}]}
    elif quote:
        d["message_reference"] = {"message_id": f"08{secrets.token_hex(24)}"}
    if attachments:
        d["attachments"] = [dict(attachment) for attachment in attachments]
    return Said(scene, chat, user, event, d, event_id(event), d["id"])


def happening(event: str, scene: str, chat: str, user: str, d: Mapping[str, Any] | None, stamp: int) -> Said:
    """An event that is no message; ``d`` replaces the body made up here."""
    body: dict[str, Any] = {"timestamp": stamp}
    if event == "INTERACTION_CREATE":
        body = {
            "id": secrets.token_hex(16),
            "type": 11,
            "scene": scene,
            "chat_type": 2 if scene == "c2c" else 1,
            "version": 1,
            "timestamp": str(stamp),
            "data": {"type": 11, "resolved": {"button_id": "1", "button_data": "yes"}},
        }
    if scene == "c2c":
        body["openid" if event != "INTERACTION_CREATE" else "user_openid"] = chat
    elif scene == "group":
        body.update(group_openid=chat, op_member_openid=openid(chat, user))
    return Said(scene, chat, user, event, dict(d) if d is not None else body, event_id(event))


def event_id(event: str) -> str:
    """The payload's own id."""
    return f"{event}:{secrets.token_hex(12)}"


def _message_id() -> str:
    return f"ROBOT1.0_{secrets.token_urlsafe(36)}"
