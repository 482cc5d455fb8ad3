"""The Slack adapter against the simulated platform: the common contract, and what only Slack has."""

from __future__ import annotations

import base64
import json
import random
import secrets
import time
from dataclasses import replace
from typing import Any, Mapping

import gevent
import pytest

from hermes_green.adapters.slack import PLATFORM as slack, conversation
from hermes_green.core.errors import (
    AuthRejected,
    LinkLost,
    SendRefused,
    SendRetry,
    SendUnknown,
    Throttled,
)
from hermes_green.core.model import Attachment, Inbound, Part, Peer, Reply, Secret
from hermes_green.sim import slack_api
from hermes_green.sim.kit import Answer
from hermes_green.sim.slack import SlackSim
from tests.contract.adapters import INTERVAL, TIMEOUT, AdapterContract, Bench, Driver, again
from tests.support.mutants import mutant
from tests.support.port import Run, wait_for
from tests.support.standing import StandingTime


class SlackDriver(Driver):
    name = "slack"
    package = slack
    kinds = {"dm": "dm", "group": "group", "channel": "channel", "private": "channel"}
    keys = ("app_token", "slack.yaml")
    repeats = 2
    throttles = "chat"
    long_text = "\n\n".join(f"Paragraph {n}: " + "words and 中文 and more words. " * 20 for n in range(30))

    def simulator(self, **how: Any) -> SlackSim:
        # Patient: how long a client may take is judged where the simulator itself is tested.
        return SlackSim(**{"ping_interval": 0.5, "pong_within": 600, "ack_deadline": 600, **how})

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        return {"thread": inbound.message_id}

    def send_file(self, sim: Any, data: str) -> None:
        sim.say(files=[{"name": "report.pdf", "mimetype": "application/pdf", "data": data}])

    def announce(self, sim: Any) -> bool:
        sim.fault("refresh", notice=600)
        return True

    def send_strange(self, sim: Any) -> None:
        sim.say(text="waves", subtype="hologram")

    def react(self, sim: Any, inbound: Inbound) -> bool:
        sim.say(
            kind="reaction", chat=inbound.peer.chat_id, message_id=inbound.message_id, user=inbound.peer.user_id
        )
        return True

    def settings(self, sim: Any, **more: Any) -> slack.Settings:
        given = {
            "bot_token": Secret(sim.options.bot_token),
            "app_token": Secret(sim.options.app_token),
            "api_base": sim.url,
            "ping_interval": INTERVAL,
            "ping_timeout": TIMEOUT,
            **more,
        }
        return slack.Settings(**given)

    def wrong(self, sim: Any) -> slack.Settings:
        return self.settings(sim, app_token=Secret("xapp-1-A0OTHER-1-no"))

    def expire_tokens(self, sim: Any) -> None:
        """Slack's tokens do not expire by themselves."""


