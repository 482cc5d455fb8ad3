"""The simulated Slack's sockets: tickets, hello, pings, notices of their end, acknowledgements."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gevent

from hermes_green.sim.kit import Answer, Link, Request
from hermes_green.sim.kit_watch import Watchful
from hermes_green.sim.slack_events import APP_ID
from hermes_green.sim.slack_push import Envelopes

OPEN = "/api/apps.connections.open"


@dataclass(frozen=True, slots=True)
class Options:
    """How the platform behaves; times in seconds.

    ``ping_interval``: between Slack's own pings; ``pong_within``: until an unanswered one is a fault.
    ``ack_deadline``; ``redelivery``: pauses before each further push of an event that was not
    acknowledged. ``hold_order``: a chat's users send the next message only when the one before was
    acknowledged or given up. ``ticket_life``: of a socket's address. ``opens``: addresses a minute.
    ``link_life``: after which a link is given notice, 0 means never. ``posts``: messages that a channel
    takes at once, one a second is added; ``edits`` and ``lookups`` a minute. ``mentions_only``: the app
    is not subscribed to channels' messages. ``silent``: the bot's own posts do not come back.
    """

    app_token: str = f"xapp-1-{APP_ID}-1700000000000-5eed5eed5eed5eed"
    bot_token: str = "xoxb-170000000000-170000000001-simbottoken"
    ping_interval: float = 5.0
    pong_within: float = 30.0
    hello_delay: float = 0.0
    ack_deadline: float = 3.0
    redelivery: str = "0,60,300"
    hold_order: bool = False
    ticket_life: float = 30.0
    opens: int = 60
    max_connections: int = 10
    link_life: float = 0.0
    posts: int = 10
    edits: int = 50
    lookups: int = 50
    mentions_only: bool = False
    silent: bool = False


class SlackGate(Watchful):
    """The half of the platform that keeps links; the other half is `slack.SlackSim`."""

    platform = "slack"
    ws_path = "/link/"

    options_type = Options
    options: Options

    def __init__(self, port: int = 0, **how: Any) -> None:
        super().__init__(port, **how)
        waits = tuple(float(wait) for wait in self.options.redelivery.split(",") if wait)
        self.courier = Envelopes(self, waits, self.options.ack_deadline, self.options.hold_order)
        self.pings = True
        self._tickets: dict[str, float] = {}

    # -- dialling

    def is_dial(self, request: Request) -> bool:
        """A dial begins with the question for an address."""
        return request.path == OPEN

    def refusal(self, request: Request, status: int) -> Answer:
        return Answer(status, {"ok": False, "error": "internal_error"})

    def new_address(self) -> str:
        """A socket's address, good once and for a short time."""
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = time.monotonic() + self.options.ticket_life
        return f"{self.ws_url}?{urlencode({'ticket': ticket, 'app_id': APP_ID})}"

    def admit(self, request: Request) -> Answer | None:
        """Only with a ticket of ours, once."""
        expires = self._tickets.pop(request.query.get("ticket", ""), None)
        if expires is None or expires < time.monotonic() or request.query.get("app_id") != APP_ID:
            self.violation("a socket's address used twice, or too late, or changed")
            return Answer(408, {"ok": False, "error": "invalid_ticket"})
        return None

    # -- links

    def opened(self, link: Link) -> None:
        """Say hello, or that there are too many already."""
        link.memo["asked"] = 0.0
        if len(self.links) > self.options.max_connections:
            self.disconnect(link, "too_many_websockets", 0.0)
        elif self.options.hello_delay:
            gevent.spawn_later(self.options.hello_delay, self._hello, link)
        else:
            self._hello(link)

    def _hello(self, link: Link) -> None:
        link.send(
            json.dumps(
                {
                    "type": "hello",
                    "num_connections": len(self.links),
                    "debug_info": {
                        "host": "applink-sim",
                        "build_number": 1,
                        "approximate_connection_time": int(self.options.link_life or 18060),
                    },
                    "connection_info": {"app_id": APP_ID},
                }
            )
        )
        link.memo["hello"] = True

    def received(self, link: Link, data: str | bytes) -> None:
        """An acknowledgement; clients have nothing else to say."""
        try:
            said = json.loads(data)
            envelope = said["envelope_id"]
        except (ValueError, KeyError, TypeError):
            self.violation(f"not an acknowledgement: {data[:200]!r}", link=link)
            return
        self.courier.acknowledged(link, str(envelope), said.get("payload"))

    def closed(self, link: Link) -> None:
        """What it owed is owed by nobody now; the schedule goes on."""
        self.courier.lost(link)

    def disconnect(self, link: Link, reason: str, notice: float) -> None:
        """Tell a link why it ends, and end it ``notice`` seconds later."""
        self.log.add("notice", link=link.id, reason=reason)
        link.memo["noticed"] = True
        link.send(json.dumps({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-sim"}}))
        gevent.spawn_later(notice, link.close, 1000, reason)

    # -- its own clock

    def stopping(self) -> None:
        """Stop watching and pushing."""
        super().stopping()
        self.courier.stop()

    def look_every(self) -> float:
        """Some times between two pings."""
        return min(0.25, self.options.ping_interval / 5)

    def look(self, link: Link, now: float) -> None:
        """Pings, and a life that is over."""
        self._ping(link, now)
        life = self.options.link_life
        if life and now - link.opened > life and not link.memo.get("noticed"):
            self.disconnect(link, "refresh_requested", 10.0)

    def _ping(self, link: Link, now: float) -> None:
        """Ask for a pong; the link's memo knows when the last one came."""
        memo = link.memo
        waiting = memo["asked"] and memo.get("pong", 0.0) < memo["asked"]
        if waiting and now - memo["asked"] > self.options.pong_within:
            if not memo.get("stalled") and not memo.get("mute"):
                memo["mute"] = True
                self.violation("a ping of Slack's was not answered with a pong", link=link)
        elif not waiting and self.pings and now - max(memo["asked"], link.opened) >= self.options.ping_interval:
            memo["asked"] = now
            link.ping(b"Ping from applink-sim")
