"""Records: what is written down, for those who look afterwards; works without a running gateway."""

from __future__ import annotations

from typing import Callable, Sequence

from hermes_green.core.clock import Clock
from hermes_green.core.ports import AuditLine, DeadLetter, Line, Message, SessionInfo, Store

# Sessions among which one that is reset is looked for, to tell hooks which chat it is.
RECENT = 1_000


class Records:
    """Dead letters, sessions, transcripts and the audit; ``resume`` is called when a row waits again,
    ``on_reset`` when a session was begun anew; ``contents``: whether the audit tells what was said."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        resume: Callable[[], None],
        on_reset: Callable[[SessionInfo], None],
        contents: Callable[[], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._resume = resume
        self._on_reset = on_reset
        self._contents = contents

    def audit(self, since: float, limit: int = 1000) -> Sequence[AuditLine]:
        """What came in since a wall time."""
        return self._store.audit(since, limit, self._contents())

    def dead(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The newest dead letters."""
        return self._store.dead(limit)

    def dead_retry(self, id: str) -> bool:
        """Back into its queue; False: there is no such dead letter."""
        done = self._store.dead_retry(id, self._clock.wall())
        if done:
            self._resume()
        return done

    def dead_drop(self, id: str) -> bool:
        """Forget one; False: there is no such dead letter."""
        return self._store.dead_drop(id, self._clock.wall())

    def sessions(self, limit: int = 100) -> Sequence[SessionInfo]:
        """The most recently used sessions."""
        return self._store.sessions(limit)

    def reset_session(self, id: str) -> bool:
        """Begin anew; False: there was nothing."""
        session = next((each for each in self._store.sessions(RECENT) if each.session_id == id), None)
        done = self._store.reset_session(id, self._clock.wall())
        if done:
            child, _, chat = id.partition(":")
            self._on_reset(session or SessionInfo(id, child, chat, 0, 0.0))
        return done

    def session(self, id: str, turns: int = 20) -> Sequence[Message]:
        """The last lines of a session's history."""
        return self._store.history(id, turns)

    def archived(self, id: str, turns: int = 20) -> Sequence[Message]:
        """The last lines that a session has put aside."""
        return self._store.archived(id, turns)

    def transcript(self, child: str, chat: str, limit: int = 100) -> Sequence[Line]:
        """The last lines of a chat, both directions."""
        return self._store.transcript(child, chat, limit)
