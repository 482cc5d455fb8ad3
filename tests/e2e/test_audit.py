"""An audit says who asked what kind of thing when, what it cost and whether the answer arrived; not what was said."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from hermes_green import record_verbs
from hermes_green.cli import since
from tests.support.scene import Scene, hermes
from tests.support.stage import Stage, until


def audit(stage: Stage, *words: str) -> Any:
    done = hermes(stage, "audit", "--json", *words)
    assert done.code == 0, done
    return done.json()


def test_an_audit_is_the_same_with_the_gateway_up_and_down_and_tells_no_words(stage: Stage) -> None:
    model = stage.model()
    agent = {"type": "openai", "base_url": model.url, "model": "m"}
    scene = Scene(stage, platforms=("feishu",), gateway={"agent": agent})
    scene.say("feishu", "a", "what is the secret plan")
    until(lambda: scene.texts("feishu", "a"))
    scene.say("feishu", "b", "/new")
    until(lambda: scene.texts("feishu", "b"))
    assert scene.gateway.post("/api/send", {"child": "feishu", "chat": "dm:oc_a", "text": "from outside"})[0] == 202
    until(lambda: len(scene.texts("feishu", "a")) == 2)
    until(lambda: audit(stage)["totals"]["delivered"] == 3)
    up = audit(stage)
    asked, command, send = up["audit"]
    assert (asked["kind"], asked["user_id"], asked["chat_id"], asked["state"]) == ("text", "ou_a", "oc_a", "done")
    assert asked["usage"]["total_tokens"] > 0 and up["totals"]["tokens"] == asked["usage"]["total_tokens"]
    assert (command["kind"], send["kind"], send["delivered"]) == ("command", "send", 1)
    shown = hermes(stage, "audit")
    for words in ("secret plan", "from outside", "/new"):
        assert words not in str(up) and words not in shown.out
    assert "ou_a" in shown.out and "messages 2" in shown.out
    assert audit(stage, "--limit", "1")["audit"] == [send]
    assert audit(stage, "--since", "2100-01-01")["audit"] == []
    assert scene.gateway.kill(signal.SIGTERM) == 0
    assert audit(stage)["audit"] == up["audit"]
    scene.change("gateway", audit={"contents": True})
    assert "what is the secret plan" in str(audit(stage)) and "from outside" in hermes(stage, "audit").out


def test_contents_are_told_once_that_is_configured(stage: Stage) -> None:
    scene = Scene(stage, platforms=("feishu",))
    scene.say("feishu", "a", "hello there")
    scene.expect("feishu", "a", ["hello there"], settle=0)
    assert "hello there" not in str(audit(stage))
    scene.change("gateway", audit={"contents": True})
    until(lambda: "hello there" in str(audit(stage)), what="saving the file is enough")


def test_nothing_yet_is_nothing_and_a_time_that_is_none_is_wrong_usage(stage: Stage) -> None:
    assert audit(stage)["audit"] == []
    assert "nothing came in" in hermes(stage, "audit").out
    done = hermes(stage, "audit", "--since", "yesterday-ish")
    assert done.code == 2 and "--since" in done.err and "7d or a date" in done.err


def test_tokens_are_told_by_whichever_names_the_agent_reports_them() -> None:
    line = dict.fromkeys(("at", "child", "user_id", "chat_id", "reason", "text", "answer", "seconds"), "")
    line |= {"kind": "text", "state": "done", "delivered": 1, "undelivered": 0, "given_up": 0, "seconds": None}
    lines = [{**line, "usage": {"input_tokens": 300, "output_tokens": 21}}, {**line, "usage": None}]
    totals = record_verbs._totals(lines)
    assert totals["tokens"] == 321
    told = record_verbs._audit_lines({"since": "", "audit": lines, "totals": totals})
    assert "321" in told[1] and "321" not in told[2] and "tokens 321" in told[3]


def test_times_are_understood() -> None:
    assert since("2h") < since("30m") < since("10s")
    assert since("2026-01-02") < since("2026-01-02T03:04:05")
    assert since("2026-01-02T00:00:00+00:00") == 1767312000.0
    with pytest.raises(ValueError):
        since("2 weeks")
