"""Checkup: whether Telegram knows this bot, and whether its messages can be polled at all."""

from __future__ import annotations

from contextlib import closing

from hermes_green.adapters.telegram.rest import API_BASE, Rest, link_error
from hermes_green.adapters.telegram.settings import Settings
from hermes_green.core.checkup import Tried

WITHIN = 4.0


def endpoints(settings: Settings) -> list[str]:
    """The API; there is no socket."""
    return [settings.api_base or API_BASE]


def try_credentials(settings: Settings) -> Tried:
    """``getMe`` and ``getWebhookInfo``; no poll, which would end somebody else's. Raises LinkError."""
    with closing(Rest(settings)) as rest:
        me = rest.ask("getMe", {}, WITHIN)
        if not me.good or not isinstance(me.result, dict):
            raise link_error("the bot's own name", me)
        hook = rest.ask("getWebhookInfo", {}, WITHIN)
    lacking, notes = [], []
    if hook.good and isinstance(hook.result, dict) and hook.result.get("url"):
        lacking.append("a webhook is set for this bot, so it cannot be polled: call deleteWebhook, or stop who set it")
    if me.result.get("can_join_groups") and me.result.get("can_read_all_group_messages") is False:
        notes.append("privacy mode is on: of groups only commands, mentions and replies come (@BotFather, /setprivacy)")
    return Tried("@" + str(me.result.get("username") or me.result.get("id")), tuple(lacking), tuple(notes))
