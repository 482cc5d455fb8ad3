"""The commands find a running gateway though its file names another data directory by now."""

import json
import os

import pytest

from hermes_green.ops.lock import FileLock, data_lock_path
from hermes_green.ops.whereabouts import tell
from hermes_green.remote import NotRunning, Remote
from hermes_green.settings.load import load_outline


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A configuration, whose gateway runs in ``var``."""
    conf, states = tmp_path / "conf", tmp_path / "state"
    conf.mkdir()
    monkeypatch.setenv("HERMES_GREEN_STATE_DIR", str(states))
    lock = FileLock(data_lock_path(tmp_path / "var"))
    lock.acquire()
    (tmp_path / "var" / "gateway.json").write_text(json.dumps({"pid": os.getpid(), "http": "http://127.0.0.1:8787"}))
    note = tell(conf, tmp_path / "var", states, os.getpid())

    def remote(data_dir="var"):
        (conf / "gateway.yaml").write_text(f"data_dir: {data_dir}\n")
        return Remote(load_outline(conf))

    yield tmp_path, lock, note, remote
    lock.release()


def test_a_gateway_is_found_after_its_file_was_changed(scene):
    _, _, _, remote = scene
    assert remote().pid() == os.getpid()
    assert remote("elsewhere").pid() == os.getpid()
    assert remote("elsewhere")._address() == ("127.0.0.1", 8787, os.getpid())


def test_a_note_that_a_killed_gateway_left_leads_to_nobody(scene):
    home, lock, note, remote = scene
    lock.release()
    with pytest.raises(NotRunning):
        remote("elsewhere").pid()
    lock.acquire()
    note.write_text(json.dumps({"data_dir": str(home / "var"), "pid": 1}))
    with pytest.raises(NotRunning):
        remote("elsewhere").pid()
    note.write_text("{")
    with pytest.raises(NotRunning):
        remote("elsewhere").pid()


def test_whoever_owns_the_directory_that_the_file_names_comes_first(scene):
    home, _, note, remote = scene
    note.write_text(json.dumps({"data_dir": str(home / "other"), "pid": os.getpid()}))
    assert remote("var").pid() == os.getpid()
