"""Attachments become files: whole, bounded, named safely, found again by a rerun, let go in time."""

import os
import resource
import time
from pathlib import Path

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Attachment, Called, Caps, CapsTable, Inbound, Peer, Quote
from hermes_green.core.options import Access
from hermes_green.runtime import lanes, media as media_module
from hermes_green.runtime.media import Media, stem_of
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Rooms, ScriptedAgent


class Source:
    """An adapter that streams what its ref says; ``fail`` breaks off."""

    def __init__(self, data=b"x" * 10, fail=None) -> None:
        self.data, self.fail, self.calls = data, fail, 0

    def fetch(self, ref):
        self.calls += 1
        yield self.data[:5]
        if self.fail:
            raise self.fail
        yield self.data[5:]


@pytest.fixture
def media(tmp_path):
    return Media(tmp_path / "media", lambda fn, *args: fn(*args), logger, limit=1000)


def test_an_attachment_becomes_a_private_file(media):
    (item,) = media.bring(Source(b"hello world"), [Attachment("image", {"k": 1}, "cat.png")], "t1")
    assert Path(item.path).read_bytes() == b"hello world" and item.size == 11
    assert os.stat(item.path).st_mode & 0o777 == 0o600


def test_a_name_cannot_leave_the_directory(media, tmp_path):
    (item,) = media.bring(Source(), [Attachment("file", {}, "../../../etc/passwd\x00")], "t1")
    assert os.path.realpath(item.path).startswith(str(tmp_path / "media"))


@pytest.mark.parametrize("letter", ["x", "é", "通", "\U0002070e"])
def test_a_long_name_keeps_its_end_and_fits_into_a_directory(media, letter):
    stem = stem_of(Inbound(("k",), Peer("one", "c", "dm"), "m", ""))
    found = [media.bring(Source(), [Attachment("file", {}, letter * 120 + ".pdf")], stem)[0] for _ in range(2)]
    assert found[0].path == found[1].path and found[0].path.endswith(letter * 30 + ".pdf")
    assert len(os.fsencode(Path(found[0].path).name)) < 230


def test_a_rerun_finds_the_file_of_the_first_attempt(media):
    source = Source()
    first = media.bring(source, [Attachment("file", {}, "a")], "t1")
    assert media.bring(source, [Attachment("file", {}, "a")], "t1")[0].path == first[0].path and source.calls == 1


class Telling(Source):
    """Tells only with the bytes what the file is called."""

    def fetch(self, ref):
        yield Called("../报告 1.pdf")
        yield from super().fetch(ref)


def test_a_file_whose_name_comes_with_its_bytes_is_called_so_also_by_a_rerun(media, tmp_path):
    source, nameless = Telling(b"%PDF-1.7 x"), Attachment("file", {})
    first, again = (media.bring(source, [nameless, Attachment("file", {})], "t1") for _ in range(2))
    assert [(each.path, each.name) for each in first] == [(each.path, each.name) for each in again]
    assert source.calls == 2
    (item, _) = first
    assert item.name == Path(item.path).name.partition("-0-")[2] and item.name.endswith("报告 1.pdf")
    assert Path(item.path).read_bytes() == b"%PDF-1.7 x" and item.size == 10
    assert os.path.realpath(item.path).startswith(str(tmp_path / "media"))
    (known,) = media.bring(source, [Attachment("file", {}, "mine.pdf")], "t2")
    assert known.name == "mine.pdf" and known.path.endswith("mine.pdf"), "the message's own name counts"


FAILS = (LinkLost("gone"), ValueError("bug"), gevent.Timeout(1))


