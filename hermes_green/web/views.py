"""Views: every address the gateway answers at, as one table and a small function each."""

from __future__ import annotations

import re
from dataclasses import asdict
from importlib import resources
from typing import Any, Callable, Iterable, Mapping

from hermes_green.core.clock import rfc3339
from hermes_green.core.errors import (
    ConfError,
    HermesError,
    KeyReused,
    LinkError,
    StoreError,
    UnknownChat,
    UnknownChild,
)
from hermes_green.core.ports import Line, Sent
from hermes_green.runtime.pairing import PairingRefused
from hermes_green.web import streams
from hermes_green.web.exchange import Problem, Request, Response, answer, strings
from hermes_green.web.facade import Chat, Gateway, Lab
from hermes_green.web.guard import Guard
from hermes_green.web.history import INTERVAL, History
from hermes_green.web.lab import LabViews
from hermes_green.web.streams import Streams

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REPLAY = 200  # lines of a transcript that a returning listener may have missed

_STATUS: tuple[tuple[type[HermesError], int], ...] = (
    (UnknownChild, 404),
    (UnknownChat, 422),
    (ConfError, 422),
    (KeyReused, 409),
    (PairingRefused, 422),
    (StoreError, 503),
    (LinkError, 503),
)

View = Callable[..., Response]


