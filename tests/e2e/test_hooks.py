"""Hooks of a real gateway: they decide about messages, are told what happens, and cost no message when they fail."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from tests.support.scene import QUICK, Scene
from tests.support.stage import Stage, until

DECIDING = '''
import time
def decide(event, context):
    text = context["text"]
    assert context["chat_id"] and context["child"] and event == "message:received"
    if text == "quiet": return {"decision": "deny"}
    if text == "rude": return {"decision": "deny", "text": "not in this tone"}
    if text == "faq": return {"decision": "answer", "text": "it is in the manual"}
    if text.startswith("loud "): return {"decision": "rewrite", "text": text.upper()}
    if text == "crash": import os; os._exit(9)
    if text == "raise": raise ValueError("of a hook")
    if text == "odd": return "nonsense"
def dawdle(event, context):
    if context["text"] == "slow": time.sleep(60)
'''
# In Hermes Agent's own style: async, and in a directory.
HANDLER = '''
import json, pathlib
async def handle(event_type, context):
    with (pathlib.Path(__file__).parent / "told.jsonl").open("a") as file:
        file.write(json.dumps({"event": event_type, **context}) + "\\n")
'''
BOUND = "child platform account chat_id chat_type thread_id user_id session_id message_id turn_id".split()


def drop(home: Path, events: list[str]) -> Path:
    folder = home / "hooks" / "listener"
    folder.mkdir(parents=True)
    manifest = f"name: listener\ndescription: writes down what it hears\nevents: {json.dumps(events)}\n"
    (folder / "HOOK.yaml").write_text(manifest)
    (folder / "handler.py").write_text(HANDLER)
    return folder / "told.jsonl"


def heard(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_hook_denies_rewrites_and_answers_and_costs_no_message_when_it_fails(stage: Stage) -> None:
    (stage.home / "deciding.py").write_text(DECIDING)
    judge = {"event": "message:received", "run": "deciding:decide", "timeout": 60, "name": "judge"}
    slow = {"event": "message:received", "run": "deciding:dawdle", "timeout": 1, "name": "dawdler"}
    scene = Scene(stage, platforms=("feishu",), gateway={"supervisor": QUICK, "hooks": [judge, slow]})
    for text in ("quiet", "rude", "faq", "loud words", "plain"):
        scene.say("feishu", "d", text)
    scene.expect("feishu", "d", ["not in this tone", "it is in the manual", "LOUD WORDS", "plain"])
    failing = ["crash", "raise", "odd", "fine", "slow", "more"]
    for text in failing:
        scene.say("feishu", "f", text)
    scene.expect("feishu", "f", failing)
    told = {each["hook"]: each for each in scene.gateway.status()["hooks"]}
    assert (told["judge"]["failed"], told["judge"]["late"]) == (3, 0), told
    assert told["dawdler"]["late"] >= 1, told  # on a busy machine that one may be late for other texts as well
    log = scene.gateway.log.read_text()
    assert "hook judge for message:received failed: ValueError: of a hook" in log
    assert "hook dawdler for message:received was cut off after 1" in log
    assert scene.gateway.status()["dead"] == 0
    scene.no_violations()


def test_a_program_decides_by_what_it_prints(stage: Stage) -> None:
    script = "grep -q 'secret word' && echo '{\"decision\": \"answer\", \"text\": \"hush\"}'; true"
    hook = {"event": "message:received", "run": ["sh", "-c", script]}
    scene = Scene(stage, platforms=("feishu",), gateway={"hooks": [hook]})
    scene.say("feishu", "p", "the secret word")
    scene.say("feishu", "p", "another")
    scene.expect("feishu", "p", ["hush", "another"])


def test_a_dropped_in_hook_hears_everything_with_its_context(stage: Stage) -> None:
    kinds = [f"{kind}:*" for kind in ("gateway", "adapter", "session", "message", "command", "agent", "delivery")]
    path = drop(stage.home, [*kinds, "agent:step"])
    broken = {"type": "command", "argv": ["false"]}
    scene = Scene(
        stage,
        platforms=("feishu",),
        gateway={"supervisor": QUICK, "routes": [{"prefix": "break", "agent": broken}]},
    )
    sim = scene.sims["feishu"]
    assert "agent:step" in str(scene.gateway.status()["config"]["errors"])
    hello = sim.say(text="hello", chat="oc_h", user="ou_h")
    scene.expect("feishu", "h", ["hello"], settle=0)
    sim.say(kind="reaction", message_id=hello["message_id"], user="ou_h", emoji="OK")
    until(lambda: any(line["event"] == "message:reaction" for line in heard(path)), what="message:reaction")
    scene.say("feishu", "h", "break it")
    until(lambda: any(line["event"] == "agent:error" for line in heard(path)), what="agent:error")
    scene.say("feishu", "h", "/new")
    scene.say("feishu", "h", "/帮助 me")
    until(lambda: any(line["event"] == "session:reset" for line in heard(path)), what="session:reset")
    sim.fault("api_error", code=230002, count=1)
    scene.say("feishu", "dead", "is not delivered")
    until(lambda: any(line["event"] == "delivery:dead" for line in heard(path)), what="delivery:dead")
    sim.fault("rst")
    until(lambda: any(line["event"] == "adapter:lost" for line in heard(path)), what="adapter:lost")
    scene.until_state("feishu", "READY")
    scene.change("feishu", app_secret="wrong")
    until(lambda: any(line["event"] == "adapter:halted" for line in heard(path)), what="adapter:halted")
    assert scene.gateway.kill(signal.SIGTERM) == 0
    lines = heard(path)
    events = [line["event"] for line in lines]
    assert {"gateway:startup", "gateway:shutdown", "adapter:ready", "session:start", "message:received"} <= set(events)
    assert {"agent:start", "agent:end"} <= set(events)
    for line in lines:
        if line["event"].partition(":")[0] in ("message", "command", "agent", "delivery", "session"):
            assert all(name in line for name in BOUND), line
            assert line["chat_id"].startswith("oc_") and line["child"] == "feishu", line
    first = {line["event"]: line for line in reversed(lines)}
    assert first["message:received"]["text"] == "hello" and first["agent:end"]["response"] == "hello"
    assert first["gateway:startup"]["platforms"] == ["feishu", "web"]
    assert (first["command:new"]["command"], first["command:new"]["args"]) == ("new", "")
    assert first["command:help"]["args"] == "me" and events.index("command:new") < events.index("session:reset")
    assert first["agent:start"]["turn_id"] == first["agent:end"]["turn_id"]
    told = first["message:reaction"]
    assert (told["emoji"], told["added"], told["user_id"], told["quote"]) == ("OK", True, "ou_h", "hello")
    assert (told["message_id"], told["chat_id"]) == (hello["message_id"], "oc_h")
    assert first["delivery:dead"]["reason"] and first["adapter:halted"]["reason"]


def test_a_hook_that_is_dropped_in_or_taken_away_counts_from_the_next_reload(stage: Stage) -> None:
    scene = Scene(stage, platforms=("feishu",))
    assert scene.gateway.status()["hooks"] == []
    path = drop(stage.home, ["agent:end"])
    assert scene.gateway.post("/api/reload")[1]["changed"] == ["hooks"]
    scene.say("feishu", "h", "hello")
    until(lambda: heard(path), what="it hears")
    (path.parent / "HOOK.yaml").unlink()
    assert scene.gateway.post("/api/reload")[1]["changed"] == ["hooks"]
    assert scene.gateway.status()["hooks"] == []


def test_a_hook_that_is_told_of_the_end_has_seconds_for_it_and_one_that_hangs_does_not_keep_it_up(stage: Stage) -> None:
    note, done = stage.home / "note", stage.home / "done"
    last = {"event": "gateway:shutdown", "run": ["sh", "-c", f"touch {note}; sleep 2; touch {done}"], "timeout": 30}
    hangs = {"event": "agent:end", "run": ["sleep", "600"], "timeout": 600}
    scene = Scene(stage, platforms=("feishu",), gateway={"hooks": [last, hangs], "supervisor": {"drain_seconds": 60}})
    scene.say("feishu", "e", "hello")
    scene.expect("feishu", "e", ["hello"])
    until(lambda: any(each["calls"] for each in scene.gateway.status()["hooks"]), what="a hook that hangs")
    begun = time.monotonic()
    assert scene.gateway.kill(signal.SIGTERM) == 0
    assert done.exists(), "it was not cut off"
    assert time.monotonic() - begun < 59, "nor were all the drain's seconds spent"
