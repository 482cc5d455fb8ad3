"""Access: may this sender have a turn, and in which conversation; pure, asked before anything costs anything."""

from __future__ import annotations

from enum import StrEnum

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import Access


class Verdict(StrEnum):
    """What to do with a message."""

    ALLOW = "allow"
    SILENT = "silent"
    PAIR = "pair"


def judge(inbound: Inbound, access: Access, paired: bool = False) -> Verdict:
    """The verdict for one message.

    Listed users may always write in direct chats. Strangers in groups, and groups not listed, are
    ignored in silence; so is a group message that does not address the bot where that is required, and
    one of somebody whom the group's own list does not name.
    In direct chats only ``pairing`` answers a stranger, with one line that says how to be let in;
    whoever was let in so (``paired``) may write there, and nowhere else. Other bots are ignored unless they
    are wanted; then the rules for people hold for them, but no bot is told how to be let in.
    """
    peer = inbound.peer
    if inbound.bot and not access.bots:
        return Verdict.SILENT
    known = peer.user_id is not None and (peer.user_id in access.users or peer.user_id in access.admins)
    if peer.chat_type == "dm":
        if access.dm == "closed":
            return Verdict.SILENT
        if access.dm == "open" or known:
            return Verdict.ALLOW
        if access.dm == "pairing":
            return Verdict.ALLOW if paired else Verdict.SILENT if inbound.bot else Verdict.PAIR
        return Verdict.SILENT
    if access.within(peer.chat_id).require_mention and not inbound.mentioned:
        return Verdict.SILENT
    own = access.overrides.get(peer.chat_id)
    if own is not None and own.users is not None and peer.user_id not in (*own.users, *access.admins):
        return Verdict.SILENT
    if access.group == "open":
        return Verdict.ALLOW
    if access.group == "closed":
        return Verdict.SILENT
    return Verdict.ALLOW if peer.chat_id in access.groups else Verdict.SILENT


def awaited(inbound: Inbound) -> bool:
    """Whether somebody may wait for an answer, whatever the rules: nobody does to a reaction, nor to what was said
    in a group to others (where the bot need not be mentioned, each message counts as if it was)."""
    return inbound.reaction is None and (inbound.mentioned or inbound.peer.chat_type == "dm")


def session_of(peer: Peer, access: Access = Access()) -> str:
    """The session a message belongs to: a chat of a child; by the rules one thread of it, or one user in it."""
    rules = access.within(peer.chat_id)
    parts = [peer.child, peer.chat_id]
    if peer.thread_id and rules.threads == "thread":
        parts.append(peer.thread_id)
    if peer.user_id and peer.chat_type != "dm" and rules.session == "user":
        parts.append(f"@{peer.user_id}")
    return ":".join(parts)
