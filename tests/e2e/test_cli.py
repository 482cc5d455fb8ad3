"""The verbs against a real gateway, a dead one and none: what they print and how they exit."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest

from hermes_green import __version__, cli
from tests.support.stage import PATIENCE, ROOT, Stage, clean_env, until


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def verb(stage: Stage, *words: str, input: str = "") -> Done:
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(stage.state)}
    argv = [sys.executable, "-m", "hermes_green", *words]
    done = subprocess.run(argv, cwd=stage.home, env=env, input=input, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_version_is_told_in_words_and_in_json(stage: Stage) -> None:
    assert verb(stage, "version").out == f"hermes-green {__version__}\n"
    assert verb(stage, "version", "--json").json() == {"version": __version__}


@pytest.mark.parametrize("words", [[], ["bogus"], ["adapters"], ["status", "--wait", "HAPPY"], ["send", "web"]])
def test_what_is_not_a_command_is_a_usage_error(stage: Stage, words: list[str]) -> None:
    assert verb(stage, *words).code == 2


@pytest.mark.parametrize("words", [["status"], ["sessions", "list"], ["stop"]])
def test_a_command_of_another_user_is_told_whose_it_is(tmp_path: Path, monkeypatch, capsys, words) -> None:
    real = os.open

    def closed(path: Any, *more: Any, **options: Any) -> int:
        if str(path).endswith("gateway.lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **options)

    monkeypatch.setattr("hermes_green.ops.lock.os.open", closed)
    assert cli.main([*words, "--conf", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == "" and "gateway.lock: Permission denied; run this as the user" in told.err


def test_a_configuration_that_this_user_may_not_read_is_78(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("hermes_green.settings.load.os.access", lambda path, mode: False)
    for words in (["check"], ["status"], ["run"]):
        assert cli.main([*words, "--conf", str(tmp_path)]) == 78
        assert f"{tmp_path}:1:1: the directory cannot be read by this user" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, code",
    [
        (["status", "--wait", "READY", "--timeout", "nan"], 2),
        (["sessions", "list", "--limit", "9" * 20], 2),
        (["dead", "list", "--limit", "0"], 2),
        (["audit", "--since", "9" * 14 + "d"], 2),
        (["try", "--port", "65536"], 2),
        (["sim", "feishu", "--port", "65536"], 1),
    ],
)
def test_a_number_that_nothing_can_be_done_with_is_refused(stage: Stage, words: list[str], code: int) -> None:
    done = verb(stage, *words)
    assert (done.code, done.out) == (code, "") and done.err


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["check"],
        ["status"],
        ["send"],
        ["stop"],
        ["reload"],
        ["adapters", "restart"],
        ["dead", "retry"],
        ["sessions", "show"],
        ["version"],
        ["sim"],
    ],
    ids=" ".join,
)
def test_every_verb_shows_an_example(stage: Stage, words: list[str]) -> None:
    done = verb(stage, *words, "--help")
    assert done.code == 0 and f"example:\n  hermes-green {' '.join(words)}" in done.out


def test_without_a_gateway_verbs_that_need_one_exit_69_and_stop_is_content(stage: Stage) -> None:
    for words in ("status", "reload", "send web main hi", "adapters list", "adapters stop web"):
        done = verb(stage, *words.split())
        assert (done.code, done.err) == (69, "hermes-green: the gateway is not running\n"), words
    assert verb(stage, "status", "--wait", "READY", "--timeout", "0.3").code == 69
    assert verb(stage, "stop").code == 0


def test_with_the_gateway_down_the_written_record_can_be_read(stage: Stage) -> None:
    assert verb(stage, "dead", "list").out == "no dead letters\n"
    assert verb(stage, "sessions", "list", "--json").json() == []
    assert not (stage.home / "var").exists(), "reading made a data directory"
    gateway = stage.gateway()
    gateway.until_ready()
    status, answer = gateway.post("/api/chat", {"text": "good morning"})
    assert status == 202, answer
    session = until(lambda: verb(stage, "sessions", "list", "--json").json(), what="a session")[0]["session_id"]
    until(lambda: "good morning" in verb(stage, "sessions", "show", session).out, what="its history")
    online = verb(stage, "sessions", "show", session, "--json").json()
    assert verb(stage, "stop").code == 0
    offline = verb(stage, "sessions", "show", session, "--json").json()
    assert online == offline and offline["history"][0]["text"] == "good morning"
    assert verb(stage, "sessions", "show", "nobody").code == 1
    assert verb(stage, "sessions", "reset", session).code == 0
    assert verb(stage, "sessions", "show", session).code == 1
    assert verb(stage, "dead", "drop", "out-17").code == 1


def test_a_running_gateway_answers_every_verb(stage: Stage) -> None:
    gateway = stage.gateway()
    assert verb(stage, "status", "--wait", "ready", "--timeout", "60").code == 0
    status = verb(stage, "--conf", "conf", "status", "--json").json()
    assert (status["pid"], status["version"]) == (gateway.pid, __version__)
    assert [child["state"] for child in status["children"]] == ["READY"]
    assert "web  READY" in verb(stage, "status", "--conf", str(stage.conf)).out
    assert verb(stage, "adapters", "list", "--json").json()[0]["id"] == "web"
    sent = verb(stage, "send", "web", "main", "-", "--key", "k1", "--json", input="from the pipe")
    assert sent.code == 0 and sent.json()["id"]
    again = verb(stage, "send", "web", "main", "from the pipe", "--key", "k1", "--json").json()
    assert again["id"] == sent.json()["id"]
    other = verb(stage, "send", "web", "main", "something else", "--key", "k1")
    assert other.code == 1 and other.err
    nowhere = verb(stage, "send", "pigeon", "main", "hi")
    assert nowhere.code == 1 and "pigeon" in nowhere.err
    assert verb(stage, "dead", "list", "--json").json() == []
    assert verb(stage, "reload").code == 0
    assert verb(stage, "stop").code == 0
    assert gateway.popen.wait(timeout=PATIENCE) == 0
    assert not (stage.home / "var" / "gateway.json").exists()
    assert verb(stage, "status").code == 69


def test_a_stopped_child_shows_in_the_exit_code_until_it_is_started_again(stage: Stage) -> None:
    stage.gateway().until_ready()
    assert verb(stage, "adapters", "stop", "web").code == 0
    assert verb(stage, "status", "--wait", "STOPPED", "--timeout", "60").code == 0
    assert verb(stage, "status").code == 1
    assert verb(stage, "status", "--wait", "READY", "--timeout", "0.5").code == 1
    assert verb(stage, "adapters", "start", "web").code == 0
    assert verb(stage, "status", "--wait", "READY", "--timeout", "60").code == 0
    assert verb(stage, "adapters", "restart", "web").code == 0
    assert verb(stage, "adapters", "restart", "pigeon").code == 1


def test_waiting_begins_before_the_gateway_does(stage: Stage) -> None:
    waiting = gevent.spawn(verb, stage, "status", "--wait", "READY", "--timeout", "60")
    gevent.sleep(0.5)
    stage.gateway()
    assert waiting.get(timeout=2 * PATIENCE).code == 0


def test_a_pid_in_gateway_json_proves_nothing_without_the_lock(stage: Stage) -> None:
    data = stage.home / "var"
    data.mkdir()
    (data / "gateway.json").write_text(json.dumps({"pid": os.getpid(), "http": "http://127.0.0.1:1"}))
    (data / "gateway.lock").write_text(json.dumps({"pid": os.getpid(), "started_at": "", "data_dir": ""}))
    assert verb(stage, "status").code == 69
    assert verb(stage, "stop").code == 0


def test_a_lock_whose_holder_has_no_address_is_not_answering(stage: Stage) -> None:
    data = stage.home / "var"
    data.mkdir()
    with open(data / "gateway.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        json.dump({"pid": os.getpid(), "started_at": "", "data_dir": ""}, lock)
        lock.flush()
        done = verb(stage, "status")
    assert (done.code, "not answering" in done.err) == (1, True)


def test_a_hung_gateway_is_not_answering_and_yet_stops(stage: Stage) -> None:
    gateway = stage.gateway()
    gateway.until_ready()
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        done = verb(stage, "status")
        assert (done.code, "not answering" in done.err) == (1, True)
        stopping = gevent.spawn(verb, stage, "stop")
        gevent.sleep(3)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    assert stopping.get(timeout=2 * PATIENCE).code == 0
    assert gateway.popen.wait(timeout=PATIENCE) == 0


def test_a_broken_reload_changes_nothing_and_says_where(stage: Stage) -> None:
    gateway = stage.gateway()
    gateway.until_ready()
    (stage.conf / "web.yaml").write_text("enabeld: true\n")
    done = verb(stage, "reload")
    assert done.code == 78
    assert "web.yaml:1:1: " in done.err and "nearest known key: enabled" in done.err
    assert verb(stage, "status").code == 0, "the child is as it was"
    (stage.conf / "web.yaml").write_text("enabled: false\n")
    assert verb(stage, "reload").code == 0
    until(lambda: not verb(stage, "status", "--json").json()["children"], what="the child to be gone")
    stage.write("gateway", {"http": {"port": 0}, "data_dir": "elsewhere"})
    assert "data_dir" in gateway.post("/api/reload")[1]["restart_required"]
    done = verb(stage, "reload")
    assert done.code == 0 and "only a restart applies: data_dir" in done.err
    assert verb(stage, "stop").code == 0 and gateway.popen.wait(timeout=PATIENCE) == 0
    assert verb(stage, "status").code == 69 and not list(stage.state.glob("*.whereabouts"))


def test_broken_configurations_exit_78_with_their_places(stage: Stage) -> None:
    from tests.unit.test_settings_broken import BROKEN

    tried = 0
    for case, (name, text, line, column, nearest, _) in BROKEN.items():
        if name not in ("gateway.yaml", "gateway.local.yaml"):
            continue
        (stage.conf / "gateway.yaml").unlink(missing_ok=True)
        path = stage.conf / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = verb(stage, "check")
        path.unlink()
        assert done.code == 78, case
        assert f"{Path('conf') / name}:{line}:{column}: " in done.err, (case, done.err)
        assert f"nearest known key: {nearest}; " in done.err, (case, done.err)
        tried += 1
    assert tried >= 20


def test_run_refuses_a_broken_configuration_with_78(stage: Stage) -> None:
    (stage.conf / "gateway.yaml").write_text("locale: fr\n")
    done = verb(stage, "run")
    assert done.code == 78
    assert done.err.startswith("conf/gateway.yaml:1:9: ") and done.out == ""


def test_check_shows_what_applies_without_secrets(stage: Stage) -> None:
    (stage.conf / "gateway.yaml").write_text("http: {token: hunter2}\n")
    done = verb(stage, "check", "--json")
    assert done.code == 0 and done.json()["ok"] is True
    assert done.json()["http"] == {"host": "127.0.0.1", "port": 8787, "token": "***"}
    assert "hunter2" not in done.out + verb(stage, "check").out
    (stage.conf / "gateway.yaml").write_text("htpp: {}\n")
    broken = verb(stage, "check", "--json")
    assert broken.code == 78
    assert broken.json()["errors"][0]["nearest"] == "http"


def test_check_finds_what_run_would_stop_at_and_tells_what_is_left_out(stage: Stage) -> None:
    (stage.conf / "gateway.yaml").write_text("hooks: [{event: 'agent:end', run: nowhere}]\n")
    done = verb(stage, "check", "--json")
    assert done.code == 78 and 'no package offers a hook called "nowhere"' in done.json()["errors"][0]["what"]
    assert verb(stage, "run").code == 78
    (stage.conf / "gateway.yaml").write_text("{}\n")
    stage.write("qq", {"enabled": True, "app_id": "1", "client_secret": "x", "accounts": {"a": {}, "b": {}}})
    done = verb(stage, "check", "--json")
    assert done.code == 78 and "qq/b and qq/a are the same bot" in done.json()["errors"][0]["what"]
    (stage.conf / "qq.yaml").unlink()
    folder = stage.home / "hooks" / "mine"
    folder.mkdir(parents=True)
    (folder / "HOOK.yaml").write_text("name: mine\nevents: [agent:step]\n")
    (folder / "handler.py").write_text("def handle(event_type, context): pass\n")
    done = verb(stage, "check")
    assert done.code == 0 and "note: the hook mine wants agent:step, which never happens here" in done.err


def test_a_second_gateway_is_refused_with_the_owners_pid(stage: Stage) -> None:
    stage.write("gateway", {"http": {"port": 0}, "supervisor": {"lock_wait": 0.2}})
    gateway = stage.gateway()
    done = verb(stage, "run")
    assert done.code == 78 and str(gateway.pid) in done.err and "--replace" in done.err


@pytest.mark.parametrize("words, code", [(["try"], 78), (["sim", "feishu"], 1)])
def test_a_port_that_is_taken_is_told_in_a_sentence(stage: Stage, words: list[str], code: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = verb(stage, *words, "--port", str(taken.getsockname()[1]))
    assert done.code == code and "choose another --port" in done.err and "Traceback" not in done.err


def test_what_may_be_waited_for_is_told_in_words(stage: Stage) -> None:
    done = verb(stage, "status", "--wait", "redy")
    assert done.code == 2 and "'READY'" in done.err and "State." not in done.err


def test_verbs_that_ask_a_gateway_import_nothing_heavy() -> None:
    code = (
        "import sys; from hermes_green import cli; cli.main(['status', '--conf', 'conf']);"
        "print([m for m in ('gevent', 'requests', 'lark_oapi', 'sqlite3', 'loguru', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n"
