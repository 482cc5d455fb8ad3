"""Errors carry the policy: which class is raised decides whether we wait, count, halt or crash.

Nothing in the gateway matches on an error's text. Whoever knows what went wrong raises the
class that says what must happen; whoever catches it obeys the class.
"""

from __future__ import annotations


class HermesError(Exception):
    """Root of every error the gateway raises on purpose.

    ``code`` is a short machine-readable name (a vendor's error code where there is one),
    ``action`` one sentence that tells the operator how to mend it; both end in the status.
    """

    def __init__(self, text: str = "", *, code: str = "", action: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code or type(self).__name__
        self.action = action


class ConfError(HermesError):
    """The configuration is wrong: exit 78 at boot, HALTED when found by a running child."""


class LinkError(HermesError):
    """Something about one live connection."""


class LinkLost(LinkError):
    """The connection is gone or proved deaf: back off and dial again; never counted as a crash.

    ``status`` is the WebSocket close code or HTTP status where there was one, else None.
    """

    def __init__(
        self, text: str = "", *, status: int | None = None, code: str = "", action: str = ""
    ) -> None:
        super().__init__(text, code=code, action=action)
        self.status = status


# Seconds that nobody waits longer than, whatever a platform says.
LONGEST = 7 * 86_400.0


class Throttled(LinkError):
    """No dial before ``after`` seconds have passed (a budget is spent, or the platform said so), a week at most."""

    def __init__(self, text: str = "", *, after: float, code: str = "", action: str = "") -> None:
        super().__init__(text, code=code, action=action)
        self.after = min(after, LONGEST)


class AuthRejected(LinkError):
    """The platform refused the credential: HALTED until a human acts."""


class Displaced(LinkError):
    """Another process owns this bot: HALTED, so that the two do not kick each other for ever."""


class SendError(HermesError):
    """One part could not be delivered now; the subclass says what may be done with it."""


class SendRetry(SendError):
    """Certainly not delivered: try again after ``after`` seconds.

    ``scope`` says whose sends must wait: ``"chat"`` or ``"account"``.
    """

    def __init__(
        self, text: str = "", *, after: float = 0.0, scope: str = "chat", code: str = "", action: str = ""
    ) -> None:
        super().__init__(text, code=code, action=action)
        self.after = after
        self.scope = scope


class SendUnknown(SendError):
    """Perhaps delivered: the request left, the answer did not come."""


class SendCollision(SendError):
    """On a first attempt the reply number was already taken: take the next number and send anew."""


class SendRefused(SendError):
    """Will never be delivered: dead letter with this reason. ``limit``: the most bytes of a file that are
    taken, where the file's size is the reason."""

    def __init__(self, text: str = "", *, limit: int | None = None, code: str = "", action: str = "") -> None:
        super().__init__(text, code=code, action=action)
        self.limit = limit


class TextRefused(SendRefused):
    """The platform takes no such text, and its chat may take another: it is told so, in one line."""


class AgentError(HermesError):
    """The agent did not answer; the turn ends with one apology."""


class AgentTimeout(AgentError):
    """The agent exceeded one of its deadlines."""


class TurnTimeout(AgentTimeout):
    """The turn's whole time is spent: no other agent is asked in its place."""


class AgentFailed(AgentError):
    """The agent answered with an error, or its answer broke off."""


class StoreError(HermesError):
    """Something about the durable store."""


class StoreAway(StoreError):
    """The store cannot commit now (disk full, locked): refuse intake and wait."""


class StoreBroken(StoreError):
    """The store cannot be trusted (corrupt, foreign schema): halt the process, exit 78."""


class LeaseLost(StoreError):
    """The lease's token is no longer the row's: somebody else owns the work now."""


class KeyReused(StoreError):
    """An idempotency key came back with another body."""


class BadFrame(HermesError):
    """A frame that cannot be parsed: quarantine it, acknowledge it, count it."""


class UnknownChild(HermesError):
    """No child of that id; ``known`` are the ids there are."""

    def __init__(self, id: str, known: tuple[str, ...] = ()) -> None:
        there = f"; there are: {', '.join(known)}" if known else "; no child is configured"
        super().__init__(f"no child is called {id!r}{there}", code="unknown_child")
        self.id = id
        self.known = known


class UnknownChat(HermesError):
    """A chat id from outside whose kind cannot be told; ``field`` names the input that is wrong."""

    field = "chat"


class IllegalMove(HermesError):
    """A state machine was asked for a transition its table does not list."""

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"no transition from {state} on {event}")
        self.state = state
        self.event = event
