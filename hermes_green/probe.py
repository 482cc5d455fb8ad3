"""Probe: a fresh process performs one child's own dial up to READY, closes, and says how it went.

``python -m hermes_green.probe CONF CHILD``: exit 0 and one line on standard output when the platform
answered, 1 and the reason when it did not. The caller has booked the dial and owns the bot's lock.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Callable  # noqa: E402

import gevent  # noqa: E402
from loguru import logger  # noqa: E402

from hermes_green.adapters import registry as adapters  # noqa: E402
from hermes_green.blueprint import load_config  # noqa: E402
from hermes_green.core.errors import LinkLost  # noqa: E402
from hermes_green.ops.log import redact  # noqa: E402

DEADLINE = 60.0


class OneDial:
    """A Port that takes nothing: what a platform pushes meanwhile is left un-acknowledged."""

    number = 1

    def __init__(self) -> None:
        self.who: str | None = None
        self._close: Callable[[], None] | None = None

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        """The answer we came for; the link is closed at once."""
        self.who = who
        if self._close is not None:
            gevent.spawn(self._close).name = "probe-close"

    def on_close(self, fn: Callable[[], None]) -> None:
        self._close = fn

    def accept(self, *message: Any, **more: Any) -> None:
        """Nothing is taken."""

    def keep(self, *frame: Any) -> None:
        """Nothing is sheltered: the place belongs to whoever asked."""

    def quarantine(self, *frame: Any) -> None:
        """Nothing is kept."""

    def beat(self) -> None:
        """Nobody watches."""

    def heartbeat(self, outcome: str) -> None:
        """Nobody counts."""

    def spend(self, kind: str) -> None:
        """Booked by whoever asked."""

    def retire(self, grace: float) -> None:
        raise LinkLost("the platform ends the link")


class Alone:
    """A Context without a gateway behind it."""

    def __init__(self, child: str, account: str) -> None:
        self.child = child
        self.account = account
        self.log = logger

    def memo(self, name: str) -> None:
        """Nothing is remembered: a session of the gateway's is not ours to resume."""

    def count(self, name: str, outcome: str = "") -> None:
        """Nobody counts."""

    def reject(self, error: Exception) -> None:
        """The run says it, too."""

    def rekey(self, old: str, new: str) -> None:
        """Nothing is kept."""

    def hide(self, secret: str) -> None:
        """What is said at the end shows none."""
        redact.add([secret], short_lived=True)

    def beside(self, compute: Callable[..., Any], *values: Any) -> Any:
        """Nobody else waits."""
        return compute(*values)


def dial(conf_dir: Path, child: str) -> tuple[bool, str]:
    """Whether the platform answered, and its name for the bot or why not. Raises ConfError."""
    config = next(each for each in load_config(conf_dir).children if each.id == child)
    adapter = adapters.package(config.platform).create(config.options, Alone(child, config.account))
    port = OneDial()
    try:
        with gevent.Timeout(DEADLINE, LinkLost(f"not ready within {DEADLINE:.0f} s")):
            adapter.run(port)
    except Exception as error:  # border: whatever the dial raises is the answer
        if port.who is None:
            return False, f"{type(error).__name__}: {error}"
    finally:
        adapter.close()
    return (True, port.who) if port.who is not None else (False, "the link ended before it was ready")


if __name__ == "__main__":
    logger.remove()
    done, said = dial(Path(sys.argv[1]), sys.argv[2])
    print(redact(said), flush=True)
    sys.exit(0 if done else 1)
