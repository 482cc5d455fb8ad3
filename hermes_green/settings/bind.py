"""Binder: turns a tree into the declared types, collecting everything that does not fit."""

from __future__ import annotations

import math
import re
import types
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Mapping, NoReturn, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from hermes_green.core.model import Secret
from hermes_green.settings.problem import Problem, Spot, nearest
from hermes_green.settings.schema import AGENTS, AgentOptions, MaybeAgent, OtherAgent
from hermes_green.settings.source import MAX_BYTES, Entry, Listing, Scalar, Table, Tree

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"([A-Za-z_]\w*)(?::-(.*))?", re.DOTALL)
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_NULL = frozenset({"", "~", "null"})


class Unfit(Exception):
    """A value does not fit its type; caught by the Binder alone, which makes a Problem of it."""

    def __init__(self, spot: Spot, what: str) -> None:
        super().__init__(what)
        self.spot = spot
        self.what = what


class Unresolved(Exception):
    """A variable is not set, and for this platform that does not matter: it is off."""


@cache
def types_of(declaration: Any) -> Mapping[str, Any]:
    """Field name -> type of a declared group."""
    return get_type_hints(declaration)


def known_keys(declaration: Any) -> Mapping[str, str]:
    """Dotted key -> help, for a declared group and the groups inside it."""
    return _known_keys(declaration, "")


