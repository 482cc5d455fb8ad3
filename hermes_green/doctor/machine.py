"""The machine: Python, libraries, and who starts the gateway after a reboot."""

from __future__ import annotations

import configparser
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Iterator

from hermes_green import __version__
from hermes_green.doctor.finding import Check, Finding

OLDEST = (3, 11)
UNITS = (
    ("systemd", "/etc/systemd/system", "hermes-green*.service"),
    ("systemd", "~/.config/systemd/user", "hermes-green*.service"),
    ("supervisord", "/etc/supervisor/conf.d", "*hermes*green*.conf"),
    ("supervisord", "/etc/supervisord.d", "*hermes*green*"),
    ("launchd", "~/Library/LaunchAgents", "*hermes-green*.plist"),
    ("launchd", "/Library/LaunchDaemons", "*hermes-green*.plist"),
)
_REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)\s*(.*)")
_BOUND = re.compile(r"(>=|<)\s*([\d.]+)")


def checks() -> list[Check]:
    """What needs no configuration."""
    return [Check("python", _python), Check("libraries", _libraries), Check("units", _units)]


def _python() -> Iterator[Finding]:
    text = f"hermes-green {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST:
        yield Finding("python", "wrong", text, f"install Python {'.'.join(map(str, OLDEST))} or newer")
    else:
        yield Finding("python", "ok", text)


def _libraries() -> Iterator[Finding]:
    there, wrong = 0, False
    for name, bounds in requirements():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong = True
            yield Finding("libraries", "wrong", f"{name} is not installed", f'{sys.executable} -m pip install "{name}"')
            continue
        there += 1
        if not fits(version, bounds):
            wrong = True
            fix = f'{sys.executable} -m pip install "{name}{bounds}"'
            yield Finding("libraries", "wrong", f"{name} {version} does not fit {bounds}", fix)
    if not wrong:
        yield Finding("libraries", "ok", f"all {there} are there in versions that fit")


def requirements() -> list[tuple[str, str]]:
    """Name and bounds of every library that running needs, from the package or from the checkout."""
    try:
        lines = metadata.requires("hermes-green") or []
    except metadata.PackageNotFoundError:
        setup = configparser.ConfigParser()
        setup.read(Path(__file__).parents[2] / "setup.cfg")
        lines = setup.get("options", "install_requires", fallback="").split()
    found = [_REQUIREMENT.match(line) for line in lines if "extra ==" not in line]
    return [(match[1], match[2].partition(";")[0].strip()) for match in found if match]


def fits(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as ``>=2.32,<3``."""
    have = _numbers(version)
    return all(
        have >= _numbers(bound) if sign == ">=" else have < _numbers(bound) for sign, bound in _BOUND.findall(bounds)
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:4]))


def _units() -> Iterator[Finding]:
    found = []
    for kind, folder, pattern in UNITS:
        try:
            found += [f"{kind} ({path})" for path in sorted(Path(folder).expanduser().glob(pattern))]
        except OSError:
            continue  # not ours to read
    if found:
        yield Finding("units", "ok", "; ".join(found))
    else:
        yield Finding(
            "units",
            "note",
            "no unit of systemd, supervisord or launchd was found: after a reboot nobody starts the gateway",
            "conf/ has one for each of them, with how to install it",
        )
