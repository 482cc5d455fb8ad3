"""WeCom's pure parts: frames, messages, texts, keys, codes, and how often a bubble may change."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import random
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hermes_green.adapters.wecom import PLATFORM as wecom, wire
from hermes_green.adapters.wecom.codes import SUBSCRIBING
from hermes_green.adapters.wecom.drafts import KEEP_ALIVE, pace
from hermes_green.adapters.wecom.exchange import refusal
from hermes_green.adapters.wecom.media import KINDS, decrypted, fetched, name_in
from hermes_green.adapters.wecom.parse import parse
from hermes_green.adapters.wecom.render import LIMIT, render, shown
from hermes_green.core.errors import AuthRejected, BadFrame, LinkLost, SendRefused, SendRetry, SendUnknown
from hermes_green.core.model import Attachment, Peer, Quote, Reply, Secret
from hermes_green.link.files import shown_as
from tests.support.port import FakeContext

PEER = Peer("wecom", "alice", "dm")


def body(**fields: Any) -> dict[str, Any]:
    """A message callback's body, as the platform's page shows it."""
    made = {
        "msgid": "m1",
        "aibotid": "bot",
        "chattype": "single",
        "from": {"userid": "alice"},
        "create_time": 1_700_000_000,
        "msgtype": "text",
        "text": {"content": "hello"},
    }
    return {**made, **fields}


def heard(bot_name: str = "", **fields: Any) -> Any:
    frame = {"cmd": wire.MESSAGE, "headers": {"req_id": "r1"}, "body": body(**fields)}
    return parse(wire.decode(json.dumps(frame)), "wecom", bot_name)


def in_group(text: str, bot_name: str = "") -> str:
    return str(heard(bot_name, chattype="group", chatid="g1", text={"content": text}).text)


# --- frames ----------------------------------------------------------------------------------------


def test_a_callback_has_a_command_and_an_answer_has_none() -> None:
    callback = wire.decode('{"cmd":"aibot_event_callback","headers":{"req_id":"r"},"body":{"event":{"eventtype":"x"}}}')
    assert (callback.cmd, callback.req_id, callback.event, callback.errcode) == (wire.EVENT, "r", "x", None)
    answer = wire.decode('{"headers":{"req_id":"r"},"errcode":846609,"errmsg":"aibot websocket not subscribed"}')
    assert (answer.cmd, answer.errcode, answer.errmsg) == ("", 846609, "aibot websocket not subscribed")


@pytest.mark.parametrize("headers", ["", '"headers":null,', '"headers":{},'])
def test_a_callback_says_what_it_says_without_a_req_id_too(headers: str) -> None:
    """Who has taken the bot over must be known in any case: to dial again would take it back, for ever."""
    kick = {"event": {"eventtype": "disconnected_event"}}
    kicked, said = (
        wire.decode('{"cmd":"%s",%s"body":%s}' % (cmd, headers, json.dumps(told)))
        for cmd, told in ((wire.EVENT, kick), (wire.MESSAGE, body()))
    )
    assert (kicked.event, kicked.req_id) == (wire.DISPLACED, "")
    inbound = parse(said, "wecom")
    assert inbound is not None and not inbound.reply_ref["req_id"], "it is answered with a message of our own"


@pytest.mark.parametrize(
    "raw", ["", "nonsense", "[]", "7", "{}", '{"headers":{}}', '{"headers":{"req_id":7}}', "[" * 99_999, b"\xff"]
)
def test_what_is_no_frame_is_a_bad_frame(raw: str | bytes) -> None:
    with pytest.raises(BadFrame):
        wire.decode(raw)


def test_a_frame_has_a_body_only_where_there_is_one() -> None:
    assert json.loads(wire.encode("ping", "r")) == {"cmd": "ping", "headers": {"req_id": "r"}}
    assert json.loads(wire.encode("x", "r", {})) == {"cmd": "x", "headers": {"req_id": "r"}, "body": {}}


def test_a_request_s_id_tells_its_command_and_is_never_the_same() -> None:
    ids = {wire.request_id(wire.SEND) for _ in range(1_000)}
    assert len(ids) == 1_000 and all(each.startswith("aibot_send_msg_") for each in ids)


# --- messages --------------------------------------------------------------------------------------


def test_a_direct_message_s_chat_is_its_user() -> None:
    inbound = heard()
    assert (inbound.text, inbound.peer.chat_id, inbound.peer.chat_type) == ("hello", "alice", "dm")
    assert inbound.keys == ("m1",) and inbound.sent_at == 1_700_000_000 and inbound.mentioned
    assert inbound.reply_ref == {"req_id": "r1", "message_id": "m1", "at": 1_700_000_000}


def test_a_group_s_message_is_of_its_chat_and_loses_the_mention_it_begins_with() -> None:
    inbound = heard(chattype="group", chatid="g1", text={"content": "@Robot help me"})
    assert (inbound.text, inbound.peer.chat_id, inbound.peer.user_id) == ("help me", "g1", "alice")
    assert inbound.mentioned


@pytest.mark.parametrize(
    "text, bot_name, expected",
    [
        ("@Robot\u2005help", "", "help"),
        ("@小助手 你好", "", "你好"),
        ("@Robot", "", ""),
        ("help me @Robot", "", "help me @Robot"),
        ("@My Robot help", "My Robot", "help"),
        ("please @My Robot help", "My Robot", "please help"),
        ("mail a@b.c", "", "mail a@b.c"),
        ("@bob @Robot hi", "Robot", "@bob hi"),
        ("@ home with @bob", "", "@ home with @bob"),
        ("@Robotics see @Robot", "Robot", "@Robotics see"),
        ("@Robothelp me", "Robot", "help me"),
        ("@小助手 问 @小助\u2005天气", "小助", "@小助手 问 天气"),
    ],
)
def test_a_mention_is_an_address_and_not_a_part_of_the_message(text: str, bot_name: str, expected: str) -> None:
    assert in_group(text, bot_name) == expected


def test_blanks_behind_a_mention_of_nobody_are_looked_at_once() -> None:
    started = time.process_time()
    text = "@" + " " * 100_000 + "hi"
    assert in_group(text) == text
    assert time.process_time() - started < 3  # from each of them it would take 15 s and more


def test_a_direct_message_that_begins_with_a_mention_keeps_it() -> None:
    assert heard(text={"content": "@bob is late"}).text == "@bob is late"


def test_a_voice_message_of_which_nothing_was_understood_is_named() -> None:
    assert heard(msgtype="voice", voice={"content": " "}).text == "[voice]"


def test_a_voice_message_is_its_transcript() -> None:
    inbound = heard(msgtype="voice", voice={"content": "what I said"})
    assert inbound.text == "what I said" and inbound.attachments == ()


@pytest.mark.parametrize("kind", ["image", "file", "video"])
def test_media_are_attachments_with_address_and_key(kind: str) -> None:
    inbound = heard(msgtype=kind, **{kind: {"url": "https://x/1", "aeskey": "k"}})
    assert inbound.text == f"[{kind}]"
    assert inbound.attachments == (Attachment(kind=kind, ref={"url": "https://x/1", "aeskey": "k"}),)  # type: ignore


def test_mixed_messages_give_text_and_pictures_in_order() -> None:
    items = [
        {"msgtype": "text", "text": {"content": "look"}},
        {"msgtype": "image", "image": {"url": "https://x/1", "aeskey": "k"}},
        {"msgtype": "text", "text": {"content": "at this"}},
        "nonsense",
    ]
    inbound = heard(msgtype="mixed", mixed={"msg_item": items})
    assert inbound.text == "look\n[image]\nat this" and len(inbound.attachments) == 1


def test_a_quote_comes_with_the_text_and_brings_its_picture() -> None:
    quoted = {"msgtype": "text", "text": {"content": "one\ntwo"}}
    assert (heard(quote=quoted).text, heard(quote=quoted).quote) == ("hello", Quote("one\ntwo"))
    inbound = heard(quote={"msgtype": "image", "image": {"url": "https://x/1", "aeskey": "k"}})
    assert inbound.quote is not None and inbound.quote.text == "[image]" and len(inbound.quote.attachments) == 1
    assert heard(quote=7).quote is None and heard(quote={"msgtype": "text"}).quote is None


def test_kinds_we_do_not_know_are_said_in_words() -> None:
    assert heard(msgtype="location", location={"name": "Shenzhen"}).text == "[location: Shenzhen]"
    assert (heard(msgtype="hologram").text, heard(msgtype="hologram").strange) == ("[hologram]", "hologram")
    assert heard(msgtype="voice", voice={"content": "hi"}).strange == ""


NESTED = {"card_type": "vote_interaction", "event_key": "send", "selected_items": {
    "selected_item": [{"question_key": "lunch", "option_ids": {"option_id": ["rice", "soup"]}}, {"option_ids": 7}, 7]
}}  # fmt: skip


@pytest.mark.parametrize(
    "told, text",
    [
        ({"event_key": "approve", "task_id": "t1"}, "[card: approve]"),
        ({"template_card_event": NESTED}, "[card: send lunch: rice, soup]"),
        ({"event_key": 7}, "[card]"),
    ],
)
def test_what_is_chosen_on_a_card_is_a_message_that_has_no_way_of_its_own_to_be_answered(told: Any, text: str) -> None:
    inbound = heard(msgtype="event", event={"eventtype": "template_card_event", **told})
    assert (inbound.text, inbound.peer.chat_id, inbound.peer.user_id) == (text, "alice", "alice")
    assert inbound.keys == ("m1",) and inbound.mentioned and inbound.strange == ""
    # The platform takes no answer under the id of an event, only messages of the bot's own.
    assert inbound.reply_ref == {"message_id": "m1"}
    group = heard(msgtype="event", chattype="group", chatid="g1", event={"eventtype": "template_card_event", **told})
    assert (group.peer.chat_id, group.peer.chat_type) == ("g1", "group")


def test_other_events_are_no_messages() -> None:
    frame = {"cmd": "aibot_event_callback", "headers": {"req_id": "r"}}
    for kind in ("enter_chat", "feedback_event", "disconnected_event", "something_new"):
        body = {"msgid": "m", "msgtype": "event", "from": {"userid": "a"}, "event": {"eventtype": kind}}
        assert parse(wire.decode(json.dumps({**frame, "body": body})), "wecom") is None


@pytest.mark.parametrize("wrong", [{"msgid": ""}, {"from": {}}, {"from": 7}, {"msgtype": None}, {"chattype": "group"}])
def test_a_message_without_what_makes_it_one_is_a_bad_frame(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        heard(**wrong)


@pytest.mark.parametrize("time", [None, "soon", True, -1, 10**400, 1e300])
def test_a_time_that_is_none_is_not_believed(time: Any) -> None:
    assert heard(create_time=time).sent_at is None


def test_half_characters_do_not_travel() -> None:
    assert heard(text={"content": "\ud83d half"}).text == "? half"


@pytest.mark.thorough
def test_twenty_thousand_damaged_messages_raise_nothing_but_bad_frame() -> None:
    draw = random.Random(20261120)
    image = {"url": "https://x/1", "aeskey": "k"}
    mixed = {"msg_item": [{"msgtype": "text", "text": {"content": "t"}}, {"msgtype": "image", "image": image}]}
    group: dict[str, Any] = {"chatid": "g", "chattype": "group"}
    seeds = [
        json.dumps({"cmd": wire.MESSAGE, "headers": {"req_id": "r"}, "body": body(**group, **more)})
        for more in (
            {"quote": body(mixed=mixed, msgtype="mixed")},
            {"msgtype": "mixed", "mixed": mixed},
            {"msgtype": "event", "event": {"eventtype": "template_card_event", "template_card_event": NESTED}},
        )
    ]
    taken = 0
    for number in range(20_000):
        frame = json.loads(seeds[number % len(seeds)])
        for _ in range(draw.randint(1, 3)):
            damage(frame, draw)
        text = json.dumps(frame)
        if number % 10 == 0:
            text = text[: draw.randrange(len(text))] + draw.choice(["", "}", '"', "\x00"])
        try:
            taken += parse(wire.decode(text), "wecom") is not None
        except BadFrame:
            pass
    assert taken > 1_000, "damage does not always matter"


ODD = (None, 7, -1, 1e308, True, "", "\ud800", [], [[]], {}, {"content": 7}, "text", "mixed", "image", "@a", "group")


def damage(value: Any, draw: random.Random) -> None:
    """Replace or remove something, somewhere in the tree."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(value[key], (dict, list)) and draw.random() < 0.75:
            value = value[key]
            continue
        if draw.random() < 0.2:
            del value[key]
        else:
            value[key] = copy.deepcopy(draw.choice(ODD))
        return


