"""Kinds: what becomes of a platform's kinds of content, and how its table says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from hermes_green.core.codes import columns
from hermes_green.core.loose import text_of
from hermes_green.core.model import EMPTY, Attachment

# Characters of one fact.
LONGEST_FACT = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of content. ``becomes``: the kind of attachment that it is, or what else the platform's parse
    knows. ``name``: what stands for it where it has no words; ``facts``: its fields that say more."""

    becomes: str
    name: str = ""
    facts: tuple[str, ...] = ()

    def shown(self, content: Mapping[str, Any] = EMPTY) -> str:
        """``[name]``, or ``[name: facts]``."""
        facts = [content[each] for each in self.facts if content.get(each) not in (None, "")]
        said = " ".join(text_of(str(fact))[:LONGEST_FACT] for fact in facts)
        return f"[{self.name}: {said}]" if said else f"[{self.name}]"

    def attachment(self, ref: Mapping[str, Any], name: str = "", mime: str = "", size: int | None = None) -> Attachment:
        """What is fetched by ``ref``."""
        return Attachment(self.becomes, ref, name=name, mime=mime, size=size)  # type: ignore[arg-type]


def kinds_of(text: str) -> Mapping[str, Kind]:
    """The table in a file's text, in its order. A line is empty, a comment (#), or a row::

        kind, kind | what it becomes | name | fact fact

    Raises:
        ValueError: a line that makes no sense.
    """
    found: dict[str, Kind] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            kinds, becomes, name, facts = columns(line, 4)
            found.update(dict.fromkeys(kinds.split(", "), Kind(becomes, name, tuple(facts.split()))))
    return found
