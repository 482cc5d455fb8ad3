"""Every event of the long connection becomes the right neutral message, or none, or a BadFrame."""

import copy
import json
import random

import pytest

from hermes_green.adapters.feishu.parse import Bot, parse, quoted
from hermes_green.core.errors import BadFrame
from hermes_green.core.model import Attachment, Peer, Quote, Reaction

ME = Bot(open_id="ou_bot", name="Green")
MENTION_ME = {
    "key": "@_user_1",
    "id": {"open_id": "ou_bot", "union_id": "on_bot", "user_id": ""},
    "name": "Green",
    "mentioned_type": "bot",
    "tenant_key": "t",
}
MENTION_ANN = {"key": "@_user_2", "id": {"open_id": "ou_ann"}, "name": "Ann", "mentioned_type": "user"}


def message(text=None, *, kind="text", content=None, sender="user", **fields):
    """An im.message.receive_v1 event, as recorded; ``fields`` override those of the message."""
    body = {
        "message_id": "om_x100b55",
        "create_time": "1774004597216",
        "update_time": "1774004597216",
        "chat_id": "oc_e95",
        "chat_type": "p2p",
        "message_type": kind,
        "content": content if isinstance(content, str) else json.dumps({"text": text} if content is None else content),
        "user_agent": "Mozilla/5.0 Lark/7.64.6",
        **fields,
    }
    return {
        "schema": "2.0",
        "header": {
            "event_id": "f2c61a",
            "token": "",
            "create_time": "1774004597520",
            "event_type": "im.message.receive_v1",
            "tenant_key": "114effbf324f175f",
            "app_id": "cli_a9394c7bc1f89cc1",
        },
        "event": {
            "sender": {
                "sender_id": {"open_id": "ou_3d", "union_id": "on_53", "user_id": None},
                "sender_type": sender,
                "tenant_key": "11",
            },
            "message": body,
        },
    }


def with_content(raw):
    event = message("x")
    event["event"]["message"]["content"] = raw
    return event


def other(event_type, **event):
    return {"schema": "2.0", "header": {"event_id": "e1", "event_type": event_type}, "event": event}


def read(event, bot=ME):
    return parse(json.dumps(event).encode(), child="feishu/a", bot=bot)


def test_a_direct_message_becomes_an_inbound_with_both_keys():
    got = read(message("hello"))
    assert got.keys == ("f2c61a", "om_x100b55")
    assert got.peer == Peer(child="feishu/a", chat_id="oc_e95", chat_type="dm", user_id="ou_3d")
    assert (got.text, got.mentioned, got.sent_at) == ("hello", True, 1774004597.216)
    assert got.message_id == "om_x100b55"
    assert dict(got.reply_ref) == {"message_id": "om_x100b55"}


def test_our_own_mention_is_removed_and_counts_as_being_addressed():
    event = message("@_user_1 ask @_user_2 now", chat_type="group", mentions=[MENTION_ME, MENTION_ANN])
    got = read(event)
    assert (got.text, got.mentioned, got.peer.chat_type) == ("ask @Ann now", True, "group")


def test_a_mention_of_somebody_else_does_not_address_us():
    got = read(message("@_user_2 hi", chat_type="group", mentions=[MENTION_ANN]))
    assert (got.text, got.mentioned) == ("@Ann hi", False)


def test_everybody_is_named_but_is_not_us():
    got = read(message("@_all lunch", chat_type="group"))
    assert (got.text, got.mentioned) == ("@all lunch", False)


def test_ten_mentions_do_not_replace_each_others_prefix():
    mentions = [{"key": f"@_user_{n}", "id": {"open_id": f"ou_{n}"}, "name": f"N{n}"} for n in range(1, 12)]
    assert read(message("@_user_11 @_user_1", chat_type="group", mentions=mentions)).text == "@N11 @N1"


def test_indentation_and_double_blanks_survive_a_mention():
    event = message("@_user_1 def f():\n    return  1", chat_type="group", mentions=[MENTION_ME])
    assert read(event).text == "def f():\n    return  1"