# --- answers ---------------------------------------------------------------------------------------


def test_texts_fit_the_platform_s_bytes_and_lose_nothing() -> None:
    text = "\n\n".join("中文和 words 😀 " * 60 for _ in range(40))
    payloads = render(Reply(text, PEER))
    assert len(payloads) > 1 and all(len(each["text"].encode()) <= LIMIT for each in payloads)
    assert "".join("".join(each["text"] for each in payloads).split()) == "".join(text.split())


def test_markdown_stays_what_it_is_and_pictures_become_links() -> None:
    text = "# Title\n\n**bold** and `code`\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n```py\nprint(1)\n```"
    (payload,) = render(Reply(text, PEER))
    assert payload["text"] == text
    (payload,) = render(Reply("see ![a cat](https://x/cat.png)", PEER))
    assert payload["text"] == "see [a cat](https://x/cat.png)"


def test_an_answer_without_words_is_still_an_answer() -> None:
    assert render(Reply("", PEER)) == ({"text": "…"},)
    media = (Attachment("image", name="a.png", path="/tmp/a.png", mime="image/png"),)
    (payload,) = render(Reply("", PEER, media=media))
    assert payload["media"]["path"] == "/tmp/a.png"


@pytest.mark.parametrize(
    "header, name",
    [
        ("attachment; filename*=UTF-8''%E6%8A%A5%E5%91%8A%201.pdf", "报告 1.pdf"),
        ("attachment; filename=\"x.pdf\"; filename*=utf-8''y.pdf", "y.pdf"),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=%E6%8A%A5.csv; size=3", "报.csv"),
        ("attachment", ""),
        ("", ""),
    ],
)
def test_a_file_s_name_stands_in_its_header(header: str, name: str) -> None:
    assert name_in(header) == name


