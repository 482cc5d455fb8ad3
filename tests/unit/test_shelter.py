"""Frames in the shelter are there for the next process, whole or not at all, and for nobody else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from hermes_green.ops.shelter import SIZE, Shelter, place_of


def shelter(tmp_path: Path, **more: Any) -> Shelter:
    return Shelter(tmp_path / "frames", logger, **more)


def raws(found: Shelter) -> list[str | bytes]:
    return [held.raw for held in found.left()]


def test_what_was_not_done_is_left_for_the_next_in_order_and_of_its_kind(tmp_path) -> None:
    first = shelter(tmp_path)
    kept = [first.keep(raw) for raw in ("one", b"\x00\xff", "three 三 \udcff")]
    assert all(kept)
    kept[0].done()
    assert raws(shelter(tmp_path)) == [b"\x00\xff", "three 三 \udcff"]


def test_what_is_done_is_gone_and_told_once(tmp_path) -> None:
    first = shelter(tmp_path)
    held = first.keep("one")
    assert held is not None
    held.done()
    held.done()
    held.leave()
    assert raws(shelter(tmp_path)) == []
    assert raws(first) == []


def test_a_frame_that_a_run_left_goes_to_the_next_run_of_the_same_process(tmp_path) -> None:
    first = shelter(tmp_path)
    held = first.keep("one")
    assert held is not None and raws(first) == []
    held.leave()
    held.take()
    assert raws(first) == [], "it was taken in after all"
    held.leave()
    held.leave()
    left = first.left()
    assert [each.raw for each in left] == ["one"]
    left[0].done()
    assert raws(first) == [] == raws(shelter(tmp_path))


def test_what_is_held_when_nobody_takes_in_any_more_is_left_in_the_order_of_its_coming(tmp_path) -> None:
    first = shelter(tmp_path)
    held = [first.keep(raw) for raw in ("one", "two", "three")]
    assert all(held)
    held[1].leave()
    first.close()
    held[2].done()
    assert raws(first) == ["one", "two"] == raws(shelter(tmp_path))


def test_what_is_done_after_all_is_not_left(tmp_path) -> None:
    first = shelter(tmp_path)
    held = first.keep("one")
    assert held is not None
    held.leave()
    held.done()
    held.leave()
    assert raws(first) == [] == raws(shelter(tmp_path))


def test_what_the_process_died_of_twice_is_known_to_the_next(tmp_path) -> None:
    shelter(tmp_path).keep("one")
    fatal, ends = [], []
    for _ in range(3):
        (held,) = shelter(tmp_path).left()
        fatal.append(held.fatal)
        ends.append(held.reading())
        ends[-1].__enter__()  # and then the end
    assert fatal == [False, False, True]


def test_what_was_read_and_is_done_or_could_not_be_taken_in_has_killed_nobody(tmp_path) -> None:
    first = shelter(tmp_path)
    for raw in ("one", "two"):
        first.keep(raw)
    for _ in range(3):
        one, two = shelter(tmp_path).left()
        with one.reading():
            pass
        with pytest.raises(OSError), two.reading():
            raise OSError
        assert not one.fatal and not two.fatal
    with one.reading():
        one.done()
    assert raws(shelter(tmp_path)) == ["two"]


def test_the_next_process_writes_behind_what_it_has_to_take_in(tmp_path) -> None:
    shelter(tmp_path).keep("old")
    second = shelter(tmp_path)
    second.keep("new")
    assert raws(shelter(tmp_path)) == ["old", "new"]
    for held in second.left():
        held.done()
    assert raws(shelter(tmp_path)) == ["new"]


def test_once_all_are_done_the_room_is_used_again(tmp_path) -> None:
    first = shelter(tmp_path, size=4096)
    for number in range(100):
        held = first.keep(f"{number:0500}")
        assert held is not None
        held.done()
    kept = [first.keep("x" * 500) for _ in range(12)]
    assert [held is not None for held in kept] == [True] * 8 + [False] * 4
    assert len(raws(shelter(tmp_path, size=4096))) == 8


def test_what_is_too_large_or_empty_is_not_kept(tmp_path) -> None:
    first = shelter(tmp_path)
    assert first.keep("x" * SIZE) is None and first.keep("") is None
    assert first.keep("x" * 1000) is not None


@pytest.mark.parametrize("at", range(0, 9))
def test_a_record_that_was_cut_short_is_not_there(tmp_path, at) -> None:
    first = shelter(tmp_path)
    first.keep("one")
    second = first._at
    first.keep("two" * 10)
    data = bytearray((tmp_path / "frames").read_bytes())
    data[second + at + 5] ^= 0x55
    (tmp_path / "frames").write_bytes(data)
    assert raws(shelter(tmp_path)) == ["one"]


def test_words_that_look_like_a_record_do_not_become_one(tmp_path) -> None:
    donor = Shelter(tmp_path / "donor", logger)
    donor.keep("forged")
    record = (tmp_path / "donor").read_bytes()[: donor._at]
    first = shelter(tmp_path)
    held = first.keep(b"A" * 20 + record)
    assert held is not None
    held.done()
    short = first.keep(b"B" * 20)  # its end is where the forged record begins
    assert short is not None
    short.done()
    assert raws(shelter(tmp_path)) == []


def test_the_file_goes_with_its_last_frame_and_comes_back_with_the_next(tmp_path) -> None:
    first = shelter(tmp_path)
    held = first.keep("one")
    assert held is not None
    first.close()
    assert (tmp_path / "frames").exists()
    held.done()
    first.close()
    assert not (tmp_path / "frames").exists()
    first.keep("two")
    assert raws(shelter(tmp_path)) == ["two"]


def test_a_file_that_was_removed_under_us_is_made_anew(tmp_path) -> None:
    first = shelter(tmp_path)
    held = first.keep("one")
    assert held is not None
    (tmp_path / "frames").unlink()
    first.keep("two").done()
    held.done()
    first.keep("three")
    assert raws(shelter(tmp_path)) == ["three"]


def test_nobody_else_reads_it_and_what_others_have_laid_there_is_not_used(tmp_path) -> None:
    first = shelter(tmp_path)
    first.keep("one")
    assert (tmp_path / "frames").stat().st_mode & 0o777 == 0o600
    os.chmod(tmp_path / "frames", 0o644)
    assert shelter(tmp_path).keep("two") is None
    (tmp_path / "frames").unlink()
    os.symlink(tmp_path / "elsewhere", tmp_path / "frames")
    assert shelter(tmp_path).keep("two") is None
    assert not (tmp_path / "elsewhere").exists()


def test_memory_that_is_full_is_told_once_and_asked_again(tmp_path, monkeypatch) -> None:
    told: list[str] = []
    log = type("Log", (), {"warning": lambda self, text, *values: told.append(text.format(*values))})()

    def full(*about: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        first = Shelter(tmp_path / "frames", log)
        assert first.keep("one") is None and first.keep("two") is None
        assert not (tmp_path / "frames").exists()
    assert len(told) == 1 and "No space left" in told[0]
    assert first.keep("three") is not None
    assert raws(shelter(tmp_path)) == ["three"]


def test_that_there_is_no_room_for_more_is_told_once_until_there_is_again(tmp_path) -> None:
    told: list[str] = []
    log = type("Log", (), {"warning": lambda self, text, *values: told.append(text.format(*values))})()
    first = Shelter(tmp_path / "frames", log, size=1100)
    for _ in range(2):
        held = [first.keep("x" * 500) for _ in range(4)]
        assert [each is not None for each in held] == [True, True, False, False]
        for each in held[:2]:
            each.done()
    assert len(told) == 2


def test_without_such_memory_nothing_is_kept_and_nothing_fails(tmp_path) -> None:
    none = Shelter(tmp_path / "missing" / "frames", logger)
    assert none.keep("one") is None and none.left() == []
    none.close()


def test_each_child_of_each_data_directory_has_a_file_of_its_own(tmp_path) -> None:
    children = [(child, bot) for child in ("dingtalk", "wecom:one/../x") for bot in ("", "a bot", "another")]
    places = {place_of(tmp_path / data, child, bot) for data in ("a", "b") for child, bot in children}
    assert len(places) == 12 and len({place.parent for place in places}) == 1


def test_a_killed_process_leaves_what_it_kept(tmp_path) -> None:
    lines = (
        "import os, sys; from pathlib import Path; from hermes_green.ops.shelter import Shelter\n"
        f"Shelter(Path({str(tmp_path / 'frames')!r}), None).keep('words')\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", lines], timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert raws(shelter(tmp_path)) == ["words"]
