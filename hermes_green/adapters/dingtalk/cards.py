"""Cards: an answer shown while it grows, in an AI card made from the operator's template.

Sources: dingtalk-stream 0.24.3 ``card_replier.py`` (bodies, states of the flow), open.dingtalk.com "AI
card streaming update". A card is named by us (``outTrackId``), and so is each update (``guid``), so
that both may be repeated.
"""

from __future__ import annotations

import uuid
from typing import Any, Mapping

from hermes_green.adapters.dingtalk.rest import Rest
from hermes_green.adapters.dingtalk.settings import Settings
from hermes_green.core.errors import SendRefused

CREATE = "/v1.0/card/instances/createAndDeliver"
STREAM = "/v1.0/card/streaming"
INSTANCES = "/v1.0/card/instances"
# AICardStatus: what the template shows besides the text.
_GROWING, _FINISHED = "2", "3"


class Cards:
    """The cards of one account. Everything raises SendError, and AuthRejected for the credentials."""

    def __init__(self, settings: Settings, rest: Rest) -> None:
        self._settings = settings
        self._rest = rest

    def open(self, track: str, *, group: bool, to: str, robot: str) -> None:
        """Put an empty card named ``track`` into a conversation: ``to`` is a group's conversation id or
        a user's staff id. A repeat finds the card that is there."""
        space = f"dtv1.card//{'IM_GROUP' if group else 'IM_ROBOT'}.{to}"
        deliver: Mapping[str, Any] = {"imRobotOpenDeliverModel": {"spaceType": "IM_ROBOT"}}
        if group:
            deliver = {"imGroupOpenDeliverModel": {"robotCode": robot}}
        answer = self._rest.call(
            "POST",
            CREATE,
            {
                "cardTemplateId": self._settings.card_template_id,
                "outTrackId": track,
                "callbackType": "STREAM",
                "cardData": {"cardParamMap": {self._settings.card_content_key: "", "flowStatus": _GROWING}},
                "openSpaceId": space,
                "imGroupOpenSpaceModel": {"supportForward": True},
                "imRobotOpenSpaceModel": {"supportForward": True},
                **deliver,
            },
        )
        failed = undelivered(answer)
        if failed is not None:
            raise SendRefused(f"the card was made and not delivered: {failed}", code="undelivered")

    def show(self, track: str, text: str, mark: str, *, last: bool = False) -> None:
        """Replace the card's text; ``mark`` names this update, the same on every try of it."""
        body = {
            "outTrackId": track,
            "guid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{track} {mark}")),
            "key": self._settings.card_content_key,
            "content": text,
            "isFull": True,
            "isFinalize": last,
            "isError": False,
        }
        self._rest.call("PUT", STREAM, body)

    def finish(self, track: str, text: str, mark: str) -> None:
        """Show the final text and end the card; may be repeated."""
        self.show(track, text, mark, last=True)
        try:
            self._settle(track, {"flowStatus": _FINISHED})
        except SendRefused:
            pass  # a template without states; the text is there and final

    def withdraw(self, track: str, words: str) -> None:
        """End a card whose final text the platform does not take; ``words`` stand in its place. Cards
        cannot be recalled."""
        self._settle(track, {self._settings.card_content_key: words, "flowStatus": _FINISHED})

    def _settle(self, track: str, values: Mapping[str, str]) -> None:
        # Without the option the whole map is replaced, the text with it.
        options = {"updateCardDataByKey": True}
        data = {"outTrackId": track, "cardData": {"cardParamMap": values}, "cardUpdateOptions": options}
        self._rest.call("PUT", INSTANCES, data)


def undelivered(answer: Mapping[str, Any]) -> str | None:
    """Why a card reached nobody; None when it did, or when the answer does not say."""
    result = answer.get("result")
    results = result.get("deliverResults") if isinstance(result, dict) else None
    told = [entry for entry in results if isinstance(entry, dict)] if isinstance(results, list) else []
    if not told or any(entry.get("success") is True for entry in told):
        return None
    return str(told[0].get("errorMsg") or "no reason given")[:300]
