"""The shipped scripts, run as a new user runs them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import Checkout
from tests.support.pulse import Pulse
from tests.support.stage import ROOT, clean_env, http, until


def ready(process: subprocess.Popen[str]) -> tuple[str, int]:
    """Address and pid from the one line that says that the gateway serves."""
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"hermes-green ready (http://127\.0\.0\.1:\d+) pid=(\d+)\n", line)
    assert found, line + process.stderr.read()
    return found[1], int(found[2])


def test_the_gateway_comes_up_on_its_defaults_and_the_page_is_there(checkout: Checkout) -> None:
    process = checkout.start("scripts/run_gateway.sh")
    url, pid = ready(process)
    assert pid == process.pid, "the script has not given its place to the gateway"
    page = urllib.request.urlopen(url + "/", timeout=60).read().decode()
    assert "<html" in page.lower()
    until(lambda: http("GET", url + "/readyz")[0] == 200, what="every child READY")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


def test_a_second_start_installs_nothing_and_is_quick(checkout: Checkout) -> None:
    with Pulse() as pulse:
        started = time.time()
        process = checkout.start("scripts/run_gateway.sh")
        ready(process)
        took = time.time() - started
        print(f"start to serving: {took:.2f} s")
        assert took < 10 + pulse.late(started)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert "installing" not in err


def test_arguments_pass_through_and_the_last_conf_wins(checkout: Checkout) -> None:
    process = checkout.start("scripts/run_gateway.sh", "--conf", "nowhere")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 78 and err.startswith("nowhere:1:1: ")


def test_the_environment_is_renewed_when_setup_cfg_has_changed(checkout: Checkout) -> None:
    stamp = checkout.root / ".venv" / ".installed-run"
    kept = stamp.read_text()
    stamp.write_text("another")
    process = checkout.start("scripts/run_gateway.sh", "--help")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "installing" in err and "creating" not in err
    assert stamp.read_text() == kept


def test_the_script_needs_a_python_that_is_new_enough() -> None:
    code = f". {ROOT}/scripts/venv.sh; PATH=/nowhere PYTHON=; find_python; echo $?"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "69\n" and "3.11" in done.stderr


@pytest.mark.parametrize("script", ["run_gateway.sh", "test.sh", "lint.sh", "soak.sh", "bench.sh"])
def test_a_script_works_by_a_link_to_it_as_well(tmp_path: Path, script: str) -> None:
    (tmp_path / "check out" / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / script, tmp_path / "check out" / "scripts" / script)
    (tmp_path / "check out" / "scripts" / "venv.sh").write_text("ensure_venv() { echo here; exit 3; }\n")
    (tmp_path / "link").symlink_to(Path("check out") / "scripts" / script)
    done = subprocess.run([tmp_path / "link"], cwd="/", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "here\n"), done.stderr


def test_what_is_installed_for_the_user_elsewhere_is_installed_into_the_environment_here(tmp_path: Path) -> None:
    """pip refuses to install for the user (PIP_USER, as hosted shells have it) where there is an environment."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv.sh", tmp_path / "scripts")
    for name in ("setup.cfg", "setup.py"):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\n[ "$3" = --version ] || echo "$3 user=$PIP_USER" >&2\n')
    python.chmod(0o755)
    code = f". '{tmp_path}/scripts/venv.sh'; ensure_venv run; cat \"$root/.venv/install.log\""
    env = {**clean_env(), "PIP_USER": "1"}
    done = subprocess.run(["bash", "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "install user=0\n", done


def test_a_shells_cdpath_does_not_mislead_the_scripts() -> None:
    code = '. scripts/venv.sh; printf "%s" "$root"'
    env = {**clean_env(), "CDPATH": ".:/tmp"}
    done = subprocess.run(["bash", "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == str(ROOT), done


def test_the_test_script_joins_its_shards_and_keeps_the_worst_exit_code(tmp_path: Path) -> None:
    """In a small project with the shipped script and settings, and this test's own environment."""
    for name in ("scripts/test.sh", "setup.cfg", "tests/conftest.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "scripts" / "venv.sh").write_text(f'root="{tmp_path}"\nensure_venv() {{ :; }}\n')
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for folder in ("unit", "arch", "contract", "oracles", "e2e", "faults"):
        (tmp_path / "tests" / folder).mkdir()
    (tmp_path / "tests" / "unit" / "test_good.py").write_text("def test_good():\n    pass\n")
    (tmp_path / "tests" / "e2e" / "test_bad.py").write_text("def test_bad():\n    assert 'told' == 'in full'\n")
    (tmp_path / "tests" / "contract" / "test_kept.py").write_text("def test_kept():\n    pass\n")
    for name in ("early", "late"):
        (tmp_path / "tests" / "faults" / f"test_{name}.py").write_text(f"def test_{name}():\n    pass\n")

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            ["scripts/test.sh", *arguments], cwd=tmp_path, env=clean_env(), capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stdout

    code, out = run()
    assert code == 1 and "'told' == 'in full'" in out
    last = out.strip().splitlines()[-5:]
    words = [re.search(r"= (1 \w+) in ", line) for line in last]
    assert [word and word[1] for word in words] == ["1 passed", "1 failed"] + ["1 passed"] * 3, out
    code, out = run("--unit")
    assert code == 0 and "1 passed" in out
    assert run("tests/e2e/test_bad.py")[0] == 1
    assert run("-k", "good")[0] == 0
