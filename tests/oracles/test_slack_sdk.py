"""The official Slack SDK works against our simulated Slack, which finds nothing wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from hermes_green.sim.slack import SlackSim

SDK = ("slack_sdk==3.47.0", "websocket-client==1.9.0")
START = 120.0
SOON = 60.0


@pytest.fixture(scope="module")
def python(sdk_python: Callable[..., Path]) -> Path:
    return sdk_python(*SDK)


@pytest.fixture
def sim() -> Iterator[SlackSim]:
    with SlackSim(ping_interval=1, redelivery="0.5,2,5,5,5,5,5,5", pong_within=10) as running:
        yield running


@pytest.fixture(params=["builtin", "websocket_client"])
def bot(request: Any, sim: SlackSim, python: Path, run_client: Callable[..., Any]) -> Any:
    options = sim.options
    child = run_client(python, "slack_client.py", request.param, sim.url, options.app_token, options.bot_token)
    sim.wait("open", timeout=START)
    return child


def answered(sim: SlackSim, text: str, **how: Any) -> dict[str, Any]:
    """Say it, and return the bot's answer."""
    since = sim.log.last
    said = sim.say(text=text, **how)
    return sim.wait("send", since, SOON, text=f"re: {text}", chat=said["chat"])


def unfaulted(sim: SlackSim) -> None:
    assert sim.record(kind="violation") == []
    assert sim.record(kind="api_refused") == []


def test_the_sdk_receives_acknowledges_answers_looks_up_and_edits(sim: SlackSim, bot: Any) -> None:
    for kind in ("dm", "group", "channel", "private"):
        sent = answered(sim, f"hello {kind} <&>", chat_type=kind)
        sim.wait("edit", sent["n"], SOON, message_id=sent["message_id"], text=f"edited: hello {kind} <&>")
    root = answered(sim, "root", chat_type="channel")
    assert answered(sim, "below", chat_type="channel", thread=root["message_id"])["thread"] == root["message_id"]
    unfaulted(sim)


def test_the_sdk_uploads_a_file_and_sets_a_status(sim: SlackSim, bot: Any) -> None:
    sim.say(text="file")
    assert sim.wait("send", timeout=SOON)["files"] == ["a.txt"]
    sim.say(text="status")
    sim.wait("typing", timeout=SOON)
    sim.say(kind="command", text="x")
    sim.say(kind="click")
    for kind in ("slash_commands", "interactive"):
        sim.wait("ack", timeout=SOON, event_type=kind)
    unfaulted(sim)


@pytest.mark.parametrize("how", [{"code": 1000}, {"code": 1001}, "rst", "fin"])
def test_the_sdk_connects_anew_after_a_drop_and_goes_on(sim: SlackSim, bot: Any, how: Any) -> None:
    answered(sim, "before")
    since = sim.log.last
    if isinstance(how, str):
        sim.fault(how)
    else:
        sim.fault("close", **how)
    sim.wait("open", since, SOON)
    answered(sim, "after")
    unfaulted(sim)


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_the_sdk_opens_a_second_link_when_it_is_given_notice(sim: SlackSim, bot: Any, reason: str) -> None:
    answered(sim, "before")
    since = sim.log.last
    sim.fault("refresh", reason=reason, notice=10)
    opened = sim.wait("open", since, SOON)
    assert sim.record(kind="dial")[-1]["n"] < opened["n"]
    answered(sim, "after")
    unfaulted(sim)


def test_the_sdk_is_sent_again_what_it_could_not_acknowledge(sim: SlackSim, bot: Any) -> None:
    answered(sim, "before")
    since = sim.log.last
    sim.fault("rst")
    said = sim.say(text="said meanwhile")
    sim.wait("send", since, SOON, text="re: said meanwhile", chat=said["chat"])
    unfaulted(sim)
