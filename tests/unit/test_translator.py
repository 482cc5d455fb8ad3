"""The end of a draft: in its place, or elsewhere and then for good."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import AuthRejected, SendRefused, SendRetry
from hermes_green.core.model import Part, Peer
from hermes_green.link.translator import Writing
from tests.support.port import FakeContext


class Chats:
    """Writes down what it is asked for; ``errors``: what it raises, once each."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.done: list[str] = []

    def _do(self, what: str) -> str:
        self.done.append(what)
        if what in self.errors:
            raise self.errors.pop(what)
        return what

    def open(self, peer: Peer, ref: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        return {"draft": self._do("open")}

    def show(self, handle: Mapping[str, Any], text: str, n: int) -> None:
        self._do("show")

    def finish(self, part: Part) -> str:
        return self._do("finish")

    def post(self, part: Part) -> str:
        return self._do("post")

    def retract(self, part: Part) -> None:
        self._do("retract")


class Adapter(Writing):
    def __init__(self, chats: Chats) -> None:
        super().__init__(None, FakeContext("x"), ManualClock())
        self._chats = chats


def a_part(handle: Any = None, **payload: Any) -> Part:
    peer = Peer(child="x", chat_id="c", chat_type="dm")
    return Part("k" * 32, 1, 0, peer, payload or {"text": "hi"}, {}, handle=handle)


def test_a_draft_is_finished_and_what_has_none_is_posted() -> None:
    chats = Chats()
    adapter = Adapter(chats)
    assert adapter.draft_open(a_part().peer, {}, "d", 1, None) == {"draft": "open"}
    adapter.draft_update({"draft": "open"}, "h", 1, None)
    assert adapter.send(a_part({"draft": "open"}), None).id == "finish"
    assert adapter.send(a_part(), None).id == "post"
    assert adapter.send(a_part({"draft": "open"}, media={}), None).id == "post"
    assert chats.done == ["open", "show", "finish", "post", "post", "retract"]


def test_a_text_that_stands_elsewhere_comes_neither_back_into_its_draft_nor_a_second_time() -> None:
    chats = Chats(finish=SendRefused("too large"), retract=SendRetry("not now"))
    adapter, part = Adapter(chats), a_part({"draft": "open"})
    with pytest.raises(SendRetry):
        adapter.send(part, None)
    assert adapter.send(part, None).id == "post"
    assert chats.done == ["finish", "post", "retract", "retract"]
    assert adapter._ctx.counts["drafts", "anew"] == 1, "a repeat is no second one"  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["open", "show", "finish"])
def test_refused_credentials_halt_the_child(what: str) -> None:
    adapter = Adapter(Chats(**{what: AuthRejected("no")}))
    calls = {
        "open": lambda: adapter.draft_open(a_part().peer, {}, "d", 1, None),
        "show": lambda: adapter.draft_update({}, "h", 1, None),
        "finish": lambda: adapter.send(a_part({"draft": "open"}), None),
    }
    with pytest.raises(SendRetry):
        calls[what]()
    assert len(adapter._ctx.rejected) == 1  # type: ignore[attr-defined]
