"""Checkup: whether the platform knows this app, asked with two calls that open no connection."""

from __future__ import annotations

from hermes_green.adapters.feishu.codes import CODES
from hermes_green.adapters.feishu.rest import Rest
from hermes_green.adapters.feishu.settings import Settings, base_of
from hermes_green.core.checkup import Tried
from hermes_green.core.clock import SystemClock
from hermes_green.link.api import briefly


def endpoints(settings: Settings) -> list[str]:
    """The API; the socket's address is handed out with each connection."""
    return [base_of(settings), *([settings.ws_base] if settings.ws_base else [])]


def try_credentials(settings: Settings) -> Tried:
    """A token, and with it who the bot is. Raises LinkError."""
    with briefly(Rest(settings, SystemClock(), hide=lambda token: None)) as rest:
        said = rest.who()
    if said.good:
        return Tried(str(said.data.get("app_name") or said.data.get("open_id") or settings.app_id))
    known = CODES.get(said.code) if said.code else None
    what = f"{known.text}; {known.action}" if known else f"the platform does not say who the bot is ({said})"
    return Tried(settings.app_id, lacking=(what.rstrip("; "),))
