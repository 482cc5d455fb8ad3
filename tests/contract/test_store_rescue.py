"""A damaged store is put aside as it is, and what can be read of it goes on in a new one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hermes_green.core.errors import StoreBroken
from hermes_green.core.model import Inbound, Peer
from hermes_green.core.ports import Intake, NewPart, TurnEnd
from hermes_green.store.rescue import rescue
from hermes_green.store.sqlite import SqliteStore

NOW = 1_700_000_000.0
ROWS = 400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with much waiting, a reply that is not sent yet, and its log gone into the file."""
    path = tmp_path / "data" / "gateway.sqlite3"
    store = SqliteStore(path)
    store.accept("feishu", [intake(n) for n in range(ROWS)], NOW)
    lease = store.lease_session("s0", "w", 60, NOW)
    store.commit_turn(lease, TurnEnd("done", parts=(NewPart(Peer("feishu", "oc", "group"), {"text": "a"}),)), NOW)
    store.close()
    return path


def intake(n: int) -> Intake:
    return Intake(Inbound((f"k{n}",), Peer("feishu", "oc", "group"), f"m{n}", f"hello {n} " * 100), f"s{n}")


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as plain:
        return plain.execute(query).fetchall()


def damage(path: Path, table: str, *, root: bool = False) -> None:
    """Spoil a page in the middle of a table, or the one that leads to all others."""
    (page,) = ask(path, f"SELECT rootpage FROM sqlite_master WHERE name = '{table}'")[0]
    content = bytearray(path.read_bytes())
    if not root:
        text = f"hello {ROWS // 2} hello".encode()
        page = content.index(text) // 4096 + 1
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(content)


def test_a_page_that_is_lost_costs_the_rows_in_it_and_no_others(path: Path) -> None:
    damage(path, "inbox")
    spoilt = path.read_bytes()
    done = rescue(path)
    assert done.aside.read_bytes() == spoilt
    assert ROWS - 10 <= done.tables["inbox"].rows < ROWS and not done.tables["inbox"].whole
    assert {name for name, each in done.tables.items() if not each.whole} == {"inbox"}
    assert sorted(each.name for each in path.parent.iterdir()) == ["gateway.sqlite3", "gateway.sqlite3.damaged"]
    store = SqliteStore(path)
    waiting = store.sessions_waiting()
    assert len(waiting) == done.tables["inbox"].rows - 1 and {"s1", f"s{ROWS - 1}"} <= set(waiting)
    assert store.lease_outbox("feishu", "oc", NOW).part.payload == {"text": "a"}
    assert list(store.accept("feishu", [intake(1)], NOW)) == [None], "it is known that this one came"
    (row,) = store.accept("feishu", [intake(ROWS)], NOW)
    assert row is not None and row > ROWS, "no number is given away twice"
    store.close()
    assert rescue(path) is None


def test_a_table_that_is_lost_as_a_whole_costs_no_other(path: Path) -> None:
    damage(path, "inbox", root=True)
    done = rescue(path)
    assert done.tables["inbox"].rows == 0 and done.tables["inbox_key"].rows == ROWS
    store = SqliteStore(path)
    assert store.lease_outbox("feishu", "oc", NOW) is not None
    (row,) = store.accept("feishu", [intake(ROWS)], NOW)
    assert row is not None and row > ROWS
    store.close()


def test_an_index_that_is_lost_costs_nothing(path: Path) -> None:
    damage(path, "inbox_active", root=True)
    done = rescue(path)
    assert done.tables["inbox"].rows == ROWS and all(each.whole for each in done.tables.values())


def test_what_is_still_in_the_log_is_rescued_too(path: Path, tmp_path: Path) -> None:
    damage(path, "inbox_active", root=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as killed:
        killed.execute("INSERT INTO memo VALUES ('feishu', 'late', '1', 1.0)")
        log = path.with_name(path.name + "-wal")
        kept, content = log.read_bytes(), path.read_bytes()
    path.write_bytes(content)
    log.write_bytes(kept)
    done = rescue(path)
    assert ask(path, "SELECT name FROM memo") == [("late",)]
    assert done.aside.with_name(done.aside.name + "-wal").read_bytes() == kept


@pytest.mark.parametrize("content", [b"this is no database at all" * 400, b""], ids=["garbage", "empty"])
def test_where_nothing_can_be_read_all_stays_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreBroken):
        rescue(path)
    assert path.read_bytes() == content and [each.name for each in path.parent.iterdir()] == ["gateway.sqlite3"]


def test_a_file_system_without_second_names_gets_a_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    damage(path, "inbox")
    before = path.read_bytes()
    monkeypatch.setattr("hermes_green.store.rescue.os.link", link)
    done = rescue(path)
    assert done.aside.read_bytes() == before and done.tables["inbox"].rows and rescue(path) is None


def test_what_was_put_aside_before_is_never_lost(path: Path) -> None:
    damage(path, "inbox")
    before = path.read_bytes()
    path.with_name("gateway.sqlite3.damaged").write_text("an earlier one")
    with pytest.raises(FileExistsError):
        rescue(path)
    assert path.read_bytes() == before


def test_a_sound_file_is_left_alone(path: Path) -> None:
    before = path.read_bytes()
    assert rescue(path) is None
    assert path.read_bytes() == before and [each.name for each in path.parent.iterdir()] == ["gateway.sqlite3"]
