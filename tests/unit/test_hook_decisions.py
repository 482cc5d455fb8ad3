"""Hooks decide within their deadline, and one that fails has decided nothing."""

from __future__ import annotations

from typing import Any, Mapping

import gevent
import pytest
from gevent.event import Event

from hermes_green.agents import hookdirs
from hermes_green.core.errors import AgentFailed
from hermes_green.runtime.hooks import PARALLEL, PATIENCE, REST, WAITING, Decision, Hook, Hooks, decision_of

EVENT = "message:received"


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, text: str, *values: object) -> None:
        self.lines.append(text.format(*values))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def hook(answer: Any, name: str = "mine", event: str = EVENT, timeout: float = 5.0) -> Hook:
    def call(event: str, context: Mapping[str, Any]) -> Any:
        return answer(context) if callable(answer) else answer

    return Hook(event, "pkg:fn", call, timeout, name)


def raising(context: Mapping[str, Any]) -> Any:
    raise AgentFailed("its process ended")


def sleeping(context: Mapping[str, Any]) -> Any:
    gevent.sleep(30)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (None, "allow", ""),
        ({}, "allow", ""),
        ({"noted": True}, "allow", ""),
        ({"decision": "allow"}, "allow", ""),
        ({"decision": "deny"}, "deny", ""),
        ({"decision": "deny", "message": "not today"}, "deny", "not today"),
        ({"decision": "rewrite", "text": "other words"}, "rewrite", "other words"),
        ({"decision": "answer", "text": "42"}, "answer", "42"),
    ],
)
def test_an_answer_means_a_decision(answer: Any, kind: str, text: str) -> None:
    decision = decision_of(answer, "mine")
    assert (decision.kind, decision.text) == (kind, text)


@pytest.mark.parametrize(
    "answer",
    [False, "deny", [], {"decision": "refuse"}, {"decision": ["deny"]}, {"decision": "answer"},
     {"decision": "rewrite", "text": " "}, {"decision": "deny", "text": 7}],
)  # fmt: skip
def test_what_means_none_is_a_failure_that_allows(answer: Any) -> None:
    with pytest.raises(ValueError):
        decision_of(answer, "mine")
    log = Log()
    hooks = Hooks([hook(answer)], log)
    assert hooks.decide(EVENT, {"text": "hi"}) == Decision()
    assert log.lines and "hook mine for message:received failed" in log.lines[0]
    assert hooks.tallies()[0]["failed"] == 1


@pytest.mark.parametrize(("bad", "outcome"), [(raising, "failed"), (sleeping, "late")])
def test_a_hook_that_fails_or_is_late_is_named_and_counted_and_the_next_one_decides(bad: Any, outcome: str) -> None:
    log = Log()
    hooks = Hooks([hook(bad, "bad", timeout=0.02), hook({"decision": "answer", "text": "yes"}, "good")], log)
    assert hooks.decide(EVENT, {"text": "hi"}) == Decision("answer", "yes", "good")
    assert "hook bad for message:received" in log.lines[0]
    assert hooks.tallies()[0][outcome] == 1 and hooks.tallies()[1]["calls"] == 1


def test_hooks_are_asked_in_order_and_each_sees_what_the_last_one_wrote() -> None:
    asked = []

    def upper(context: Mapping[str, Any]) -> Any:
        asked.append(context["text"])
        return {"decision": "rewrite", "text": context["text"].upper()}

    hooks = Hooks([hook(upper, "a"), hook(lambda c: asked.append(c["text"]), "b"), hook(upper, "c")], Log())
    assert hooks.decide(EVENT, {"text": "hi"}) == Decision("rewrite", "HI", "c")
    assert asked == ["hi", "HI", "HI"]


def test_a_denial_is_the_last_word() -> None:
    hooks = Hooks([hook({"decision": "deny"}, "a"), hook(raising, "b")], Log())
    assert hooks.decide(EVENT, {"text": "hi"}).kind == "deny"
    assert hooks.tallies()[1]["calls"] == 0


def test_a_hook_that_never_answers_in_time_is_not_asked_for_a_while() -> None:
    log, clock = Log(), Clock()
    hooks = Hooks([hook(sleeping, "slow", timeout=0.005)], log, clock)
    for _ in range(PATIENCE + 5):
        assert hooks.decide(EVENT, {"text": "hi"}) == Decision()
    assert hooks.tallies()[0]["late"] == PATIENCE
    assert "3 times in a row" in log.lines[-1]
    clock.now += REST + 1
    hooks.decide(EVENT, {"text": "hi"})
    assert hooks.tallies()[0]["late"] == PATIENCE + 1


