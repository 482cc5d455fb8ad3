"""The people on the simulated QQ: what they write, in which order, and what became of it."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from hermes_green.sim.kit_turns import Turns
from hermes_green.sim.qq_events import CHATS, SCENE_OF, Said, happening, message
from hermes_green.sim.qq_session import Session

if TYPE_CHECKING:
    from hermes_green.sim.qq import QQSim

CHINA = timezone(timedelta(hours=8))


def stamp() -> str:
    """Now, as the platform writes it."""
    return datetime.now(CHINA).isoformat(timespec="seconds")


class Users:
    """Everybody who writes to the bot of one simulator.

    ``pending``: messages of which nothing shows yet that the client has them, by id.
    """

    def __init__(self, sim: QQSim, hold_order: bool) -> None:
        self._sim = sim
        self._turns = Turns(hold_order)
        self.pending: dict[str, Said] = {}
        self.attachments: dict[str, tuple[str, bytes]] = {}
        self.said = 0

    @property
    def held(self) -> int:
        """Messages that wait for the one before them."""
        return self._turns.held

    def say(
        self,
        text: str = "",
        chat: str = "",
        user: str = "",
        chat_type: str = "dm",
        attachments: Sequence[Mapping[str, Any]] = (),
        event: str = "",
        d: Mapping[str, Any] | None = None,
        quote: str = "",
    ) -> dict[str, Any]:
        """A user writes ``text`` to the bot; or ``event`` happens, with the body ``d`` if given.

        ``chat_type``: dm (c2c), group, channel (a mention in a guild) or direct (a guild's private
        chat). ``chat``: the user's openid, the group's, the channel's id, the DM's guild id.
        ``attachments``: the platform's own keys; ``data`` (base64) is served by the simulator. ``quote``:
        what the message says that it answers.

        Returns:
            message_id, event_id, chat, user (as the platform tells it), held.

        Raises:
            ValueError: no such kind of chat.
        """
        scene = SCENE_OF.get(chat_type)
        if scene is None:
            raise ValueError(f"chat_type is one of {', '.join(sorted(SCENE_OF))}")
        chat = chat or (user if scene == "c2c" else "") or CHATS[scene]
        self.said += 1
        if event:
            said = happening(event, scene, chat, user, d, int(time.time()))
        else:
            served = [self._serve(attachment) for attachment in attachments]
            said = message(scene, chat, user or "alice", text, served, self.said, stamp(), quote)
        goes = not said.message_id or self._turns.may_go(chat, said.message_id, said)
        if goes:
            self._push(said)
        ids = {"message_id": said.message_id, "event_id": said.event_id}
        return {**ids, "chat": chat, "user": said.user, "held": not goes}

    def arrived(self, message_ids: Sequence[str], how: str) -> None:
        """The client has these messages, as a ``beat``, a ``resume`` or an ``answer`` shows."""
        for message_id in message_ids:
            said = self.pending.pop(message_id, None)
            if said is not None:
                self._sim.log.add("ack", message_id=message_id, chat=said.chat, how=how)
                self._next_after(said)

    def abandon(self, session: Session) -> None:
        """What this session still holds will not be fetched: its client began anew, or it is over."""
        if session.given_up:
            return
        session.given_up = True
        lost = [message_id for message_id in session.unacked() if message_id in self.pending]
        self._sim.log.add("abandoned", session=session.id, messages=lost)
        for message_id in lost:
            said = self.pending.pop(message_id, None)
            if said is not None:
                self._lose(said)

    def again(self) -> None:
        """Push again, with new numbers, what the client has not stated to have; else its last message."""
        for session in self._sim.sessions.valid():
            messages = [event for event in session.after(0) if event.message_id]
            unacked = [event for event in messages if event.s > session.acked]
            for event in unacked or messages[-1:]:
                session.append(event.t, event.d, event.id, event.message_id)
            self._sim.gateway.publish(session)

    # -- inside

    def _push(self, said: Said) -> None:
        """Give it to every session that wants it; without one it is lost, as on the platform."""
        sim = self._sim
        sim.replies.came(said.scene, said.chat, said.t, said.message_id, said.event_id, time.monotonic())
        wanting = [session for session in sim.sessions.valid() if said.wants(session.intents)]
        sim.log.add(
            "said",
            chat=said.chat,
            chat_type=said.scene,
            event=said.t,
            text=said.d.get("content", ""),
            message_id=said.message_id,
            event_id=said.event_id,
            sessions=len(wanting),
        )
        if all(session.given_up for session in wanting):
            self._lose(said)
            return
        if said.message_id:
            self.pending[said.message_id] = said
        times = 2 if sim.faults.take("duplicate") is not None else 1
        for session in wanting:
            for _ in range(times):
                session.append(said.t, said.d, said.event_id, said.message_id)
            sim.gateway.publish(session)

    def _lose(self, said: Said) -> None:
        self._sim.log.add("lost", chat=said.chat, message_id=said.message_id, event=said.t)
        self._next_after(said)

    def _next_after(self, said: Said) -> None:
        """The chat's next message, if one waits for this one."""
        following = self._turns.over(said.chat, said.message_id)
        if isinstance(following, Said):
            self._push(replace(following, d={**following.d, "timestamp": stamp()}))

    def _serve(self, attachment: Mapping[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in attachment.items() if name != "data"}
        if "data" in attachment:
            data, id = base64.b64decode(attachment["data"]), secrets.token_hex(8)
            self.attachments[id] = (str(shown.get("content_type", "file")), data)
            shown.update(url=f"{self._sim.url}/attachments/{id}", size=len(data))
        return shown
