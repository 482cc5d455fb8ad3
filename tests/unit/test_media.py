"""Attachments become files: whole, bounded, named safely, found again by a rerun, let go in time."""

import os
import resource
import time
from pathlib import Path

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Attachment, Caps, CapsTable, Inbound, Peer, Quote
from hermes_green.core.options import Access
from hermes_green.runtime import media as media_module
from hermes_green.runtime.media import Media, stem_of
from hermes_green.store.memory import MemoryStore
from tests.support.children import eventually
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


def test_a_rerun_finds_the_file_of_the_first_attempt(media):
    source = Source()
    first = media.bring(source, [Attachment("file", {}, "a")], "t1")
    assert media.bring(source, [Attachment("file", {}, "a")], "t1")[0].path == first[0].path and source.calls == 1


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
