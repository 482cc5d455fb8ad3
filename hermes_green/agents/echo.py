"""Echo: the agent that needs no model; says what it was told."""

from __future__ import annotations

import re
import time
from typing import Any, Iterator

from hermes_green.core.model import Delta, Turn

_WORD = re.compile(r"\s*\S+\s*")


class Echo:
    """Answers with the message's own text; a message of media alone is described. ``pace``: seconds between
    two words, as if a model wrote them; 0 answers at once."""

    def __init__(self, pace: float = 0) -> None:
        self._pace = pace

    def run(self, turn: Turn) -> Iterator[Delta]:
        """One delta, or one for each word."""
        notes = [f"[{each.kind}: {each.name}]" if each.name else f"[{each.kind}]" for each in turn.attachments]
        said = turn.text or " ".join(notes)
        for number, word in enumerate(_WORD.findall(said) if self._pace else [said]):
            if number:
                time.sleep(self._pace)
            yield Delta(word)

    def close(self) -> None:
        """Nothing to free."""


def create(options: Any, log: Any) -> Echo:
    """``options``: ``settings.schema.EchoAgent``."""
    return Echo(getattr(options, "pace", 0))
