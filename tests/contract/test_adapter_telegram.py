"""The Telegram adapter against the simulated platform: the common contract, and what only Telegram has."""

from __future__ import annotations

import base64
import random
import traceback
from dataclasses import replace
from typing import Any, Callable, Mapping

import gevent
import pytest

from hermes_green.adapters.telegram import PLATFORM as telegram, polling
from hermes_green.core.errors import AuthRejected, Displaced, LinkLost, SendRefused, SendRetry, SendUnknown, Throttled
from hermes_green.core.model import Attachment, Inbound, Part, Reply, Secret
from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.telegram import TelegramSim
from tests.contract.adapters import TIMEOUT, AdapterContract, Bench, Driver, again
from tests.support.mutants import mutant
from tests.support.port import Run, wait_for

WHOLE = {"message_id": 900, "date": 1_700_000_000, "chat": {"id": 7001, "type": "private"}}


class TelegramDriver(Driver):
    name = "telegram"
    package = telegram
    kinds = {"dm": "dm", "group": "group", "supergroup": "group", "topic": "group", "channel": "channel"}
    # A poll is answered with a status where others close a socket.
    closes = {500: LinkLost, 502: LinkLost, 409: LinkLost, 429: Throttled, 401: AuthRejected, 404: AuthRejected}
    keys = ("token", "telegram.yaml")
    long_text = "\n\n".join(f"Paragraph {n}: " + "words and 中文 and more words. " * 20 for n in range(30))
    repeats = 2
    throttles = "chat"
    deaf = {"ping_timeout": 0.7}
    unanswered = 1

    def simulator(self, **how: Any) -> TelegramSim:
        return TelegramSim(**{"guard_timeout": 0, "guard_limit": 0.1, "chat_burst": 40, "account_rate": 0, **how})

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        return {"reply_to": inbound.message_id}

    def send_file(self, sim: Any, data: str) -> None:
        sim.say(kind="document", data=data, name="report.pdf", mime="application/pdf")

    def send_strange(self, sim: Any) -> None:
        sim.say(kind="raw", update="message", body={**WHOLE, "hologram": {}})

    def react(self, sim: Any, inbound: Inbound) -> bool:
        sim.say(kind="reaction", message_id=inbound.message_id)
        return True

    def settings(self, sim: Any, **more: Any) -> telegram.Settings:
        # Whole seconds are the platform's unit: one is the shortest wait that is one.
        given = {"token": Secret(sim.token), "api_base": sim.url, "ping_interval": 1, "ping_timeout": TIMEOUT, **more}
        return telegram.Settings(**given)

    def wrong(self, sim: Any) -> telegram.Settings:
        return self.settings(sim, token=Secret(sim.token[:-4] + "abcd"))

    def expire_tokens(self, sim: Any) -> None:
        """There is but the one."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator holds no poll for longer than it asks."""
    monkeypatch.setattr(polling, "HELD", 0)
    monkeypatch.setattr(polling, "ALBUM_PAUSE", 0.2)


