"""The page's own chat against the contract that holds for every adapter; it has no network, and needs no simulator."""

from __future__ import annotations

import secrets
from types import SimpleNamespace
from typing import Any, Mapping

import gevent

from hermes_green.adapters import web
from hermes_green.adapters.web.mailbox import Mailbox
from hermes_green.core.errors import LinkLost
from tests.contract.adapter_bench import Bench, Driver
from tests.contract.any_adapter import AnyAdapter
from tests.support.port import Run, wait_for
from tests.support.stage import PATIENCE


class Page(Mailbox):
    """The mailbox, with what the contract asks of a simulator: who writes is the page, what it is shown is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._log: list[dict[str, Any]] = []
        self._twice = 0
        self._last: dict[str, Any] = {}

    def start(self) -> Page:
        return self

    def stop(self) -> None:
        """There is nothing to stop."""

    @property
    def links(self) -> list[Any]:
        return [] if self._port is None else [self._port]

    def say(self, text: str, chat_type: str = "dm", chat: str = "main") -> None:
        """The page posts in the background, as a browser does."""
        self._last = {"text": text, "chat": chat, "key": secrets.token_hex(16)}
        for _ in range(1 + self._twice):
            gevent.spawn(self._post, self._last)
        self._twice = 0

    def fault(self, name: str, count: int = 1) -> None:
        """``duplicate``: the next post comes twice; ``redeliver``: the last one comes again."""
        if name == "duplicate":
            self._twice = count
        else:
            gevent.spawn(self._post, self._last)

    def clear(self) -> None:
        """No fault lasts."""

    def _post(self, said: dict[str, Any]) -> None:
        self.post(**said)
        self._log.append({"kind": "ack", "message_id": said["key"]})

    def publish(self, line: Mapping[str, Any]) -> None:
        known = any(entry.get("message_id") == line["id"] for entry in self._log)
        told = {"chat": line["chat"], "text": line["text"], "message_id": line["id"], "duplicate": known}
        self._log.append({"kind": "send", **told})
        super().publish(line)

    def record(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self._log if entry["kind"] == kind]

    def wait(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        wait_for(lambda: self.record(kind), timeout, kind)
        return self.record(kind)[-1]


class WebDriver(Driver):
    name = "web"
    kinds = {"dm": "dm"}
    long_text = "words and 中文 and more words.\n\n" * 8_000

    def simulator(self, **how: Any) -> Page:
        page = Page()
        self.package = SimpleNamespace(create=lambda settings, ctx: web.create(settings, ctx, page))
        return page

    def settings(self, sim: Any, **more: Any) -> web.Settings:
        return web.Settings(ping_interval=0.05, **more)

    def lose(self, bench: Bench, run: Run) -> None:
        """No line can be bad; the child may be stopped."""
        run.close()


class TestWeb(AnyAdapter):
    driver = WebDriver()

    def test_beats_prove_that_it_lives_and_an_end_lets_the_page_know(self, bench: Bench) -> None:
        run = bench.ready()
        wait_for(lambda: run.port.beats >= 3, what="three beats")
        assert run.close() is None and bench.sim.links == []
        try:
            bench.sim.post("is anybody there?")
        except LinkLost as error:
            assert error.code == "child_down"
        else:
            raise AssertionError("nobody is there")

    def test_what_is_shown_twice_has_one_id(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, "once please"), "exactly once", key="f" * 32)
        receipts = [bench.adapter.send(part, run.port.link) for _ in range(2)]
        assert [receipt.id for receipt in receipts] == ["f" * 32] * 2
        assert [entry["text"] for entry in bench.sends()] == ["exactly once"]
