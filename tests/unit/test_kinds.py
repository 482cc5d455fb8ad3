"""Tables of kinds of content, and chats named in commands."""

from __future__ import annotations

import pytest

from hermes_green.core.address import peer_at
from hermes_green.core.kinds import Kind, kinds_of
from hermes_green.core.model import Attachment, Peer

TABLE = """
# A comment.
photo, picture | image | picture
place | words | location | name street
joined | nothing
"""


def test_a_table_says_what_becomes_of_each_kind_in_its_order() -> None:
    kinds = kinds_of(TABLE)
    assert list(kinds) == ["photo", "picture", "place", "joined"]
    assert kinds["picture"] == Kind("image", "picture") == kinds["photo"]
    assert kinds["place"].facts == ("name", "street") and kinds["joined"].name == ""
    with pytest.raises(ValueError):
        kinds_of("a | b | c | d | e")


def test_a_kind_is_shown_with_what_its_fields_say() -> None:
    kind = Kind("words", "location", ("name", "street"))
    assert kind.shown({"name": "Cafe", "street": 5, "more": "x"}) == "[location: Cafe 5]"
    assert kind.shown({"name": "half a pair: \ud800"}).encode() == b"[location: half a pair: ?]"
    assert kind.shown({"name": "", "street": None}) == kind.shown() == "[location]"
    assert len(kind.shown({"name": "x" * 999})) < 230


def test_a_kind_is_an_attachment_of_what_it_becomes() -> None:
    kind = Kind("image", "picture")
    assert kind.attachment({"id": 1}) == Attachment("image", {"id": 1})
    whole = kind.attachment({"id": 1}, "a.png", "image/png", 5)
    assert whole == Attachment("image", {"id": 1}, name="a.png", mime="image/png", size=5)


def test_a_chat_is_read_by_the_first_pattern_that_takes_all_of_it() -> None:
    patterns = {r"(?:user:)?(?P<user>\d+)": "dm", r"(?P<chat>-\d+)": "group", r"channel:(?P<chat>.+)": "channel"}
    assert peer_at("child", " user:5 ", patterns) == Peer("child", "5", "dm", user_id="5")
    assert peer_at("child", "5", patterns) == Peer("child", "5", "dm", user_id="5")
    assert peer_at("child", "-5", patterns) == Peer("child", "-5", "group")
    assert peer_at("child", "channel:-5", patterns) == Peer("child", "-5", "channel")
    assert peer_at("child", "group:5", patterns) is peer_at("child", "٥", patterns) is None
