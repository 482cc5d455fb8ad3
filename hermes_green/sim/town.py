"""Town: all simulated platforms in one process, and what one has to know to live with each of them.

``hermes-green sim all`` prints a line for each, ``sim <platform> <url> <credentials>``; with ``--json`` the
facts of `facts_of`, one JSON object a line. With ``--until-eof`` it ends when its standard input does, and so
with whoever holds the other end.
"""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import gevent
from gevent import signal_handler
from gevent.event import Event
from gevent.os import make_nonblocking, nb_read

from hermes_green.sim import EVERYTHING, PLATFORMS, load

if TYPE_CHECKING:
    from hermes_green.sim.kit import Simulator

TITLES = {
    "feishu": "Feishu",
    "dingtalk": "DingTalk",
    "wecom": "WeCom",
    "qq": "QQ",
    "telegram": "Telegram",
    "slack": "Slack",
}
# A group, in the words of a simulator's ``say``, where it is not just called so.
_GROUPS = {"slack": "channel", "telegram": "supergroup"}
# What a platform's file needs beside the credentials and the address.
_MORE: Mapping[str, Mapping[str, Any]] = {
    "dingtalk": {"card_template_id": "sim-answers.schema"},
    "qq": {"token_base": "{http}"},
    "wecom": {"ws_base": "{ws}"},
}


def _fault(label: str, name: str, *, lasts: bool = False, **args: Any) -> dict[str, Any]:
    # What is a word of Python is written with a line behind it (for_).
    return {"label": label, "name": name, "lasts": lasts, "args": {key.rstrip("_"): args[key] for key in args}}


_FAULTS = {
    "rst": _fault("Cut the line (RST)", "rst"),
    "close": _fault("Close politely", "close", code=1000, reason="planned"),
    "half_open": _fault("Dead wire (half-open)", "half_open", lasts=True),
    "mute_acks": _fault("Leave heartbeats unanswered", "mute_acks", lasts=True),
    "refuse": _fault("Refuse every dial", "refuse", lasts=True, status=503),
    "too_many": _fault("Too many requests (429)", "429", lasts=True, after=2),
    "slow": _fault("Answer 2 s late", "slow", lasts=True, delay=2),
    "lose_answer": _fault("Lose the next send's answer", "lose_answer", count=1),
}
_OWN: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "feishu": {"redeliver": _fault("Deliver the last events again", "redeliver")},
    "dingtalk": {
        "disconnect": _fault("Announce the connection's end", "disconnect", grace=5),
        "stuck": _fault("Route nothing for 20 s", "stuck", for_=20),
    },
    "wecom": {
        "kick": _fault("Let another program take the bot over", "kick"),
        "unsubscribe": _fault("Forget the subscription", "unsubscribe"),
    },
    "qq": {
        "op7": _fault("Ask to reconnect", "op7"),
        "op9": _fault("Declare the session invalid", "op9"),
        "redeliver": _fault("Deliver the last messages again", "redeliver"),
    },
    "telegram": {
        "close": _fault("Answer the poll with 502", "close", code=502),
        "conflict": _fault("Let another program poll twice", "conflict", count=2),
        "redeliver": _fault("Deliver the last updates again", "redeliver"),
    },
    "slack": {
        "refresh": _fault("Announce the connection's end", "refresh", notice=5),
        "redeliver": _fault("Deliver the last events again", "redeliver"),
    },
}


def facts_of(sim: Simulator) -> dict[str, Any]:
    """As JSON: platform, title, url; ``conf``: the keys of the platform's file that lead here; ``groups``: what
    ``say`` calls a group; ``faults``: id -> label, name and args for ``fault``, and whether it lasts."""
    conf = dict(pair.split("=", 1) for pair in sim.greeting().split())
    bases = {"{http}": sim.url, "{ws}": sim.url.replace("http", "ws", 1)}
    more = {name: bases.get(value, value) for name, value in _MORE.get(sim.platform, {}).items()}
    return {
        "platform": sim.platform,
        "title": TITLES[sim.platform],
        "url": sim.url,
        "conf": {"enabled": True, **conf, "api_base": sim.url, **more},
        "groups": _GROUPS.get(sim.platform, "group"),
        "faults": {**_FAULTS, **_OWN.get(sim.platform, {})},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Serve all until SIGTERM or SIGINT, in a process that is already monkey-patched. Returns the exit code."""
    parser = ArgumentParser(prog=f"hermes-green sim {EVERYTHING}", description="All simulated platforms on loopback.")
    parser.add_argument("--json", action="store_true", help="tell more of each, as JSON")
    parser.add_argument("--until-eof", action="store_true", help="end with the standard input")
    arguments = parser.parse_args(argv)
    done = Event()
    handlers = [signal_handler(number, done.set) for number in (signal.SIGTERM, signal.SIGINT)]
    if arguments.until_eof:
        gevent.spawn(_watch, done).name = "until-eof"
    sims = [load(name)() for name in TITLES if name in PLATFORMS]
    try:
        for sim in sims:
            sim.start()
            plain = f"sim {sim.platform} {sim.url} {sim.greeting()}"
            print(json.dumps({"of": len(sims), **facts_of(sim)}) if arguments.json else plain, flush=True)
        done.wait()
    except BrokenPipeError:
        pass  # nobody is left to whom it could be told
    for handler in handlers:
        handler.cancel()
    for sim in sims:
        sim.stop()
    return 0


def _watch(done: Event) -> None:
    """Set ``done`` when nobody holds the other end of the standard input any more."""
    make_nonblocking(sys.stdin.fileno())
    try:
        while nb_read(sys.stdin.fileno(), 4096):
            pass
    except OSError:
        pass
    done.set()
