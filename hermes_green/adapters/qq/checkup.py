"""Checkup: whether QQ knows this bot, asked with two calls that open no session."""

from __future__ import annotations

from contextlib import closing

from hermes_green.adapters.qq import wire
from hermes_green.adapters.qq.rest import Rest
from hermes_green.adapters.qq.settings import Settings
from hermes_green.core.checkup import Tried
from hermes_green.core.clock import SystemClock

FEW = 50  # session starts left of a day's thousand that are worth a word


def endpoints(settings: Settings) -> list[str]:
    """The API, which has the socket too, and where tokens come from."""
    api = settings.api_base or wire.API_BASE
    token = settings.token_base or settings.api_base or wire.TOKEN_BASE
    return [api, token, *([settings.ws_base] if settings.ws_base else [])]


def try_credentials(settings: Settings) -> Tried:
    """A token, and with it where the gateway is and how many sessions may still be started. Raises LinkError."""
    with closing(Rest(settings, SystemClock())) as rest:
        found = rest.gateway(rest.token())
    if found.remaining is None or found.remaining > FEW:
        return Tried(settings.app_id)
    hours = found.reset_after / 3600
    return Tried(
        settings.app_id,
        notes=(f"only {found.remaining} session starts are left for the next {hours:.1f} h: QQ counts each IDENTIFY",),
    )
