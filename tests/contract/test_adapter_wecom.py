"""The WeCom adapter against the simulated platform: the common contract, and what only WeCom has."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, Mapping

import gevent
import pytest

from hermes_green.adapters.wecom import PLATFORM as wecom, conversation, drafts, exchange
from hermes_green.adapters.wecom.adapter import WeComAdapter
from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import Displaced, LinkLost, SendRefused, SendRetry, SendUnknown, Throttled
from hermes_green.core.model import Attachment, Called, Inbound, Part, Peer, Reply, Secret
from hermes_green.runtime.media import Media
from hermes_green.sim import wecom_desk
from hermes_green.sim.wecom import WeComSim
from tests.contract.adapters import INTERVAL, TIMEOUT, AdapterContract, Bench, Driver, again
from tests.support.port import Run, wait_for
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime

MIB = 1024 * 1024


class WeComDriver(Driver):
    name = "wecom"
    package = wecom
    keys = ("bot_id", "secret", "wecom.yaml")
    throttles = "chat"
    acks = False
    connections = 1
    bases = ("ws_base",)
    long_text = "\n\n".join(f"Paragraph {n}: " + "words and 中文 and more words. " * 40 for n in range(60))

    def simulator(self, **how: Any) -> WeComSim:
        # Patient: how long a client may take is judged where the simulator itself is tested. ``patience`` is the other
        # way round: the longer, the stricter.
        return WeComSim(**{"silence": 600, "patience": 600, "kick_after": 0.3, **how})

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        return {"quote": {"msgtype": "text", "text": {"content": inbound.text}}}

    def send_file(self, sim: Any, data: str) -> None:
        sim.say(message_type="file", data=data)

    def send_strange(self, sim: Any) -> None:
        sim.say(message_type="hologram")

    def settings(self, sim: Any, **more: Any) -> wecom.Settings:
        given = {
            "bot_id": sim.options.bot_id,
            "secret": Secret(sim.options.secret),
            "api_base": sim.url,
            "ws_base": sim.ws_url,
            "ping_interval": INTERVAL,
            "ping_timeout": TIMEOUT,
            **more,
        }
        return wecom.Settings(**given)

    def wrong(self, sim: Any) -> wecom.Settings:
        return self.settings(sim, secret=Secret("not the secret"))

    def expire_tokens(self, sim: Any) -> None:
        """There are none: a subscription lasts as long as its link."""

    @contextmanager
    def impatient(self, sim: Any) -> Iterator[None]:
        """From then on the platform does not mind what follows on a frame that it did not answer, either."""
        sim.options = replace(sim.options, patience=0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exchange, "ANSWER_WITHIN", 0.5)
            yield


@pytest.fixture(autouse=True)
def one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an answer was lost, none comes late: a second one is not waited for as long as in life."""
    monkeypatch.setattr(exchange, "SECOND_WITHIN", 0.3)


