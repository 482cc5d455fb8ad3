"""Verbs: what each word of the command line does, answered for people or, with --json, for programs.

Each takes the parsed arguments and gives the exit code. Only what a verb needs is imported, so that
asking a running gateway takes a tenth of a second.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from hermes_green import __version__
from hermes_green.core.errors import ConfError, HermesError
from hermes_green.core.machine import State
from hermes_green.remote import POLL, Answer, NotRunning, Remote, Silent, quoted
from hermes_green.settings.load import load, load_outline
from hermes_green.settings.problem import ConfErrors, Problem
from hermes_green.settings.schema import Outline

OK, FAILED, USAGE, UNAVAILABLE, CONFIG = 0, 1, 2, 69, 78


def run(arguments: Namespace) -> int:
    """Serve until told to stop."""
    # Until the gateway listens to signals itself nothing has to be drained, and whatever is on disk stands a kill. An
    # exit that is raised would be passed over in a destructor, or in a callback of an import's weak references, and
    # would meet greenlets in the middle of a switch.
    _stop_ends_the_start(os._exit)
    from hermes_green import app

    code = app.run(_conf(arguments), replace=arguments.replace)
    if code == CONFIG and arguments.service == "launchd":
        # launchd restarts after every failure and cannot be told which; 0 is what it leaves alone.
        say("stopped with exit code 78, which launchd is told as 0: mend the above, then start it again")
        return OK
    return code


def try_out(arguments: Namespace) -> int:
    """Serve simulated platforms, and a gateway on them, until told to stop; nothing is kept."""
    _stop_ends_the_start(sys.exit)
    from hermes_green import app
    from hermes_green.lab import Lab

    with Lab(arguments.port) as lab:
        say("every platform is simulated on this machine; type as a user on the page, and break what you like")
        return app.run(lab.conf, lab=lab)


def _stop_ends_the_start(end: Callable[[int], Any]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end(OK))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # What a parent has blocked stays so over exec, and we would neither stop nor hear of a child's end.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))


def sim(arguments: Namespace) -> int:
    """Serve a simulated platform until told to stop."""
    from hermes_green.sim import main

    return main(arguments.platform, arguments.rest)


def version(arguments: Namespace) -> int:
    """Say which release this is."""
    show(arguments, {"version": __version__}, lambda: [f"hermes-green {__version__}"])
    return OK


def check(arguments: Namespace) -> int:
    """Read the configuration as ``run`` would, and show what applies; or show what may stand in it."""
    import yaml

    from hermes_green.adapters import registry
    from hermes_green.settings.show import effective

    packages = {name: registry.package(name) for name in registry.names()}
    platforms = {name: package.Settings for name, package in packages.items()}
    if arguments.schema or arguments.reference:
        return _reference(arguments, platforms)
    try:
        load(_conf(arguments), platforms, checks={name: each.check for name, each in packages.items()})
        # Only what is right so far is worth what this imports.
        from hermes_green import blueprint

        config = blueprint.load_config(_conf(arguments))
        blueprint.credentials(config.children)
    except ConfErrors as error:
        _wrong(arguments, [_problem(each) for each in error.problems])
        raise
    except ConfError as error:
        _wrong(arguments, [{"what": str(error), "help": error.action}])
        raise
    shown, notes = effective(config), list(config.notes)
    said = {"ok": True, "notes": notes, **shown}
    show(arguments, said, lambda: [yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)])
    for note in notes:
        say(f"note: {note}")
    return OK


def _wrong(arguments: Namespace, errors: list[dict[str, Any]]) -> None:
    if arguments.json:
        print(json.dumps({"ok": False, "errors": errors}, ensure_ascii=False))


def _reference(arguments: Namespace, platforms: Mapping[str, Any]) -> int:
    from hermes_green.settings import reference
    from hermes_green.settings.schema import Gateway

    if arguments.reference:
        print(reference.markdown(platforms), end="")
        return OK
    declared = {"gateway": Gateway, **platforms}.get(arguments.schema.removesuffix(".yaml"))
    if declared is None:
        say(f"there is no file {arguments.schema}; there are: gateway, {', '.join(platforms)}")
        return USAGE
    print(json.dumps(reference.schema(arguments.schema.removesuffix(".yaml"), declared), ensure_ascii=False, indent=1))
    return OK


def _problem(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem.spot), "what": problem.what, "nearest": problem.nearest, "help": problem.help}


def status(arguments: Namespace) -> int:
    """0: every child is READY (or as ``--wait`` wants it); 1: some are not."""
    if arguments.wait:
        return _wait(arguments)
    said = body_of(_remote(arguments).get("/api/status"))
    show(arguments, said, lambda: _status_lines(said))
    return OK if _all_in(said, State.READY) else FAILED


def _wait(arguments: Namespace) -> int:
    """Poll until every child is in the state; a gateway that is about to start counts as well."""
    remote, wanted = _remote(arguments), State(arguments.wait)
    deadline = time.monotonic() + arguments.timeout
    said: Mapping[str, Any] | None = None
    while True:
        missing: Exception | None = None
        try:
            said = body_of(remote.get("/api/status"))
            if _all_in(said, wanted):
                break
        except (NotRunning, Silent) as error:
            missing = error
        if time.monotonic() >= deadline:
            if missing:
                raise missing
            break
        time.sleep(POLL)
    show(arguments, said, lambda: _status_lines(said or {}))
    return OK if said is not None and _all_in(said, wanted) else FAILED


def _all_in(status: Mapping[str, Any], state: State) -> bool:
    return all(child["state"] == state for child in status["children"])


def stop(arguments: Namespace) -> int:
    """Ask the gateway to stop; back once its lock is free, and at once where none runs."""
    _remote(arguments).stop(arguments.timeout)
    return OK


def reload(arguments: Namespace) -> int:
    """Apply a changed configuration; 78 with nothing changed where it is wrong."""
    answer = _remote(arguments).post("/api/reload")
    body = answer.body if isinstance(answer.body, Mapping) else {}
    if arguments.json and body:
        print(json.dumps(body, ensure_ascii=False))
    if not answer.ok:
        say(answer.error())
        for line in body.get("errors") or ():
            say(str(line))
        return CONFIG if answer.status == 422 else FAILED
    if not arguments.json:
        print("applied: " + (", ".join(map(str, body.get("changed") or ())) or "nothing had changed"))
    if body.get("restart_required"):
        say("only a restart applies: " + ", ".join(map(str, body["restart_required"])))
    return OK


def doctor(arguments: Namespace) -> int:
    """0: nothing is wrong; 1: something is."""
    from hermes_green.doctor import diagnose, healthy

    findings = diagnose(_conf(arguments))
    fine = healthy(findings)
    plain = {"ok": fine, "findings": [asdict(each) for each in findings]}
    marks = {"ok": "ok  ", "note": "note", "wrong": "BAD "}

    def lines() -> list[str]:
        told = [f"{marks[each.level]}  {each.check}: {each.text}" for each in findings]
        actions = [f"\n      -> {each.action}" if each.action else "" for each in findings]
        wrong = sum(each.level == "wrong" for each in findings)
        end = "nothing is wrong" if fine else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"
        return [*(text + action for text, action in zip(told, actions)), end]

    show(arguments, plain, lines)
    return OK if fine else FAILED


def send(arguments: Namespace) -> int:
    """Have a message committed; it is delivered whenever the platform can take it."""
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    body = {"child": arguments.child, "chat": arguments.chat, "text": text}
    if arguments.thread:
        body["thread"] = arguments.thread
    if arguments.reply_to:
        body["reply_to"] = arguments.reply_to
    headers = {"Idempotency-Key": arguments.key} if arguments.key else {}
    sent = body_of(_remote(arguments).post("/api/send", body, headers))
    show(arguments, sent, lambda: [f"{sent['id']} {sent['state']}"])
    return OK


def adapters_list(arguments: Namespace) -> int:
    """Show the children."""
    children = body_of(_remote(arguments).get("/api/status"))["children"]
    show(arguments, children, lambda: _child_lines(children))
    return OK


def adapters_command(arguments: Namespace) -> int:
    """Restart, stop or start one child, and say what came of it."""
    child = body_of(_remote(arguments).post(f"/api/adapters/{quoted(arguments.name)}/{arguments.command}"))
    why = "" if child["state"] == State.READY else _why(child)
    print(f"{child['id']} {child['state']}" + (f": {why}" if why else ""))
    return OK


# --- means -----------------------------------------------------------------------------------------


def _conf(arguments: Namespace) -> Path:
    return Path(arguments.conf)


def outline_of(arguments: Namespace) -> Outline:
    return load_outline(_conf(arguments))


def _remote(arguments: Namespace) -> Remote:
    return Remote(outline_of(arguments))


def body_of(answer: Answer) -> Any:
    """The body of a good answer. Raises HermesError with the gateway's own words."""
    if not answer.ok or answer.body is None:
        raise HermesError(answer.error())
    return answer.body


