"""What the gateway dispatches, as neutral messages."""

from __future__ import annotations

import base64
import copy
import json
import random

import pytest

from hermes_green.adapters.qq.parse import parse
from hermes_green.adapters.qq.wire import Frame, decode
from hermes_green.core.errors import BadFrame
from hermes_green.core.model import Quote, Reaction
from tests.support.mutants import mutant

C2C = {
    "id": "ROBOT1.0_abc",
    "author": {"user_openid": "U0"},
    "content": "123",
    "timestamp": "2023-11-06T13:37:18+08:00",
}
GROUP = {
    "id": "ROBOT1.0_def",
    "author": {"member_openid": "M0"},
    "group_openid": "G0",
    "content": " /ask this",
    "timestamp": "2023-11-06T13:37:18+08:00",
}
GUILD = {
    "id": "08a1",
    "guild_id": "77",
    "channel_id": "88",
    "author": {"id": "99", "username": "Ada", "bot": False},
    "content": "<@!5> what <@!6> said",
    "mentions": [{"id": "5", "username": "bot", "bot": True}],
    "seq": 101,
    "timestamp": "2023-11-06T13:37:18+08:00",
}
DIRECT = {**GUILD, "content": "psst", "mentions": None, "src_guild_id": "66", "direct_message": True}


def read(event, d, bot_id="5"):
    return parse(Frame(0, d, 3, event), "qq/a", bot_id)


def test_a_direct_message_is_answered_under_its_own_id():
    inbound = read("C2C_MESSAGE_CREATE", C2C)
    assert inbound.keys == ("ROBOT1.0_abc",) and inbound.message_id == "ROBOT1.0_abc"
    assert (inbound.peer.child, inbound.peer.chat_id, inbound.peer.chat_type) == ("qq/a", "U0", "dm")
    assert inbound.peer.user_id == "U0" and inbound.peer.extra == {"kind": "c2c", "msg_id": "ROBOT1.0_abc"}
    assert inbound.text == "123" and inbound.mentioned
    assert inbound.reply_ref == {"msg_id": "ROBOT1.0_abc"}
    assert inbound.sent_at == 1699249038.0


def test_a_direct_message_of_which_nothing_is_told_is_named_and_strange():
    inbound = read("C2C_MESSAGE_CREATE", {**C2C, "content": ""})
    assert (inbound.text, inbound.strange) == ("[message]", "message")
    mentioned = read("GROUP_AT_MESSAGE_CREATE", {**GROUP, "content": " "})
    assert (mentioned.text, mentioned.strange) == ("", ""), "in a group that is a bare mention"
    assert read("C2C_MESSAGE_CREATE", C2C).strange == ""


def test_a_group_message_loses_the_blank_its_mention_left():
    inbound = read("GROUP_AT_MESSAGE_CREATE", GROUP)
    assert (inbound.peer.chat_id, inbound.peer.chat_type, inbound.peer.user_id) == ("G0", "group", "M0")
    assert inbound.text == "/ask this" and inbound.mentioned


def test_group_talk_that_does_not_address_us_says_so():
    assert not read("GROUP_MESSAGE_CREATE", GROUP).mentioned
    assert read("GROUP_MESSAGE_CREATE", {**GROUP, "mentions": [{"is_you": True}]}).mentioned
    assert not read("GROUP_MESSAGE_CREATE", {**GROUP, "mentions": [{"id": "9"}, None]}).mentioned


def test_a_group_message_loses_our_mention_and_names_others():
    """tencent-connect/openclaw-qqbot: whoever is mentioned stands there by an openid, ourselves too."""
    listed = [
        {"id": "B0T", "is_you": True, "bot": True},
        {"member_openid": "M1", "username": "Ada"},
        {"id": "M2", "nickname": "Bob"},
        {"id": "M3"},
    ]
    said = {**GROUP, "mentions": listed}
    inbound = read("GROUP_MESSAGE_CREATE", {**said, "content": "<@B0T> /new"})
    assert (inbound.text, inbound.mentioned) == ("/new", True)
    asked = read("GROUP_MESSAGE_CREATE", {**said, "content": "<@M1> or <@!M2>, not <@M3>? <@B0T>"})
    assert asked.text == "@Ada or @Bob, not <@M3>?"


