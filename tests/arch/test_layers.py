"""The house stands as its plan says: who imports whom, how large things are, where names may stand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Iterator

import pytest

from hermes_green.core import machine

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hermes_green"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# A name counts inside an identifier too (x_feishu); only the last of these is an English word as well.
VENDORS = re.compile(
    r"(?<![A-Za-z0-9])(feishu|lark|dingtalk|wecom|qq|telegram)(?![A-Za-z0-9])|\b(slack)\b", re.IGNORECASE
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def definitions(path: Path, *kinds: type) -> Iterator[ast.AST]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, kinds):
            yield node


def lines_of_code(path: Path) -> set[int]:
    """The numbers of the lines on which something stands that is no comment and no docstring."""
    said = ast.Module, ast.ClassDef, ast.FunctionDef
    tree = ast.parse(path.read_text("utf-8"))
    texts = [node.body[0] for node in ast.walk(tree) if isinstance(node, said) and ast.get_docstring(node) is not None]
    words = {line for text in texts for line in range(text.lineno, (text.end_lineno or text.lineno) + 1)}
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    with path.open("rb") as file:
        tokens = [each for each in tokenize.tokenize(file.readline) if each.type not in blank | {tokenize.ENCODING}]
    return {line for each in tokens for line in range(each.start[0], each.end[0] + 1)} - words


def test_the_import_table_holds() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "setup.cfg", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_of_contracts_covers_every_package() -> None:
    contracts = (ROOT / "setup.cfg").read_text("utf-8")
    for package in sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")):
        assert f"hermes_green.{package}" in contracts, f"{package} has no place in setup.cfg's import contracts"


def test_the_core_imports_the_standard_library_alone() -> None:
    for path in (PACKAGE / "core").glob("*.py"):
        for node in definitions(path, ast.Import, ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            for name in names:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or name.startswith("hermes_green.core"), f"{path.name}: {name}"
                assert top not in {"socket", "ssl", "select", "threading", "subprocess"}, f"{path.name}: {name}"


def test_no_file_is_longer_than_400_lines() -> None:
    long = {name_of(path): n for path in SOURCES if (n := len(path.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_no_platform_is_longer_than_750_lines_of_code() -> None:
    size = {}
    for package in (path.parent for path in (PACKAGE / "adapters").glob("*/__init__.py")):
        size[package.name] = sum(len(lines_of_code(path)) for path in package.glob("*.py"))
    assert max(size.values()) <= 750, size


def test_no_function_is_longer_than_60_lines() -> None:
    long = {}
    for path in SOURCES:
        for node in definitions(path, ast.FunctionDef, ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if lines > 60:
                long[f"{name_of(path)}:{node.lineno} {node.name}"] = lines
    assert not long


def test_no_class_has_more_than_15_public_methods() -> None:
    # The store's port and its implementations are one seam with one method per transaction. A simulator
    # fills in the hooks that its ground declares: those are the ground's methods, not its own.
    hooks = {
        each.name
        for path in SOURCES
        if path.parent.name == "sim" and path.name.startswith("kit")
        for each in definitions(path, ast.FunctionDef)
    }
    large = {}
    for path in SOURCES:
        for node in definitions(path, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name[0] != "_"]
            plain = [each for each in methods if not any(_is_property(mark) for mark in each.decorator_list)]
            if path.parent.name == "sim":
                plain = [each for each in plain if each.name not in hooks]
            if len(plain) > 15 and not _is_a_store(node):
                large[f"{name_of(path)} {node.name}"] = len(plain)
    assert not large


def _is_property(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == "property"


def _is_a_store(node: ast.ClassDef) -> bool:
    return {"accept", "lease_session", "commit_turn"} <= {getattr(each, "name", "") for each in node.body}


def test_every_module_says_why_it_exists() -> None:
    texts = {name_of(path): path.read_text("utf-8") for path in SOURCES}
    assert not [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))]


@pytest.mark.parametrize("phrase", ["NotImplementedError", "TODO", "FIXME", "XXX"])
def test_nothing_is_left_for_later(phrase: str) -> None:
    assert not [name_of(path) for path in SOURCES if phrase in path.read_text("utf-8")]


def test_vendors_are_named_only_where_they_live() -> None:
    named = []
    for path in sorted(PACKAGE.rglob("*")):
        inside = path.relative_to(PACKAGE).parts
        if not path.is_file() or inside[0] in ("adapters", "sim") or "__pycache__" in inside:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if VENDORS.search(line):
                named.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert not named


def test_an_adapter_names_no_other_vendor() -> None:
    families = {"feishu": {"feishu", "lark"}, "wecom": {"wecom", "weixin"}}
    domain = "weixin.qq.com"  # one vendor's hosts are below another's name
    named = []
    for package in sorted((PACKAGE / "adapters").iterdir()):
        if not package.is_dir() or package.name == "__pycache__":
            continue
        own = families.get(package.name, {package.name})
        for path in sorted(package.rglob("*.py")):
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                if any(found[0].lower() not in own for found in VENDORS.finditer(line.replace(domain, ""))):
                    named.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert not named


def test_the_drawn_state_table_is_the_table_in_the_code() -> None:
    drawn = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert machine.as_markdown() in drawn, "paste core.machine.as_markdown() into ARCHITECTURE.md"


def test_broad_catches_say_which_border_they_guard() -> None:
    silent = []
    for path in SOURCES:
        lines = path.read_text("utf-8").splitlines()
        for function in definitions(path, ast.FunctionDef):
            broad = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.ExceptHandler)
                and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
            ]
            body = lines[function.lineno : function.end_lineno]
            if broad and not ast.get_docstring(function) and not any("#" in line for line in body):
                silent.append(f"{name_of(path)}:{broad[0].lineno}")
    assert not silent
