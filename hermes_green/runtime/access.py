"""Access: may this sender have a turn; pure, and asked before anything costs anything."""

from __future__ import annotations

from enum import StrEnum

from hermes_green.core.model import Inbound
from hermes_green.core.options import Access


class Verdict(StrEnum):
    """What to do with a message."""

    ALLOW = "allow"
    SILENT = "silent"
    PAIR = "pair"


def judge(inbound: Inbound, access: Access) -> Verdict:
    """The verdict for one message.

    Listed users may always write in direct chats. Strangers in groups, and groups not listed, are
    ignored in silence; so is a group message that does not address the bot where that is required.
    In direct chats only ``pairing`` answers a stranger, with one line that says how to be let in.
    """
    peer = inbound.peer
    known = peer.user_id is not None and (peer.user_id in access.users or peer.user_id in access.admins)
    if peer.chat_type == "dm":
        if access.dm == "closed":
            return Verdict.SILENT
        if access.dm == "open" or known:
            return Verdict.ALLOW
        return Verdict.PAIR if access.dm == "pairing" else Verdict.SILENT
    if access.require_mention and not inbound.mentioned:
        return Verdict.SILENT
    if access.group == "open":
        return Verdict.ALLOW
    if access.group == "closed":
        return Verdict.SILENT
    return Verdict.ALLOW if peer.chat_id in access.groups else Verdict.SILENT
