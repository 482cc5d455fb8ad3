"""Code: what a vendor's error number means for us, in words and in policy; and how a platform's table says it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Mapping

from hermes_green.core import errors
from hermes_green.core.errors import HermesError, SendRetry, Throttled

Codes = Mapping[int | str, "Code"]
NOT_CARRIED = "~"


@dataclass(frozen=True, slots=True)
class Help:
    """What people are told of a code beside its ``Code``: sentence and remedy in Chinese, and the English
    remedy where the code itself, which goes with every error, has none."""

    zh: str
    zh_action: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of a platform's table of error codes.

    error: the class to raise. text: what happened. action: how to mend it, naming the key or the
    page. after (seconds) and scope: for the classes that carry a wait.
    """

    error: type[HermesError]
    text: str
    action: str = ""
    after: float = 0.0
    scope: str = "chat"

    def build(self, code: int | str, detail: str = "", after: float | None = None) -> HermesError:
        """The error to raise for an answer that carried ``code``."""
        said = f"{self.text} ({code})" + (f": {detail}" if detail else "")
        wait = self.after if after is None else after
        if issubclass(self.error, SendRetry):
            return self.error(said, after=wait, scope=self.scope, code=str(code), action=self.action)
        if issubclass(self.error, Throttled):
            return self.error(said, after=wait, code=str(code), action=self.action)
        return self.error(said, code=str(code), action=self.action)


@dataclass(frozen=True, slots=True)
class Table:
    """A platform's ``codes.txt``: section -> its codes, what people are told of them all, and the English
    remedies by name."""

    sections: Mapping[str, Codes]
    help: Mapping[int | str, Help]
    remedies: Mapping[str, str]


def table_of(text: str, *more: type[HermesError]) -> Table:
    """The table in a file's text; ``more``: classes of errors that are the platform's own.

    A line is empty, a comment (#), a ``[section]``, or a row of columns between bars. Rows of the section
    ``remedies``: name | English | Chinese. Rows of all others::

        code, code | class of the error, seconds, scope | what happened, in English | in Chinese | remedy's name

    The class is - where the code is only told of and never raised. A remedy of one row alone stands in the
    indented line below it: English | Chinese. An English remedy that begins with ~ does not go with the
    error, it is only told beside it.

    Raises:
        ValueError, LookupError: a line that makes no sense.
    """
    classes: dict[str, Any] = {each.__name__: each for each in more}
    remedies: dict[str, tuple[str, str]] = {"": ("", "")}
    sections: dict[str, dict[int | str, Code]] = {}
    help: dict[int | str, Help] = {}
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    section = ""
    for line, following in zip(lines, [*lines[1:], ""]):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "remedies":
            name, english, chinese = columns(line, 3)
            remedies[name] = (english, chinese)
        elif not line[0].isspace():
            keys, kind, said, said_zh, name = columns(line, 5)
            english, chinese = columns(following, 2) if following[:1].isspace() else remedies[name]
            carried = "" if english.startswith(NOT_CARRIED) else english
            told = english.removeprefix(NOT_CARRIED) if not carried else ""
            for key in map(_key, keys.split(", ")):
                if kind != "-":
                    error, after, scope = (*kind.split(), "", "")[:3]
                    known = classes.get(error) or getattr(errors, error)
                    code = Code(known, said, carried, float(after or 0), scope or "chat")
                    sections.setdefault(section, {})[key] = code
                if said_zh:
                    help[key] = Help(said_zh, chinese, told)
    frozen = {name: MappingProxyType(codes) for name, codes in sections.items()}
    return Table(frozen, MappingProxyType(help), {name: english for name, (english, _) in remedies.items()})


def columns(line: str, most: int) -> list[str]:
    """The columns of a row between bars; those left out are empty. Raises ValueError: there are more."""
    found = [column.strip() for column in line.split("|")]
    if len(found) > most:
        raise ValueError(f"more than {most} columns: {line}")
    return found + [""] * (most - len(found))


def _key(key: str) -> int | str:
    return int(key) if key.removeprefix("-").isdigit() else key
