"""The files for service managers say what the gateway's exit codes and drain mean."""

from __future__ import annotations

import configparser
import plistlib
import subprocess
import sys

from tests.support.stage import ROOT, clean_env


def test_systemd_restarts_failures_but_not_a_wrong_configuration():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "conf" / "hermes-green.service")
    service = unit["Service"]
    assert service["Type"] == "notify" and service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "78" and service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) >= 25 + 5 and int(service["WatchdogSec"]) > 30
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_launchd_is_told_zero_for_a_wrong_configuration(tmp_path):
    agent = plistlib.loads((ROOT / "conf" / "com.hermes-green.plist").read_bytes())
    assert agent["ProgramArguments"][1:] == ["--service", "launchd"]
    assert agent["KeepAlive"] == {"SuccessfulExit": False} and agent["ExitTimeOut"] >= 30
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "gateway.yaml").write_text("htp: {}\n")
    argv = [sys.executable, "-m", "hermes_green", "run", "--conf", str(conf), "--service", "launchd"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=clean_env(), cwd=ROOT)
    assert done.returncode == 0 and "htp" in done.stderr and "78" in done.stderr
    plain = subprocess.run(argv[:-2], capture_output=True, text=True, timeout=30, env=clean_env(), cwd=ROOT)
    assert plain.returncode == 78
