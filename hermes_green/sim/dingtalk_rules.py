"""What can be set about the simulated DingTalk, in code and on the command line; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

CLIENT_ID = "dingsimclientid0001"
CLIENT_SECRET = "sim-dingtalk-secret"


@dataclass(frozen=True, slots=True)
class DingTalkRules:
    """``client_id`` is the robot's code too. ``ticket_seconds``: how long a ticket waits for its one
    connection. ``ping_every`` and ``keepalive_every``: the platform's own signs of life (0: none);
    a ping is to be answered within ``ping_within``. ``quiet``: no CONNECTED and REGISTERED after the
    upgrade. ``expire_after``: age at which a connection is announced to end (0: never), ``drain``: how
    long it stays open then.

    Stuck routing: when the ``stuck_opens``-th connection within ``stuck_window`` opens (0: never),
    messages reach nobody for ``stuck_seconds``, however well the connections look.

    ``event_ack`` and ``event_again``: an EVENT not acknowledged for so long is pushed again so much
    later. ``hold_order``: a chat's users send the next message only when the one before was
    acknowledged or lost. ``webhook_seconds``: life of a session webhook; ``webhook_count`` messages in
    ``webhook_window`` are taken, then none for ``webhook_block``; ``webhook_scope``: robot or webhook.
    ``api_rate``: calls a second of one API (0: no limit; the real one is 20).
    """

    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    ticket_seconds: float = 90.0
    ping_every: float = 25.0
    ping_within: float = 10.0
    keepalive_every: float = 30.0
    quiet: bool = False
    expire_after: float = 0.0
    drain: float = 10.0
    stuck_opens: int = 0
    stuck_window: float = 300.0
    stuck_seconds: float = 2400.0
    event_ack: float = 10.0
    event_again: float = 60.0
    hold_order: bool = False
    webhook_seconds: float = 5400.0
    webhook_count: int = 20
    webhook_window: float = 60.0
    webhook_block: float = 600.0
    webhook_scope: str = "webhook"
    api_rate: int = 0
    token_seconds: float = 7200.0
