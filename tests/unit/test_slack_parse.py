"""What Slack tells of its events, as neutral messages."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from hermes_green.adapters.slack.parse import Bot, parse, plain, quoted
from hermes_green.core.errors import BadFrame
from hermes_green.core.loose import dict_of, object_in
from hermes_green.core.model import Inbound, Quote, Reaction

US = Bot("U0BOT", "B0BOT", "greenie")

DIRECT: dict[str, Any] = {
    "team_id": "T1",
    "api_app_id": "A1",
    "type": "event_callback",
    "event_id": "Ev1",
    "event_time": 1700000000,
    "authorizations": [{"enterprise_id": None, "team_id": "T1", "user_id": "U0BOT", "is_bot": True}],
    "event": {
        "type": "message",
        "channel_type": "im",
        "channel": "D1",
        "user": "U1",
        "text": "hello",
        "ts": "1700000000.000100",
        "event_ts": "1700000000.000100",
        "client_msg_id": "c-1",
        "blocks": [{"type": "rich_text", "elements": []}],
    },
}
FILE = {
    "id": "F1",
    "name": "cat.png",
    "mimetype": "image/png",
    "size": 42,
    "mode": "hosted",
    "url_private": "https://files.slack.com/files-pri/T1-F1/cat.png",
    "url_private_download": "https://files.slack.com/files-pri/T1-F1/download/cat.png",
}


def event(bot: Bot = US, **changes: Any) -> Inbound | None:
    payload = copy.deepcopy(DIRECT)
    payload["event"].update(changes)
    return parse(payload, "slack", bot)


def heard(bot: Bot = US, **changes: Any) -> Inbound:
    inbound = event(bot, **changes)
    assert inbound is not None
    return inbound


def test_a_direct_message_is_read():
    inbound = heard()
    assert inbound.keys == ("Ev1", "D1:1700000000.000100") and inbound.message_id == "1700000000.000100"
    assert (inbound.peer.chat_id, inbound.peer.chat_type, inbound.peer.user_id) == ("D1", "dm", "U1")
    assert inbound.peer.thread_id is None and inbound.mentioned and inbound.text == "hello"
    assert inbound.reply_ref == {"message_id": "1700000000.000100", "thread_ts": ""}
    assert inbound.sent_at == pytest.approx(1700000000.0001)


@pytest.mark.parametrize(
    "channel_type, channel, expected",
    [("im", "D1", "dm"), ("mpim", "G1", "group"), ("channel", "C1", "channel"), ("group", "C2", "channel")],
)
def test_the_kinds_of_chat(channel_type, channel, expected):
    assert heard(channel_type=channel_type, channel=channel).peer.chat_type == expected


def test_a_question_in_a_channel_opens_a_thread_and_stays_in_it():
    first = heard(channel_type="channel", channel="C1", text="<@U0BOT> hi")
    assert first.peer.thread_id == first.message_id == first.reply_ref["thread_ts"]
    later = heard(channel_type="channel", channel="C1", ts="1700000009.000100", thread_ts=first.message_id)
    assert later.peer.thread_id == first.message_id


def test_a_thread_in_a_direct_chat_is_kept():
    inbound = heard(thread_ts="1600000000.000100")
    assert inbound.peer.thread_id == inbound.reply_ref["thread_ts"] == "1600000000.000100"


def test_a_mention_and_its_message_share_a_key():
    message = heard(channel_type="channel", channel="C1", text="<@U0BOT> hi")
    mention = heard(type="app_mention", channel="C1", text="<@U0BOT> hi", channel_type=None)
    assert set(message.keys) & set(mention.keys) and mention.mentioned and message.mentioned
    assert (message.peer.thread_id, message.text) == (mention.peer.thread_id, mention.text)


@pytest.mark.parametrize(
    "text, ours", [("<@U0BOT> hi", True), ("hi <@U0BOT|green>", True), ("<@U0BOTTOM> hi", False), ("hi", False)]
)
def test_only_our_own_mention_is_ours(text, ours):
    assert heard(channel_type="channel", channel="C1", text=text).mentioned is ours


def test_the_event_tells_who_we_are_when_nobody_else_has():
    inbound = heard(Bot(), channel_type="channel", channel="C1", text="<@U0BOT> hi")
    assert inbound.mentioned and inbound.text == "hi"
    assert event(Bot(), user="U0BOT") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"subtype": "message_changed"},
        {"subtype": "message_deleted"},
        {"subtype": "channel_join"},
        {"bot_id": "B0BOT", "user": "U0BOT"},
        {"bot_id": "B0BOT", "user": "U7"},
        {"bot_id": "B0X", "user": "U7", "app_id": "A1"},
        {"user": "U0BOT"},
        {"user": "USLACKBOT"},
        {"type": "reaction_added"},
        {"type": "reaction_added", "user": "U0BOT", "item": {"type": "message", "channel": "C1", "ts": "1.0"}},
        {"type": "reaction_removed", "item": {"type": "file"}},
        {"type": "something_new"},
    ],
)
def test_what_no_person_wrote_is_not_for_us(changes):
    assert event(**changes) is None


def test_a_reaction_names_its_message():
    item = {"type": "message", "channel": "C1", "ts": "1.5"}
    inbound = heard(type="reaction_added", user="U7", reaction="tada", item=item, event_ts="2.0")
    assert (inbound.reaction, inbound.message_id, inbound.text) == (Reaction("tada"), "1.5", "")
    assert (inbound.peer.chat_id, inbound.peer.chat_type, inbound.peer.user_id) == ("C1", "channel", "U7")
    assert heard(type="reaction_removed", user="U7", reaction="tada", item=item).reaction == Reaction("tada", False)
    with pytest.raises(BadFrame):
        event(type="reaction_added", user="U7", reaction="tada", item={"type": "message"})


def test_what_other_bots_write_is_told_apart_and_nothing_is_while_we_do_not_know_who_we_are():
    assert not heard().bot
    other = heard(bot_id="B0OTHER", user="U7", app_id="A7")
    assert other.bot and other.peer.user_id == "U7"
    assert heard(subtype="bot_message", bot_id="B0OTHER", user=None).peer.user_id == "B0OTHER"
    assert heard(subtype="bot_message", user="U7").bot, "a webhook that names nobody else"
    nobody = {**DIRECT, "event": {**DIRECT["event"], "bot_id": "B0OTHER"}, "authorizations": []}
    assert parse(nobody, "slack", Bot()) is None


@pytest.mark.parametrize("subtype", ["file_share", "thread_broadcast", "me_message"])
def test_three_subtypes_are_people_s_words(subtype):
    assert heard(subtype=subtype).text == "hello"


@pytest.mark.parametrize(
    "raw, shown",
    [
        ("a &amp; b &lt;c&gt; &amp;lt;", "a & b <c> &lt;"),
        ("<@U0BOT> hi", "hi"),
        ("so <@U0BOT> what", "so what"),
        ("ask <@U7> or <@U8|bob>", "ask @U7 or @bob"),
        ("see <#C1|general> and <#C2>", "see #general and #C2"),
        ("<!here> <!channel> <!subteam^S1|@ops> <!subteam^S2>", "@here @channel @ops subteam^S2"),
        ("<https://x.y/?a=1&amp;b=2>", "https://x.y/?a=1&b=2"),
        ("<https://x.y|words> <https://x.y|https://x.y>", "[words](https://x.y) https://x.y"),
        ("<mailto:a@b.c|a@b.c>", "a@b.c"),
        ("1 < 2 and <> stay", "1 < 2 and <> stay"),
        ("*bold* _it_ `code`", "*bold* _it_ `code`"),
        ("x" * 3, "xxx"),
    ],
)
def test_words_are_read_as_people_see_them(raw, shown):
    assert plain(raw, "U0BOT") == shown


def test_files_are_described():
    inbound = heard(subtype="file_share", text="look", files=[FILE, {**FILE, "mode": "tombstone"}, {"id": ""}, 7])
    (attachment,) = inbound.attachments
    assert (attachment.kind, attachment.name, attachment.size) == ("image", "cat.png", 42)
    assert attachment.ref["url"].endswith("/download/cat.png") and inbound.text == "look"


@pytest.mark.parametrize(
    "mime, kind", [("image/gif", "image"), ("audio/mp4", "audio"), ("video/mp4", "video"), ("text/plain", "file")]
)
def test_a_message_of_files_alone_says_what_they_are(mime, kind):
    assert heard(text="", files=[{**FILE, "mimetype": mime}]).text == f"[{kind}]"


def test_what_cannot_be_carried_is_named():
    assert heard(text="", files=[{**FILE, "mode": "hidden_by_limit"}]).text == "[file]"
    assert heard(text="", attachments=[{"fallback": "x"}]).text == "[card]"


def test_a_message_shared_from_elsewhere_is_quoted():
    shared = {"is_share": True, "author_name": "Bob", "text": "two\nlines &amp; more"}
    inbound = heard(text="see", attachments=[shared])
    assert (inbound.text, inbound.quote) == ("see", Quote("two\nlines & more", "Bob"))
    assert heard(text="", attachments=[shared]).text == ""
    both = heard(text="see", attachments=[shared, {"is_msg_unfurl": True, "text": "three"}])
    assert both.quote == Quote("Bob: two\nlines & more\nthree")


def test_what_opened_a_thread_can_be_asked_for():
    quote = heard(thread_ts="1.0").quote
    assert quote.opens and quote.ref == {"channel": heard().peer.chat_id, "ts": "1.0"} and quote.text == ""
    assert heard().quote is None and heard(thread_ts=heard().message_id).quote is None
    picture = {**FILE, "mimetype": "image/png"}
    asked = quoted({"user": "U1", "text": "&lt;b&gt;", "ts": "1.0", "files": [picture]}, Bot())
    assert (asked.text, asked.author, len(asked.attachments)) == ("<b>", "U1", 1)
    assert quoted({"bot_id": "B1", "ts": "1"}, Bot("U9", "B1", "me")).author == "me"


@pytest.mark.parametrize("subtype", ["channel_topic", "pinned_item", "huddle_thread", "message_replied", "tombstone"])
def test_what_a_channel_tells_of_itself_is_known(subtype):
    assert event(subtype=subtype) is None


@pytest.mark.parametrize("subtype", ["hologram", "message", "pinned_item_of_tomorrow"])
def test_a_subtype_that_nobody_knows_yet_is_bad(subtype):
    with pytest.raises(BadFrame):
        event(subtype=subtype)


@pytest.mark.parametrize("missing", ["channel", "ts", "user"])
def test_a_message_without_what_makes_it_one_is_bad(missing):
    with pytest.raises(BadFrame):
        event(**{missing: None})


@pytest.mark.parametrize("payload", [{}, {"type": "event_callback"}, {"type": "event_callback", "event": 7}])
def test_an_event_that_lacks_its_event_is_bad_and_what_is_none_is_passed_over(payload):
    with pytest.raises(BadFrame):
        parse(payload, "slack")
    assert parse({"type": "app_rate_limited"}, "slack") is None


def test_half_a_surrogate_pair_can_be_stored():
    assert heard(text=json.loads('"\\ud83d x"')).text == "? x"


@pytest.mark.thorough
def test_twenty_thousand_mutated_frames_find_no_other_error():
    draw = random.Random(20261120)
    payload = copy.deepcopy(DIRECT)
    payload["event"].update(files=[FILE], attachments=[{"is_share": True, "text": "<@U7>", "author_name": "b"}])
    base = json.dumps({"envelope_id": "e", "type": "events_api", "payload": payload})
    good = bad = 0
    for _ in range(20_000):
        frame = _broken(draw, base)
        try:
            inbound = parse(dict_of(object_in(frame).get("payload")), "slack", US)
            if inbound is not None:
                good += 1
                json.dumps(inbound.text).encode()
        except BadFrame:
            bad += 1
    assert good > 1000 and bad > 1000


def _broken(draw: random.Random, base: str) -> str:
    if draw.random() < 0.5:
        data = list(base)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = chr(draw.randrange(32, 127))
        return "".join(data)
    value = json.loads(base)
    holder: Any = value
    for _ in range(draw.randint(1, 6)):
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            break
        key = draw.choice(keys)
        if isinstance(holder[key], (dict, list)) and draw.random() < 0.7:
            holder = holder[key]
            continue
        holder[key] = draw.choice([None, 7, -1.5, True, "", "x", [], {}, [[]], {"a": 1}, "\ud800"])
    return json.dumps(value)


def test_whose_words_are_quoted_is_not_guessed():
    posted = {"ts": "1774000001.000100", "text": "deployed", "username": "hook"}
    assert quoted(posted, Bot("U0ME", "", "me")).author == "hook"
    assert quoted({**posted, "user": "U0ME"}, Bot("U0ME", "", "me")).author == "me"
