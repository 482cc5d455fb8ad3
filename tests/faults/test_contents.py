"""All that is no plain text, on all six platforms: pictures are looked at, files arrive, what is strange is kept."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from typing import Any, Mapping

from tests.support.scene import QUICK, Scene
from tests.support.stage import Sim, until

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
DATA = base64.b64encode(PICTURE).decode()
# How a user of each platform sends a picture, in the words of its simulator.
PICTURES: Mapping[str, Mapping[str, Any]] = {
    "feishu": {"text": "x", "message_type": "image", "data": DATA},
    "dingtalk": {"text": "x", "msgtype": "picture", "data": DATA},
    "wecom": {"message_type": "image", "data": DATA},
    "qq": {"text": "", "attachments": [{"content_type": "image/png", "filename": "a.png", "data": DATA}]},
    "telegram": {"kind": "photo", "data": DATA},
    "slack": {"text": "", "files": [{"name": "a.png", "mimetype": "image/png", "data": DATA}]},
}
# The command agent that gives back what it was given, by the path at which it lies.
BACK = """
import json, sys
turn = json.load(sys.stdin)
media = [{"kind": each["kind"], "path": each["path"], "name": "back.png"} for each in turn["attachments"]]
print(json.dumps({"text": "here it is again", "media": media}))
"""


def shown(request: Mapping[str, Any]) -> list[bytes]:
    """The pictures in the last message of a call."""
    content = request["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if isinstance(part, dict) and part["type"] == "image_url"]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def arrived(sim: Sim) -> int:
    """How many messages of ours hold a file of the picture's size or sum."""
    said = json.dumps([entry for entry in sim.record() if entry["kind"] in ("send", "upload")])
    return said.count(hashlib.md5(PICTURE).hexdigest()) or said.count(f'"size": {len(PICTURE)}')


def test_a_picture_is_seen_by_the_agent_and_a_file_of_the_agent_s_reaches_the_chat(stage: Any) -> None:
    model = stage.model()
    agent: dict[str, Any] = {"type": "openai", "base_url": model.url, "model": "test"}
    scene = Scene(stage, platforms=tuple(PICTURES), gateway={"supervisor": QUICK, "agent": agent})
    for platform, said in PICTURES.items():
        scene.sims[platform].say(**said)
    until(lambda: len(model.record()) == len(PICTURES), what="a question for each picture")
    assert [shown(request) for request in model.record()] == [[PICTURE]] * len(PICTURES)
    for platform, sim in scene.sims.items():
        until(lambda sim=sim: sim.sends(), what=f"an answer on {platform}")

    agent = {"type": "command", "argv": [sys.executable, "-c", BACK]}
    stage.write("gateway", {"http": {"port": 0}, "access": {"dm": "open"}, "supervisor": QUICK, "agent": agent})
    assert scene.gateway.post("/api/reload")[0] == 200
    for platform, said in PICTURES.items():
        scene.sims[platform].say(**said)
    for platform, sim in scene.sims.items():
        until(lambda sim=sim: arrived(sim), what=f"the file on {platform}")
        assert any("here it is again" in send["text"] for send in sim.sends()), platform
    scene.no_violations()


def test_a_message_of_a_kind_that_nobody_knows_is_answered_and_its_frame_is_kept_and_counted(stage: Any) -> None:
    """On Telegram and Slack it cannot be told from what a chat tells of itself: there it is kept alone."""
    scene = Scene(stage, platforms=tuple(PICTURES), gateway={"supervisor": QUICK})
    body = {"chat": {"id": 1, "type": "private"}, "hologram": {}}
    strange: Mapping[str, Mapping[str, Any]] = {
        "feishu": {"message_type": "hologram"},
        "dingtalk": {"msgtype": "hologram"},
        "wecom": {"message_type": "hologram"},
        "qq": {"text": "", "chat": "hologram"},
        "telegram": {"kind": "raw", "update": "message", "body": body},
        "slack": {"text": "waves", "subtype": "hologram"},
    }
    for platform, said in strange.items():
        scene.sims[platform].say(**said)
    until(lambda: scene.gateway.status()["quarantine"] == len(strange), what="six frames in quarantine")
    for platform in ("feishu", "dingtalk", "wecom", "qq"):
        until(lambda platform=platform: scene.sims[platform].sends(), what=f"an answer on {platform}")
    for platform, sim in scene.sims.items():
        sim.say(text=f"and on, {platform}")
        until(lambda sim=sim: any("and on" in send["text"] for send in sim.sends()), what=f"an answer on {platform}")
    assert all(child["losses"] == 0 for child in scene.gateway.status()["children"])
    scene.no_violations()
