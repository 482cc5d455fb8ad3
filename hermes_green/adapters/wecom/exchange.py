"""Exchange: requests and their answers on one link, told apart by req_id alone.

The platform takes the frames of one req_id strictly one after the other (both official clients queue
them): the next leaves when the one before was answered, or when its answer is not waited for any more.
"""

from __future__ import annotations

import time
from typing import Any, Mapping

from gevent.event import Event
from gevent.queue import Empty, Queue

from hermes_green.adapters.wecom import wire
from hermes_green.adapters.wecom.codes import CODES
from hermes_green.adapters.wecom.wire import Frame
from hermes_green.core.errors import HermesError, LinkLost, SendRefused, SendRetry, SendUnknown
from hermes_green.core.remembered import Remembered
from hermes_green.link.websocket import WebSocket

# Seconds. Answers take 0.24 to 0.45 in the field; clients that wait 5 have seen late ones.
ANSWER_WITHIN = 15.0
# After an answer that may belong to an earlier frame of the same req_id: how long its own may take.
SECOND_WITHIN = 1.0
# Requests on one link that were never answered, and are told apart from later ones of the same req_id.
REMEMBERED = 1_000
AGAIN = 1.0


class _Flight:
    """One frame under way. ``due``: answers to come, two where an earlier frame's may still come first."""

    __slots__ = ("answers", "due", "until", "landed")

    def __init__(self, due: int) -> None:
        self.answers: Queue[Frame | LinkLost] = Queue()
        self.due = due
        self.until = time.monotonic() + ANSWER_WITHIN
        self.landed = Event()


class Exchange:
    """The link as ``send`` and drafts see it; any greenlet may ask."""

    def __init__(self, ws: WebSocket) -> None:
        self._ws = ws
        self._flights: dict[str, _Flight] = {}
        self._late: Remembered[str, None] = Remembered(REMEMBERED)  # whose answer may still come
        self._over: LinkLost | None = None

    def ask(self, cmd: str, body: Mapping[str, Any], req_id: str = "") -> Frame:
        """Send a request and wait for its answer. ``req_id``: the callback's that it answers, else a new one.

        Raises:
            SendRetry: it has not left, or the platform said "not now".
            SendUnknown: it left, and no answer came.
            SendRefused: the platform refused it; ``code`` is its number.
        """
        req_id = req_id or wire.request_id(cmd)
        text = wire.encode(cmd, req_id, body)
        self._await_turn(req_id)
        flight = self._flights[req_id] = _Flight(2 if req_id in self._late else 1)
        self._late.pop(req_id, None)
        try:
            self._ws.send(text)
        except LinkLost as error:
            self._land(req_id)
            raise SendUnknown(f"the link broke while {cmd} left: {error}", code=error.code) from error
        answer = self._answer(flight, req_id, cmd)
        if answer.errcode != 0:
            raise refusal(answer)
        return answer

    def tell(self, cmd: str, body: Mapping[str, Any] | None, req_id: str) -> None:
        """Send what is worth no answer. Raises LinkLost."""
        self._ws.send(wire.encode(cmd, req_id, body))

    def busy(self, req_id: str) -> bool:
        """Whether a frame of this req_id is under way."""
        return req_id in self._flights

    def answered(self, answer: Frame) -> bool:
        """An answer came; False when nobody has asked, or does not wait any more."""
        flight = self._flights.get(answer.req_id)
        if flight is None:
            self._late.pop(answer.req_id, None)
            return False
        flight.answers.put(answer)
        flight.due -= 1
        if flight.due == 0:
            self._land(answer.req_id)
        return True

    def end(self, error: LinkLost) -> None:
        """The link is over: whoever waits is told, nothing leaves any more."""
        self._over = error
        for req_id, flight in list(self._flights.items()):
            flight.answers.put(error)
            self._land(req_id)

    def _await_turn(self, req_id: str) -> None:
        while self._over is None:
            earlier = self._flights.get(req_id)
            if earlier is None:
                return
            left = earlier.until - time.monotonic()
            if left > 0:
                earlier.landed.wait(left)
            else:  # whoever sent it was ended before its answer came
                self._give_up(req_id)
        raise SendRetry(f"the link is gone: {self._over}", after=AGAIN, code=self._over.code)

    def _answer(self, flight: _Flight, req_id: str, cmd: str) -> Frame:
        found: Frame | LinkLost | None = None
        try:
            found = flight.answers.get(timeout=max(0.0, flight.until - time.monotonic()))
            # Two that came at once, as after a pause of the whole process, are both there already.
            while (flight.due or not flight.answers.empty()) and not isinstance(found, LinkLost):
                found = flight.answers.get(timeout=SECOND_WITHIN)
        except Empty:
            if found is None:
                self._give_up(req_id)
                raise SendUnknown(f"no answer to {cmd} within {ANSWER_WITHIN:g} s", code="no_answer") from None
            self._land(req_id)
        if isinstance(found, LinkLost):
            raise SendUnknown(f"the link was lost before {cmd} was answered: {found}", code=found.code)
        return found

    def _give_up(self, req_id: str) -> None:
        self._late[req_id] = None
        self._land(req_id)

    def _land(self, req_id: str) -> None:
        flight = self._flights.pop(req_id, None)
        if flight is not None:
            flight.landed.set()


def refusal(answer: Frame) -> HermesError:
    """The SendError for an answer that is no consent."""
    if answer.errcode is None:
        return SendUnknown("an answer without errcode", code="bad_answer")
    known = CODES.get(answer.errcode)
    if known is not None:
        return known.build(answer.errcode, answer.errmsg)
    said = f"WeCom refused the message ({answer.errcode}): {answer.errmsg}"
    return SendRefused(said.rstrip(": "), code=str(answer.errcode))
