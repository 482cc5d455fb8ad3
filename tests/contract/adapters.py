"""The contract of an adapter, once for all platforms.

A platform's module subclasses ``Driver`` (how to start its simulator, what its settings are, how its
users speak) and ``AdapterContract`` (every test), and adds what only that platform has. What holds for the
page's own chat as well, which has no network, is ``AnyAdapter``'s:

    class TestQQ(AdapterContract):
        driver = QQDriver()

Each test gets a ``bench``: one simulator, one adapter, one context. At its end the run is closed, no
link may be left, and the simulator may have found no fault with the client.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import gevent
import pytest

from hermes_green.content import markdown
from hermes_green.core.errors import AuthRejected, BadFrame, LinkError, LinkLost, SendError, SendRetry, SendUnknown
from hermes_green.core.model import Attachment, Part, Reply
from hermes_green.runtime.rendering import RENDER_INLINE
from tests.contract.adapter_bench import INTERVAL, TIMEOUT, Bench, Driver, Gate, again, count_connections
from tests.contract.any_adapter import AnyAdapter
from tests.support.port import Run, wait_for
from tests.support.proxies import HttpProxy, Proxy, Socks5Proxy
from tests.support.stage import PATIENCE
from tests.support.tls import make_authority

__all__ = ["INTERVAL", "TIMEOUT", "AdapterContract", "Bench", "Driver", "again"]


class AdapterContract(AnyAdapter):
    """Every test of a platform; ``driver`` is the subclass's."""

    @pytest.fixture
    def growing(self) -> Iterator[Bench]:
        """A bench whose answers grow, which needs a setting on some platforms."""
        sim = self.driver.simulator().start()
        bench = Bench(self.driver, sim, self.driver.growing(sim))
        yield bench
        bench.close()

    # --- the link ------------------------------------------------------------------------------

    def test_heartbeats_are_sent_and_answered_and_prove_the_link(self, bench: Bench) -> None:
        run = bench.ready()
        wait_for(lambda: run.port.heartbeats["answered"] >= 3, what="three answered beats")
        assert run.port.beats >= 3 and run.port.heartbeats["missed"] == 0

    @pytest.mark.parametrize("how", ["rst", "fin"])
    def test_a_cut_link_ends_the_run_with_link_lost(self, bench: Bench, how: str) -> None:
        run = bench.ready()
        bench.sim.fault(how)
        assert isinstance(run.until_end(), LinkLost), repr(run.error)

    def test_each_close_code_ends_the_run_as_the_fact_sheet_says(self, bench: Bench) -> None:
        for code, expected in self.driver.closes.items():
            run = bench.ready()
            bench.sim.fault("close", code=code)
            error = run.until_end()
            if expected is None:
                assert error is None, f"{code}: {error!r}"
            else:
                assert isinstance(error, expected), f"{code}: {error!r}"
            run.close()

    @pytest.mark.parametrize("how", ["half_open", "mute_acks", "stop_reading"])
    def test_a_deaf_link_is_lost_within_the_timeout_of_the_first_unanswered_beat(self, bench: Bench, how: str) -> None:
        bench.anew(**self.driver.deaf)
        run = bench.ready()
        # Where this process was stopped for longer than the timeout, it is over already, for the same reason.
        wait_for(lambda: run.ended or run.port.heartbeats["answered"] >= 2, what="answered beats")
        bench.sim.fault(how)
        before = run.port.heartbeats["sent"]
        error = run.until_end()
        assert isinstance(error, LinkLost), repr(error)
        sent = run.port.heartbeats["sent"] - before
        assert sent <= self.driver.unanswered, f"noticed after {sent} beats"
        assert run.port.heartbeats["missed"] == 1

    def test_a_dial_that_is_refused_is_link_lost_and_the_next_one_works(self, bench: Bench) -> None:
        for status in (503, "tcp"):
            bench.sim.fault("refuse", status=status, count=1)
            run = bench.start()
            assert isinstance(run.until_end(), LinkLost), repr(run.error)
            assert run.port.readies == []
            bench.sim.clear()
        bench.ready()

    def test_wrong_credentials_are_rejected_with_a_sentence_that_names_the_keys(self, bench: Bench) -> None:
        adapter = self.driver.package.create(self.driver.wrong(bench.sim), bench.ctx)
        try:
            run = Run(adapter, bench.ctx)
            error = run.until_end()
            run.close()
            assert isinstance(error, AuthRejected), repr(error)
            assert all(key in error.action for key in self.driver.keys), error.action
            assert run.port.readies == []
        finally:
            adapter.close()

    def test_a_planned_end_says_goodbye_and_nothing_dials_again(self, bench: Bench) -> None:
        run = bench.ready()
        dials = bench.sim.dials
        assert run.close() is None
        gone = bench.sim.wait("close")
        assert gone["how"] == "client", gone
        gevent.sleep(2 * INTERVAL)
        assert bench.sim.links == [] and bench.sim.dials == dials

    def test_an_end_during_the_dial_leaves_no_link_behind(self, bench: Bench) -> None:
        gate = Gate(bench.sim)
        run = bench.start()
        assert gate.asked.wait(PATIENCE), "nothing was dialled"
        run.port.close()
        gate.open()
        run.until_end()
        gevent.sleep(0.1)
        wait_for(lambda: not bench.sim.links, what="the end of what was dialled")
        assert run.port.readies == []

    def test_an_end_that_is_announced_lets_a_successor_take_over(self, bench: Bench) -> None:
        old = bench.ready()
        announced = time.monotonic()
        assert self.driver.announce(bench.sim) is bench.adapter.caps.default.handover
        if not bench.adapter.caps.default.handover:
            return
        wait_for(lambda: old.port.retired, what="the wish for a successor")
        new = bench.ready()
        print(f"{self.driver.name}: {1000 * (time.monotonic() - announced):.0f} ms from the notice to the next link")
        for number in range(10):
            bench.sim.say(text=f"during the change {number}")
        wait_for(lambda: len(old.port.accepted) + len(new.port.accepted) == 10, what="all that came meanwhile")
        assert old.close() is None and not new.ended
        bench.hear(new, "after it")

    def test_a_runtime_that_takes_no_more_ends_the_run(self, bench: Bench) -> None:
        run = bench.ready()
        run.port.full = True
        bench.sim.say(text="one too many")
        assert isinstance(run.until_end(), LinkLost)

    # --- in ------------------------------------------------------------------------------------

    def test_a_message_of_a_kind_that_nobody_knows_is_kept_whole_and_acknowledged(self, bench: Bench) -> None:
        run = bench.ready()
        self.driver.send_strange(bench.sim)
        wait_for(lambda: run.port.quarantined, what="the frame in quarantine")
        if self.driver.acks:
            bench.sim.wait("ack")
        bench.hear(run, "and on")
        ((raw, error),) = run.port.quarantined
        assert self.driver.strange in (raw if isinstance(raw, str) else raw.decode("utf-8", "replace")), raw
        assert isinstance(error, BadFrame) and not run.ended

    def test_a_message_that_answers_another_brings_what_that_one_says(self, bench: Bench) -> None:
        run = bench.ready()
        first = bench.hear(run, "the first 你好")
        answer = bench.hear(run, "and this?", **self.driver.quoting(first))
        assert answer.text == "and this?" and answer.quote is not None and first.quote is None
        quote = bench.adapter.quoted(answer.quote.ref) if answer.quote.ref else answer.quote
        assert quote.text == "the first 你好"
        assert quote.author in ("", first.peer.user_id, first.peer.user_name)
        assert bench.adapter.caps.of(answer.peer.chat_type).quotes

    # --- out -----------------------------------------------------------------------------------

    def test_a_token_that_expires_in_mid_life_is_replaced_within_the_send(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        for number, text in enumerate(("before", "after"), 1):
            (part,) = bench.parts(inbound, text, key=f"{number:032x}")
            bench.adapter.send(replace(part, reply_seq=number), run.port.link)
            self.driver.expire_tokens(bench.sim)
        assert [entry["text"] for entry in bench.sends()] == ["before", "after"]

    def test_a_lost_answer_is_unknown_and_a_repeat_is_one_message_where_a_key_lives(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "once please", self.driver.keyed)
        (part,) = bench.parts(inbound, "exactly once", key="f" * 32)
        bench.sim.fault("lose_answer", count=1)
        with self.driver.impatient(bench.sim), pytest.raises(SendUnknown):
            bench.adapter.send(part, run.port.link)
        bench.adapter.send(again(part), run.port.link)
        assert [entry["text"] for entry in bench.sends()] == ["exactly once"] * self.driver.repeats

    def test_a_platform_that_asks_to_wait_is_waited_for(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "too fast")
        bench.sim.fault("429", after=700, count=1)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(part, run.port.link)
        assert caught.value.after == pytest.approx(700, abs=100) and caught.value.scope == self.driver.throttles
        assert bench.sends() == []
        bench.adapter.send(again(part), run.port.link)
        assert [entry["text"] for entry in bench.sends()] == ["too fast"]

    def test_a_platform_that_cannot_be_reached_has_certainly_not_delivered(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, kind=self.driver.keyed), "into the void")
        nowhere = self.driver.settings(bench.sim, **{base: "http://127.0.0.1:1" for base in self.driver.bases})
        adapter = self.driver.package.create(nowhere, bench.ctx)
        try:
            with pytest.raises(SendRetry):
                adapter.send(part, run.port.link)
            run = Run(adapter, bench.ctx)
            assert isinstance(run.until_end(), LinkLost), repr(run.error)
            run.close()
        finally:
            adapter.close()

    def test_an_answer_grows_and_ends_as_one_message_with_the_whole_text(self, growing: Bench) -> None:
        run = growing.ready()
        inbound = growing.hear(run, "tell me")
        assert growing.adapter.caps.of(inbound.peer.chat_type).streaming
        handle = growing.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, run.port.link)
        for number, text in enumerate(("Once", "Once upon"), 1):
            growing.adapter.draft_update(handle, text, number, run.port.link)
        assert growing.shown(inbound) == ["Once upon"]
        (part,) = growing.parts(inbound, "Once upon a time")
        final = replace(part, reply_seq=2, handle=json.loads(json.dumps(dict(handle))))
        for each in (final, again(final)):
            growing.adapter.send(each, run.port.link)
            assert growing.shown(inbound) == ["Once upon a time"]

    def test_what_a_growing_answer_costs_the_hub_is_bounded(
        self, growing: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aside, walked = [False], []
        parser = markdown.parser

        def beside(compute: Any, *values: Any) -> Any:
            aside[0] = True
            try:
                return compute(*values)
            finally:
                aside[0] = False

        def parse(text: str) -> Any:
            walked.append((len(text), aside[0]))
            return parser().parse(text)

        run = growing.ready()
        inbound = growing.hear(run, "tell me")
        limit = growing.adapter.caps.of(inbound.peer.chat_type).limit
        monkeypatch.setattr(growing.ctx, "beside", beside)
        monkeypatch.setattr(markdown, "parser", lambda: SimpleNamespace(parse=parse))
        adapter = self.driver.package.create(self.driver.growing(growing.sim), growing.ctx)
        try:
            handle = adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, run.port.link)
            with suppress(SendError):  # where no message is so long, the answer grows no further
                adapter.draft_update(handle, "many **words** and `more`\n\n" * 4_000, 1, run.port.link)
        finally:
            adapter.close()
        assert all(length <= RENDER_INLINE or elsewhere for length, elsewhere in walked), walked
        assert sum(length for length, _ in walked) <= 1.5 * limit, f"walked {walked} to show {limit}"

    def test_files_travel_both_ways(self, bench: Bench, tmp_path: Path) -> None:
        run = bench.ready()
        data = bytes(range(256)) * 300
        self.driver.send_file(bench.sim, base64.b64encode(data).decode())
        wait_for(lambda: run.port.accepted, what="the file")
        inbound = run.port.accepted[-1]
        (item,) = inbound.attachments
        assert bench.fetched(item.ref) == data
        (tmp_path / "plan.pdf").write_bytes(data)
        media = (Attachment("file", name="plan.pdf", path=str(tmp_path / "plan.pdf")),)
        payloads = bench.adapter.render(Reply("here it is", inbound.peer, inbound.reply_ref, media))
        for number, payload in enumerate(payloads):
            part = Part(f"{number:032x}", number + 1, number, inbound.peer, payload, inbound.reply_ref)
            bench.adapter.send(part, run.port.link)
        words, file = bench.sends()
        assert words["text"] == "here it is" and file["chat"] == words["chat"] == inbound.peer.chat_id

    # --- every way to the platform -------------------------------------------------------------

    @pytest.mark.parametrize("way", ["tls", "connect", "socks5", "tls+connect", "tls+socks5"])
    def test_a_message_travels_there_and_back_over(self, way: str, tmp_path: Any) -> None:
        authority = make_authority(tmp_path) if "tls" in way else None
        how = {"certfile": authority.cert_file, "keyfile": authority.key_file} if authority else {}
        proxy: Proxy | None = HttpProxy() if "connect" in way else Socks5Proxy() if "socks5" in way else None
        sim = self.driver.simulator(**how)
        reached = count_connections(sim)
        sim.start()
        if proxy is not None:
            proxy.start()
        more = {"ca_file": authority.ca_file if authority else "", "proxy": proxy.url if proxy else ""}
        bench = Bench(self.driver, sim, self.driver.settings(sim, **more))
        try:
            run = bench.ready()
            (part,) = bench.parts(bench.hear(run, "there"), "and back")
            bench.adapter.send(part, run.port.link)
            assert [entry["text"] for entry in bench.sends()] == ["and back"]
        finally:
            bench.close()
            if proxy is not None:
                proxy.stop()
        if proxy is not None:
            assert len(reached) >= self.driver.connections, "the socket and the calls"
            assert {entry.port for entry in proxy.record} == {sim.port}
            assert len(proxy.record) == len(reached), "every connection went through the proxy"

    def test_an_unknown_authority_is_not_trusted(self, tmp_path: Any) -> None:
        authority = make_authority(tmp_path)
        sim = self.driver.simulator(certfile=authority.cert_file, keyfile=authority.key_file).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            assert isinstance(bench.start().until_end(), LinkError)
        finally:
            bench.close()
