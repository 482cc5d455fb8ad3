"""The official Feishu SDK works against our simulated Feishu, which finds nothing wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from hermes_green.sim.feishu import FeishuSim

SDK = "lark-oapi==1.7.5"
START = 120.0  # importing the SDK takes seconds
SOON = 60.0


@pytest.fixture(scope="module")
def python(sdk_python: Callable[..., Path]) -> Path:
    return sdk_python(SDK)


@pytest.fixture
def sim() -> Iterator[FeishuSim]:
    rules: dict[str, Any] = {"ping_interval": 1, "reconnect_interval": 1, "reconnect_nonce": 0, "native_ping": 1}
    rules["heartbeat_timeout"] = 30  # this process may stand still for seconds, and the SDK is not to blame
    with FeishuSim(redelivery=(1, 3, 9, 27), **rules) as running:
        yield running


@pytest.fixture
def bot(sim: FeishuSim, python: Path, run_client: Callable[..., Any]) -> Any:
    child = run_client(python, "lark_client.py", sim.url, sim.app_id, sim.app_secret)
    sim.wait("open", timeout=START)
    return child


def echoed(sim: FeishuSim, text: str, **how: Any) -> dict[str, Any]:
    """Say it, see it acknowledged, and return the bot's answer."""
    since = sim.log.last
    said = sim.say(text=text, **how)
    sim.wait("ack", since, SOON, event_id=said["event_id"], code=200)
    return sim.wait("send", since, SOON, text=f"echo {text}")


def unfaulted(sim: FeishuSim) -> None:
    assert sim.record(kind="violation") == []


def test_the_sdk_connects_beats_receives_and_replies(sim: FeishuSim, bot: Any) -> None:
    second = sim.wait("beat", since=sim.wait("beat", timeout=SOON)["n"], timeout=SOON)
    assert second["answered"]
    assert echoed(sim, "hello", user="ou_alice")["duplicate"] is False
    thread = sim.say(text="root", chat="oc_g", chat_type="group")
    sim.wait("send", timeout=SOON, reply_to=thread["message_id"])
    answer = echoed(sim, "in parts " * 400, chat="oc_p", parts=3, shuffled=True)
    assert answer["chat"] == "oc_p"
    sim.say(text="look", message_type="post", chat="oc_p")
    sim.wait("send", timeout=SOON, text="echo post")
    unfaulted(sim)


def test_the_sdk_replies_in_threads(sim: FeishuSim, bot: Any) -> None:
    root = sim.say(text="root", chat="oc_g", chat_type="group", mentions=[])
    since = sim.wait("send", timeout=SOON, text="echo root")["n"]
    where = {"chat": "oc_g", "chat_type": "group", "reply_to": root["message_id"], "thread": True}
    said = sim.say(text="deeper", mentions=[], **where)
    assert sim.wait("send", since, SOON, text="echo deeper")["in_thread"] == said["thread"]
    unfaulted(sim)


def test_the_sdk_s_repeated_uuid_makes_one_message(sim: FeishuSim, bot: Any) -> None:
    said = sim.say(text="twice told")
    sim.wait("ack", 0, SOON, event_id=said["event_id"], code=200)
    assert [entry["duplicate"] for entry in sim.record(kind="send")] == [False, True]
    unfaulted(sim)


@pytest.mark.parametrize("how", ["rst", "fin", "close"])
def test_the_sdk_comes_back_after_a_drop_and_receives_again(sim: FeishuSim, bot: Any, how: str) -> None:
    echoed(sim, "before")
    since = sim.log.last
    sim.fault(how)
    sim.wait("open", since, SOON)
    echoed(sim, "after")
    assert sim.state()["dials"] == 2
    unfaulted(sim)


def test_the_sdk_tries_on_while_dials_are_refused(sim: FeishuSim, bot: Any) -> None:
    since = sim.log.last
    sim.fault("refuse", status=503, count=2)
    sim.fault("rst")
    missed = sim.say(text="said meanwhile")
    sim.wait("open", since, SOON)
    sim.wait("ack", since, SOON, event_id=missed["event_id"], code=200)
    assert sim.state()["dials"] == 4
    unfaulted(sim)


def test_what_the_sdk_has_no_handler_for_it_answers_with_500_and_gets_again(sim: FeishuSim, bot: Any) -> None:
    said = sim.say(kind="entered")
    first = sim.wait("ack", timeout=SOON, event_id=said["event_id"], code=500)
    sim.wait("ack", first["n"], SOON, event_id=said["event_id"], code=500)
    unfaulted(sim)


def test_a_callback_s_answer_travels_in_the_sdk_s_ack(sim: FeishuSim, bot: Any) -> None:
    said = sim.say(kind="card_action", message_id="om_1", value={"go": 1})
    ack = sim.wait("ack", timeout=SOON, event_id=said["event_id"], code=200)
    assert ack["data"] == {"toast": {"type": "info", "content": "clicked"}}
    unfaulted(sim)