def test_a_draft_shows_what_fits() -> None:
    assert shown("short") == "short"
    assert len(shown("中" * 100_000).encode()) <= LIMIT
    shown("half \ud83d").encode()


@pytest.mark.parametrize(
    "kind, name, size, expected",
    [
        ("image", "a.PNG", 100, "image"),
        ("image", "a.webp", 100, "file"),
        ("image", "a.png", 3_000_000, "file"),
        ("audio", "a.amr", 100, "voice"),
        ("audio", "a.mp3", 100, "file"),
        ("video", "a.mp4", 9_000_000, "video"),
        ("video", "a.mp4", 11_000_000, "file"),
        ("file", "a.png", 100, "file"),
    ],
)
def test_media_go_as_what_the_platform_shows(kind: str, name: str, size: int, expected: str) -> None:
    media = {"kind": kind, "path": f"/tmp/{name}", "name": name}
    assert (shown_as(media, KINDS, size) or "file") == expected


# --- keys ------------------------------------------------------------------------------------------


def encrypt(data: bytes, key: bytes) -> bytes:
    padding = 32 - len(data) % 32
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).encryptor()
    return encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1000])
@pytest.mark.parametrize("step", [1, *(pytest.param(step, marks=pytest.mark.thorough) for step in (7, 32, 4096))])
def test_files_are_decrypted_however_they_are_cut(size: int, step: int) -> None:
    key, data = os.urandom(32), os.urandom(size)
    cipher = encrypt(data, key)
    pieces = [cipher[at : at + step] for at in range(0, len(cipher), step)]
    shown_key = base64.b64encode(key).decode().rstrip("=")
    assert b"".join(decrypted(pieces, shown_key)) == data


