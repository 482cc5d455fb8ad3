"""The DingTalk adapter against the simulated platform: the common contract, and what only DingTalk has."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import gevent
import pytest

from hermes_green.adapters.dingtalk import PLATFORM as dingtalk, conversation
from hermes_green.core.errors import AuthRejected, LinkLost, SendRefused, SendRetry, SendUnknown, Throttled
from hermes_green.core.model import Attachment, Inbound, Part, Reply, Secret
from hermes_green.link import dialogue
from hermes_green.link.heartbeat import Heartbeat
from hermes_green.sim import dingtalk_frames as frames, dingtalk_rest
from hermes_green.sim.dingtalk import DingTalkSim
from hermes_green.sim.dingtalk_router import Push
from tests.contract.adapters import INTERVAL, TIMEOUT, AdapterContract, Bench, Driver, again
from tests.support.mutants import mutant
from tests.support.port import wait_for
from tests.support.standing import StandingTime

TEMPLATE = "sim.schema"


class DingTalkDriver(Driver):
    name = "dingtalk"
    package = dingtalk
    keys = ("client_id", "client_secret", "dingtalk.yaml")
    long_text = "\n\n".join(f"Paragraph {n}: " + "words and 中文 and more words. " * 20 for n in range(30))
    bases = ("api_base", "oapi_base")
    after_more = ("streaming",)
    receipts = False
    repeats = 2

    def simulator(self, **how: Any) -> DingTalkSim:
        return DingTalkSim(**{"ping_every": 0.4, "keepalive_every": 0.5, "drain": 1.0, **how})

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        return {"quote": inbound.text}

    def growing(self, sim: Any) -> dingtalk.Settings:
        return self.settings(sim, card_template_id=TEMPLATE)

    def send_file(self, sim: Any, data: str) -> None:
        sim.say(text="report.pdf", msgtype="file", data=data)

    def announce(self, sim: Any) -> bool:
        sim.fault("disconnect", grace=60)
        return True

    def send_strange(self, sim: Any) -> None:
        sim.say(msgtype="hologram")

    def settings(self, sim: Any, **more: Any) -> dingtalk.Settings:
        given = {
            "client_id": sim.options.client_id,
            "client_secret": Secret(sim.options.client_secret),
            "api_base": sim.url,
            "ping_interval": INTERVAL,
            "ping_timeout": TIMEOUT,
            **more,
        }
        return dingtalk.Settings(**given)

    def wrong(self, sim: Any) -> dingtalk.Settings:
        return self.settings(sim, client_secret=Secret("not the secret"))


class CardDriver(DingTalkDriver):
    def settings(self, sim: Any, **more: Any) -> dingtalk.Settings:
        return super().settings(sim, card_template_id=TEMPLATE, **more)


def stale(part: Part) -> Part:
    """The same part when its message's webhook has ended long ago."""
    return replace(part, reply_ref={**part.reply_ref, "until": time.time() - 1})


