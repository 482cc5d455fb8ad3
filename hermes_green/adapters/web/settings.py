"""What a user may set in web.yaml: nothing must be, and it is on by default."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_green.core.options import PlatformOptions, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(PlatformOptions):
    """The keys of web.yaml. Address and port are gateway.yaml's ``http``."""

    enabled: bool = key(True, help="false turns the page's chat off; the status board stays")
