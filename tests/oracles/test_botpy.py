"""The official QQ SDK works against our simulated QQ, which finds nothing wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from hermes_green.sim.qq import QQSim

SDK = "qq-botpy==1.2.1"
START = 120.0
SOON = 60.0


@pytest.fixture(scope="module")
def python(sdk_python: Callable[..., Path]) -> Path:
    return sdk_python(SDK)


@pytest.fixture
def sim() -> Iterator[QQSim]:
    # The SDK beats every 30 s whatever hello says, and waits 5 s / max_concurrency before it dials again.
    with QQSim(heartbeat_interval=30, late=45, max_concurrency=5, identify_deadline=2) as running:
        yield running


@pytest.fixture
def bot(sim: QQSim, python: Path, run_client: Callable[..., Any]) -> Any:
    child = run_client(python, "botpy_client.py", sim.url, sim.options.app_id, sim.options.secret)
    sim.wait("beat", timeout=START)
    return child


def answered(sim: QQSim, text: str, **how: Any) -> dict[str, Any]:
    """Say it, and return the bot's answer."""
    since = sim.log.last
    said = sim.say(text=text, **how)
    return sim.wait("send", since, SOON, reply_to=said["message_id"], text=f"re: {text}")


def unfaulted(sim: QQSim) -> None:
    assert sim.record(kind="violation") == []
    assert sim.record(kind="send_refused") == []


def test_the_sdk_identifies_beats_receives_and_replies(sim: QQSim, bot: Any) -> None:
    assert sim.record(kind="beat")[0]["d"] == 1
    assert answered(sim, "hello", chat="U1")["chat"] == "U1"
    sim.wait("send", timeout=SOON, chat="U1", text="and: hello", msg_seq=2, duplicate=False)
    assert answered(sim, "all of you", chat="G1", chat_type="group")["chat_type"] == "group"
    assert answered(sim, "in the guild", chat="77", chat_type="channel")["chat"] == "77"
    assert answered(sim, "psst", chat="88", chat_type="direct")["chat"] == "88"
    unfaulted(sim)


@pytest.mark.parametrize("how", [{"code": 4009}, {"code": 4008}, {"code": 4004}, {"code": 1000}, "rst", "fin"])
def test_the_sdk_resumes_after_a_drop_and_gets_what_it_missed(sim: QQSim, bot: Any, how: Any) -> None:
    answered(sim, "before")
    since = sim.log.last
    if isinstance(how, str):
        sim.fault(how)
    else:
        sim.fault("close", **how)
    missed = sim.say(text="said meanwhile")
    sim.wait("resume", since, SOON)
    sim.wait("push", since, SOON, message_id=missed["message_id"], replay=True)
    sim.wait("send", since, SOON, reply_to=missed["message_id"], text="re: said meanwhile")
    sim.wait("beat", since, SOON)
    assert answered(sim, "after")["duplicate"] is False
    assert sim.state()["identifies"] == 1
    unfaulted(sim)


def test_the_sdk_stays_on_op_7_and_resumes_when_it_is_closed(sim: QQSim, bot: Any) -> None:
    sim.fault("op7", grace=0.2)
    sim.wait("resume", timeout=SOON)
    answered(sim, "after")
    unfaulted(sim)


def test_the_sdk_begins_anew_after_op_9(sim: QQSim, bot: Any) -> None:
    first = sim.wait("identify", timeout=SOON)
    sim.fault("op9", resumable=False)
    assert sim.wait("identify", first["n"], SOON)["session"] != first["session"]
    answered(sim, "after")
    unfaulted(sim)


@pytest.mark.long
def test_the_sdk_s_heartbeats_keep_its_link(sim: QQSim, bot: Any) -> None:
    for _ in range(2):
        beat = sim.wait("beat", since=sim.record(kind="beat")[-1]["n"], timeout=40)
        assert 29 < beat["after"] < 32 and beat["answered"]
    assert len(sim.record(kind="open")) == 1
    unfaulted(sim)
