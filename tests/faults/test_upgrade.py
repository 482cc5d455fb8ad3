"""A new version begins where the one before it was killed, on the database that that one has left."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from hermes_green.store import schema
from hermes_green.store.connection import APPLICATION_ID, log_of
from tests.support.scene import QUICK, Scene
from tests.support.stage import until


def as_the_version_before(path: Path) -> int:
    """Write the database anew in the schema before this one, with all that it can hold; that schema's number."""
    older = path.with_name("older")
    version = len(schema.MIGRATIONS) - 1
    with closing(sqlite3.connect(older, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        for statement in (each for migration in schema.MIGRATIONS[:version] for each in migration):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("ATTACH ? AS present", (str(path),))
        tables = [name for (name,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for name in tables:
            columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({name})"))
            db.execute(f"DELETE FROM main.{name}")
            db.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM present.{name}")
    for name in (path, log_of(path), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    older.rename(path)
    return version


def test_replies_that_wait_and_turns_that_were_cut_survive_an_upgrade_of_the_database(stage, seed) -> None:
    model = stage.model()
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    scene = Scene(stage, gateway={"agent": agent, "supervisor": QUICK})
    scene.say("feishu", "done", "done")
    scene.expect("feishu", "done", ["echo: done"], settle=0)
    scene.sims["feishu"].fault("slow", delay=60)
    for number in range(3):
        scene.say("feishu", "sending", f"sending {number}")
    until(lambda: scene.gateway.status()["outbox"] == 3, what="replies that wait")
    model.behave(hang=True)
    scene.say("qq", "cut", "cut")
    until(lambda: scene.gateway.status()["turns"] == 1, what="a turn")
    scene.gateway.kill(signal.SIGKILL)
    model.behave(hang=False)
    for sim in scene.sims.values():
        sim.clear()
    path = stage.home / "var" / "gateway.sqlite3"
    version = as_the_version_before(path)
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    scene.expect("feishu", "sending", [f"echo: sending {number}" for number in range(3)], settle=0)
    scene.expect("qq", "cut", ["echo: cut"])
    assert scene.texts("feishu", "done") == ["echo: done"]
    assert schema.backup_of(path, version).exists()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    scene.sims["feishu"].fault("redeliver")
    scene.say("feishu", "done", "again")
    scene.expect("feishu", "done", ["echo: done", "echo: again"])
    assert scene.gateway.status()["dead"] == 0
    scene.no_violations()
