"""What stands around the gateway: the agents that it asks, the programs that it calls, and itself where it runs."""

from __future__ import annotations

import importlib.machinery
import shutil
import sys
from contextlib import closing
from functools import partial
from typing import Any, Iterator
from urllib.parse import urlsplit

from hermes_green.core.machine import State
from hermes_green.doctor.finding import Check, Finding
from hermes_green.doctor.subject import Subject, agents
from hermes_green.link.http import BadAnswer, Http
from hermes_green.remote import NotRunning, Remote, Silent
from hermes_green.settings.schema import AgentOptions, CommandAgent, OpenaiAgent, PythonAgent

READ = 4.0


def checks(subject: Subject) -> list[Check]:
    """Agents, hooks, and the gateway itself."""
    found = []
    if subject.config is not None:
        for agent in agents(subject.config):
            found.append(Check("agent", lambda agent=agent: _agent(agent, subject)))  # type: ignore[misc]
        for hook in subject.config.hooks:
            if not isinstance(hook.run, str):
                found.append(Check("hooks", partial(_program, "hooks", hook.run[0], subject)))
    if subject.outline is not None:
        found.append(Check("gateway", partial(_gateway, subject)))
    return found


def _agent(agent: AgentOptions, subject: Subject) -> Iterator[Finding]:
    if isinstance(agent, OpenaiAgent):
        yield from _openai(agent)
    elif isinstance(agent, CommandAgent):
        yield from _program("agent", agent.argv[0] if agent.argv else "", subject)
    elif isinstance(agent, PythonAgent):
        yield from _module(agent.target, subject)
    else:
        yield Finding("agent", "ok", f"{agent.type}: nothing to reach")


def _openai(agent: OpenaiAgent) -> Iterator[Finding]:
    """``GET /models`` costs nothing, and tells of address and key. Raises LinkError, ConfError."""
    host = urlsplit(agent.base_url).netloc.rpartition("@")[2]
    headers = dict(agent.headers)
    if agent.api_key:
        headers["Authorization"] = f"Bearer {agent.api_key.reveal()}"
    with closing(Http(agent.base_url, connect=READ, read=READ, headers=headers, environment=True)) as http:
        answer = http.request("GET", "/models")
    if answer.status in (401, 403):
        yield Finding("agent", "wrong", f"{host} refuses the key (HTTP {answer.status})", "check agent.api_key")
    elif answer.status >= 500:
        yield Finding("agent", "wrong", f"{host} answers HTTP {answer.status}", "look at that server's own log")
    elif answer.status >= 300:
        text = f"{host} answers, and lists no models (HTTP {answer.status})"
        yield Finding("agent", "note", text, "if answers fail, check that agent.base_url ends as the server wants it")
    else:
        yield _listed(agent, host, answer)


def _listed(agent: OpenaiAgent, host: str, answer: Any) -> Finding:
    try:
        listed = answer.json().get("data")
    except BadAnswer:
        return Finding("agent", "wrong", f"{host} does not answer in JSON", "check agent.base_url: it ends in /v1")
    names = [str(each.get("id")) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if names and agent.model not in names:
        text = f"{host} does not list the model {agent.model}; it lists {', '.join(names[:5])}"
        return Finding("agent", "note", text, "check agent.model")
    return Finding("agent", "ok", f"{host} answers; the model is {agent.model}")


def _program(check: str, program: str, subject: Subject) -> Iterator[Finding]:
    there = program if "/" not in program else str(subject.home / program)
    if shutil.which(there) is None:
        text = f"there is no program {program} that can be run"
        yield Finding(check, "wrong", text, "install it, or write its full path")
    else:
        yield Finding(check, "ok", f"the program {program} is there")


def _module(target: str, subject: Subject) -> Iterator[Finding]:
    """Found, and not imported: that is left to a process of its own."""
    top = target.partition(":")[0].partition(".")[0]
    if importlib.machinery.PathFinder.find_spec(top, [str(subject.home), *sys.path]) is None:
        fix = "put it beside conf/, or set PYTHONPATH"
        yield Finding("agent", "wrong", f"there is no module {top}", fix)
    else:
        yield Finding("agent", "ok", f"the module {top} is there")


def _gateway(subject: Subject) -> Iterator[Finding]:
    assert subject.outline is not None
    try:
        status = Remote(subject.outline).get("/api/status").body or {}
    except NotRunning:
        yield Finding("gateway", "note", "not running", "hermes-green run")
        return
    except Silent as error:
        yield Finding("gateway", "wrong", str(error), "its log says more; then: hermes-green run --replace")
        return
    children = status.get("children") or []
    late = [child for child in children if child.get("state") != State.READY]
    for child in late:
        reason = child.get("reason") or {}
        stands = f"{child.get('id')} is {child.get('state')}: {reason.get('text', '')}".rstrip(": ")
        yield Finding("gateway", "wrong", stands, str(reason.get("action", "")))
    for what in (status.get("config") or {}).get("errors") or []:
        yield Finding("gateway", "note", f"of the last reload: {what}")
    if not late:
        yield Finding("gateway", "ok", f"process {status.get('pid')}: every platform is READY ({len(children)})")
