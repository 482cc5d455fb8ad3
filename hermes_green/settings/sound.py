"""Sound: what is wrong with values that are of the right type, in a sentence; "" where nothing is."""

from __future__ import annotations

import ipaddress
import os
import re

from hermes_green.core.model import Secret


def bad_host(value: str) -> str:
    """Of an address to listen on."""
    try:
        ipaddress.ip_address(value)
        return ""
    except ValueError:
        fits = re.fullmatch(r"[A-Za-z0-9_.-]+", value)
        return "" if fits else f'"{value}" is no address or name; it stands alone, without http:// and brackets'


def _unsendable(text: str) -> str:
    """Why a header cannot carry it, which may be secret."""
    fits = not re.search(r"[\r\n]", text) and all(ord(character) < 256 for character in text)
    return "" if fits else "it holds a line break or a character that an HTTP header cannot carry"


def bad_key(value: Secret) -> str:
    """Of a secret that goes into a header."""
    return _unsendable(value.reveal())


def bad_token(value: Secret) -> str:
    """Of a secret that comes in a header."""
    text = value.reveal()
    # What a header's value begins and ends with is not part of it.
    return "it begins or ends with a blank" if text != text.strip() else _unsendable(text)


def bad_headers(value: dict[str, str]) -> str:
    """Of headers by name."""
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            return f'"{name}" cannot name a header'
        if wrong := _unsendable(text):
            return f"of {name}: {wrong}"
    return ""


def bad_target(value: str) -> str:
    """Of a callable's name."""
    module, _, function = value.rpartition(":")
    return "" if module.strip() and function.strip() else f'"{value}" has not the form package.module:function'


def bad_program(value: list[str]) -> str:
    """Of a program with its arguments."""
    return "" if value and value[0].strip() else "the list must begin with a program"


def bad_hook(value: str | list[str]) -> str:
    """Of what a hook runs."""
    if isinstance(value, list):
        return bad_program(value)
    if ":" in value:
        return bad_target(value)
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    # A single word names what a package offers.
    offered = entry_points(group="hermes_green.hooks", name=value)
    return "" if offered else f'no package offers a hook called "{value}"; write package.module:function, or a list'


def bad_time(value: str) -> str:
    """Of a time of day."""
    hour, _, minute = value.partition(":")
    fits = hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(hour) < 24 and int(minute) < 60
    return "" if fits else f'"{value}" is not a time of day such as 04:00'


def bad_directory(value: str) -> str:
    """Of a directory's name."""
    if not value.strip():
        return "a directory must be named"
    try:
        return "" if b"\0" not in os.fsencode(value) else "this cannot be the name of a directory"
    except UnicodeEncodeError:
        return "this cannot be the name of a directory"
