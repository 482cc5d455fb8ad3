"""Request, Response and Problem: one HTTP exchange as values, so that views need know no WSGI."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Iterable, Mapping
from urllib.parse import parse_qsl

from hermes_green.core.loose import text_of

MAX_BODY = 1_048_576  # bytes


class Problem(Exception):
    """A request that is answered with an error. ``text`` says what is wrong and how to mend it;
    ``field`` names the input that is wrong."""

    def __init__(
        self, status: int, code: str, text: str, *, field: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.field = field
        self.headers = dict(headers or {})

    def response(self, **more: Any) -> Response:
        """The answer: ``{"error": {code, field?, text}}``."""
        error = {"code": self.code, "text": self.text}
        if self.field:
            error["field"] = self.field
        return answer({"error": error, **more}, self.status, **self.headers)


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back. ``body`` is bytes, or an iterable of bytes that is written as it comes."""

    status: int
    body: bytes | Iterable[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """``404 Not Found``"""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def answer(data: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer. Header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(data, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
    return Response(status, body, {"Content-Type": "application/json; charset=utf-8", **named})


class Request:
    """One request, read from a WSGI environment."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ
        self.method = str(environ["REQUEST_METHOD"]).upper()
        # WSGI hands the path over as latin-1; what browsers sent is UTF-8.
        self.path = str(environ.get("PATH_INFO", "/")).encode("latin-1").decode("utf-8", "replace")
        query = str(environ.get("QUERY_STRING", ""))
        try:
            self.query = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=50)) if query else {}
        except ValueError:
            raise Problem(400, "bad_query", "the query may have 50 fields") from None

    def header(self, name: str) -> str:
        """A header's value, or ""."""
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        return str(self._environ.get(key, "")).strip()

    def cookie(self, name: str) -> str:
        """A cookie's value, or ""."""
        for pair in self.header("Cookie").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""

    def number(self, name: str, default: int, maximum: int) -> int:
        """A whole number from the query, between 1 and ``maximum``."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or len(text) > 15 or not 1 <= int(text) <= maximum:
            raise Problem(422, "bad_value", f"{name} must be a number from 1 to {maximum}", field=name)
        return int(text)

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object; an empty body is an empty object."""
        raw = self._body()
        if not raw.strip():
            return {}
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Problem(400, "bad_json", f"the body is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise Problem(400, "bad_json", 'the body must be a JSON object, such as {"text": "hello"}')
        return data

    def _body(self) -> bytes:
        length = self.header("Content-Length")
        if length.isdecimal() and int(length) > MAX_BODY:
            raise _too_large()
        try:
            raw = self._environ["wsgi.input"].read(MAX_BODY + 1)
        except (OSError, ValueError) as error:
            raise Problem(400, "body_cut", f"the body broke off: {error}", headers={"Connection": "close"}) from None
        if len(raw) > MAX_BODY:
            raise _too_large()
        return bytes(raw)


def _too_large() -> Problem:
    # The rest of the body is not read, so the connection cannot be used again.
    return Problem(413, "too_large", f"the body may have {MAX_BODY} bytes", headers={"Connection": "close"})


def strings(data: Mapping[str, Any], required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, str | None]:
    """The named fields of a body, each a string with something in it; optional ones may be null or absent.

    Raises:
        Problem: 422, naming the first field that is wrong.
    """
    required, optional = tuple(required), tuple(optional)
    known = (*required, *optional)
    for name in data:
        if name not in known:
            text = f"there is no field {name[:64]!r}; there are: {', '.join(known)}"
            raise Problem(422, "unknown_field", text, field=name[:64])
    found: dict[str, str | None] = {}
    for name in known:
        value = data.get(name)
        if value is None and name in optional:
            found[name] = None
        elif value is None:
            raise Problem(422, "missing_field", f"{name} is missing", field=name)
        elif not isinstance(value, str) or not value.strip():
            raise Problem(422, "bad_value", f"{name} must be a text that is not empty", field=name)
        else:
            found[name] = text_of(value)
    return found
