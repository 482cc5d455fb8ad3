"""A saved file is noticed once it is whole, and what is only touched, or being written, is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import gevent
import pytest
from loguru import logger

from hermes_green.ops import watch
from hermes_green.ops.offhub import OffHub
from hermes_green.ops.watch import Watch, digest
from tests.support.stage import PATIENCE, until


class Seen:
    """A watch on a directory, and the contents at each time that it called."""

    def __init__(self, home: Path) -> None:
        self.file = home / "gateway.yaml"
        self.file.write_text("locale: en\n")
        self.home = home
        self.calls: list[str] = []
        self.fail = False
        self.offhub = OffHub(1)
        self.watch = Watch(self.paths, digest(self.paths()), self.changed, self.offhub, logger)

    def paths(self) -> Iterator[Path]:
        return self.home.glob("*.yaml")

    def changed(self) -> None:
        self.watch.seen = self.watch.digest()
        self.calls.append(self.file.read_text() if self.file.exists() else "")
        if self.fail:
            raise RuntimeError("a bug")


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    monkeypatch.setattr(watch, "EVERY", 0.02)
    monkeypatch.setattr(watch, "SETTLED", 0.1)
    it = Seen(tmp_path)
    it.watch.set(True)
    yield it
    it.watch.set(False)
    it.offhub.close()


def test_a_saved_file_is_told_of_once(seen: Seen) -> None:
    gevent.sleep(0.2)
    seen.file.write_text("locale: zh\n")
    until(lambda: seen.calls)
    gevent.sleep(0.3)
    assert seen.calls == ["locale: zh\n"]


def test_a_new_file_and_one_that_is_gone_are_changes(seen: Seen) -> None:
    other = seen.home / "web.local.yaml"
    other.write_text("enabled: false\n")
    until(lambda: len(seen.calls) == 1)
    other.unlink()
    until(lambda: len(seen.calls) == 2)


def test_a_file_that_is_touched_or_written_as_it_was_is_no_change(seen: Seen) -> None:
    for _ in range(3):
        seen.file.write_text("locale: en\n")
        os.utime(seen.file, (1, 1))
        gevent.sleep(0.1)
    assert seen.calls == []


def test_a_file_that_is_being_written_is_waited_out(seen: Seen) -> None:
    with seen.file.open("w") as file:
        for number in range(20):
            file.write(f"# line {number}\n")
            file.flush()
            gevent.sleep(0.03)
        assert seen.calls == []
        file.write("locale: zh\n")
    until(lambda: seen.calls)
    assert seen.calls[0].endswith("locale: zh\n")


def test_what_somebody_else_has_read_is_not_told_of_again(seen: Seen) -> None:
    seen.file.write_text("locale: zh\n")
    seen.watch.seen = digest(seen.paths())
    gevent.sleep(0.3)
    assert seen.calls == []


def test_a_reload_that_fails_ends_nothing(seen: Seen) -> None:
    seen.fail = True
    seen.file.write_text("one: 1\n")
    until(lambda: len(seen.calls) == 1)
    seen.file.write_text("two: 2\n")
    until(lambda: len(seen.calls) == 2)


def test_a_directory_that_is_gone_for_a_while_is_seen_when_it_is_back(seen: Seen) -> None:
    away = seen.home.with_name("away")
    seen.home.rename(away)
    until(lambda: seen.calls == [""])
    away.rename(seen.home)
    until(lambda: len(seen.calls) == 2)


def test_what_keeps_it_from_looking_is_said_once_until_it_can_look_again(seen: Seen) -> None:
    said: list[str] = []
    looks: list[bool] = []
    paths, sink = seen.watch._paths, logger.add(lambda line: said.append(str(line)), level="WARNING")

    def away() -> Iterator[Path]:
        looks.append(True)
        raise OSError(24, "Too many open files")

    for times in (1, 2):
        seen.watch._paths = away
        until(lambda: len(looks) > 5 * times)
        assert len([line for line in said if "Too many" in line]) == times
        seen.watch._paths = paths
        seen.file.write_text(f"locale: zh # {times}\n")
        until(lambda: len(seen.calls) == times)
    logger.remove(sink)


def test_a_pipe_among_the_files_holds_up_nobody(seen: Seen) -> None:
    """To open one waits for who writes into it, on threads that dials and ledgers need."""
    os.mkfifo(seen.home / "foreign.yaml")
    until(lambda: seen.calls)
    assert seen.offhub.call(lambda: "free", timeout=PATIENCE) == "free"
    seen.file.write_text("locale: zh\n")
    until(lambda: seen.calls[-1] == "locale: zh\n")


def test_it_can_be_switched_off_and_on(seen: Seen) -> None:
    for _ in range(2):
        seen.watch.set(False)
    seen.file.write_text("one: 1\n")
    gevent.sleep(0.2)
    assert seen.calls == []
    for _ in range(2):
        seen.watch.set(True)
    until(lambda: seen.calls == ["one: 1\n"])