class TestWeCom(AdapterContract):
    driver = WeComDriver()

    def test_a_platform_that_asks_to_wait_is_waited_for(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "too fast")
        bench.sim.fault("429", count=1)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(part, run.port.link)
        assert caught.value.after >= 5 and caught.value.scope == "chat", "45009 does not say how long"
        bench.adapter.send(again(part), run.port.link)
        assert [entry["text"] for entry in bench.sends()] == ["too fast"]

    def test_a_platform_that_cannot_be_reached_has_certainly_not_delivered(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "into the void")
        bench.sim.fault("refuse", status="tcp")
        link = run.port.link
        bench.sim.fault("rst")
        assert isinstance(run.until_end(), LinkLost)
        for gone in (link, None):
            with pytest.raises(SendRetry):
                bench.adapter.send(part, gone)
        assert isinstance(bench.start().until_end(), LinkLost)

    # --- the link ------------------------------------------------------------------------------

    def test_the_subscription_is_the_first_frame_and_ready_waits_for_its_consent(self, bench: Bench) -> None:
        bench.sim.fault("mute_acks")
        run = bench.start()
        bench.sim.wait("subscribe")
        gevent.sleep(0.3)
        assert run.port.readies == [], "an open socket is no subscription"
        bench.sim.fault("rst")
        run.until_end()
        bench.sim.clear()
        bench.ready()

    def test_a_refused_bot_closes_its_socket_itself(self, bench: Bench) -> None:
        adapter = wecom.create(self.driver.wrong(bench.sim), bench.ctx)
        run = Run(adapter, bench.ctx)
        run.until_end()
        assert bench.sim.wait("close")["how"] == "client"
        run.close()
        adapter.close()

    def test_subscribing_too_often_waits(self, bench: Bench) -> None:
        bench.sim.fault("errcode", code=45009, cmd="aibot_subscribe")
        error = bench.start().until_end()
        assert isinstance(error, Throttled) and error.after >= 30
        bench.ready()

    def test_another_subscriber_displaces_and_is_not_kicked_back(self, bench: Bench) -> None:
        run = bench.ready()
        other = wecom.create(self.driver.settings(bench.sim), bench.ctx)
        second = Run(other, bench.ctx).until_ready()
        error = run.until_end()
        assert isinstance(error, Displaced) and "wecom.yaml" in error.action
        wait_for(lambda: len(bench.sim.links) == 1, what="the loser to close its socket")
        gevent.sleep(0.4)
        assert not second.ended and bench.sim.dials == 2
        second.close()
        other.close()

    def test_a_lost_subscription_drops_the_link_and_the_row_is_sent_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversation, "UNSURE", 1e9)  # nothing but the answer to the row tells of it
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "after all")
        bench.sim.fault("unsubscribe")
        with pytest.raises(SendRetry):
            bench.adapter.send(part, run.port.link)
        assert isinstance(run.until_end(), LinkLost)
        bench.adapter.send(again(part), bench.ready().port.link)
        assert [entry["text"] for entry in bench.sends()] == ["after all"]

    def test_a_subscription_is_asked_for_again_though_one_answer_never_came(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversation, "UNSURE", 0.0)
        lost: list[str] = []
        heard = conversation.Conversation._on_answer

        def missing_one(self: conversation.Conversation, frame: Any) -> None:
            if frame.req_id == self._question and not lost:
                lost.append(frame.req_id)
            else:
                heard(self, frame)

        monkeypatch.setattr(conversation.Conversation, "_on_answer", missing_one)
        run = bench.ready()
        wait_for(lambda: lost)
        bench.sim.fault("unsubscribe")
        assert "subscription" in str(run.until_end())

    def test_what_comes_while_nobody_is_subscribed_is_lost_and_said_to_be(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.fault("fin")
        run.until_end()
        bench.sim.say(text="into the gap")
        assert bench.sim.record(kind="lost")
        again_ready = bench.ready()
        bench.hear(again_ready, "after the gap")
        assert [inbound.text for inbound in again_ready.port.accepted] == ["after the gap"]

    # --- in ------------------------------------------------------------------------------------

    def test_events_are_counted_and_go_no_further(self, bench: Bench) -> None:
        run = bench.ready()
        for event in ("enter_chat", "feedback_event", "something_new"):
            bench.sim.say(event=event)
        bench.hear(run, "still here")
        assert len(run.port.offered) == 1 and run.port.quarantined == []
        assert bench.ctx.counts["frames", "unknown"] == 1 and bench.ctx.counts["frames", "enter_chat"] == 1
        assert bench.sim.record(kind="welcome") == [], "nobody is greeted unasked"

    @pytest.mark.parametrize("kind", ["dm", "group"])
    def test_what_is_chosen_on_a_card_is_asked_and_answered_by_a_message_of_our_own(
        self, bench: Bench, kind: str
    ) -> None:
        run = bench.ready()
        bench.sim.say(event="template_card_event", chat_type=kind, body={"event_key": "approve", "task_id": "t"})
        wait_for(lambda: run.port.accepted, what="the choice")
        (inbound,) = run.port.accepted
        assert inbound.text == "[card: approve]" and [kept.state for kept in run.port.kept] == ["done"]
        (part,) = bench.parts(inbound, "approved")
        with pytest.raises(SendRefused):
            bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, run.port.link)
        bench.adapter.send(part, run.port.link)
        (sent,) = bench.sends()
        assert (sent["text"], sent["via"], sent["chat"]) == ("approved", "send", inbound.peer.chat_id)

    def test_a_welcome_is_said_where_one_is_configured(self, bench: Bench) -> None:
        adapter = wecom.create(self.driver.settings(bench.sim, welcome="at your service"), bench.ctx)
        run = Run(adapter, bench.ctx).until_ready()
        bench.sim.say(event="enter_chat")
        assert bench.sim.wait("welcome")["text"] == "at your service"
        run.close()
        adapter.close()

    def test_a_message_that_makes_no_sense_is_kept_and_the_link_goes_on(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(text="x", body={"from": 7})
        bench.hear(run, "fine")
        assert len(run.port.quarantined) == 1 and not run.ended

    def test_five_hundred_mutated_frames_end_no_run_and_good_ones_between_are_answered(self, bench: Bench) -> None:
        run, draw = bench.ready(), random.Random(20261120)
        for number in range(500):
            said = bench.sim.users._recent[-1].frame if bench.sim.users._recent else {"cmd": "aibot_msg_callback"}
            bench.sim.gate.current.send(mutated(said, draw))
            if number % 50 == 0:
                (part,) = bench.parts(bench.hear(run, f"good {number}"), f"answer {number}")
                bench.adapter.send(part, run.port.link)
        bench.hear(run, "the last")
        assert not run.ended and len(bench.sends()) == 10

    @pytest.mark.parametrize("kind, size", [("image", 70_000), ("file", 31), ("video", 32), ("file", 300_001)])
    def test_media_is_fetched_and_decrypted(self, bench: Bench, kind: str, size: int) -> None:
        run, data = bench.ready(), os.urandom(size)
        inbound = bench.hear(run, message_type=kind, data=base64.b64encode(data).decode())
        (attachment,) = inbound.attachments
        assert attachment.kind == kind and inbound.text == f"[{kind}]"
        assert bench.fetched(attachment.ref) == data

    @pytest.mark.parametrize("name", ["报告 1.pdf", 'a "b"; c.txt', "plain.csv"])
    def test_a_file_s_name_comes_with_its_bytes(self, bench: Bench, name: str) -> None:
        data = base64.b64encode(b"words").decode()
        inbound = bench.hear(bench.ready(), message_type="file", data=data, name=name)
        (attachment,) = inbound.attachments
        first, *pieces = bench.adapter.fetch(attachment.ref)
        assert first == Called(name) and b"".join(pieces) == b"words"

    def test_a_file_whose_turn_comes_after_the_end_of_its_link_is_there_all_the_same(self, tmp_path: Path) -> None:
        sim = self.driver.simulator().start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        media = Media(tmp_path, lambda fn, *args: fn(*args), bench.ctx.log)
        try:
            inbound = bench.hear(bench.ready(), message_type="image", data=base64.b64encode(b"pixels").decode())
            media.expect(bench.adapter, inbound)
            wait_for(lambda: [path for path in tmp_path.rglob("*image*") if path.read_bytes() == b"pixels"], what="it")
            sim.users.served = {id: replace(served, until=0.0) for id, served in sim.users.served.items()}
            with pytest.raises(LinkLost):
                list(bench.adapter.fetch(inbound.attachments[0].ref))
            (attachment,) = media.of(bench.adapter, inbound)
            assert attachment.path is not None and Path(attachment.path).read_bytes() == b"pixels"
        finally:
            bench.close()

    def test_media_s_host_follows_api_base(self) -> None:
        sim = self.driver.simulator(media_host="https://ww-aibot-img.example.com").start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            data = base64.b64encode(b"pixels").decode()
            inbound = bench.hear(bench.ready(), message_type="mixed", text="look", data=data)
            assert inbound.text == "look\n[image]"
            assert bench.fetched(inbound.attachments[0].ref) == b"pixels"
        finally:
            bench.close()

    def test_media_that_is_gone_or_of_another_key_is_an_error_in_words(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, message_type="image", data=base64.b64encode(b"pixels").decode())
        ref = inbound.attachments[0].ref
        other = base64.b64encode(os.urandom(32)).decode()
        for wrong in ({**ref, "aeskey": "short"}, {**ref, "aeskey": other}, {"url": f"{bench.sim.url}/media/none"}, {}):
            with pytest.raises(LinkLost):
                list(bench.adapter.fetch(wrong))

    # --- out -----------------------------------------------------------------------------------

    def test_an_answer_is_a_finished_stream_on_the_callback_s_req_id(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "**said**")
        receipt = bench.adapter.send(part, run.port.link)
        (sent,) = bench.sends()
        assert (sent["msgtype"], sent["via"], sent["key"]) == ("stream", "respond", part.key) and receipt.id == part.key

    @pytest.mark.parametrize("how", ["stale", "errcode"])
    def test_an_answer_too_late_is_written_to_the_chat_in_the_same_send(self, bench: Bench, how: str) -> None:
        run = bench.ready()
        for kind in ("dm", "group"):
            (part,) = bench.parts(bench.hear(run, kind=kind), f"late in {kind}")
            if how == "stale":
                bench.sim.fault("stale")
            else:
                bench.sim.fault("errcode", code=846608, cmd="aibot_respond_msg")
            assert bench.adapter.send(part, run.port.link).id
            sent = bench.sends()[-1]
            assert (sent["msgtype"], sent["via"], sent["text"]) == ("markdown", "send", f"late in {kind}")

    def test_a_window_that_is_known_to_be_closed_is_not_tried(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, body={"create_time": int(time.time()) - 90_000})
        (part,) = bench.parts(inbound, "a day later")
        bench.adapter.send(part, run.port.link)
        assert bench.sends()[-1]["via"] == "send" and bench.sim.record(kind="refused_command") == []

    def test_chats_are_written_to_by_prefix_and_unknown_ones_are_refused(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run)
        bench.hear(run, kind="group")
        for chat in ("user:alice", "group:wr_sim_group"):
            bench.adapter.send(a_part(bench.adapter.peer_of(chat)), run.port.link)
        assert [entry["chat"] for entry in bench.sends()] == ["alice", "wr_sim_group"]
        with pytest.raises(SendRefused) as caught:
            bench.adapter.send(a_part(bench.adapter.peer_of("user:stranger")), run.port.link)
        assert "written to it before" in caught.value.action
        assert bench.adapter.peer_of("alice") is None

    @pytest.mark.parametrize(
        "kind, name, size, shown",
        [
            ("image", "a.png", 3000, "image"),
            ("image", "b.png", 2 * MIB + 1, "file"),
            ("file", "c.pdf", 1_200_000, "file"),
        ],
    )
    @pytest.mark.parametrize("asked", [True, False])
    def test_files_are_uploaded_in_pieces_and_sent(
        self, bench: Bench, tmp_path: Path, kind: Any, name: str, size: int, shown: str, asked: bool
    ) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        data = os.urandom(size)
        (tmp_path / name).write_bytes(data)
        reply = Reply("", inbound.peer, inbound.reply_ref, (Attachment(kind, name=name, path=str(tmp_path / name)),))
        (payload,) = bench.adapter.render(reply)
        part = replace(a_part(inbound.peer), payload=payload, reply_ref=inbound.reply_ref if asked else {})
        bench.adapter.send(part, run.port.link)
        (sent,) = bench.sends()
        assert (sent["msgtype"], sent["name"], sent["md5"]) == (shown, name, hashlib.md5(data).hexdigest())
        assert sent["via"] == ("respond" if asked else "send")

    def test_a_file_that_is_too_large_is_refused_with_the_limit_in_words(self, bench: Bench, tmp_path: Path) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        with open(tmp_path / "big.zip", "wb") as file:
            file.truncate(20 * MIB + 1)
        payload = {"media": {"kind": "file", "path": str(tmp_path / "big.zip"), "name": "big.zip", "mime": ""}}
        with pytest.raises(SendRefused, match="20 MiB"):
            bench.adapter.send(replace(a_part(inbound.peer), payload=payload), run.port.link)

    def test_an_upload_whose_answer_is_lost_has_certainly_shown_nothing(self, bench: Bench, tmp_path: Path) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        (tmp_path / "a.txt").write_bytes(b"some text")
        payload = {"media": {"kind": "file", "path": str(tmp_path / "a.txt"), "name": "a.txt", "mime": ""}}
        part = replace(a_part(inbound.peer), payload=payload, reply_ref=inbound.reply_ref)
        bench.sim.fault("mute_acks")
        with self.driver.impatient(bench.sim), pytest.raises(SendRetry):
            bench.adapter.send(part, run.port.link)

    # --- one frame at a time -------------------------------------------------------------------

    def test_frames_of_one_req_id_wait_for_each_other_and_those_of_others_do_not(self, bench: Bench) -> None:
        run = bench.ready()
        inbounds = [bench.hear(run, f"ask {n}", chat=f"user{n}") for n in range(2)]
        bench.sim.fault("slow", delay=0.3)
        sending = [
            gevent.spawn(bench.adapter.send, part, run.port.link)
            for inbound in inbounds
            for n in range(3)
            for part in bench.parts(inbound, f"part {n}")
        ]
        gevent.joinall(sending, raise_error=True)
        # That no frame leaves before the one before it was answered, the platform itself sees to.
        chats = [entry["chat"] for entry in bench.sends()]
        assert len(chats) == 6
        assert all(set(chats[n : n + 2]) == {"user0", "user1"} for n in (0, 2, 4)), f"two beside each other: {chats}"

    def test_a_sender_that_is_killed_leaves_its_req_id_in_order(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "the end")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "e" * 32, 1, run.port.link)
        bench.sim.fault("slow", delay=0.5)
        updating = gevent.spawn(bench.adapter.draft_update, handle, "half", 1, run.port.link)
        gevent.sleep(0.1)
        updating.kill()
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        assert [entry["text"] for entry in bench.sends()] == ["the end"]

    def test_a_late_answer_is_not_taken_for_the_next_frame_s(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "refused at last")
        answers: list[Any] = []
        land, req_id = bench.sim.gate._land, part.reply_ref["req_id"]

        def hold(*answer: Any) -> None:
            answers.append(answer) if answer[1] == req_id else land(*answer)

        monkeypatch.setattr(bench.sim.gate, "_land", hold)
        monkeypatch.setattr(exchange, "SECOND_WITHIN", 60.0)
        with self.driver.impatient(bench.sim), pytest.raises(SendUnknown):
            bench.adapter.send(part, run.port.link)
        bench.sim.fault("errcode", code=40058, cmd="aibot_respond_msg")
        sending = gevent.spawn(bench.adapter.send, again(part), run.port.link)
        wait_for(lambda: len(answers) == 2, what="both to be under way")
        for answer in answers:  # the consent to the first comes now, and then the refusal
            land(*answer)
        with pytest.raises(SendRefused):
            sending.get(timeout=PATIENCE)

    # --- drafts --------------------------------------------------------------------------------

    def test_a_draft_grows_in_one_bubble_and_the_final_text_closes_it(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "one two three")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "a" * 32, 1, run.port.link)
        for n, text in enumerate(("one", "one two"), 1):
            bench.adapter.draft_update(handle, text, n, run.port.link)
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        bench.adapter.send(again(replace(part, handle=handle)), run.port.link)
        (sent,) = bench.sends()
        assert (sent["text"], sent["key"], bench.sim.state()["streams"]) == ("one two three", "a" * 32, 0)
        assert [entry["text"] for entry in bench.sim.record(kind="draft")] == ["one", "one two"]

    def test_a_draft_longer_than_a_message_shows_what_fits_and_the_rest_comes_at_the_end(self, bench: Bench) -> None:
        run = bench.ready()
        first, *rest = bench.parts(bench.hear(run), self.driver.long_text)
        handle = bench.adapter.draft_open(first.peer, first.reply_ref, "b" * 32, 1, run.port.link)
        bench.adapter.draft_update(handle, self.driver.long_text, 1, run.port.link)
        bench.adapter.draft_update(handle, self.driver.long_text + " more", 2, run.port.link)
        for part in (replace(first, handle=handle), *rest):
            bench.adapter.send(part, run.port.link)
        assert self.driver.delivered_text(bench.sends()) == "".join(self.driver.long_text.split())
        assert len(bench.sim.record(kind="draft")) == 1, "what cannot be seen is not sent"

    def test_a_bubble_that_has_expired_is_replaced_by_a_new_one(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "all of it")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "c" * 32, 1, run.port.link)
        bench.adapter.draft_update(handle, "half", 1, run.port.link)
        bench.sim.fault("expire_streams")
        with pytest.raises(SendRefused):
            bench.adapter.draft_update(handle, "half of it", 2, run.port.link)
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        bench.adapter.send(again(replace(part, handle=handle)), run.port.link)
        (sent,) = bench.sends()
        assert (sent["text"], sent["key"], sent["via"]) == ("all of it", part.key, "respond")

    def test_a_draft_finds_its_bubble_again_over_another_link_and_in_another_process(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "whole")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "d" * 32, 1, run.port.link)
        bench.adapter.draft_update(handle, "w", 1, run.port.link)
        bench.sim.fault("rst")
        run.until_end()
        reborn = wecom.create(self.driver.settings(bench.sim), bench.ctx)
        second = Run(reborn, bench.ctx).until_ready()
        reborn.draft_update(handle, "who", 1_000_001, second.port.link)
        reborn.send(replace(part, handle=handle), second.port.link)
        assert [(entry["text"], entry["key"]) for entry in bench.sends()] == [("whole", "d" * 32)]
        second.close()
        reborn.close()

    def test_a_bubble_without_news_is_kept_alive_until_the_final_text(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(drafts, "LOOK", 0.02)
        ours, theirs = ManualClock(), StandingTime(monkeypatch, wecom_desk)
        bench.adapter.close()
        bench.adapter = WeComAdapter(self.driver.settings(bench.sim), bench.ctx, ours)

        def pass_by(seconds: float) -> None:
            ours.advance(seconds)
            theirs.advance(seconds)

        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "at last")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "e" * 32, 1, run.port.link)
        bench.adapter.draft_update(handle, "thinking", 1, run.port.link)
        bubble = bench.adapter._drafts._bubbles["e" * 32]
        for _ in range(3):
            pass_by(drafts.KEEP_ALIVE)
            wait_for(lambda: bubble.at == ours.monotonic(), what="the frame that keeps it alive")
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        assert [(entry["text"], entry["key"]) for entry in bench.sends()] == [("at last", "e" * 32)]
        drawn = [entry["text"] for entry in bench.sim.record(kind="draft")]
        assert drawn == ["thinking"] * 4
        pass_by(drafts.KEEP_ALIVE)
        gevent.sleep(0.2)
        assert len(bench.sim.record(kind="draft")) == len(drawn), "a finished bubble needs no more"

    def test_a_bubble_before_an_answer_without_words_is_closed(self, bench: Bench, tmp_path: Path) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "x")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "a" * 32, 1, run.port.link)
        bench.adapter.draft_update(handle, "look:", 1, run.port.link)
        (tmp_path / "a.txt").write_bytes(b"some text")
        payload = {"media": {"kind": "file", "path": str(tmp_path / "a.txt"), "name": "a.txt", "mime": ""}}
        bench.adapter.send(replace(part, payload=payload, handle=handle), run.port.link)
        shown = [(entry["msgtype"], entry["text"]) for entry in bench.sends()]
        assert shown == [("stream", "[file] a.txt"), ("file", "")]
        assert bench.sim.state()["streams"] == 0

    def test_only_answers_can_grow(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run)
        with pytest.raises(SendRefused):
            bench.adapter.draft_open(bench.adapter.peer_of("user:alice"), {}, "f" * 32, 1, run.port.link)
        with pytest.raises(SendRetry):
            bench.adapter.draft_update({"req_id": "x", "stream_id": "f" * 32}, "words", 1, None)

    def test_a_bubble_is_on_our_record_before_the_platform_knows_of_it(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "whole")
        handle = bench.adapter.draft_open(part.peer, part.reply_ref, "a" * 32, 1, run.port.link)
        assert bench.sim.record(kind="draft") == []
        bench.sim.fault("lose_answer", count=1)
        with self.driver.impatient(bench.sim), pytest.raises(SendUnknown):
            bench.adapter.draft_update(handle, "wh", 1, run.port.link)
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        assert [(entry["text"], entry["key"]) for entry in bench.sends()] == [("whole", "a" * 32)]
        assert bench.sim.state()["streams"] == 0


def mutated(frame: Any, draw: random.Random) -> str:
    """The frame as JSON, damaged; it stays a callback, for an answer or a displacement would be believed."""
    text = json.dumps(frame)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text))
        new = draw.choice(["", "\x00", "[", "}", '"', "7", "null", "\\ud800", text[at : at + 9]])
        text = text[:at] + new + text[at + draw.randint(0, 5) :]
    return text if '"cmd"' in text else "{}"


def a_part(peer: Peer | None, key: str = "d" * 32) -> Part:
    assert peer is not None
    return Part(key=key, reply_seq=1, ordinal=0, peer=peer, payload={"text": "unasked"})
