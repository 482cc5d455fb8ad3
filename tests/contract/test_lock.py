"""Locks of the kernel: one owner, named to whoever comes second, gone with its process."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hermes_green.core.errors import ConfError
from hermes_green.ops.lock import FileLock, LockHeld, Owner, credential_id, owner, state_dir
from hermes_green.ops.ownership import evict
from tests.support.stage import PATIENCE

HOLD = """
import subprocess, sys, time
from hermes_green.ops.lock import FileLock
lock = FileLock(sys.argv[1], what="the bot", data_dir="/srv/var")
lock.acquire()
if len(sys.argv) > 2:
    subprocess.Popen(["sleep", sys.argv[2]], close_fds=False)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder():
    """Starts processes that hold a lock; ends them all."""
    started = []

    def start(path, *more):
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), *more], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_second_process_is_told_who_owns_the_lock_and_how_to_replace_it(tmp_path, holder):
    first = holder(tmp_path / "x.lock")
    with pytest.raises(LockHeld) as caught:
        FileLock(tmp_path / "x.lock", what="the bot").acquire()
    assert caught.value.owner.pid == first.pid
    assert caught.value.owner.data_dir == "/srv/var"
    assert f"the bot belongs to process {first.pid}" in caught.value.text
    assert "--replace" in caught.value.action
    assert isinstance(caught.value, ConfError)


def test_a_killed_owner_leaves_no_lock_behind(tmp_path, holder):
    first = holder(tmp_path / "x.lock")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert owner(tmp_path / "x.lock") is None
    FileLock(tmp_path / "x.lock").acquire()


def test_a_name_that_the_dead_have_left_is_not_taken_for_the_new_holders(tmp_path, holder):
    path = tmp_path / "x.lock"
    first = holder(path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert owner(path) == Owner(0), "somebody, who has not written who he is"
        path.write_text("{")
        assert owner(path) == Owner(0)


def test_what_cannot_be_there_is_held_by_nobody(tmp_path):
    (tmp_path / "file").touch()
    assert owner(tmp_path / "file" / "x.lock") is None and owner(tmp_path / "none" / "x.lock") is None


def test_a_program_the_owner_started_does_not_inherit_the_lock(tmp_path, holder):
    first = holder(tmp_path / "x.lock", "3")
    first.kill()
    first.wait()
    assert owner(tmp_path / "x.lock") is None


def test_waiting_gets_the_lock_when_the_owner_leaves(tmp_path, holder):
    first = holder(tmp_path / "x.lock")
    subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {first.pid}"]).wait()
    lock = FileLock(tmp_path / "x.lock")
    lock.acquire(wait=PATIENCE)
    assert lock.held
    assert owner(lock.path).pid == os.getpid()


def test_waiting_ends(tmp_path, holder):
    holder(tmp_path / "x.lock")
    begun = time.monotonic()
    with pytest.raises(LockHeld):
        FileLock(tmp_path / "x.lock").acquire(wait=0.3)
    assert 0.3 <= time.monotonic() - begun < PATIENCE


def test_a_released_lock_has_no_owner_and_can_be_taken_again(tmp_path):
    lock = FileLock(tmp_path / "deep" / "x.lock")
    with lock:
        assert owner(lock.path) == Owner(os.getpid(), owner(lock.path).started_at, "")
        lock.acquire()
    assert owner(lock.path) is None
    lock.release()
    with FileLock(lock.path):
        pass


def test_two_locks_of_one_process_exclude_each_other_too(tmp_path):
    with FileLock(tmp_path / "x.lock"), pytest.raises(LockHeld):
        FileLock(tmp_path / "x.lock").acquire()


def test_looking_who_owns_never_takes_the_lock_away_from_somebody(tmp_path):
    path = tmp_path / "x.lock"
    peek = "import sys\nfrom hermes_green.ops.lock import owner\nwhile True: owner(sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", peek, str(path)])
    try:
        for _ in range(30):
            with FileLock(path) as lock:
                assert lock.held
    finally:
        process.kill()
        process.wait()


def test_the_lock_file_is_private(tmp_path):
    with FileLock(tmp_path / "x.lock") as lock:
        assert lock.path.stat().st_mode & 0o777 == 0o600


def test_no_lock_file_has_no_owner(tmp_path):
    assert owner(tmp_path / "none.lock") is None


def test_a_lock_that_cannot_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfError, match="cannot be locked"):
        FileLock(tmp_path / "file" / "x.lock").acquire()


def test_the_state_directory_follows_the_environment(tmp_path):
    assert state_dir({"HERMES_GREEN_STATE_DIR": str(tmp_path)}) == tmp_path
    assert state_dir({"HERMES_GREEN_STATE_DIR": f"{tmp_path}\r"}) == tmp_path  # of a file that was saved elsewhere
    assert state_dir({"HOME": "/home/x"}).as_posix() == "/home/x/.local/state/hermes-green"


def test_a_user_of_whom_no_home_is_known_has_his_state_below_the_root(monkeypatch):
    """As with login(1); a directory that is called ~, in whatever directory somebody stands, would be no lock."""

    def nobody(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert state_dir({}).as_posix() == "/.local/state/hermes-green"


def test_a_credential_has_one_name_everywhere_and_no_other_bot_has_it():
    assert credential_id("qq", "", "1") == credential_id("qq", "", "1")
    assert len({credential_id("qq", "", "1"), credential_id("qq", "", "2"), credential_id("qq", "1", "")}) == 3


def test_who_goes_by_the_owners_number_here_and_is_not_the_owner_is_not_killed(tmp_path):
    lock = FileLock(tmp_path / "x.lock")
    lock.acquire()
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        # As the lock of another container looks, where numbers mean other processes.
        lock.path.write_text(json.dumps({"pid": bystander.pid, "started_at": "", "data_dir": ""}))
        held = LockHeld("the bot", lock.path, Owner(bystander.pid))
        with pytest.raises(LockHeld):
            evict(held, 0.2)
        assert bystander.poll() is None
    finally:
        lock.release()
        bystander.kill()
        bystander.wait()
