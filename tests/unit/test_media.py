"""Attachments become files: whole, bounded, named safely, found again by a rerun, let go in time."""

import os
import time
from pathlib import Path

import pytest
from loguru import logger

from hermes_green.core.errors import LinkLost
from hermes_green.core.model import Attachment
from hermes_green.runtime.media import Media


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


@pytest.mark.parametrize("source", [Source(b"x" * 2000), Source(fail=LinkLost("gone")), Source(fail=ValueError("bug"))])
def test_what_cannot_be_fetched_leaves_no_file_and_costs_no_answer(media, tmp_path, source):
    (item,) = media.bring(source, [Attachment("file", {}, "a")], "t1")
    assert item.path is None
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_size_said_beforehand_is_believed(media):
    source = Source()
    assert media.bring(source, [Attachment("file", {}, "a", size=5000)], "t1")[0].path is None and source.calls == 0


def test_old_files_are_let_go(media):
    (old,) = media.bring(Source(), [Attachment("file", {}, "old")], "t1")
    (new,) = media.bring(Source(), [Attachment("file", {}, "new")], "t2")
    os.utime(old.path, (time.time() - 8 * 86400,) * 2)
    assert media.sweep(7) == 1
    assert not os.path.exists(old.path) and os.path.exists(new.path)
