"""Completion: takes the answers of the OpenAI chat protocol apart; no network."""

from __future__ import annotations

import json
from typing import Any, Iterable, Iterator, Mapping

import sseclient

from hermes_green.core.errors import AgentFailed
from hermes_green.core.model import Delta

Json = Any
_MOST = 64 * 1024 * 1024  # bytes of one streamed answer
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
        for event in sseclient.SSEClient(_bounded(pieces)).events():
            if event.event == "error":
                raise AgentFailed(f"the endpoint failed in mid-answer: {said(event.data)}", code="error")
            if event.event != "message":
                continue
            if event.data.strip() == "[DONE]":
                self.finished = self.closed = True
                return
            text = self._chunk(_object(event.data), "delta")
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