def test_a_hook_may_want_every_event_of_a_kind() -> None:
    hooks = Hooks([hook({"decision": "deny"}, event="message:*"), hook(None, event="agent:*")], Log())
    assert hooks.decide(EVENT, {"text": "hi"}).kind == "deny"


# --- directories ---


def drop(folder, name, manifest, handler="def handle(event_type, context): pass\n"):
    path = folder / name
    path.mkdir(parents=True)
    (path / "HOOK.yaml").write_text(manifest)
    if handler:
        (path / "handler.py").write_text(handler)
    return path


def test_a_directory_holds_hooks_and_what_is_wrong_with_one_is_said_and_costs_no_other(tmp_path) -> None:
    drop(tmp_path, "b", "name: second\ndescription: x\nevents: [agent:start, 'command:*']\ntimeout: 20\n")
    path = drop(tmp_path, "a", "events:\n  - session:start\n")
    drop(tmp_path, "c", "name: broken\nevents: [\n")
    drop(tmp_path, "d", "name: none\n")
    drop(tmp_path, "e", "name: bare\nevents: [agent:end]\n", handler="")
    drop(tmp_path, "f", "- a list\n")
    (tmp_path / "g").mkdir()
    (tmp_path / "file").write_text("")
    found, wrong = hookdirs.find(tmp_path)
    assert [(each.name, each.events, each.timeout) for each in found] == [
        ("a", ("session:start",), None),
        ("second", ("agent:start", "command:*"), 20),
    ]
    assert found[0].target == f"{path / 'handler.py'}:handle"
    assert [line.split(":")[0].rpartition("/")[2] for line in wrong] == ["c", "d", "e", "f"]


def test_a_directory_that_is_not_there_holds_none(tmp_path) -> None:
    assert hookdirs.find(tmp_path / "hooks") == ([], [])


def test_what_a_hook_is_told_of_one_chat_comes_in_order_and_chats_do_not_wait_for_each_other() -> None:
    told: list[tuple[str, int]] = []
    others = Event()

    def slower_at_first(context: Mapping[str, Any]) -> None:
        gevent.sleep(0)
        if (context["chat_id"], context["number"]) == ("a", 0):
            assert others.wait(4)
        told.append((context["chat_id"], context["number"]))
        if told[-1] == ("b", 2):
            others.set()

    hooks = Hooks([hook(slower_at_first, event="agent:*")], Log())
    for number in range(3):
        for chat in ("a", "b"):
            hooks.fire("agent:start", {"child": "web", "chat_id": chat, "number": number})
    hooks.close()
    assert told == [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1), ("a", 2)]
    hooks.fire("agent:end", {"child": "web", "chat_id": "a", "number": 3})
    hooks.close()
    assert told[-1] == ("a", 3)


def test_notices_that_nobody_takes_are_bounded_and_said() -> None:
    log = Log()
    hooks = Hooks([hook(sleeping, "slow", event="agent:*")], log)
    for number in range(PARALLEL + 3):
        hooks.fire("agent:start", {"child": "web", "chat_id": str(number)})
    gevent.sleep(0)  # the first of each chat is told now
    for _ in range(WAITING + 5):
        hooks.fire("agent:start", {"child": "web", "chat_id": "0"})
    assert len([line for line in log.lines if "too much is told already" in line]) == 3 + 5
    hooks.close(timeout=0)


@pytest.mark.parametrize("error", [SystemExit(3), gevent.Timeout(1)], ids=["end of the process", "timeout let out"])
def test_a_hook_that_raises_what_is_no_exception_has_failed_alone(error: BaseException) -> None:
    """A hook in a thread or greenlet runs in our process: what it raises comes here as it is."""
    told: list[str] = []

    def call(context: Mapping[str, Any]) -> Any:
        told.append(context["text"])
        raise error

    log = Log()
    hooks = Hooks([hook(call)], log)
    assert hooks.decide(EVENT, {"text": "asked"}) == Decision()
    for text in ("first", "second"):
        hooks.fire(EVENT, {"text": text})
    hooks.close()
    assert told == ["asked", "first", "second"] and hooks.tallies()[0]["failed"] == 3
    assert all("hook mine for message:received failed" in line for line in log.lines)
