"""Loose: values out of a stranger's JSON, which may be of any type where a shape was agreed upon."""

from __future__ import annotations

import json
from datetime import datetime
from functools import wraps
from typing import Any, Callable, Mapping, TypeVar

from hermes_green.core.errors import BadFrame

Reader = TypeVar("Reader", bound=Callable[..., Any])
# Beyond the lives of those who read this.
_LATEST = 1e11


def dict_of(value: Any) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The array, or an empty one."""
    return value if isinstance(value, list) else []


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The objects in the array, without what else is in it."""
    return [each for each in list_of(value) if isinstance(each, dict)]


def text_of(value: Any) -> str:
    """A string that can be stored, or "": JSON may escape half a surrogate pair, UTF-8 has no place for it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def text_at(holder: Mapping[str, Any], name: str) -> str:
    """The string under a name, or ""."""
    return text_of(holder.get(name))


def need(holder: Mapping[str, Any], name: str, kind: type = str) -> Any:
    """What must stand under a name, not empty where it is a string or an object. Raises BadFrame."""
    value = holder.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is not int and not value):
        raise BadFrame(f"a message without {name}")
    return text_of(value) if kind is str else value


def number_of(value: Any, digits: int = 15) -> int | None:
    """The whole number, which may be written as a string of so many characters; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= digits:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def count_of(value: Any) -> int | None:
    """The number of things or bytes; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def seconds_of(value: Any, parts: int = 1) -> float | None:
    """Wall seconds for a number, or a string of digits, of so many parts of a second; None for nonsense."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        value = int(value)
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value / parts if plain and 0 < value < _LATEST * parts else None


def instant_of(value: Any) -> float | None:
    """Wall seconds of an RFC 3339 stamp with its zone; None for anything else."""
    try:
        when = datetime.fromisoformat(text_of(value))
    except ValueError:
        return None
    return when.timestamp() if when.tzinfo else None


def object_in(raw: str | bytes) -> dict[str, Any]:
    """The JSON object in a message. Raises BadFrame: there is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadFrame(f"a message is a JSON object, not {type(value).__name__}")
    return value


def json_of(value: Any) -> str:
    """JSON of our own for a stranger, in as few bytes as can be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def bordered(read: Reader) -> Reader:
    """For what reads a stranger's shapes: whatever it stumbles over is a BadFrame."""

    @wraps(read)
    def guarded(*args: Any, **named: Any) -> Any:
        try:
            return read(*args, **named)
        except BadFrame:
            raise
        except Exception as error:  # parse border: a stranger's JSON may make us stumble over anything
            raise BadFrame(f"{type(error).__name__}: {error}") from error

    return guarded  # type: ignore[return-value]
