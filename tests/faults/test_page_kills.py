"""What the page's chat was told is accepted is answered there once, whenever the process is killed."""

from __future__ import annotations

import random
import signal
from collections import Counter

import gevent

from tests.support.stage import Gateway, Stage, until

CHATS = 7


def test_kill_9_loses_and_doubles_nothing_of_what_the_page_was_told_is_accepted(
    stage: Stage, long_run: bool, seed: int
) -> None:
    model = stage.model()
    model.behave(first=0.05, delay=0.02)
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    stage.write("gateway", {"http": {"port": 0}, "agent": agent, "turns": {"poison_limit": 1000}})
    running: list[Gateway] = [stage.gateway()]
    accepted: list[tuple[str, str]] = []
    draw, over = random.Random(seed), False

    def write() -> None:
        number = 0
        while not over:
            chat, text = f"c{number % CHATS}", f"page {number}"
            number += 1
            try:
                body = {"text": text, "chat": chat}
                if running[-1].post("/api/chat", body, **{"Idempotency-Key": text})[0] == 202:
                    accepted.append((chat, text))
            except OSError:
                pass  # killed just then: whether it was taken is what nobody was told
            gevent.sleep(0.05)

    writing = gevent.spawn(write)
    kills = 20 if long_run else 3
    for _ in range(kills):
        gevent.sleep(draw.uniform(0.3, 1.0))
        running[-1].kill(signal.SIGKILL)
        running.append(stage.gateway())
    over = True
    writing.get(timeout=60)
    gateway = running[-1]
    until(lambda: not any(gateway.status()[what] for what in ("inbox", "outbox", "turns")), what="all answers")
    said: Counter[tuple[str, str]] = Counter()
    for chat in {chat for chat, _ in accepted}:
        lines = gateway.get(f"/api/chat?chat={chat}&limit=1000")[1]["lines"]
        said.update((chat, line["text"].strip().removeprefix("echo: ")) for line in lines if "echo: " in line["text"])
    print(f"{kills} kills, {len(accepted)} messages that were accepted")
    assert len(accepted) > 5 * kills and {said[each] for each in accepted} == {1}, [
        each for each in accepted if said[each] != 1
    ]