def test_a_face_is_told_by_its_name():
    """tencent-connect/openclaw-qqbot text-parsing: a face comes as a mark, its name in base64."""
    named = base64.b64encode('{"text":"呲牙"}'.encode()).decode()
    face = f'<faceType=1,faceId="13",ext="{named}">'
    assert read("C2C_MESSAGE_CREATE", {**C2C, "content": face}).text == "[呲牙]"
    assert read("GROUP_AT_MESSAGE_CREATE", {**GROUP, "content": f" ok{face}{face}!"}).text == "ok[呲牙][呲牙]!"
    for ext in ("", "?", "e30=", "WzFd", "eyJ0ZXh0IjoxfQ=="):
        odd = f'hi <faceType=3,faceId="",ext="{ext}">'
        assert read("C2C_MESSAGE_CREATE", {**C2C, "content": odd}).text == "hi [face]"
    quoted = {**C2C, "message_type": 103, "msg_elements": [{"content": face}]}
    assert read("C2C_MESSAGE_CREATE", quoted).quote == Quote("[呲牙]")


def test_a_guild_message_comes_as_it_was_typed():
    """bot-docs message_format.md: what could be a mark is escaped in guilds."""
    typed = {**GUILD, "content": "<@!5> if a &lt; b &amp;&amp; c &gt; d: &amp;lt;"}
    assert read("AT_MESSAGE_CREATE", typed).text == "if a < b && c > d: &lt;"
    assert read("C2C_MESSAGE_CREATE", {**C2C, "content": "&lt;"}).text == "&lt;"
    strange = f"http://a.test/?b=1&copy=2 &#{'9' * 5000};"
    assert read("AT_MESSAGE_CREATE", {**GUILD, "content": strange}).text == strange


def test_a_guild_message_loses_our_mention_and_keeps_others():
    inbound = read("AT_MESSAGE_CREATE", GUILD)
    assert (inbound.peer.chat_id, inbound.peer.chat_type) == ("88", "channel")
    assert (inbound.peer.user_id, inbound.peer.user_name) == ("99", "Ada")
    assert inbound.text == "what <@!6> said"
    assert read("AT_MESSAGE_CREATE", GUILD, bot_id="").text == "what <@!6> said"
    named = {**GUILD, "mentions": [*GUILD["mentions"], {"id": "6", "username": "Eve", "bot": False}]}
    assert read("AT_MESSAGE_CREATE", named).text == "what @Eve said"


def test_guild_talk_is_for_us_only_where_it_mentions_us():
    assert read("MESSAGE_CREATE", GUILD).mentioned
    assert not read("MESSAGE_CREATE", GUILD, bot_id="4").mentioned


def test_a_guild_direct_message_is_answered_to_the_guild_of_its_session():
    inbound = read("DIRECT_MESSAGE_CREATE", DIRECT)
    assert (inbound.peer.chat_id, inbound.peer.chat_type) == ("77", "dm")
    assert inbound.peer.extra == {"kind": "guild_dm"} and inbound.mentioned


def test_media_without_words_is_named_in_the_text():
    listed = [
        {"content_type": "image/png", "filename": "a.png", "size": 12, "url": "https://h/a"},
        {"content_type": "voice", "filename": "b.silk", "url": "//h/b"},
        {"content_type": "video/mp4", "url": "h/c"},
        {"content_type": "file", "filename": "d.pdf", "url": "https://h/d", "size": -1},
        {"content_type": "image/png"},
        "nonsense",
    ]
    inbound = read("C2C_MESSAGE_CREATE", {**C2C, "content": "", "attachments": listed})
    assert inbound.text == "[image] [audio] [video] [file]"
    assert [each.kind for each in inbound.attachments] == ["image", "audio", "video", "file"]
    urls = [each.ref["url"] for each in inbound.attachments]
    assert urls == ["https://h/a", "https://h/b", "https://h/c", "https://h/d"]
    assert inbound.attachments[0].size == 12 and inbound.attachments[3].size is None
    assert inbound.attachments[0].mime == "image/png" and inbound.attachments[1].mime == ""


