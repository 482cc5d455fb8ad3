"""The simulated DingTalk's AI cards: made once per outTrackId, streamed by guid, ended by isFinalize."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hermes_green.sim.dingtalk_gate import refused
from hermes_green.sim.kit import Answer, Request

if TYPE_CHECKING:
    from hermes_green.sim.dingtalk import DingTalkSim

INSTANCES = "/v1.0/card/instances"
DELIVER = "/v1.0/card/instances/deliver"
CREATE = "/v1.0/card/instances/createAndDeliver"
STREAM = "/v1.0/card/streaming"


class Wrong(Exception):
    """A refused call; the text says why, ``code`` is the platform's word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class Card:
    """One card. ``guids``: the updates that were taken."""

    track: str
    values: dict[str, str]
    chat: str = ""
    final: bool = False
    guids: set[str] = field(default_factory=set)


class Cards:
    """All cards of the platform."""

    def __init__(self, sim: DingTalkSim) -> None:
        self._sim = sim
        self.cards: dict[str, Card] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to a call whose token is good."""
        body = request.json()
        try:
            if request.path == STREAM and request.method == "PUT":
                return self._stream(body)
            if request.path == CREATE and request.method == "POST":
                self._create(body)
                return self._deliver(body)
            if request.path == INSTANCES and request.method == "POST":
                return self._create(body)
            if request.path == DELIVER and request.method == "POST":
                return self._deliver(body)
            if request.path == INSTANCES and request.method == "PUT":
                return self._update(body)
        except Wrong as wrong:
            self._sim.log.add("rest_refused", path=request.path, code=wrong.code, text=str(wrong))
            return refused(400, wrong.code, str(wrong))
        return refused(404, "InvalidAction.NotFound", "no such API")

    def _create(self, body: dict[str, Any]) -> Answer:
        track = body.get("outTrackId")
        if not isinstance(track, str) or not track or not body.get("cardTemplateId"):
            raise Wrong("param.invalid", "outTrackId and cardTemplateId are needed")
        values = self._values(body)
        if track not in self.cards:
            self.cards[track] = Card(track, values)
        return Answer(200, {"result": track, "success": True})

    def _deliver(self, body: dict[str, Any]) -> Answer:
        card = self._card(body)
        space = str(body.get("openSpaceId"))
        kind, _, to = space.removeprefix("dtv1.card//").partition(".")
        if not space.startswith("dtv1.card//") or kind not in ("IM_GROUP", "IM_ROBOT") or not to:
            raise Wrong("param.invalid", f"openSpaceId {space}")
        model = body.get("imGroupOpenDeliverModel") if kind == "IM_GROUP" else body.get("imRobotOpenDeliverModel")
        if not isinstance(model, dict):
            raise Wrong("param.invalid", f"no deliver model for {kind}")
        if kind == "IM_GROUP" and model.get("robotCode") != self._sim.options.client_id:
            raise Wrong("param.invalid", "robotCode")
        known = kind == "IM_GROUP" or (to in self._sim.users.dms and to not in self._sim.users.gone)
        if known and not card.chat:
            card.chat = to if kind == "IM_GROUP" else self._sim.users.dms[to]
            self._sim.log.add("card", chat=card.chat, track=card.track)
        told = {"spaceType": kind, "spaceId": to, "success": known, "errorMsg": "" if known else "user not exist"}
        result = {"outTrackId": card.track, "deliverResults": [told]}
        return Answer(200, {"success": True, "result": result})

    def _stream(self, body: dict[str, Any]) -> Answer:
        card = self._card(body)
        guid, key, content = body.get("guid"), body.get("key"), body.get("content")
        if not guid or not isinstance(key, str) or not isinstance(content, str):
            raise Wrong("param.invalid", "guid, key and content are needed")
        again = guid in card.guids
        if card.final and not again:
            raise Wrong("param.stream.finalized", "the card has ended")
        if not again:
            card.guids.add(str(guid))
            whole = body.get("isFull") is True
            card.values[key] = content if whole else card.values.get(key, "") + content
            card.final = body.get("isFinalize") is True
        text = card.values[key]
        if body.get("isFinalize") is True:
            if not again and not body.get("isError"):
                self._sim.note_send(card.chat, text, "card", track=card.track)
            else:
                self._sim.log.add("send", chat=card.chat, text=text, via="card", key=str(guid), duplicate=True)
        else:
            self._sim.log.add("stream", chat=card.chat, track=card.track, text=text, guid=str(guid), duplicate=again)
        return Answer(200, {"success": True, "result": True})

    def _update(self, body: dict[str, Any]) -> Answer:
        card = self._card(body)
        values = self._values(body)
        options = body.get("cardUpdateOptions")
        by_key = isinstance(options, dict) and options.get("updateCardDataByKey") is True
        card.values = {**card.values, **values} if by_key else values
        text = "\n".join(value for name, value in card.values.items() if name != "flowStatus")
        self._sim.log.add("card_update", chat=card.chat, track=card.track, text=text, values=dict(card.values))
        return Answer(200, {"success": True, "result": True})

    def _card(self, body: dict[str, Any]) -> Card:
        card = self.cards.get(str(body.get("outTrackId")))
        if card is None:
            raise Wrong("param.outTrackId.notExist", "no such card")
        return card

    def _values(self, body: dict[str, Any]) -> dict[str, str]:
        data = body.get("cardData")
        values = data.get("cardParamMap") if isinstance(data, dict) else None
        if not isinstance(values, dict):
            raise Wrong("param.invalid", "cardData.cardParamMap is needed")
        for name, value in values.items():
            if not isinstance(value, str):
                raise Wrong("param.invalid", f"cardParamMap.{name} is not a string")
        return dict(values)


def query_key() -> str:
    """What the platform calls a sent message."""
    return uuid.uuid4().hex
