"""What stands where the gateway's own directories and files are to be: a sentence and 78, never a traceback."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from hermes_green import cli
from hermes_green.doctor import local
from hermes_green.doctor.subject import Subject
from hermes_green.ops.places import understood

Make = Callable[[Path], None]


def a_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("somebody's")


def a_directory(path: Path) -> None:
    (path / "with").mkdir(parents=True)


WRONG = [
    ("var", a_file, "file"),
    ("var/media", a_file, "file"),
    ("state", a_file, "file"),
    ("var/gateway.lock", a_directory, "directory"),
    ("var/gateway.json", a_directory, "directory"),
    ("var/gateway.sqlite3", a_directory, "directory"),
    ("log/gateway.log", a_directory, "directory"),
]
wrong = pytest.mark.parametrize("name, make, what", WRONG, ids=[name for name, _, _ in WRONG])


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HERMES_GREEN_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "conf").mkdir()
    log = tmp_path / "log" / "gateway.log"
    (tmp_path / "conf" / "gateway.yaml").write_text(f"http: {{port: 0}}\nlog: {{file: {log}}}\n")
    return str(tmp_path / "conf")


@wrong
def test_a_start_that_finds_something_in_its_way_says_what_and_where_and_ends_with_78(
    tmp_path: Path, conf: str, capsys: Any, name: str, make: Make, what: str
) -> None:
    make(tmp_path / name)
    assert cli.main(["run", "--conf", conf]) == 78
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{tmp_path / name} is a {what}, and a ") and "move away what is there" in told


@wrong
def test_the_doctor_says_it_once(tmp_path: Path, conf: str, name: str, make: Make, what: str) -> None:
    make(tmp_path / name)
    subject = Subject.of(Path(conf))
    found = [each for check in local.checks(subject) for each in check.look() if each.level == "wrong"]
    told = [each.text for each in found if f"is a {what}, and a " in each.text]
    assert len(told) == 1 and str(tmp_path / name) in told[0]
    assert not [each for each in found if "writable" in each.text or "chown" in each.action], found


def test_the_doctor_looks_whether_files_of_users_can_be_kept(tmp_path: Path, conf: str, monkeypatch: Any) -> None:
    media = tmp_path / "var" / "media"
    media.mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(local.os, "access", lambda path, mode: path != media and real(path, mode))
    found = [each for check in local.checks(Subject.of(Path(conf))) for each in check.look()]
    assert [each.text for each in found if each.level == "wrong"] == [f"{media} is not writable for this user"]


@pytest.mark.parametrize("name", ["var", "var/gateway.lock", "var/gateway.sqlite3"])
@pytest.mark.parametrize("words", [["sessions", "list"], ["rescue"]], ids=" ".join)
def test_the_written_record_is_not_called_empty_where_it_cannot_be(
    tmp_path: Path, conf: str, capsys: Any, words: list[str], name: str
) -> None:
    (a_file if name == "var" else a_directory)(tmp_path / name)
    assert cli.main([*words, "--conf", conf]) == 78
    told = capsys.readouterr()
    assert told.out == "" and str(tmp_path / name) in told.err and "move away what is there" in told.err


@pytest.mark.parametrize("verb, code", [("status", 69), ("stop", 0), ("check", 0)])
@wrong
def test_verbs_that_need_none_of_it_answer_as_ever(
    tmp_path: Path, conf: str, capsys: Any, name: str, make: Make, what: str, verb: str, code: int
) -> None:
    make(tmp_path / name)
    assert cli.main([verb, "--conf", conf]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_log_file_that_may_not_be_written_is_78_with_its_name(
    tmp_path: Path, conf: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/var/log/gateway.log")

    monkeypatch.setattr("hermes_green.app.logs.setup", closed)
    assert cli.main(["run", "--conf", conf]) == 78
    told = capsys.readouterr().err
    assert told.startswith("/var/log/gateway.log: Permission denied; let the user") and told.count("\n") == 1


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "a link to itself": lambda path: path.symlink_to(path),
    "a link into nowhere": lambda path: path.symlink_to(path.parent / "none" / "file"),
    "a pipe that nobody reads": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_log_file_that_cannot_be_opened_is_78_with_its_name_and_no_wait(
    tmp_path: Path, conf: str, capsys: Any, what: str
) -> None:
    (tmp_path / "log").mkdir()
    UNUSABLE[what](tmp_path / "log" / "gateway.log")
    assert cli.main(["run", "--conf", conf]) == 78
    told = capsys.readouterr().err
    assert told.startswith(f"log.file {tmp_path}/log/gateway.log cannot be opened: ") and told.count("\n") == 1, told


def test_a_database_that_is_a_link_into_nowhere_is_78_and_stays_a_link(tmp_path: Path, conf: str, capsys: Any) -> None:
    """The disk that it leads to may not be mounted yet: a new one in its place would hide all that waits there."""
    database = tmp_path / "var" / "gateway.sqlite3"
    database.parent.mkdir()
    database.symlink_to(tmp_path / "disk" / "gateway.sqlite3")
    assert cli.main(["run", "--conf", conf]) == 78
    told = capsys.readouterr().err
    assert told.startswith(f"{database}: it leads to {tmp_path}/disk/gateway.sqlite3, and nothing is there; "), told
    assert database.is_symlink()


def test_a_data_directory_that_is_a_link_to_itself_is_78(tmp_path: Path, conf: str, capsys: Any) -> None:
    (tmp_path / "var").symlink_to(tmp_path / "var")
    assert cli.main(["run", "--conf", conf]) == 78
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{tmp_path}/var is a file, and a directory is wanted there; ")


def test_only_what_a_person_or_time_can_mend_is_no_bug() -> None:
    def about(number: int, *name: str) -> Any:
        return understood(OSError(number, os.strerror(number), *name))

    assert about(errno.ENOSPC).action == "free disk space"
    assert "move away" in about(errno.EISDIR, "/a").action and "read and write" in about(errno.EROFS, "/a").action
    assert about(errno.EACCES) is None and about(errno.EIO, "/a") is None and about(errno.ENOENT, "/a") is None
