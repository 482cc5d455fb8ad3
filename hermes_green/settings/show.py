"""Shows a configuration without its secrets, and tells two of them apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from hermes_green.core.model import Secret
from hermes_green.settings.schema import ChildConfig, Config, Gateway

_PASSWORD = re.compile(r"(//[^/@:\s]*):[^/\s]*@")


def effective(config: Config) -> dict[str, Any]:
    """Every value that applies, defaults included, as JSON values; secrets are ``***``."""
    shown: dict[str, Any] = {"conf": str(config.conf_dir), "data_dir": str(config.data_dir)}
    for item in fields(Gateway):
        if item.name != "data_dir":
            shown[item.name] = _plain(getattr(config, item.name))
    shown["children"] = [
        {"id": child.id, "platform": child.platform, "account": child.account, **_options(child)}
        for child in config.children
    ]
    return shown


def _options(child: ChildConfig) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(child.options)
    plain.pop("accounts", None)
    return plain


def _plain(value: Any, masked: bool = False) -> Any:
    if isinstance(value, Secret):
        return "***" if value else ""
    if is_dataclass(value) and not isinstance(value, type):
        marks = {item.name: item.metadata.get("masked", False) for item in fields(value)}
        return {name: _plain(getattr(value, name), mark) for name, mark in marks.items()}
    if isinstance(value, dict):
        return {name: _plain(inner, masked) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, masked) for inner in value]
    if masked:
        return "***"
    return _PASSWORD.sub(r"\1:***@", value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Difference:
    """What it takes to get from one configuration to another.

    start, stop, restart: children (of the new configuration; ``stop`` of the old). live: ids of
    children whose changed keys apply without a restart; ``start`` and ``restart`` not included.
    groups: keys of gateway.yaml that changed and apply at once. restart_required: dotted keys that
    only a new process takes up.
    """

    start: tuple[ChildConfig, ...] = ()
    stop: tuple[ChildConfig, ...] = ()
    restart: tuple[ChildConfig, ...] = ()
    live: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    restart_required: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))


def diff(old: Config, new: Config) -> Difference:
    """What changed, sorted by what has to be done about it."""
    before = {child.id: child for child in old.children}
    after = {child.id: child for child in new.children}
    restart, live = [], []
    for id, child in after.items():
        if id not in before or child == before[id]:
            continue
        changed = [
            item
            for item in fields(child.options)
            if getattr(child.options, item.name) != getattr(before[id].options, item.name, None)
        ]
        if all(item.metadata.get("live") for item in changed):
            live.append(id)
        else:
            restart.append(child)
    groups, required = _gateway_changes(old, new)
    return Difference(
        start=tuple(child for id, child in after.items() if id not in before),
        stop=tuple(child for id, child in before.items() if id not in after),
        restart=tuple(restart),
        live=tuple(live),
        groups=groups,
        restart_required=required,
    )


def _gateway_changes(old: Config, new: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    groups, required = [], []
    for item in fields(Gateway):
        was, now = getattr(old, item.name), getattr(new, item.name)
        if was == now:
            continue
        if item.metadata["live"]:
            groups.append(item.name)
            continue
        if not is_dataclass(now):
            required.append(item.name)
            continue
        for inner in fields(now):
            if getattr(was, inner.name) == getattr(now, inner.name):
                continue
            if not inner.metadata["live"]:
                required.append(f"{item.name}.{inner.name}")
            elif item.name not in groups:
                groups.append(item.name)
    return tuple(groups), tuple(required)