@pytest.mark.parametrize("source", [Source(b"x" * 2000), *(Source(fail=error) for error in FAILS)])
def test_what_cannot_be_fetched_leaves_no_file_and_costs_no_answer(media, tmp_path, source):
    (item,) = media.bring(source, [Attachment("file", {}, "a")], "t1")
    assert item.path is None
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_disk_that_becomes_full_costs_the_file_and_not_its_end(tmp_path):
    said = []
    logger_id = logger.add(lambda message: said.append(message.record["level"].name), level="WARNING")
    media, usual = Media(tmp_path, lambda fn, *args: fn(*args), logger), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, usual[1]))
    try:
        (item,) = media.bring(Source(b"x" * (2**20 + 9)), [Attachment("file", {}, "a")], "t1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        logger.remove(logger_id)
    assert item.path is None and said == ["WARNING"]
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_write_that_outlives_its_fetch_reaches_no_other_file(tmp_path):
    def slowly(fn, *args):
        """As a thread does: what has begun goes on, whoever waits for it."""
        return gevent.spawn(lambda: (gevent.sleep(0.004), fn(*args))[1]).get()

    media = Media(tmp_path / "media", slowly, logger)
    fetch = gevent.spawn(media.bring, Source(), [Attachment("file", {}, "a")], "t1")
    eventually(lambda: list(tmp_path.rglob("*.part")))
    gevent.sleep(0.002)
    fetch.kill(block=False)
    gevent.sleep(0)
    with open(tmp_path / "other", "wb"):
        fetch.join()
        gevent.sleep(0.008)
    assert (tmp_path / "other").read_bytes() == b""
    assert not list(tmp_path.rglob("*.part"))


def test_a_size_said_beforehand_is_believed(media):
    source = Source()
    assert media.bring(source, [Attachment("file", {}, "a", size=5000)], "t1")[0].path is None and source.calls == 0


def test_old_files_are_let_go(media):
    (old,) = media.bring(Source(), [Attachment("file", {}, "old")], "t1")
    (new,) = media.bring(Source(), [Attachment("file", {}, "new")], "t2")
    os.utime(old.path, (time.time() - 8 * 86400,) * 2)
    assert media.sweep(7) == 1
    assert not os.path.exists(old.path) and os.path.exists(new.path)


def test_a_file_that_somebody_has_put_beside_the_days_keeps_no_old_one(media):
    (old,) = media.bring(Source(), [Attachment("file", {}, "old")], "t1")
    beside = Path(old.path).parents[1] / ".DS_Store"
    beside.write_text("")
    for path in (old.path, beside):
        os.utime(path, (time.time() - 8 * 86400,) * 2)
    assert media.sweep(7) == 1 and beside.exists()


# --- ahead of the turn ---


class Fleeting(Source):
    """Its links end; ``gone``: they have."""

    caps = CapsTable(Caps(media=True, media_expires=300.0))

    def __init__(self, pause=0.0, **how) -> None:
        super().__init__(**how)
        self.pause, self.gone, self.at_once, self.most = pause, False, 0, 0

    def fetch(self, ref):
        if self.gone:
            raise LinkLost("the link has ended")
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        gevent.sleep(self.pause)
        self.at_once -= 1
        yield from super().fetch(ref)


def sent(number=1, **more):
    picture = Attachment("image", {"url": f"u{number}"}, "a.png")
    return Inbound((f"k{number}",), Peer("one", "c", "dm", user_id="u"), f"m{number}", "[image]", (picture,), **more)


def test_what_was_fetched_ahead_is_there_when_the_links_have_ended_and_in_the_next_process(media, tmp_path):
    source, inbound = Fleeting(), sent(quote=Quote("x", attachments=(Attachment("file", {}, "q.txt"),)))
    media.expect(source, inbound)
    eventually(lambda: source.calls == 2 and not media._ahead)
    source.gone = True
    paths = [item.path for item in media.of(source, inbound)]
    assert all(Path(path).is_file() for path in paths) and len(set(paths)) == 2
    later = Media(tmp_path / "media", lambda fn, *args: fn(*args), logger, limit=1000)
    assert [item.path for item in later.of(source, inbound)] == paths


def test_a_turn_waits_for_what_is_being_fetched_and_fetches_it_once(media):
    source = Fleeting(pause=0.01)
    media.expect(source, sent())
    gevent.sleep(0)
    assert media.of(source, sent())[0].path and source.calls == 1


def test_few_are_fetched_at_a_time_and_what_is_too_much_is_left_to_the_turns(media, monkeypatch):
    monkeypatch.setattr(media_module, "WAITING", 12)
    source = Fleeting(pause=0.005)
    for number in range(20):
        media.expect(source, sent(number))
    eventually(lambda: not media._ahead)
    assert (source.calls, source.most) == (12, media_module.AHEAD)


def test_nothing_is_fetched_ahead_whose_links_do_not_end(media):
    source = Fleeting()
    source.caps = CapsTable(Caps(media=True))
    media.expect(source, sent())
    gevent.sleep(0.01)
    assert source.calls == 0


def test_messages_of_two_chats_have_files_of_their_own():
    other = Inbound(("k1",), Peer("one", "d", "dm"), "m1", "")
    assert stem_of(sent()) != stem_of(other) and stem_of(sent()) == stem_of(sent())


def test_only_messages_that_will_have_a_turn_are_expected():
    agent, access = ScriptedAgent(lambda turn: gevent.sleep(0.008)), Access(dm="allowlist", users=["u"])
    rooms, expected = Rooms(MemoryStore(), agent, access=access), []
    rooms.desk._expected = expected.append
    rooms.say("hello", user_id="u")
    rooms.say("/help", user_id="u")
    rooms.say("waits", user_id="u")
    rooms.say("stranger", user_id="s")
    eventually(lambda: rooms.store.counts(0).inbox == 0)
    assert [inbound.text for inbound in expected] == ["hello", "waits"]
    rooms.close()


# --- several at a time ---


class Shelf:
    """Gives each file after a while of its own: ``waits[name]`` seconds; ``most``: at a time."""

    caps = CapsTable(Caps(media=True, media_expires=300.0))

    def __init__(self, waits=None, usual=0.003, size=10) -> None:
        self.waits, self.usual, self.size = waits or {}, usual, size
        self.begun, self.at_once, self.most = [], 0, 0

    def fetch(self, ref):
        name = ref["name"]
        self.begun.append(name)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            yield name.encode()
            if wait := self.waits.get(name, self.usual):
                gevent.sleep(wait)
            yield b"." * self.size
        finally:
            self.at_once -= 1


def files(*names, **more):
    return tuple(Attachment("file", {"name": name}, name, **more) for name in names)


def album(*names, number=1):
    return Inbound((f"k{number}",), Peer("one", "c", "dm", user_id="u"), f"m{number}", "[file]", files(*names))


def left_over(tmp_path):
    return list(tmp_path.rglob("*.part"))


def contents(items):
    return [Path(item.path).read_text().rstrip(".") if item.path else None for item in items]


@pytest.fixture
def said():
    """Warnings and worse."""
    found = []
    sink = logger.add(lambda message: found.append(message.record["message"]), level="WARNING")
    yield found
    logger.remove(sink)


def test_files_of_one_message_are_fetched_a_few_at_a_time_and_stay_in_order(media):
    shelf = Shelf({"a": 0.02, "c": 0.01})
    assert contents(media.bring(shelf, files(*"abcdefg"), "t1")) == list("abcdefg")
    assert shelf.most == media_module.AT_ONCE and shelf.begun == list("abcdefg")


def test_what_does_not_come_in_time_is_said_and_costs_what_came_nothing(media, monkeypatch, tmp_path, said):
    monkeypatch.setattr(media_module, "TOTAL", 0.1)
    began = time.monotonic()
    items = media.bring(Shelf({"b": 30, "d": 30, "e": 30}, usual=0), files(*"abcdefg"), "t1")
    assert time.monotonic() - began < 10
    assert contents(items) == ["a", None, "c", None, None, None, None] and [item.name for item in items] == [*"abcdefg"]
    assert len(said) == 5 and all("could not be fetched" in line and "all files of a turn" in line for line in said)
    assert not left_over(tmp_path)


def test_what_was_fetched_before_is_found_when_no_time_is_left(media, monkeypatch):
    media.bring(Shelf(), files("x", "x", "x", "x", "kept"), "t1")
    monkeypatch.setattr(media_module, "TOTAL", 0.02)
    waits = dict.fromkeys("abcd", 30)
    assert contents(media.bring(Shelf(waits), files(*"abcd", "kept"), "t1"))[4] == "kept"


def test_one_file_has_its_own_time_within_that_of_all(media, monkeypatch, said):
    monkeypatch.setattr(media_module, "TIMEOUT", 0.05)
    shelf = Shelf({"a": 30}, usual=0)
    assert contents(media.bring(shelf, files(*"abc"), "t1")) == [None, "b", "c"]
    assert len(said) == 1 and "all files" not in said[0] and shelf.at_once == 0


def test_each_of_several_files_at_a_time_is_bounded(media, tmp_path, said):
    items = media.bring(Shelf(size=2000), (*files(*"abcd"), *files("e", size=2000)), "t1")
    assert contents(items) == [None] * 5 and len(said) == 5
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_all_messages_of_a_turn_share_what_a_turn_may_have(media, monkeypatch):
    monkeypatch.setattr(media_module, "TOTAL", 0.05)
    shelf, began = Shelf({"b": 30, "d": 30}, usual=0), time.monotonic()
    items = media.of(shelf, album("a", "b", number=1), album("c", "d", "e", number=2))
    assert contents(items) == ["a", None, "c", None, "e"] and shelf.most == media_module.AT_ONCE
    assert time.monotonic() - began < 10


def test_the_time_for_files_leaves_the_turn_its_lease():
    assert media_module.TOTAL + 2 * media_module.ENDING + 10 < lanes.LEASE_SLACK


def test_who_waits_for_what_another_fetches_waits_no_longer_than_for_its_own(media, monkeypatch, said):
    slow = Shelf({"a": 30})
    other = gevent.spawn(media.bring, slow, files("a"), "t1")
    eventually(lambda: slow.at_once)
    monkeypatch.setattr(media_module, "TOTAL", 0.005)
    shelf = Shelf()
    assert contents(media.bring(shelf, files("a"), "t1")) == [None] and len(said) == 1
    assert slow.at_once and not shelf.begun
    other.kill()


def test_a_disk_that_hangs_holds_no_turn_up_for_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(media_module, "TOTAL", 0.02)
    monkeypatch.setattr(media_module, "ENDING", 0.01)

    def stuck(fn, *args):
        try:
            gevent.sleep(30)
        except BaseException:
            gevent.sleep(30)

    began = time.monotonic()
    assert contents(Media(tmp_path, stuck, logger).bring(Shelf(), files(*"abcd"), "t1")) == [None] * 4
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("ahead", [False, True], ids=["by its turn", "ahead of its turn"])
def test_whoever_ends_a_fetch_ends_all_of_it_and_it_can_be_done_again(media, tmp_path, ahead):
    shelf = Shelf(dict.fromkeys("abcde", 30))
    if ahead:
        media.expect(shelf, album(*"abcde"))
    else:
        turn = gevent.spawn(media.of, shelf, album(*"abcde"))
    eventually(lambda: shelf.at_once == media_module.AT_ONCE)
    if ahead:
        media.close()
    else:
        turn.kill()
    eventually(lambda: shelf.at_once == 0 and not media._ahead)
    assert shelf.begun == list("abc") and not left_over(tmp_path) and not media._flying
    assert media._room.counter == media_module.AHEAD
    assert contents(media.of(Shelf(), album(*"abcde"))) == list("abcde")


def test_ahead_of_turns_no_more_are_fetched_at_a_time_because_messages_bring_several(media):
    shelf = Shelf()
    for number in range(12):
        media.expect(shelf, album(*"abcde", number=number))
    eventually(lambda: not media._ahead)
    assert (len(shelf.begun), shelf.most) == (60, media_module.AHEAD)
    assert media._room.counter == media_module.AHEAD


def test_ahead_of_its_turn_a_message_alone_has_its_files_fetched_side_by_side(media):
    shelf = Shelf()
    media.expect(shelf, album(*"abcde"))
    eventually(lambda: len(shelf.begun) == 5 and not media._ahead)
    assert shelf.most == media_module.AT_ONCE


@pytest.mark.parametrize("end", ["stop", "drain"])
def test_a_turn_that_ends_in_the_middle_of_its_files_ends_them_and_is_taken_up_by_the_next_process(media, end):
    store, shelf = MemoryStore(), Shelf(dict.fromkeys("abcd", 30))
    adapter = ScriptedAdapter(caps=Caps(limit=100, media=True))
    adapter.fetch = shelf.fetch
    rooms = Rooms(store, adapter=adapter)
    rooms.turns._media = media
    rooms.say("look", attachments=files(*"abcd"))
    eventually(lambda: shelf.at_once == media_module.AT_ONCE)
    if end == "drain":
        assert rooms.lanes.drain(0) == 1
    else:
        rooms.say("/stop")
    eventually(lambda: shelf.at_once == 0 and rooms.lanes.active == 0)
    assert not rooms.agent.turns and not media._flying
    shelf.waits = {}
    after = Rooms(store, adapter=adapter)
    after.turns._media = media
    after.lanes.offer_all(store.sessions_waiting())
    if end == "drain":
        eventually(lambda: after.agent.turns and after.texts[-1:] == ["re: look"])
        (turn,) = after.agent.turns
        assert contents(turn.attachments) == list("abcd") and turn.attempt == 1
    else:
        assert not store.sessions_waiting()
    for each in (rooms, after):
        each.close()
