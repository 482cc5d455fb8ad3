"""Light: one module of a vendor's SDK, without everything its packages import on the way to it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


def load_light(name: str, *, hollow: tuple[str, ...] = ()) -> ModuleType:
    """The module ``name`` (``package.module``), with the packages' own ``__init__`` not run, nor those
    of ``hollow``, further packages of the same SDK.

    Bare package objects that only have a ``__path__`` stand in for the packages while the module is
    loaded, and are taken away again, so that a full import later in the same process works. Should
    the SDK's layout change, the full import is the fallback.

    Raises:
        ImportError: not installed, or no such module in it.
    """
    stubs: dict[str, ModuleType] = {}
    try:
        _stand_in(name, hollow, stubs)
        return importlib.import_module(name)
    except (ImportError, AttributeError):
        _forget(stubs)
        return importlib.import_module(name)
    finally:
        _forget(stubs)


def _stand_in(name: str, hollow: tuple[str, ...], stubs: dict[str, ModuleType]) -> None:
    top, *steps = name.split(".")[:-1]
    if top in sys.modules:
        return  # its price is paid already
    spec = importlib.util.find_spec(top)
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    above = [".".join((top, *steps[:depth])) for depth in range(len(steps) + 1)]
    for package in (*above, *hollow) if roots else ():
        stub = ModuleType(package)
        stub.__path__ = [root + package.removeprefix(top).replace(".", "/") for root in roots]
        stubs[package] = sys.modules[package] = stub


def _forget(stubs: dict[str, ModuleType]) -> None:
    for package, stub in stubs.items():
        if sys.modules.get(package) is stub:
            del sys.modules[package]