def test_without_knowing_ourselves_a_mentioned_bot_of_our_name_or_any_bot_is_us():
    event = message("@_user_1 hi", chat_type="group", mentions=[MENTION_ME])
    assert read(event, Bot()).mentioned
    assert read(event, Bot(name="Green")).text == "hi"
    assert not read(event, Bot(name="Blue")).mentioned
    assert not read(message("@_user_2 hi", chat_type="group", mentions=[MENTION_ANN]), Bot()).mentioned


def test_a_message_in_a_thread_is_answered_in_it():
    got = read(message("x", chat_type="group", thread_id="omt_1", root_id="om_r", parent_id="om_r"))
    assert got.peer.thread_id == "omt_1"
    assert dict(got.reply_ref) == {"message_id": "om_x100b55", "in_thread": True}


def test_a_quoting_reply_is_no_thread():
    got = read(message("x", root_id="om_r", parent_id="om_r"))
    assert got.peer.thread_id is None and "in_thread" not in got.reply_ref


POST = {
    "title": "Plan",
    "content": [
        [{"tag": "at", "user_id": "@_user_1", "user_name": "Green"}, {"tag": "text", "text": " look at "}]
        + [{"tag": "a", "text": "this", "href": "https://x.test/1"}],
        [{"tag": "img", "image_key": "img_v3_1"}],
        [{"tag": "code_block", "language": "PYTHON", "text": "print(1)\n"}, {"tag": "emotion", "emoji_type": "SMILE"}],
        [{"tag": "hr"}],
    ],
}


@pytest.mark.parametrize("content", [POST, {"zh_cn": POST}])
def test_a_rich_text_becomes_plain_text_with_its_images(content):
    got = read(message(kind="post", content=content, chat_type="group", mentions=[MENTION_ME]))
    assert got.text == "Plan\nlook at [this](https://x.test/1)\n[image]\n```python\nprint(1)\n```\n:SMILE:\n---"
    assert got.mentioned
    assert got.attachments == (
        Attachment("image", ref={"message_id": "om_x100b55", "key": "img_v3_1", "type": "image"}),
    )


@pytest.mark.parametrize(
    "kind, content, text, media",
    [
        ("image", {"image_key": "img_1"}, "[image]", ("image", "img_1", "image")),
        ("file", {"file_key": "file_1", "file_name": "a.pdf"}, "[file: a.pdf]", ("file", "file_1", "file")),
        ("audio", {"file_key": "file_2", "duration": 2000}, "[audio]", ("audio", "file_2", "file")),
        (
            "media",
            {"file_key": "file_3", "image_key": "i", "file_name": "b.mp4"},
            "[video: b.mp4]",
            ("video", "file_3", "file"),
        ),
        ("sticker", {"file_key": "file_4"}, "[sticker]", None),
        ("interactive", {"title": "", "elements": []}, "[card]", None),
        ("interactive", {"template_id": "t"}, "[card]", None),
        (
            "interactive",
            {"title": "Build 7", "elements": [[{"tag": "text", "text": "broke "}, {"tag": "button", "text": "Why"}]]},
            "Build 7\nbroke Why",
            None,
        ),
        ("share_chat", {"chat_id": "oc_1"}, "[shared chat]", None),
        ("share_user", {"user_id": "ou_1"}, "[shared contact]", None),
        ("merge_forward", {"content": "Merged and Forwarded Message"}, "[forwarded messages]", None),
        ("location", {"name": "Here", "longitude": "1", "latitude": "2"}, "[location: Here 2 1]", None),
        ("vote", {"topic": "Lunch?", "options": ["a", "b"]}, "[vote: Lunch?]", None),
        ("video_chat", {"topic": "Weekly", "start_time": "1"}, "[video call: Weekly]", None),
        ("share_calendar_event", {"summary": "Review", "start_time": "1"}, "[calendar event: Review]", None),
        ("general_calendar", {"summary": ""}, "[calendar event]", None),
        ("hongbao", {"text": "[红包]"}, "[red packet]", None),
        ("hologram", {"a": 1}, "[hologram]", None),
    ],
)
def test_other_kinds_are_named_and_their_media_attached(kind, content, text, media):
    got = read(message(kind=kind, content=content))
    assert got.text == text and got.strange == ("hologram" if kind == "hologram" else "")
    if media is None:
        assert got.attachments == ()
    else:
        (attachment,) = got.attachments
        ref = {"message_id": "om_x100b55", "key": media[1], "type": media[2]}
        assert (attachment.kind, dict(attachment.ref)) == (media[0], ref)


