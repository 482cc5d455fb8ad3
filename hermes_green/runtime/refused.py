"""Refused: what becomes of a part that a platform will never take; no file goes in silence, no half text stays."""

from __future__ import annotations

import os
from typing import Any, Mapping

from hermes_green.core.errors import SendRefused, TextRefused
from hermes_green.core.model import Part, Reply
from hermes_green.core.ports import Adapter, Settled
from hermes_green.runtime import texts
from hermes_green.runtime.borders import ANYTHING

_MIB = 1024 * 1024
NAME = 80


def settled(adapter: Adapter, part: Part, error: SendRefused, locale: str, log: Any) -> Settled:
    """A dead letter. In place of a file goes one line that names it, and the limit where that is why; in place of
    a text that it does not take, or of which a draft has shown the beginning, one that says so."""
    media = part.payload.get("media")
    if isinstance(media, Mapping):
        name = str(media.get("name") or "") or os.path.basename(str(media.get("path") or ""))
        said = _said(" ".join(name.split())[:NAME] or str(media.get("kind") or "?"), error, locale)
    elif part.handle is not None or isinstance(error, TextRefused):
        said = texts.say("answer_refused", locale)
    else:
        return Settled("dead", reason=str(error))
    try:
        line = _line(adapter, part, said)
    except ANYTHING:  # border: a renderer that fails must not keep the lane with a part that is over
        log.exception("the line about what was refused could not be rendered: this is a bug")
        return Settled("dead", reason=str(error))
    if line == part.payload:  # which is the line itself
        return Settled("dead", reason=str(error))
    return Settled("replaced", reason=str(error), payload=line)


def _said(name: str, error: SendRefused, locale: str) -> str:
    if error.limit is not None:
        return texts.say("file_too_large", locale, file=name, limit=f"{error.limit / _MIB:g} MiB")
    if error.code == "file":  # it is ours, and not there: nobody was asked to take it
        return texts.say("file_gone", locale, file=name)
    return texts.say("file_refused", locale, file=name, code=error.code)


def _line(adapter: Adapter, part: Part, text: str) -> Mapping[str, Any]:
    """As the platform takes text; what went before it in the reply is spent already."""
    return adapter.render(Reply(text, part.peer, part.reply_ref, seq_used=max(0, part.reply_seq - 1)))[0]
