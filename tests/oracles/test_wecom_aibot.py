"""The official WeCom SDK and its Python port work against our simulated WeCom, which finds nothing wrong with them."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from hermes_green.sim.wecom import WeComSim
from tests.support.virtualenv import CACHE

PYTHON_SDK = "wecom-aibot-sdk==1.0.8"
NODE_SDK = "@wecom/aibot-node-sdk@1.0.7"
START = 120.0
SOON = 60.0


@pytest.fixture(scope="module")
def modules() -> Path:
    """The folder with the node SDK; installed once under the cache."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not here; the Python port still judges")
    folder = CACHE / "oracles" / f"node-{hashlib.sha256(NODE_SDK.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            argv = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), NODE_SDK]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "complete").touch()
    return folder / "node_modules"


@pytest.fixture
def sim() -> Iterator[WeComSim]:
    with WeComSim(silence=30.0, kick_after=0.5) as running:
        yield running


@pytest.fixture(params=["node", "python"])
def start(request: pytest.FixtureRequest, sim: WeComSim, run_client: Callable[..., Any]) -> Callable[..., Any]:
    """``start(secret=...)``: a client of one of the two SDKs."""

    def client(secret: str = "") -> Any:
        arguments = (sim.ws_url, sim.options.bot_id, secret or sim.options.secret)
        if request.param == "node":
            modules = str(request.getfixturevalue("modules"))
            return run_client(Path(str(shutil.which("node"))), "wecom_client.cjs", modules, *arguments)
        python = request.getfixturevalue("sdk_python")(PYTHON_SDK)
        return run_client(python, "wecom_client.py", *arguments)

    client.sdk = request.param  # type: ignore[attr-defined]
    return client


@pytest.fixture
def bot(sim: WeComSim, start: Callable[..., Any]) -> Any:
    child = start()
    sim.wait("subscribe", timeout=START, code=0)
    return child


def answered(sim: WeComSim, text: str, **how: Any) -> dict[str, Any]:
    """Say it, and return the bot's answer."""
    since = sim.log.last
    said = sim.say(text=text, **how)
    return sim.wait("send", since, SOON, reply_to=said["message_id"])


def unfaulted(sim: WeComSim) -> None:
    assert sim.record(kind="violation") == []
    assert sim.record(kind="refused_command") == []


def test_the_sdk_subscribes_beats_receives_and_streams_its_reply(sim: WeComSim, bot: Any) -> None:
    assert [entry["code"] for entry in sim.record(kind="subscribe")] == [0]
    first = answered(sim, "hello", chat="alice")
    assert (first["text"], first["chat"], first["frames"]) == ("re: hello", "alice", 4)
    assert answered(sim, "all of you", chat="wr1", chat_type="group")["chat"] == "wr1"
    for n in range(5):
        assert answered(sim, f"number {n}")["text"] == f"re: number {n}"
    assert sim.state()["streams"] == 0
    sim.wait("beat", timeout=SOON)
    unfaulted(sim)


def test_the_sdk_writes_unasked_welcomes_and_moves_files_both_ways(sim: WeComSim, bot: Any) -> None:
    sim.say(event="enter_chat")
    assert sim.wait("welcome", timeout=SOON)["text"] == "welcome"
    since = sim.log.last
    sim.say(text="push", chat="wr1", chat_type="group")
    assert sim.wait("send", since, SOON, via="send", chat="wr1")["text"] == "pushed"
    sent = answered(sim, "upload")
    assert (sent["msgtype"], sent["name"], sent["size"]) == ("file", "data.bin", 1_200_000)
    data = os.urandom(100_001)
    how = {"message_type": "image", "data": base64.b64encode(data).decode(), "name": "a.png"}
    assert answered(sim, "", **how)["text"] == f"a.png {hashlib.md5(data).hexdigest()}"
    unfaulted(sim)


@pytest.mark.parametrize("how", ["rst", "fin", "close"])
def test_the_sdk_subscribes_again_after_a_drop(
    sim: WeComSim, bot: Any, start: Callable[..., Any], how: str
) -> None:
    if how == "close" and start.sdk == "python":  # type: ignore[attr-defined]
        pytest.skip("the port never reconnects after a clean close: a defect of its own")
    answered(sim, "before")
    since = sim.log.last
    sim.fault(how)
    sim.wait("subscribe", since, SOON, code=0)
    assert answered(sim, "after")["text"] == "re: after"
    unfaulted(sim)


def test_the_sdk_that_is_displaced_goes_and_does_not_come_back(sim: WeComSim, bot: Any) -> None:
    since = sim.log.last
    sim.fault("kick")
    sim.wait("close", since, SOON)
    with pytest.raises(TimeoutError):
        sim.wait("open", since, 2.0)
    unfaulted(sim)


def test_the_sdk_with_a_wrong_secret_is_refused_and_closes(sim: WeComSim, start: Callable[..., Any]) -> None:
    start("wrong")
    assert sim.wait("subscribe", timeout=START)["code"] == 853000
    assert sim.wait("close", timeout=SOON)["how"] in ("client", "eof"), "whoever waits for the server waits for ever"
    unfaulted(sim)


def test_a_mute_platform_is_left_after_two_beats(sim: WeComSim, bot: Any, start: Callable[..., Any]) -> None:
    if start.sdk == "python":  # type: ignore[attr-defined]
        pytest.skip("the port's own close ends it for good: the same defect")
    since = sim.log.last
    sim.fault("mute_acks")
    sim.wait("close", since, SOON)
    sim.clear()
    sim.wait("beat", sim.wait("subscribe", since, SOON)["n"], SOON)
    assert answered(sim, "heard again")["text"] == "re: heard again"