def test_a_wrong_key_or_a_cut_file_is_an_error_and_no_garbage() -> None:
    key = bytes(32)
    cipher = encrypt(b"data", key)
    good = base64.b64encode(key).decode()
    for pieces, aeskey in (
        ([cipher[:-5]], good),
        ([], good),
        ([cipher], "###"),
        ([cipher], "c2hvcnQ="),
        ([cipher], base64.b64encode(b"x" * 32).decode()),
    ):
        with pytest.raises(LinkLost):
            list(decrypted(pieces, aeskey))


def test_the_answer_for_a_file_is_closed_also_where_nothing_of_it_can_be_read() -> None:
    class Answer:
        status, ends = 200, 0
        headers: Any = {}

        def pieces(self) -> Any:
            yield b"data"

        def close(self) -> None:
            self.ends += 1

    class Calls:
        def stream(self, *_: Any, **more: Any) -> Any:
            return answer

    for key in ("###", ""):
        answer = Answer()
        with contextlib.suppress(LinkLost):
            list(fetched(Calls(), "http://files.test/1", key))  # type: ignore[arg-type]
        assert answer.ends


# --- codes and settings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, error",
    [
        (-1, SendRetry),
        (45009, SendRetry),
        (846601, SendRetry),
        (846609, SendRetry),
        (40058, SendRefused),
        (93006, SendRefused),
        (846605, SendRefused),
        (846608, SendRefused),
        (123456, SendRefused),
        (None, SendUnknown),
    ],
)
def test_each_number_has_its_policy(code: int | None, error: type[Exception]) -> None:
    refused = refusal(wire.Frame("", "r", {}, code, "why"))
    assert type(refused) is error and (code is None or str(code) in str(refused))


