"""The doctor's checks, one by one, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import gevent
import pytest
from gevent.event import Event

from hermes_green.core.errors import ConfError, LinkLost
from hermes_green.doctor import healthy, local, machine
from hermes_green.doctor.finding import Check, Finding, examine
from hermes_green.doctor.network import Target
from hermes_green.ops import log


def found(level: str, text: str = "x") -> Finding:
    return Finding("it", level, text)  # type: ignore[arg-type]


def test_checks_run_side_by_side_and_are_told_in_order() -> None:
    begun: list[int] = []
    last = Event()

    def slow(number: int) -> Iterator[Finding]:
        begun.append(number)
        if len(begun) == 20:
            last.set()
        assert last.wait(), "each of them waits until all have begun"
        yield found("ok", str(number))

    told = examine([Check(str(n), lambda n=n: slow(n)) for n in range(20)])  # type: ignore[misc]
    assert [each.text for each in told] == [str(n) for n in range(20)]


def test_a_check_that_takes_too_long_is_cut_off_and_named() -> None:
    told = examine([Check("disk", lambda: gevent.sleep(30) or []), Check("ok", lambda: [found("ok")])], within=0.02)
    assert [(each.check, each.level) for each in told] == [("disk", "wrong"), ("it", "ok")]
    assert "no answer within 0.02 s" in told[0].text


@pytest.mark.parametrize(
    ("error", "text", "action"),
    [
        (LinkLost("the server is away", action="wait"), "the server is away", "wait"),
        (ConfError("the file is gone", action="make it"), "the file is gone", "make it"),
        (PermissionError(13, "Permission denied"), "Permission denied", ""),
        (KeyError("oops"), "this check failed itself: KeyError('oops')", "this is a bug: please report it"),
    ],
)
def test_what_a_check_raises_is_something_wrong(error: Exception, text: str, action: str) -> None:
    def look() -> Iterator[Finding]:
        raise error
        yield

    assert examine([Check("it", look)]) == [Finding("it", "wrong", text, action)]


def test_no_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log.redact, "_pattern", None)
    log.add_secrets(["canary-of-the-doctor"])
    leak = Finding("it", "wrong", "a canary-of-the-doctor b", "canary-of-the-doctor")
    (told,) = examine([Check("it", lambda: [leak])])
    assert told.text == "a *** b" and told.action == "***"


def test_only_what_is_wrong_makes_it_unhealthy() -> None:
    assert healthy([found("ok"), found("note")])
    assert not healthy([found("ok"), found("wrong")])


@pytest.mark.parametrize(
    ("version", "bounds", "fine"),
    [
        ("24.11.1", ">=24.11,<27", True),
        ("27.0", ">=24.11,<27", False),
        ("24.10.9", ">=24.11,<27", False),
        ("3", ">=3,<5", True),
        ("1.2.3rc1", "<2,>=1.2.3", True),
        ("5", "", True),
    ],
)
def test_versions_are_compared_by_number(version: str, bounds: str, fine: bool) -> None:
    assert machine.fits(version, bounds) is fine


def test_the_libraries_that_are_needed_are_known() -> None:
    names = [name for name, _ in machine.requirements()]
    assert {"gevent", "requests", "PyYAML", "loguru"} <= set(names) and "pytest" not in names


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("app_secret: abcdef\n", True),
        ("accounts:\n  sales: {x: 1}\n  bot_token: 'xoxb'\n", True),
        ("app_secret: ${SECRET}\n", False),
        ('client_secret: "file:my.secret"\n', False),
        ("# app_secret: abcdef\n", False),
        ('token: ""   # none\n', False),
        ("locale: en\n", False),
        ("accounts:\n  sales: {app_id: cli_a, app_secret: hunter2}\n", True),
        ('accounts:\n  sales: {app_id: cli_a, app_secret: "file:sales.secret"}\n', False),
        ("proxy: http://me:hunter2@proxy.example:3128\n", True),
        ("proxy: http://proxy.example:3128\n", False),
        ("agent: {type: openai, api_key: sk-hunter2}\n", True),
        ("sessions: {history_tokens: 4000}\n", False),
    ],
)
def test_a_file_holds_a_secret_where_one_is_written_out(tmp_path: Path, text: str, holds: bool) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "feishu.local.yaml"
    path.write_text(text)
    path.chmod(0o644)
    told = list(local._conf_files(tmp_path))
    assert [each.level for each in told] == (["wrong"] if holds else [])
    path.chmod(0o600)
    assert not list(local._conf_files(tmp_path))


def test_files_that_others_can_read_are_named_with_their_cure(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "gateway.sqlite3").write_text("")
    (tmp_path / "gateway.sqlite3").chmod(0o644)
    (told,) = local._folder("data_dir", tmp_path)
    assert told.level == "wrong" and told.action == f"chmod 600 {tmp_path / 'gateway.sqlite3'}"
    (tmp_path / "gateway.sqlite3").chmod(0o600)
    assert [each.level for each in local._folder("data_dir", tmp_path)] == ["ok"]


@pytest.mark.parametrize("folder, file, read", [(0o700, 0o644, False), (0o750, 0o604, False), (0o750, 0o640, True)])
def test_what_lies_where_others_cannot_go_is_read_by_nobody(tmp_path: Path, folder: int, file: int, read: bool) -> None:
    (tmp_path / "supervisord.log").write_text("")
    (tmp_path / "supervisord.log").chmod(file)
    tmp_path.chmod(folder)
    assert [each.level for each in local._folder("data_dir", tmp_path)] == ["wrong" if read else "ok"]


def test_a_place_that_is_not_there_yet_is_fine_where_it_can_be_made(tmp_path: Path) -> None:
    (told,) = local._folder("data_dir", tmp_path / "a" / "b")
    assert told.level == "ok" and "will be made" in told.text


def test_a_full_disk_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "FEW", 1 << 62)
    assert [each.level for each in local._disk("data_dir", tmp_path)] == ["wrong"]
    monkeypatch.setattr(local, "FEW", 0)
    monkeypatch.setattr(local, "LITTLE", 1 << 62)
    assert [each.level for each in local._disk("data_dir", tmp_path / "not" / "there")] == ["note"]


def test_a_target_is_named_by_host_and_port() -> None:
    assert Target("https://open.example.com").name == "open.example.com"
    assert Target("http://127.0.0.1:9001").name == "127.0.0.1:9001"
