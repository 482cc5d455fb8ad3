"""Calling: finds a user's Python callable and takes what it answers, wherever it runs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any, Callable, Iterable, Iterator

from hermes_green.core.model import Attachment, Delta


class BadTarget(Exception):
    """There is no such callable; the text says what is missing."""


def look_here() -> None:
    """A user's modules lie in the working directory, though Python may be told not to look there (PYTHONSAFEPATH)."""
    if sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())


def resolve(target: str) -> Callable[..., Any]:
    """The callable ``package.module:function`` or ``/path/of/a/file.py:function``. Raises BadTarget, and
    whatever its import raises."""
    module, _, path = target.rpartition(":")
    if not module or not path:
        raise BadTarget(f'"{target}" must have the form package.module:function')
    try:
        found: Any = _from_file(module) if module.endswith(".py") else importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise BadTarget(f'there is no module "{error.name}" beside conf/ or on PYTHONPATH') from None
        raise
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise BadTarget(f'the module "{module}" has no "{path}"') from None
    if not callable(found):
        raise BadTarget(f'"{target}" cannot be called')
    made: Callable[..., Any] = found
    return made


def _from_file(path: str) -> ModuleType:
    """The module that a file holds, loaded once. Raises BadTarget, and whatever its import raises."""
    name = f"hook_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise BadTarget(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    # Before it runs: annotations that name its own classes are looked up there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def given(value: Any) -> Any:
    """What a hook that ran inside the gateway answered. Raises TypeError: it is async, which needs a
    process of its own."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError("it is async: that needs isolation: process")
    return value


def deltas(answer: Any) -> Iterator[Delta]:
    """What ``fn(turn)`` gave, as deltas: a string, a delta, or anything that yields them; None is an
    empty answer. Raises TypeError for what it may not give, and whatever the callable raises."""
    if answer is None:
        return
    if isinstance(answer, (str, Delta)):
        yield delta(answer)
        return
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("it is async: give a plain function that calls asyncio.run itself")
    if isinstance(answer, (bytes, bytearray, dict)) or not isinstance(answer, Iterable):
        raise TypeError(f"it gave {type(answer).__name__}: a str, a Delta or an iterator of these is wanted")
    try:
        for piece in answer:
            yield delta(piece)
    finally:
        if inspect.isgenerator(answer):
            answer.close()


def delta(piece: Any) -> Delta:
    """One piece as a delta, its files with absolute paths. Raises TypeError."""
    if isinstance(piece, str):
        return Delta(piece)
    if not isinstance(piece, Delta):
        raise TypeError(f"it yielded {type(piece).__name__}: only str and Delta are wanted")
    return replace(piece, media=tuple(map(_absolute, piece.media))) if piece.media else piece


def _absolute(media: Attachment) -> Attachment:
    return replace(media, path=os.path.abspath(media.path)) if media.path else media


def sentence(error: BaseException) -> str:
    """What a user's code died of, in one line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    if isinstance(error, BadTarget):
        return str(error)
    text = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
