"""What an answer says beside the agent's words: that it is empty, and which files nobody could read."""

from __future__ import annotations

from typing import Any, Iterator

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Attachment, Caps
from hermes_green.runtime import media
from hermes_green.runtime.media import LIMIT, Media
from hermes_green.runtime.remarks import remarked
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Rooms


class Shelf(ScriptedAdapter):
    """Gives files out, but for those that are gone."""

    def fetch(self, ref: Any) -> Iterator[bytes]:
        if ref.get("gone"):
            raise LinkLost("the link has ended")
        if ref.get("slow"):
            gevent.sleep(30)
        yield b"data"


@pytest.fixture
def rooms(tmp_path: Any) -> Iterator[Rooms]:
    rooms = Rooms(MemoryStore(), adapter=Shelf(caps=Caps(limit=1000, media=True)))
    rooms.turns._media = Media(tmp_path, lambda fn, *args: fn(*args), logger)
    yield rooms
    rooms.close()


def test_a_file_that_could_not_be_read_is_named_behind_the_answer_and_not_remembered(rooms: Rooms) -> None:
    read, gone = Attachment("file", {"n": 1}, "a.pdf"), Attachment("file", {"gone": True}, "b.pdf")
    large = Attachment("image", {"n": 2}, "c.png", size=LIMIT + 1)
    rooms.say("sum it up", attachments=(read, gone, large))
    eventually(lambda: rooms.texts)
    first, second, third = rooms.texts[0].split("\n\n")
    assert first == "re: sum it up"
    assert "b.pdf" in second and "20 MiB" in second and "c.png" in third and "a.pdf" not in rooms.texts[0]
    assert [line.text for line in rooms.store.history("one:c", 1)] == ["sum it up", "re: sum it up"]
    assert [each.path is not None for each in rooms.agent.turns[0].attachments] == [True, False, False]


def test_a_file_that_does_not_come_in_time_is_named_and_holds_the_answer_up_no_longer(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "TOTAL", 0.02)
    slow = Attachment("video", {"slow": True}, "film.mp4")
    rooms.say("look", attachments=(slow,))
    eventually(lambda: rooms.texts)
    answer, line = rooms.texts[0].split("\n\n")
    assert answer == "re: look" and "film.mp4" in line and "soon" in line


def test_what_was_read_is_not_talked_about(rooms: Rooms) -> None:
    rooms.say("look", attachments=(Attachment("image", {"n": 1}, "a.png"),))
    eventually(lambda: rooms.texts == ["re: look"])


def test_many_files_that_could_not_be_read_are_one_line() -> None:
    gone = [Attachment("image", {"n": n}) for n in range(9)]
    text = remarked("seen", (), gone, "zh")
    assert text.startswith("seen\n\n[") and text.count("\n\n") == 4 and "6" in text.rpartition("\n\n")[2]
    assert remarked("seen", (), gone[:3], "en").count("\n\n") == 3, "three are named one by one, and no others are left"


def test_an_answer_of_nothing_is_said_to_be_empty_unless_it_brings_a_file() -> None:
    assert "empty" in remarked(" \n", (), (), "en")
    assert remarked("", (Attachment("file", path="/x"),), (), "en") == ""


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\ufeff \u2060\n\u200d"])
def test_an_answer_of_which_nobody_would_see_anything_says_that_it_is_empty(text: str) -> None:
    assert remarked(text, (), (), "en") == remarked("", (), (), "en") != text
    assert remarked(text, (Attachment("file", path="/x"),), (), "en") == ""
    assert remarked(text + "x", (), (), "en") == text + "x"
