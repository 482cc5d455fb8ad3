"""Translator: what the adapters of platforms have in common; each adds what its platform alone does."""

from __future__ import annotations

from typing import Any, Callable

from hermes_green.core.clock import Clock, SystemClock
from hermes_green.core.errors import SendRefused
from hermes_green.core.model import CapsTable, Part, Receipt
from hermes_green.core.ports import Context


class Translator:
    """An adapter of one account: its settings, and ``_rest``, its calls. ``core.ports.Adapter`` says what the
    methods promise."""

    caps: CapsTable
    _settings: Any
    _rest: Any

    def __init__(self, settings: Any, ctx: Context, clock: Clock | None = None) -> None:
        self._settings = settings
        self._ctx = ctx
        self._clock = clock or SystemClock()

    def close(self) -> None:
        """Close the pooled HTTP connections."""
        self._rest.close()

    def _completed(
        self,
        part: Part,
        finish: Callable[[Part], str],
        post: Callable[[Part], str],
        retract: Callable[[Part], None],
    ) -> Receipt:
        """Finish the draft that a part carries. Where the platform refuses that, or a file comes in its place,
        the part goes anew and the draft is taken back: in this order, so that nothing is lost in between.

        ``finish`` and ``post`` answer with the message's id; of ``finish``, "" is a refusal, too.
        """
        id = ""
        if part.handle and "media" not in part.payload:
            try:
                id = finish(part)
            except SendRefused as refused:
                self._ctx.count("drafts", "anew")
                self._ctx.log.info("the draft cannot be finished, the part is sent anew: {}", refused)
        if not id:
            id = post(part)
            if part.handle:
                retract(part)
        return Receipt(id, self._clock.wall())
