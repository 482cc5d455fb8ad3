"""The official DingTalk SDK works against our simulated DingTalk, which finds nothing wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from hermes_green.sim.dingtalk import DingTalkSim

SDK = "dingtalk-stream==0.24.3"
START = 120.0
SOON = 60.0


@pytest.fixture(scope="module")
def python(sdk_python: Callable[..., Path]) -> Path:
    return sdk_python(SDK)


@pytest.fixture
def sim() -> Iterator[DingTalkSim]:
    with DingTalkSim(ping_every=0.7, keepalive_every=1.0, drain=1.0, event_ack=1.0, event_again=1.0) as running:
        yield running


@pytest.fixture
def bot(sim: DingTalkSim, python: Path, run_client: Callable[..., Any]) -> Any:
    child = run_client(python, "dingtalk_client.py", sim.url, sim.options.client_id, sim.options.client_secret)
    sim.wait("open", timeout=START)
    return child


def echoed(sim: DingTalkSim, text: str, answer: str = "", **how: Any) -> dict[str, Any]:
    """Say it, see it acknowledged, and return the bot's answer."""
    since = sim.log.last
    said = sim.say(text=text, **how)
    sim.wait("ack", since, SOON, message_id=said["message_id"], code=200)
    return sim.wait("send", since, SOON, text=answer or f"echo {text}")


def unfaulted(sim: DingTalkSim) -> None:
    assert sim.record(kind="violation") == []


def test_the_sdk_connects_answers_pings_receives_and_replies(sim: DingTalkSim, bot: Any) -> None:
    sim.wait("beat", since=sim.wait("beat", timeout=SOON)["n"], timeout=SOON)
    direct = echoed(sim, "hello", user="alice")
    assert (direct["chat"], direct["via"], direct["at"]) == ("cid-alice==", "webhook", ["alice"])
    assert echoed(sim, "in a group", chat_type="group", user="bob")["at"] == ["bob"]
    assert echoed(sim, "rich", "# echo rich", msgtype="richText")["msgtype"] == "markdown"
    echoed(sim, "", "echo picture True", msgtype="picture")
    unfaulted(sim)


def test_the_sdk_s_cards_grow_and_end(sim: DingTalkSim, bot: Any) -> None:
    sent = echoed(sim, "card", "echo card")
    assert sent["via"] == "card" and [entry["text"] for entry in sim.record(kind="stream")] == ["one", "one two"]
    sim.wait("card_update", timeout=SOON)
    assert sim.cards.cards[sent["track"]].values == {"content": "echo card", "flowStatus": "3"}
    unfaulted(sim)


def test_the_sdk_acknowledges_events_and_clicks(sim: DingTalkSim, bot: Any) -> None:
    event = sim.say(kind="event", event_type="user_add_org")
    sim.wait("ack", timeout=SOON, event_id=event["event_id"], code=200)
    click = sim.say(kind="card_click", track="t1")
    ack = sim.wait("ack", timeout=SOON, event_id=click["event_id"], code=200)
    assert ack["data"] == {"response": {"cardData": {"cardParamMap": {"clicked": "yes"}}}}
    assert sim.state()["unacked"] == []
    unfaulted(sim)


def test_an_event_that_nobody_got_comes_again_and_a_message_does_not(sim: DingTalkSim, bot: Any) -> None:
    sim.fault("stuck", **{"for": 600})
    message, event = sim.say(text="gone"), sim.say(kind="event")
    sim.wait("lost", timeout=SOON, message_id=message["message_id"])
    sim.clear("stuck")
    sim.wait("ack", timeout=SOON, event_id=event["event_id"])
    assert [entry["message_id"] for entry in sim.record(kind="lost")] == [message["message_id"]]
    echoed(sim, "after")
    unfaulted(sim)


@pytest.mark.parametrize("how", ["rst", "fin", "close"])
def test_the_sdk_comes_back_after_a_drop_and_receives_again(sim: DingTalkSim, bot: Any, how: str) -> None:
    echoed(sim, "before")
    since = sim.log.last
    sim.fault(how)
    lost = sim.say(text="in the gap")
    sim.wait("lost", since, SOON, message_id=lost["message_id"])
    sim.wait("open", since, SOON)
    echoed(sim, "after")
    assert sim.state()["dials"] == 2 and sim.state()["lost"] == 1
    unfaulted(sim)


def test_the_sdk_leaves_when_told_and_dials_anew(sim: DingTalkSim, bot: Any) -> None:
    echoed(sim, "before")
    since = sim.log.last
    sim.fault("disconnect")
    sim.wait("open", since, SOON)
    echoed(sim, "after")
    unfaulted(sim)


def test_the_sdk_tries_on_while_connections_are_refused(sim: DingTalkSim, bot: Any) -> None:
    since = sim.log.last
    sim.fault("refuse", status=503, count=1)
    sim.fault("close")
    sim.wait("open", since, SOON)
    echoed(sim, "after")
    assert sim.state()["dials"] == 3
    unfaulted(sim)


def test_a_handler_that_fails_acknowledges_nothing(sim: DingTalkSim, bot: Any) -> None:
    sim.say(text="fail")
    echoed(sim, "and on")
    assert len(sim.record(kind="ack")) == 1
    unfaulted(sim)
