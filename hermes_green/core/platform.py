"""Platform: what an adapter's package declares of itself, light to import; the rest is loaded when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, Callable, Mapping

from hermes_green.core.checkup import Tried
from hermes_green.core.codes import Codes, Help
from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions
from hermes_green.core.ports import Adapter, Context

Budgets = Mapping[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform. Its names are those that a package of somebody else's has as a module's.

    package: where the modules ``adapter`` (with the class ``adapter``), ``codes`` and ``checkup`` are.
    Settings: the keys of its file. check: sentences about values that are well-formed and yet cannot
    work. identity: the account on the platform, which names the credential for lock and ledger.
    BUDGETS: kind of dial -> its budgets, [(dials, seconds), ...].
    """

    package: str
    adapter: str
    Settings: type[PlatformOptions]
    check: Callable[[Any], list[str]]
    identity: Callable[[Any], str]
    BUDGETS: Budgets

    @property
    def CODES(self) -> Codes:
        """What the platform's error codes mean."""
        codes: Codes = self._module("codes").CODES
        return codes

    @property
    def HELP(self) -> Mapping[int | str, Help]:
        """What people are told of them."""
        help: Mapping[int | str, Help] = self._module("codes").HELP
        return help

    def create(self, settings: Any, ctx: Context) -> Adapter:
        """The adapter of one account; makes no network call."""
        made: Adapter = getattr(self._module("adapter"), self.adapter)(settings, ctx)
        return made

    def endpoints(self, settings: Any) -> list[str]:
        """Addresses that must be reachable."""
        return list(self._module("checkup").endpoints(settings))

    def try_credentials(self, settings: Any) -> Tried:
        """Ask the platform about the credentials, without a dial. Raises LinkError, ConfError."""
        tried: Tried = self._module("checkup").try_credentials(settings)
        return tried

    def secrets(self, settings: PlatformOptions) -> tuple[Secret, ...]:
        """What no log may show."""
        values = (getattr(settings, each.name) for each in fields(settings))
        return tuple(value for value in values if isinstance(value, Secret))

    def _module(self, name: str) -> Any:
        return import_module(f"{self.package}.{name}")


def blank(settings: PlatformOptions, **where: str) -> list[str]:
    """For ``check``: a sentence about each of these keys that is empty, with where to get it."""
    wrong = []
    for name, place in where.items():
        value = getattr(settings, name)
        text = value.reveal() if isinstance(value, Secret) else value
        if not text.strip():
            wrong.append(f"{name} is empty: {place}")
    return wrong
