"""Cards on the simulated Feishu that grow: made, shown by a message, changed in order, ended.

Sources: open.feishu.cn "Streaming updates of cards" and the pages of its calls; field reports of 200850 and
300309. Assumed: that 200850 is said once after the ten minutes, and 300309 from then on.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Match

from hermes_green.sim.feishu_content import RICH_BYTES, Refused, plain_text
from hermes_green.sim.feishu_events import new_id
from hermes_green.sim.kit import Request

if TYPE_CHECKING:
    from hermes_green.sim.feishu import FeishuSim

CARDS = "/open-apis/cardkit/v1/cards"
MAX_CONTENT = 100_000
MAX_SEQUENCE = 2**31 - 1
_ELEMENT_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,19}")


@dataclass(slots=True)
class Card:
    """A card that exists by itself; times are monotonic."""

    id: str
    json: dict[str, Any]
    made: float
    streaming: bool
    until: float
    sequence: int = 0
    changes: int = 0
    ended: bool = False
    message: str = ""
    uuids: dict[str, str] = field(default_factory=dict)
    times: deque[float] = field(default_factory=deque)

    @property
    def text(self) -> str:
        """What a reader sees."""
        return plain_text("interactive", self.json)

    def element(self, id: str) -> dict[str, Any] | None:
        """The element of that id."""
        return next((each for each in _elements(self.json.get("body")) if each.get("element_id") == id), None)


class Cards:
    """All cards of one simulator."""

    def __init__(self, sim: FeishuSim) -> None:
        self._sim = sim
        self.cards: dict[str, Card] = {}
        one = rf"{CARDS}/(?P<card>[^/]+)"
        self.routes: list[tuple[str, re.Pattern[str], Callable[[Request, Match[str]], dict[str, Any]]]] = [
            ("POST", re.compile(CARDS), self._create),
            ("POST", re.compile(f"{CARDS}/id_convert"), self._convert),
            ("PUT", re.compile(f"{one}/elements/(?P<element>[^/]+)/content"), self._content),
            ("PATCH", re.compile(f"{one}/settings"), self._settings),
        ]

    def known(self, card_id: str) -> Card:
        """Raises Refused."""
        card = self.cards.get(card_id)
        if card is None:
            raise Refused(200740, "the card does not exist")
        if time.monotonic() - card.made > self._sim.rules.card_life:
            raise Refused(200750, "the card is expired")
        return card

    def replace(self, card: Card, whole: dict[str, Any]) -> None:
        """Another card in its place, as by message.patch."""
        card.json = whole
        card.streaming = bool((whole.get("config") or {}).get("streaming_mode"))

    # -- calls

    def _create(self, request: Request, match: Match[str]) -> dict[str, Any]:
        body = request.json()
        if body.get("type") != "card_json" or not isinstance(body.get("data"), str):
            raise Refused(99992402, "field validation failed: type, data")
        whole = _card_json(body["data"])
        now = time.monotonic()
        config = whole.get("config") or {}
        streaming = config.get("streaming_mode") is True
        if streaming and config.get("update_multi") is False:
            raise Refused(300308, "streaming needs update_multi")
        card = Card(new_id("7"), whole, now, streaming, now + self._sim.rules.streaming_seconds)
        self.cards[card.id] = card
        self._sim.log.add("card", card=card.id, streaming=streaming)
        return {"card_id": card.id}

    def _convert(self, request: Request, match: Match[str]) -> dict[str, Any]:
        message = self._sim.rest.messages.get(str(request.json().get("message_id")))
        if message is None or not message.card:
            raise Refused(200740, "the message shows no card entity")
        return {"card_id": message.card}

    def _content(self, request: Request, match: Match[str]) -> dict[str, Any]:
        card, body = self.known(match["card"]), request.json()
        content = body.get("content")
        if not isinstance(content, str) or not content or len(content) > MAX_CONTENT:
            raise Refused(99992402, "field validation failed: content has 1 to 100000 characters")
        if not self._next(card, body, f"content {match['element']} {content}"):
            return {}
        if not card.streaming or time.monotonic() > card.until:
            card.streaming = False
            if time.monotonic() > card.until and not card.ended:
                card.ended = True
                raise Refused(200850, "the streaming mode of the card has timed out")
            raise Refused(300309, "the streaming mode of the card is closed")
        element = card.element(match["element"])
        if element is None:
            raise Refused(300313, "the element does not exist")
        before = element.get("content", "")
        element["content"] = content
        if len(json.dumps(card.json, ensure_ascii=False).encode()) > RICH_BYTES:
            element["content"] = before
            raise Refused(200860, "the card exceeds 30 KB")
        self._changed(card)
        return {}

    def _settings(self, request: Request, match: Match[str]) -> dict[str, Any]:
        card, body = self.known(match["card"]), request.json()
        try:
            config = json.loads(body["settings"])["config"]
            on = config.get("streaming_mode", card.streaming)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(99992402, "field validation failed: settings") from None
        if not self._next(card, body, f"settings {body['settings']}"):
            return {}
        card.streaming = bool(on)
        card.json["config"] = {**card.json.get("config", {}), **config}
        if card.streaming:
            card.until, card.ended = time.monotonic() + self._sim.rules.streaming_seconds, False
        self._sim.log.add("card_settings", card=card.id, streaming=card.streaming, sequence=card.sequence)
        if not card.streaming:
            self._finished(card)
        return {}

    # -- rules

    def _next(self, card: Card, body: dict[str, Any], what: str) -> bool:
        """Whether this change is to be made; False for one that was made already. Raises Refused."""
        sequence, key = body.get("sequence"), body.get("uuid") or ""
        if type(sequence) is not int or not 0 < sequence <= MAX_SEQUENCE or len(str(key)) > 64:
            raise Refused(99992402, "field validation failed: sequence, uuid")
        if key and key in card.uuids:
            if card.uuids[key] != what:
                raise Refused(200770, "the uuid was used for another change")
            return False
        now, rate = time.monotonic(), self._sim.rules.card_rate
        while card.times and now - card.times[0] >= 1.0:
            card.times.popleft()
        if rate and len(card.times) >= rate:
            self._sim.log.add("throttled", card=card.id)
            raise Refused(99991400, "request trigger frequency limit", 429, 1.0)
        if sequence <= card.sequence:
            raise Refused(300317, f"the sequence {sequence} is not above {card.sequence}")
        card.times.append(now)
        card.sequence = sequence
        if key:
            card.uuids[str(key)] = what
        return True

    def _changed(self, card: Card) -> None:
        card.changes += 1
        message = self._sim.rest.messages.get(card.message)
        chat, id = (message.chat, message.id) if message is not None else ("", "")
        self._sim.log.add("stream", chat=chat, message_id=id, card=card.id, text=card.text, sequence=card.sequence)

    def _finished(self, card: Card) -> None:
        """The card stops growing: it is now a message like others."""
        message = self._sim.rest.messages.get(card.message)
        if message is not None:
            self._sim.rest.note(message, card.text)


def _elements(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [each for item in node for each in _elements(item)]
    if not isinstance(node, dict):
        return []
    return [node, *(each for value in node.values() for each in _elements(value))]


def _card_json(data: str) -> dict[str, Any]:
    """Raises Refused."""
    if len(data.encode()) > RICH_BYTES:
        raise Refused(200860, "the card exceeds 30 KB")
    try:
        whole = json.loads(data)
    except ValueError:
        raise Refused(200610, "the card is not JSON") from None
    if not isinstance(whole, dict) or whole.get("schema") != "2.0":
        raise Refused(200610, "body is nil: cards have schema 2.0")
    ids = [each["element_id"] for each in _elements(whole.get("body")) if "element_id" in each]
    if not _elements(whole.get("body")) or len(ids) != len(set(ids)) or not all(map(_ELEMENT_ID.fullmatch, ids)):
        raise Refused(300301, "elements or their ids are not valid")
    return whole