class TestSlack(AdapterContract):
    driver = SlackDriver()

    # --- the link ------------------------------------------------------------------------------

    def test_every_dial_asks_for_an_address_of_its_own(self, bench: Bench) -> None:
        for _ in range(3):
            bench.ready().close()
        assert bench.sim.dials == 3 and len(bench.sim.record(kind="open")) == 3

    def test_hello_is_what_makes_a_link_ready(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[Any] = []
        monkeypatch.setattr(bench.sim, "_hello", opened.append)
        run = bench.start()
        wait_for(lambda: opened, what="the link")
        gevent.sleep(0.1)
        assert run.port.readies == []
        monkeypatch.undo()
        bench.sim._hello(opened[0])
        assert run.until_ready().port.who == "sim-bot"

    def test_a_platform_that_never_says_hello_is_lost(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conversation, "HELLO_WITHIN", 0.3)
        bench.sim._hello = lambda link: None
        error = bench.start().until_end()
        assert isinstance(error, LinkLost) and "hello" in error.text

    def test_slack_s_own_pings_must_go_on_once_they_began(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conversation, "SILENCE", 1.5)
        run = bench.ready()
        link, answered = bench.sim.links[0], run.port.heartbeats
        # Where this process was stopped for longer than the silence, it is over already, for the same reason.
        wait_for(lambda: run.ended or link.memo.get("pong") and answered["answered"] >= 3, what="pings both ways")
        bench.sim.fault("no_pings")
        before = run.port.heartbeats["answered"]
        error = run.until_end()
        assert isinstance(error, LinkLost) and "nothing heard" in error.text
        assert run.port.heartbeats["answered"] - before <= 7, "our own pings were answered all the while"

    @pytest.mark.parametrize("reason", ["warning", "refresh_requested", "something new"])
    def test_a_notice_retires_the_link_which_works_on_until_it_is_closed(self, bench: Bench, reason: str) -> None:
        old = bench.ready()
        bench.sim.fault("refresh", reason=reason, notice=600)
        wait_for(lambda: old.port.retired, what="retire")
        bench.sim.fault("refresh", reason=reason, notice=600)
        new = bench.ready()
        assert len(bench.sim.links) == 2
        for number in range(20):
            bench.sim.say(text=f"during the refresh {number}")
        wait_for(lambda: len(old.port.accepted) + len(new.port.accepted) >= 20, what="all messages")
        assert old.port.accepted and new.port.accepted, "Slack uses any of the app's links"
        assert old.close() is None and old.port.retired == [conversation.GRACE]
        bench.hear(new, "after the refresh")
        assert bench.sim.record(kind="push_failed") == []

    def test_what_a_link_that_is_cut_had_not_acknowledged_comes_again(self) -> None:
        sim = self.driver.simulator(redelivery=",".join(["0.5"] * 200)).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            run = bench.ready()
            run.port.hold()
            bench.sim.say(text="in the air")
            wait_for(lambda: run.port.offered, what="the message")
            bench.sim.fault("rst")
            run.until_end()
            run.port.stop()
            second = bench.ready()
            wait_for(lambda: second.port.accepted, what="the message again")
            assert second.port.accepted[0].text == "in the air"
        finally:
            bench.close()

    def test_socket_mode_switched_off_halts_with_what_to_do(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.fault("disconnect", reason="link_disabled")
        error = run.until_end()
        assert isinstance(error, AuthRejected) and "Socket Mode" in error.action

    def test_too_many_connections_wait(self) -> None:
        sim = self.driver.simulator(max_connections=0).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            run = bench.start()
            error = run.until_end()
            assert isinstance(error, Throttled) and error.after >= 10 and "connections" in error.action
        finally:
            bench.close()

    def test_a_wrong_bot_token_halts_with_its_key_named(self, bench: Bench) -> None:
        adapter = slack.create(self.driver.settings(bench.sim, bot_token=Secret("xoxb-wrong")), bench.ctx)
        run = Run(adapter, bench.ctx)
        error = run.until_end()
        run.close()
        adapter.close()
        assert isinstance(error, AuthRejected) and "bot_token in slack.yaml" in error.action

    @pytest.mark.parametrize("name", ["account_inactive", "token_revoked", "not_allowed_token_type", "missing_scope"])
    def test_a_dial_that_slack_forbids_halts(self, bench: Bench, name: str) -> None:
        bench.sim.fault("api_error", method="apps.connections.open", error=name)
        error = bench.start().until_end()
        assert isinstance(error, AuthRejected) and "app_token" in error.action and error.code == name

    def test_a_dial_that_slack_slows_down_waits_as_long_as_asked(self, bench: Bench) -> None:
        bench.sim.fault("api_error", method="apps.connections.open", error="ratelimited", after=17, count=1)
        error = bench.start().until_end()
        assert isinstance(error, Throttled) and error.after == 17

    def test_without_knowing_who_it_is_the_bot_works_and_asks_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.sim.fault("api_error", method="auth.test", error="internal_error", count=1)
        run = bench.ready()
        assert run.port.who == "A0SIMAPP001"
        inbound = bench.hear(run, "do you know me", "channel")
        assert inbound.mentioned and inbound.text == "do you know me"
        (part,) = bench.parts(inbound, "yes")
        bench.adapter.send(part, run.port.link)
        monkeypatch.setattr(bench.adapter._who, "_ask_at", 0.0)
        bench.hear(run, "and now", "channel")
        wait_for(lambda: bench.adapter._who.bot.user_id == "U0SIMBOT", what="the bot's own id")
        assert len(run.port.accepted) == 2, "its own post was not taken for a user's"

    # --- in ------------------------------------------------------------------------------------

    def test_a_post_that_mentions_the_bot_comes_twice_and_counts_once(self, bench: Bench) -> None:
        run = bench.ready()
        bench.hear(run, "ask", "channel")
        wait_for(lambda: run.port.duplicates, what="its second event")
        assert len({inbound.keys[0] for inbound in run.port.offered}) == 2
        wait_for(lambda: len(bench.sim.record(kind="ack")) == 2, what="both acknowledged")

    def test_an_app_that_hears_mentions_only_gets_them(self) -> None:
        sim = self.driver.simulator(mentions_only=True).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            run = bench.ready()
            inbound = bench.hear(run, "only mentions", "channel")
            assert inbound.mentioned and inbound.peer.chat_type == "channel" and inbound.text == "only mentions"
        finally:
            bench.close()

    def test_talk_between_others_does_not_address_the_bot(self, bench: Bench) -> None:
        run = bench.ready()
        assert not bench.hear(run, "lunch?", "channel", mention=False).mentioned
        assert not bench.hear(run, "x", "channel", raw="<@U0BOB> lunch?", mention=False).mentioned
        assert run.port.accepted[-1].text == "@U0BOB lunch?"

    def test_what_the_bot_says_itself_is_not_heard_and_other_bots_are_told_apart(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run, "hi"), "hello")
        bench.adapter.send(part, None)
        bench.sim.say(text="I am a bot", more={"bot_id": "B0OTHER"})
        bench.sim.say(text="edit me")
        wait_for(lambda: len(run.port.accepted) == 3, what="the user's message")
        assert [inbound.bot for inbound in run.port.accepted] == [False, True, False]
        said = bench.sim.record(kind="said")[-1]
        bench.sim.say(kind="edit", chat=said["chat"], message_id=said["message_id"], text="edited")
        bench.sim.say(kind="delete", chat=said["chat"], message_id=said["message_id"])
        bench.sim.say(kind="reaction", chat=said["chat"], message_id=said["message_id"])
        bench.sim.say(text="joined", chat_type="channel", subtype="channel_join")
        bench.sim.say(kind="raw", event={"type": "brand_new_event", "x": 1})
        bench.sim.say(kind="raw", payload={"type": "app_rate_limited", "minute_rate_limited": 1})
        wait_for(lambda: not bench.sim.courier.unacked(), what="all acknowledged")
        assert [each.text for each in run.port.offered if each.reaction is None] == ["hi", "I am a bot", "edit me"]
        assert len(run.port.offered) == 4 and run.port.quarantined == []

    def test_commands_and_clicks_are_acknowledged_and_a_command_is_told_where_to_write(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="command", text="hello")
        ack = bench.sim.wait("ack", event_type="slash_commands")
        assert "write to me" in ack["payload"]["text"]
        bench.sim.say(kind="click")
        bench.sim.wait("ack", event_type="interactive")
        assert run.port.offered == []

    def test_a_message_that_makes_no_sense_is_kept_and_acknowledged(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="raw", event={"type": "message", "channel": 7, "user": "U1"})
        bench.sim.links[0].send("no JSON at all")
        bench.sim.links[0].send(b"\xff\x00")
        bench.sim.wait("ack")
        wait_for(lambda: len(run.port.quarantined) == 3, what="three frames in quarantine")
        bench.hear(run, "still here")

    def test_five_hundred_mutated_frames_end_no_run_and_good_ones_between_are_answered(self, bench: Bench) -> None:
        run, draw = bench.ready(), random.Random(7)
        good = [f"good {number}" for number in range(0, 500, 25)]
        for number in range(500):
            bench.sim.links[0].send(mutated(number, draw))
            gevent.sleep(0)  # heartbeats go on meanwhile
            if number % 25 == 0:
                bench.sim.say(text=f"good {number}", chat=f"D0GOOD{number}")
        wait_for(lambda: not bench.sim.courier.unacked(), what="every good frame acknowledged")
        heard = [inbound for inbound in run.port.accepted if inbound.text in good]
        assert sorted(inbound.text for inbound in heard) == sorted(good)
        assert not run.ended and len(run.port.quarantined) > 100 and len(run.port.accepted) > len(good)
        for inbound in heard:
            (part,) = bench.parts(inbound, inbound.text)
            bench.adapter.send(part, run.port.link)
        assert sorted(entry["text"] for entry in bench.sends()) == sorted(good)
        bench.forgiven += ["never was", "not an acknowledgement"]

    # --- files ---------------------------------------------------------------------------------

    def test_a_file_that_was_sent_is_described_and_can_be_fetched(self, bench: Bench) -> None:
        run = bench.ready()
        picture = secrets.token_bytes(200_000)
        given = {"name": "cat.png", "mimetype": "image/png", "data": base64.b64encode(picture).decode()}
        inbound = bench.hear(run, "", "dm", files=[given])
        (attachment,) = inbound.attachments
        assert inbound.text == "[image]" and attachment.kind == "image"
        assert (attachment.name, attachment.mime, attachment.size) == ("cat.png", "image/png", len(picture))
        assert b"".join(bench.adapter.fetch(attachment.ref)) == picture
        by_id = {"id": attachment.ref["id"], "url": "", "mime": "image/png"}
        assert b"".join(bench.adapter.fetch(by_id)) == picture

    def test_a_page_to_sign_in_is_not_the_file(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "", "dm", files=[{"name": "a.png", "mimetype": "image/png", "data": "AA=="}])
        bench.sim.api.authorised = lambda request: False
        with pytest.raises(LinkLost) as caught:
            list(bench.adapter.fetch(inbound.attachments[0].ref))
        assert "files:read" in caught.value.action

    def test_the_bot_token_is_not_given_to_strangers(self, bench: Bench) -> None:
        adapter = slack.create(self.driver.settings(bench.sim, api_base=""), bench.ctx)
        for url in ("https://evil.example/x", "http://files.slack.com/x", "https://slack.com.evil.example/x"):
            with pytest.raises(LinkLost):
                list(adapter.fetch({"id": "F1", "url": url, "mime": ""}))
        adapter.close()

    @pytest.mark.parametrize("kind", ["dm", "channel"])
    def test_a_file_is_uploaded_and_shared_where_the_question_was(self, bench: Bench, kind: str, tmp_path: Any) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "send me the plan", kind)
        path = tmp_path / "plan.pdf"
        path.write_bytes(secrets.token_bytes(300_000))
        for part in media_parts(bench, inbound.peer, inbound.reply_ref, path, text="Here it is"):
            assert bench.adapter.send(part, run.port.link).id
        words, file = bench.sends()
        assert words["text"] == "Here it is" and file["files"] == ["plan.pdf"]
        assert words["thread"] == file["thread"] == (inbound.message_id if kind == "channel" else "")

    def test_a_file_whose_answer_was_lost_is_found_again(self, bench: Bench, tmp_path: Any) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        path = tmp_path / "a.txt"
        path.write_text("x")
        (part,) = media_parts(bench, inbound.peer, inbound.reply_ref, path)
        bench.sim.fault("lose_answer", count=1)
        with pytest.raises(SendUnknown):
            bench.adapter.send(part, run.port.link)
        assert bench.adapter.find(again(part)) is not None

    @pytest.mark.parametrize("content", [None, b""])
    def test_a_file_that_cannot_be_sent_is_refused_in_words(self, bench: Bench, content: Any, tmp_path: Any) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        path = tmp_path / "a.txt"
        if content is not None:
            path.write_bytes(content)
        (part,) = media_parts(bench, inbound.peer, inbound.reply_ref, path)
        with pytest.raises(SendRefused):
            bench.adapter.send(part, run.port.link)

    # --- out -----------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", ["dm", "group", "channel", "private"])
    def test_an_answer_stands_in_the_thread_of_its_question(self, bench: Bench, kind: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "question", kind)
        (part,) = bench.parts(inbound, "answer")
        bench.adapter.send(part, None)
        assert bench.sends()[-1]["thread"] == ("" if kind == "dm" else inbound.message_id)
        reply = bench.hear(run, "more", kind, thread=inbound.message_id)
        assert reply.peer.thread_id == inbound.message_id
        assert kind == "dm" or reply.peer.thread_id == inbound.peer.thread_id, "one conversation"
        (part,) = bench.parts(reply, "more answers")
        bench.adapter.send(part, None)
        assert bench.sends()[-1]["thread"] == inbound.message_id

    def test_a_message_to_answer_may_be_named_by_hand(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "hello", "channel")
        peer = bench.adapter.peer_of(inbound.peer.chat_id)
        assert peer is not None
        bench.adapter.send(a_part(peer, ref={"message_id": inbound.message_id}), None)
        assert bench.sends()[-1]["thread"] == inbound.message_id
        bench.adapter.send(a_part(peer), None)
        assert bench.sends()[-1]["thread"] == ""

    def test_a_person_is_written_to_by_their_id(self, bench: Bench) -> None:
        bench.ready()
        bench.adapter.send(a_part(bench.adapter.peer_of("U0CAROL")), None)
        assert bench.sends()[-1]["chat"] == "D0CAROL"

    def test_an_answer_whose_thread_is_gone_stands_beside_it(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "forget it", "channel")
        bench.sim.say(kind="delete", chat=inbound.peer.chat_id, message_id=inbound.message_id)
        (part,) = bench.parts(inbound, "too late")
        bench.adapter.send(part, None)
        assert bench.sends()[-1]["thread"] == ""

    @pytest.mark.parametrize("kind", ["dm", "channel"])
    def test_a_send_whose_answer_was_lost_is_looked_up(self, bench: Bench, kind: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "once please", kind)
        (part,) = bench.parts(inbound, "exactly once")
        assert bench.adapter.find(part) is None
        bench.sim.fault("lose_answer", count=1)
        with pytest.raises(SendUnknown):
            bench.adapter.send(part, run.port.link)
        found = bench.adapter.find(again(part))
        assert found is not None and found.id == bench.sends()[-1]["message_id"]

    def test_a_message_to_a_person_is_looked_up_in_their_direct_chat(self, bench: Bench) -> None:
        bench.ready()
        part = a_part(bench.adapter.peer_of("U0CAROL"))
        receipt, found = bench.adapter.send(part, None), bench.adapter.find(part)
        assert found.id == receipt.id and abs(found.at - receipt.at) < 60

    def test_a_lookup_goes_through_long_histories(self) -> None:
        sim = self.driver.simulator(posts=10_000).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            run = bench.ready()
            inbound = bench.hear(run, "begin")
            (part,) = bench.parts(inbound, "long ago")
            bench.adapter.send(part, None)
            for number in range(450):
                sim.chats.keep(type(sim.chats.find(inbound.peer.chat_id, inbound.message_id))(
                    f"{int(time.time()) + 500}.{number:06d}", inbound.peer.chat_id, "U0ALICE", f"noise {number}"
                ))  # fmt: skip
            assert bench.adapter.find(part) is not None
        finally:
            bench.close()

    def test_an_app_that_may_not_read_finds_nothing_and_one_that_shall_wait_waits(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "answer")
        bench.sim.fault("api_error", method="conversations.history", error="missing_scope", count=1)
        assert bench.adapter.find(part) is None
        bench.sim.fault("api_error", method="conversations.history", error="ratelimited", after=900, count=1)
        for _ in range(2):
            with pytest.raises(SendRetry) as caught:
                bench.adapter.find(part)
            assert caught.value.after == pytest.approx(900, abs=100)
        assert len(bench.sim.record(kind="api_refused")) == 2, "the second time nobody was asked"

    def test_slack_s_limit_per_channel_is_obeyed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        StandingTime(monkeypatch, slack_api)
        sim = self.driver.simulator(posts=1).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            run = bench.ready()
            inbound = bench.hear(run)
            first, second = (bench.parts(inbound, text)[0] for text in ("one", "two"))
            bench.adapter.send(first, run.port.link)
            with pytest.raises(SendRetry) as caught:
                bench.adapter.send(second, run.port.link)
            assert caught.value.scope == "chat" and 0 < caught.value.after <= 2
        finally:
            bench.close()

    @pytest.mark.parametrize("name", ["not_in_channel", "is_archived", "restricted_action", "some_error_of_tomorrow"])
    def test_a_chat_that_takes_nothing_makes_a_dead_letter(self, bench: Bench, name: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "hi", "channel")
        bench.sim.fault("shut", chat=inbound.peer.chat_id, error=name)
        (part,) = bench.parts(inbound, "nobody hears this")
        with pytest.raises(SendRefused) as caught:
            bench.adapter.send(part, run.port.link)
        assert caught.value.code == name

    def test_a_failure_of_slack_s_own_leaves_the_send_unknown(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "x")
        for name in ("internal_error", "fatal_error"):
            bench.sim.fault("api_error", method="chat.postMessage", error=name, count=1)
            with pytest.raises(SendUnknown):
                bench.adapter.send(part, run.port.link)

    def test_a_bot_token_revoked_in_mid_life_halts_the_child_and_keeps_the_message(self, bench: Bench) -> None:
        run = bench.ready()
        (part,) = bench.parts(bench.hear(run), "x")
        bench.sim.fault("revoke", token="bot")
        with pytest.raises(SendRetry) as caught:
            bench.adapter.send(part, run.port.link)
        assert caught.value.scope == "account" and caught.value.after >= 60
        assert isinstance(bench.ctx.rejected[0], AuthRejected) and "bot_token" in bench.ctx.rejected[0].action

    # --- drafts and signs ----------------------------------------------------------------------

    def test_a_draft_grows_and_becomes_the_answer(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "tell", "channel")
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, run.port.link)
        bench.adapter.draft_update(handle, "Once", 1, run.port.link)
        bench.adapter.draft_update(handle, "Once upon <b>", 2, run.port.link)
        (part,) = bench.parts(inbound, "Once upon a time")
        final = replace(part, handle=json.loads(json.dumps(handle)))
        receipt = bench.adapter.send(final, run.port.link)
        assert bench.adapter.send(again(final), run.port.link).id == receipt.id, "finishing twice changes nothing"
        assert [entry["text"] for entry in bench.sim.record(kind="edit")][:2] == ["Once", "Once upon <b>"]
        (only,) = bench.sends()
        assert (only["message_id"], only["thread"]) == (receipt.id, inbound.message_id)
        assert standing(bench, inbound.peer)[-1] == "Once upon a time"
        found = bench.adapter.find(final)
        assert found is not None and found.id == receipt.id

    def test_a_draft_shows_the_beginning_of_a_text_that_is_too_long_for_one_message(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        for number, more in enumerate(("", "x", "x y"), 1):
            bench.adapter.draft_update(handle, self.driver.long_text + more, number, None)
        assert len(bench.sim.record(kind="edit")) == 1, "nobody would see a difference, and edits are few"
        parts = bench.parts(inbound, self.driver.long_text)
        for number, part in enumerate(parts):
            bench.adapter.send(replace(part, handle=handle if number == 0 else None), run.port.link)
        shown = "".join("".join(text.split()) for text in standing(bench, inbound.peer)[1:])
        assert shown == "".join(self.driver.long_text.split())

    @pytest.mark.parametrize("name", ["message_not_found", "cant_update_message", "edit_window_closed", "msg_too_long"])
    def test_a_draft_that_cannot_be_finished_is_replaced(self, bench: Bench, name: str) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        (part,) = bench.parts(inbound, "the whole text")
        bench.sim.fault("api_error", method="chat.update", error=name)
        with pytest.raises(SendRefused):
            bench.adapter.draft_update(handle, "the", 1, None)
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        assert standing(bench, inbound.peer)[1:] == ["the whole text"], "the draft is gone"

    def test_a_draft_that_no_call_can_edit_is_replaced(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        others = bench.sim.route
        gone = Answer(404, b"no such page")
        monkeypatch.setattr(bench.sim, "route", lambda asked: gone if "chat.update" in asked.path else others(asked))
        with pytest.raises(SendRefused):
            bench.adapter.draft_update(handle, "the", 1, None)
        (part,) = bench.parts(inbound, "the whole text")
        bench.adapter.send(replace(part, handle=handle), run.port.link)
        assert standing(bench, inbound.peer)[1:] == ["the whole text"], "the draft is gone"

    def test_a_draft_left_behind_by_a_lost_answer_is_taken_away_when_the_answer_is_found(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        final = replace(bench.parts(inbound, "the whole text")[0], handle=handle)
        bench.sim.fault("api_error", method="chat.update", error="edit_window_closed")
        bench.sim.fault("lose_answer", count=1)
        with pytest.raises(SendUnknown):
            bench.adapter.send(final, run.port.link)
        assert bench.adapter.find(again(final)) is not None
        assert standing(bench, inbound.peer)[1:] == ["the whole text"]

    @pytest.mark.parametrize("readable", [True, False])
    def test_a_draft_whose_answer_was_lost_is_found_and_not_opened_twice(self, bench: Bench, readable: bool) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "tell", "channel")
        bench.sim.fault("lose_answer", count=1)
        if not readable:  # at first; when the turn asks again it can be told
            bench.sim.fault("api_error", method="conversations.replies", error="internal_error", count=1)
            with pytest.raises(SendUnknown):
                bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, run.port.link)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, run.port.link)
        assert handle == {"channel": inbound.peer.chat_id, "ts": bench.sends()[-1]["message_id"]}
        assert len(bench.sends()) == 1

    def test_drafts_leave_room_for_final_texts(self) -> None:
        sim = self.driver.simulator(edits=50).start()
        bench = Bench(self.driver, sim, self.driver.settings(sim))
        try:
            run = bench.ready()
            inbound = bench.hear(run)
            handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
            with pytest.raises(SendRetry) as caught:
                for number in range(60):
                    bench.adapter.draft_update(handle, f"word {number}", number, None)
            assert caught.value.after > 1 and sim.record(kind="throttled") == []
            (part,) = bench.parts(inbound, "the end")
            bench.adapter.send(replace(part, handle=handle), run.port.link)
            assert standing(bench, inbound.peer)[-1] == "the end"
        finally:
            bench.close()

    def test_slack_s_limit_on_edits_is_learned_from_one_refusal(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)
        bench.sim.fault("api_error", method="chat.update", error="ratelimited", after=900, count=1)
        final = replace(bench.parts(inbound, "the end")[0], handle=handle)
        for _ in range(3):
            with pytest.raises(SendRetry) as caught:
                bench.adapter.send(final, run.port.link)
            assert caught.value.after == pytest.approx(900, abs=100) and caught.value.scope == "chat"
        with pytest.raises(SendRetry):
            bench.adapter.draft_update(handle, "more", 2, None)
        assert len(bench.sim.record(kind="api_refused")) == 1

    def test_a_working_sign_is_shown_in_threads_until_slack_says_that_the_app_has_none(self, bench: Bench) -> None:
        run = bench.ready()
        bench.adapter.typing(bench.hear(run).peer, None)
        peer = bench.hear(run, "q", "channel").peer
        bench.adapter.typing(peer, None)
        assert bench.sim.wait("typing")["thread"] == peer.thread_id
        bench.sim.fault("api_error", method="assistant.threads.setStatus", error="missing_scope")
        for _ in range(3):
            bench.adapter.typing(peer, None)
        assert len(bench.sim.record(kind="api_refused")) == 1


