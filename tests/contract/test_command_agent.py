"""A program as the agent, and programs and callables as hooks."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import gevent
import pytest

from hermes_green.agents import registry
from hermes_green.agents.hooks import HookCalls
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import AgentFailed, AgentTimeout
from hermes_green.core.model import Delta, Message
from hermes_green.core.ports import Agent
from hermes_green.runtime.hooks import Hook, Hooks
from hermes_green.settings.schema import CommandAgent, Hook as HookOptions
from tests.support.outside import Log, gone, processes, said, turn
from tests.support.stage import PATIENCE, until


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def yard(tmp_path: Path, log: Log) -> Iterator[Yard]:
    yard = Yard(log, tmp_path)
    yield yard
    yard.close()
    assert not log.has("warden:"), log.lines


@pytest.fixture
def make(yard: Yard, log: Log) -> Callable[..., Agent]:
    def make(*argv: str, timeout: float = PATIENCE) -> Agent:
        return registry.create(CommandAgent(type="command", argv=list(argv), timeout=timeout), log, yard)

    return make


def shell(make: Callable[..., Agent], script: str, **more: Any) -> Agent:
    return make("sh", "-c", script, **more)


def fails(agent: Agent, kind: type[Exception] = AgentFailed) -> str:
    with pytest.raises(kind) as failure:
        said(agent.run(turn()))
    return str(failure.value)


# --- the command agent ---


def test_the_turn_is_one_json_object_on_standard_input(make) -> None:
    asked = turn("grüße 你好 🎉", history=(Message("user", "a"),))
    found = json.loads(said(make("cat").run(asked)))
    assert found["text"] == "grüße 你好 🎉" and found["id"] == "t"
    assert found["history"] == [{"role": "user", "text": "a"}]
    names = "id attempt session_id child platform account chat_id chat_type thread_id user_id user_name text locale"
    assert {*names.split(), "attachments", "history"} <= set(found)


def test_plain_text_comes_as_it_is_printed(make, tmp_path: Path) -> None:
    deltas = shell(make, "echo a; while [ ! -e heard ]; do sleep 0.05; done; echo b").run(turn())
    assert next(deltas).text == "a"
    (tmp_path / "heard").touch()
    assert said(deltas) == "\nb"


def test_lines_of_deltas_are_deltas(make) -> None:
    script = """echo '{"text": "a"}'; echo '{"text": "b", "usage": {"n": 1}}'"""
    assert list(shell(make, script).run(turn())) == [Delta("a"), Delta("b", usage={"n": 1})]


def test_an_exit_code_a_signal_or_no_program_fails_the_turn_and_says_why(make, log: Log) -> None:
    failure = fails(shell(make, "echo part; echo so sorry >&2; exit 3"))
    assert failure == "sh: its process ended with exit code 3: so sorry"
    assert log.has("sh: so sorry")
    assert "signal 15" in fails(shell(make, "kill -TERM $$"))
    assert "No such file" in fails(make("no-such-program"))
    assert "line 2" in fails(shell(make, """echo '{"text": "a"}'; echo oops"""))


def test_a_program_need_not_read_its_input(make) -> None:
    assert said(make("echo", "hi").run(turn("x" * 3_000_000))) == "hi"


def test_it_works_where_the_configuration_lies(make, tmp_path: Path) -> None:
    assert said(make("pwd").run(turn())) == str(tmp_path)


def test_a_program_is_told_as_much_as_there_is_and_may_answer_as_much(make) -> None:
    text = "x" * 1_500_000
    assert json.loads(said(make("cat").run(turn(text))))["text"] == text


def test_a_deadline_or_a_cancelled_turn_ends_it_with_all_its_family(make) -> None:
    mark = uuid.uuid4().hex
    sleeper = f"{sys.executable} -c 'import time; time.sleep(600)' {mark}"
    agent = shell(make, f"setsid {sleeper} & ({sleeper} &) ; trap '' TERM INT; {sleeper}; true", timeout=2.0)
    job = gevent.spawn(fails, agent, AgentTimeout)
    # Where they take longer than the deadline to begin, those that there are must be gone, too.
    until(lambda: job.ready() or len(processes(mark)) == 3)
    family = processes(mark)
    assert "no complete answer in 2 s" in job.get(timeout=PATIENCE)
    assert gone(family, PATIENCE) and not processes(mark)
    agent = shell(make, f"setsid {sleeper} & ({sleeper} &) ; trap '' TERM INT; {sleeper}; true")
    job = gevent.spawn(lambda: said(agent.run(turn())))
    until(lambda: len(processes(mark)) == 3)
    family = processes(mark)
    job.kill()
    assert gone(family, PATIENCE)


def test_what_it_leaves_behind_holding_its_output_ends_with_it(make) -> None:
    mark = uuid.uuid4().hex
    script = f"setsid {sys.executable} -c 'import time; time.sleep(600)' {mark} & sleep 0.3; echo done"
    with gevent.Timeout(PATIENCE):
        assert said(shell(make, script, timeout=600.0).run(turn())) == "done"
    assert gone(processes(mark), PATIENCE)


def test_it_holds_no_descriptor_of_ours(make, tmp_path: Path) -> None:
    look = "import os\nfor n in range(512):\n try: print(n, os.readlink(f'/proc/self/fd/{n}'))\n except OSError: pass"
    with (tmp_path / "lock").open("w"):
        held = said(make(sys.executable, "-c", look).run(turn()))
    lines = held.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"], held
    assert all("pipe:" in line for line in lines)


# --- hooks ---

CODE = '''
import os, time
from pathlib import Path
def note(event, context): Path("noted").write_text(f"{event} {context['chat_id']} {os.getpid()}")
def broken(event, context): raise ValueError("of a hook")
def spin(event, context):
    while True: pass
def crash(event, context): os._exit(3)
'''


@pytest.fixture
def fire(tmp_path: Path, yard: Yard, log: Log, monkeypatch) -> Iterator[Callable[..., None]]:
    (tmp_path / "hooked.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    made: list[Any] = []

    def fire(*hooks: HookOptions, **context: Any) -> None:
        calls = HookCalls(hooks, yard, log)
        fired = Hooks([Hook(hook.event, hook.run, calls.call(hook), hook.timeout) for hook in hooks], log)
        made.extend([calls, fired])
        fired.fire("agent:start", {"chat_id": "c", **context})

    yield fire
    for each in made:
        each.close()
    sys.modules.pop("hooked", None)


@pytest.mark.parametrize("isolation", ["process", "thread", "greenlet"])
def test_a_hook_is_told_the_event_and_its_context(fire, tmp_path: Path, isolation: Any) -> None:
    fire(HookOptions(event="agent:start", run="hooked:note", isolation=isolation))
    until(lambda: (tmp_path / "noted").exists() and (tmp_path / "noted").read_text())
    event, chat, pid = (tmp_path / "noted").read_text().split()
    assert (event, chat) == ("agent:start", "c") and (int(pid) == os.getpid()) == (isolation != "process")


def test_a_program_is_told_as_json(fire, tmp_path: Path) -> None:
    fire(HookOptions(event="agent:start", run=["sh", "-c", "cat > noted.part; mv noted.part noted"]))
    until((tmp_path / "noted").exists)
    assert json.loads((tmp_path / "noted").read_text()) == {"event": "agent:start", "context": {"chat_id": "c"}}


def test_a_hook_that_fails_spins_or_crashes_is_named_in_the_log_and_stops_nobody(
    fire, log: Log, tmp_path: Path
) -> None:
    cut: list[Any] = ["hooked:spin", ["sleep", "600"]]
    runs = ["hooked:broken", "hooked:crash", "hooked:absent", ["sh", "-c", "exit 3"], "hooked:note", *cut]
    fire(*(HookOptions(event="agent:start", run=run, timeout=2 if run in cut else PATIENCE) for run in runs))
    until(lambda: sum(line.startswith("hook ") for line in log.lines) >= 6)
    for text in (
        "hooked:broken for agent:start failed: ValueError: of a hook",
        "hooked:spin for agent:start was cut off after 2 s",
        "hooked:crash for agent:start failed: its process ended itself",
        'has no "absent"',
        "exit code 3",
        "['sleep', '600'] for agent:start was cut off",
    ):
        assert log.has(text), (text, log.lines)
    until((tmp_path / "noted").exists)
