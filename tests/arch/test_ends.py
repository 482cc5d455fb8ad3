"""Whatever code a link ends with, people are told of it in both languages."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

from hermes_green.adapters import registry
from hermes_green.runtime.words import GENERAL

PACKAGE = Path(__file__).resolve().parents[2] / "hermes_green"
ENDS = {"LinkLost", "RequestNotSent", "AnswerLost", "BadAnswer", "Throttled", "AuthRejected", "Displaced", "ConfError"}
# Of single files, of sends, and of what nobody is told: they never are why a link has ended.
OTHERS = {"foreign_file", "no_file", "padding", "aeskey", "truncated", "too_big", "ended", "child_down"}

# Why a child is as it is where nothing has gone wrong.
STATES = {"ready", "stopped", "restart", "reconfigured", "stopping"}


def codes(file: Path) -> Iterator[tuple[int, str]]:
    """Line and code of each error made there; its class is the code of one that is given none."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if isinstance(node, ast.Call) and name in ENDS:
            given = [each.value for each in node.keywords if each.arg == "code"]
            found = [part.value for each in given for part in ast.walk(each) if isinstance(part, ast.Constant)]
            yield from ((node.lineno, str(code)) for code in (found if given else [name]))


@pytest.mark.parametrize("where", ["link", *(f"adapters/{name}" for name in registry.BUILTIN)])
def test_every_end_of_a_link_has_its_words(where: str) -> None:
    platform = registry.package(where.rpartition("/")[2]) if "/" in where else None
    known = {*GENERAL, *OTHERS, *map(str, getattr(platform, "HELP", {}))} - STATES
    silent = {f"{file.name}:{line}": code for file in (PACKAGE / where).rglob("*.py") for line, code in codes(file)}
    assert {place: code for place, code in silent.items() if not (code.isdigit() or code in known)} == {}
