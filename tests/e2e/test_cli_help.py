"""Every verb there is: its help, its example, its --json, its exit codes, and how little it takes to answer."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from hermes_green import cli
from tests.support.stage import ROOT, clean_env

HEAVY = ("gevent", "requests", "lark_oapi", "dingtalk_stream", "websocket", "loguru", "asyncio", "markdown_it")
# They serve until they are stopped, or dial out.
LASTING = {"run", "try", "sim", "doctor"}
READING = {"check", "status", "version", "doctor", "audit", "list", "show"}
# How each ends where no gateway runs and nothing was ever written; all others: 69.
WITHOUT = {
    "check": 0, "stop": 0, "version": 0, "dead list": 0, "sessions list": 0, "pairing list": 0, "audit": 0, "rescue": 0,
    "dead retry": 1, "dead drop": 1, "sessions show": 1, "sessions reset": 1, "pairing approve": 1,
    "pairing revoke": 1,
}  # fmt: skip
# These read no configuration, or, as stop and check do, are still to be tried with a broken one.
UNCONFIGURED = {"version"}
CPU = 1.5  # seconds; about 0.2 on an idle machine, so that half a second on the clock is within reach


Parser = argparse.ArgumentParser


def _verbs(parser: Parser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Parser]]:
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if words:
        yield " ".join(words), parser
    for action in inner:
        for name, below in action.choices.items():
            yield from _verbs(below, (*words, name))


VERBS = dict(_verbs(cli._parser()))
# Without those that only hold others.
LEAVES = [name for name in VERBS if not any(other.startswith(f"{name} ") for other in VERBS)]


def example(name: str) -> list[str]:
    """The words of a verb's own example, without the program's name."""
    line = VERBS[name].format_help().partition("example:\n")[2].strip().splitlines()[0]
    return shlex.split(line)[1:]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and the processor time that it took in seconds."""

    code: int
    out: str
    err: str
    cpu: float


def run(home: Path, *words: str) -> Done:
    env = {**clean_env(), "HERMES_GREEN_STATE_DIR": str(home / "state")}
    out, err = home / "out.txt", home / "err.txt"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        child = subprocess.Popen(
            [sys.executable, "-m", "hermes_green", *words],
            cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err,
        )  # fmt: skip
        before = os.times()
        child.wait(timeout=120)
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    assert "Traceback" not in err.read_text(), err.read_text()
    return Done(child.returncode, out.read_text(), err.read_text(), cpu)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    return tmp_path


def test_there_are_the_verbs_that_are_promised() -> None:
    promised = {
        "": "run try check status reload stop send sim version doctor adapters dead sessions pairing",
        "adapters ": "list restart stop start",
        "dead ": "list retry drop",
        "sessions ": "list show reset",
        "pairing ": "list approve revoke",
    }
    assert set(VERBS) >= {group + name for group, names in promised.items() for name in names.split()}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_an_example_that_it_understands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*name.split(), "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and f"example:\n  hermes-green {name}" in out and "--conf DIR" in out
    cli._parser().parse_args(example(name))
    unexplained = [
        action.dest
        for action in VERBS[name]._actions
        if action.option_strings and not action.help and action.dest != "help"
    ]
    assert not unexplained, "an option without a word on it"


@pytest.mark.parametrize("name", [name for name in LEAVES if name.split()[-1] in READING])
def test_every_verb_that_reads_takes_json(name: str) -> None:
    assert cli._parser().parse_args([*example(name), "--json"]).json is True


@pytest.mark.parametrize("name", LEAVES)
def test_what_a_verb_does_not_know_is_a_usage_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "sim":
        return  # what follows the platform is its simulator's own
    with pytest.raises(SystemExit) as end:
        cli.main([*example(name), "--no-such-option"])
    assert end.value.code == 2 and "--no-such-option" in capsys.readouterr().err


def test_only_what_is_missing_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["sim"])
    assert end.value.code == 2 and capsys.readouterr().err.endswith("are required: PLATFORM\n")


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in LASTING])
def test_without_a_gateway_every_verb_answers_soon_and_with_its_exit_code(home: Path, name: str) -> None:
    done = run(home, *(word for word in example(name) if word not in ("--wait", "READY")))
    assert done.code == WITHOUT.get(name, 69), done
    assert done.code == 0 or done.err.startswith("hermes-green: "), done
    assert done.cpu < CPU, f"{done.cpu:.2f} s of processor time"
    assert not (home / "var").exists(), "asking made a data directory"


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in LASTING | UNCONFIGURED])
def test_with_a_broken_configuration_every_verb_ends_with_78_and_the_place(home: Path, name: str) -> None:
    (home / "conf" / "gateway.yaml").write_text("data_dir: [a]\n")
    done = run(home, *(word for word in example(name) if word not in ("--wait", "READY")))
    assert (done.code, done.err.partition(": ")[0]) == (78, "conf/gateway.yaml:1:11"), done


def test_no_verb_that_asks_imports_what_it_does_not_need(home: Path) -> None:
    words = [example(name) for name in ("status", "stop", "send", "adapters list", "reload", "version", "dead list")]
    code = "import sys; from hermes_green import cli\n"
    code += f"for words in {words!r}: cli.main([word for word in words if word not in ('--wait', 'READY')])\n"
    code += f"print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=home, env={**clean_env(), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done
