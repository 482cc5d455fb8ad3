"""How the simulated Telegram answers, and how much it takes.

Sources: tdlib/telegram-bot-api Query.cpp and Client.cpp (wording), core.telegram.org/bots/faq (limits).
"""

from __future__ import annotations

import json
import math
from collections import deque
from email import message_from_bytes, policy
from typing import Any, Mapping
from urllib.parse import parse_qsl

from hermes_green.sim.kit_http import Answer, Request

# Parameters that are JSON where the others are text.
_NESTED = frozenset(
    "reply_parameters reply_markup entities caption_entities link_preview_options media allowed_updates"
    " reaction".split()
)
_NAMES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}


class Refused(Exception):
    """A request is refused; ``more`` goes into ``parameters``."""

    def __init__(self, code: int, text: str, **more: Any) -> None:
        super().__init__(text)
        self.code = code
        self.more = more

    def answer(self) -> Answer:
        """As the platform words it."""
        name = _NAMES.get(self.code)
        said = f"{name}: {self}" if name and str(self) else str(self) or name or ""
        return fail(self.code, said, **self.more)


class File:
    """A file that came with a multipart request."""

    def __init__(self, name: str, mime: str, data: bytes) -> None:
        self.name, self.mime, self.data = name, mime, data


def ok(result: Any) -> Answer:
    """A good answer; letters beyond ASCII are escaped, as the platform does it."""
    return Answer(200, json.dumps({"ok": True, "result": result}).encode())


def fail(code: int, description: str, **parameters: Any) -> Answer:
    """A bad one; its HTTP status is its code."""
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if parameters:
        body["parameters"] = parameters
    return Answer(code, body)


def too_many(after: float) -> Answer:
    """429 with whole seconds."""
    seconds = max(1, math.ceil(after))
    return fail(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


def params_of(request: Request) -> dict[str, Any]:
    """All parameters of a request, from its query and its body of whatever kind.

    Raises:
        Refused: the body cannot be read.
    """
    params: dict[str, Any] = dict(request.query)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            params.update(request.json())
        elif kind == "application/x-www-form-urlencoded":
            params.update(parse_qsl(request.body.decode(), keep_blank_values=True))
        elif kind == "multipart/form-data":
            params.update(_multipart(request))
        for name in _NESTED & params.keys():
            if isinstance(params[name], str):
                params[name] = json.loads(params[name])
    except ValueError as error:
        raise Refused(400, f"can't parse the request: {error}") from None
    return params


def _multipart(request: Request) -> dict[str, Any]:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    whole = message_from_bytes(head + request.body, policy=policy.HTTP)
    found: dict[str, Any] = {}
    for part in whole.iter_parts():
        name = str(part.get_param("name", header="content-disposition") or "")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        file = part.get_filename()
        found[name] = File(file, part.get_content_type(), data) if file is not None else data.decode()
    return found


class Flood:
    """The limits: in all, in a group, in a chat. Who sends before the time he was told is noted."""

    def __init__(self, account: int, group: int, chat: float, burst: int) -> None:
        """``account`` messages a second, ``group`` a minute, ``chat`` a second after ``burst``; 0 is no limit."""
        self._account, self._group, self._chat, self._burst = account, group, chat, burst
        self._all: deque[float] = deque()
        self._groups: dict[str, deque[float]] = {}
        self._level: dict[str, tuple[float, float]] = {}
        self._closed: dict[str, float] = {}

    def early(self, chat: str, now: float) -> float:
        """Seconds that this chat is still closed; it answers 429 until then."""
        return max(0.0, self._closed.get(chat, 0.0) - now)

    def wait(self, chat: str, group: bool, now: float) -> float:
        """0 and the message is counted, or the seconds to wait."""
        waits = [_over(self._all, self._account, 1.0, now)]
        times = self._groups.setdefault(chat, deque()) if group else None
        if times is not None:
            waits.append(_over(times, self._group, 60.0, now))
        level, at = self._level.get(chat, (0.0, now))
        level = max(0.0, level - (now - at) * self._chat)
        if self._chat and level + 1 > self._burst:
            waits.append(1.0)
        wait = max(waits)
        if wait > 0:
            wait = float(max(1, math.ceil(wait)))
            self._closed[chat] = now + wait
            return wait
        self._all.append(now)
        if times is not None:
            times.append(now)
        self._level[chat] = (level + 1.0, now)
        return 0.0


def _over(times: deque[float], count: int, seconds: float, now: float) -> float:
    while times and now - times[0] >= seconds:
        times.popleft()
    return times[0] + seconds - now if count and len(times) >= count else 0.0


def as_text(params: Mapping[str, Any], name: str) -> str:
    """A parameter that is text, "" where absent."""
    value = params.get(name, "")
    return value if isinstance(value, str) else str(value)
