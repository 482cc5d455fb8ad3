"""One log for the process: configured once, without secrets in it, and never on standard output.

loguru's ``enqueue`` stays off: in a patched process its worker thread is a greenlet that reads a
pipe, and the whole process stands still.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections import deque
from datetime import timezone
from typing import Any, Iterable, Literal
from urllib.parse import quote

import gevent
from loguru import logger

from hermes_green.core.errors import ConfError
from hermes_green.core.model import Secret
from hermes_green.ops.places import understood
from hermes_green.ops.repeats import PER_LIBRARY, Repeats

SHORTEST = 4  # characters; hiding shorter strings would hide half of every line
MAX_TOKENS = 200  # short-lived tokens remembered, newest first
ERROR = 40  # the level from which on equal lines are counted
# Tickets in addresses and authorisation headers are hidden even when nobody announced them.
_TICKET = re.compile(
    r"(?i)([?&](?:[a-z_]*(?:ticket|token|secret|signature|password)|access_key|api_key|session|key|sign|sig|code)=)"
    r"[^&\s\"'<>#]+"
)
_HEADER = re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:[a-z]+ +)?)[^\s\"',}]+")


class Redactor:
    """Replaces what must not be seen by ``***``, in any text."""

    def __init__(self) -> None:
        self._fixed: set[str] = set()
        self._tokens: deque[str] = deque(maxlen=MAX_TOKENS)
        self._pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[Secret | str], *, short_lived: bool = False) -> None:
        """From now on hide these; of short-lived ones only the newest are remembered."""
        for secret in secrets:
            value = secret.reveal() if isinstance(secret, Secret) else secret
            if len(value) < SHORTEST or value in self._fixed or value in self._tokens:
                continue
            if short_lived:
                self._tokens.append(value)
            else:
                self._fixed.add(value)
        forms = {form for value in (*self._fixed, *self._tokens) for form in _forms(value)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub("***", text)
        return _HEADER.sub(r"\1***", _TICKET.sub(r"\1***", text))


def _forms(value: str) -> tuple[str, ...]:
    """A secret as it is, as it stands in an address, in JSON and in a repr."""
    return value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]


redact = Redactor()
_repeats = Repeats()
_sinks: list[int] = []
_file: dict[str, Any] = {}
_rendering: Literal["text", "json"] = "text"


def setup(
    level: str = "INFO",
    format: Literal["text", "json"] = "text",
    file: str = "",
    max_mb: float = 20,
    keep: int = 5,
    secrets: Iterable[Secret] = (),
) -> None:
    """Configure the log; once, before anything else logs. Lines go to standard error, and to ``file``
    where one is named: rotated at ``max_mb`` MB, ``keep`` old ones kept, readable by the owner alone.

    What is no file of its own, such as a pipe or /dev/stdout, is not rotated.

    Raises OSError, or ConfError, when the file cannot be opened.
    """
    global _rendering
    _rendering = format
    _file.clear()
    if file:
        _file.update(sink=file, opener=_private, encoding="utf-8")
        if not file.startswith(("/dev/", "/proc/")) and (os.path.isfile(file) or not os.path.exists(file)):
            _file.update(rotation=int(max_mb * 1_000_000), retention=keep)
    redact.add(secrets)
    logger.configure(patcher=_finish)
    try:
        set_level(level)
    except OSError as error:
        if understood(error) is not None:
            raise
        text = f"log.file {file} cannot be opened: {error.strerror}"
        action = "name another one, or none: it is all on standard error"
        raise ConfError(text, code="log_file", action=action) from error
    route_stdlib()
    # Errors of greenlets nobody waits for: gevent would print them as they are.
    gevent.get_hub().print_exception = _unhandled
    sys.excepthook = _fatal


def set_level(level: str) -> None:
    """Change the level of a log that ``setup`` configured; applies at once."""
    common: dict[str, Any] = dict(
        level=level.upper(), format=_line, filter=_wanted, backtrace=False, diagnose=False, catch=True
    )
    fresh = [logger.add(_to_stderr, **common)]
    if _file:
        fresh.append(logger.add(**_file, **common))
    # loguru starts with a sink of its own, number 0.
    for sink in _sinks or [0]:
        try:
            logger.remove(sink)
        except ValueError:
            pass
    _sinks[:] = fresh


def tell_repeats(at_once: bool = False) -> None:
    """Say how often what was written once has happened since; to be called every now and then, and with
    ``at_once`` at the end."""
    for count, what in _repeats.due(at_once):
        logger.bind(_counted=True).error("the same {} times more: {}", count, what)


def add_secrets(secrets: Iterable[Secret | str], *, short_lived: bool = False) -> None:
    """Hide these too: a reload's new secrets, or (``short_lived``) tokens and tickets fetched at run time."""
    redact.add(secrets, short_lived=short_lived)


