"""Frames of the long connection: the only file that knows the protobuf schema and the SDK's insides.

Protocol facts: lark-oapi 1.7.5 ``ws/pb/pbbp2_pb2.py``, ``ws/client.py``, ``ws/const.py``, ``ws/enum.py``;
assembly of parts: @larksuiteoapi/node-sdk 1.74.0.
"""

from __future__ import annotations

from typing import Any

from hermes_green.core import assembler
from hermes_green.core.clock import Clock
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import bordered, dict_of, json_of, number_of, object_in, seconds_of
from hermes_green.core.protobuf import bytes_field, without
from hermes_green.link.light import load_light

CONTROL, DATA = 0, 1
INT32 = 2**31 - 1  # the largest service and method
PING, PONG, EVENT, CARD = "ping", "pong", "event", "card"

# One event is at most a message of 150 KB with its envelope; the bounds leave room and end a flood.
MAX_PARTS = 1024
MAX_EVENT_BYTES = 4 * 1024 * 1024
MAX_OPEN = 64
PARTS_TIMEOUT = 10.0


# ``import lark_oapi.anything`` loads 11,000 modules (1.6 s, 150 MB) because the package's ``__init__``
# imports every API, and ``lark_oapi.ws.pb.google`` asks for pkg_resources (70 ms, 5 MB).
Frame: Any = load_light("lark_oapi.ws.pb.pbbp2_pb2", hollow=("lark_oapi.ws.pb.google",)).Frame
# Numbers of fields: of a frame, and of a header in it.
_HEADERS, _PAYLOAD = 5, 8
_KEY, _VALUE = 1, 2


@bordered
def decode(data: bytes | str) -> Any:
    """The protobuf ``Frame`` in one WebSocket message.

    Raises:
        BadFrame: not a frame (text, truncated, a required field missing).
    """
    if isinstance(data, str):
        raise BadFrame("a text message where only binary frames are defined")
    frame = Frame()
    frame.ParseFromString(data)
    if not frame.IsInitialized():  # it could not be echoed, and so not be acknowledged
        raise BadFrame("a frame without one of its required fields")
    return frame


def headers_of(frame: Any) -> dict[str, str]:
    """The frame's headers; of a repeated one the first counts, as in the SDK."""
    return {header.key: header.value for header in reversed(frame.headers)}


def ping(service: int) -> bytes:
    """Our application-level heartbeat; ``service`` is the URL's ``service_id``."""
    headers = [{"key": "type", "value": PING}]
    beat: bytes = Frame(SeqID=0, LogID=0, service=service, method=CONTROL, headers=headers).SerializeToString()
    return beat


def acknowledgement(echo: bytes, milliseconds: int, code: int = 200) -> bytes:
    """The answer to a DATA frame: the same frame with our verdict for a payload.

    ``echo``: the frame as `echo_of` keeps it. ``milliseconds``: from receipt to now, told in the
    header ``biz_rt``. 200 stops redelivery, 500 asks for it.
    """
    header = bytes_field(_KEY, b"biz_rt") + bytes_field(_VALUE, str(milliseconds).encode())
    verdict = json_of({"code": code, "headers": None, "data": None}).encode()
    return echo + bytes_field(_HEADERS, header) + bytes_field(_PAYLOAD, verdict)


def echo_of(raw: bytes) -> bytes:
    """The encoded frame ``raw`` without its payload: what an acknowledgement repeats.

    Cut from the bytes that came. To copy and encode the SDK's objects takes ten times as long, and while
    a message waits for its commit, bytes wait and no tree of objects. Raises BadFrame.
    """
    return without(raw, _PAYLOAD)


def pace_in(config: Any) -> float | None:
    """Seconds between beats that the server asks for, in ``ClientConfig`` of the endpoint's answer or in a pong's
    payload; nonsense counts as unsaid."""
    try:
        said = object_in(config) if isinstance(config, (bytes, str)) else dict_of(config)
    except BadFrame:
        return None
    seconds = said.get("PingInterval")
    return None if isinstance(seconds, str) else seconds_of(seconds)


class Assembler(assembler.Assembler):
    """Puts pushes that came in several frames together again. Those dropped were not acknowledged, so the
    platform sends them again."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, timeout=PARTS_TIMEOUT, most_bytes=MAX_EVENT_BYTES, most_open=MAX_OPEN)

    def add(self, frame: Any) -> bytes | None:
        """The whole payload once its last part is here, else None. Parts of one push share ``message_id`` and
        ``sum``, and ``seq`` counts from 0.

        Raises:
            BadFrame: headers that make no sense, or more than 4 MiB.
        """
        headers = headers_of(frame)
        total, seq = number_of(headers.get("sum") or 1, 9), number_of(headers.get("seq") or 0, 9)
        if total in (0, 1) and seq is not None:
            return bytes(frame.payload)
        push = headers.get("message_id", "")
        if not push or total is None or seq is None or not 0 <= seq < total <= MAX_PARTS:
            raise BadFrame(f"part {seq} of {total} of push {push!r}")
        return self.put(push, total, seq, bytes(frame.payload))
