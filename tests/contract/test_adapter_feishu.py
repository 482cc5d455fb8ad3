"""The Feishu adapter against the simulated platform: the common contract, and what only Feishu has."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any, Mapping

import gevent
import pytest

from hermes_green.adapters.feishu import PLATFORM as feishu
from hermes_green.core.errors import AuthRejected, LinkLost, SendRefused, SendRetry, Throttled
from hermes_green.core.model import Inbound, Part, Peer, Secret
from hermes_green.sim import feishu_frames as frames
from hermes_green.sim.feishu import FeishuSim
from tests.contract.adapters import INTERVAL, TIMEOUT, AdapterContract, Bench, Driver
from tests.support.mutants import mutant
from tests.support.port import Run, wait_for


class FeishuDriver(Driver):
    name = "feishu"
    package = feishu
    keys = ("app_id", "app_secret", "feishu.yaml")
    long_text = "\n\n".join(f"Paragraph {n}: " + "words and 中文 and more words. " * 40 for n in range(120))

    def simulator(self, **how: Any) -> FeishuSim:
        # Patient: how long a client may take is judged where the simulator itself is tested.
        patient = {"heartbeat_timeout": 600, "ack_deadline": 600}
        return FeishuSim(**{"ping_interval": 1, "native_ping": 0.5, **patient, **how})

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        return {"reply_to": inbound.message_id}

    def send_file(self, sim: Any, data: str) -> None:
        sim.say(text="report.pdf", message_type="file", data=data)

    def send_strange(self, sim: Any) -> None:
        sim.say(message_type="hologram")

    def react(self, sim: Any, inbound: Inbound) -> bool:
        sim.say(kind="reaction", message_id=inbound.message_id, user=inbound.peer.user_id)
        return True

    def settings(self, sim: Any, **more: Any) -> feishu.Settings:
        given = {
            "app_id": sim.app_id,
            "app_secret": Secret(sim.app_secret),
            "api_base": sim.url,
            "ping_interval": INTERVAL,
            "ping_timeout": TIMEOUT,
            **more,
        }
        return feishu.Settings(**given)

    def wrong(self, sim: Any) -> feishu.Settings:
        return self.settings(sim, app_secret=Secret("not the secret"))


class TestFeishu(AdapterContract):
    driver = FeishuDriver()

    def test_ready_waits_for_the_first_pong(self, bench: Bench) -> None:
        bench.sim.fault("mute_acks")
        run = bench.start()
        bench.sim.wait("beat")
        gevent.sleep(0.2)
        assert run.port.readies == [], "a socket that is open is not a platform that answers"
        bench.sim.clear()
        run.until_ready()
        assert run.port.who != bench.sim.app_id, "the bot's own name"

    def test_the_first_beat_leaves_at_once(self, bench: Bench) -> None:
        bench.anew(ping_interval=600.0)
        bench.start().until_ready(timeout=60)
        assert len(bench.sim.record(kind="beat")) == 1

    def test_a_pong_sets_the_pace_unless_the_operator_has(self, bench: Bench) -> None:
        adapter = feishu.create(self.driver.settings(bench.sim, ping_interval=None), bench.ctx)
        run = Run(adapter, bench.ctx).until_ready()
        bench.sim.rules = replace(bench.sim.rules, ping_interval=0.04)
        before = bench.sim.record()[-1]["n"]
        # At the first pace they would take as many seconds.
        wait_for(lambda: len(bench.sim.record(before, "beat")) >= 25, timeout=20, what="faster beats")
        run.close()
        adapter.close()

    def test_a_reply_to_a_thread_stays_in_it(self, bench: Bench) -> None:
        run = bench.ready()
        first = bench.hear(run, "topic", "group")
        inbound = bench.hear(run, "in the thread", "group", reply_to=first.message_id, thread=True)
        assert inbound.peer.thread_id
        (part,) = bench.parts(inbound, "me too")
        bench.adapter.send(part, None)
        sent = bench.sends()[-1]
        assert (sent["in_thread"], sent["reply_to"]) == (inbound.peer.thread_id, inbound.message_id)

    def test_what_was_forwarded_as_one_is_told_with_who_said_it(self, bench: Bench) -> None:
        run = bench.ready()
        within = [("ou_ann", "lunch?"), ("ou_bob", "at noon")]
        bench.sim.say(message_type="merge_forward", content={"content": "Merged"}, forwarded=within)
        wait_for(lambda: run.port.accepted, what="the message")
        (inbound,) = run.port.accepted
        assert inbound.text == "[forwarded messages]"
        told = bench.adapter.quoted(inbound.quote.ref)
        assert (told.text, told.chat_id) == ("ou_ann: lunch?\nou_bob: at noon", inbound.peer.chat_id)

    def test_a_reply_outside_threads_opens_none(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, "plain", "group"), "plainly")
        bench.adapter.send(part, None)
        assert not bench.sends()[-1]["in_thread"]

    def test_the_bots_own_mention_is_removed_and_others_are_named(self, bench: Bench) -> None:
        run = bench.ready()
        ours = bench.hear(run, "please help", "group")
        assert (ours.text, ours.mentioned) == ("please help", True)
        other = bench.hear(run, "you there", "group", mentions=["ou_bob"])
        assert not other.mentioned and other.text.endswith("you there")

    def test_rich_text_is_read_and_markdown_is_answered_as_a_post(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "rich words", message_type="post")
        assert "rich words" in inbound.text
        (part,) = bench.parts(inbound, "# Title\n\n**bold** and `code`\n\n```py\nprint(1)\n```")
        bench.adapter.send(part, None)
        sent = bench.sends()[-1]
        assert sent["msg_type"] == "post" and "print(1)" in sent["text"]

    def test_a_push_in_many_parts_in_any_order_is_one_message_acknowledged_once(self, bench: Bench) -> None:
        run = bench.ready()
        text = "long " * 400
        inbound = bench.hear(run, text, parts=7, shuffled=True)
        assert inbound.text == text.strip()
        bench.sim.wait("ack")
        gevent.sleep(0.2)
        assert len(bench.sim.record(kind="ack")) == 1

    def test_events_that_are_not_messages_are_acknowledged_and_go_no_further(self, bench: Bench) -> None:
        run = bench.ready()
        message = bench.hear(run, "a message").message_id
        for kind in ("entered", "added", "removed"):
            bench.sim.say(kind=kind)
        for who in ("ou_alice", "bot"):
            bench.sim.say(kind="reaction", message_id=message, user=who)
        bench.sim.say(kind="card_action", message_id=message)
        bench.sim.say(kind="edit", message_id=message, text="edited")
        bench.sim.say(kind="recall", message_id=message)
        bench.sim.say(kind="raw", event_type="something.new_v7", event={"x": 1})
        wait_for(lambda: len(bench.sim.record(kind="ack")) >= 10, what="ten acknowledgements")
        assert all(ack["code"] == 200 for ack in bench.sim.record(kind="ack"))
        # Our own reaction comes back, and is none; the user's is.
        assert [each.reaction is None for each in run.port.offered] == [True, False]
        assert run.port.quarantined == []

    def test_a_message_that_makes_no_sense_is_kept_and_acknowledged(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="raw", event_type="im.message.receive_v1", event={"message": {"message_id": 7}})
        bench.sim.wait("ack")
        assert len(run.port.quarantined) == 1 and not run.ended

    def test_five_hundred_mutated_frames_end_no_run_and_good_ones_between_are_answered(self, bench: Bench) -> None:
        run, draw = bench.ready(), random.Random(20261120)
        good = [f"good {number}" for number in range(0, 500, 25)]
        for number in range(500):
            bench.sim.links[0].send(mutated(number, draw))
            if number % 25 == 0:
                bench.sim.say(text=f"good {number}", chat="oc_dm_bob", parts=draw.randint(1, 3))
        wait_for(lambda: not bench.sim.courier.unacked(), what="every good frame to be acknowledged")
        heard = [inbound for inbound in run.port.accepted if inbound.peer.chat_id == "oc_dm_bob"]
        assert sorted(inbound.text for inbound in heard) == sorted(good)
        assert not run.ended and len(run.port.quarantined) > 100
        for inbound in heard:
            (part,) = bench.parts(inbound, inbound.text)
            bench.adapter.send(part, run.port.link)
        assert sorted(entry["text"] for entry in bench.sends()) == sorted(good)
        assert len(bench.sim.record(kind="open")) == 1
        bench.forgiven.append("of a push that never was")  # what makes sense but to us is acknowledged, too

    def test_media_is_announced_in_words(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "x", message_type="image")
        assert inbound.text == "[image]" and inbound.attachments[0].kind == "image"

    @pytest.mark.parametrize(
        "status, error", [(1, LinkLost), (1000040343, LinkLost), (1000040350, Throttled), (514, AuthRejected)]
    )
    def test_what_discovery_refuses_says_wait_or_halt(self, bench: Bench, status: int, error: type[Exception]) -> None:
        bench.sim.fault("refuse", status=status)
        run = bench.start()
        assert type(run.until_end()) is error, repr(run.error)

    def test_too_many_connections_at_the_upgrade_wait(self, bench: Bench) -> None:
        bench.sim.rules = replace(bench.sim.rules, max_connections=0)
        run = bench.start()
        assert isinstance(run.until_end(), Throttled)
        assert run.error.after >= 10

    def test_without_bot_info_the_link_still_works(self, bench: Bench) -> None:
        bench.adapter._rest.bot = lambda: (_ for _ in ()).throw(LinkLost("no"))
        run = bench.ready()
        assert bench.hear(run, "hi bot", "group").mentioned
        assert run.port.who == bench.sim.app_id

    def test_a_recalled_message_is_answered_in_its_chat(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "forget it", "group")
        bench.sim.say(kind="recall", message_id=inbound.message_id)
        (part,) = bench.parts(inbound, "too late")
        bench.adapter.send(part, None)
        sent = bench.sends()[-1]
        assert (sent["chat"], sent["reply_to"]) == (inbound.peer.chat_id, "")

    def test_a_bot_that_was_removed_is_refused_for_good(self, bench: Bench) -> None:
        bench.ready()
        bench.sim.say(kind="removed", chat="oc_sim_group")
        peer = bench.adapter.peer_of("group:oc_sim_group")
        with pytest.raises(SendRefused):
            bench.adapter.send(a_part(peer), None)

    def test_a_person_is_written_to_by_open_id(self, bench: Bench) -> None:
        bench.ready()
        bench.adapter.send(a_part(bench.adapter.peer_of("ou_alice")), None)
        assert bench.sends()[-1]["text"] == "unasked"

    def test_a_chat_written_to_too_fast_waits_alone(self, bench: Bench) -> None:
        bench.ready()
        bench.sim.rules = replace(bench.sim.rules, chat_rate=(1, 600))
        bench.sim.rest._rules = bench.sim.rules
        peer = bench.adapter.peer_of("group:oc_sim_group")
        bench.adapter.send(a_part(peer, "a" * 32), None)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(a_part(peer, "b" * 32), None)
        assert caught.value.scope == "chat"

    def test_credentials_revoked_during_sends_halt_the_child_and_keep_the_message(self, bench: Bench) -> None:
        bench.ready()
        bench.sim.app_secret = "another"
        bench.sim.rest.revoke()
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(a_part(bench.adapter.peer_of("ou_alice")), None)
        assert caught.value.scope == "account"
        assert isinstance(bench.ctx.rejected[0], AuthRejected)


def a_part(peer: Peer | None, key: str = "d" * 32) -> Part:
    assert peer is not None
    return Part(key=key, reply_seq=1, ordinal=0, peer=peer, payload={"text": "unasked"})


def mutated(number: int, draw: random.Random) -> bytes:
    """A push, or now and then a pong, whose event, envelope or bytes are damaged."""
    message: Any = {"message_id": f"om_{number}", "chat_id": "oc_bad", "chat_type": "group", "message_type": "text"}
    message |= {"content": json.dumps({"text": "@_user_1 hi"}), "create_time": "1774004597216"}
    message["mentions"] = [{"key": "@_user_1", "id": {"open_id": "ou_ann"}, "name": "Ann"}]
    header = {"event_id": f"bad-{number}", "event_type": "im.message.receive_v1"}
    sender = {"sender_id": {"open_id": "ou_ann"}, "sender_type": "user"}
    event = {"schema": "2.0", "header": header, "event": {"sender": sender, "message": message}}
    how = draw.random()
    if how < 0.5:
        event = mutant(event, draw)
    part = frames.parts_of(7, f"bad-{number}", json.dumps(event).encode(), draw.randint(1, 2), "t" * 29, number)[0]
    raw = bytearray(frames.pong(7, {"PingInterval": 90}) if how > 0.95 else part.data)
    if how >= 0.5:
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(raw))
            raw[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(1, 3))
    return bytes(raw)
