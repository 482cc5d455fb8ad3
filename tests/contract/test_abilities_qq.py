"""What QQ's chats see beside finished texts: answers that grow in direct chats, a working sign, files both ways."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Iterator, Mapping

import pytest

from hermes_green.core.errors import LinkLost, SendRefused, SendRetry, SendUnknown
from hermes_green.core.model import Attachment, Inbound, Part, Reply
from hermes_green.sim import qq_streams
from hermes_green.sim.kit import Answer, Request
from tests.contract.adapters import Bench, again
from tests.contract.test_adapter_qq import QQDriver
from tests.support.port import wait_for
from tests.support.standing import StandingTime

KEY = "d" * 32
STREAM = "/stream_messages"


@pytest.fixture
def bench() -> Iterator[Bench]:
    driver = QQDriver()
    sim = driver.simulator().start()
    bench = Bench(driver, sim, driver.settings(sim))
    yield bench
    bench.close()


def opened(bench: Bench) -> tuple[Inbound, Mapping[str, Any]]:
    """A message, and the draft of its answer, which takes the first reply number."""
    inbound = bench.hear(bench.ready(), "tell me")
    return inbound, bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)


def final(bench: Bench, inbound: Inbound, text: str, handle: Any = None) -> list[Part]:
    reply = Reply(text, inbound.peer, inbound.reply_ref, seq_used=1)
    parts = [
        Part(f"{n:032x}", n + 2, n, inbound.peer, payload, inbound.reply_ref)
        for n, payload in enumerate(bench.adapter.render(reply))
    ]
    return [replace(parts[0], handle=handle), *parts[1:]]


def seen(bench: Bench) -> list[str]:
    return [text for texts in bench.sim.shown().values() for text in texts]


# --- drafts ----------------------------------------------------------------------------------------


def test_an_answer_grows_in_one_message_under_one_number(bench: Bench) -> None:
    inbound, handle = opened(bench)
    assert seen(bench) == [""], "what a killed process leaves is no half text"
    for n, text in enumerate(("# He", "# Hello **wo", "# Hello **wo", "# Hello **world** "), 1):
        bench.adapter.draft_update(handle, text, n, None)
    assert seen(bench) == ["# Hello **world**"] and bench.sends() == []
    (part,) = final(bench, inbound, "# Hello **world** and all\n", handle)
    receipt = bench.adapter.send(part, None)
    assert seen(bench) == ["# Hello **world** and all"] and receipt.id == handle["stream"]
    (sent,) = bench.sends()
    assert (sent["reply_to"], sent["msg_seq"]) == (inbound.message_id, 1)


def test_a_long_answer_begins_in_the_stream_and_goes_on_in_messages(bench: Bench) -> None:
    inbound, handle = opened(bench)
    text = "\n\n".join(f"Paragraph {n}: " + "words and 中文. " * 30 for n in range(24))
    for n in range(1, 40):
        bench.adapter.draft_update(handle, text[: n * 300], n, None)
    parts = final(bench, inbound, text, handle)
    assert len(parts) == 3
    for part in parts:
        bench.adapter.send(part, None)
    assert "".join("".join(seen(bench)).split()) == "".join(text.split())
    assert [entry["msg_seq"] for entry in bench.sends()] == [1, 3, 4]


def test_the_end_may_be_repeated_when_its_answer_was_lost(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "on", 1, None)
    (part,) = final(bench, inbound, "on and once", handle)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        bench.adapter.send(part, None)
    bench.adapter.send(again(part), None)
    bench.adapter.send(again(part), None)
    assert seen(bench) == ["on and once"]


def test_an_answer_that_was_lost_while_it_grew_is_no_trouble(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        bench.adapter.draft_update(handle, "on", 1, None)
    bench.adapter.draft_update(handle, "on and", 2, None)
    bench.adapter.send(final(bench, inbound, "on and on", handle)[0], None)
    assert seen(bench) == ["on and on"]


def test_a_text_that_does_not_continue_what_was_shown_replaces_it(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "half an ans", 1, None)
    bench.adapter.send(final(bench, inbound, "Sorry, that failed.", handle)[0], None)
    assert seen(bench) == ["Sorry, that failed."]


def test_where_nothing_is_taken_back_the_other_text_follows_what_was_shown(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "half an ans", 1, None)
    bench.sim.fault("api_error", status=400, code=424242, message="too late", path="/messages/")
    bench.adapter.send(final(bench, inbound, "Sorry, that failed.", handle)[0], None)
    assert seen(bench) == ["half an ans\n\nSorry, that failed."] and len(bench.sends()) == 1


def test_another_process_takes_back_what_it_does_not_know(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "half", 1, None)
    another = bench.driver.package.create(bench.driver.settings(bench.sim), bench.ctx)
    with pytest.raises(SendRefused):
        another.draft_update(handle, "of a rerun", 2_000_001, None)
    (part,) = final(bench, inbound, "of a rerun, whole", handle)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        another.send(part, None)
    another.send(again(part), None)
    another.close()
    assert seen(bench) == ["of a rerun, whole"]


def test_a_stream_that_nobody_ends_becomes_an_empty_message(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingTime(monkeypatch, qq_streams)
    _, handle = opened(bench)
    bench.adapter.draft_update(handle, "half a text", 1, None)
    assert seen(bench) == ["half a text"]
    clock.advance(bench.sim.options.stream_timeout + 1)
    wait_for(lambda: bench.sim.record(kind="rolled_back"), what="the roll back")
    assert seen(bench) == [""]


@pytest.mark.parametrize("status, code", [(400, 424242), (500, 0)])
def test_a_stream_that_takes_no_end_is_replaced_by_a_message(bench: Bench, status: int, code: int) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "half", 1, None)
    bench.sim.fault("api_error", status=status, code=code, message="no", path=STREAM, count=1)
    (part,) = final(bench, inbound, "half and whole", handle)
    if status == 500:
        with pytest.raises(SendUnknown):
            bench.adapter.send(part, None)
        part = again(part)
    bench.adapter.send(part, None)
    assert seen(bench) == ["half and whole"] and len(bench.sends()) == 1


def test_refusals_make_longer_pauses_and_each_try_has_a_number_of_its_own(bench: Bench) -> None:
    inbound, handle = opened(bench)
    pauses = []
    for how in ({"status": 400, "code": 50002}, {"status": 429, "code": 1100308}, {"status": 400, "code": 50002}):
        bench.sim.fault("api_error", message="slow", path=STREAM, count=1, **how)
        with pytest.raises(SendRetry) as caught:
            bench.adapter.draft_update(handle, "on", 1, None)
        pauses.append(caught.value.after)
        assert caught.value.scope == "chat"
    assert pauses == [1, 2, 4]
    bench.sim.fault("429", after=3, count=1)
    (part,) = final(bench, inbound, "on and on", handle)
    with pytest.raises(SendRetry):
        bench.adapter.send(part, None)
    bench.adapter.send(part, None)
    assert seen(bench) == ["on and on"]


@pytest.mark.parametrize("status", [404, 405])
def test_a_platform_without_streams_is_answered_in_messages_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    answer = bench.sim.route

    def without(request: Request) -> Answer:
        return Answer(status, b"no such page") if request.path.endswith(STREAM) else answer(request)

    monkeypatch.setattr(bench.sim, "route", without)
    with pytest.raises(SendRefused):
        opened(bench)


@pytest.mark.parametrize("kind", ["group", "channel", "direct"])
def test_only_direct_chats_have_streams(bench: Bench, kind: str) -> None:
    inbound = bench.hear(bench.ready(), "tell me", kind)
    if bench.adapter.caps.of(inbound.peer.chat_type).streaming:
        with pytest.raises(SendRefused):
            bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)
    bench.adapter.typing(inbound.peer, None)
    assert seen(bench) == [] and not bench.sim.record(kind="typing")


def test_a_draft_that_may_or_may_not_be_open_is_none(bench: Bench) -> None:
    inbound = bench.hear(bench.ready(), "tell me")
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendRefused):
        bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)
    bench.adapter.send(final(bench, inbound, "whole")[0], None)
    assert [text for text in seen(bench) if text] == ["whole"]
    bench.sim.fault("429", after=1, count=1)
    with pytest.raises(SendRetry):
        bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 5, None)
    assert bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 5, None)["stream"]


# --- files -----------------------------------------------------------------------------------------


def test_what_a_user_sent_is_fetched(bench: Bench) -> None:
    data = bytes(range(256)) * 900
    sent = [{"content_type": "voice", "filename": "v.amr", "data": base64.b64encode(data).decode()}]
    (attachment,) = bench.hear(bench.ready(), "", attachments=sent).attachments
    assert (attachment.kind, attachment.name, attachment.size) == ("audio", "v.amr", len(data))
    assert b"".join(bench.adapter.fetch(attachment.ref)) == data
    with pytest.raises(LinkLost):
        list(bench.adapter.fetch({"url": f"{bench.sim.url}/attachments/none"}))


@pytest.mark.parametrize("kind", ["dm", "group"])
@pytest.mark.parametrize(
    "name, sort, number", [("a.png", "image", 1), ("a.gif", "image", 4), ("m.mp4", "video", 2), ("报告.pdf", "file", 4)]
)
def test_a_file_of_the_agent_is_sent_once(
    bench: Bench, tmp_path: Any, kind: str, name: str, sort: Any, number: int
) -> None:
    inbound = bench.hear(bench.ready(), "a file, please", kind)
    path = tmp_path / name
    path.write_bytes(b"x" * 100_000)
    reply = Reply("here", inbound.peer, inbound.reply_ref, (Attachment(sort, name=name, path=str(path)),))
    _, media = bench.adapter.render(reply)
    part = Part(KEY, 2, 1, inbound.peer, media, inbound.reply_ref)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        bench.adapter.send(part, None)
    bench.adapter.send(again(part), None)
    (sent,), (upload,) = bench.sends(), bench.sim.record(kind="upload")
    assert sent["msg_type"] == 7 and (upload["file_type"], upload["size"]) == (number, 100_000)


def test_a_file_that_is_too_large_is_refused_with_the_limit(bench: Bench, tmp_path: Any) -> None:
    inbound = bench.hear(bench.ready(), "a file, please")
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(11 * 2**20)
    media = {"media": {"kind": "file", "path": str(path)}}
    with pytest.raises(SendRefused, match="10 MiB"):
        bench.adapter.send(Part(KEY, 1, 0, inbound.peer, media, inbound.reply_ref), None)
    assert not bench.sim.record(kind="upload")
