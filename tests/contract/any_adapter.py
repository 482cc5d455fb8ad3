"""What holds for every adapter, the page's own chat included: what comes in, what goes out, once and in order."""

from __future__ import annotations

import time
from typing import Iterator

import gevent
import pytest

from hermes_green.core.model import Attachment, Reply
from tests.contract.adapter_bench import Bench, Driver
from tests.support.port import FakePort, wait_for


class AnyAdapter:
    """Every test; ``driver`` is the subclass's."""

    driver: Driver

    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        sim = self.driver.simulator().start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        yield bench
        bench.close()

    def test_ready_is_said_only_after_the_platform_has_answered(self, bench: Bench) -> None:
        run = bench.start()
        assert run.port.readies == []
        run.until_ready()
        assert run.port.who
        assert len(bench.sim.links) == 1

    def test_messages_of_every_kind_of_chat_are_received(self, bench: Bench) -> None:
        run = bench.ready()
        for kind, chat_type in self.driver.kinds.items():
            inbound = bench.hear(run, f"from {kind} 你好 😀", kind)
            assert (inbound.text, inbound.peer.chat_type) == (f"from {kind} 你好 😀", chat_type)
            assert inbound.peer.child == bench.ctx.child and inbound.peer.chat_id and inbound.peer.user_id
            assert inbound.keys and inbound.message_id and inbound.mentioned
            assert inbound.peer.thread_id is None or bench.adapter.caps.of(chat_type).threads
            assert inbound.sent_at is None or abs(inbound.sent_at - time.time()) < 60

    def test_messages_keep_their_order(self, bench: Bench) -> None:
        run = bench.ready()
        texts = [f"number {n}" for n in range(30)]
        for text in texts:
            bench.sim.say(text=text)
            gevent.sleep(0)
        wait_for(lambda: len(run.port.accepted) >= len(texts), what="all messages")
        assert [inbound.text for inbound in run.port.accepted] == texts

    def test_nothing_is_acknowledged_before_it_is_committed(self, bench: Bench) -> None:
        if not self.driver.acks:
            pytest.skip("the platform takes no acknowledgement of a frame")
        run = bench.ready()
        run.port.hold()
        bench.sim.say(text="hold me")
        wait_for(lambda: run.port.offered, what="the message")
        gevent.sleep(0.3)
        assert bench.sim.record(kind="ack") == []
        run.port.release()
        bench.sim.wait("ack")

    def test_what_is_pushed_only_once_can_be_handed_in_again_without_a_link(self, bench: Bench) -> None:
        run = bench.ready()
        first = bench.hear(run, "only once 一次")
        if bench.adapter.caps.default.resends:
            assert not hasattr(bench.adapter, "replay")
            return
        wait_for(lambda: [kept.state for kept in run.port.kept] == ["done"], what="the end of the shelter")
        run.close()
        later = FakePort()
        bench.adapter.replay(later, run.port.kept[0].raw)
        wait_for(lambda: later.accepted, what="the message")
        assert later.accepted == [first] and later.memo_writes == run.port.memo_writes
        later.stop()

    def test_a_message_pushed_twice_is_committed_once_also_across_runs(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.fault("duplicate", count=1)
        bench.hear(run, "only once")
        wait_for(lambda: run.port.duplicates, what="the duplicate")
        run.close()
        second = bench.ready()
        bench.sim.fault("redeliver")
        bench.hear(second, "another")
        assert [inbound.text for inbound in run.port.accepted + second.port.accepted] == ["only once", "another"]

    def test_a_reaction_is_told_of_once_and_names_its_message(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "react to me")
        assert self.driver.react(bench.sim, inbound) is bench.adapter.caps.default.reactions
        if bench.adapter.caps.default.reactions:
            wait_for(lambda: len(run.port.accepted) > 1, what="the reaction")
            told = run.port.accepted[-1]
            assert told.reaction is not None and told.reaction.emoji and told.reaction.added
            assert (told.message_id, told.text) == (inbound.message_id, "")
            assert told.peer.user_id == inbound.peer.user_id and told.peer.chat_id in ("", inbound.peer.chat_id)
            bench.sim.fault("redeliver")
        bench.hear(run, "another")
        assert [each.text for each in run.port.accepted if each.reaction is None] == ["react to me", "another"]
        assert len(run.port.accepted) == 2 + bench.adapter.caps.default.reactions

    def test_an_answer_arrives_in_every_kind_of_chat(self, bench: Bench) -> None:
        run = bench.ready()
        for kind in self.driver.kinds:
            inbound = bench.hear(run, f"ask in {kind}", kind)
            (part,) = bench.parts(inbound, f"answer to {kind}")
            receipt = bench.adapter.send(part, run.port.link)
            last = bench.sends()[-1]
            assert last["text"] == f"answer to {kind}" and last["chat"] == inbound.peer.chat_id
            assert bool(receipt.id) is self.driver.receipts and abs(receipt.at - time.time()) < 60

    def test_a_long_answer_arrives_in_parts_in_order_and_whole(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "tell me all")
        parts = bench.parts(inbound, self.driver.long_text)
        assert len(parts) > 1
        for part in parts:
            bench.adapter.send(part, run.port.link)
        assert self.driver.delivered_text(bench.sends()) == "".join(self.driver.long_text.split())

    @pytest.mark.parametrize("words", ["look at this", "**look** at this", ""])
    def test_what_cannot_be_carried_is_said_in_a_line(self, bench: Bench, words: str) -> None:
        inbound = bench.hear(bench.ready(), "show me")
        gone = (Attachment("image", name="one.png"), Attachment("file", name="two.pdf"))
        payloads = bench.adapter.render(Reply(words, inbound.peer, inbound.reply_ref, gone))
        assert all(line in str(payloads) for line in ("[image] one.png", "[file] two.pdf")), payloads
        assert len(payloads) == 1 and "look" in str(payloads) or not words

    def test_what_caps_promise_can_be_asked_for(self, bench: Bench) -> None:
        kinds = [bench.adapter.caps.of(kind) for kind in {"dm", *self.driver.kinds.values()}]
        asked = {"streaming": ("draft_open", "draft_update"), "typing": ("typing",), "media": ("fetch",)}
        asked |= {"lookup": ("find",)}
        for ability, methods in asked.items():
            promised = any(getattr(caps, ability) for caps in kinds) or ability in self.driver.after_more
            there = [callable(getattr(bench.adapter, name, None)) for name in methods]
            assert there == [promised] * len(methods), ability

    def test_an_answer_goes_out_while_the_link_is_down_where_caps_allow(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "and then the line went dead", self.driver.keyed)
        if bench.adapter.caps.of(inbound.peer.chat_type).send_needs_link:
            pytest.skip("sends need the link here")
        self.driver.lose(bench, run)
        (part,) = bench.parts(inbound, "still here")
        assert bool(bench.adapter.send(part, None).id) is self.driver.receipts
        assert bench.sends()[-1]["text"] == "still here"
