"""Web: the page's own chat, on the same durable way as every platform. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

from hermes_green.adapters.web.settings import Settings
from hermes_green.core.codes import Code
from hermes_green.core.model import Secret
from hermes_green.core.ports import Adapter, Context

if TYPE_CHECKING:
    from hermes_green.adapters.web.mailbox import Mailbox

NAME = "web"
CODES: Mapping[int | str, Code] = {}
# Nothing is dialled.
BUDGETS: Mapping[str, tuple[tuple[int, float], ...]] = {}

__all__ = ["BUDGETS", "CODES", "NAME", "Settings", "check", "create", "identity", "secrets"]


def check(settings: Settings) -> list[str]:
    """Nothing here can be well-formed and yet wrong."""
    return []


def create(settings: Settings, ctx: Context, mailbox: Mailbox | None = None) -> Adapter:
    """The adapter. ``mailbox`` is where it meets the page; without one only the API's sends work."""
    from hermes_green.adapters.web.adapter import WebAdapter
    from hermes_green.adapters.web.mailbox import Mailbox

    return WebAdapter(settings, ctx, mailbox if mailbox is not None else Mailbox())


def identity(settings: Settings) -> str:
    """Empty: there is no account elsewhere, so two gateways may each have a page and nothing is locked."""
    return ""


def secrets(settings: Settings) -> tuple[Secret, ...]:
    """None."""
    return ()
