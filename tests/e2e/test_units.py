"""The files for service managers say what the gateway's exit codes and drain mean."""

from __future__ import annotations

import configparser
import plistlib
import shutil
import subprocess
import sys

from hermes_green.settings.schema import Supervisor
from tests.support.stage import ROOT, clean_env

# systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5)
KNOWN = set(
    "Description Wants After StartLimitIntervalSec Type NotifyAccess User WorkingDirectory ExecStart ExecReload "
    "TimeoutStartSec Restart RestartSec RestartPreventExitStatus WatchdogSec KillMode TimeoutStopSec UMask "
    "NoNewPrivileges PrivateTmp WantedBy".split()
)


def test_systemd_restarts_failures_but_not_a_wrong_configuration():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "conf" / "hermes-green.service")
    service = unit["Service"]
    wanted = {
        "Type": "notify", "NotifyAccess": "main", "Restart": "on-failure", "RestartSec": "2", "KillMode": "mixed",
        "RestartPreventExitStatus": "78", "TimeoutStopSec": "40", "ExecReload": "/bin/kill -HUP $MAINPID",
    }  # fmt: skip
    assert wanted.items() <= dict(service).items()
    shipped = Supervisor()
    assert int(service["TimeoutStopSec"]) > shipped.drain_seconds + 5
    assert int(service["WatchdogSec"]) > shipped.stall_kill
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    # A mere safety net, which nobody needs: told of, and not in force.
    assert "RuntimeMaxSec" not in service and "#RuntimeMaxSec=" in (ROOT / "conf" / "hermes-green.service").read_text()


def test_systemd_itself_finds_no_fault_with_the_unit(tmp_path):
    """Where it is installed; elsewhere the names of its keys are looked at."""
    text = (ROOT / "conf" / "hermes-green.service").read_text().replace("/opt/hermes_green", str(ROOT))
    file = tmp_path / "hermes-green.service"
    file.write_text(text.replace("User=hermes\n", ""))
    analyze = shutil.which("systemd-analyze")
    if analyze:
        done = subprocess.run([analyze, "verify", str(file)], capture_output=True, text=True, timeout=120)
        told = [line for line in (done.stdout + done.stderr).splitlines() if file.name in line]
        assert told == [], told
    assert {line.partition("=")[0] for line in text.splitlines() if "=" in line and line[0] != "#"} <= KNOWN


def test_launchd_is_told_zero_for_a_wrong_configuration(tmp_path):
    agent = plistlib.loads((ROOT / "conf" / "com.hermes-green.plist").read_bytes())
    assert agent["ProgramArguments"][1:] == ["--service", "launchd"]
    assert agent["KeepAlive"] == {"SuccessfulExit": False} and agent["ExitTimeOut"] == 40
    assert agent["Label"] == "com.hermes-green" and agent["RunAtLoad"] is True and agent["ThrottleInterval"] == 2
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "gateway.yaml").write_text("htp: {}\n")
    argv = [sys.executable, "-m", "hermes_green", "run", "--conf", str(conf), "--service", "launchd"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=clean_env(), cwd=ROOT)
    assert done.returncode == 0 and "htp" in done.stderr and "78" in done.stderr
    plain = subprocess.run(argv[:-2], capture_output=True, text=True, timeout=120, env=clean_env(), cwd=ROOT)
    assert plain.returncode == 78
