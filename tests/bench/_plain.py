"""Plain: an adapter without a gateway behind it, for the ratio between them.

``python -m tests.bench._plain PLATFORM SETTINGS HOW [DIRECTORY]`` (settings as JSON) runs it until it is
killed. HOW: ``answer`` acknowledges and answers from the reader, ``take`` only acknowledges;
``keep`` is the gateway's own way in, its intake and a durable store in DIRECTORY, and nothing behind.
"""

from gevent import monkey

monkey.patch_all()

import itertools  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Callable, Mapping  # noqa: E402

import gevent  # noqa: E402
from loguru import logger  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))

from hermes_green.adapters import registry  # noqa: E402
from hermes_green.core.clock import SystemClock  # noqa: E402
from hermes_green.core.model import Inbound, Part, Reply, Secret  # noqa: E402
from hermes_green.runtime.intake import Intake, Offer  # noqa: E402
from hermes_green.store.sqlite import SqliteStore  # noqa: E402
from tests.support.port import FakeContext  # noqa: E402


class PlainPort:
    """Takes a message, acknowledges it, and has ``answer`` answer it; what else a run says is lost."""

    number = 1

    def __init__(self, answer: Callable[[Inbound], None]) -> None:
        self._answer = answer
        self._told = False

    def accept(self, inbound: Inbound | None, ack: Any = None, memo: Mapping[str, Any] | None = None) -> None:
        if ack is not None:
            ack(inbound is not None)
        if inbound is not None:
            self._answer(inbound)

    def keep(self, raw: Any) -> None: ...

    def quarantine(self, raw: Any, error: Exception, ack: Any = None) -> None:
        raise error

    def ready(self, who: str, link: Any = None, *, proof_within: float | None = None) -> None:
        self.link = link
        if not self._told:
            self._told = True
            print(f"plain ready {who.split()[0]}", flush=True)

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


class KeepingPort(PlainPort):
    """Commits with the gateway's own intake before it acknowledges."""

    def __init__(self, directory: str) -> None:
        super().__init__(lambda inbound: None)
        store = SqliteStore(Path(directory) / "bench.sqlite3")
        self._intake = Intake("feishu", store, SystemClock(), logger, lambda peer: peer.chat_id, lambda *row: None)

    def accept(self, inbound: Inbound | None, ack: Any = None, memo: Mapping[str, Any] | None = None) -> None:
        self._intake.offer(Offer(inbound, ack, memo or {}))


def answering(adapter: Any) -> PlainPort:
    """A port whose messages are answered at once."""
    keys = itertools.count()

    def answer(inbound: Inbound) -> None:
        reply = Reply("echo: " + inbound.text, inbound.peer, inbound.reply_ref)
        for ordinal, payload in enumerate(adapter.render(reply)):
            part = Part(f"plain{next(keys):027d}", 1 + ordinal, ordinal, inbound.peer, payload, inbound.reply_ref)
            gevent.spawn(adapter.send, part, port.link)

    port = PlainPort(answer)
    return port


def main() -> None:
    sys.setswitchinterval(0.001)
    platform, settings, how, *rest = sys.argv[1:]
    adapter = adapter_of(platform, json.loads(settings))
    if how == "keep":
        port: PlainPort = KeepingPort(rest[0])
    else:
        port = answering(adapter) if how == "answer" else PlainPort(lambda inbound: None)
    adapter.run(port)


if __name__ == "__main__":
    main()
