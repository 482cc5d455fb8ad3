"""Cards: an answer shown while it grows, in a card whose text is replaced until the final one stands in it.

Sources: open.feishu.cn "Streaming updates of cards" and the pages of its calls, lark-oapi 1.7.5
``api/cardkit/v1``. A card is made, then a message shows it. Every change carries a number that rises over
all changes of the card. It grows for ten minutes at a time, takes ten changes a second and 30 KB.
"""

from __future__ import annotations

import uuid
from typing import Any, Mapping

from hermes_green.adapters.feishu import render as bodies
from hermes_green.adapters.feishu.chats import Chats
from hermes_green.adapters.feishu.codes import LowSequence, NotGrowing
from hermes_green.adapters.feishu.rest import MESSAGES, Rest
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendError, SendRefused, SendRetry, SendUnknown
from hermes_green.core.loose import json_of
from hermes_green.core.model import Part, Peer
from hermes_green.core.pacing import Bucket, enter
from hermes_green.core.ports import Context
from hermes_green.core.remembered import Remembered
from hermes_green.link.api import path_of
from hermes_green.link.progress import Progress
from hermes_green.link.said import alone, given, unseen

CARDS = "/open-apis/cardkit/v1/cards"
ELEMENT = "answer"
OPENING = "…"
# An update takes up to four numbers: its text, and what makes the card grow again. The end counts from
# the wall clock's seconds, far above: it needs no memory of the updates. It takes two numbers, of which the first is
# even, so that a try one second later has the same two or higher ones, and never the second as its first.
STRIDE, LAST = 4, 2**31 - 1
# Of 1,000 such calls a minute and 50 a second for the app, those for drafts; the rest is for final texts.
UPDATES = ((900, 60.0), (45, 1.0))
REMEMBERED = 1_000


class Cards(Chats):
    """Chats in which the answers of one account can grow."""

    def __init__(self, rest: Rest, ctx: Context, clock: Clock) -> None:
        super().__init__(rest, ctx)
        self._clock = clock
        self._made: Remembered[str, str] = Remembered(REMEMBERED)  # key -> card, until it is known where it stands
        self._progress = Progress(clock, bodies.shown, bodies.POST_LIMIT, ctx.beside)
        self._buckets = [Bucket(count, seconds) for count, seconds in UPDATES]

    # --- while it grows --------------------------------------------------------------------------

    @alone()
    def open(self, peer: Peer, ref: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Put an empty card into the chat: ``{card, key, message_id}``. ``message_id`` is "" when the
        message's answer was lost; the end asks again, with the same key."""
        if enter(self._buckets, self._clock.monotonic()) > 0:
            raise SendRetry("the app shows too many growing answers", after=1.0)
        if key not in self._made:
            self._made[key] = self._make()
        handle = {"card": self._made[key], "key": key, "message_id": ""}
        try:
            return self._placed(peer, ref, handle)
        except SendUnknown as error:
            self._ctx.log.info("whether the card stands in the chat is not known yet: {}", error)
            return handle

    @alone()
    def show(self, handle: Mapping[str, Any], text: str, n: int) -> None:
        """Show the text so far. What comes too soon after the last update is left to the next."""
        card = str(handle["card"])
        content = self._progress.next(card, text)
        if not content or enter(self._buckets, self._clock.monotonic()) > 0:
            return
        try:
            self._write(card, content, STRIDE * n)
        except NotGrowing:
            self._grow(card, True, STRIDE * n + 1)
            self._write(card, content, STRIDE * n + 2)
        self._progress.shown(card, content)

    # --- its end ---------------------------------------------------------------------------------

    def finish(self, part: Part) -> str:
        """Make the part's text the card's last one: the message's id, or "" when the text's size does not let
        us. May be repeated."""
        content = bodies.card_text(part.payload)
        if bodies.card_size(content) > bodies.CARD_LIMIT:
            return ""
        handle = self._standing(part)
        self._end(str(handle["card"]), str(handle["message_id"]), content)
        return str(handle["message_id"])

    def retract(self, part: Part) -> None:
        """Take back a card whose text stands elsewhere; what is gone already is no error. May be repeated."""
        try:
            self._rest.call("DELETE", path_of(MESSAGES, self._standing(part)["message_id"]))
        except SendRefused as refused:
            self._ctx.log.info("a card is not there to be taken back: {}", refused)

    def _standing(self, part: Part) -> Mapping[str, Any]:
        """Where the part's card stands; asked again where that answer was lost."""
        handle = part.handle or {}
        return handle if handle.get("message_id") else self._placed(part.peer, part.reply_ref, handle)

    def _end(self, card: str, message_id: str, content: str) -> None:
        sequence = _even(self._clock.wall())
        try:
            try:
                self._write(card, content, sequence)
            except LowSequence:
                sequence = _even((sequence + LAST) / 2)
                self._write(card, content, sequence)
        except NotGrowing:
            self._rest.call("PATCH", path_of(MESSAGES, message_id), {"content": _card(content, growing=False)})
            return
        try:
            self._grow(card, False, sequence + 1, " ".join(content.split())[:100])
        except SendRefused as refused:
            # The text is there, and the card stops growing by itself.
            self._ctx.log.info("a finished card is shown as growing for a while: {}", refused)

    # --- calls -----------------------------------------------------------------------------------

    def _make(self) -> str:
        with unseen("the making of a card"):
            made = self._rest.call("POST", CARDS, {"type": "card_json", "data": _card(OPENING, growing=True)})
        return given(made, "card_id", SendRefused)

    def _placed(self, peer: Peer, ref: Mapping[str, Any], handle: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send the message that shows the card, once for all tries: where the key was used before, an
        earlier process's card stands there."""
        content = json_of({"type": "card", "data": {"card_id": handle["card"]}})
        message_id = self._put(peer, ref, str(handle["key"]), "interactive", content)
        try:
            card = self._rest.call("POST", f"{CARDS}/id_convert", {"message_id": message_id}).get("card_id")
        except SendError as error:
            self._ctx.log.debug("which card a message shows could not be asked: {}", error)
            card = None
        self._made.pop(str(handle["key"]), None)
        return {**handle, "message_id": message_id, "card": str(card or handle["card"])}

    def _write(self, card: str, content: str, sequence: int) -> None:
        path = path_of(CARDS, card, "elements", ELEMENT, "content")
        self._rest.call("PUT", path, {"content": content, **_marks(card, sequence)})

    def _grow(self, card: str, on: bool, sequence: int, summary: str = OPENING) -> None:
        settings = json_of({"config": {"streaming_mode": on, "summary": {"content": summary}}})
        self._rest.call("PATCH", path_of(CARDS, card, "settings"), {"settings": settings, **_marks(card, sequence)})


def _card(content: str, *, growing: bool) -> str:
    config = {"streaming_mode": growing, "update_multi": True}
    element = {"tag": "markdown", "element_id": ELEMENT, "content": content}
    return json_of({"schema": "2.0", "config": config, "body": {"elements": [element]}})


def _even(number: float) -> int:
    return int(number) // 2 * 2


def _marks(card: str, sequence: int) -> dict[str, Any]:
    """The number of a change, and an id of its own, the same when it is repeated."""
    return {"sequence": sequence, "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{card} {sequence}"))}
