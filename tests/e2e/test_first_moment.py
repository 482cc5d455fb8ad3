"""The first moment: whoever waits for the address, or for the line that tells it, finds a gateway that is whole."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from tests.support.stage import PATIENCE, Stage, http


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    "method, path, wanted",
    [("GET", "/readyz?child=feishu", {200, 503}), ("GET", "/readyz", {503}), ("POST", "/api/send", {202})],
)
def test_whoever_waits_for_the_port_is_told_of_children_from_the_first_answer_on(
    stage: Stage, method: str, path: str, wanted: set[int]
) -> None:
    port = free_port()
    stage.write("gateway", {"http": {"port": port}})
    # Nobody listens there: this child is not READY before the end of the test.
    dead = {"enabled": True, "app_id": "cli_0", "app_secret": "x", "api_base": f"http://127.0.0.1:{free_port()}"}
    stage.write("feishu", dead)
    body = {"child": "feishu", "chat": "oc_1", "text": "hello"} if method == "POST" else None

    def first_answer() -> int:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                gevent.sleep(0.001)
            else:
                return http(method, f"http://127.0.0.1:{port}{path}", body)[0]

    asking = gevent.spawn(first_answer)
    stage.gateway()
    assert asking.get(timeout=PATIENCE) in wanted


def test_the_pages_chat_takes_what_comes_right_after_the_line(stage: Stage) -> None:
    gateway = stage.gateway()
    status, answer = gateway.post("/api/chat", {"text": "hello"})
    assert status == 202, answer
