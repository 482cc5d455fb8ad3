"""Plain: the same adapter without a gateway behind it: it answers from its reader, and keeps nothing.

``python -m tests.bench._plain PLATFORM SETTINGS`` (settings as JSON) runs it until it is killed.
"""

from gevent import monkey

monkey.patch_all()

import itertools  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Callable, Mapping  # noqa: E402

import gevent  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))

from hermes_green.adapters import registry  # noqa: E402
from hermes_green.core.model import Inbound, Part, Reply, Secret  # noqa: E402
from tests.support.port import FakeContext  # noqa: E402


class PlainPort:
    """Takes a message, acknowledges it, and has ``answer`` answer it; what else a run says is lost."""

    number = 1

    def __init__(self, answer: Callable[[Inbound], None]) -> None:
        self._answer = answer

    def accept(self, inbound: Inbound | None, ack: Any = None, memo: Mapping[str, Any] | None = None) -> None:
        if ack is not None:
            ack(inbound is not None)
        if inbound is not None:
            self._answer(inbound)

    def quarantine(self, raw: Any, error: Exception, ack: Any = None) -> None:
        raise error

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        self.link = link
        print(f"plain ready http://{who}", flush=True)

    def beat(self) -> None: ...

    def heartbeat(self, outcome: str) -> None: ...

    def retire(self, grace: float) -> None: ...

    def spend(self, kind: str) -> None: ...

    def on_close(self, fn: Callable[[], None]) -> None: ...


def adapter_of(platform: str, values: Mapping[str, Any]) -> Any:
    """An adapter with the settings of a platform file."""
    package = registry.package(platform)
    keys = {name: Secret(value) if name.endswith("secret") else value for name, value in values.items()}
    return package.create(package.Settings(**keys), FakeContext(platform))


def main() -> None:
    adapter = adapter_of(sys.argv[1], json.loads(sys.argv[2]))
    keys = itertools.count()

    def answer(inbound: Inbound) -> None:
        reply = Reply("echo: " + inbound.text, inbound.peer, inbound.reply_ref)
        for ordinal, payload in enumerate(adapter.render(reply)):
            number = next(keys)
            key = f"plain{number:027d}"
            part = Part(key, 1 + ordinal, ordinal, inbound.peer, payload, inbound.reply_ref)
            gevent.spawn(adapter.send, part, port.link)

    port = PlainPort(answer)
    adapter.run(port)


if __name__ == "__main__":
    main()