@pytest.mark.parametrize(
    "event",
    [
        message(kind="system", content={"template": "{from_user} joined"}),
        other("im.chat.access_event.bot_p2p_chat_entered_v1", chat_id="oc_1", operator_id={"open_id": "ou_1"}),
        other("im.message.reaction.created_v1", message_id="om_1", operator_type="app", reaction_type={}),
        other("im.message.recalled_v1", message_id="om_1", chat_id="oc_1", recall_type="message_owner"),
        other("im.message.message_read_v1", reader={}, message_id_list=["om_1"]),
        other("im.chat.member.bot.added_v1", chat_id="oc_1", operator_id={}, external=False, name="g"),
        other("im.chat.member.bot.deleted_v1", chat_id="oc_1", operator_id={}),
        other("card.action.trigger", operator={"open_id": "ou_1"}, token="c-1", action={"value": {}}),
        other("something.new_v9"),
        {"uuid": "1", "type": "event_callback", "event": {"type": "message"}},
        {},
    ],
    ids=lambda event: event.get("header", {}).get("event_type", "old"),
)
def test_what_is_valid_and_not_a_users_message_is_none(event):
    assert read(event) is None


def test_our_own_message_is_none():
    event = message("x")
    event["event"]["sender"]["sender_id"]["open_id"] = "ou_bot"
    assert read(event) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"x"',
        b"{" * 5000,
        b"[" * 100_000,
        json.dumps({**message("x"), "event": {}}).encode(),
        json.dumps(message("x", message_id="")).encode(),
        json.dumps(message("x", message_id=7)).encode(),
        json.dumps(message("x", chat_id=None)).encode(),
        json.dumps(message("x")).encode()[:-9],
        json.dumps(with_content("{")).encode(),
        json.dumps(with_content(5)).encode(),
        json.dumps(with_content([])).encode(),
    ],
)
def test_what_is_no_event_or_no_message_is_a_bad_frame(raw):
    with pytest.raises(BadFrame):
        parse(raw, child="c", bot=ME)


@pytest.mark.parametrize("raw", [None, ""])
def test_a_message_without_content_is_one_without_words(raw):
    assert read(with_content(raw)).text == ""


def test_half_a_surrogate_pair_becomes_storable_text():
    raw = json.dumps(message("a\ud83d")).encode()
    assert parse(raw, child="c", bot=ME).text == "a?"


def test_a_time_that_is_nonsense_is_unknown():
    for value in ("", "soon", "-5", None, 12, "9" * 400, "٣"):
        assert read(message("x", create_time=value)).sent_at is None


