"""Finding: one thing a check has seen; and how checks run side by side, none longer than it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Literal, NamedTuple, Sequence

import gevent

from hermes_green.core.errors import HermesError
from hermes_green.ops.log import redact

WITHIN = 5.0  # seconds for one check

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` names what was looked at; ``note`` is good to know and nothing wrong; ``action`` says how
    to mend what is."""

    check: str
    level: Level
    text: str
    action: str = ""


class Check(NamedTuple):
    """``look`` gives what it finds; a HermesError of its is something wrong, named by ``name``."""

    name: str
    look: Callable[[], Iterable[Finding]]


def examine(checks: Sequence[Check], within: float = WITHIN) -> list[Finding]:
    """All at once; their findings in the order of the checks, with no secret in them."""
    greenlets = [gevent.spawn(_one, check, within) for check in checks]
    gevent.joinall(greenlets, timeout=within + 1)
    found: list[Finding] = []
    for check, greenlet in zip(checks, greenlets):
        found += greenlet.value if greenlet.ready() and greenlet.value is not None else [_late(check, within)]
        greenlet.kill(block=False)
    return [Finding(each.check, each.level, redact(each.text), redact(each.action)) for each in found]


def _one(check: Check, within: float) -> list[Finding]:
    limit = gevent.Timeout(within)
    limit.start()
    try:
        return list(check.look())
    except gevent.Timeout as late:
        if late is not limit:
            raise
        return [_late(check, within)]
    except HermesError as error:
        return [Finding(check.name, "wrong", error.text, error.action)]
    except OSError as error:
        return [Finding(check.name, "wrong", error.strerror or str(error))]
    except Exception as error:  # border: one check's bug must not hide what the others found
        return [Finding(check.name, "wrong", f"this check failed itself: {error!r}", "this is a bug: please report it")]
    finally:
        limit.close()


def _late(check: Check, within: float) -> Finding:
    return Finding(check.name, "wrong", f"no answer within {within:g} s", "look at network, DNS, proxy or disk")
