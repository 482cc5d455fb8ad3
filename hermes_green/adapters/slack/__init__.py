"""Slack over Socket Mode: direct messages, group direct messages, channels and their threads."""

from __future__ import annotations

from hermes_green.adapters.slack.settings import Settings, check, identity
from hermes_green.core.platform import Platform

# docs.slack.dev rate-limits: apps.connections.open, asked for every dial, is a method of tier 1 (one a
# minute, "occasional bursts" allowed). A minute's burst is ours; what exceeds Slack's is told by its 429.
BUDGETS = {"dial": ((10, 60.0), (90, 3600.0))}

PLATFORM = Platform(
    package=__name__,
    adapter="SlackAdapter",
    Settings=Settings,
    check=check,
    identity=identity,
    BUDGETS=BUDGETS,
)
