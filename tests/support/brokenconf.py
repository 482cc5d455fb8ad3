"""Broken: healthy configurations made from the declared options, and one fault put into each, by a seed."""

from __future__ import annotations

import random
import types
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Callable, Iterator, Literal, Mapping, Union, get_args, get_origin, get_type_hints

from hermes_green import blueprint
from hermes_green.core.model import Secret
from hermes_green.settings.bind import known_keys, required
from hermes_green.settings.schema import Gateway

# Keys with values that have to fit together, or that lead to files and agents; they are left alone.
LEFT_OUT = {"agent", "fallback", "routes", "hooks", "hooks_dir", "accounts", "data_dir", "host", "token", "enabled"}
GIVEN = {"token": "'123456789:ABC-DEF'", "bot_token": "xoxb-1", "app_token": "xapp-1", "dial_budget": "[[4, 120]]",
         "daily_at": "'04:30'", "intents": "[GROUP_AND_C2C]", "ca_file": "''"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One key in a file: its whole path, how deep it stands, and its value; a group has none."""

    path: str
    depth: int
    value: str
    declared: Any
    url: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def text(self) -> str:
        return "  " * self.depth + f"{self.name}:" + (f" {self.value}" if self.value else "")

    @property
    def column(self) -> int:
        """Where the value begins."""
        return 2 * self.depth + len(self.name) + 3


@dataclass(frozen=True, slots=True)
class Broken:
    """A file's bytes with one fault. ``line`` is where it is to be told; column and nearest where they are certain."""

    fault: str
    file: str
    data: bytes
    line: int
    column: int | None = None
    nearest: str | None = None


def declarations() -> Mapping[str, type]:
    """File -> what may stand in it."""
    return {"gateway": Gateway, **blueprint.platforms()}


def healthy(rng: random.Random, file: str) -> list[Line]:
    """A file as somebody may have written it: some of its keys, with values that are right."""
    lines = list(_lines(rng, declarations()[file], "", 0))
    if file != "gateway":
        lines.insert(0, Line("enabled", 0, "true", bool))
    return lines


def _lines(rng: random.Random, declaration: Any, path: str, depth: int) -> Iterator[Line]:
    hints = get_type_hints(declaration)
    for item in fields(declaration):
        needed = required(item)
        if not needed and (item.name in LEFT_OUT or rng.random() < 0.3):
            continue
        declared = _open(hints[item.name])
        if is_dataclass(declared):
            inner = list(_lines(rng, declared, f"{path}{item.name}.", depth + 1))
            if inner:
                yield Line(path + item.name, depth, "", declared)
                yield from inner
            continue
        url = bool(item.metadata["url"])
        value = GIVEN.get(item.name) or _value(rng, declared, item.metadata)
        if value:
            yield Line(path + item.name, depth, value, declared, url)


def _open(declared: Any) -> Any:
    """The first type of a choice of several."""
    if get_origin(declared) in (Union, types.UnionType):
        return next(choice for choice in get_args(declared) if choice is not types.NoneType)
    return declared


def _value(rng: random.Random, declared: Any, meta: Mapping[str, Any]) -> str:
    if meta["url"]:
        return f"{meta['url'][0]}://host.example:{rng.randint(1, 65535)}"
    if declared is bool:
        return rng.choice(("true", "false"))
    if declared in (int, float):
        return str(max(int(meta["minimum"] or 0), rng.randint(1, 60)))
    if get_origin(declared) is Literal:
        return str(rng.choice(get_args(declared)))
    if get_origin(declared) is list:
        return rng.choice(("[ou_1, ou_2]", "[]"))
    return rng.choice(("word", "'two words'", '"quoted"', "中文")) if declared in (str, Secret) else ""


def text_of(lines: list[Line]) -> str:
    return "".join(line.text + "\n" for line in lines)


# --- faults ---------------------------------------------------------------------------------------------------------

Made = Broken | None
Fault = Callable[[random.Random, str, list[Line]], Made]


def _with(file: str, lines: list[Line], at: int, line: Line, fault: str, column: int) -> Broken:
    changed = [*lines[:at], line, *lines[at + 1 :]]
    return Broken(fault, file, text_of(changed).encode(), at + 1, column, line.path)


def _any(rng: random.Random, lines: list[Line], fits: Callable[[Line], bool]) -> int | None:
    places = [number for number, line in enumerate(lines) if fits(line)]
    return rng.choice(places) if places else None


def wrong_type(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: bool(line.value) and not line.url and line.name not in GIVEN)
    if at is None:
        return None
    line = lines[at]
    origin = get_origin(line.declared)
    if origin is list:
        value = rng.choice(("word", "5", "{a: b}", "[[a]]", "[{a: b}]"))
    elif line.declared in (str, Secret):
        value = rng.choice(("[a]", "{a: b}", "true", "null", ""))
    else:
        value = rng.choice(("perhaps", "[1]", "{a: 1}", "'7'", "0x1F", "1:30"))
    made = _with(file, lines, at, replace(line, value=value), "type", line.column)
    # Nothing at all is told right after the colon, the item of a list at its own place.
    inside = 1 if value in ("[[a]]", "[{a: b}]") else 0
    return replace(made, column=line.column - 1 if not value else line.column + inside)


def unknown_key(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: len(line.name) > 4)
    if at is None:
        return None
    line, known = lines[at], {key.rpartition(".")[2] for key in known_keys(declarations()[file])}
    cut = rng.randrange(1, len(line.name) - 1)
    misspelt = rng.choice((line.name[:cut] + line.name[cut + 1 :], line.name[:cut] + "x" + line.name[cut:]))
    if misspelt in known:
        return None
    path = line.path.removesuffix(line.name) + misspelt
    made = _with(file, lines, at, replace(line, path=path), "unknown key", 2 * line.depth + 1)
    return replace(made, nearest=line.path)


def indent(rng: random.Random, file: str, lines: list[Line]) -> Made:
    """A line that stands further right than the one above it, which has a value already."""
    at = _any(rng, lines, lambda line: bool(line.value))
    if not at or not lines[at - 1].value or lines[at - 1].depth != lines[at].depth:
        return None
    rows = [line.text for line in lines]
    rows[at] = " " * rng.randint(1, 7) + rows[at]
    return Broken("indent", file, ("\n".join(rows) + "\n").encode(), at + 1)


def duplicate(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: bool(line.value))
    if at is None:
        return None
    text = text_of([*lines[: at + 1], lines[at], *lines[at + 1 :]])
    return Broken("duplicate key", file, text.encode(), at + 2, 2 * lines[at].depth + 1)


def tab(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: line.depth > 0)
    if at is None:
        return None
    rows = [line.text for line in lines]
    rows[at] = "\t" * lines[at].depth + rows[at].lstrip()
    return Broken("tab", file, ("\n".join(rows) + "\n").encode(), at + 1, 1)


def byte_order_mark(rng: random.Random, file: str, lines: list[Line]) -> Made:
    encoding, column = rng.choice((("utf-8-sig", 1), ("utf-16", 1), ("utf-32", 1)))
    return Broken("byte order mark", file, text_of(lines).encode(encoding), 1, column)


def unset_variable(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: bool(line.value) and get_origin(line.declared) is not list)
    if at is None:
        return None
    name = f"HERMES_GREEN_NOT_SET_{rng.randint(1, 999)}"
    value = rng.choice((f"${{{name}}}", f"'${{{name}}}'", f'"x${{{name}}}y"'))
    return _with(file, lines, at, replace(lines[at], value=value), "unset variable", lines[at].column)


def bad_url(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: line.url)
    if at is None:
        return None
    value = rng.choice(("host.example", "ftp://host", "http://", "http://host:port", "//host", "http://[::1", "x:y"))
    return _with(file, lines, at, replace(lines[at], value=value), "bad URL", lines[at].column)


def anchor_loop(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: bool(line.value))
    if at is None:
        return None
    value = rng.choice(("&a [*a]", "&a {x: *a}", "&a [[x, {y: *a}]]", "*nowhere"))
    made = _with(file, lines, at, replace(lines[at], value=value), "anchor loop", lines[at].column)
    return replace(made, column=None, nearest=None)


def control_character(rng: random.Random, file: str, lines: list[Line]) -> Made:
    at = _any(rng, lines, lambda line: bool(line.value))
    if at is None:
        return None
    rows = [line.text for line in lines]
    column = rng.randrange(len(rows[at]) + 1)
    rows[at] = rows[at][:column] + rng.choice("\0\0\0\x01\x07\x7f") + rows[at][column:]
    return Broken("NUL", file, ("\n".join(rows) + "\n").encode(), at + 1, column + 1)


def half_written(rng: random.Random, file: str, lines: list[Line]) -> Made:
    """Cut within a key, a quoted word, a list or a character; elsewhere the rest is a file as good as any."""
    at = _any(rng, lines, lambda line: bool(line.value))
    if not at:
        return None
    line = lines[at]
    before, row = text_of(lines[:at]).encode(), line.text.encode()
    if line.value == "中文":
        row = row[:-1]
    elif line.value[0] in "'\"[" and len(line.value) > 2:
        row = row[: -rng.randint(1, len(line.value) - 1)]
    else:
        row = row[: 2 * line.depth + rng.randint(1, len(line.name))]
    # What is not ended is told where it began, where it should have gone on, or with what it was taken for.
    return Broken("half-written", file, before + row, at + 1)


FAULTS: tuple[Fault, ...] = (
    wrong_type, unknown_key, indent, duplicate, tab, byte_order_mark, unset_variable, bad_url, anchor_loop,
    control_character, half_written,
)  # fmt: skip


def generated(count: int, seed: int) -> list[Broken]:
    """``count`` broken files, every fault about as often as any other, no two alike."""
    rng = random.Random(seed)
    files = list(declarations())
    found: dict[tuple[str, bytes], Broken] = {}
    while len(found) < count:
        file = rng.choice(("gateway", *files))
        fault = FAULTS[len(found) % len(FAULTS)]
        broken = fault(rng, file, healthy(rng, file))
        if broken is not None:
            found[broken.file, broken.data] = broken
    return list(found.values())
