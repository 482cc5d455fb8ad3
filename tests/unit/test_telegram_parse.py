"""What becomes of Telegram's updates."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hermes_green.adapters.telegram.parse import ASKED, Bot, album_of, gathered, moved, parse, update_id_of
from hermes_green.core.errors import BadFrame
from hermes_green.core.model import Inbound, Quote, Reaction
from tests.support.mutants import mutant

BOT = Bot(110, "green_bot", True)


def message(**more: Any) -> dict[str, Any]:
    return {
        "message_id": 5,
        "from": {"id": 7, "is_bot": False, "first_name": "Ann", "last_name": "Lee"},
        "chat": {"id": 7, "type": "private", "first_name": "Ann"},
        "date": 1_700_000_000,
        "text": "hello",
        **more,
    }


def update(kind: str = "message", **more: Any) -> dict[str, Any]:
    return {"update_id": 1000, kind: message(**more)}


def read(*updates: Any, bot: Bot = BOT) -> Inbound:
    inbound = parse(updates, "telegram", bot)
    assert inbound is not None
    return inbound


GROUP = {"id": -1001, "type": "supergroup", "title": "G"}


def test_a_direct_message() -> None:
    inbound = read(update())
    assert inbound.keys == ("7:5",)
    assert (inbound.peer.chat_id, inbound.peer.chat_type, inbound.peer.user_id) == ("7", "dm", "7")
    assert (inbound.peer.user_name, inbound.text, inbound.mentioned) == ("Ann Lee", "hello", True)
    assert inbound.sent_at == 1_700_000_000 and inbound.reply_ref == {}


def test_message_ids_of_two_chats_are_two_keys() -> None:
    assert read(update(chat=GROUP)).keys != read(update()).keys


def test_an_edit_has_a_key_and_a_time_of_its_own() -> None:
    inbound = read(update("edited_message", edit_date=1_700_000_060))
    assert (inbound.keys, inbound.message_id, inbound.sent_at) == (("7:5:1700000060",), "5", 1_700_000_060)


def test_an_edit_without_words_is_not_for_us() -> None:
    moved_on = message(edit_date=1, location={"latitude": 1, "longitude": 2})
    del moved_on["text"]
    assert parse([{"update_id": 1, "edited_message": moved_on}], "telegram", BOT) is None


@pytest.mark.parametrize(
    "text, entities, heard, mentioned",
    [
        ("@green_bot hi", [("mention", 0, 10)], "hi", True),
        ("@Green_Bot hi", [("mention", 0, 10)], "hi", True),
        ("hi @green_bot", [("mention", 3, 10)], "hi", True),
        ("hi @green_bot, you", [("mention", 3, 10)], "hi , you", True),
        ("😀 @green_bot hi", [("mention", 3, 10)], "😀 hi", True),
        ("@green_bot", [], "@green_bot", False),
        ("@green_bots hi", [("mention", 0, 11)], "@green_bots hi", False),
        ("/new@green_bot x", [("bot_command", 0, 14)], "/new x", True),
        ("see /new@red_bot", [("bot_command", 4, 12)], "see /new@red_bot", False),
        ("/new x", [("bot_command", 0, 4)], "/new x", False),
        ("hello", [], "hello", False),
    ],
)
def test_who_is_addressed_stands_in_entities(text: str, entities: Any, heard: str, mentioned: bool) -> None:
    listed = [{"type": kind, "offset": offset, "length": length} for kind, offset, length in entities]
    inbound = read(update(chat=GROUP, text=text, entities=listed))
    assert (inbound.text, inbound.mentioned) == (heard, mentioned)


def test_where_words_lead_is_told_with_them() -> None:
    link = {"type": "text_link", "offset": 7, "length": 4, "url": "https://x.test/a(b)"}
    assert read(update(text="😀 see docs now", entities=[link])).text == "😀 see [docs](https://x.test/a(b)) now"
    us = {"type": "mention", "offset": 0, "length": 10}
    inbound = read(update(chat=GROUP, text="@green_bot hi", entities=[{**link, "offset": 11, "length": 2}, us]))
    assert (inbound.text, inbound.mentioned) == ("[hi](https://x.test/a(b))", True)
    other = read(update(chat=GROUP, text="hi", entities=[{**link, "offset": 0, "length": 2}, {**link, "url": None}]))
    assert (other.text, other.mentioned) == ("[hi](https://x.test/a(b))", False)
    beside = {**link, "offset": 11, "url": "https://y.test"}
    text = read(update(text="😀 see docsmore", entities=[link, beside])).text
    assert text == "😀 see [docs](https://x.test/a(b))[more](https://y.test)"


def test_a_group_s_command_for_another_bot_is_not_for_us_even_where_nobody_need_mention_us() -> None:
    entities = [{"type": "bot_command", "offset": 0, "length": 12}]
    ours = {"message_id": 3, "from": {"id": 110, "is_bot": True}}
    for more in ({}, {"reply_to_message": ours}):
        told = update(chat=GROUP, text="/new@red_bot x", entities=entities, **more)
        assert parse([told], "telegram", BOT) is None
    assert read(update(text="/new@red_bot x", entities=entities)).text == "/new@red_bot x"


def test_a_bot_without_a_username_s_worth_is_mentioned_by_its_id() -> None:
    entity = {"type": "text_mention", "offset": 0, "length": 5, "user": {"id": 110}}
    inbound = read(update(chat=GROUP, text="Green hi", entities=[entity]))
    assert (inbound.text, inbound.mentioned) == ("hi", True)


def test_a_command_for_nobody_is_ours_where_we_only_get_what_is_ours() -> None:
    command = update(chat=GROUP, text="/new", entities=[{"type": "bot_command", "offset": 0, "length": 4}])
    assert read(command, bot=Bot(110, "green_bot", False)).mentioned
    assert not read(command).mentioned


def test_a_reply_to_us_addresses_us_but_what_opened_a_topic_does_not() -> None:
    ours = {"message_id": 3, "from": {"id": 110, "is_bot": True}}
    assert read(update(chat=GROUP, reply_to_message=ours)).mentioned
    topic = {"message_thread_id": 3, "is_topic_message": True}
    assert not read(update(chat=GROUP, reply_to_message=ours, **topic)).mentioned


def test_topics_are_threads_and_threads_of_replies_are_none() -> None:
    assert read(update(chat=GROUP, message_thread_id=9, is_topic_message=True)).peer.thread_id == "9"
    assert read(update(chat=GROUP, message_thread_id=9)).peer.thread_id is None


def test_other_bots_are_told_apart_from_us_and_from_groups_and_channels_that_speak() -> None:
    assert parse([update(**{"from": {"id": 110, "is_bot": True}})], "telegram", BOT) is None
    assert read(update(**{"from": {"id": 8, "is_bot": True}})).bot and not read(update()).bot
    anonymous = update(chat=GROUP, sender_chat=GROUP, **{"from": {"id": 1087968824, "is_bot": True}})
    assert read(anonymous).peer.user_id == "-1001" and not read(anonymous).bot
    channel = {"id": -1002, "type": "channel", "title": "News"}
    post = message(chat=channel, sender_chat=channel)
    del post["from"]
    inbound = read({"update_id": 1, "channel_post": post})
    assert (inbound.peer.chat_type, inbound.peer.user_id, inbound.peer.user_name) == ("channel", "-1002", "News")


def test_the_largest_size_of_a_photo_is_taken_with_its_caption() -> None:
    photo = [{"file_id": "s", "file_size": 1}, {"file_id": "l", "file_size": 99}]
    body = message(photo=photo, caption="look")
    del body["text"]
    (item,) = read({"update_id": 1, "message": body}).attachments
    assert (item.kind, item.ref, item.size) == ("image", {"file_id": "l"}, 99)


def test_an_album_is_gathered_and_read_as_one() -> None:
    def item(number: int, group: str, **more: Any) -> dict[str, Any]:
        body = message(message_id=number, media_group_id=group, photo=[{"file_id": f"f{number}"}], **more)
        del body["text"]
        return {"update_id": number, "message": body}

    single = update()
    groups = list(gathered([item(1, "a", caption="one"), item(2, "a"), single, item(3, "b"), item(4, "c")]))
    assert [len(group) for group in groups] == [2, 1, 1, 1]
    inbound = read(*groups[0])
    assert (inbound.text, inbound.keys, len(inbound.attachments)) == ("one", ("7:1", "7:2"), 2)
    assert read(*list(gathered([item(1, "a"), item(2, "a")]))[0]).text == "[image]"
    bracketed = read(item(1, "a"), item(2, "a", caption="[2] is the broken one"), item(3, "a", caption="see [2]"))
    assert bracketed.text == "[2] is the broken one\nsee [2]"
    called = {"caption": "@green_bot", "caption_entities": [{"type": "mention", "offset": 0, "length": 10}]}
    assert read(item(1, "a", **called), item(2, "a", caption="hi")).text == "hi"
    assert album_of(single) == "" and album_of(None) == ""


def test_a_move_is_seen_from_both_sides() -> None:
    assert moved(update(chat={"id": -5, "type": "group"}, migrate_to_chat_id=-1005)) == ("-5", "-1005")
    assert moved(update(chat={"id": -1005, "type": "supergroup"}, migrate_from_chat_id=-5)) == ("-5", "-1005")
    assert moved(update()) is None and moved("x") is None


def test_half_a_surrogate_pair_can_be_stored_wherever_it_stands() -> None:
    sender = {"id": 7, "is_bot": False, "first_name": "An\ud83d"}
    cut = {"type": "text_mention", "offset": 1, "length": 3, "user": {"id": 110}}  # it begins within a character
    inbound = read(update(text="😀 \ud83d hi", entities=[cut], **{"from": sender}))
    assert "hi" in inbound.text and inbound.mentioned
    body = message(document={"file_id": "d", "file_name": "\ude00.pdf"}, caption="\ud83d")
    file = read({"update_id": 1, "message": body})
    answer = read(update(reply_to_message=message(text="\ud83d one"), quote={"text": "\ud83d"}))
    reaction = read(reacted([], [{"type": "emoji", "emoji": "\ud83d"}])).reaction
    assert answer.quote is not None and reaction is not None
    said = (inbound.text, inbound.peer.user_name, file.text, file.attachments[0].name, answer.quote.text)
    "".join(map(str, (*said, reaction.emoji))).encode()


@pytest.mark.parametrize("field", ["new_chat_members", "pinned_message", "forum_topic_created", "video_chat_started"])
def test_what_a_chat_tells_of_itself_is_passed_over(field: str) -> None:
    body = message(chat=GROUP, **{field: {}})
    del body["text"]
    assert parse([{"update_id": 1, "message": body}], "telegram", BOT) is None


def test_a_field_of_nothing_is_as_good_as_none() -> None:
    """The Bot API leaves out what is not there; servers that speak it may write null."""
    told = [*ASKED, "poll"]
    kinds = ["photo", "voice", "sticker", "caption", "quote", "reply_to_message", "media_group_id", "edit_date"]
    nothing = dict.fromkeys((*kinds, "migrate_to_chat_id", "sender_chat", "entities", "message_thread_id"))
    whole = {**dict.fromkeys(told), **update(**nothing)}
    assert read(whole) == read(update())
    answer = message(reply_to_message=message(text="before", **{**nothing, "message_id": 4}))
    assert read(update(**answer)).quote == Quote("before", "Ann Lee", "4")
    photo = update(**{**nothing, "photo": [{"file_id": "P"}], "text": None, "caption": "look"})
    assert (read(photo).text, len(read(photo).attachments)) == ("look", 1)
    silent = {"update_id": 1, "message_reaction": None, "edited_message": message(**nothing)}
    assert read(silent).text == "hello"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        {"update_id": 1},
        {"update_id": "1", "message": message()},
        {"update_id": 1, "message": 5},
        update(chat=None),
        update(chat={"id": 1, "type": "hologram"}),
        update(message_id=None),
        update(text=5),
        update(entities=[{"type": "mention"}]),
        {"update_id": 1, "message": {**message(), "text": "", "hologram": {}}},
    ],
)
def test_what_is_no_message_is_a_bad_frame(bad: Any) -> None:
    with pytest.raises(BadFrame):
        parse([bad], "telegram", BOT)


@pytest.mark.thorough
def test_mutated_updates_raise_nothing_but_bad_frame() -> None:
    draw = random.Random(7)
    photo = {"photo": [{"file_id": "a"}, {"file_id": "b", "file_size": 7}], "caption": "x", "media_group_id": "1"}
    entities = [{"type": "mention", "offset": 0, "length": 10}, {"type": "text_mention", "offset": 1, "length": 2}]
    seeds = [
        update(chat=GROUP, text="@green_bot hi", entities=entities, reply_to_message=message(), **photo),
        update("edited_message", edit_date=5, sticker={"emoji": "x"}),
        update("channel_post", sender_chat=GROUP, document={"file_id": "d", "file_name": "n"}),
        update(migrate_to_chat_id=-100, is_topic_message=True, message_thread_id=4),
    ]
    for _ in range(20_000):
        for each in gathered([mutant(draw.choice(seeds), draw), *seeds[: draw.randint(0, 1)]]):
            assert all(update_id_of(one) is None or update_id_of(one) >= 0 for one in each)
            moved(each[0])
            try:
                parse(each, "telegram", BOT)
            except BadFrame:
                pass


def test_a_reply_brings_the_message_it_answers_or_the_part_that_was_chosen() -> None:
    first = {**message(text="one two"), "message_id": 4}
    assert read(update(reply_to_message=first)).quote == Quote("one two", "Ann Lee", "4")
    assert read(update(reply_to_message=first, quote={"text": "two"})).quote == Quote("two", "Ann Lee", "4")
    photo = {**message(text=None), "photo": [{"file_id": "P"}], "from": {"id": 110, "first_name": "bot"}}
    del photo["text"]
    quote = read(update(reply_to_message=photo)).quote
    assert quote is not None and (quote.text, quote.author) == ("[image]", "bot")
    assert quote.attachments[0].ref == {"file_id": "P"}


def test_what_opened_a_topic_is_not_quoted_and_words_of_other_chats_are() -> None:
    topic = {"chat": GROUP, "is_topic_message": True, "message_thread_id": 4}
    assert read(update(**topic, reply_to_message={**message(), "message_id": 4})).quote is None
    elsewhere = {"origin": {"type": "user", "sender_user": {"id": 9, "first_name": "Bob"}}}
    assert read(update(external_reply=elsewhere, quote={"text": "far"})).quote == Quote("far", "Bob")
    for odd in (7, {}, {"text": 7}, {"new_chat_title": "x"}):
        assert read(update(reply_to_message=odd)).quote is None


def reacted(old: list[Any], new: list[Any], **more: Any) -> Any:
    user = {"id": 7, "is_bot": False, "first_name": "Ann"}
    body = {"chat": GROUP, "message_id": 5, "user": user, "date": 1_700_000_000}
    return {"update_id": 9, "message_reaction": {**body, "old_reaction": old, "new_reaction": new, **more}}


def test_a_reaction_is_what_has_changed() -> None:
    up, down = {"type": "emoji", "emoji": "👍"}, {"type": "emoji", "emoji": "👎"}
    inbound = read(reacted([up], [up, down]))
    assert (inbound.reaction, inbound.message_id, inbound.text) == (Reaction("👎"), "5", "")
    assert (inbound.peer.chat_id, inbound.peer.user_id, inbound.peer.user_name) == ("-1001", "7", "Ann")
    assert read(reacted([up], [])).reaction == Reaction("👍", added=False)
    assert read(reacted([], [{"type": "custom_emoji", "custom_emoji_id": "77"}])).reaction == Reaction("77")
    assert read(reacted([], [up])).keys != read(reacted([up], [])).keys
    for nothing in (reacted([up], [up]), reacted([], [up], user={"id": 110}), reacted([], [up], user=None)):
        assert parse([nothing], "telegram", BOT) is None
    with pytest.raises(BadFrame):
        parse([{"update_id": 9, "message_reaction": {"chat": {}}}], "telegram", BOT)
