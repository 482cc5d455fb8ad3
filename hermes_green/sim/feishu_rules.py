"""What can be set about the simulated Feishu, in code and on the command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class FeishuRules:
    """What can be set about the platform; times in seconds.

    ``ping_interval`` and ``reconnect_*`` go to the client as ClientConfig. ``heartbeat_timeout``: a
    link without a ping for so long is cut (None: three intervals). ``native_ping``: how often the
    platform sends a WebSocket ping of its own (0: never). ``redelivery``: pauses before each further
    push of an event that was not acknowledged within ``ack_deadline``. ``hold_order``: a chat's users
    send the next message only when the one before was acknowledged. ``app_rate`` and ``chat_rate``:
    (count, seconds), None for no limit; the real ones are (50, 1) and (5, 1). A card grows for
    ``streaming_seconds``, lives for ``card_life`` and takes ``card_rate`` changes a second.
    """

    ping_interval: float = 120
    reconnect_count: int = -1
    reconnect_interval: float = 120
    reconnect_nonce: float = 30
    heartbeat_timeout: float | None = None
    native_ping: float = 25
    ack_deadline: float = 3.0
    redelivery: tuple[float, ...] = (15, 300, 3600, 21600)
    max_connections: int = 50
    hold_order: bool = False
    part_bytes: int = 100_000
    token_seconds: float = 7200
    uuid_seconds: float = 3600
    app_rate: tuple[int, float] | None = None
    chat_rate: tuple[int, float] | None = None
    streaming_seconds: float = 600
    card_life: float = 14 * 86400
    card_rate: int = 10


def add_arguments(parser: ArgumentParser) -> None:
    """Every rule as ``--rule-name``; tuples are written with commas."""
    parser.add_argument("--hold-order", action="store_true")
    for rule in fields(FeishuRules):
        if rule.name != "hold_order":
            parser.add_argument("--" + rule.name.replace("_", "-"), dest=rule.name, metavar="N")


def from_arguments(args: Namespace) -> dict[str, Any]:
    """The rules that the command line named."""
    rules: dict[str, Any] = {"hold_order": args.hold_order}
    for rule in fields(FeishuRules):
        given = getattr(args, rule.name)
        if rule.name != "hold_order" and given is not None:
            rules[rule.name] = _rule(rule.name, given)
    return rules


def _rule(name: str, given: str) -> Any:
    """A rule's value from the command line."""
    if name in ("redelivery", "app_rate", "chat_rate"):
        numbers = tuple(float(number) for number in given.split(","))
        return numbers if name == "redelivery" else (int(numbers[0]), numbers[1])
    value = float(given)
    return int(value) if value.is_integer() else value