def test_refused_credentials_name_the_keys() -> None:
    error = SUBSCRIBING[853000].build(853000)
    assert isinstance(error, AuthRejected) and "bot_id" in error.action and "wecom.yaml" in error.action


def test_empty_credentials_are_told_before_any_dial() -> None:
    said = wecom.check(wecom.Settings(bot_id=" ", secret=Secret("")))
    assert len(said) == 2 and "bot_id" in said[0] and "secret" in said[1]
    assert wecom.check(wecom.Settings(bot_id="b", secret=Secret("s"))) == []


def test_chats_are_named_with_their_kind() -> None:
    adapter: Any = wecom.create(wecom.Settings(bot_id="b", secret=Secret("s")), FakeContext("wecom"))
    assert adapter.peer_of("user:alice") == Peer("wecom", "alice", "dm", user_id="alice")
    assert adapter.peer_of("group:wr1") == Peer("wecom", "wr1", "group")
    assert [adapter.peer_of(chat) for chat in ("alice", "user:", "channel:x", "")] == [None] * 4
    adapter.close()


def test_a_bubble_s_updates_last_for_as_long_as_a_turn_may() -> None:
    waits = [pace(frames) for frames in range(90)]
    assert waits == sorted(waits) and waits[0] == 0 and waits[-1] == KEEP_ALIVE
    assert sum(waits) > 3600, "a hundred frames are for an hour"