def media_parts(bench: Bench, peer: Peer, ref: Any, path: Any, text: str = "") -> list[Part]:
    """The parts of a reply with a file."""
    media = (Attachment("file", name=path.name, path=str(path)),)
    payloads = bench.adapter.render(Reply(text, peer, ref, media))
    numbered = enumerate(payloads, 1)
    return [Part(secrets.token_hex(16), number, number - 1, peer, payload, ref) for number, payload in numbered]


def a_part(peer: Peer | None, ref: Any = None) -> Part:
    assert peer is not None
    return Part(secrets.token_hex(16), 1, 0, peer, {"text": "unasked"}, ref or {})


def standing(bench: Bench, peer: Peer) -> list[str]:
    """What stands in a chat now, oldest first."""
    listed = bench.sim.chats.listed(peer.chat_id, peer.thread_id or "")
    return [each.text for each in (listed if peer.thread_id else reversed(listed))]


def mutated(number: int, draw: random.Random) -> str:
    """An event, a command or a click in its envelope, with values or characters of it damaged."""
    file = {"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 3, "url_private_download": "http://x/a"}
    event = {"type": draw.choice(["message", "app_mention", "reaction_added"]), "channel": "C0BAD", "user": "U0ANN"}
    event |= {"ts": f"17740{number:05}.000100", "channel_type": "channel", "text": "<@U0SIMBOT> hi", "files": [file]}
    event |= {"attachments": [{"is_share": True, "text": "x"}], "thread_ts": "1774000001.000100", "reaction": "tada"}
    event |= {"item": {"type": "message", "channel": "C0BAD", "ts": "1774000001.000100"}}
    payload = {"type": "event_callback", "event_id": f"Ev{number}", "event": event, "api_app_id": "A0SIMAPP001"}
    payload |= {"authorizations": [{"user_id": "U0SIMBOT", "is_bot": True}]}
    command = {"command": "/ask", "text": "x", "channel_id": "C0BAD", "user_id": "U0ANN", "trigger_id": f"t{number}"}
    kind, body = draw.choice([("events_api", payload)] * 4 + [("slash_commands", command), ("interactive", command)])
    frame = {"envelope_id": f"bad-{number}", "type": kind, "payload": body, "accepts_response_payload": False}
    if draw.random() < 0.6:
        return json.dumps(mutant(frame, draw))
    text = list(json.dumps(frame))
    for _ in range(draw.randint(1, 6)):
        text[draw.randrange(len(text))] = chr(draw.randrange(32, 127))
    return "".join(text)
