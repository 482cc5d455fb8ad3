"""Lab views: the page's hand on simulated platforms, where the gateway is being tried."""

from __future__ import annotations

from typing import Callable, Iterable

from hermes_green.web.exchange import Problem, Request, Response, answer, strings
from hermes_green.web.facade import Lab

MAX_TEXT = 20_000  # characters that a simulated user may write at once


class LabViews:
    """``lab``: None where every platform is a real one; the page is told that there are none to play with."""

    def __init__(self, lab: Lab | None) -> None:
        self._lab = lab
        self._names = frozenset(str(each["name"]) for each in lab.platforms()) if lab is not None else frozenset()

    def table(self) -> Iterable[tuple[str, str, Callable[..., Response]]]:
        """Method, pattern and view of every address."""
        return (
            ("GET", r"/api/lab", self._platforms),
            ("GET", r"/api/lab/(?P<platform>[^/]+)", self._seen),
            ("POST", r"/api/lab/(?P<platform>[^/]+)/say", self._say),
            ("POST", r"/api/lab/(?P<platform>[^/]+)/fault", self._fault),
            ("POST", r"/api/lab/(?P<platform>[^/]+)/clear", self._clear),
        )

    def _platforms(self, request: Request) -> Response:
        return answer({"platforms": list(self._lab.platforms()) if self._lab is not None else []})

    def _seen(self, request: Request, platform: str) -> Response:
        since = request.query.get("since", "0")
        if not since.isdecimal() or len(since) > 15:
            raise Problem(422, "bad_value", "since must be the number `now` of an earlier answer", field="since")
        return answer(self._of(platform).seen(platform, int(since)))

    def _say(self, request: Request, platform: str) -> Response:
        lab = self._of(platform)
        body = strings(request.json(), ["text"], ["kind"])
        text = str(body["text"])
        if len(text) > MAX_TEXT:
            raise Problem(422, "bad_value", f"text may have {MAX_TEXT} characters", field="text")
        return answer(lab.say(platform, text, body["kind"] or "dm"), 202)

    def _fault(self, request: Request, platform: str) -> Response:
        lab = self._of(platform)
        id = str(strings(request.json(), ["fault"])["fault"])
        lab.fault(platform, id)
        return answer({"platform": platform, "fault": id}, 202)

    def _clear(self, request: Request, platform: str) -> Response:
        lab = self._of(platform)
        id = strings(request.json(), [], ["fault"])["fault"]
        lab.clear(platform, id)
        return answer({"platform": platform, "cleared": id or "all"}, 202)

    def _of(self, platform: str) -> Lab:
        if self._lab is None:
            raise Problem(404, "no_lab", "no platform is simulated here: `hermes-green try` does that")
        if platform not in self._names:
            names = ", ".join(sorted(self._names))
            raise Problem(404, "unknown_platform", f"no platform {platform[:40]!r} is simulated; there are: {names}")
        return self._lab
