"""Doctor: looks at everything around a gateway that keeps one from working, side by side and within seconds."""

from __future__ import annotations

from pathlib import Path

from hermes_green.doctor import around, local, machine, network, platforms
from hermes_green.doctor.finding import Check, Finding, examine
from hermes_green.doctor.subject import Subject

__all__ = ["Finding", "diagnose", "healthy"]


def diagnose(conf_dir: Path) -> list[Finding]:
    """What was found, in the order in which to read it. Nothing is changed and nothing is dialled; each
    check takes at most 5 s, and all run at once."""
    subject = Subject.of(conf_dir)
    checks: list[Check] = [
        *machine.checks(),
        *local.checks(subject),
        *network.checks(subject),
        *platforms.checks(subject),
        *around.checks(subject),
    ]
    return [*subject.findings, *examine(checks)]


def healthy(findings: list[Finding]) -> bool:
    """Nothing is wrong."""
    return not any(finding.level == "wrong" for finding in findings)
