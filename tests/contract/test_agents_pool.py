"""A user's Python callable, wherever it runs, and what a process outside of the gateway survives: everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import gevent
import psutil
import pytest

from hermes_green.agents import kernel, registry
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import AgentFailed, AgentTimeout
from hermes_green.core.model import Attachment, Message
from hermes_green.core.ports import Agent
from hermes_green.settings.schema import PythonAgent
from tests.support.outside import Log, alive, family, gone, processes, said, turn
from tests.support.stage import PATIENCE, ROOT, until
from tests.support.turns import Turns

HOSTILE = "tests.support.hostile:answer"
MINE = '''
import os, sys, time
from pathlib import Path
from hermes_green.core.model import Delta, Attachment

def whole(turn): return "echo: " + turn.text
def pieces(turn):
    for word in turn.text.split(): yield word + " "
    yield Delta("end", usage={"n": 1})
def media(turn): return Delta("look", (Attachment("image", path="a.png"),))
def nothing(turn): return None
def shape(turn): return repr(turn)
def broken(turn):
    yield "some"
    raise ValueError("of mine")
async def later(turn): return "x"
def who(turn): return str(os.getpid())
def nice(turn): return str(os.getpriority(os.PRIO_PROCESS, 0))
def fds(turn):
    found = {}
    for n in range(1024):
        try: found[n] = os.readlink(f"/proc/self/fd/{n}")
        except OSError: pass
    return repr(found)
def modules(turn): return str("gevent" in sys.modules) + os.getcwd()
def count(turn):
    path = Path(turn.text)
    for n in range(1_000_000):
        path.write_text(str(n))
        yield "x" * 10_000
def talk(turn):
    print("to the log"); print("and this", file=sys.stderr); os.system("echo by a child")
    return "said"
def garbage(turn):
    for fd in range(3, 50):
        try: os.write(fd, b"\\xff" * 100)
        except OSError: pass
    time.sleep(5)
def thread(turn):
    import subprocess, threading
    def work():
        time.sleep(0.1); subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", turn.text])
        time.sleep(600)
    threading.Thread(target=work, daemon=True).start()
    return "left a thread"
def interrupt(turn):
    if turn.text == "ignore":
        import signal
        for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(n, signal.SIG_IGN)
    Path(f"begun-{turn.text}").touch()
    time.sleep(600)
'''

Make = Callable[..., Agent]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture(params=["fork"])
def yard(tmp_path: Path, log: Log, request: pytest.FixtureRequest) -> Iterator[Yard]:
    (tmp_path / "mine.py").write_text(MINE)
    yard = Yard(log, tmp_path, forks=request.param == "fork")
    yield yard
    warden = psutil.Process(yard._warden._process.pid) if yard._warden else None
    left = family(warden.pid) if warden else []
    yard.close()
    assert gone(left, PATIENCE) and (warden is None or not alive(warden.pid))
    assert not log.has("warden:"), log.lines


@pytest.fixture
def make(yard: Yard, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(target: str = "mine:whole", **more: Any) -> Agent:
        target = target if ":" in target else f"mine:{target}"
        options = PythonAgent(type="python", **{"target": target, "timeout": PATIENCE, **more})
        made.append(registry.create(options, log, yard))
        return made[-1]

    yield make
    for agent in made:
        agent.close()
    sys.modules.pop("mine", None)


everywhere = pytest.mark.parametrize("isolation", ["process", "thread", "greenlet"])
started_both_ways = pytest.mark.parametrize("yard", ["fork", "program"], indirect=True)


def fails(agent: Agent, text: str, *, kind: type[Exception] = AgentFailed) -> str:
    with pytest.raises(kind) as failure:
        said(agent.run(turn(text)))
    return str(failure.value)


# --- wherever it runs ---


@everywhere
def test_a_string_pieces_media_or_nothing_are_an_answer(
    make: Make, isolation: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(make("whole", isolation=isolation).run(turn("grüße 你好 🎉"))) == "echo: grüße 你好 🎉"
    assert said(make("nothing", isolation=isolation).run(turn())) == ""
    *_, last = deltas = list(make("pieces", isolation=isolation).run(turn("a b")))
    assert [delta.text for delta in deltas] == ["a ", "b ", "end"] and last.usage == {"n": 1}
    (delta,) = make("media", isolation=isolation).run(turn())
    assert delta.media == (Attachment("image", path=str(tmp_path / "a.png")),)


@everywhere
def test_a_module_beside_conf_is_found_wherever_it_runs(
    yard: Yard, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    """The shipped script starts a program of .venv/bin, where Python looks first, and not beside conf/."""
    (tmp_path / f"beside_{isolation}.py").write_text(MINE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    where: Any = {"target": f"beside_{isolation}:whole", "isolation": isolation}
    agent = registry.create(PythonAgent(type="python", **where), log, yard)
    try:
        assert said(agent.run(turn("x"))) == "echo: x"
    finally:
        agent.close()
        sys.modules.pop(f"beside_{isolation}", None)


@everywhere
def test_the_turn_is_the_turn(make: Make, isolation: str) -> None:
    asked = turn(
        "x",
        attachments=(Attachment("image", {"key": [1]}, "a", "image/png", 3, "/a.png"),),
        history=(Message("user", "a"), Message("assistant", "b")),
    )
    assert said(make("shape", isolation=isolation).run(asked)) == repr(asked)


@everywhere
def test_what_it_raises_is_one_failed_turn_that_names_it(make: Make, isolation: str) -> None:
    agent = make("broken", isolation=isolation)
    assert "mine:broken: ValueError: of mine" in fails(agent, "")
    assert "asyncio.run" in fails(make("later", isolation=isolation), "")
    assert 'has no "absent"' in fails(make("absent", isolation=isolation), "")
    assert 'no module "absent"' in fails(make("absent:fn", isolation=isolation), "")
    assert "RecursionError" in fails(make(HOSTILE, isolation=isolation), "recursion")
    assert said(make("whole", isolation=isolation).run(turn("still here"))) == "echo: still here"


@everywhere
def test_turns_run_side_by_side_and_a_turn_that_nobody_iterates_costs_nothing(make: Make, isolation: str) -> None:
    agent = make("pieces", isolation=isolation, workers=3)
    agent.run(turn())
    jobs = [gevent.spawn(lambda n=n: said(agent.run(turn(f"message {n}")))) for n in range(30)]
    gevent.joinall(jobs, timeout=PATIENCE)
    assert [job.value for job in jobs] == [f"message {n} end" for n in range(30)]


@everywhere
def test_an_abandoned_answer_is_closed(make: Make, isolation: str) -> None:
    agent = make(HOSTILE, isolation=isolation, workers=1)
    for _ in range(3):
        deltas = agent.run(turn("endless"))
        next(deltas)
        deltas.close()  # type: ignore[attr-defined]
    assert said(agent.run(turn("x"))) == "echo: x"


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_deadline_ends_the_turn_and_waiting_for_a_worker_counts(
    make: Make, isolation: str, tmp_path: Path
) -> None:
    agent = make(HOSTILE, isolation=isolation, workers=1, timeout=0.5)
    said(make("whole", isolation=isolation).run(turn()))
    with gevent.Timeout(PATIENCE):
        assert fails(agent, f"wait {tmp_path / 'over'}", kind=AgentTimeout)
        if isolation == "thread":
            assert "all 1 threads were busy" in fails(agent, "x", kind=AgentTimeout)
            (tmp_path / "over").touch()
    agent._options = replace(agent._options, timeout=PATIENCE)  # type: ignore[attr-defined]
    assert said(agent.run(turn("x"))) == "echo: x"


def test_threads_that_load_the_same_code_at_once_do_not_wait_for_each_other_for_ever(make: Make) -> None:
    for _ in range(10):
        sys.modules.pop("mine", None)
        agent = make("pieces", isolation="thread", workers=3)
        jobs = [gevent.spawn(lambda: said(agent.run(turn("a")))) for _ in range(6)]
        gevent.joinall(jobs, timeout=PATIENCE)
        assert [job.value for job in jobs] == ["a end"] * 6


# --- in a process ---


@started_both_ways
def test_no_crash_is_more_than_a_failed_turn(make: Make, yard: Yard) -> None:
    agent = make(HOSTILE, workers=2)
    other = gevent.spawn(lambda: said(agent.run(turn("sleep 1.5"))))
    gevent.sleep(0.3)
    assert "segmentation fault" in fails(agent, "segfault")
    assert "exit code 3" in fails(agent, "leave 3")
    assert "exit code 0" in fails(agent, "leave 0")
    assert "signal 9" in fails(agent, "suicide")
    assert "RecursionError" in fails(agent, "recursion")
    assert other.get(timeout=PATIENCE) == "awake"
    assert said(agent.run(turn("x"))) == "echo: x"


@started_both_ways
def test_a_worker_knows_no_gevent_holds_no_descriptor_of_ours_is_humble_and_at_home(
    make: Make, yard: Yard, tmp_path: Path
) -> None:
    files = [(tmp_path / f"{n}.lock").open("w") for n in range(3)]
    held = eval(said(make("fds").run(turn())))
    assert held[0] == "/dev/null" and held[1] == held[2] and held[1].startswith("pipe:")
    assert len(held) == 4 and sum(name.startswith("socket:") for name in held.values()) == 1, held
    assert said(make("modules").run(turn())) == f"False{tmp_path}"
    assert int(said(make("nice").run(turn()))) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    for file in files:
        file.close()


@started_both_ways
def test_all_that_a_turn_leaves_behind_is_gone_after_it(make: Make, yard: Yard) -> None:
    agent, mark = make(HOSTILE), uuid.uuid4().hex
    assert said(agent.run(turn(f"children 20 {mark}"))) == "left them"
    left = processes(mark)
    assert gone(left, PATIENCE) and not processes(mark)
    assert said(agent.run(turn("x"))) == "echo: x"


def test_all_that_a_crashed_turn_leaves_behind_is_gone_after_it(make: Make) -> None:
    agent, mark = make(HOSTILE), uuid.uuid4().hex
    failing = gevent.spawn(fails, agent, f"spinners 6 {mark}")
    until(lambda: len(processes(mark)) == 6)
    left = processes(mark)
    psutil.Process(left[0]).parent().kill()  # type: ignore[union-attr]
    assert "signal 9" in failing.get(timeout=PATIENCE)
    assert gone(left, PATIENCE)


def test_a_thread_that_outlives_its_turn_may_not_start_processes(make: Make, log: Log) -> None:
    mark = uuid.uuid4().hex
    assert said(make("thread").run(turn(mark))) == "left a thread"
    until(lambda: log.has("a thread that outlived its turn has started a process"))
    assert gone(processes(mark), PATIENCE)


def test_a_cancelled_turn_ends_its_worker_even_one_that_ignores_signals(
    make: Make, yard: Yard, tmp_path: Path
) -> None:
    agent = make("interrupt")
    for text in ("", "ignore"):
        job = gevent.spawn(lambda: said(agent.run(turn(text))))
        until((tmp_path / f"begun-{text}").exists)
        workers = family(yard._warden._process.pid)
        with gevent.Timeout(PATIENCE):
            job.kill()
        until(lambda: len([pid for pid in workers if alive(pid)]) < len(workers))


def test_memory_has_a_cap_and_ours_does_not_move(make: Make) -> None:
    agent = make(HOSTILE, worker_max_rss_mb=150)
    said(agent.run(turn("x")))
    ours = psutil.Process().memory_info().rss
    assert "MB of memory; it may have 150" in fails(agent, "memory 1000")
    assert said(agent.run(turn("memory 20"))) == "had 20000000"
    assert psutil.Process().memory_info().rss - ours < 5_000_000


def test_processes_without_end_end(make: Make, yard: Yard) -> None:
    agent = make(HOSTILE, timeout=5 * PATIENCE)
    said(agent.run(turn("x")))
    before = len(family(yard._warden._process.pid))
    begun = time.monotonic()
    assert "processes; it may have 1000" in fails(agent, "multiply")
    until(lambda: len(family(yard._warden._process.pid)) <= before)
    print(f"over after {time.monotonic() - begun:.2f} s")


def test_a_worker_serves_so_many_turns_and_is_replaced(make: Make) -> None:
    agent = make("who", max_turns_per_worker=3)
    pids = [said(agent.run(turn())) for _ in range(7)]
    assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4] == pids[5] != pids[6]


def test_who_reads_slowly_is_written_to_slowly(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "count"
    deltas = make("count").run(turn(str(path)))
    next(deltas)

    def at_rest() -> str:
        so_far = path.read_text()
        gevent.sleep(0.3)
        return so_far if path.read_text() == so_far else ""

    assert int(until(at_rest)) < 200
    deltas.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["endless", "drops"])
def test_an_answer_without_end_starves_nobody(make: Make, how: str) -> None:
    turns, size, most = Turns(), 0, 40_000_000 if how == "endless" else 10**9
    try:
        for delta in make(HOSTILE).run(turn(how)):
            turns.did()
            size += len(delta.text)
            if size > most:
                break
    except AgentFailed as error:
        assert how == "drops" and "pieces" in str(error)
    turns.stop()
    print(f"{how}: {turns}")
    assert turns.fair(), str(turns)


def test_what_it_prints_is_logged_and_bounded(make: Make, log: Log) -> None:
    assert said(make("talk").run(turn())) == "said"
    until(lambda: all(log.has(text) for text in ("to the log", "and this", "by a child")))
    assert said(make(HOSTILE).run(turn("shout 1"))) == "hoarse"
    until(lambda: log.has("were left out"))
    assert sum(map(len, log.lines)) < 300_000


def test_noise_on_the_gateways_socket_is_one_failed_turn(make: Make) -> None:
    assert "socket" in fails(make("garbage"), "")
    assert said(make("whole").run(turn("x"))) == "echo: x"


def test_changed_code_answers_the_next_turn_and_broken_code_does_not(make: Make, log: Log, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("WORD = 'one'\n")
    (tmp_path / "agent.py").write_text("import helper\ndef fn(turn): return helper.WORD\n")
    agent = make("agent:fn", workers=2)
    assert said(agent.run(turn())) == "one"
    (tmp_path / "helper.py").write_text("WORD = 'second'\n")
    assert said(agent.run(turn())) == "second"
    (tmp_path / "agent.py").write_text("import helper\ndef fn(turn) return helper.WORD\n")
    assert [said(agent.run(turn())) for _ in range(2)] == ["second", "second"]
    assert log.has("SyntaxError") and log.has("goes on with what was loaded before")
    (tmp_path / "agent.py").write_text("import helper\ndef fn(turn): return helper.WORD + '!'\n")
    assert said(agent.run(turn())) == "second!"


def test_code_that_was_broken_from_the_start_can_be_mended(make: Make, tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("def fn(turn) return 1\n")
    agent = make("agent:fn")
    assert "SyntaxError" in fails(agent, "") and "SyntaxError" in fails(agent, "")
    (tmp_path / "agent.py").write_text("def fn(turn): return 'mended'\n")
    assert said(agent.run(turn())) == "mended"


def test_asked_to_the_yard_loads_all_code_anew(make: Make, yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("old")
    (tmp_path / "agent.py").write_text("P = open('prompt.txt').read()\ndef fn(turn): return P\n")
    agent = make("agent:fn")
    assert said(agent.run(turn())) == "old"
    (tmp_path / "prompt.txt").write_text("new")
    assert said(agent.run(turn())) == "old"
    yard.refresh()
    assert [said(agent.run(turn())) for _ in range(2)] == ["new", "new"]


def test_code_that_ends_or_stops_the_process_that_loads_it_costs_its_own_turns_alone(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "deadly.py").write_text("import os\nos._exit(4)\n")
    (tmp_path / "stuck.py").write_text("import time\ntime.sleep(600)\n")
    deadly, stuck, sound = make("deadly:fn"), make("stuck:fn", timeout=1.0), make("whole")
    assert "exit code 4" in fails(deadly, "") and "exit code 4" in fails(deadly, "")
    assert "no complete answer" in fails(stuck, "", kind=AgentTimeout)
    assert said(sound.run(turn("x"))) == "echo: x"


def test_the_warden_itself_may_die(make: Make, yard: Yard, log: Log) -> None:
    agent = make(HOSTILE)
    job = gevent.spawn(fails, agent, "sleep 600")
    until(lambda: yard._warden and len(family(yard._warden._process.pid)) >= 2)
    gevent.sleep(0.3)
    outside = family(yard._warden._process.pid)
    os.kill(yard._warden._process.pid, signal.SIGKILL)
    assert "is gone" in job.get(timeout=PATIENCE)
    assert gone(outside, PATIENCE)
    assert said(agent.run(turn("x"))) == "echo: x"
    assert log.has("started anew when needed")


@started_both_ways
def test_a_module_beside_conf_is_found_though_python_shall_not_look_in_the_working_directory(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert said(make("whole").run(turn("x"))) == "echo: x"


def test_where_proc_is_anothers_nobody_is_taken_for_ours_by_his_number_and_it_is_said(
    make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container without a /proc of its own has none, or its host's, where our numbers are other processes."""
    monkeypatch.setattr(kernel, "SEES", False)
    assert not kernel.children(1) and not kernel.resident_mb(os.getpid()) and not kernel.shares_by_session()
    assert said(make("whole").run(turn("x"))) == "echo: x"
    assert log.has("what agents leave behind is not ended")


