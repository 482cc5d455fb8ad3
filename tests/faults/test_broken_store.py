"""A database that is damaged, gone or held by others: said in a sentence, mended as it says, never begun anew."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

import gevent
import pytest

from tests.faults.test_store_away import held
from tests.support.scene import QUICK, Scene, hermes
from tests.support.stage import PATIENCE


def damaged(scene: Scene, table: str) -> bytes:
    """Spoil the page that leads to all rows of a table; the file as it is now."""
    path = scene.stage.home / "var" / "gateway.sqlite3"
    with closing(sqlite3.connect(path)) as plain:
        (page,) = plain.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize(
    "table",
    [pytest.param("inbox", marks=pytest.mark.long), "inbox_ended"],
    ids=["met by a message", "met by its answer"],
)
def test_a_damaged_database_ends_the_process_with_78_and_what_the_sentence_says_mends_it(stage, seed, table) -> None:
    scene = Scene(stage, gateway={"supervisor": QUICK}, arguments={"feishu": ("--redelivery", "1,1,2,2,4,4,8,8,16")})
    path = stage.home / "var" / "gateway.sqlite3"
    for name in scene.sims:
        scene.say(name, "before", "before")
        scene.expect(name, "before", ["before"], settle=0)
    assert scene.gateway.kill(signal.SIGTERM) == 0
    content = damaged(scene, table)
    scene.gateway = stage.gateway()
    scene.say("feishu", "after", "after")
    assert scene.gateway.popen.wait(timeout=PATIENCE) == 78, scene.gateway.tail()
    told = [line for line in scene.gateway.log.read_text().splitlines() if "CRITICAL" in line]
    print(told[-1])
    assert str(path) in told[-1] and "malformed" in told[-1] and "hermes-green rescue" in told[-1]
    assert scene.texts("feishu", "after") == []
    done = hermes(stage, "rescue")
    print(done.out)
    assert done.code == 0 and "inbox " in done.out and str(path) + ".damaged" in done.out, done
    assert len(path.with_name(path.name + ".damaged").read_bytes()) >= len(content)
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    # What it had not acknowledged comes again, what it had is there, and what was answered is known to have been.
    scene.expect("feishu", "after", ["after"])
    scene.sims["feishu"].fault("redeliver")
    gevent.sleep(1)
    assert [scene.texts(name, "before") for name in scene.sims] == [["before"], ["before"]]
    assert hermes(stage, "rescue").code == 78, "never while a gateway runs"
    assert scene.gateway.kill(signal.SIGTERM) == 0
    assert "sound" in hermes(stage, "rescue").out


def test_a_database_that_is_none_or_gone_is_refused_and_not_begun_anew(stage, seed) -> None:
    scene = Scene(stage, platforms=("feishu",))
    scene.say("feishu", "before", "before")
    scene.expect("feishu", "before", ["before"], settle=0)
    path = stage.home / "var" / "gateway.sqlite3"
    scene.gateway.kill(signal.SIGKILL)
    dials = len(scene.sims["feishu"].record("dial"))

    def refused(content: bytes | None, logs: int) -> None:
        done = hermes(stage, "run")
        assert done.code == 78 and str(path) in done.err and "Traceback" not in done.err, done
        assert "ready" not in done.out and (path.read_bytes() if path.exists() else None) == content
        assert len(list(path.parent.glob("*-wal"))) == logs

    path.unlink()
    refused(None, 1)  # only its log is there
    path.with_name(path.name + "-wal").unlink()
    for content in (b"this is no database at all" * 400, b""):
        path.write_bytes(content)
        refused(content, 0)
    assert len(scene.sims["feishu"].record("dial")) == dials


def test_a_database_that_somebody_holds_at_the_start_is_a_reason_to_be_started_again(stage, seed) -> None:
    scene = Scene(stage, platforms=("feishu",))
    assert scene.gateway.kill(signal.SIGTERM) == 0
    with held(scene):
        done = hermes(stage, "run")
        assert done.code == 75 and "locked" in done.err and "end the program that holds it" in done.err, done
        assert len(done.err.strip().splitlines()) <= 2
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
