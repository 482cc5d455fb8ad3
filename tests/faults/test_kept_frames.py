"""What DingTalk and WeCom push once is not lost with the process, even where its commit would have taken long."""

from __future__ import annotations

import signal
from pathlib import Path

from hermes_green.ops.shelter import place_of
from tests.faults.test_store_away import held
from tests.support.six import six
from tests.support.stage import PATIENCE, until

ONCE = ("dingtalk", "wecom")


def kept_in(data_dir: Path) -> list[Path]:
    """The files of all bots of a data directory."""
    one = place_of(data_dir, "")
    return list(one.parent.glob(f"{one.name.rpartition('-')[0]}-*"))


def holds(place: Path, chats: list[str]) -> bool:
    """Whether what was said in all of these chats is kept there."""
    kept = place.read_bytes() if place.exists() else b""
    return all(chat.encode() in kept for chat in chats)


def test_killed_while_the_disk_kept_their_commits_waiting_all_that_came_is_answered_once(stage, long_run, seed) -> None:
    scene = six(stage, platforms=ONCE, gateway={"supervisor": {"healthy_after": 1, "backoff_max": 1}})
    chats = [f"chat{number}" for number in range(20 if long_run else 4)]
    with held(scene):
        for name in ONCE:
            for chat in chats:
                scene.say(name, chat, chat)
            until(lambda name=name: len(scene.sims[name].record("push")) == len(chats), what="the pushes")
        until(lambda: len(places := kept_in(stage.home / "var")) == len(ONCE) and all(
            holds(place, chats) for place in places), what="all of it to be kept")  # fmt: skip
        scene.gateway.kill(signal.SIGKILL)
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    for name in ONCE:
        for chat in chats:
            scene.expect(name, chat, [chat], settle=0)
    told = f"{len(chats)} frames that came just before the last end were taken up"
    assert scene.gateway.log.read_text().count(told) == len(ONCE)
    scene.gateway.kill(signal.SIGTERM)
    assert not kept_in(stage.home / "var"), "nothing is left of what was answered"


def test_told_to_stop_it_leaves_what_comes_then_to_the_next_process(stage, seed) -> None:
    model = stage.model()
    model.behave(hold=True)
    agent = {"type": "openai", "base_url": model.url, "model": "test"}
    scene = six(stage, platforms=ONCE, gateway={"agent": agent, "supervisor": {"drain_seconds": 30}})
    for name in ONCE:
        scene.say(name, "chat", "before")
    until(lambda: scene.gateway.status()["turns"] == 2, what="two turns")
    scene.gateway.popen.send_signal(signal.SIGTERM)
    for number in range(5):
        for name in ONCE:
            scene.say(name, f"late{number}", "late")
    model.behave()
    model.release()
    assert scene.gateway.popen.wait(PATIENCE) == 0
    pushed = {name: [entry for entry in scene.sims[name].record("push") if "late" in entry["chat"]] for name in ONCE}
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    for name in ONCE:
        until(lambda name=name: scene.texts(name, "chat"), what="the answer before the stop")
        print(f"{name}: {len(pushed[name])} of 5 were pushed to a process that stopped")
        for entry in pushed[name]:
            until(lambda name=name, chat=entry["chat"]: scene.texts(name, chat), what=f"the answer in {entry['chat']}")
