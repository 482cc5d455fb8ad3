"""Echo: the agent that needs no model; says what it was told."""

from __future__ import annotations

from typing import Any, Iterator

from hermes_green.core.model import Delta, Turn


class Echo:
    """Answers with the message's own text; a message of media alone is described."""

    def run(self, turn: Turn) -> Iterator[Delta]:
        """One delta."""
        notes = [f"[{each.kind}: {each.name}]" if each.name else f"[{each.kind}]" for each in turn.attachments]
        yield Delta(turn.text or " ".join(notes))

    def close(self) -> None:
        """Nothing to free."""


def create(options: Any, log: Any) -> Echo:
    """It has no options."""
    return Echo()
