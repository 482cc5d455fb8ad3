"""A QQ bot by hand: what a test needs to talk to the simulated QQ without our adapter."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator

import pytest
import requests
import websocket

from hermes_green.sim.qq import QQSim
from tests.support.stage import PATIENCE

C2C, GUILDS = 1 << 25, 1 << 30
Make = Callable[..., QQSim]
OPEN: list[websocket.WebSocket] = []


class Closed(Exception):
    """The server closed the socket, with this code."""


class Client:
    """A bot, by hand."""

    def __init__(self, sim: QQSim, hello: bool = True) -> None:
        self.sim = sim
        self.seq: int | None = None
        self.session = ""
        self.ws = websocket.create_connection(sim.ws_url, timeout=PATIENCE)
        OPEN.append(self.ws)
        if hello:
            assert self.read()["op"] == 10

    def say(self, op: int, d: Any) -> None:
        self.ws.send(json.dumps({"op": op, "d": d}))

    def read(self) -> dict[str, Any]:
        opcode, data = self.ws.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise Closed(int.from_bytes(data[:2], "big"))
        frame: dict[str, Any] = json.loads(data)
        self.seq = frame.get("s", self.seq)
        return frame

    def identify(self, intents: int = C2C, token: str = "") -> dict[str, Any]:
        token = token or f"QQBot {token_of(self.sim)}"
        self.say(2, {"token": token, "intents": intents, "shard": [0, 1], "properties": {}})
        ready = self.read()
        if ready["op"] == 0:
            self.session = ready["d"]["session_id"]
        return ready

    def resume(self, session: str, seq: int) -> None:
        self.say(6, {"token": f"QQBot {token_of(self.sim)}", "session_id": session, "seq": seq})

    def beat(self) -> dict[str, Any]:
        self.say(1, self.seq)
        return self.read()

    def closed_with(self) -> int:
        with pytest.raises(Closed) as closed:
            while True:
                self.read()
        return int(closed.value.args[0])


def ask_token(sim: QQSim, **body: Any) -> dict[str, Any]:
    asked = {"appId": sim.options.app_id, "clientSecret": sim.options.secret, **body}
    answer = requests.post(f"{sim.url}/app/getAppAccessToken", json=asked, timeout=PATIENCE)
    assert answer.status_code == 200
    return dict(answer.json())


def token_of(sim: QQSim) -> str:
    return str(ask_token(sim)["access_token"])


def call(sim: QQSim, method: str, path: str, body: Any = None, token: str | None = None) -> requests.Response:
    headers = {"Authorization": token if token is not None else f"QQBot {token_of(sim)}"}
    return requests.request(method, sim.url + path, json=body, headers=headers, timeout=PATIENCE)


def reply(
    sim: QQSim, said: dict[str, Any], text: str = "hi", path: str = "/v2/users", **body: Any
) -> requests.Response:
    wanted = {"msg_type": 0, "content": text, "msg_id": said["message_id"], "msg_seq": 1, **body}
    return call(sim, "POST", f"{path}/{said['chat']}/messages", wanted)


def violations(sim: QQSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="violation")]


def simulators() -> Iterator[Make]:
    """For a fixture: starts simulators with the options given; at the end all of them and every client are gone."""
    running: list[QQSim] = []

    def start(**options: Any) -> QQSim:
        sim = QQSim(**{"max_concurrency": 100, **options})
        running.append(sim)
        sim.start()
        return sim

    yield start
    while OPEN:
        OPEN.pop().shutdown()
    for sim in running:
        sim.stop()
