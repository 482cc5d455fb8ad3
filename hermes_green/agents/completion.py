"""Completion: takes the answers of the OpenAI chat protocol apart; no network."""

from __future__ import annotations

import json
from typing import Any, Iterable, Iterator, Mapping

from hermes_green.core.errors import AgentFailed
from hermes_green.core.model import Delta

Json = Any
_MOST = 64 * 1024 * 1024  # bytes of one streamed answer
_EVENT = 4 * 1024 * 1024  # of one event of it: to take more apart at once would hold up every link
_QUOTE = 300  # characters of the endpoint's own words


class Completion:
    """One answer. ``finished``: its end was announced (``finish_reason`` or ``[DONE]``)."""

    def __init__(self) -> None:
        self.finished = False
        self.closed = False
        self.usage: Mapping[str, Any] | None = None

    def streamed(self, pieces: Iterable[bytes]) -> Iterator[Delta]:
        """The text's pieces, from server-sent events cut anywhere; ends at ``[DONE]`` or with the bytes.

        Events other than ``message`` (an agent's progress notes) are passed over.

        Raises:
            AgentFailed: an error object, or something that is not this protocol.
        """
        for kind, data in _events(_bounded(pieces)):
            if kind == "error":
                raise AgentFailed(f"the endpoint failed in mid-answer: {said(data)}", code="error")
            if kind != "message":
                continue
            if data.strip() == "[DONE]":
                self.finished = self.closed = True
                return
            text = self._chunk(_object(data), "delta")
            if text:
                yield Delta(text)

    def whole(self, body: bytes) -> Delta:
        """The answer that came in one piece. Raises AgentFailed."""
        text = self._chunk(_object(body), "message")
        self.finished = self.closed = True
        return Delta(text, usage=self.usage)

    def _chunk(self, chunk: Mapping[str, Any], part: str) -> str:
        if chunk.get("error"):
            raise AgentFailed(f"the endpoint failed: {said(chunk)}", code="error")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        choices = chunk.get("choices")
        if choices is None and part == "delta" and isinstance(usage, dict):
            choices = []  # some endpoints tell the usage in a chunk whose choices are null, or are not there
        if not isinstance(choices, list) or (part == "message" and not choices):
            raise AgentFailed("the answer has no choices: it is not the OpenAI chat protocol", code="protocol")
        choice = choices[0] if choices else {}
        if not isinstance(choice, dict):
            raise AgentFailed("the answer is not the OpenAI chat protocol", code="protocol")
        reason = choice.get("finish_reason")
        if reason == "error":
            raise AgentFailed("the endpoint gave up in mid-answer (finish_reason error)", code="error")
        self.finished = self.finished or bool(reason)
        message = choice.get(part)
        return _text(message.get("content")) if isinstance(message, dict) else ""


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _MOST:
            raise AgentFailed(f"the answer exceeds {_MOST} bytes", code="too_big")
        yield piece


def _events(pieces: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """What server-sent events are called and say (html.spec.whatwg.org, "Interpreting an event stream"); the end of
    the stream ends the last one. Every byte is touched once: what comes may be anything, of any length."""
    kind, data, size = "", [], 0
    for number, line in enumerate(_lines(pieces)):
        line = line if number else line.removeprefix("\ufeff")  # a mark of the byte order
        if line:
            field, _, value = line.partition(":")
            if field == "data":
                size += len(value) + 1
                _bear(size)
                data.append(value.removeprefix(" "))
            elif field == "event":
                kind = value.removeprefix(" ")
            continue
        if data:
            yield kind or "message", "\n".join(data)
        kind, data, size = "", [], 0
    if data:
        yield kind or "message", "\n".join(data)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines that end with a line feed, a carriage return or both, however the stream is cut."""
    begun: list[bytes] = []
    size, returned = 0, False
    for piece in pieces:
        rest = piece[1:] if returned and piece.startswith(b"\n") else piece
        returned = piece.endswith(b"\r") if piece else returned
        lines = rest.splitlines()
        last = lines.pop() if rest and not rest.endswith((b"\n", b"\r")) else b""
        for line in lines:
            yield b"".join([*begun, line]).decode()
            begun, size = [], 0
        if last:
            begun.append(last)
            size += len(last)
            _bear(size)
    if begun:
        yield b"".join(begun).decode()


def _bear(size: int) -> None:
    if size > _EVENT:
        raise AgentFailed(f"one event of the answer exceeds {_EVENT} bytes", code="too_big")


def _object(data: str | bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise AgentFailed("the endpoint sent something that is not a JSON object", code="protocol")
    return value


def _text(content: Json) -> str:
    """Plain text, or the text parts of a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def said(error: Json) -> str:
    """The endpoint's own words for an error, in one short line."""
    if isinstance(error, (str, bytes)):
        try:
            error = json.loads(error)
        except ValueError:
            error = str(error, "utf-8", "replace") if isinstance(error, bytes) else error
    inner = error.get("error", error) if isinstance(error, dict) else error
    text = inner.get("message") if isinstance(inner, dict) else inner
    return " ".join(str(text or "no reason given").split())[:_QUOTE]
