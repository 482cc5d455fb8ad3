"""Polling: one run's dialogue, from the question who we are to its end.

A poll confirms every update below its offset, which the platform then forgets: so the next poll only
leaves when the answer of the one before is committed. Source: tdlib/telegram-bot-api Client.cpp
(process_get_updates_query, do_get_updates).
"""

from __future__ import annotations

import json
import time
from typing import Any, Sequence

from hermes_green.adapters.telegram.codes import CODES
from hermes_green.adapters.telegram.parse import ASKED, Bot, album_of, gathered, moved, parse, update_id_of
from hermes_green.adapters.telegram.rest import Rest, Said, link_error
from hermes_green.adapters.telegram.settings import Settings
from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame, LinkLost, StoreError
from hermes_green.core.loose import dict_of, text_at
from hermes_green.core.pacing import Window
from hermes_green.core.ports import Context, Port
from hermes_green.link.polls import Polls

MEMO = "offset"
# How long a poll waits for a message, and how long after that its answer may take.
WAIT = 20
LONGEST_WAIT = 50
MARGIN = 10.0
# A server that holds no polls back, or forgets nothing, is asked no oftener than this while it has nothing new.
HASTE = 0.5
# A poll with the offset of the one before may be held this long although it asks for less.
HELD = 3
BATCH = 100
# An album comes as single messages; it is whole when it has not grown for so long.
ALBUM_PAUSE = 1.0
ALBUM_SIZE = 10
COMMIT_WITHIN = 10.0
# So many conflicts within so many seconds: somebody else lives with our token. Fewer may be a restart.
CONFLICTS = 6
CONFLICT_WINDOW = 300.0


class Conflicts:
    """Who polls beside us; outlives single runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window = Window(CONFLICTS, CONFLICT_WINDOW)

    def error(self, said: Said) -> Exception:
        """The error for a poll that another one ended: LinkLost, and Displaced when it is too many."""
        if not self._window.add(self._clock.monotonic()):
            return LinkLost(f"another poll for this bot took over ({said})", status=409, code="conflict")
        self._window.clear()
        return CODES[409].build(409, said.text)


class Polling(Polls):
    """One run's calls; ``conflicts``: who polls beside us."""

    def __init__(self, port: Port, ctx: Context, rest: Rest, settings: Settings, conflicts: Conflicts) -> None:
        super().__init__(port, ctx, MEMO)
        self._rest = rest
        self._conflicts = conflicts
        wait = WAIT if settings.ping_interval is None else round(settings.ping_interval)
        self._wait = max(1, min(LONGEST_WAIT, wait))
        self._margin = MARGIN if settings.ping_timeout is None else settings.ping_timeout
        self._bot = Bot()
        self._unhooked = False

    def _converse(self) -> None:
        self._bot = self._who()
        # Answered at once, so that READY need not wait for the first message.
        updates = self._poll(0)
        who = f"@{self._bot.username}" if self._bot.username else str(self._bot.id)
        self._port.ready(who, proof_within=self._deadline(self._wait))
        while True:
            self._receive(updates)
            asked, confirmed = time.monotonic(), self._cursor.received
            updates = self._poll(self._wait)
            if all((update_id_of(each) or 0) < confirmed for each in updates):
                self._pause(max(0.0, asked + HASTE - time.monotonic()))

    # --- asking --------------------------------------------------------------------------------

    def _who(self) -> Bot:
        said = self._ask(self._rest.ask, "getMe", {})
        if not said.good:
            raise link_error("the bot's own name", said)
        me = dict_of(said.result)
        id = me.get("id")
        if not isinstance(id, int):
            raise LinkLost("Telegram did not say who the bot is", code="bad_answer")
        return Bot(id, text_at(me, "username"), me.get("can_read_all_group_messages") is True)

    def _poll(self, wait: int) -> list[Any]:
        """The updates that came within ``wait`` seconds."""
        params = {"offset": self._cursor.received, "limit": BATCH, "timeout": wait, "allowed_updates": ASKED}
        self._port.heartbeat("sent")
        try:
            said = self._ask(self._rest.ask, "getUpdates", params, self._deadline(wait))
        except LinkLost as lost:
            if lost.code == "timeout":
                self._port.heartbeat("missed")
            raise
        if said.status == 409:
            self._make_way(said)
            return self._poll(wait)
        if not said.good:
            raise link_error("a poll", said)
        self._port.heartbeat("answered")
        self._port.beat()
        if not isinstance(said.result, list):
            raise LinkLost("a poll's answer is no list", code="bad_answer")
        return said.result

    def _deadline(self, wait: int) -> float:
        """Seconds in which a poll's answer is there."""
        return max(wait, HELD if wait < HELD else 0) + self._margin

    def _make_way(self, said: Said) -> None:
        """A webhook stands in the way of polls and is removed, pending messages kept; else it is another
        program, and that is for its own policy."""
        hooked = "webhook" in said.text.lower()
        if not hooked:
            hooked = bool(dict_of(self._ask(self._rest.ask, "getWebhookInfo", {}).result).get("url"))
        if not hooked or self._unhooked:
            raise self._conflicts.error(said)
        self._unhooked = True
        self._ctx.log.warning("a webhook is set for this bot: it is removed, because messages are polled for")
        removed = self._ask(self._rest.ask, "deleteWebhook", {"drop_pending_updates": False})
        if not removed.good:
            raise link_error("the removal of the webhook", removed)

    # --- receiving -----------------------------------------------------------------------------

    def _receive(self, updates: list[Any]) -> None:
        """Hand in what was polled, in order, and wait for its commit. An album at the end may go on: it
        is asked for again, un-confirmed, until it is whole."""
        album, size = "", 0
        while updates:
            groups = list(gathered(updates))
            last = groups[-1]
            grows = album_of(last[0]) and len(last) < ALBUM_SIZE and (album, size) != (album_of(last[0]), len(last))
            for group in groups[:-1] if grows else groups:
                self._hand_in(group)
            self._settle(COMMIT_WITHIN)
            if not grows:
                return
            album, size = album_of(last[0]), len(last)
            self._pause(ALBUM_PAUSE)
            updates = self._poll(0)

    def _hand_in(self, group: Sequence[Any]) -> None:
        """One message, with the offset that passes it, in one transaction."""
        for update in group:
            chats = moved(update)
            if chats is not None:
                self._rekey(*chats)
        ids = [id for id in map(update_id_of, group) if id is not None]
        inbound = None
        try:
            inbound = parse(group, self._ctx.child, self._bot)
        except BadFrame as bad:
            self._port.quarantine(json.dumps(group), bad)
        if not ids:
            raise LinkLost("an update came without its number", code="bad_answer")
        self._cursor.take(inbound, ids[-1] + 1)

    def _rekey(self, old: str, new: str) -> None:
        """The chat goes on under its new id, with what was said before."""
        self._settle(COMMIT_WITHIN)
        try:
            self._ctx.rekey(old, new)
        except StoreError as error:
            raise LinkLost(f"a chat's new id could not be kept: {error}", code="store_away") from error
        self._ctx.count("chats", "rekeyed")
