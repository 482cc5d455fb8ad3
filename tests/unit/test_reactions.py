"""A reaction reaches hooks and nobody else: no agent, no answer, no code for a stranger."""

import gevent
import pytest
from loguru import logger

from hermes_green.core.clock import SystemClock
from hermes_green.core.errors import SendRefused
from hermes_green.core.model import Caps, Inbound, Peer, Quote, Reaction
from hermes_green.core.options import Access
from hermes_green.core.ports import Intake
from hermes_green.runtime import reactions
from hermes_green.runtime.events import Bus
from hermes_green.runtime.hooks import Hook, Hooks
from hermes_green.runtime.reactions import Reactions
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Place, Rooms


@pytest.fixture
def make():
    opened = []

    def open_rooms(**how):
        opened.append(Rooms(MemoryStore(), **how))
        return opened[-1]

    yield open_rooms
    for rooms in opened:
        rooms.close()


def react(rooms, emoji="👍", number=1, route=True):
    peer = Peer("one", "c", "dm", user_id="u")
    inbound = Inbound((f"r{number}",), peer, "m1", "", reaction=Reaction(emoji))
    if route:
        rooms.desk.foresee(inbound, "one:c")
    row = rooms.store.accept("one", [Intake(inbound, "one:c")], rooms.clock.wall())[0]
    if row is not None and route:
        rooms.desk.route(row, inbound, "one:c")
    return row


def ended(rooms):
    eventually(lambda: rooms.store.counts(0).inbox == 0)


def test_a_reaction_asks_nobody_and_is_told_once(make):
    rooms = make()
    assert react(rooms) is not None and react(rooms) is None
    ended(rooms)
    assert [each.reaction for each in rooms.reactions] == [Reaction("👍")]
    assert rooms.agent.turns == [] and rooms.texts == []
    (line,) = rooms.store.audit(0)
    assert (line.kind, line.state, line.reason) == ("reaction", "done", "a reaction")


@pytest.mark.parametrize("access", [Access(dm="pairing"), Access(dm="closed")])
def test_a_stranger_s_reaction_is_ignored_in_silence(make, access):
    rooms = make(access=access)
    react(rooms)
    ended(rooms)
    assert rooms.reactions == [] and rooms.texts == []


def test_a_reaction_is_no_part_of_what_is_said_around_it(make):
    rooms = make(mode="merge", policy={"merge_window": 0.02})
    rooms.say("a", user_id="u")
    react(rooms)
    rooms.say("b", user_id="u")
    ended(rooms)
    assert " ".join(turn.text for turn in rooms.agent.turns).split() == ["a", "b"]
    assert len(rooms.reactions) == 1


def test_a_reaction_that_an_earlier_process_did_not_get_to_is_told_by_the_next(make):
    rooms = make()
    react(rooms, route=False)
    rooms.lanes.offer_all(rooms.store.sessions_waiting())
    ended(rooms)
    assert len(rooms.reactions) == 1 and rooms.agent.turns == []


# --- what hooks are told ---


class Library(ScriptedAdapter):
    def __init__(self) -> None:
        super().__init__(caps=Caps(quotes=True))
        self.asked = 0
        self.trouble = None

    def quoted(self, ref):
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return Quote("what was said", chat_id="oc_1")


def told_of(inbound, adapter, listens=True):
    """What a hook is told; whoever listens to all that happens is told of it, too."""
    told, bus = [], Bus(SystemClock())
    everything = bus.subscribe()
    event = "message:reaction" if listens else "agent:end"
    hooks = Hooks([Hook(event, "x", lambda _, facts: told.append(facts))], logger)
    place = Place("one", adapter)
    teller = Reactions(hooks, bus, logger, lambda child: place, lambda peer: f"one:{peer.chat_id}")
    teller.tell(inbound)
    for _ in range(3):
        gevent.sleep(0.002)
    teller.close()
    happened = everything.get(0)
    assert happened.name == "message:reaction" and happened.data["message_id"] == inbound.message_id
    return told


def test_hooks_are_told_everything_about_a_reaction():
    where = Peer("one", "c", "group", user_id="u", user_name="Ann")
    (facts,) = told_of(Inbound(("r",), where, "m1", "", reaction=Reaction("👍", False)), ScriptedAdapter())
    expected = {"message_id": "m1", "emoji": "👍", "added": False, "quote": None, "chat_id": "c", "chat_type": "group"}
    expected |= {"user_id": "u", "user_name": "Ann", "session_id": "one:c", "turn_id": None, "child": "one"}
    assert expected.items() <= facts.items()


NOWHERE = Inbound(("r",), Peer("one", "", "dm"), "m1", "", quote=Quote(ref={"id": 1}), reaction=Reaction("OK"))


def test_where_the_platform_does_not_say_it_is_asked_while_somebody_listens():
    adapter = Library()
    (facts,) = told_of(NOWHERE, adapter)
    assert (facts["chat_id"], facts["quote"]) == ("oc_1", "what was said")
    assert facts["chat_type"] is None and facts["session_id"] is None
    assert told_of(NOWHERE, adapter, listens=False) == [] and adapter.asked == 1


@pytest.mark.parametrize("trouble", [SendRefused("recalled"), ZeroDivisionError("bug"), gevent.Timeout(1)])
def test_what_cannot_be_told_is_left_out(trouble, monkeypatch):
    monkeypatch.setattr(reactions, "TIMEOUT", 0.1)
    adapter = Library()
    adapter.trouble = trouble
    (facts,) = told_of(NOWHERE, adapter)
    assert (facts["chat_id"], facts["quote"], facts["emoji"]) == (None, None, "OK")
