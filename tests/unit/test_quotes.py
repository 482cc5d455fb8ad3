"""What a message quotes reaches the agent: from the frame, or asked of the platform, never in the way."""

import gevent
import pytest
from gevent.event import Event

from hermes_green.agents import frames
from hermes_green.core.errors import AgentFailed, SendRefused
from hermes_green.core.model import Attachment, Caps, Inbound, Message, Peer, Quote, Turn
from hermes_green.core.ports import Intake
from hermes_green.runtime import quotes
from hermes_green.store import codec
from hermes_green.store.memory import MemoryStore
from tests.support.children import ScriptedAdapter, eventually
from tests.support.rooms import Rooms, ScriptedAgent

PICTURE = Attachment("image", {"key": "k"}, "a.png")
THREAD = Quote(message_id="om_1", ref={"message_id": "om_1"}, opens=True)


class Library(ScriptedAdapter):
    """Tells what a quoted message says, or raises ``fail``."""

    def __init__(self, quotes=True) -> None:
        super().__init__(caps=Caps(quotes=quotes))
        self.asked = []
        self.trouble = None

    def quoted(self, ref):
        self.asked.append(ref)
        if self.trouble is not None:
            raise self.trouble
        return Quote("what was said", "Ann", attachments=(PICTURE,))


@pytest.fixture
def make():
    opened = []

    def open_rooms(agent=None, adapter=None, **how):
        rooms = Rooms(MemoryStore(), agent, adapter or Library(), **how)
        opened.append(rooms)
        return rooms

    yield open_rooms
    for rooms in opened:
        rooms.close()


def say(rooms, text, quote, number=1):
    inbound = Inbound((f"k{number}",), Peer("one", "c", "dm", user_id="u"), f"m{number}", text, quote=quote)
    row = rooms.store.accept("one", [Intake(inbound, "one:c")], rooms.clock.wall())[0]
    rooms.desk.route(row, inbound, "one:c")


def turn_of(rooms, number=1):
    eventually(lambda: len(rooms.agent.turns) >= number and rooms.lanes.active == 0)
    return rooms.agent.turns[number - 1]


def test_a_quotation_stands_before_what_is_said_about_it_and_in_the_history(make):
    rooms = make()
    say(rooms, "and this?", Quote("one\ntwo", "Ann"))
    turn = turn_of(rooms)
    assert (turn.text, turn.quote.text, turn.asked) == ("and this?", "one\ntwo", "> Ann: one\n> two\n\nand this?")
    assert rooms.store.history("one:c", 1)[0] == Message("user", turn.asked)
    assert rooms.adapter.asked == []


def test_what_the_frame_does_not_say_is_asked_of_the_platform(make):
    rooms = make()
    say(rooms, "and this?", Quote(message_id="om_1", ref={"message_id": "om_1"}))
    turn = turn_of(rooms)
    assert turn.quote == Quote("what was said", "Ann", "om_1", (PICTURE,)) and turn.attachments == (PICTURE,)
    assert rooms.adapter.asked == [{"message_id": "om_1"}]


def test_what_opened_a_thread_is_asked_for_once_and_not_in_a_conversation_that_knows_it(make):
    rooms = make()
    say(rooms, "a", THREAD)
    assert turn_of(rooms).quote.text == "what was said"
    say(rooms, "b", THREAD, 2)
    assert turn_of(rooms, 2).quote is None and len(rooms.adapter.asked) == 1


@pytest.mark.parametrize("trouble", [SendRefused("recalled"), ZeroDivisionError("bug"), gevent.Timeout(1), None])
def test_what_cannot_be_told_costs_no_answer(make, trouble):
    rooms = make(adapter=Library(quotes=trouble is not None))
    rooms.adapter.trouble = trouble
    say(rooms, "x", THREAD)
    assert turn_of(rooms).quote is None
    eventually(lambda: rooms.texts == ["re: x"])


def test_a_platform_that_is_slow_to_tell_is_not_waited_for(make, monkeypatch):
    monkeypatch.setattr(quotes, "TIMEOUT", 0.01)
    rooms = make()
    rooms.adapter.quoted = lambda ref: gevent.sleep(30)
    say(rooms, "x", THREAD)
    assert turn_of(rooms).quote is None
    eventually(lambda: rooms.texts == ["re: x"])


def test_messages_that_are_one_turn_come_each_after_what_it_quotes(make):
    gate = Event()
    rooms = make(mode="merge", agent=ScriptedAgent(lambda turn: gate.wait() and None))
    say(rooms, "first", None)
    eventually(lambda: rooms.agent.turns)
    say(rooms, "a", Quote("one"), 2)
    say(rooms, "b", Quote("two"), 3)
    gate.set()
    turn = turn_of(rooms, 2)
    assert (turn.text, turn.quote) == ("> one\n\na\n> two\n\nb", None)


def test_a_question_that_failed_is_asked_again_with_its_quotation(make):
    failures = [AgentFailed("cut")]

    def before(turn):
        if failures:
            raise failures.pop()

    rooms = make(agent=ScriptedAgent(before))
    say(rooms, "why?", Quote("this"))
    turn_of(rooms)
    say(rooms, "/retry", None, 2)
    assert turn_of(rooms, 2).text == "> this\n\nwhy?"


def test_rows_of_before_have_no_quotation_and_others_keep_theirs():
    quote = Quote("q", "a", "m0", (PICTURE,), {"id": 1}, True)
    inbound = Inbound(("k",), Peer("one", "c", "dm"), "m", "x", quote=quote)
    body = codec.inbound_body(inbound)
    assert codec.inbound_from("one", "c", "m", "x", body, None) == inbound
    old = codec.dumps({name: value for name, value in codec.loads(body).items() if name != "quote"})
    assert codec.inbound_from("one", "c", "m", "x", old, None).quote is None


def test_agents_elsewhere_are_told_the_quotation():
    turn = Turn("t", 1, "s", "one", "one", "", "c", "dm", None, "u", None, "x", quote=Quote("q", "a", "m0"))
    plain = frames.turn_out(turn)
    assert plain["quote"] == {"author": "a", "text": "q", "message_id": "m0"} and frames.turn_in(plain) == turn
    assert frames.turn_out(Turn(*["t", 1, "s", "", "", "", "c", "dm", None, None, None, "x"]))["quote"] is None


def test_a_long_quotation_is_cut():
    assert len(Quote("x" * 10_000).before("y")) < 2_100
