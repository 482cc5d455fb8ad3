"""The long connection of the simulated WeCom: subscriptions, beats, commands and their answers, displacement."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Mapping

import gevent

from hermes_green.sim.kit import Link
from hermes_green.sim.wecom_desk import RESPOND, SEND
from hermes_green.sim.wecom_media import Refused

if TYPE_CHECKING:
    from hermes_green.sim.wecom import WeComSim

_EXCUSE = 0.05


class Gate:
    """Speaks the protocol on every link of one simulator; ``current`` is the one that is subscribed."""

    def __init__(self, sim: WeComSim) -> None:
        self._sim = sim
        self.current: Link | None = None
        self._subscribed: deque[float] = deque()

    # -- a link's life

    def opened(self, link: Link) -> None:
        """A socket is up; nothing is said before it subscribes."""
        link.memo.update(subscribed=False, greeted=False, flying={})
        gevent.spawn(self._watch, link)

    def closed(self, link: Link) -> None:
        """A socket is gone; what was pushed to it and not answered may or may not have been read."""
        if self.current is link:
            self.current = None
        self._sim.users.gone(link.id)

    def received(self, link: Link, data: str | bytes) -> None:
        """One frame of the client."""
        try:
            frame = json.loads(data)
            cmd, req_id = frame["cmd"], frame["headers"]["req_id"]
            body = frame.get("body") or {}
            if not (isinstance(cmd, str) and isinstance(req_id, str) and req_id and isinstance(body, dict)):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            self._sim.violation(f"no frame: {data[:200]!r}", link)
            return
        if cmd == "aibot_subscribe":
            self._subscribe(link, req_id, body)
        elif not link.memo["greeted"]:
            self._sim.violation(f"{cmd} before any subscription", link)
            self._answer(link, req_id, 846609, "aibot websocket not subscribed")
        elif cmd == "ping":
            self._ping(link, req_id)
        elif not self._sim.desk.knows(cmd):
            self._sim.violation(f"unknown command {cmd}", link)
            self._answer(link, req_id, 40058, "unknown cmd")
        else:
            self._command(link, cmd, req_id, body)

    def push(self, frame: Mapping[str, Any]) -> Link | None:
        """A callback to the subscribed link; the link that took it, or None."""
        link = self.current
        if link is None or not link.send(json.dumps(frame, ensure_ascii=False)):
            return None
        return link

    def displace(self, link: Link | None, by: str) -> None:
        """Somebody else holds the bot now: tell the old link, which dies without a close frame later."""
        if link is None:
            return
        self.current = None
        link.memo["subscribed"] = False
        link.memo["displaced"] = time.monotonic()
        event = {"msgtype": "event", "aibotid": self._sim.options.bot_id, "event": {"eventtype": "disconnected_event"}}
        frame = {"cmd": "aibot_event_callback", "headers": {"req_id": f"kick-{link.id}"}, "body": event}
        link.send(json.dumps(frame))
        self._sim.log.add("displaced", link=link.id, by=by)
        gevent.spawn_later(self._sim.options.kick_after, link.fin)

    def unsubscribe(self) -> None:
        """The subscription is lost, the socket stays open and says nothing."""
        if self.current is not None:
            self.current.memo["subscribed"] = False
            self.current = None

    # -- commands

    def _subscribe(self, link: Link, req_id: str, body: Mapping[str, Any]) -> None:
        options, now = self._sim.options, time.monotonic()
        link.memo["greeted"] = True
        while self._subscribed and now - self._subscribed[0] >= 60:
            self._subscribed.popleft()
        self._subscribed.append(now)
        code, text = 0, "ok"
        if options.subscribes and len(self._subscribed) > options.subscribes:
            code, text = 45009, "api freq out of limit"
        elif (body.get("bot_id"), body.get("secret")) != (options.bot_id, options.secret):
            code, text = 853000, "invalid bot_id or secret"
        told = self._sim.told("aibot_subscribe")
        if told is not None:
            code, text = told, "told so"
        self._sim.log.add("subscribe", link=link.id, code=code)
        if code == 0:
            if self.current is not None and self.current is not link:
                self.displace(self.current, f"link {link.id}")
            self.current = link
            link.memo["subscribed"] = True
        self._answer(link, req_id, code, text)

    def _ping(self, link: Link, req_id: str) -> None:
        muted = self._sim.faults.on("mute_acks") is not None
        self._sim.log.add("beat", link=link.id, answered=not muted, subscribed=link.memo["subscribed"])
        self._answer(link, req_id, 0, "ok")

    def _command(self, link: Link, cmd: str, req_id: str, body: Mapping[str, Any]) -> None:
        sim = self._sim
        flying, now = link.memo["flying"], time.monotonic()
        if now - flying.get(req_id, -1e9) < sim.options.patience:
            sim.violation(f"{cmd} while the frame before on {req_id} is not answered", link)
        flying[req_id] = now
        sends = cmd in (RESPOND, SEND)
        code, text, answer = 0, "ok", {}
        told = sim.told(cmd)
        if not link.memo["subscribed"]:
            code, text = 846609, "aibot websocket not subscribed"
        elif sends and sim.faults.take("429") is not None:
            code, text = 45009, "api freq out of limit"
            sim.log.add("throttled", chat=str(body.get("chatid") or ""))
        elif told is not None:
            code, text = told, "told so"
        else:
            try:
                answer = sim.desk.do(cmd, req_id, body)
            except Refused as refused:
                code, text = refused.code, refused.text
                if refused.wrong:
                    sim.violation(f"{cmd}: {refused.text}", link, code=refused.code)
        if code:
            sim.log.add("refused_command", cmd=cmd, code=code, text=text, req_id=req_id)
        if sends and sim.faults.take("lose_answer") is not None:
            sim.log.add("lost_answer", cmd=cmd, req_id=req_id)
            return
        slow = sim.faults.on("slow")
        delay = float(slow.args.get("delay", 1)) if slow is not None else sim.options.answer_delay
        gevent.spawn_later(delay, self._land, link, req_id, code, text, answer)

    def _land(self, link: Link, req_id: str, code: int, text: str, answer: dict[str, Any]) -> None:
        link.memo["flying"].pop(req_id, None)
        self._answer(link, req_id, code, text, answer)

    def _answer(self, link: Link, req_id: str, code: int, text: str, body: Mapping[str, Any] | None = None) -> None:
        if self._sim.faults.on("mute_acks") is not None:
            return
        frame: dict[str, Any] = {"headers": {"req_id": req_id}, "errcode": code, "errmsg": text}
        if body:
            frame["body"] = body
        link.send(json.dumps(frame, ensure_ascii=False))

    # -- silence

    def _watch(self, link: Link) -> None:
        """Cut a link on which nothing comes."""
        limit = self._sim.options.silence
        while link.alive:
            gevent.sleep(min(0.25, limit / 10))
            if link.stalled:
                link.heard = max(link.heard, time.monotonic()) if not link.half_open else link.heard
                continue
            if time.monotonic() - link.heard <= limit:
                continue
            gevent.sleep(_EXCUSE)  # a beat may lie unread when this process itself was slow
            if link.alive and time.monotonic() - link.heard > limit + _EXCUSE:
                self._sim.violation(f"nothing came for {time.monotonic() - link.heard:.1f} s", link)
                link.fin()
                return
