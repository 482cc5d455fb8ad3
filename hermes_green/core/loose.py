"""Loose: values out of a stranger's JSON, which may be of any type where a shape was agreed upon."""

from __future__ import annotations

from typing import Any


def dict_of(value: Any) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The array, or an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """A string that can be stored, or "": JSON may escape half a surrogate pair, UTF-8 has no place for it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
