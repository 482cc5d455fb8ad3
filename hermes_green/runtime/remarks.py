"""Remarks: what an answer says beside the agent's words, so that nothing is dropped in silence."""

from __future__ import annotations

from typing import Iterator, Sequence

from hermes_green.core.model import Attachment
from hermes_green.core.text import is_blank
from hermes_green.runtime import texts
from hermes_green.runtime.media import LIMIT

# Files that are named one by one, and characters of a name.
MOST, NAME = 3, 80


def remarked(text: str, media: Sequence[Attachment], asked: Sequence[Attachment], locale: str) -> str:
    """The answer ``text``, which brings ``media``, to a message with the attachments ``asked``: a line behind it
    for those that nobody could read. It stands at the end, because people may have seen the beginning."""
    if is_blank(text):
        text = "" if media else texts.say("empty", locale)
    return "\n\n".join([*filter(None, [text]), *_unread([each for each in asked if each.path is None], locale)])


def _unread(files: Sequence[Attachment], locale: str) -> Iterator[str]:
    limit = f"{LIMIT // (1024 * 1024)} MiB"
    for each in files[:MOST]:
        name = " ".join(each.name.split())[:NAME] or each.kind
        yield texts.say("file_unread", locale, file=name, limit=limit)
    if len(files) > MOST:
        yield texts.say("files_unread", locale, count=str(len(files) - MOST))
