"""SqliteStore: the durable store by default; one file, group commit, nothing to install."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from hermes_green.store.audit import Audit
from hermes_green.store.inbox import Inbox
from hermes_green.store.lines import Lines
from hermes_green.store.outbox import Outbox
from hermes_green.store.upkeep import Upkeep


class SqliteStore(Inbox, Outbox, Lines, Upkeep, Audit):
    """``core.ports.Store`` on one SQLite file (WAL, synchronous FULL, mode 0600).

    path: the file, born if it is not there, migrated (after a backup) if it is older.
    busy_timeout: seconds to wait for another process that holds the file, off the hub.
    patience: seconds after which any waiter is told StoreAway. capacity: operations that may wait
    for the writer. batch: rows that share one commit. readers: threads that read.
    max_page_count: most pages the file may have; before_commit: runs on the writer's thread before
    each commit, may sleep or raise. The last two are for tests.

    Raises:
        StoreBroken: the file is damaged, foreign, or newer; ``action`` says how to mend it. It is
            left as it was.
        StoreAway: it cannot be opened now.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        busy_timeout: float = 5.0,
        patience: float = 30.0,
        capacity: int = 10_000,
        batch: int = 1_000,
        readers: int = 2,
        max_page_count: int | None = None,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            path,
            busy_timeout=busy_timeout,
            patience=patience,
            capacity=capacity,
            batch=batch,
            readers=readers,
            max_page_count=max_page_count,
            before_commit=before_commit,
        )