@pytest.mark.parametrize("link, sees", [(str(os.getpid()), True), ("4711000", False), (None, False)])
def test_a_proc_is_ours_if_it_knows_us_by_our_number(
    monkeypatch: pytest.MonkeyPatch, link: str | None, sees: bool
) -> None:
    def readlink(path: str) -> str:
        if link is None:
            raise FileNotFoundError(path)
        return link

    monkeypatch.setattr("os.readlink", readlink)
    assert kernel.sees() is sees


GATEWAY = '''
from gevent import monkey; monkey.patch_all()
import sys, logging, gevent
from pathlib import Path
from hermes_green.agents import registry
from hermes_green.agents.yard import Yard
from hermes_green.settings.schema import PythonAgent, CommandAgent
from tests.support.outside import turn, said
log = logging.getLogger("x")
yard = Yard(log, Path.cwd())
agent = registry.create(PythonAgent(type="python", target="tests.support.hostile:answer"), log, yard)
said(agent.run(turn("x")))
gevent.spawn(lambda: said(agent.run(turn("spinners 5 " + sys.argv[1]))))
gevent.spawn(lambda: said(agent.run(turn("spin 600"))))
command = registry.create(CommandAgent(type="command", argv=["sh", "-c", "setsid sleep 600 & sleep 600"]), log, yard)
gevent.spawn(lambda: said(command.run(turn("x"))))
gevent.sleep(600)
'''


def test_nothing_outside_outlives_a_gateway_that_was_killed(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", GATEWAY, mark], cwd=tmp_path, env=env)
    try:
        until(lambda: len(processes(mark)) == 6)
        until(lambda: len(family(process.pid)) >= 12)  # warden, zygote, workers, spinners, command
        outside = family(process.pid)
    finally:
        process.kill()
        process.wait()
    assert gone(outside, PATIENCE) and not processes(mark)
