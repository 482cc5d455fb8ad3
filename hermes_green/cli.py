"""The command line: which words there are, and what becomes of an error."""

from __future__ import annotations

import argparse
import io
import math
import re
import sys
import time
from datetime import datetime, timezone
from typing import Any, Sequence

from hermes_green import record_verbs, verbs
from hermes_green.core.errors import ConfError, HermesError, StoreBroken
from hermes_green.core.machine import State
from hermes_green.ops.files import FULL, drop_output
from hermes_green.remote import NotRunning, Silent
from hermes_green.settings.problem import ConfErrors

STOP_TIMEOUT = 60.0


def main(argv: Sequence[str]) -> int:
    """Do what ``argv`` says; the exit code.

    0 done or asked to stop, 1 error, 2 usage, 69 gateway not running or a dependency missing, 75
    please restart me, 78 configuration wrong, lock held or store broken.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        return verbs.USAGE
    # What a terminal cannot show, or what is no text, must not end a command.
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        code: int = arguments.act(arguments)
        sys.stdout.flush()
        return code
    except NotRunning:
        verbs.say("the gateway is not running")
        return verbs.UNAVAILABLE
    except Silent as error:
        verbs.say(str(error))
        return verbs.FAILED
    except ConfErrors as error:
        print(error.text, file=sys.stderr)
        return verbs.CONFIG
    except (ConfError, StoreBroken) as error:
        verbs.say(verbs.sentence(error))
        return verbs.CONFIG
    except HermesError as error:
        verbs.say(verbs.sentence(error))
        return verbs.FAILED
    except ModuleNotFoundError as error:
        verbs.say(f"{error}; install it with: {sys.executable} -m pip install hermes-green")
        return verbs.UNAVAILABLE
    except BrokenPipeError:
        drop_output()  # the reader has seen enough (| head)
        return verbs.FAILED
    except OSError as error:
        if isinstance(error, PermissionError) and arguments.verb not in ("run", "try"):
            verbs.say(f"{error.filename}: {error.strerror}; run this as the user that the gateway runs as")
            return verbs.FAILED
        if error.errno not in FULL:
            raise
        drop_output()
        verbs.say(f"the disk is full: {error.strerror}")
        return verbs.FAILED
    except KeyboardInterrupt:
        return 130


def since(text: str) -> float:
    """The wall time that ``--since`` means: so long ago, or a date (and time) as this machine's clock has it.

    Raises ValueError.
    """
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if ago:
        return time.time() - float(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
    return datetime.fromisoformat(text).timestamp()


def _time(text: str) -> float:
    try:
        wall = since(text)
        datetime.fromtimestamp(wall, timezone.utc)
        return wall
    except (ValueError, OverflowError, OSError):  # the last two: of a date that this machine cannot tell
        wanted = "30m, 2h, 7d or a date such as 2026-01-31 is wanted"
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {wanted}") from None


def _within(kind: type[int] | type[float], low: float, high: float) -> Any:
    """For argparse: a number of ``kind`` from ``low`` to ``high``."""

    def number(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
        return value

    return number


_PORT = _within(int, 0, 65535)
_LINES = _within(int, 1, 1000)
_SECONDS = _within(float, 0, 365 * 86400)


class _Words:
    """Adds verbs to the parser, each with the options that all have and an example."""

    def __init__(self, actions: Any, prefix: str = "hermes-green") -> None:
        self._actions = actions
        self._prefix = prefix

    def add(
        self, name: str, act: Any, help: str, example: str = "", reads: bool = False
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = self._actions.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog=f"example:\n  {self._prefix} {name} {example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--conf", metavar="DIR", default=argparse.SUPPRESS, help="configuration directory")
        if reads:
            parser.add_argument("--json", action="store_true", help="answer in JSON")
        if act is not None:
            parser.set_defaults(act=act)
        return parser

    def group(self, name: str, help: str, example: str) -> _Words:
        """A verb with verbs of its own."""
        parser = self.add(name, None, help, example)
        inner = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
        return _Words(inner, f"{self._prefix} {name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hermes-green", description="A gateway between chat platforms and an AI agent."
    )
    parser.add_argument("--conf", metavar="DIR", default="conf", help="configuration directory (default: conf)")
    words = _Words(parser.add_subparsers(dest="verb", metavar="VERB"))
    run = words.add("run", verbs.run, "run the gateway in the foreground", "--conf conf")
    run.add_argument("--replace", action="store_true", help="ask the gateway that runs to drain, then take its place")
    run.add_argument("--service", choices=["launchd"], help="who keeps it alive, where that changes the exit code")
    trial = words.add("try", verbs.try_out, "try it without credentials, on simulated platforms", "--port 8787")
    trial.add_argument("--port", type=_PORT, help="of the page (default: 8787, or a free one where that is taken)")
    check = words.add("check", verbs.check, "check the configuration and show what applies", "--conf conf", reads=True)
    check.add_argument("--schema", metavar="FILE", help="print a file's JSON Schema: gateway, or a platform's name")
    check.add_argument("--reference", action="store_true", help="print all keys there are, in Markdown")
    status = words.add("status", verbs.status, "show how the gateway and its children are", "--wait READY", reads=True)
    states = [state.value for state in State]
    status.add_argument("--wait", metavar="STATE", type=str.upper, choices=states, help="until all are so")
    status.add_argument("--timeout", metavar="S", type=_SECONDS, default=60.0, help="seconds to wait (default: 60)")
    send = words.add("send", verbs.send, "send a message to a chat", 'web main "good morning"', reads=True)
    send.add_argument("child", metavar="CHILD", help="as adapters list shows it")
    send.add_argument("chat", metavar="CHAT", help="the chat's id; user:, group:, channel: or dm: may precede it")
    send.add_argument("text", metavar="TEXT", help="the message; - reads it from standard input")
    send.add_argument("--thread", metavar="ID", help="thread within the chat")
    send.add_argument("--reply-to", metavar="ID", help="message to reply to")
    send.add_argument("--key", metavar="KEY", help="the same key never sends twice")
    stop = words.add("stop", verbs.stop, "stop the gateway and wait until it has gone")
    stop.add_argument("--timeout", metavar="S", type=_SECONDS, default=STOP_TIMEOUT, help="most seconds (default: 60)")
    words.add("reload", verbs.reload, "apply a changed configuration", reads=True)
    _add_groups(words)
    words.add("doctor", verbs.doctor, "look for what keeps the gateway from working", "--json", reads=True)
    audit = words.add("audit", record_verbs.audit, "show who asked what kind of thing when", "--since 2h", reads=True)
    audit.add_argument("--since", metavar="TIME", type=_time, default="24h", help="2h, 7d or a date (default: 24h)")
    most = _within(int, 1, 100_000)
    audit.add_argument("--limit", metavar="N", type=most, default=1000, help="most lines, the newest (default: 1000)")
    words.add("rescue", record_verbs.rescue, "put what can be read of a damaged database into a new one")
    words.add("version", verbs.version, "show the version", reads=True)
    sim = words.add("sim", verbs.sim, "run a simulated platform on loopback", "all")
    sim.add_argument("platform", metavar="PLATFORM", help="which platform, or all")
    rest = sim.add_argument("rest", metavar="OPTION", nargs=argparse.REMAINDER, help="PLATFORM --help lists them")
    rest.required = False  # argparse asks for it else, by this name
    return parser


def _add_groups(words: _Words) -> None:
    adapters = words.group("adapters", "list, restart, stop or start the children", "restart web")
    adapters.add("list", verbs.adapters_list, "list the children", reads=True)
    for name in ("restart", "stop", "start"):
        acting = adapters.add(name, verbs.adapters_command, f"{name} a child", "web")
        acting.add_argument("name", metavar="NAME", help="as adapters list shows it")
    dead = words.group("dead", "list, retry or drop what was given up", "list")
    listing = dead.add("list", record_verbs.dead_list, "list dead letters", reads=True)
    listing.add_argument("--limit", metavar="N", type=_LINES, default=100, help="most lines (default: 100)")
    for name, help in (("retry", "try a dead letter again"), ("drop", "forget a dead letter")):
        acting = dead.add(name, record_verbs.dead_command, help, "out-17")
        acting.add_argument("id", metavar="ID", help="as dead list shows it")
    sessions = words.group("sessions", "list, show or reset conversations", "list")
    listing = sessions.add("list", record_verbs.sessions_list, "list conversations", reads=True)
    listing.add_argument("--limit", metavar="N", type=_LINES, default=100, help="most lines (default: 100)")
    show = sessions.add("show", record_verbs.sessions_show, "show a conversation", "web:main", reads=True)
    show.add_argument("id", metavar="ID", help="as sessions list shows it")
    show.add_argument("--archived", action="store_true", help="what /new, /undo and resets have put aside")
    show.add_argument("--limit", metavar="N", type=_LINES, default=20, help="most exchanges (default: 20)")
    reset = sessions.add("reset", record_verbs.sessions_reset, "begin a conversation anew", "web:main")
    reset.add_argument("id", metavar="ID", help="as sessions list shows it")
    pairing = words.group("pairing", "list who waits to be let in, approve or revoke", "list")
    pairing.add("list", record_verbs.pairing_list, "list who waits with a code, and who was let in", reads=True)
    approve = pairing.add("approve", record_verbs.pairing_approve, "let in who was told a code", "ABCD-EFGH")
    approve.add_argument("code", metavar="CODE", help="what the stranger was told")
    revoke = pairing.add("revoke", record_verbs.pairing_revoke, "let somebody out again", "web ou_7d8a6e6df762")
    revoke.add_argument("child", metavar="CHILD", help="as pairing list shows it")
    revoke.add_argument("user", metavar="USER", help="the same")