@cache
def _known_keys(declaration: Any, prefix: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for item in fields(declaration):
        found[prefix + item.name] = item.metadata.get("help", "")
    for item in fields(declaration):
        for inner in _groups(types_of(declaration)[item.name]):
            found.update({k: v for k, v in _known_keys(inner, f"{prefix}{item.name}.").items() if k not in found})
    return found


def _groups(declared: Any) -> list[type]:
    if is_dataclass(declared) and isinstance(declared, type):
        return [declared]
    return [group for inner in get_args(declared) for group in _groups(inner)]


def bound(declaration: type, values: Mapping[str, Any]) -> Any:
    """The group with ``values`` and its defaults, or None when a required key is missing."""
    needed = [item.name for item in fields(declaration) if required(item)]
    if any(name not in values for name in needed):
        return None
    return declaration(**values)


def required(item: Field[Any]) -> bool:
    """True when the user must set this key."""
    return item.default is MISSING and item.default_factory is MISSING


class Binder:
    """Binds trees of one reading. ``lenient``: the tree belongs to something that is switched off,
    so that missing keys, unset variables and unreadable files do not matter."""

    def __init__(self, env: Mapping[str, str], problems: list[Problem], lenient: bool = False) -> None:
        self._env = env
        self._problems = problems
        self._lenient = lenient

    def group(self, declaration: type, table: Table, path: str = "", skip: tuple[str, ...] = ()) -> Any:
        """The declared group that ``table`` describes, or None when some of it is wrong."""
        before = len(self._problems)
        hints = types_of(declaration)
        declared = {item.name: item for item in fields(declaration)}
        values: dict[str, Any] = {}
        for name, entry in table.entries.items():
            if name in skip:
                continue
            item = declared.get(name)
            if item is None:
                self._unknown(name, entry, declaration, path)
                continue
            try:
                values[name] = self._field(item, hints[name], entry.value, path + name)
            except Unresolved:
                continue
            except Unfit as error:
                self._problems.append(Problem(error.spot, error.what, path + name, item.metadata["help"]))
        if not self._lenient:
            for item in declared.values():
                if required(item) and item.name not in table.entries:
                    what = f'the key "{item.name}" is missing'
                    self._problems.append(Problem(table.spot, what, path + item.name, item.metadata["help"]))
        return bound(declaration, values) if len(self._problems) == before else None

    def _unknown(self, name: str, entry: Entry, declaration: type, path: str) -> None:
        known = known_keys(declaration)
        beside = [key for key in known if "." not in key]
        elsewhere = [key for key in known if key.rpartition(".")[2] == name]
        key = elsewhere[0] if elsewhere else nearest(name, beside)
        what = f'unknown key "{path}{name}"'
        self._problems.append(Problem(entry.spot, what, path + key, known[key]))

    def _field(self, item: Field[Any], declared: Any, tree: Tree, path: str) -> Any:
        value = self._value(declared, tree, path)
        meta = item.metadata
        numbers = value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                low, high = meta.get("minimum"), meta.get("maximum")
                if low is not None and number < low:
                    raise Unfit(tree.spot, f"{number} is less than {low}")
                if high is not None and number > high:
                    raise Unfit(tree.spot, f"{number} is more than {high}")
        if meta.get("url") and value and isinstance(value, str):
            _check_address(value, meta["url"], tree.spot)
        if meta.get("check") and (wrong := meta["check"](value)):
            raise Unfit(tree.spot, wrong)
        return value

    def _value(self, declared: Any, tree: Tree, path: str) -> Any:
        if declared == MaybeAgent and isinstance(tree, Scalar) and not tree.quoted and tree.text.lower() in _NULL:
            return None
        if declared in (AgentOptions, MaybeAgent):
            return self._agent(tree, path)
        origin = get_origin(declared)
        if origin in (Union, types.UnionType):
            return self._union(get_args(declared), tree, path)
        if is_dataclass(declared) and isinstance(declared, type):
            if not isinstance(tree, Table):
                _unfit(tree, "a mapping of keys")
            value = self.group(declared, tree, path + ".")
            if value is None:
                raise Unresolved  # said already, at its own place
            return value
        if origin is list:
            if not isinstance(tree, Listing):
                _unfit(tree, "a list")
            (inner,) = get_args(declared)
            return [self._value(inner, item, f"{path}[{n}]") for n, item in enumerate(tree.items)]
        if origin is dict:
            if not isinstance(tree, Table):
                _unfit(tree, "a mapping of names")
            _, inner = get_args(declared)
            return {name: self._value(inner, entry.value, f"{path}.{name}") for name, entry in tree.entries.items()}
        if declared is Any:
            return self._natural(tree)
        return self._scalar(declared, tree)

    def _union(self, choices: tuple[Any, ...], tree: Tree, path: str) -> Any:
        if types.NoneType in choices and isinstance(tree, Scalar) and not tree.quoted and tree.text.lower() in _NULL:
            return None
        open_choices = [choice for choice in choices if choice is not types.NoneType]
        for choice in open_choices:
            if (get_origin(choice) is list) == isinstance(tree, Listing):
                return self._value(choice, tree, path)
        return self._value(open_choices[0], tree, path)

    def _agent(self, tree: Tree, path: str) -> Any:
        """The options of an agent, declared by its ``type``."""
        if not isinstance(tree, Table):
            _unfit(tree, "a mapping with the key type")
        kind = tree.entries.get("type")
        if kind is None:
            raise Unfit(tree.spot, f'the key "type" is missing: one of {", ".join(AGENTS)}')
        name = self._scalar(str, kind.value)
        if name in AGENTS:
            value = self.group(AGENTS[name], tree, path + ".")
            if value is None:
                raise Unresolved
            return value
        from importlib.metadata import entry_points  # slow to import, and seldom needed

        foreign = sorted(point.name for point in entry_points(group="hermes_green.agents"))
        if name not in foreign:
            names = [*AGENTS, *foreign]
            what = f'there is no agent "{name}" (nearest: {nearest(name, names)}); there are: {", ".join(names)}'
            raise Unfit(kind.value.spot, what)
        rest = {key: entry for key, entry in tree.entries.items() if key != "type"}
        return OtherAgent(type=name, options=self._natural(Table(tree.spot, rest)))

    def _scalar(self, declared: Any, tree: Tree) -> Any:
        if not isinstance(tree, Scalar):
            _unfit(tree, _noun(declared))
        text, plain = self._resolve(tree)
        if get_origin(declared) is Literal:
            choices = get_args(declared)
            for choice in choices:
                if text.lower() == choice.lower():
                    return choice
            _unfit(tree, f"one of {', '.join(choices)} (nearest: {nearest(text, choices)})")
        if declared is bool:
            if plain and text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
        elif declared is int:
            if plain and _WHOLE.fullmatch(text):
                return int(text)
        elif declared is float:
            if plain and _NUMBER.fullmatch(text) and math.isfinite(float(text)):
                return int(text) if _WHOLE.fullmatch(text) else float(text)
        elif declared in (str, Secret):
            # A plain number is taken as it was written: ids and keys made of digits are common.
            if tree.quoted or (text.lower() not in _NULL | {"true", "false"}) or tree.text != text:
                return Secret(text) if declared is Secret else text
            _unfit(tree, 'text; write "" for none, and put words with a meaning of their own in quotes')
        else:
            raise TypeError(f"settings cannot be declared as {declared!r}")
        _unfit(tree, _noun(declared))

    def _natural(self, tree: Tree) -> Any:
        """A value by its own look, for options that are not ours to know."""
        if isinstance(tree, Table):
            return {name: self._natural(entry.value) for name, entry in tree.entries.items()}
        if isinstance(tree, Listing):
            return [self._natural(item) for item in tree.items]
        text, plain = self._resolve(tree)
        if not plain:
            return text
        if text.lower() in _NULL:
            return None if tree.text == text else text
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(text) if _NUMBER.fullmatch(text) else text

    def _resolve(self, scalar: Scalar) -> tuple[str, bool]:
        """The text with variables and files put in, and whether it may be read as a number: it was
        not quoted, or it came from a variable, which has no quotes."""
        text = _VARIABLE.sub(lambda match: self._variable(match, scalar), scalar.text)
        if scalar.text.startswith("file:"):
            return self._file(text, scalar), False
        return text, not scalar.quoted or text != scalar.text

    def _variable(self, match: re.Match[str], scalar: Scalar) -> str:
        if match.group(0) == "$${":
            return "${"
        said = _NAME.fullmatch(match.group(1))
        if not match.group(2) or not said:
            raise Unfit(scalar.spot, f'"{match.group(0)}" is not of the form ${{NAME}} or ${{NAME:-default}}')
        name, default = said.groups()
        value = self._env.get(name)
        if value is not None:
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Unfit(scalar.spot, f"the environment variable {name} is not UTF-8 text") from None
            value = value.rstrip("\r\n")  # as with a file: what was written elsewhere ends in one
        if value or (value is not None and default is None):
            return value
        if default is not None:
            return default
        if self._lenient:
            raise Unresolved
        raise Unfit(scalar.spot, f"the environment variable {name} is not set")

    def _file(self, text: str, scalar: Scalar) -> str:
        if self._lenient:
            raise Unresolved
        name = text.removeprefix("file:")
        path = Path(scalar.spot.file).parent / (name.removeprefix("//") if name.startswith("///") else name)
        try:
            if not path.is_file():
                raise OSError("it is not there, or is not a file")
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise OSError("it is larger than 1 MiB")
            return data.decode("utf-8-sig").rstrip("\r\n")
        except OSError as error:
            raise Unfit(scalar.spot, f"the file {path} cannot be read: {error.strerror or error}") from None
        except ValueError:
            raise Unfit(scalar.spot, f"the file {path} is not UTF-8 text, or its name is impossible") from None


def _check_address(value: str, schemes: tuple[str, ...], spot: Spot) -> None:
    try:
        parts = urlsplit(value)
        fits = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        raise Unfit(spot, f"not an address of the form {' or '.join(s + '://host' for s in schemes)}")


def _noun(declared: Any) -> str:
    if get_origin(declared) is Literal:
        return f"one of {', '.join(get_args(declared))}"
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(declared, "text")


def _unfit(tree: Tree, wanted: str) -> NoReturn:
    """Values are not repeated in the sentence where they may be secret: only short plain words are."""
    if isinstance(tree, Table):
        found = "a mapping"
    elif isinstance(tree, Listing):
        found = "a list"
    elif not tree.text and not tree.quoted:
        found = "nothing"
    elif "${" in tree.text:
        found = f'what "{tree.text[:40]}" stands for'
    else:
        quotes = " in quotes" if tree.quoted and wanted in ("a whole number", "a number", "true or false") else ""
        found = f'"{tree.text[:40]}"{quotes}'
    raise Unfit(tree.spot, f"{found} is not {wanted}")