class TestDingTalk(AdapterContract):
    driver = DingTalkDriver()

    # --- the link ------------------------------------------------------------------------------------

    def test_the_accepted_upgrade_is_ready_and_nothing_else_is_waited_for(self, bench: Bench) -> None:
        bench.sim.options = replace(bench.sim.options, quiet=True, ping_every=0.0, keepalive_every=0.0)
        run = bench.ready()
        assert run.port.who == bench.sim.options.client_id
        assert run.port.proof_within == pytest.approx(INTERVAL + TIMEOUT)

    def test_a_ping_of_the_platform_is_answered_with_its_own_words(self, bench: Bench) -> None:
        bench.ready()
        wait_for(lambda: len(bench.sim.record(kind="beat")) >= 2, what="two answers")
        gevent.sleep(0.3)
        assert bench.sim.record(kind="disconnect") == []

    def test_silence_of_a_platform_that_pinged_before_is_a_lost_link(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversation, "SILENCE", 1.0)
        run = bench.ready()
        # Where this process was stopped for longer than the silence, it is over already, for the same reason.
        wait_for(lambda: run.ended or bench.sim.record(kind="beat"), what="a ping and its answer")
        bench.sim.options = replace(bench.sim.options, ping_every=0.0, keepalive_every=0.0)
        before = run.port.heartbeats["answered"]
        error = run.until_end()
        assert isinstance(error, LinkLost) and "nothing heard" in error.text, repr(error)
        assert run.port.heartbeats["answered"] - before <= 5, "pongs go on and prove nothing"

    def test_silence_is_noticed_as_soon_as_the_operators_pace_and_the_platforms_own_allow(self, bench: Bench) -> None:
        bench.anew(ping_timeout=3)
        run = bench.ready()
        wait_for(lambda: run.ended or len(bench.sim.record(kind="beat")) >= 3, what="pings and their answers")
        bench.sim.options = replace(bench.sim.options, ping_every=0.0, keepalive_every=0.0)
        error = run.until_end()
        assert isinstance(error, LinkLost) and "nothing heard" in error.text, repr(error)

    def test_a_pace_that_is_set_does_not_cut_a_link_whose_platform_speaks_more_rarely(self, bench: Bench) -> None:
        bench.anew(ping_timeout=1)
        bench.sim.options = replace(bench.sim.options, ping_every=2.0, keepalive_every=2.5)
        run = bench.ready()
        wait_for(lambda: run.ended or len(bench.sim.record(kind="beat")) >= 3, what="rare pings")
        assert not run.ended

    def test_silence_of_a_platform_that_never_pinged_is_none(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversation, "SILENCE", 0.5)
        bench.sim.options = replace(bench.sim.options, quiet=True, ping_every=0.0, keepalive_every=0.0)
        run = bench.ready()
        wait_for(lambda: run.ended or run.port.heartbeats["answered"] >= 4, what="pongs for longer than the silence")
        assert not run.ended
        assert bench.hear(run, "still there").text == "still there"

    def test_an_announced_end_asks_for_a_second_link_and_ends_the_first_without_an_error(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversation, "DRAIN", 600.0)  # the platform's cut is what ends it here
        run = bench.ready()
        bench.sim.fault("disconnect", grace=0.5)
        wait_for(lambda: run.port.retired, what="the wish for a successor")
        successor = bench.ready()
        assert bench.hear(successor, "over here").text == "over here"
        assert run.until_end() is None
        assert run.port.accepted == [] and bench.sim.state()["lost"] == 0

    def test_a_platform_that_announces_the_end_and_cuts_nothing_is_left_all_the_same(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversation, "DRAIN", 0.5)
        run = bench.ready()
        bench.sim.fault("disconnect", grace=600)
        assert run.until_end() is None
        assert bench.sim.wait("close")["how"] == "client"

    def test_each_link_acknowledges_what_came_over_it(self, bench: Bench) -> None:
        first, second = bench.ready(), bench.ready()
        for run in (first, second):
            run.port.hold()
        for number in range(20):
            bench.sim.say(text=f"number {number}")
        wait_for(lambda: len(first.port.offered) + len(second.port.offered) == 20, what="all messages")
        assert first.port.offered and second.port.offered, "each push takes one connection at random"
        for run in (second, first):
            run.port.release()
        wait_for(lambda: len(bench.sim.record(kind="ack")) == 20, what="all acknowledgements")

    def test_half_of_the_messages_are_lost_while_a_dead_connection_is_believed_in(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hearts: list[Heartbeat] = []
        monkeypatch.setattr(dialogue, "Heartbeat", lambda *a, **k: hearts.append(Heartbeat(*a, **k)) or hearts[-1])
        dead = bench.ready()
        bench.sim.fault("half_open")
        alive = bench.ready()
        for number in range(20):
            bench.sim.say(text=f"number {number}")
        wait_for(lambda: len(alive.port.accepted) + bench.sim.state()["lost"] == 20, what="20 messages")
        print(f"lost to the dead connection: {bench.sim.state()['lost']} of 20")
        assert 0 < bench.sim.state()["lost"] < 20
        hearts[0].reconfigure(INTERVAL, INTERVAL)  # now it is noticed, and not before
        assert isinstance(dead.until_end(), LinkLost)

    def test_a_refused_ticket_is_a_lost_dial_and_not_the_end(self, bench: Bench) -> None:
        bench.sim.options = replace(bench.sim.options, ticket_seconds=-1.0)
        bench.forgiven.append("ticket")
        error = bench.start().until_end()
        assert type(error).__name__ == "UpgradeRefused" and error.status == 401
        bench.sim.options = replace(bench.sim.options, ticket_seconds=90.0)
        bench.ready()

    def test_too_many_dials_are_told_to_wait(self, bench: Bench) -> None:
        bench.adapter._rest.open()
        bench.sim.fault("refuse", status=429)
        assert isinstance(bench.start().until_end(), Throttled)

    def test_a_platform_that_routes_nothing_looks_well_and_only_its_record_tells(self, bench: Bench) -> None:
        bench.sim.options = replace(bench.sim.options, stuck_opens=3, stuck_window=600.0, stuck_seconds=600.0)
        for _ in range(2):
            run = bench.ready()
            bench.hear(run, "fine")
            run.close()
        deaf = bench.ready()
        bench.sim.say(text="into the void")
        bench.sim.wait("lost", reason="stuck routing")
        wait_for(lambda: deaf.port.heartbeats["answered"] >= 2, what="pongs all the same")
        assert deaf.port.accepted == [] and bench.sim.state()["stuck"] > 400

    # --- in --------------------------------------------------------------------------------------------

    def test_what_the_robot_takes_is_acknowledged_as_the_platform_expects(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "taken?")
        ack = bench.sim.wait("ack")
        assert (ack["code"], ack["data"]) == (200, {"response": None})

    def test_events_and_clicks_are_acknowledged_and_go_no_further(self, bench: Bench) -> None:
        run = bench.ready()
        link = bench.sim.links[0]
        link.memo["subscribed"] |= {("EVENT", "*"), ("CALLBACK", "/v1.0/card/instances/callback")}
        event = bench.sim.say(kind="event")["event_id"]
        assert bench.sim.wait("ack", event_id=event)["data"] == {"status": "SUCCESS", "message": ""}
        click = bench.sim.say(kind="card_click", track="t")["event_id"]
        assert bench.sim.wait("ack", event_id=click)["data"] == {"response": {}}
        assert run.port.offered == [] and run.port.quarantined == []

    def test_what_makes_no_sense_is_kept_acknowledged_and_stops_nothing(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="raw", data={"msgtype": "text"})
        assert bench.sim.wait("ack")["code"] == 200
        for raw in ("{", "[]", '{"type":"NEWS"}', '{"type":"SYSTEM"}'):
            bench.sim.say(kind="raw", frame=raw)
        wait_for(lambda: len(run.port.quarantined) == 5, what="five frames in quarantine")
        assert bench.hear(run, "and on").text == "and on"

    def test_a_callback_of_a_topic_that_nobody_knows_is_kept_and_answered_as_unknown(self, bench: Bench) -> None:
        run = bench.ready()
        topic = "/v1.0/of/tomorrow"
        bench.sim.links[0].memo["subscribed"] |= {("CALLBACK", topic)}
        bench.sim.users._push(Push("CALLBACK", topic, {"x": 1}, event_id="e"))
        assert bench.sim.wait("ack")["code"] == 404
        ((raw, _),) = run.port.quarantined
        assert topic in raw
        assert bench.hear(run, "and on").text == "and on"

    @pytest.mark.parametrize(
        "msgtype, kind, text",
        [
            ("picture", "image", "[image]"),
            ("audio", "audio", "words of mine"),
            ("video", "video", "[video]"),
            ("file", "file", "[file: words of mine]"),
            ("richText", "image", "words of mine[image]"),
        ],
    )
    def test_media_comes_in_words_and_as_bytes(self, bench: Bench, msgtype: str, kind: str, text: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "words of mine", msgtype=msgtype, data="aGVsbG8=")
        (item,) = inbound.attachments
        assert (inbound.text, item.kind) == (text, kind)
        assert b"".join(bench.adapter.fetch(item.ref)) == b"hello"

    def test_a_user_from_outside_is_known_by_another_id_and_answered_by_the_webhook(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "hello from afar", user="zoe", outside=True)
        assert inbound.peer.user_id.startswith("$:LWCP")
        (part,) = bench.parts(inbound, "welcome")
        bench.adapter.send(part, None)
        assert bench.sends()[-1]["via"] == "webhook"
        with pytest.raises(SendRefused) as caught:
            bench.ctx.memos.clear()
            bench.adapter.send(stale(part), None)
        assert "outside" in caught.value.text

    def test_in_a_group_only_its_own_mention_addresses_the_robot(self, bench: Bench) -> None:
        run = bench.ready()
        assert bench.hear(run, "you", "group").mentioned
        assert not bench.hear(run, "bob", "group", mentions=["bob"]).mentioned

    # --- out -------------------------------------------------------------------------------------------

    def test_a_group_s_answer_calls_who_asked(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, "me?", "group", user="bob"), "yes")
        bench.adapter.send(part, None)
        assert bench.sends()[-1]["at"] == ["bob"]

    def test_who_asked_is_called_though_somebody_else_spoke_last_and_a_push_calls_nobody(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, "me?", "group", user="bob"), "yes")
        chat = bench.hear(run, "and me", "group", user="carol").peer.chat_id
        bench.adapter.send(stale(part), None)
        bench.adapter.send(push(bench, f"group:{chat}"), None)
        assert [(entry["via"], entry["at"]) for entry in bench.sends()] == [("webhook", ["bob"]), ("webhook", [])]

    @pytest.mark.parametrize("kind, via", [("dm", "user"), ("group", "group")])
    def test_after_the_webhook_s_end_the_api_delivers(self, bench: Bench, kind: str, via: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "later", kind)
        bench.ctx.memos.clear()
        (part,) = bench.parts(inbound, "# Late\n\nbut **here**")
        receipt = bench.adapter.send(stale(part), None)
        last = bench.sends()[-1]
        assert (last["via"], last["chat"], last["msgtype"]) == (via, inbound.peer.chat_id, "sampleMarkdown")
        assert receipt.id

    def test_a_newer_message_s_webhook_serves_an_older_one(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, "long ago"), "now")
        bench.hear(run, "just now")
        bench.adapter.send(stale(part), None)
        assert bench.sends()[-1]["via"] == "webhook"

    def test_a_webhook_that_the_platform_forgot_gives_way_to_the_api(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "all the same")
        bench.sim.fault("webhooks")
        bench.adapter.send(part, None)
        assert bench.sends()[-1]["via"] == "user" and bench.ctx.counts["sends", "webhook_refused"] == 1

    @pytest.mark.parametrize("prefix", ["dm", "group"])
    def test_a_known_conversation_can_be_written_to_unasked(self, bench: Bench, prefix: str) -> None:
        run = bench.ready()
        chat = bench.hear(run, "remember me", prefix).peer.chat_id
        for n, via in enumerate(("webhook", "user" if prefix == "dm" else "group")):
            bench.adapter.send(push(bench, f"{prefix}:{chat}"), None)
            assert (bench.sends()[-1]["via"], bench.sends()[-1]["chat"]) == (via, chat)
            memo = bench.ctx.memos[f"chat:{chat}"]
            bench.ctx.memos[f"chat:{chat}"] = {**memo, "until": 1.0}

    def test_the_next_process_answers_and_writes_unasked_by_the_webhook_that_was_kept(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "remember me")
        (part,) = bench.parts(inbound, "an answer")
        run.close()
        reborn = dingtalk.create(self.driver.settings(bench.sim), bench.ctx)
        reborn.send(part, None)
        reborn.send(push(bench, f"dm:{inbound.peer.chat_id}"), None)
        reborn.close()
        assert [entry["via"] for entry in bench.sends()] == ["webhook", "webhook"]

    def test_a_person_can_be_written_to_by_staff_id(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "hi", user="carol")
        bench.ctx.memos.clear()
        bench.adapter.send(push(bench, "user:carol"), None)
        assert (bench.sends()[-1]["via"], bench.sends()[-1]["chat"]) == ("user", "cid-carol==")
        with pytest.raises(SendRefused):
            bench.adapter.send(push(bench, "user:nobody"), None)

    def test_a_user_whom_the_platform_slows_down_waits_though_the_answer_was_good(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "hi", user="dave")
        bench.sim.fault("flow", users=1)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(push(bench, "user:dave"), None)
        assert caught.value.scope == "chat" and bench.sends() == []

    def test_a_conversation_written_to_too_fast_waits_alone_and_long(self, bench: Bench) -> None:
        bench.sim.options = replace(bench.sim.options, webhook_count=2)
        bench.forgiven.append("by one webhook")
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "again")
        for _ in range(2):
            bench.adapter.send(part, None)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(part, None)
        assert caught.value.scope == "chat" and caught.value.after >= 600

    def test_calls_that_come_too_fast_wait_a_second_and_are_no_lack_of_permission(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        StandingTime(monkeypatch, dingtalk_rest)
        bench.sim.options = replace(bench.sim.options, api_rate=1)
        run = bench.ready()
        bench.hear(run, "hi", user="erin")
        bench.adapter.send(push(bench, "user:erin"), None)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(push(bench, "user:erin"), None)
        assert (caught.value.after, caught.value.scope) == (1.0, "account")

    def test_a_missing_permission_is_final_and_says_where_to_grant_it(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "hi", user="erin")
        code = "Forbidden.AccessDenied.AccessTokenPermissionDenied"
        bench.sim.fault("api_error", status=403, code=code, message="no scope", count=1)
        with pytest.raises(SendRefused) as caught:
            bench.adapter.send(push(bench, "user:erin"), None)
        assert "Permissions" in caught.value.action

    def test_a_token_that_is_refused_is_replaced_within_the_call(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "hi", user="frank")
        for _ in range(2):
            bench.adapter.send(push(bench, "user:frank"), None)
            bench.sim.fault("token")
        assert len(bench.sends()) == 2 and len(bench.sim.record(kind="token")) == 2

    def test_credentials_revoked_during_sends_halt_the_child_and_keep_the_message(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "hi", user="grace")
        bench.sim.options = replace(bench.sim.options, client_secret="another")
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(push(bench, "user:grace"), None)
        assert caught.value.scope == "account" and isinstance(bench.ctx.rejected[0], AuthRejected)

    @pytest.mark.parametrize("kind, msgtype", [("image", "sampleImageMsg"), ("file", "sampleFile")])
    def test_files_are_uploaded_and_sent(self, bench: Bench, tmp_path: Path, kind: Any, msgtype: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "show me")
        path = tmp_path / "report 1.pdf"
        path.write_bytes(b"x" * 300_000)
        reply = Reply("here", inbound.peer, inbound.reply_ref, (Attachment(kind, name=path.name, path=str(path)),))
        for number, payload in enumerate(bench.adapter.render(reply)):
            bench.sim.fault("token")
            bench.adapter.send(a_part(inbound, payload, number), None)
        assert [entry["msgtype"] for entry in bench.sends()] == ["text", msgtype]
        assert bench.sends()[-1]["size"] == 300_000
        assert bench.sim.record(kind="upload")[-1]["name"] == path.name

    def test_a_file_that_is_too_large_is_refused_before_a_byte_of_it_leaves(self, bench: Bench, tmp_path: Path) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "all of it")
        path = tmp_path / "big.bin"
        with open(path, "wb") as file:
            file.truncate(21 * 1024 * 1024)
        media = {"media": {"kind": "file", "path": str(path), "name": "big.bin", "mime": ""}}
        with pytest.raises(SendRefused) as caught:
            bench.adapter.send(a_part(inbound, media), None)
        assert "20971520" in caught.value.text and bench.sim.record(kind="upload") == []

    def test_a_file_is_uploaded_once_however_often_its_message_is_sent(self, bench: Bench, tmp_path: Path) -> None:
        part = self.file_for(bench, tmp_path)
        bench.sim.fault("lose_answer", count=1)
        with pytest.raises(SendUnknown):
            bench.adapter.send(part, None)
        bench.adapter.send(again(part), None)
        assert len(bench.sim.record(kind="upload")) == 1

    def test_an_upload_whose_answer_is_lost_has_certainly_shown_nothing(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lost(*_: Any) -> None:
            raise SendUnknown("no complete answer")

        part = self.file_for(bench, tmp_path)
        monkeypatch.setattr(bench.adapter._rest, "upload", lost)
        with pytest.raises(SendRetry):
            bench.adapter.send(part, None)

    @staticmethod
    def file_for(bench: Bench, tmp_path: Path) -> Part:
        inbound = bench.hear(bench.ready(), "show me")
        (tmp_path / "a.txt").write_bytes(b"some text")
        media = {"kind": "file", "path": str(tmp_path / "a.txt"), "name": "a.txt", "mime": ""}
        return a_part(inbound, {"media": media})

    def test_five_hundred_mutated_frames_end_no_run_and_good_ones_between_are_answered(self, bench: Bench) -> None:
        run, draw = bench.ready(), random.Random(7)
        good = [f"good {number}" for number in range(0, 500, 25)]
        for number in range(500):
            bench.sim.say(kind="raw", frame=mutated(number, draw))
            gevent.sleep(0)  # heartbeats go on meanwhile
            if number % 25 == 0:
                bench.sim.say(text=f"good {number}", chat="good")
        pushed = {entry["message_id"] for entry in bench.sim.record(kind="push")}
        wait_for(lambda: pushed <= {each.get("message_id") for each in bench.sim.record(kind="ack")}, what="every ack")
        heard = [inbound for inbound in run.port.accepted if inbound.text in good]
        assert sorted(inbound.text for inbound in heard) == sorted(good) and len(pushed) == len(good)
        assert not run.ended and len(run.port.quarantined) > 100 and len(run.port.accepted) > len(good)
        for inbound in heard:
            (part,) = bench.parts(inbound, inbound.text)
            bench.adapter.send(part, run.port.link)
        assert sorted(entry["text"] for entry in bench.sends()) == sorted(good)
        bench.forgiven += ["of nothing that was pushed", "not an acknowledgement"]


class TestCards:
    """AI cards: only with a template."""

    @pytest.fixture
    def bench(self) -> Any:
        driver = CardDriver()
        sim = driver.simulator().start()
        bench = Bench(driver, sim, driver.settings(sim))
        yield bench
        bench.close()

    def test_without_a_template_there_are_no_drafts(self, bench: Bench) -> None:
        plain = dingtalk.create(DingTalkDriver().settings(bench.sim), bench.ctx)
        assert not plain.caps.of("dm").streaming and bench.adapter.caps.of("dm").streaming
        plain.close()

    @pytest.mark.parametrize("kind", ["dm", "group"])
    def test_an_answer_grows_in_a_card_and_ends_there(self, bench: Bench, kind: str) -> None:
        inbound = bench.hear(bench.ready(), "tell me", kind)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        for n, text in enumerate(("one", "one two", "one two three"), 1):
            bench.adapter.draft_update(handle, text, n, None)
        (part,) = bench.parts(inbound, "one two three four")
        receipt = bench.adapter.send(replace(part, handle=handle), None)
        assert [entry["text"] for entry in bench.sim.record(kind="stream")] == ["one", "one two", "one two three"]
        (send,) = bench.sends()
        assert (send["via"], send["text"], send["chat"]) == ("card", "one two three four", inbound.peer.chat_id)
        assert bench.sim.record(kind="card_update")[-1]["values"]["flowStatus"] == "3"
        assert receipt.id == "a" * 32

    def test_an_answer_that_outgrows_its_card_is_not_shown_again_and_again(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "tell me")
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        for n in range(1, 4):
            bench.adapter.draft_update(handle, "word " * 800 + "more " * n, n, None)
        assert len(bench.sim.record(kind="stream")) == 1

    def test_a_rerun_finds_its_own_card_and_an_uncertain_end_is_repeated_in_place(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "once")
        for _ in range(2):
            handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "b" * 32, 1, None)
        (part,) = bench.parts(inbound, "the end")
        part = replace(part, handle=handle)
        bench.sim.fault("lose_answer", count=1)
        with pytest.raises(SendUnknown):
            bench.adapter.send(part, None)
        bench.adapter.send(again(part), None)
        assert [entry["text"] for entry in bench.sends()] == ["the end"]
        assert len(bench.sim.record(kind="card")) == 1

    def test_a_card_that_does_not_take_the_end_is_closed_and_the_answer_sent_anew(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "tell me")
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "c" * 32, 1, None)
        bench.adapter.draft_update(handle, "half a", 1, None)
        (part,) = bench.parts(inbound, "half a text and the rest")
        bench.sim.fault("api_error", path="streaming", status=400, code="param.error", message="no", count=1)
        bench.adapter.send(replace(part, handle=handle), None)
        assert [(entry["via"], entry["text"]) for entry in bench.sends()] == [("webhook", "half a text and the rest")]
        assert bench.sim.cards.cards["c" * 32].values["content"] == "⬇️", "no half text stays"

    def test_a_throttled_update_is_told_and_an_unknown_user_ends_drafts(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "tell me")
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "d" * 32, 1, None)
        bench.sim.fault("429", after=2, count=1)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.draft_update(handle, "x", 1, None)
        assert caught.value.after == 2
        bench.sim.say(kind="left", user="alice")
        with pytest.raises(SendRefused):
            bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "e" * 32, 1, None)

    def test_clicks_on_cards_are_asked_for_and_acknowledged(self, bench: Bench) -> None:
        bench.ready()
        click = bench.sim.say(kind="card_click", track="t")["event_id"]
        assert bench.sim.wait("ack", event_id=click)["data"] == {"response": {}}