def say(text: str) -> None:
    """One line for people, beside what a program reads."""
    print(f"hermes-green: {text}", file=sys.stderr)


def sentence(error: HermesError) -> str:
    """What happened, and how to mend it."""
    return f"{error.text}; {error.action}" if error.action else error.text


def show(arguments: Namespace, value: Any, lines: Callable[[], Sequence[str]]) -> None:
    if arguments.json:
        print(json.dumps(value, ensure_ascii=False))
    else:
        print("\n".join(line.rstrip("\n") for line in lines()))


def _status_lines(status: Mapping[str, Any]) -> list[str]:
    head = "hermes-green {version}, pid {pid}, since {started_at}; hub lag {hub_lag_ms} ms".format_map(status)
    work = "inbox {inbox}, outbox {outbox}, dead letters {dead}, turns {turns}".format_map(status)
    return [head, work, *_config_lines(status.get("config") or {}), *_child_lines(status["children"])]


def _config_lines(told: Mapping[str, Any]) -> list[str]:
    """What is wrong with the configuration as it was last saved; nothing while all of it applies."""
    errors = list(told.get("errors") or ())
    if not told.get("ok", True):
        errors.insert(0, f"the configuration as saved was not applied ({told.get('at')}); what ran before goes on:")
    if told.get("restart_required"):
        errors.append("only a restart applies: " + ", ".join(map(str, told["restart_required"])))
    return errors


def _child_lines(children: Sequence[Mapping[str, Any]]) -> list[str]:
    if not children:
        return ["no platform is enabled"]
    rows = []
    for child in children:
        rows.append({**child, "reason": "" if child["state"] == State.READY else _why(child)})
    return table(("id", "state", "since", "restarts", "losses", "reason"), rows)


def _why(child: Mapping[str, Any]) -> str:
    reason = child.get("reason") or {}
    return "; ".join(part for part in (reason.get("text"), reason.get("action")) if part)


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [list(columns), *([" ".join(str(row[name]).split()) for name in columns] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
