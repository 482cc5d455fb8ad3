"""The WebSocket of the simulated QQ: hello, identify or resume, numbered events, heartbeats, close codes.

Every departure of the client from bot-docs ``dev-prepare/interface-framework/event-emit.md`` is
noted as a violation and answered with the close code of ``error-trace/websocket.md``.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event as Signal

from hermes_green.sim.kit import Link
from hermes_green.sim.qq_events import BOT_ID, BOT_NAME, KNOWN_INTENTS
from hermes_green.sim.qq_session import Session

if TYPE_CHECKING:
    from hermes_green.sim.qq import QQSim

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 7, 9, 10, 11
PAYLOADS_A_MINUTE = 120
_EXCUSE = 0.05


class Gateway:
    """Speaks the protocol on every link of one simulator."""

    def __init__(self, sim: QQSim) -> None:
        self._sim = sim
        interval = sim.options.heartbeat_interval
        self._flood = max(PAYLOADS_A_MINUTE, int(240 / interval))

    # -- a link's life

    def opened(self, link: Link) -> None:
        """A socket is up: say hello, and begin to watch."""
        link.memo.update(state="fresh", session=None, more=Signal(), times=deque(maxlen=self._flood), stalled=0.0)
        link.memo["beat"] = time.monotonic()
        if self._sim.options.hello_delay:
            gevent.spawn_later(self._sim.options.hello_delay, self._hello, link)
        else:
            self._hello(link)
        gevent.spawn(self._watch, link)

    def received(self, link: Link, data: str | bytes) -> None:
        """One payload of the client."""
        times = link.memo["times"]
        now = time.monotonic()
        if len(times) == times.maxlen and now - times[0] < 60:
            self._wrong(link, 4008, f"more than {times.maxlen} payloads in a minute")
            return
        times.append(now)
        try:
            payload = json.loads(data)
            op, d = payload["op"], payload.get("d")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._wrong(link, 4002, f"no payload: {data[:200]!r}")
            return
        if op not in (HEARTBEAT, IDENTIFY, RESUME):
            self._wrong(link, 4001, f"op {op!r} is not for clients")
        elif link.memo["state"] == "fresh":
            self._wrong(link, 4003, f"op {op} before hello")
        elif op == HEARTBEAT:
            self._heartbeat(link, d)
        elif link.memo["state"] == "ready":
            self._wrong(link, 4005, f"op {op} on a link that is authenticated")
        elif not isinstance(d, dict):
            self._wrong(link, 4002, f"op {op} without an object in d")
        elif op == IDENTIFY:
            self._identify(link, d)
        else:
            self._resume(link, d)

    def closed(self, link: Link) -> None:
        """A socket is gone; its session may be resumed for a while."""
        session: Session | None = link.memo.get("session")
        if session is not None and session.link is link:
            session.link, session.dropped = None, time.monotonic()
            if session.dead:
                self._sim.give_up(session)
        more = link.memo.get("more")
        if more is not None:
            more.set()

    def publish(self, session: Session) -> None:
        """The session has a new event: wake its connection."""
        if session.link is not None:
            session.link.memo["more"].set()

    def reconnect(self, link: Link, grace: float) -> None:
        """Op 7; a client that stays is closed with 4009 after ``grace`` seconds."""
        link.send(json.dumps({"op": RECONNECT, "d": None}))

        def leave() -> None:
            if link.alive:
                self._sim.log.add("stayed_after_op7", link=link.id)
                link.close(4009, "Session timed out")

        gevent.spawn_later(grace, leave)

    def invalidate(self, link: Link, resumable: bool) -> None:
        """Op 9; without ``resumable`` the session is gone. The link awaits op 2 or 6 again, or is closed in
        time: official clients do either."""
        session: Session | None = link.memo.get("session")
        if session is not None:
            session.link, session.dropped = None, time.monotonic()
            if not resumable:
                self._sim.give_up(session)
        link.memo.update(state="hello", session=None, beat=time.monotonic(), excused=True)
        link.memo["more"].set()
        link.send(json.dumps({"op": INVALID, "d": resumable}))

    # -- what a client may say

    def _identify(self, link: Link, d: dict[str, Any]) -> None:
        token, intents, shard = d.get("token"), d.get("intents"), d.get("shard", [0, 1])
        if not isinstance(token, str) or type(intents) is not int or not _is_shard(shard):
            self._wrong(link, 4002, "identify needs token, intents and shard")
            return
        if not self._sim.token_is_good(token, bare=False):
            self._refuse(link, 4004, "Authentication fail")
        elif not shard[0] < shard[1]:
            self._wrong(link, 4010, f"shard {shard}")
        elif intents <= 0 or intents & ~KNOWN_INTENTS:
            self._wrong(link, 4013, f"intents {intents}")
        elif intents & ~self._sim.options.permitted:
            self._refuse(link, 4014, "disallowed intents")
        else:
            self._begin(link, intents, (shard[0], shard[1]))

    def _begin(self, link: Link, intents: int, shard: tuple[int, int]) -> None:
        why = self._sim.identifies.take(time.monotonic())
        if why:
            self._sim.violation(f"identify refused: {why}", link)
            self.invalidate(link, False)
            return
        for old in self._sim.sessions.valid():
            if old.link is None:
                self._sim.users.abandon(old)
        session = self._sim.sessions.open(intents, shard)
        self._sim.log.add("identify", link=link.id, session=session.id, intents=intents)
        ready = {
            "version": 1,
            "session_id": session.id,
            "user": {"id": BOT_ID, "username": BOT_NAME, "bot": True},
            "shard": list(shard),
        }
        session.append("READY", ready, link=link.id)
        self._attach(link, session, 0, session.last)

    def _resume(self, link: Link, d: dict[str, Any]) -> None:
        token, id, seq = d.get("token"), d.get("session_id"), d.get("seq")
        if not isinstance(token, str) or not isinstance(id, str) or type(seq) is not int:
            self._wrong(link, 4002, "resume needs token, session_id and seq")
            return
        session = self._sim.sessions.find(id)
        if not self._sim.token_is_good(token, bare=True):
            self._refuse(link, 4004, "Authentication fail")
        elif session is None:
            self._sim.log.add("resume_refused", link=link.id, session=id, seq=seq)
            if self._sim.options.bad_session == "op9":
                self.invalidate(link, False)
            else:
                self._refuse(link, 4006, "Invalid session id")
        elif not session.knows(seq):
            self._wrong(link, 4007, f"resume from {seq}, the session is at {session.last}")
        else:
            self._sim.log.add("resume", link=link.id, session=id, seq=seq, behind=session.last - seq)
            self._sim.users.arrived(session.ack(seq), "resume")
            session.append("RESUMED", "", link=link.id)
            self._attach(link, session, seq, session.last)

    def _heartbeat(self, link: Link, d: Any) -> None:
        session: Session | None = link.memo["session"]
        if session is None:
            self._wrong(link, 4003, "heartbeat before identify")
            return
        before = link.memo.get("stated")
        if d is not None and (type(d) is not int or not 0 <= d <= session.last):
            self._wrong(link, 4007, f"heartbeat with d={d!r}, the session is at {session.last}")
            return
        if before is not None and (d is None or d < before):
            self._sim.violation(f"heartbeat with d={d!r} after d={before}", link)
        now = time.monotonic()
        since = round(now - link.memo["beat"], 3)
        link.memo.update(beat=now, stated=d)
        muted = self._sim.faults.take("mute_acks") is not None
        self._sim.log.add("beat", link=link.id, d=d, behind=session.last - (d or 0), after=since, answered=not muted)
        if d is not None:
            self._sim.users.arrived(session.ack(d), "beat")
        if not muted:
            link.send(json.dumps({"op": HEARTBEAT_ACK}))

    # -- what the server does by itself

    def _hello(self, link: Link) -> None:
        link.memo.update(state="hello", beat=time.monotonic())
        interval = int(self._sim.options.heartbeat_interval * 1000)
        link.send(json.dumps({"op": HELLO, "d": {"heartbeat_interval": interval}}))

    def _attach(self, link: Link, session: Session, seq: int, known: int) -> None:
        old: Link | None = session.link
        session.link, session.dropped = link, None
        if old is not None and old is not link:
            old.close(4009, "Session resumed elsewhere")
        link.memo.update(state="ready", session=session, beat=time.monotonic(), stated=None, excused=False)
        gevent.spawn(self._pump, link, session, seq, known)

    def _pump(self, link: Link, session: Session, seq: int, known: int) -> None:
        """Send a session's events to its connection, in order, from ``seq`` on; up to ``known`` it is a replay."""
        more: Signal = link.memo["more"]
        while link.alive and session.link is link:
            more.clear()
            event = session.next(seq, link.id)
            if event is None:
                more.wait()
                continue
            seq = event.s
            entry = self._sim.log.add(
                "push",
                link=link.id,
                session=session.id,
                s=event.s,
                event=event.t,
                event_id=event.id,
                message_id=event.message_id,
                replay=event.s <= known and event.link is None,
                swallowed=False,
            )
            entry["swallowed"] = not link.send(event.wire())

    def _watch(self, link: Link) -> None:
        """Cut a link on which nothing useful comes in time."""
        options = self._sim.options
        step = min(0.25, options.late / 10)
        while link.alive:
            gevent.sleep(step)
            now = time.monotonic()
            if link.stalled:
                link.memo["stalled"] = now
                if not link.half_open:  # a server that reads nothing does not count either
                    link.memo["beat"] = now
            limit = options.late if link.memo["state"] == "ready" else options.identify_deadline
            if now - link.memo["beat"] <= limit:
                continue
            gevent.sleep(_EXCUSE)  # a beat may lie unread when this process itself was slow
            if not link.alive or time.monotonic() - link.memo["beat"] <= limit + _EXCUSE:
                continue
            silent = round(time.monotonic() - link.memo["beat"], 3)
            self._sim.log.add("late", link=link.id, silent=silent)
            if now - link.memo["stalled"] > limit and not link.memo.get("excused"):
                self._sim.violation(f"nothing useful for {silent} s", link)
            link.close(4009, "Session timed out")
            return

    def _wrong(self, link: Link, code: int, text: str) -> None:
        """The client broke the protocol."""
        self._sim.violation(text, link, code=code)
        link.close(code, text[:100])

    def _refuse(self, link: Link, code: int, reason: str) -> None:
        """The client may not; that is no fault of its protocol."""
        self._sim.log.add("link_refused", link=link.id, code=code, reason=reason)
        link.close(code, reason)


def _is_shard(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and n >= 0 for n in value)
