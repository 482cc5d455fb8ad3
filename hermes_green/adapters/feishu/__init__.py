"""Feishu and Lark: long connection in, REST out."""

from __future__ import annotations

from hermes_green.adapters.feishu.settings import Settings, check
from hermes_green.core.platform import Platform

# An app may hold 50 connections and the platform publishes no limit of dials. These let a flapping
# network reconnect freely, and stop a crash loop from becoming an attack.
BUDGETS = {"dial": ((30, 60.0), (300, 3600.0))}

PLATFORM = Platform(
    package=__name__,
    adapter="FeishuAdapter",
    Settings=Settings,
    check=check,
    identity=lambda settings: str(settings.app_id),
    BUDGETS=BUDGETS,
)
