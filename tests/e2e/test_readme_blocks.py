"""What the READMEs say to type does what they say, typed as it stands there."""

from __future__ import annotations

import re
import socket
import subprocess

import gevent
import pytest

from tests.e2e.conftest import Checkout
from tests.support.stage import ROOT, http, until

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = (".venv/bin/hermes-green ", "curl ")
# Installing, tests, benches, service managers, upgrades and `try` have runs of their own.
ELSEWHERE = (
    "scripts/",
    "HERMES_GREEN_FAULTS=long scripts/",
    ".venv/bin/python tests/bench/",
    "python3 -m venv",
    ".venv/bin/hermes-green try",
    ".venv/bin/hermes-green stop\ngit pull",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Typist:
    """Types blocks into a shell at the checkout's root; programs that serve get a terminal of their own."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        # The only thing that is changed: these two may be somebody else's on this machine.
        self.ports = {"8787": str(free_port()), "9001": str(free_port())}
        (checkout.root / "conf" / "gateway.local.yaml").write_text(f"http: {{port: {self.ports['8787']}}}\n")
        self.typed: list[str] = []

    def serve(self, line: str) -> None:
        """A line that does not come back; waits until what it starts serves."""
        process = self._checkout.start("bash", "-c", f"exec {line}")
        assert process.stdout is not None
        with gevent.Timeout(120, AssertionError(f"{line} did not serve within two minutes")):
            assert process.stdout.readline(), f"{line} has ended"

    def block(self, kind: str, text: str) -> None:
        for was, now in self.ports.items():
            text = text.replace(was, now)
        if kind == "yaml" and "sim-feishu-secret" in text:
            name = text.splitlines()[0].removeprefix("# ")
            (self._checkout.root / name).write_text(text)
        elif kind == "bash" and text.startswith(OURS) and not text.startswith(ELSEWHERE):
            for line in text.splitlines():
                self.typed.append(line)
                if " sim " in line:
                    self.serve(line)
                else:
                    self._run(line)

    def _run(self, line: str) -> None:
        done = subprocess.run(
            ["bash", "-c", line], cwd=self._checkout.root, env=self._checkout.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "error" not in done.stdout[:20], f"{line}\n{done.stdout}"


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_blocks_do_what_they_say_in_the_order_in_which_they_stand(checkout: Checkout, name: str) -> None:
    typist = Typist(checkout)
    typist.serve("scripts/run_gateway.sh")
    blocks = BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))
    for kind, text in blocks:
        typist.block(kind, text)
    untyped = [text for kind, text in blocks if kind == "bash" and not text.startswith((*OURS, *ELSEWHERE))]
    assert not untyped, "a block of a kind that this test does not know"
    assert len(typist.typed) >= 12, typist.typed
    sim, page = (f"http://127.0.0.1:{typist.ports[port]}" for port in ("9001", "8787"))

    def sent() -> bool:
        return "good morning" in str(http("GET", f"{sim}/_sim/record?kind=send")[1])

    until(sent, what="the simulated user to be answered")
    until(lambda: http("GET", f"{page}/readyz")[0] == 200, what="Feishu to be READY again after its line was cut")
    said = str(http("GET", f"{page}/api/chat?chat=mine")[1])
    assert said.count("good morning") == 2, "the question and its echo"
    assert "the night was quiet" in str(http("GET", f"{page}/api/chat?chat=main")[1])
