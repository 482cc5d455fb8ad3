"""Address: a chat as people name it in a command, read by the patterns of its platform."""

from __future__ import annotations

import re
from typing import Mapping

from hermes_green.core.model import ChatType, Peer


def peer_at(child: str, chat: str, patterns: Mapping[str, ChatType]) -> Peer | None:
    """Where ``chat`` leads; None where no pattern takes it as a whole. The first that does says the type of the
    chat, by its group ``chat`` the chat's id, or by its group ``user`` a person's, who is written to directly."""
    for pattern, chat_type in patterns.items():
        found = re.fullmatch(pattern, chat.strip(), re.ASCII)
        if found:
            ids = found.groupdict()
            user = ids.get("user")
            return Peer(child, user or ids["chat"], chat_type, user_id=user)
    return None
