"""Simulated platforms on loopback: for trying the gateway, for tests and for authors of adapters.

They import nothing of the code they judge. From the command line: ``hermes-green sim feishu``.
"""

from __future__ import annotations

import importlib
import signal
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from hermes_green.sim.kit import Simulator

PLATFORMS: dict[str, str] = {
    "feishu": "hermes_green.sim.feishu:FeishuSim",
    "qq": "hermes_green.sim.qq:QQSim",
    "dingtalk": "hermes_green.sim.dingtalk:DingTalkSim",
    "slack": "hermes_green.sim.slack:SlackSim",
    "telegram": "hermes_green.sim.telegram:TelegramSim",
    "wecom": "hermes_green.sim.wecom:WeComSim",
}


EVERYTHING = "all"


def load(platform: str) -> type[Simulator]:
    """The class that simulates ``platform``.

    Raises:
        ValueError: nobody does.
    """
    try:
        module, _, name = PLATFORMS[platform].partition(":")
    except KeyError:
        names = ", ".join([*sorted(PLATFORMS), EVERYTHING])
        raise ValueError(f"no simulator for {platform!r}; there are: {names}") from None
    found: type[Simulator] = getattr(importlib.import_module(module), name)
    return found


def main(platform: str, argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, in a process that is already monkey-patched. Returns the exit code.

    Prints one line: ``sim <platform> <url> <credentials>``; for ``all`` one for each platform.
    """
    if platform == EVERYTHING:
        from hermes_green.sim import town

        return town.main(argv)
    from gevent import signal_handler
    from gevent.event import Event

    try:
        kind = load(platform)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"the simulators need more packages ({error}): pip install hermes-green", file=sys.stderr)
        return 69
    parser = ArgumentParser(prog=f"hermes-green sim {platform}", description=f"A simulated {platform} on loopback.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks one")
    parser.add_argument("--certfile", default="", help="serve TLS with this certificate")
    parser.add_argument("--keyfile", default="")
    kind.add_arguments(parser)
    sim = kind.from_arguments(parser.parse_args(argv))
    done = Event()
    handlers = [signal_handler(number, done.set) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        sim.start()
    except (OSError, OverflowError) as error:
        print(f"the simulator cannot listen ({error}): choose another --port, or leave it out", file=sys.stderr)
        return 1
    print(f"sim {platform} {sim.url} {sim.greeting()}".rstrip(), flush=True)
    done.wait()
    for handler in handlers:
        handler.cancel()
    sim.stop()
    return 0