def route_stdlib(sdk_level: int = logging.WARNING, *, names: Iterable[str] = ()) -> None:
    """Let what libraries log through ``logging`` arrive here, from ``sdk_level`` on. ``names``: loggers
    that brought handlers and levels of their own (some print to standard output); call it after their import."""
    logging.basicConfig(handlers=[_Bridge()], level=sdk_level, force=True)
    logging.captureWarnings(True)
    for name in names:
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = True
        theirs.setLevel(sdk_level)


class _Bridge(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        bound = logger.bind(logger=record.name).opt(exception=record.exc_info, depth=6)
        # The message is an argument, so that braces in it are not taken for a format.
        bound.log(level, "{}", record.getMessage())


def _finish(record: Any) -> None:
    """loguru's patcher: renders the whole line, exception included, and hides the secrets in it."""
    extra = record["extra"]
    try:
        record["message"] = redact(record["message"])
        trace = ""
        if record["exception"] is not None:
            kind, value, tb = record["exception"]
            trace = "".join(traceback.format_exception(kind, value, tb)).rstrip()
        render = _as_json if _rendering == "json" else _as_text
        extra["_line"] = render(record, extra, trace)
        extra["_held"] = not _passes(record, extra)
    except Exception as error:
        # A border: a value whose str() fails must not fail the code that logs it.
        extra["_line"] = f"a log line could not be rendered: {type(error).__name__}"


def _passes(record: Any, extra: dict[str, Any]) -> bool:
    """Equal errors once in a window, and of each library only so many lines."""
    if "_counted" in extra:
        return True
    library = extra.get("logger")
    if library is not None and not _repeats.passes(("library", library), f"lines of {library}", PER_LIBRARY):
        return False
    if record["level"].no < ERROR:
        return True
    message, child = record["message"], extra.get("child", "")
    where = f"{child}: " if child else ""
    kind = repr(record["exception"].value)[:500] if record["exception"] is not None else ""
    return _repeats.passes((record["name"], record["line"], child, message, kind), where + message)


def _wanted(record: Any) -> bool:
    return not record["extra"].get("_held")


def _as_text(record: Any, extra: dict[str, Any], trace: str) -> str:
    facts = "".join(f" {key}={value}" for key, value in extra.items() if not key.startswith("_"))
    stamp = record["time"].strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    line = f"{stamp} {record['level'].name:<7} {record['message']}{facts}"
    return redact(f"{line}\n{trace}" if trace else line)


def _as_json(record: Any, extra: dict[str, Any], trace: str) -> str:
    line = {
        "time": record["time"].astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": record["level"].name,
        "message": record["message"],
        "module": record["name"],
        **{key: redact(str(value)) for key, value in extra.items() if not key.startswith("_")},
    }
    if trace:
        line["exception"] = redact(trace)
    return json.dumps(line, ensure_ascii=False)


def _line(record: Any) -> str:
    return "{extra[_line]}\n"


def _to_stderr(message: str) -> None:
    # Looked up each time: whoever replaces sys.stderr gets the lines.
    sys.stderr.write(message)
    sys.stderr.flush()


def _private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o600)  # a pipe that nobody reads is not waited for
    os.set_blocking(descriptor, True)
    return descriptor


def _unhandled(context: object, kind: Any, value: Any, tb: Any) -> None:
    # Called in the hub itself, which must not wait for the log's lock.
    gevent.spawn(logger.opt(exception=(kind, value, tb)).error, "unhandled in {}", context)


def _fatal(kind: Any, value: Any, tb: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, value, tb)
        return
    logger.opt(exception=(kind, value, tb)).critical("the process ends by an error nobody expected")
