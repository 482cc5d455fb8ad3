"""Registry: platform name -> adapter package; ours by name, other people's by entry point."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Mapping

from hermes_green.core.errors import ConfError

BUILTIN: Mapping[str, str] = {
    "web": "hermes_green.adapters.web",
    "feishu": "hermes_green.adapters.feishu",
    "qq": "hermes_green.adapters.qq",
    "dingtalk": "hermes_green.adapters.dingtalk",
    "slack": "hermes_green.adapters.slack",
    "wecom": "hermes_green.adapters.wecom",
    "telegram": "hermes_green.adapters.telegram",
}
GROUP = "hermes_green.adapters"


def names() -> tuple[str, ...]:
    """Every platform there is an adapter for."""
    return (*BUILTIN, *(point.name for point in entry_points(group=GROUP) if point.name not in BUILTIN))


def package(name: str) -> Any:
    """What ``core.platform.Platform`` declares: ``Settings``, ``CODES``, ``BUDGETS``, ``check``, ``create``,
    ``identity``, ``secrets``. Where a package has no ``PLATFORM``, its own names are taken.

    Raises:
        ConfError: no such platform, or its package cannot be imported.
    """
    if name in BUILTIN:
        return _declared(import_module(BUILTIN[name]))
    for point in entry_points(group=GROUP, name=name):
        try:
            return _declared(point.load())
        except Exception as error:  # border: another package's import
            raise ConfError(f"the adapter {name!r} cannot be loaded: {error!r}") from error
    raise ConfError(f"there is no adapter called {name!r}; there are: {', '.join(names())}")


def _declared(package: Any) -> Any:
    return getattr(package, "PLATFORM", package)
