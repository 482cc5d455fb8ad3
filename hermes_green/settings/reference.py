"""Reference: all keys there are, as a JSON Schema for editors and as tables for people, from their declarations."""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Iterator, Literal, Mapping, Union, get_args, get_origin

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions
from hermes_green.settings.bind import required, types_of
from hermes_green.settings.schema import AGENTS, AgentOptions, Gateway, MaybeAgent

Json = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# What the loader puts a value in for; it may stand where a number, a switch or a word of a choice is wanted.
_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_WORD = {"type": "string", "pattern": r"\$\{|^file:"}
_SWITCH = {"type": "string", "pattern": r"\$\{|^(yes|no|on|off)$"}

# --- for editors -----------------------------------------------------------------------------------


def schema(name: str, declaration: type) -> Json:
    """The JSON Schema of ``name``.yaml and ``name``.local.yaml.

    Keys that must be set are not demanded: they may stand in the other of the two files, or in an account.
    """
    shape = _group(declaration)
    if issubclass(declaration, PlatformOptions):
        own = {key: value for key, value in shape["properties"].items() if key != "accounts"}
        account = {"type": ["object", "null"], "properties": own, "additionalProperties": False}
        shape["properties"]["accounts"] |= {"type": ["object", "null"], "additionalProperties": account}
    return {"$schema": _DIALECT, "title": f"{name}.yaml of hermes-green", **shape}


