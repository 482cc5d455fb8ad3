"""Mutants: JSON as a platform never sends it, but might."""

from __future__ import annotations

import json
import random
from typing import Any

STRANGE = (None, 0, -1, 1e400, True, "", "x", "\ud83d", [], [None], {}, {"id": {}}, 1 << 70)


def mutant(value: Any, draw: random.Random) -> Any:
    """A copy with one to four things in it changed or gone."""
    copy = json.loads(json.dumps(value))
    for _ in range(draw.randint(1, 4)):
        _change(copy, draw)
    return copy


def _change(value: Any, draw: random.Random) -> None:
    while isinstance(value, (dict, list)) and value:
        key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if not isinstance(value[key], (dict, list)) or not value[key] or draw.random() < 0.3:
            if draw.random() < 0.3:
                del value[key]
            else:
                value[key] = json.loads(json.dumps(draw.choice(STRANGE)))
            return
        value = value[key]
