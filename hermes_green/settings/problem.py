"""Problem: one thing wrong in a configuration file, at its place; ConfErrors: all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Iterable

from hermes_green.core.errors import ConfError


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """``nearest`` is the known key closest to the place; ``help`` one sentence on that key."""

    spot: Spot
    what: str
    nearest: str
    help: str

    def __str__(self) -> str:
        place = f"{self.spot.file}:{self.spot.line}:{self.spot.column}"
        return f"{place}: {self.what}; nearest known key: {self.nearest}; {self.help}"


class ConfErrors(ConfError):
    """Every problem found in one reading of the configuration; nothing of it applies."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        # Of one key there may be two helps: one that all platforms have, and a platform's own, which is told.
        self.problems = tuple(sorted({(each.spot, each.what): each for each in problems}.values()))
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(
            "\n".join(str(problem) for problem in self.problems),
            code="configuration",
            action=f"mend {count} in the configuration; hermes-green check shows them again",
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """The known key most like ``name``, the first of several alike; "" when none is known."""
    wanted = name.lower().replace("-", "_")
    best, best_ratio = "", -1.0
    for candidate in known:
        ratio = SequenceMatcher(None, wanted, candidate.rpartition(".")[2].lower()).ratio()
        if ratio > best_ratio:
            best, best_ratio = candidate, ratio
    return best