def push(bench: Bench, chat: str) -> Part:
    """A part that answers nothing, as from outside."""
    peer = bench.adapter.peer_of(chat)
    (payload,) = bench.adapter.render(Reply("unasked", peer))
    return Part(key="d" * 32, reply_seq=1, ordinal=0, peer=peer, payload=payload)


def a_part(inbound: Inbound, payload: Any, ordinal: int = 0) -> Part:
    return Part("f" * 32, ordinal + 1, ordinal, inbound.peer, payload, inbound.reply_ref)


def mutated(number: int, draw: random.Random) -> str:
    """A robot's message or a click in its frame, with values or characters of it damaged."""
    message = {"msgId": f"bad{number}", "conversationId": "cidBAD", "conversationType": draw.choice(["1", "2"])}
    message |= {"senderStaffId": "ann", "senderId": "$:x", "senderNick": "Ann", "createAt": 1774004597216}
    message |= {"isInAtList": True, "atUsers": [{"dingtalkId": "$:b"}], "chatbotUserId": "$:b", "msgtype": "richText"}
    message |= {"content": {"richText": [{"text": "hi"}, {"type": "picture", "downloadCode": "c"}]}}
    message |= {"sessionWebhook": "http://127.0.0.1:9/robot", "sessionWebhookExpiredTime": 1774010000000}
    click = {"outTrackId": "t", "userId": "ann", "content": json.dumps({"cardPrivateData": {"actionIds": ["go"]}})}
    topic, data = draw.choice([(frames.ROBOT, message)] * 3 + [(frames.CARD, click)])
    how = draw.random()
    body = mutant(data, draw) if how < 0.5 else data
    frame = json.loads(frames.frame("CALLBACK", topic, f"bad-{number}", body))
    if 0.5 <= how < 0.7:
        return json.dumps(mutant(frame, draw))
    text = list(json.dumps(frame))
    for _ in range(draw.randint(1, 4) if how >= 0.7 else 0):
        text[draw.randrange(len(text))] = draw.choice(['"', "{", "é", "\\", "0"])
    return "".join(text)