class TestTelegram(AdapterContract):
    driver = TelegramDriver()

    # --- the link ------------------------------------------------------------------------------

    def test_a_stop_ends_a_waiting_poll_at_once(self, bench: Bench) -> None:
        adapter = telegram.create(self.driver.settings(bench.sim, ping_interval=50), bench.ctx)
        run = Run(adapter, bench.ctx).until_ready()
        wait_for(lambda: [beat["timeout"] for beat in bench.sim.record(kind="beat")] == [0, 50], what="the long poll")
        assert run.close(timeout=25) is None, "it would be answered in 50 s"
        bench.sim.wait("close", how="client")
        adapter.close()

    def test_ready_does_not_wait_for_the_first_message(self, bench: Bench) -> None:
        adapter = telegram.create(self.driver.settings(bench.sim, ping_interval=50), bench.ctx)
        run = Run(adapter, bench.ctx).until_ready(timeout=25)  # the first poll that waits does so for 50 s
        assert run.port.who == "@sim_green_bot"
        run.close()
        adapter.close()

    def test_the_offset_is_kept_with_the_message_and_outlives_the_run(self, bench: Bench) -> None:
        run = bench.ready()
        said = bench.sim.say(text="one")
        wait_for(lambda: run.port.accepted, what="the message")
        assert run.port.memo_writes == [{"offset": said["event_id"] + 1}]
        bench.sim.wait("ack")
        run.close()
        beats = len(bench.sim.record(kind="beat"))
        bench.ready()
        assert bench.sim.record(kind="beat")[beats]["offset"] == said["event_id"] + 1

    def test_what_was_not_committed_is_delivered_again_to_the_next_run(self, bench: Bench) -> None:
        first = bench.ready()
        first.port.hold()
        bench.sim.say(text="do not lose me")
        wait_for(lambda: first.port.offered, what="the message")
        first.close()
        second = bench.ready()
        wait_for(lambda: second.port.accepted, what="the message again")
        assert second.port.accepted[0].text == "do not lose me" and first.port.accepted == []

    def test_what_came_while_nobody_polled_is_received(self, bench: Bench) -> None:
        texts = [f"waiting {n}" for n in range(150)]
        for text in texts:
            bench.sim.say(text=text)
        run = bench.ready()
        wait_for(lambda: len(run.port.accepted) >= len(texts), what="all of it")
        assert [inbound.text for inbound in run.port.accepted] == texts

    def test_an_offset_of_another_time_heals_itself(self, bench: Bench) -> None:
        bench.ctx.memos["offset"] = 900_000_000
        run = bench.ready()
        assert bench.hear(run, "first").text == "first"
        assert bench.hear(run, "second").text == "second"
        wait_for(lambda: bench.sim.feed.pending == 0, what="both to be confirmed")
        assert run.port.duplicates == []

    def test_a_webhook_in_the_way_is_removed_and_nothing_is_dropped(self, bench: Bench) -> None:
        bench.sim.say(text="sent to the webhook")
        bench.sim.fault("webhook")
        run = bench.ready()
        wait_for(lambda: run.port.accepted, what="the pending message")
        assert len(bench.sim.record(kind="webhook_deleted")) == 1

    def test_a_webhook_is_removed_where_nobody_tells_of_webhooks(self, bench: Bench) -> None:
        bench.sim.fault("webhook")
        bench.sim.fault("api_error", method="getWebhookInfo", code=404, description="Not Found: method not found")
        bench.ready()
        assert len(bench.sim.record(kind="webhook_deleted")) == 1

    def test_a_bot_that_is_told_no_name_of_its_own_is_ready(self, bench: Bench) -> None:
        me = {"ok": True, "result": {"id": 110000001, "is_bot": True, "first_name": "Sim"}}
        answered(bench, "getMe", lambda request: Answer(200, me))
        assert bench.hear(bench.ready(), "@ hello").text == "@ hello"

    @pytest.mark.parametrize("old", [[], [{"update_id": 5, "message": {**WHOLE, "text": "told again and again"}}]])
    def test_polls_that_are_answered_at_once_with_nothing_new_are_no_storm(self, bench: Bench, old: Any) -> None:
        asked: list[Any] = []

        def poll(request: Request) -> Answer:
            asked.append(request)
            return Answer(200, {"ok": True, "result": old})

        bench.hear(bench.ready(), "the first")
        answered(bench, "getUpdates", poll)
        wait_for(lambda: asked, what="a poll")
        before = len(asked)
        gevent.sleep(1.2)
        assert len(asked) - before <= 4

    def test_conflicts_are_retried_before_the_bot_counts_as_displaced(self, bench: Bench) -> None:
        bench.sim.fault("conflict")
        errors: list[Any] = []
        for _ in range(polling.CONFLICTS):
            run = bench.start()
            errors.append(run.until_end())
            run.close()
        assert [type(error) for error in errors[:-1]] == [LinkLost] * (polling.CONFLICTS - 1)
        assert type(errors[-1]) is Displaced and "telegram.yaml" in errors[-1].action
        bench.sim.clear()
        bench.ready()

    def test_one_restart_of_another_program_is_survived(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.fault("conflict", count=1)
        assert type(run.until_end()) is LinkLost
        assert bench.hear(bench.ready(), "still there").text == "still there"

    def test_a_poll_that_is_asked_to_wait_says_how_long(self, bench: Bench) -> None:
        bench.sim.fault("api_error", method="getUpdates", code=429, description="Too Many Requests", retry_after=9)
        error = bench.start().until_end()
        assert isinstance(error, Throttled) and error.after == 9

    def test_updates_that_are_not_committed_in_time_end_the_run(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "COMMIT_WITHIN", 0.3)
        run = bench.ready()
        run.port.hold()
        bench.sim.say(text="the disk is full")
        error = run.until_end()
        assert isinstance(error, LinkLost) and error.code == "store_away"

    # --- in ------------------------------------------------------------------------------------

    def test_a_topic_is_answered_in_the_topic_and_a_thread_of_replies_is_none(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "in the topic", "topic")
        assert inbound.peer.thread_id == "4"
        send(bench, inbound, "here")
        assert (bench.sends()[-1]["thread"], bench.sends()[-1]["reply_to"]) == (4, inbound.message_id)
        first = bench.hear(run, "plain", "supergroup")
        reply = bench.hear(run, "in reply", "supergroup", reply_to=first.message_id)
        assert reply.peer.thread_id is None

    def test_only_who_is_addressed_is_mentioned(self, bench: Bench) -> None:
        run = bench.ready()
        assert bench.hear(run, "hello", "group").mentioned
        assert not bench.hear(run, "hello", "group", mention=False).mentioned
        assert not bench.hear(run, "@sim_green_botanist hi", "group", mention=False).mentioned
        command = bench.hear(run, "/new@sim_green_bot please", "group", mention=False)
        assert (command.text, command.mentioned) == ("/new please", True)
        bench.sim.say(text="/new@other_bot", chat_type="group", mention=False)  # passed over
        emoji = bench.hear(run, "😀😀 @Sim_Green_Bot what", "group", mention=False)
        assert (emoji.text, emoji.mentioned) == ("😀😀 what", True)
        send(bench, emoji, "an answer")
        ours = bench.sends()[-1]["message_id"]
        assert bench.hear(run, "and more?", "group", mention=False, reply_to=ours).mentioned

    def test_an_edit_is_a_message_of_its_own(self, bench: Bench) -> None:
        run = bench.ready()
        first = bench.hear(run, "teh")
        bench.sim.say(kind="edit", text="the", message_id=first.message_id)
        wait_for(lambda: len(run.port.accepted) == 2, what="the edit")
        edited = run.port.accepted[-1]
        assert (edited.text, edited.message_id) == ("the", first.message_id)
        assert not set(edited.keys) & set(first.keys)

    def test_an_album_is_one_message(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="album", count=4, text="look at these")
        wait_for(lambda: run.port.accepted, what="the album")
        bench.hear(run, "after")
        album, after = run.port.accepted
        assert (album.text, len(album.attachments), len(album.keys)) == ("look at these", 4, 4)
        assert after.text == "after"

    def test_every_kind_of_content_is_said_in_words_or_carried(self, bench: Bench) -> None:
        run = bench.ready()
        expected = {
            "photo": ("[image]", "image"),
            "voice": ("[audio]", "audio"),
            "video": ("[video]", "video"),
            "animation": ("[animation]", "video"),
            "sticker": ("[sticker: 😀]", ""),
            "location": ("[location: 52.5 13.4]", ""),
            "contact": ("[contact: Bob +100]", ""),
            "poll": ("[poll: Lunch?]", ""),
            "dice": ("[dice: 🎲 3]", ""),
            "venue": ("[venue: Cafe Main St]", ""),
        }
        for kind, (text, attached) in expected.items():
            count = len(run.port.accepted)
            bench.sim.say(kind=kind)
            wait_for(lambda: len(run.port.accepted) > count, what=kind)
            inbound = run.port.accepted[-1]
            assert (inbound.text, "".join(item.kind for item in inbound.attachments)) == (text, attached)

    def test_what_is_not_for_us_is_passed_over_and_confirmed(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="join", chat_type="group")
        assert bench.hear(run, "I am a bot", "group", bot=True).bot
        bench.sim.say(kind="raw", update="callback_query", body={"id": "1"})
        assert bench.hear(run, "I am the group", "group", anonymous=True).peer.user_id == "-5001"
        wait_for(lambda: bench.sim.feed.pending == 0, what="all to be confirmed")
        assert run.port.quarantined == [] and len(run.port.accepted) == 2

    def test_what_makes_no_sense_is_kept_and_confirmed(self, bench: Bench) -> None:
        run = bench.ready()
        bench.sim.say(kind="raw", update="message", body={"chat": {"id": 1, "type": "private"}, "hologram": {}})
        bench.sim.say(kind="raw", update="message", body=[1])
        assert bench.hear(run, "good").text == "good"
        wait_for(lambda: bench.sim.feed.pending == 0, what="all to be confirmed")
        assert len(run.port.quarantined) == 2

    def test_five_hundred_mutants_stop_no_run_and_good_messages_between_are_answered(self, bench: Bench) -> None:
        run, draw = bench.ready(), random.Random(8)
        chat = {"id": -5001, "type": "group", "title": "G"}
        user = {"id": 7001, "is_bot": False, "first_name": "Ann"}
        whole = {"message_id": 900, "chat": chat, "from": user, "date": 1_700_000_000, "text": "hello there"}
        whole |= {"entities": [{"type": "mention", "offset": 0, "length": 5}], "reply_to_message": {"from": user}}
        for number in range(500):
            kind = draw.choice(["message", "edited_message", "channel_post"])
            bench.sim.say(kind="raw", update=kind, body=mutant({**whole, "message_id": number + 1000}, draw))
            if number % 25 == 0:
                bench.sim.say(text=f"good {number}", chat="7002")
        good = [f"good {number}" for number in range(0, 500, 25)]
        wait_for(lambda: bench.sim.feed.pending == 0, what="all to be confirmed")
        heard = [inbound for inbound in run.port.accepted if inbound.peer.chat_id == "7002"]
        assert [inbound.text for inbound in heard] == good and not run.ended and run.port.quarantined
        for inbound in heard:
            send(bench, inbound, inbound.text)
        assert [entry["text"] for entry in bench.sends()] == good

    def test_a_file_is_fetched(self, bench: Bench) -> None:
        run = bench.ready()
        data = base64.b64encode(b"x" * 300_000).decode()
        bench.sim.say(kind="document", data=data, name="report.pdf", mime="application/pdf", text="read this")
        wait_for(lambda: run.port.accepted, what="the file")
        inbound = run.port.accepted[0]
        (item,) = inbound.attachments
        facts = (inbound.text, item.name, item.mime, item.size)
        assert facts == ("read this", "report.pdf", "application/pdf", 300_000)
        assert b"".join(bench.adapter.fetch(item.ref)) == b"x" * 300_000
        with pytest.raises(SendRefused):
            list(bench.adapter.fetch({"file_id": "unknown"}))

    # --- out -----------------------------------------------------------------------------------

    def test_markdown_arrives_as_markup(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "format")
        send(bench, inbound, "**bold** & `a<b`")
        sent = bench.sends()[-1]
        assert (sent["text"], sent["parse_mode"]) == ("bold & a<b", "HTML")
        assert [entity["type"] for entity in sent["entities"]] == ["bold", "code"]

    def test_markup_that_is_refused_is_sent_plain(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready())
        (part,) = bench.parts(inbound, "x")
        bench.adapter.send(replace(part, payload={"text": "a b", "html": "<b>a</i> b"}), None)
        assert (bench.sends()[-1]["text"], bench.sends()[-1]["parse_mode"]) == ("a b", "")
        bench.forgiven.append("entities of 13080 bytes")
        heavy = "".join(f'<a href="https://h.test/{"x" * 300}">a</a>' for _ in range(40))
        bench.adapter.send(replace(part, payload={"text": "many", "html": heavy}), None)
        assert (bench.sends()[-1]["text"], bench.sends()[-1]["parse_mode"]) == ("many", "")

    def test_a_group_that_moved_is_written_to_in_its_new_place(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run, "before", "group")
        new = bench.sim.say(kind="migrate", chat_type="group")
        wait_for(lambda: bench.ctx.rekeyed, what="the change of ids")
        assert set(bench.ctx.rekeyed) == {("-5001", str(new["id"]))}
        send(bench, inbound, "after")
        assert bench.sends()[-1]["chat"] == new["chat"]
        assert bench.ctx.counts["chats", "rekeyed"] == 3

    def test_a_topic_that_is_gone_is_answered_in_the_chat(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "hi", "supergroup")
        (part,) = bench.parts(inbound, "anyway")
        bench.adapter.send(replace(part, peer=replace(part.peer, thread_id="77")), None)
        assert bench.sends()[-1]["text"] == "anyway"

    def test_who_blocked_the_bot_gets_no_more(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready())
        bench.sim.say(kind="blocked")
        with pytest.raises(SendRefused, match="blocked"):
            send(bench, inbound, "hello?")

    def test_limits_of_a_chat_close_that_chat(self, bench: Bench) -> None:
        bench.sim.rest._flood._group = 1
        inbound = bench.hear(bench.ready(), "fast", "group")
        send(bench, inbound, "one")
        with pytest.raises(SendRetry) as caught:
            send(bench, inbound, "two")
        assert (caught.value.scope, 30 < caught.value.after <= 60) == ("chat", True)

    @pytest.mark.parametrize("code, error", [(500, SendUnknown), (413, SendRefused), (400, SendRefused)])
    def test_what_the_platform_answers_decides(self, bench: Bench, code: int, error: type[Exception]) -> None:
        inbound = bench.hear(bench.ready())
        bench.sim.fault("api_error", method="sendMessage", code=code, description="said so", count=1)
        with pytest.raises(error):
            send(bench, inbound, "hm")

    def test_a_token_revoked_during_sends_halts_the_child_and_keeps_the_message(self, bench: Bench) -> None:
        run = bench.ready()
        inbound = bench.hear(run)
        bench.sim.token = bench.sim.token[:-3] + "xyz"
        with pytest.raises(SendRetry) as caught:
            send(bench, inbound, "later")
        assert caught.value.scope == "account" and isinstance(bench.ctx.rejected[0], AuthRejected)

    @pytest.mark.parametrize("body", [b"no such page", {"ok": False, "error_code": 404, "description": "Not Found"}])
    def test_a_method_that_is_not_there_is_done_without_and_says_nothing_of_the_token(
        self, bench: Bench, body: Any
    ) -> None:
        inbound = bench.hear(bench.ready())
        handle = open_draft(bench, inbound)
        for method in ("editMessageText", "deleteMessage", "getFile"):
            answered(bench, method, lambda request: Answer(404, body))
        with pytest.raises(SendRefused, match="editMessageText"):
            bench.adapter.draft_update(handle, "Once", 1, None)
        (part,) = bench.parts(inbound, "Once upon a time")
        bench.adapter.send(replace(part, handle=handle), None)
        assert bench.sends()[-1]["text"] == "Once upon a time"
        with pytest.raises(SendRefused):
            list(bench.adapter.fetch({"file_id": "F"}))
        assert bench.ctx.rejected == []

    # --- drafts and signs ----------------------------------------------------------------------

    def test_a_draft_grows_and_becomes_the_answer(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready())
        handle = open_draft(bench, inbound)
        for number, text in enumerate(("Once", "Once", "Once **upon**"), 1):
            bench.adapter.draft_update(handle, text, number, None)
        (part,) = bench.parts(inbound, "Once **upon** a time")
        receipt = bench.adapter.send(replace(part, handle=handle), None)
        bench.adapter.send(again(replace(part, handle=handle)), None)
        edits = [entry["text"] for entry in bench.sim.record(kind="edit")]
        assert edits == ["Once", "Once **upon**", "Once upon a time"]
        assert len(bench.sends()) == 1 and receipt.id == bench.sends()[0]["message_id"]

    def test_a_draft_that_cannot_be_finished_is_replaced(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready())
        handle = open_draft(bench, inbound)
        refusal = "Bad Request: message can't be edited"
        bench.sim.fault("api_error", method="editMessageText", code=400, description=refusal)
        (part,) = bench.parts(inbound, "the whole")
        bench.adapter.send(replace(part, handle=handle), None)
        assert bench.sends()[-1]["text"] == "the whole"
        assert [entry["message_id"] for entry in bench.sim.record(kind="recall")] == [str(handle["message_id"])]

    def test_a_draft_whose_opening_is_uncertain_is_not_opened_twice(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready())
        bench.sim.fault("lose_answer", count=1)
        with pytest.raises(SendRefused):
            open_draft(bench, inbound)

    def test_a_draft_that_is_told_no_number_is_none(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready())
        answered(bench, "sendMessage", lambda request: Answer(200, {"ok": True, "result": True}))
        with pytest.raises(SendRefused):
            open_draft(bench, inbound)

    def test_a_draft_ends_where_a_message_ends(self, bench: Bench) -> None:
        handle = open_draft(bench, bench.hear(bench.ready()))
        with pytest.raises(SendRefused):
            bench.adapter.draft_update(handle, "😀" * 2049, 1, None)

    def test_typing_is_shown_in_the_topic(self, bench: Bench) -> None:
        inbound = bench.hear(bench.ready(), "hi", "topic")
        bench.adapter.typing(inbound.peer, None)
        assert bench.sim.record(kind="typing")[-1]["action"] == "typing"
        told = {"code": 429, "description": "Too Many Requests", "retry_after": 7}
        bench.sim.fault("api_error", method="sendChatAction", **told)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.typing(inbound.peer, None)
        assert caught.value.after == 7

    # --- files out -----------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "kind, mime, sent_as",
        [
            ("image", "image/png", "photo"),
            ("image", "image/svg+xml", "document"),
            ("file", "", "document"),
            ("audio", "audio/ogg", "voice"),
            ("audio", "audio/mpeg", "audio"),
            ("video", "video/mp4", "video"),
        ],
    )
    def test_files_are_sent_as_what_they_are(
        self, bench: Bench, tmp_path: Any, kind: Any, mime: str, sent_as: str
    ) -> None:
        inbound = bench.hear(bench.ready(), "show", "group")
        path = tmp_path / 'a "strange" náme.bin'
        path.write_bytes(b"0123456789" * 20_000)
        text, media = media_parts(bench, inbound, Attachment(kind, name=path.name, mime=mime, path=str(path)))
        bench.adapter.send(text, None)
        bench.adapter.send(media, None)
        said, file = bench.sends()
        assert (said["text"], file["msg_type"], file["size"]) == ("here", sent_as, 200_000)
        assert bench.sim.uploads[file["name"]] == b"0123456789" * 20_000

    def test_what_is_not_taken_as_a_picture_or_voice_goes_as_a_file(self, bench: Bench, tmp_path: Any) -> None:
        inbound = bench.hear(bench.ready())
        large = tmp_path / "large.png"
        with open(large, "wb") as file:
            file.truncate(11 * 1024 * 1024)
        _, media = media_parts(bench, inbound, Attachment("image", name="l", mime="image/png", path=str(large)))
        bench.adapter.send(media, None)
        assert bench.sends()[-1]["msg_type"] == "document"
        small = tmp_path / "small"
        small.write_bytes(b"data")
        for kind, mime, why in (
            ("image", "image/png", "PHOTO_INVALID_DIMENSIONS"),
            ("audio", "audio/ogg", "VOICE_MESSAGES_FORBIDDEN"),
        ):
            _, media = media_parts(bench, inbound, Attachment(kind, name="s", mime=mime, path=str(small)))
            method = "sendPhoto" if kind == "image" else "sendVoice"
            bench.sim.fault("api_error", method=method, code=400, description=f"Bad Request: {why}")
            bench.adapter.send(media, None)
            assert bench.sends()[-1]["msg_type"] == "document"
            bench.sim.clear()
        bench.sim.fault("api_error", method="sendPhoto", code=403, description="Forbidden: bot was blocked by the user")
        _, media = media_parts(bench, inbound, Attachment("image", name="s", mime="image/png", path=str(small)))
        sent = len(bench.sends())
        with pytest.raises(SendRefused, match="blocked"):
            bench.adapter.send(media, None)
        assert len(bench.sends()) == sent

    def test_files_that_are_too_large_or_gone_are_refused_with_the_reason(self, bench: Bench, tmp_path: Any) -> None:
        inbound = bench.hear(bench.ready())
        path = tmp_path / "large.png"
        with open(path, "wb") as file:
            file.truncate(51 * 1024 * 1024)
        for each, reason in ((path, "52428800"), (tmp_path / "absent", "No such file")):
            _, media = media_parts(bench, inbound, Attachment("image", name="x", mime="image/png", path=str(each)))
            with pytest.raises(SendRefused, match=reason):
                bench.adapter.send(media, None)

    # --- the token -----------------------------------------------------------------------------

    def test_the_token_is_in_no_error(self, bench: Bench) -> None:
        sim, secret = bench.sim, bench.sim.token.partition(":")[2]
        inbound = bench.hear(bench.ready())
        errors: list[BaseException] = []
        for fault in ({"name": "refuse", "status": "tcp"}, {"name": "refuse", "status": 502}):
            sim.fault(**fault, count=1)
            errors.append(bench.start().until_end())
        sim.fault("lose_answer", count=1)
        for base in (sim.url, "http://127.0.0.1:1", "http://nowhere.invalid"):
            adapter = telegram.create(self.driver.settings(sim, api_base=base), bench.ctx)
            with pytest.raises((SendUnknown, SendRetry)) as caught:
                adapter.send(bench.parts(inbound, "x")[0], None)
            errors.append(caught.value)
            adapter.close()
        for error in errors:
            told = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error.__context__)
            assert secret not in told, type(error)


def send(bench: Bench, inbound: Inbound, text: str) -> None:
    for part in bench.parts(inbound, text):
        bench.adapter.send(part, None)


def answered(bench: Bench, method: str, answer: Callable[[Request], Answer]) -> None:
    """From now on the simulator answers calls of this method so."""
    others = bench.sim.route
    bench.sim.route = lambda request: (answer if request.path.endswith(f"/{method}") else others)(request)


def open_draft(bench: Bench, inbound: Inbound) -> Any:
    return bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "a" * 32, 1, None)


def media_parts(bench: Bench, inbound: Inbound, item: Attachment) -> list[Part]:
    payloads = bench.adapter.render(Reply("here", inbound.peer, inbound.reply_ref, (item,)))
    return [Part("b" * 32, n, n - 1, inbound.peer, payload, inbound.reply_ref) for n, payload in enumerate(payloads, 1)]