class Views:
    """The WSGI application. ``chat`` is the page's side of the web chat, or None where it is off;
    ``metrics`` renders the text for Prometheus; ``history``: the last hour of it; ``lab``: simulated platforms that
    the page may play with."""

    def __init__(
        self,
        gateway: Gateway,
        chat: Callable[[], Chat | None],
        metrics: Callable[[], bytes],
        guard: Guard,
        log: Any,
        lab: Lab | None = None,
        history: History | None = None,
    ) -> None:
        self._lab = LabViews(lab)
        self.streams = Streams()
        self._gateway = gateway
        self._chat = chat
        self._metrics = metrics
        self._history = history
        self._guard = guard
        self._log = log
        self._files = dict(_files_of_the_page())
        self._routes = tuple((method, re.compile(pattern), view) for method, pattern, view in self._table())

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            request = Request(environ)
            response = self._respond(request)
        except Problem as problem:
            response = problem.response()
        except HermesError as error:
            response = _problem_of(error).response()
        except Exception:  # border: a view's bug is a 500 and a line in the log, never a dead server
            self._log.exception("a view failed on {} {}", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            response = Problem(500, "bug", "this is a bug of the gateway; its log says more").response()
        headers = {**self._guard.headers(), **response.headers}
        if isinstance(response.body, bytes):
            headers["Content-Length"] = str(len(response.body))
            body: Iterable[bytes] = [response.body]
        else:
            body = response.body
        if environ.get("REQUEST_METHOD") == "HEAD":
            getattr(body, "close", lambda: None)()
            body = []
        start_response(response.line, list(headers.items()))
        return body

    def _table(self) -> tuple[tuple[str, str, View], ...]:
        # A child's id may contain a slash, a session's id anything.
        return (
            ("GET", r"/healthz", self._healthz),
            ("GET", r"/readyz", self._readyz),
            ("GET", r"/metrics", self._render_metrics),
            ("GET", r"/api/status", self._status),
            ("GET", r"/api/history", self._past),
            ("POST", r"/api/login", self._login),
            ("POST", r"/api/send", self._send),
            ("GET", r"/api/send/(?P<id>.+)", self._sent),
            ("POST", r"/api/adapters/(?P<child>.+)/(?P<verb>restart|start|stop)", self._command),
            ("POST", r"/api/reload", self._reload),
            ("POST", r"/api/stop", self._stop),
            ("GET", r"/api/dead", self._dead),
            ("POST", r"/api/dead/(?P<id>.+)/(?P<verb>retry|drop)", self._settle_dead),
            ("GET", r"/api/events", self._events),
            ("GET", r"/api/chat", self._transcript),
            ("POST", r"/api/chat", self._post),
            ("GET", r"/api/pairing", self._pairing),
            ("POST", r"/api/pairing/approve", self._approve),
            ("POST", r"/api/pairing/revoke", self._revoke),
            ("GET", r"/api/audit", self._audit),
            ("GET", r"/api/sessions", self._sessions),
            ("GET", r"/api/sessions/(?P<id>.+)", self._session),
            ("POST", r"/api/sessions/(?P<id>.+)/reset", self._reset_session),
            *self._lab.table(),
            ("GET", r"/(?:page/[^/]+)?", self._file),
        )

    def _respond(self, request: Request) -> Response:
        self._guard.check(request)
        method = "GET" if request.method == "HEAD" else request.method
        allowed = set()
        for wanted, pattern, view in self._routes:
            match = pattern.fullmatch(request.path)
            if match and wanted == method:
                return view(request, **match.groupdict())
            if match:
                allowed.add(wanted)
        if allowed:
            names = ", ".join(sorted(allowed))
            raise Problem(405, "wrong_method", f"use {names} here", headers={"Allow": names})
        raise _nothing_at(request.path)

    # --- the page ----------------------------------------------------------------------------------

    def _file(self, request: Request) -> Response:
        if request.path == "/" and self._guard.accepts(request.query.get("token", "")):
            # The token leaves the address bar, where it could be read over a shoulder.
            return Response(303, b"", {"Location": "/", "Set-Cookie": self._guard.cookie(request)})
        if request.path not in self._files:
            raise _nothing_at(request.path)
        body, kind = self._files[request.path]
        return Response(200, body, {"Content-Type": kind, "Cache-Control": "no-cache"})

    def _login(self, request: Request) -> Response:
        token = strings(request.json(), ["token"])["token"]
        if not self._guard.accepts(str(token).strip()):
            raise Problem(401, "token_wrong", "this is not http.token of gateway.yaml", field="token")
        return answer({"ok": True}, Set_Cookie=self._guard.cookie(request))

    # --- how it is ---------------------------------------------------------------------------------

    def _healthz(self, request: Request) -> Response:
        return answer(self._gateway.health())

    def _readyz(self, request: Request) -> Response:
        known = self._guard.knows(request)
        try:
            ready, said = self._gateway.readiness(request.query.get("child") or None)
        except UnknownChild as error:
            if known:
                raise
            raise Problem(404, error.code, "no child is called so", field="child") from None
        shown = said if known else {"ready": ready}
        return answer(shown, 200 if ready else 503)

    def _render_metrics(self, request: Request) -> Response:
        return Response(200, self._metrics(), {"Content-Type": METRICS_TYPE})

    def _status(self, request: Request) -> Response:
        return answer(self._gateway.status())

    def _past(self, request: Request) -> Response:
        """The last hour, or what came after the point ``since``."""
        since = request.query.get("since", "0")
        if not since.isdecimal() or len(since) > 15:
            raise Problem(422, "bad_value", "since must be the number `n` of a point", field="since")
        points = self._history.since(int(since)) if self._history is not None else []
        return answer({"interval": INTERVAL, "points": points})

    def _events(self, request: Request) -> Response:
        """The gateway's events; with ``chat`` that chat's answers instead; with ``all=1`` those, what
        the user sent, and the gateway's events, in one stream."""
        chat, everything = request.query.get("chat", ""), request.query.get("all") == "1"
        box = self._box() if chat else None
        feed = box.listen(chat) if box is not None else None
        try:
            seen = self._missed(request, box.child, chat) if box is not None else []
            stream = self.streams.open([streams.chat_line(line) for line in seen])
        except BaseException:
            if feed is not None:
                feed.close()
            raise
        known = {line["id"] for line in seen}

        def render(line: Mapping[str, Any]) -> bytes | None:
            wanted = line["id"] not in known and (everything or line["role"] != "user")
            return streams.chat_line(line) if wanted else None

        if feed is not None:
            stream.pump(feed, render)
        if everything or not chat:
            stream.pump(self._gateway.subscribe(), streams.gateway_event)
        return Response(200, stream, streams.HEADERS)

    def _missed(self, request: Request, child: str, chat: str) -> list[dict[str, Any]]:
        """Answers after the one that a returning listener saw last (all that are kept, if it is gone)."""
        last = request.header("Last-Event-ID") or request.query.get("since", "")
        if not last:
            return []
        lines = list(self._gateway.records.transcript(child, chat, REPLAY))
        ids = [line.id for line in lines]
        after = lines[ids.index(last) + 1 :] if last in ids else lines
        return [{**asdict(line), "chat": chat, "reply_to": None} for line in after if line.role == "assistant"]

    # --- chat --------------------------------------------------------------------------------------

    def _box(self) -> Chat:
        chat = self._chat()
        if chat is None:
            raise Problem(404, "chat_off", "the web chat is off: set `enabled: true` in web.yaml")
        return chat

    def _post(self, request: Request) -> Response:
        body = strings(request.json(), ["text"], ["chat"])
        id = self._box().post(str(body["text"]), chat=body["chat"] or "main", key=_key(request) or None)
        return answer({"id": id}, 202)

    def _transcript(self, request: Request) -> Response:
        chat = request.query.get("chat") or "main"
        lines = self._gateway.records.transcript(self._box().child, chat, request.number("limit", 100, 1000))
        return answer({"chat": chat, "lines": [_line(line) for line in lines]})

    # --- sending and dead letters ------------------------------------------------------------------

    def _send(self, request: Request) -> Response:
        body = strings(request.json(), ["child", "chat", "text"], ["thread", "reply_to"])
        sent = self._gateway.send(
            child=str(body["child"]),
            chat=str(body["chat"]),
            text=str(body["text"]),
            thread=body["thread"],
            reply_to=body["reply_to"],
            key=_key(request),
        )
        return answer({"id": sent.id, "state": sent.state}, 202)

    def _sent(self, request: Request, id: str) -> Response:
        sent = self._gateway.sent(id)
        if sent is None:
            raise Problem(404, "unknown_send", f"no send has the id {id[:64]!r}")
        return answer(_sent(sent))

    def _dead(self, request: Request) -> Response:
        letters = self._gateway.records.dead(request.number("limit", 100, 1000))
        return answer({"dead": [{**asdict(letter), "at": rfc3339(letter.at)} for letter in letters]})

    def _settle_dead(self, request: Request, id: str, verb: str) -> Response:
        request.json()
        done = self._gateway.records.dead_retry(id) if verb == "retry" else self._gateway.records.dead_drop(id)
        if not done:
            raise Problem(404, "unknown_dead", f"no dead letter has the id {id[:64]!r}; GET /api/dead lists them")
        return answer({"id": id, "done": verb})

    # --- children and process ----------------------------------------------------------------------

    def _command(self, request: Request, child: str, verb: str) -> Response:
        request.json()
        return answer(self._gateway.command(child, verb), 202)

    def _reload(self, request: Request) -> Response:
        request.json()
        result = self._gateway.reload()
        if result.get("ok"):
            return answer(result)
        text = "the configuration has errors and nothing was changed: `hermes-green check` shows them"
        return Problem(422, "bad_configuration", text).response(**result)

    def _stop(self, request: Request) -> Response:
        request.json()
        self._gateway.stop()
        return answer({"stopping": True}, 202)

    # --- pairing -----------------------------------------------------------------------------------

    def _pairing(self, request: Request) -> Response:
        return answer(self._gateway.pairing.shown())

    def _approve(self, request: Request) -> Response:
        code = strings(request.json(), ["code"])["code"]
        paired = self._gateway.pairing.approve(str(code))
        return answer({"child": paired.child, "user": paired.user, "name": paired.name})

    def _revoke(self, request: Request) -> Response:
        body = strings(request.json(), ["child", "user"])
        child, user = str(body["child"]), str(body["user"])
        if not self._gateway.pairing.revoke(child, user):
            raise Problem(404, "not_paired", f"{user[:64]!r} was not let in here; GET /api/pairing lists who was")
        return answer({"child": child, "user": user, "done": "revoke"})

    # --- audit and sessions ------------------------------------------------------------------------

    def _audit(self, request: Request) -> Response:
        lines = self._gateway.records.audit(request.number("since", 1, 1 << 40), request.number("limit", 1000, 100_000))
        return answer({"audit": [{**asdict(line), "at": rfc3339(line.at)} for line in lines]})

    def _sessions(self, request: Request) -> Response:
        sessions = self._gateway.records.sessions(request.number("limit", 100, 1000))
        return answer({"sessions": [{**asdict(one), "last_at": rfc3339(one.last_at)} for one in sessions]})

    def _session(self, request: Request, id: str) -> Response:
        records = self._gateway.records
        read = records.archived if request.query.get("archived") == "1" else records.session
        history = read(id, request.number("turns", 20, 1000))
        if not history:
            raise _no_session(id)
        return answer({"session_id": id, "history": [asdict(message) for message in history]})

    def _reset_session(self, request: Request, id: str) -> Response:
        request.json()
        if not self._gateway.records.reset_session(id):
            raise _no_session(id)
        return answer({"id": id, "done": "reset"})


def _problem_of(error: HermesError) -> Problem:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    text = f"{error.text or error.code}: {error.action}" if error.action else error.text or error.code
    field = "child" if isinstance(error, UnknownChild) else str(getattr(error, "field", ""))
    return Problem(status, error.code, text, field=field, headers={"Retry-After": "2"} if status == 503 else None)


def _files_of_the_page() -> Iterable[tuple[str, tuple[bytes, str]]]:
    """Path, content and type of everything that the page is made of."""
    for file in (resources.files("hermes_green.web") / "page").iterdir():
        kind = _KINDS.get(f".{file.name.rpartition('.')[2]}")
        if kind:
            yield ("/" if file.name == "page.html" else f"/page/{file.name}"), (file.read_bytes(), kind)


def _nothing_at(path: str) -> Problem:
    return Problem(404, "no_such_page", f"there is nothing at {path[:200]!r}")


def _no_session(id: str) -> Problem:
    return Problem(404, "unknown_session", f"no session has the id {id[:64]!r}; GET /api/sessions lists them")


def _key(request: Request) -> str:
    """The Idempotency-Key, or ""."""
    key = request.header("Idempotency-Key")
    if len(key) > 255 or not key.isprintable():
        raise Problem(422, "bad_value", "Idempotency-Key may have 255 printable characters", field="Idempotency-Key")
    return key


def _sent(sent: Sent) -> dict[str, Any]:
    receipt = dict(sent.receipt) if sent.receipt is not None else None
    return {"id": sent.id, "state": sent.state, "receipt": receipt, "reason": sent.reason}


def _line(line: Line) -> dict[str, Any]:
    return {**asdict(line), "at": rfc3339(line.at)}