def test_a_voice_message_says_what_the_platform_has_understood():
    """tencent-connect/openclaw-qqbot types: ``asr_refer_text`` beside a voice's address."""
    voice = {"content_type": "voice", "filename": "b.silk", "url": "//h/b", "asr_refer_text": "what time is it"}
    heard = read("C2C_MESSAGE_CREATE", {**C2C, "content": " ", "attachments": [voice]})
    assert (heard.text, heard.attachments[0].kind) == ("what time is it", "audio")
    both = [voice, {**voice, "asr_refer_text": ""}, {"content_type": "image/png", "url": "https://h/a"}, None]
    assert read("C2C_MESSAGE_CREATE", {**C2C, "content": "", "attachments": both}).text == "what time is it"
    assert read("C2C_MESSAGE_CREATE", {**C2C, "attachments": [voice]}).text == "123"
    unheard = {**voice, "asr_refer_text": None}
    assert read("C2C_MESSAGE_CREATE", {**C2C, "content": "", "attachments": [unheard]}).text == "[audio]"


def test_words_beside_media_stay_as_they_are():
    listed = [{"content_type": "image/png", "url": "https://h/a"}]
    assert read("C2C_MESSAGE_CREATE", {**C2C, "attachments": listed}).text == "123"


def test_other_bots_are_told_apart_from_us_and_not_heard_where_that_cannot_be():
    bot = {"id": "99", "bot": True}
    assert read("AT_MESSAGE_CREATE", {**GUILD, "author": bot}).bot and not read("AT_MESSAGE_CREATE", GUILD).bot
    assert read("AT_MESSAGE_CREATE", {**GUILD, "author": {"id": "5"}}) is None
    assert read("AT_MESSAGE_CREATE", {**GUILD, "author": bot}, bot_id="") is None
    assert read("GROUP_AT_MESSAGE_CREATE", {**GROUP, "author": {**bot, "member_openid": "M9"}}) is None


@pytest.mark.parametrize("event", ["FRIEND_ADD", "GUILD_CREATE", "INTERACTION_CREATE", "RESUMED", "SOMETHING_NEW", ""])
def test_other_events_are_valid_but_not_for_us(event):
    assert read(event, {"anything": 1}) is None


@pytest.mark.parametrize(
    "event, d",
    [
        ("C2C_MESSAGE_CREATE", None),
        ("C2C_MESSAGE_CREATE", "text"),
        ("C2C_MESSAGE_CREATE", {**C2C, "id": ""}),
        ("C2C_MESSAGE_CREATE", {**C2C, "author": None}),
        ("C2C_MESSAGE_CREATE", {**C2C, "author": {}}),
        ("C2C_MESSAGE_CREATE", {**C2C, "content": {"a": 1}}),
        ("GROUP_AT_MESSAGE_CREATE", {**GROUP, "group_openid": 5}),
        ("AT_MESSAGE_CREATE", {**GUILD, "channel_id": None}),
        ("DIRECT_MESSAGE_CREATE", {**DIRECT, "guild_id": ""}),
    ],
)
def test_a_message_that_lacks_what_makes_it_one_is_a_bad_frame(event, d):
    with pytest.raises(BadFrame):
        read(event, d)


@pytest.mark.parametrize("stamp", [None, "", "yesterday", 12, "2023-11-06T13:37:18"])
def test_a_time_nobody_understands_is_no_time(stamp):
    assert read("C2C_MESSAGE_CREATE", {**C2C, "timestamp": stamp}).sent_at is None


@pytest.mark.thorough
def test_no_damage_to_a_message_raises_anything_but_a_bad_frame():
    draw = random.Random(7)
    events = [("C2C_MESSAGE_CREATE", C2C), ("GROUP_AT_MESSAGE_CREATE", GROUP), ("AT_MESSAGE_CREATE", GUILD)]
    junk = [None, True, 0, -1, "", "x", [], [None], {}, {"id": []}, 1e300]
    for _ in range(20_000):
        event, whole = draw.choice(events)
        d = copy.deepcopy(whole)
        for _ in range(draw.randint(1, 3)):
            d[draw.choice([*d, "attachments", "mentions"])] = draw.choice(junk)
        if isinstance(d.get("author"), dict) and draw.random() < 0.3:
            d["author"] = {"id": draw.choice(junk), "user_openid": draw.choice(junk), "bot": draw.choice(junk)}
        try:
            inbound = read(event, d)
        except BadFrame:
            continue
        assert inbound is None or (inbound.message_id and inbound.peer.chat_id and isinstance(inbound.text, str))


