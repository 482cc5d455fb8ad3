"""A simulator's options as flags of the command line: one dataclass says both."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import fields
from typing import Any


def add_options(parser: ArgumentParser, options: type) -> None:
    """A flag ``--field-name`` for every field of the dataclass ``options``, by the type of its default."""
    for field in fields(options):
        flag = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default)


def options_of(args: Namespace, options: type) -> dict[str, Any]:
    """The fields of ``options`` as the command line gave them."""
    return {field.name: getattr(args, field.name) for field in fields(options)}
