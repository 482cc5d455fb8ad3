"""What the web needs of the gateway and of the page's chat, as the views see it."""

from __future__ import annotations

from typing import Any, Mapping, Protocol, Sequence

from hermes_green.core.model import Message
from hermes_green.core.ports import AuditLine, DeadLetter, Line, Sent, SessionInfo


class Event(Protocol):
    """One thing that happened; ``name`` as in hooks, ``at`` in wall seconds."""

    @property
    def name(self) -> str: ...

    @property
    def at(self) -> float: ...

    @property
    def data(self) -> Mapping[str, Any]: ...


class Subscription(Protocol):
    """A bounded feed of events."""

    def get(self, timeout: float) -> Event | None:
        """The next event, or None after ``timeout`` seconds."""

    def close(self) -> None:
        """Stop listening."""


class Records(Protocol):
    """What is written down. All raise StoreAway."""

    def audit(self, since: float, limit: int = 1000) -> Sequence[AuditLine]:
        """What came in since a wall time, oldest first."""

    def dead(self, limit: int = 100) -> Sequence[DeadLetter]: ...

    def dead_retry(self, id: str) -> bool: ...

    def dead_drop(self, id: str) -> bool: ...

    def sessions(self, limit: int = 100) -> Sequence[SessionInfo]: ...

    def session(self, id: str, turns: int = 20) -> Sequence[Message]:
        """The last lines of a session, oldest first; none when there is no such session."""

    def archived(self, id: str, turns: int = 20) -> Sequence[Message]:
        """The last lines that a session has put aside, oldest first."""

    def reset_session(self, id: str) -> bool: ...

    def transcript(self, child: str, chat: str, limit: int = 100) -> Sequence[Line]:
        """The last lines of a chat, oldest first."""


class Pairing(Protocol):
    """Who was let in with a code, and who waits with one."""

    def shown(self) -> dict[str, Any]:
        """{waiting, paired}."""

    def approve(self, code: str) -> Any:
        """Raises PairingRefused, StoreAway."""

    def revoke(self, child: str, user: str) -> bool:
        """False: he was not in. Raises StoreAway."""


class Gateway(Protocol):
    """The gateway from outside. Methods may wait, each with a deadline."""

    @property
    def records(self) -> Records: ...

    @property
    def pairing(self) -> Pairing: ...

    def status(self) -> dict[str, Any]: ...

    def health(self) -> dict[str, Any]:
        """{hub_lag_ms, pid, store}; never waits for the store."""

    def readiness(self, id: str | None = None) -> tuple[bool, dict[str, Any]]:
        """Whether every enabled child (or the one named) is READY, and what is said about it. Raises UnknownChild."""

    def send(self, child: str, chat: str, text: str, thread: str | None, reply_to: str | None, key: str = "") -> Sent:
        """The same ``key`` is the same send ("": none). Raises UnknownChild, UnknownChat, KeyReused, StoreAway."""

    def sent(self, id: str) -> Sent | None: ...

    def command(self, child: str, verb: str) -> dict[str, Any]:
        """restart, start or stop. Raises UnknownChild."""

    def reload(self) -> dict[str, Any]:
        """{ok, changed, restart_required, errors}."""

    def stop(self) -> None:
        """Begin to stop; returns at once."""

    def subscribe(self) -> Subscription: ...


class Feed(Protocol):
    """A bounded feed of one chat's lines; ``lagging``: some were lost, read the transcript."""

    lagging: bool

    def get(self, timeout: float) -> Mapping[str, Any] | None: ...

    def close(self) -> None: ...


class Lab(Protocol):
    """Simulated platforms behind this gateway, where it is being tried. All raise LinkLost (nobody answers
    there) and ConfError (it refuses); ``platform`` is one of ``platforms``."""

    def platforms(self) -> Sequence[Mapping[str, Any]]:
        """``[{name, title, kinds, faults: [{id, label, lasts}]}]``."""

    def seen(self, platform: str, since: int = 0) -> dict[str, Any]:
        """``{now, lines, on, links, sent, violations}``: what users see that has changed since ``since``."""

    def say(self, platform: str, text: str, kind: str = "dm") -> dict[str, Any]:
        """A user writes; the line."""

    def fault(self, platform: str, id: str) -> None: ...

    def clear(self, platform: str, id: str | None = None) -> None: ...


class Chat(Protocol):
    """The page's side of the web adapter's mailbox. ``child``: whose chats they are."""

    child: str

    def post(self, text: str, chat: str = "main", user: str | None = None, key: str | None = None) -> str:
        """The id of the message, once it is committed. Raises UnknownChat, LinkLost, StoreAway."""

    def listen(self, chat: str = "main") -> Feed:
        """Raises UnknownChat."""