@pytest.mark.thorough
def test_twenty_thousand_mutated_frames_raise_nothing_but_bad_frame():
    draw = random.Random(20261120)
    media = [{"content_type": "image/png", "filename": "a.png", "size": 12, "url": "https://h/a"}]
    samples = [
        ("C2C_MESSAGE_CREATE", {**C2C, "attachments": media}),
        ("GROUP_AT_MESSAGE_CREATE", {**GROUP, "mentions": [{"is_you": True}]}),
        ("AT_MESSAGE_CREATE", GUILD),
        ("DIRECT_MESSAGE_CREATE", DIRECT),
    ]
    good = bad = 0
    for _ in range(20_000):
        event, d = draw.choice(samples)
        try:
            frame = decode(_damaged({"op": 0, "s": 7, "t": event, "d": d}, draw))
            inbound = parse(frame, "qq/a", draw.choice(["", "5"]))
        except BadFrame:
            bad += 1
            continue
        if inbound is not None:
            good += 1
            json.dumps([inbound.keys, inbound.text, dict(inbound.reply_ref), dict(inbound.peer.extra)])
    assert good > 1000 and bad > 1000


def _damaged(frame, draw):
    if draw.random() < 0.5:
        return json.dumps(mutant(frame, draw))
    raw = bytearray(json.dumps(frame).encode())
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(raw))
        raw[at : at + draw.randint(0, 3)] = bytes(draw.choices(b'{}[]":,0aT-+\\\xff', k=draw.randint(0, 3)))
    return bytes(raw)


def test_a_message_that_quotes_brings_the_first_of_its_elements():
    picture = {"content_type": "image/png", "url": "x/1", "filename": "a.png"}
    elements = [{"content": " one ", "attachments": [picture]}, {"content": "two"}]
    quoting = {"message_type": 103, "msg_elements": elements}
    quote = read("C2C_MESSAGE_CREATE", {**C2C, **quoting}).quote
    assert (quote.text, quote.attachments[0].name) == ("one", "a.png")
    named = {"message_type": 103, "msg_elements": [{"content": "x", "author": {"username": "Ada"}}]}
    assert read("GROUP_AT_MESSAGE_CREATE", {**GROUP, **named}).quote == Quote("x", "Ada")
    for odd in ([], [7], [{}], {}, None):
        assert read("C2C_MESSAGE_CREATE", {**C2C, "message_type": 103, "msg_elements": odd}).quote is None
    assert read("C2C_MESSAGE_CREATE", {**C2C, "msg_elements": [{"content": "merged"}]}).quote is None


def test_a_reaction_in_a_guild_names_its_message():
    d = {"user_id": "99", "guild_id": "77", "channel_id": "88", "emoji": {"id": "277", "type": 1}}
    added = {**d, "target": {"id": "08a1", "type": 0}}
    inbound = read("MESSAGE_REACTION_ADD", added)
    assert (inbound.reaction, inbound.message_id, inbound.text) == (Reaction("277"), "08a1", "")
    assert (inbound.peer.chat_id, inbound.peer.chat_type, inbound.peer.user_id) == ("88", "channel", "99")
    face = {**added, "emoji": {"id": "128077", "type": 2}}
    assert read("MESSAGE_REACTION_REMOVE", face).reaction == Reaction("👍", added=False)
    assert read("MESSAGE_REACTION_ADD", {**added, "emoji": {"id": "55296", "type": 2}}).reaction == Reaction("55296")
    for nothing in ({**added, "user_id": "5"}, d, {**added, "target": {"id": "x", "type": 3}}, {**added, "emoji": {}}):
        assert read("MESSAGE_REACTION_ADD", nothing) is None
