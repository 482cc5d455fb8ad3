"""What Feishu's chats see beside finished texts: answers that grow, and files both ways."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any, Iterator, Mapping

import pytest

from hermes_green.adapters.feishu.adapter import FeishuAdapter
from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import LinkLost, SendRefused, SendRetry, SendUnknown
from hermes_green.core.model import Attachment, Inbound, Part, Reply
from tests.contract.adapters import Bench, again
from tests.contract.test_adapter_feishu import FeishuDriver

KEY, FINAL = "d" * 32, "f" * 32
CARDS = "/cardkit/v1/cards"


@pytest.fixture
def bench() -> Iterator[Bench]:
    driver = FeishuDriver()
    sim = driver.simulator().start()
    bench = Bench(driver, sim, driver.settings(sim))
    yield bench
    bench.close()


def opened(bench: Bench, kind: str = "dm") -> tuple[Inbound, Mapping[str, Any]]:
    """A message, and the draft of its answer."""
    inbound = bench.hear(bench.ready(), "tell me", kind)
    return inbound, bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)


def final(bench: Bench, inbound: Inbound, text: str, handle: Any = None, **more: Any) -> list[Part]:
    first, *rest = bench.parts(inbound, text, FINAL)
    return [replace(first, handle=handle, **more), *(replace(each, key=f"{each.ordinal:032x}") for each in rest)]


def seen(bench: Bench) -> list[str]:
    """All that stands in the chats."""
    return [text for texts in bench.sim.shown().values() for text in texts]


# --- drafts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dm", "group"])
def test_an_answer_grows_in_one_card_and_ends_as_one_message(bench: Bench, kind: str) -> None:
    inbound, handle = opened(bench, kind)
    assert json.loads(json.dumps(dict(handle))) == handle
    for n, text in enumerate(("Hel", "Hello **wo", "Hello **world**"), 1):
        bench.adapter.draft_update(handle, text, n, None)
    assert seen(bench) == ["Hello **world**"] and bench.sends() == []
    (part,) = final(bench, inbound, "Hello **world**, all of it", handle)
    receipt = bench.adapter.send(part, None)
    assert seen(bench) == ["Hello **world**, all of it"] and receipt.id == handle["message_id"]
    (sent,) = bench.sends()
    assert sent["reply_to"] == inbound.message_id and sent["message_id"] == receipt.id
    card = next(iter(bench.sim.rest.cards.cards.values()))
    assert not card.streaming and card.json["config"]["summary"]["content"].startswith("Hello")


def test_plain_text_stays_as_it_is_in_a_card(bench: Bench) -> None:
    inbound, handle = opened(bench)
    text = "2 * 3 = 6 and snake_case_name and <b>\n# no heading"
    bench.adapter.draft_update(handle, text[:20], 1, None)
    assert "2 &#42; 3" in seen(bench)[0], "a mark would be read as one"


def test_updates_that_change_nothing_are_not_sent_and_numbers_rise_over_attempts(bench: Bench) -> None:
    inbound, handle = opened(bench)
    for n in (1, 2, 3):
        bench.adapter.draft_update(handle, "the same", n, None)
    assert len(bench.sim.record(kind="stream")) == 1
    another = bench.driver.package.create(bench.driver.settings(bench.sim), bench.ctx)
    another.draft_update(handle, "of a rerun", 2_000_001, None)
    (part,) = final(bench, inbound, "of a rerun, whole", handle)
    another.send(part, None)
    another.close()
    assert seen(bench) == ["of a rerun, whole"]


def test_the_end_may_be_repeated_whatever_answer_was_lost(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "on", 1, None)
    (part,) = final(bench, inbound, "once", handle)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        bench.adapter.send(part, None)
    for _ in range(2):
        bench.adapter.send(again(part), None)
    assert seen(bench) == ["once"] and {sent["message_id"] for sent in bench.sends()} == {handle["message_id"]}


@pytest.mark.parametrize("later", [0.0, 1.0, 2.0, 3.0, 60.0])
def test_the_end_may_be_repeated_at_any_time(bench: Bench, later: float) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "on", 1, None)
    clock = ManualClock(wall=1_790_000_000.9)
    another = FeishuAdapter(bench.driver.settings(bench.sim), bench.ctx, clock)
    (part,) = final(bench, inbound, "once", handle)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        another.send(part, None)
    for _ in range(3):
        clock.advance(later)
        assert another.send(again(part), None).id == handle["message_id"]
    another.close()
    assert seen(bench) == ["once"] and {sent["message_id"] for sent in bench.sends()} == {handle["message_id"]}


def test_a_draft_whose_answer_was_lost_is_the_one_that_is_finished(bench: Bench) -> None:
    inbound = bench.hear(bench.ready(), "tell me")
    bench.sim.fault("lose_answer", count=1)
    handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)
    assert handle["message_id"] == ""
    bench.adapter.draft_update(handle, "on", 1, None)
    bench.adapter.send(final(bench, inbound, "once", handle)[0], None)
    assert seen(bench) == ["once"]


def test_a_process_that_died_while_it_opened_a_draft_leaves_no_second_one(bench: Bench) -> None:
    inbound, _ = opened(bench)
    another = bench.driver.package.create(bench.driver.settings(bench.sim), bench.ctx)
    handle = another.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)
    another.draft_update(handle, "on", 1, None)
    another.send(final(bench, inbound, "once", handle)[0], None)
    another.close()
    assert seen(bench) == ["once"]


def test_a_card_that_grew_for_too_long_grows_again(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "one", 1, None)
    for card in bench.sim.rest.cards.cards.values():
        card.until = 0.0
    bench.adapter.draft_update(handle, "one two", 2, None)
    assert seen(bench) == ["one two"]
    bench.adapter.send(final(bench, inbound, "one two three", handle)[0], None)
    assert seen(bench) == ["one two three"] and len(bench.sends()) == 1


def test_a_card_that_does_not_grow_any_more_still_gets_its_final_text(bench: Bench) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "one", 1, None)
    for card in bench.sim.rest.cards.cards.values():
        card.until = 0.0
    bench.adapter.send(final(bench, inbound, "one two three", handle)[0], None)
    assert seen(bench) == ["one two three"] and len(bench.sends()) == 1
    assert len(bench.sim.record(kind="patch")) == 1


def test_a_number_that_is_too_low_is_raised(bench: Bench) -> None:
    inbound, handle = opened(bench)
    for card in bench.sim.rest.cards.cards.values():
        card.sequence = 2_000_000_000
    bench.adapter.send(final(bench, inbound, "there", handle)[0], None)
    assert seen(bench) == ["there"]


@pytest.mark.parametrize("code", [200750, 200860, 300317, 99991672, 424242])
def test_a_card_that_takes_no_final_text_is_taken_back_and_the_text_sent_anew(bench: Bench, code: int) -> None:
    inbound, handle = opened(bench)
    bench.adapter.draft_update(handle, "half a", 1, None)
    bench.sim.fault("api_error", code=code, path="/elements/")
    (part,) = final(bench, inbound, "half a text is none", handle)
    bench.adapter.send(part, None)
    assert seen(bench) == ["half a text is none"] and len(bench.sim.record(kind="recall")) == 1
    bench.sim.clear()
    bench.adapter.send(again(part), None)
    assert seen(bench) == ["half a text is none"], "a repeat does not go back to the card"


def test_an_answer_in_many_parts_begins_in_the_card_or_replaces_it(bench: Bench) -> None:
    inbound, handle = opened(bench)
    whole = bench.driver.long_text
    for text in (whole, "**b** " + whole[:60_000]):
        handle = bench.adapter.draft_open(inbound.peer, inbound.reply_ref, f"{len(text):032x}", 1, None)
        bench.adapter.draft_update(handle, text, 1, None)
        before = len(seen(bench))
        parts = final(bench, inbound, text, handle)
        for part in parts:
            bench.adapter.send(replace(part, key=f"{len(text):016x}{part.ordinal:016x}"), None)
        assert len(seen(bench)) == before + len(parts) - 1
        words = "".join("".join(seen(bench)[-len(parts) :]).split()).replace("*", "")
        assert words == "".join(text.replace("*", "").split())
        # The text alone is too large for a card; the one with marks begins in it.
        assert len(bench.sim.record(kind="recall")) == 1


def test_a_missing_scope_ends_drafts_and_leaves_nothing(bench: Bench) -> None:
    inbound = bench.hear(bench.ready(), "tell me")
    bench.sim.fault("api_error", code=99991672, path=CARDS)
    with pytest.raises(SendRefused) as refused:
        bench.adapter.draft_open(inbound.peer, inbound.reply_ref, KEY, 1, None)
    assert "scope" in refused.value.action and seen(bench) == []


@pytest.mark.parametrize("status, code, error", [(429, 99991400, SendRetry), (503, 0, SendUnknown)])
def test_a_draft_that_must_wait_holds_back_its_own_chat_alone(
    bench: Bench, status: int, code: int, error: type[Exception]
) -> None:
    inbound, handle = opened(bench)
    bench.sim.fault("api_error", status=status, code=code, path=CARDS)
    with pytest.raises(error) as caught:
        bench.adapter.draft_update(handle, "too soon", 1, None)
    assert error is SendUnknown or caught.value.scope == "chat"
    with pytest.raises(SendRetry):
        bench.adapter.draft_open(inbound.peer, inbound.reply_ref, "e" * 32, 2, None)


# --- files -----------------------------------------------------------------------------------------


def test_who_the_bot_is_is_asked_again_with_a_fresh_token(bench: Bench) -> None:
    assert bench.adapter._rest.bot().name == bench.adapter._rest.bot().name != ""
    bench.driver.expire_tokens(bench.sim)
    assert bench.adapter._rest.bot().open_id


@pytest.mark.parametrize("kind", ["image", "file"])
def test_a_fresh_token_that_is_refused_too_gives_no_file(bench: Bench, kind: str) -> None:
    (attachment,) = bench.hear(bench.ready(), "x", message_type=kind, data="AAAA").attachments
    bench.sim.fault("api_error", status=400, code=99991663, path="/resources/")
    with pytest.raises(LinkLost, match="99991663"):
        list(bench.adapter.fetch(attachment.ref))


def test_what_a_user_sent_is_fetched(bench: Bench) -> None:
    run = bench.ready()
    data = bytes(range(256)) * 900
    for kind, named in (("image", "image"), ("file", "file"), ("audio", "audio"), ("media", "video")):
        inbound = bench.hear(run, "x", message_type=kind, data=base64.b64encode(data).decode())
        (attachment,) = inbound.attachments
        assert attachment.kind == named
        assert b"".join(bench.adapter.fetch(attachment.ref)) == data
        bench.driver.expire_tokens(bench.sim)
        assert b"".join(bench.adapter.fetch(attachment.ref)) == data
        with pytest.raises(LinkLost):
            list(bench.adapter.fetch({**attachment.ref, "key": "no such file"}))
    assert bench.hear(run, "x", message_type="sticker").attachments == ()


@pytest.mark.parametrize(
    "name, kind, shown",
    [
        ("a.png", "image", "image"),
        ("big.png", "image", "file"),
        ("报告 1.pdf", "file", "file"),
        ("v.opus", "audio", "audio"),
        ("x.ogg", "audio", "file"),
        ("m.mp4", "video", "media"),
    ],
)
def test_a_file_of_the_agent_is_sent_once(bench: Bench, tmp_path: Any, name: str, kind: Any, shown: str) -> None:
    inbound = bench.hear(bench.ready(), "a file, please")
    path = tmp_path / name
    data = b"\x00\xff\r\n--" * (1_800_000 if name == "big.png" else 30_000)
    path.write_bytes(data)
    reply = Reply("here", inbound.peer, inbound.reply_ref, (Attachment(kind, name=name, path=str(path)),))
    text, media = bench.adapter.render(reply)
    part = Part(FINAL, 2, 1, inbound.peer, media, inbound.reply_ref)
    bench.driver.expire_tokens(bench.sim)
    bench.sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        bench.adapter.send(part, None)
    bench.adapter.send(again(part), None)
    (sent,) = bench.sends()
    (upload,) = bench.sim.record(kind="upload")
    assert sent["msg_type"] == shown and upload["md5"] == hashlib.md5(data).hexdigest()
    assert upload["name"] in ("", name)


def test_a_file_that_is_too_large_or_gone_is_refused_with_the_limit(bench: Bench, tmp_path: Any) -> None:
    inbound = bench.hear(bench.ready(), "a file, please")
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(31 * 2**20)
    for media in ({"kind": "file", "path": str(path)}, {"kind": "file", "path": str(tmp_path / "none")}):
        with pytest.raises(SendRefused) as refused:
            bench.adapter.send(Part(FINAL, 1, 0, inbound.peer, {"media": media}), None)
        assert str(30 * 2**20) in refused.value.text or "cannot be read" in refused.value.text
    known = Attachment("file", name="huge.bin", path=str(path), size=31 * 2**20)
    (said,) = bench.adapter.render(Reply("", inbound.peer, media=(known,)))
    assert said == {"text": "[file] huge.bin (31.0 MiB > 30 MiB)"} and not bench.sim.record(kind="upload")


def test_a_draft_whose_answer_is_only_a_file_is_taken_back(bench: Bench, tmp_path: Any) -> None:
    inbound, handle = opened(bench)
    (tmp_path / "a.txt").write_text("x")
    media = {"media": {"kind": "file", "path": str(tmp_path / "a.txt"), "name": "a.txt", "mime": ""}}
    bench.adapter.send(Part(FINAL, 2, 0, inbound.peer, media, inbound.reply_ref, handle), None)
    assert seen(bench) == [""] and bench.sends()[-1]["msg_type"] == "file"
