"""Hermes: what Hermes Agent's API server wants to be told about a conversation that it keeps.

Source: hermes-agent 0.19.0 gateway/platforms/api_server.py and gateway/session.py.
"""

from __future__ import annotations

import hashlib
from typing import Mapping
from urllib.parse import quote

from hermes_green.core.model import Turn

PATIENCE = 60.0  # seconds for it to come back from a restart
_LONGEST = 256  # characters of either header


def headers(turn: Turn) -> Mapping[str, str]:
    """The id names the conversation, the key whose long-term memory it is."""
    id = quote(turn.session_id, safe=":@+=,-_.~ ")
    # It names files there: a separator, ".." and what looks like a drive are refused.
    id = id.replace("..", "%2E%2E")
    if id[1:2] == ":":
        id = id.replace(":", "%3A", 1)
    key = quote(f"{turn.child}:{turn.chat_type}:{turn.chat_id}", safe=":/@+=,-_.~ ")
    return {"X-Hermes-Session-Id": _short(id), "X-Hermes-Session-Key": _short(key)}


def _short(value: str) -> str:
    """The value, or where it is too long its beginning and a digest of the whole."""
    if len(value) <= _LONGEST:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()
    return f"{value[: _LONGEST - len(digest) - 1]}~{digest}"