def _group(declaration: Any) -> Json:
    hints = types_of(declaration)
    properties = {item.name: _property(item, hints[item.name]) for item in fields(declaration)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(item: Field[Any], declared: Any) -> Json:
    shape = _shape(declared)
    for limit in ("minimum", "maximum"):
        if item.metadata[limit] is not None:
            for inner in (shape, *shape.get("anyOf", ())):
                if inner.get("type") in ("integer", "number"):
                    inner[limit] = item.metadata[limit]
    default = _plain(_default(item))
    return {"description": item.metadata["help"], **({} if default is MISSING else {"default": default}), **shape}


def _shape(declared: Any) -> Json:
    if declared in (AgentOptions, MaybeAgent):
        return _agent(declared == MaybeAgent)
    origin = get_origin(declared)
    if origin in (Union, types.UnionType):
        return {"anyOf": [inner for each in get_args(declared) for inner in _choices(_shape(each))]}
    if origin is Literal:
        return {"anyOf": [{"enum": list(get_args(declared))}, _WORD]}
    if origin is list:
        (inner,) = get_args(declared)
        shape = _shape(inner)
        if is_dataclass(inner):
            # A list is replaced whole by the other file, so its items are whole.
            shape["required"] = [item.name for item in fields(inner) if required(item)]
        return {"type": "array", "items": shape}
    if origin is dict:
        return {"type": "object", "additionalProperties": _shape(get_args(declared)[1])}
    if is_dataclass(declared):
        return _group(declared)
    simple: dict[Any, Json] = {
        bool: {"anyOf": [{"type": "boolean"}, _SWITCH]},
        int: {"anyOf": [{"type": "integer"}, _VARIABLE]},
        float: {"anyOf": [{"type": "number"}, _VARIABLE]},
        types.NoneType: {"type": "null"},
        Any: {},
    }
    # A plain number is taken as text where text is wanted: ids made of digits are common.
    return {**simple[declared]} if declared in simple else {"type": ["string", "number"]}


def _choices(shape: Json) -> list[Json]:
    return list(shape["anyOf"]) if set(shape) == {"anyOf"} else [shape]


def _agent(nothing: bool) -> Json:
    shapes = []
    for name, declaration in AGENTS.items():
        shape = _group(declaration)
        shape["properties"]["type"] = {"description": "which agent answers", "const": name}
        shapes.append({"title": name, **shape, "required": ["type"]})
    other = {"type": {"type": "string", "not": {"enum": list(AGENTS)}}}
    shapes.append({"title": "an agent of another package", "type": "object", "properties": other, "required": ["type"]})
    return {"anyOf": shapes + ([{"type": "null"}] if nothing else [])}


def _default(item: Field[Any]) -> Any:
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else MISSING


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value


# --- for people ------------------------------------------------------------------------------------

_HEAD = ("| key | value | default | changed | what it is |", "|---|---|---|---|---|")
_COMMON = {item.name for item in fields(PlatformOptions)}


def markdown(platforms: Mapping[str, type[PlatformOptions]], level: int = 3) -> str:
    """Every key of every file: gateway.yaml, what all platforms' files have, and what each adds.

    ``level``: of the headings. Paragraphs have no words of their own, so that the text fits any language.
    """
    mark = "#" * level
    parts = [f"{mark} `gateway.yaml`", *_table(Gateway, "needs a restart")]
    for name, declaration in AGENTS.items():
        parts += ["", f"{mark} `agent: {{type: {name}}}`", *_table(declaration, "at once", skip={"type"})]
    parts += ["", f"{mark} `<platform>.yaml`", *_table(PlatformOptions, "restarts its children")]
    for name, declaration in platforms.items():
        own = [*_rows(declaration, "", "restarts its children", _COMMON)]
        if own:
            parts += ["", f"{mark} `{name}.yaml`", "", *_HEAD, *own]
    return "\n".join(parts) + "\n"


def _table(declaration: Any, otherwise: str, skip: set[str] | None = None) -> list[str]:
    return ["", *_HEAD, *_rows(declaration, "", otherwise, skip or set())]


def _rows(declaration: Any, path: str, otherwise: str, skip: set[str]) -> Iterator[str]:
    hints = types_of(declaration)
    for item in fields(declaration):
        if item.name in skip:
            continue
        declared = hints[item.name]
        inner, suffix = _inside(declared)
        if inner is not None:
            if suffix:
                yield _row(item, path + item.name, declared, otherwise)
            yield from _rows(inner, f"{path}{item.name}{suffix}.", otherwise, set())
        else:
            yield _row(item, path + item.name, declared, otherwise)


def _inside(declared: Any) -> tuple[Any, str]:
    """The group of keys in a value, and how its place is written: itself, each of a list, each by a name."""
    if is_dataclass(declared):
        return declared, ""
    origin, inner = get_origin(declared), get_args(declared)
    if origin in (list, dict) and is_dataclass(inner[-1]):
        return inner[-1], "[]" if origin is list else ".NAME"
    return None, ""


def _row(item: Field[Any], path: str, declared: Any, otherwise: str) -> str:
    default = _plain(_default(item))
    shown = "must be set" if default is MISSING else f"`{_yaml(default)}`"
    changed = "at once" if item.metadata["live"] else otherwise
    if "[]" in path or ".NAME" in path:
        changed = "at once"  # only groups that are live hold lists and names
    cells = (f"`{path}`", _kind(declared, item.metadata), shown, changed, item.metadata["help"])
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _yaml(value: Any) -> str:
    if isinstance(value, dict) and value.get("type"):
        return f"{{type: {value['type']}}}"
    if isinstance(value, str):
        return value if value and not value[0].isdigit() else f'"{value}"'
    return json.dumps(value)


def _kind(declared: Any, meta: Mapping[str, Any]) -> str:
    if declared in (AgentOptions, MaybeAgent):
        return "an agent"
    if meta.get("url"):
        return "address"
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Literal:
        return " · ".join(inner)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if each is types.NoneType else _kind(each, meta) for each in inner)
    if origin is list:
        return "list" if get_origin(inner[0]) is not list else "list of lists"
    if origin is dict or is_dataclass(declared):
        return "mapping"
    words = {bool: "true · false", int: "whole number", float: "number", Secret: "secret", Any: "anything"}
    limits = [f"{sign} {meta[name]:g}" for name, sign in (("minimum", "≥"), ("maximum", "≤")) if meta[name] is not None]
    return " ".join([words.get(declared, "text"), ", ".join(limits)]).rstrip()