@pytest.mark.thorough
def test_twenty_thousand_mutated_events_never_raise_anything_but_bad_frame():
    rng = random.Random(20)
    seeds = [
        json.dumps(message("@_user_1 hi", chat_type="group", mentions=[MENTION_ME], thread_id="omt_1")),
        json.dumps(message(kind="post", content=POST)),
        json.dumps(message(kind="file", content={"file_key": "k", "file_name": "n"})),
    ]
    values = [None, 0, -1, 1.5, True, "", "x", [], {}, [[]], [None], {"a": None}, "\ud800", "@_user_1", "9" * 30]
    for _ in range(10_000):
        raw = bytearray(rng.choice(seeds).encode())
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(len(raw))] = rng.choice(b'{}[]",:\\0aZ\x00\xff')
        _quietly(bytes(raw))
    for _ in range(10_000):
        event = json.loads(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            _spoil(event, rng, values)
        _quietly(json.dumps(event).encode())


def _spoil(node, rng, values):
    """Replace or drop one value somewhere in the tree."""
    while True:
        if isinstance(node, str) or not node:
            return
        where = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        child = node[where]
        if isinstance(child, str) and where == "content" and rng.random() < 0.7:
            try:
                inner = json.loads(child)
            except ValueError:
                return
            _spoil(inner, rng, values)
            node[where] = json.dumps(inner)
            return
        if isinstance(child, (dict, list)) and child and rng.random() < 0.8:
            node = child
            continue
        if rng.random() < 0.3 and isinstance(node, dict):
            del node[where]
        else:
            node[where] = copy.deepcopy(rng.choice(values))
        return


def _quietly(raw):
    try:
        got = parse(raw, child="c", bot=ME)
    except BadFrame:
        return
    if got is not None:
        json.dumps([got.keys, got.text, got.message_id, dict(got.reply_ref)], ensure_ascii=False).encode("utf-8")


def test_an_element_of_a_kind_that_nobody_knows_yet_is_named_in_its_place():
    row = [{"tag": "text", "text": "see "}, {"tag": "hologram", "x": 1}, {"tag": "text", "text": ""}, {"text": " here"}]
    assert read(message(kind="post", content={"title": "", "content": [row]})).text == "see [hologram] here"


def test_a_reaction_is_known_by_its_event_and_its_message_and_not_by_its_chat():
    said = {"message_id": "om_1", "operator_type": "user", "user_id": {"open_id": "ou_ann"}, "action_time": "17"}
    inbound = read(other("im.message.reaction.created_v1", **said, reaction_type={"emoji_type": "OK"}))
    assert (inbound.reaction, inbound.keys, inbound.message_id, inbound.text) == (Reaction("OK"), ("e1",), "om_1", "")
    assert (inbound.peer, inbound.quote.ref) == (Peer("feishu/a", "", "dm", user_id="ou_ann"), {"message_id": "om_1"})
    gone = read(other("im.message.reaction.deleted_v1", **said, reaction_type={"emoji_type": "OK"}))
    assert gone.reaction == Reaction("OK", added=False)
    assert read(other("im.message.reaction.created_v1", **said, reaction_type={})) is None


def test_other_bots_are_told_apart_from_us_and_not_heard_while_that_cannot_be():
    assert read(message("x", sender="app")).bot and not read(message("x")).bot
    assert read(message("x", sender="app"), Bot("ou_3d")) is None and read(message("x"), Bot("ou_3d")) is None
    assert read(message("x", sender="app"), Bot()) is None


def test_what_a_message_answers_is_known_by_its_id_and_asked_for():
    quote = read(message("x", root_id="om_1", parent_id="om_2")).quote
    assert quote == Quote(message_id="om_2", ref={"message_id": "om_2"})
    assert read(message("x", root_id="om_1", parent_id="om_1", thread_id="omt_1")).quote.opens
    assert read(message("x")).quote is None


def told(kind, content, sender="ou_ann", **more):
    body = {"content": json.dumps(content)}
    return {"message_id": "om_2", "msg_type": kind, "body": body, "sender": {"id": sender}, **more}


def test_what_was_forwarded_as_one_is_asked_for_by_the_message_that_holds_it():
    sentence = "Merged and Forwarded Message"  # which may stand there instead of JSON
    for place in ({}, {"thread_id": "omt_1", "parent_id": "om_0"}, {"content": sentence}):
        got = read(message(kind="merge_forward", **{"content": {"content": sentence}, **place}))
        assert got.text == "[forwarded messages]"
        assert got.quote == Quote(message_id="om_x100b55", ref={"message_id": "om_x100b55"})


def test_a_message_that_was_asked_for_says_what_it_says_to_people():
    ann = [{"key": "@_user_1", "id": "ou_bob", "name": "Bob"}]
    assert quoted(told("text", {"text": "hi @_user_1"}, mentions=ann), "cli", ME) == Quote("hi @Bob", "ou_ann", "om_2")
    assert quoted(told("text", {"text": "mine"}, "cli"), "cli", ME).author == ME.name
    picture = quoted(told("image", {"image_key": "k"}), "cli", ME)
    assert picture.text == "[image]" and picture.attachments[0].ref["message_id"] == "om_2"
    a, b, c = ({"tag": "text", "text": text} for text in "abc")
    card = {"title": "T", "elements": [[a, b], [c]]}
    assert quoted(told("interactive", card), "cli", ME).text == "T\nab\nc"
    within = {"msg_type": "merge_forward", "body": {"content": "Merged and Forwarded Message"}}
    assert quoted(within, "cli", ME).text == "[forwarded messages]"
    with pytest.raises(BadFrame):
        quoted({"body": {"content": "no json"}}, "cli", ME)
