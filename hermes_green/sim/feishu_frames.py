"""The binary frames of Feishu's long connection, as the platform's side writes and judges them.

Schema: lark-oapi 1.7.5 ws/pb/pbbp2.proto. The module is loaded without the SDK's API tree.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from dataclasses import dataclass
from typing import Any, Sequence

CONTROL, DATA = 0, 1

_PB = "lark_oapi.ws.pb.pbbp2_pb2"


def _load() -> Any:
    """The protobuf module; bare packages stand in for the SDK's own while it is imported."""
    if _PB in sys.modules:
        return sys.modules[_PB]
    spec = importlib.util.find_spec("lark_oapi")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("lark-oapi is not installed")
    root = spec.submodule_search_locations[0]
    stubs: list[str] = []
    for name, path in (("lark_oapi", root), ("lark_oapi.ws", f"{root}/ws")):
        if name not in sys.modules:
            stub = types.ModuleType(name)
            stub.__path__ = [path]
            sys.modules[name] = stub
            stubs.append(name)
    try:
        return importlib.import_module(_PB)
    finally:
        for name in stubs:  # whoever wants the real SDK later gets it
            sys.modules.pop(name, None)


_pb = _load()
Frame: Any = _pb.Frame


class BadFrame(Exception):
    """What the client sent is not a frame the platform would take."""


def parse(data: str | bytes) -> Any:
    """The frame in a message.

    Raises:
        BadFrame: a text message, no protobuf, or a required field is missing.
    """
    if isinstance(data, str):
        raise BadFrame("text message where a binary frame belongs")
    frame = Frame()
    try:
        frame.ParseFromString(data)
    except Exception as error:  # the SDK's bundled protobuf raises more than DecodeError on junk
        raise BadFrame(f"not a frame: {error}") from None
    if not frame.IsInitialized():
        raise BadFrame(f"required fields missing: {', '.join(frame.FindInitializationErrors())}")
    return frame


def headers_of(frame: Any) -> dict[str, str]:
    """The frame's headers; the last of equal keys wins."""
    return {header.key: header.value for header in frame.headers}


def build(
    service: int, method: int, headers: Sequence[tuple[str, str]], payload: bytes, seq: int = 0, log: int = 0
) -> Any:
    """A complete frame."""
    frame = Frame()
    frame.SeqID, frame.LogID, frame.service, frame.method = seq, log, service, method
    for key, value in headers:
        header = frame.headers.add()
        header.key, header.value = key, value
    frame.payload = payload
    if log:
        frame.LogIDNew = f"20260000000000{log:016X}"
    return frame


def pong(service: int, config: dict[str, Any]) -> bytes:
    """The answer to a client's ping, which re-configures the client."""
    return bytes(build(service, CONTROL, [("type", "pong")], json.dumps(config).encode()).SerializeToString())


@dataclass(frozen=True, slots=True)
class Part:
    """One frame of a push, as it went out."""

    seq_id: int
    log_id: int
    headers: tuple[tuple[str, str], ...]
    data: bytes


def parts_of(service: int, push_id: str, payload: bytes, count: int, trace: str, first_seq: int) -> list[Part]:
    """The frames that carry ``payload`` in ``count`` parts (fewer, if it has fewer bytes)."""
    count = max(1, min(count, len(payload)))
    size = -(-len(payload) // count)
    chunks = [payload[at : at + size] for at in range(0, len(payload), size)]
    parts = []
    for index, chunk in enumerate(chunks):
        headers = (
            ("type", "event"),
            ("message_id", push_id),
            ("sum", str(len(chunks))),
            ("seq", str(index)),
            ("trace_id", trace),
            ("timestamp", trace[-13:]),
        )
        seq_id, log_id = first_seq + index, first_seq * 1000 + index + 1
        frame = build(service, DATA, headers, chunk, seq_id, log_id)
        parts.append(Part(seq_id, log_id, headers, bytes(frame.SerializeToString())))
    return parts


def fault_of_ack(frame: Any, part: Part, service: int) -> str:
    """What is wrong with ``frame`` as the acknowledgement of ``part``; "" when nothing.

    The acknowledgement is the frame itself with another payload and one header more, ``biz_rt``
    (lark-oapi 1.7.5 ws/client.py, _handle_data_frame).
    """
    if (frame.SeqID, frame.LogID) != (part.seq_id, part.log_id):
        return f"SeqID/LogID {frame.SeqID}/{frame.LogID} instead of {part.seq_id}/{part.log_id}"
    if frame.service != service:
        return f"service {frame.service} instead of {service}"
    came = headers_of(frame)
    for key, value in part.headers:
        if came.get(key) != value:
            return f"header {key} is {came.get(key)!r} instead of {value!r}"
    extra = set(came) - {key for key, _ in part.headers} - {"biz_rt"}
    return f"unknown headers {sorted(extra)}" if extra else ""


def ack_payload(frame: Any) -> dict[str, Any]:
    """``{code, headers, data}`` of an acknowledgement.

    Raises:
        BadFrame: it has no such payload.
    """
    try:
        answer = json.loads(frame.payload)
    except ValueError:
        raise BadFrame("the acknowledgement's payload is not JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
        raise BadFrame("the acknowledgement's payload has no code")
    return answer
