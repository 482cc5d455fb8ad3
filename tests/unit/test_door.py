"""Who may have a turn, as the chats see it: codes, limits, admins; and what a conversation can take back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import gevent
import pytest
from loguru import logger

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import AgentFailed, StoreAway
from hermes_green.core.model import Inbound, Peer, Secret
from hermes_green.core.options import Access
from hermes_green.ops.log import add_secrets
from hermes_green.runtime import loops
from hermes_green.runtime.events import Bus
from hermes_green.runtime.limits import Limit, Rules
from hermes_green.runtime.saved import Later
from hermes_green.store.memory import MemoryStore
from tests.support.children import eventually
from tests.support.rooms import Rooms, ScriptedAgent

PAIRING = Access(dm="pairing", users=["friend"], admins=["boss"])


@pytest.fixture
def open_rooms():
    opened = []

    def make(agent: Any = None, **kwargs: Any) -> Rooms:
        rooms = Rooms(kwargs.pop("store", None) or MemoryStore(), agent or ScriptedAgent(), **kwargs)
        opened.append(rooms)
        return rooms

    yield make
    for rooms in opened:
        rooms.close()


def code_in(text: str) -> str:
    found = re.search(r"[A-Z2-9]{4}-[A-Z2-9]{4}", text)
    assert found, text
    return found[0]


def settled(rooms: Rooms) -> None:
    eventually(lambda: rooms.store.counts(0).inbox == 0)


# --- other bots ---


def test_two_bots_that_answer_each_other_stop_by_themselves_until_a_person_writes(open_rooms, monkeypatch):
    monkeypatch.setattr(loops, "MOST", 3)
    rooms = open_rooms(access=Access(group="open", bots=True), queue=32)
    for number in range(6):
        rooms.say(f"bot {number}", kind="group", user_id="b", bot=True)
    rooms.say("elsewhere", chat="d", kind="group", user_id="b", bot=True)
    settled(rooms)
    asked = [turn.text for turn in rooms.agent.turns]
    assert sorted(asked) == ["bot 0", "bot 1", "bot 2", "elsewhere"]
    rooms.say("go on", kind="group", user_id="u")
    rooms.say("bot again", kind="group", user_id="b", bot=True)
    settled(rooms)
    assert [turn.text for turn in rooms.agent.turns][4:] == ["go on", "bot again"]


def test_whether_bots_are_answered_can_change_while_we_run(open_rooms):
    rooms = open_rooms(access=Access(group="open"))
    rooms.say("one", kind="group", user_id="b", bot=True)
    settled(rooms)
    rooms.policy = replace(rooms.policy, access={"one": Access(group="open", bots=True)})
    rooms.say("two", kind="group", user_id="b", bot=True)
    settled(rooms)
    assert [turn.text for turn in rooms.agent.turns] == ["two"]


# --- pairing ---


def test_a_stranger_is_told_a_code_once_and_an_admin_lets_him_in_by_it(open_rooms):
    rooms = open_rooms(access=PAIRING)
    rooms.say("hello", user_id="s", user_name="Sam")
    rooms.say("hello?", user_id="s")
    eventually(lambda: len(rooms.texts) == 1)
    settled(rooms)
    assert len(rooms.texts) == 1 and rooms.agent.turns == []
    rooms.say(f"/approve {code_in(rooms.texts[0]).lower()}", chat="b", user_id="boss")
    eventually(lambda: rooms.texts[1:] == ["Sam may write to me now."])
    rooms.say("hello again", user_id="s")
    eventually(lambda: rooms.texts[2:] == ["re: hello again"])


def test_the_code_is_told_in_the_gateways_language(open_rooms):
    rooms = open_rooms(access=PAIRING, policy={"locale": "zh"})
    rooms.say("你好", user_id="s")
    eventually(lambda: rooms.texts and "配对码" in rooms.texts[0])


def test_nobody_but_an_admin_approves_and_wrong_codes_lock(open_rooms):
    rooms = open_rooms(access=PAIRING)
    rooms.say("hello", user_id="s")
    eventually(lambda: rooms.texts)
    code = code_in(rooms.texts[0])
    rooms.say(f"/approve {code}", chat="f", user_id="friend")
    eventually(lambda: rooms.texts[1:] == ["Only an admin of this bot may do that."])
    for number in range(5):
        rooms.say(f"/approve WRONG{number}", chat="b", user_id="boss")
    rooms.say(f"/approve {code}", chat="b", user_id="boss")
    eventually(lambda: len(rooms.texts) == 8)
    assert "locked" in rooms.texts[-1] and not rooms.door.pairing.paired()


def test_somebody_let_in_may_not_write_where_pairing_is_not_the_rule(open_rooms):
    rooms = open_rooms(access=PAIRING)
    rooms.door.pairing.approve(rooms.door.pairing.ask("one", "s").code)
    assert rooms.say("in a group", chat="g", kind="group", user_id="s")
    settled(rooms)
    assert rooms.agent.turns == []


def test_an_approval_that_could_not_be_written_down_can_be_tried_again(open_rooms):
    rooms = open_rooms(access=PAIRING)
    pairing = rooms.door.pairing
    code = pairing.ask("one", "s").code

    def away(state: Any) -> None:
        raise StoreAway("full")

    pairing._save = away
    with pytest.raises(StoreAway):
        pairing.approve(code)
    assert not pairing.knows("one", "s")
    pairing._save = rooms.saved.append
    assert pairing.approve(code).user == "s"


# --- limits ---


def test_over_a_limit_one_polite_line_then_silence_and_stop_still_works(open_rooms):
    rules = Rules(user=Limit(messages_per_minute=2))
    rooms = open_rooms(ScriptedAgent(lambda turn: gevent.sleep(30)), policy={"limits": rules})
    for number in range(5):
        rooms.say(f"m{number}", user_id="u")
    eventually(lambda: len(rooms.texts) == 1)
    assert "too much" in rooms.texts[0]
    rooms.say("/stop", user_id="u")
    eventually(lambda: "Stopped." in rooms.texts)
    rooms.say("other", chat="d", user_id="v")
    eventually(lambda: rooms.agent.turns[-1].text == "other")
    assert len(rooms.texts) == 2 and not rooms.store.dead()


def test_tokens_that_an_answer_cost_count_for_its_user(open_rooms):
    rooms = open_rooms(policy={"limits": Rules(user=Limit(tokens_per_day=3))})
    for text in "ab":
        rooms.say(text, user_id="u")
        eventually(lambda: rooms.texts[-1:] == [f"re: {text}"])
    rooms.say("c", user_id="u")
    eventually(lambda: "tomorrow" in rooms.texts[-1])
    assert len(rooms.agent.turns) == 2


@pytest.mark.parametrize("against", ["", "access", "limits", "loops"])
def test_a_turn_is_foreseen_only_where_nothing_speaks_against_it(open_rooms, monkeypatch, against):
    door = open_rooms(access=Access(dm="closed" if against == "access" else "open")).door
    if against in ("limits", "loops"):
        monkeypatch.setattr(getattr(door, against), "passes", lambda about: False)
    assert door.passes(Inbound(("k",), Peer("one", "c", "dm", user_id="u"), "m", "hi")) is (not against)


def test_counts_are_saved_once_for_many_changes_and_at_the_end():
    store, saves = MemoryStore(), []

    class Clock:
        def wall(self) -> float:
            return 0.0

    def state() -> int:
        saves.append(1)
        return len(saves)

    later = Later(store, Clock(), logger, "limits", state, every=0.02)
    for _ in range(100):
        later.touch()
    eventually(lambda: store.memo("@access", "limits") == 1)
    later.touch()
    later.close()
    assert store.memo("@access", "limits") == 2 and len(saves) == 2
    later.close()
    assert len(saves) == 2, "nothing has changed since"


def test_counts_that_the_store_does_not_take_are_saved_once_it_does(monkeypatch):
    store = MemoryStore()
    accept, away = store.accept, [StoreAway("full"), StoreAway("full")]

    def full(*args: Any) -> Any:
        if away:
            raise away.pop()
        return accept(*args)

    monkeypatch.setattr(store, "accept", full)
    later = Later(store, ManualClock(), logger, "limits", lambda: 7, every=0.002)
    later.touch()
    eventually(lambda: store.memo("@access", "limits") == 7)
    later.close()


# --- commands ---


def test_admins_see_and_restart_children_and_others_do_not(open_rooms):
    rooms = open_rooms(access=Access(dm="open", admins=["boss"]))
    said = []
    for text, user in (
        ("/adapters", "boss"),
        ("/adapters restart two", "boss"),
        ("/adapters restart six", "boss"),
        ("/adapters", "u"),
        ("/adapters restart one", "u"),
        ("/通道 重启 one", "boss"),
    ):
        rooms.say(text, key=f"k{len(said)}", user_id=user)
        eventually(lambda: len(rooms.texts) > len(said))
        said.append(rooms.texts[-1])
    assert said[0] == "one: READY\ntwo: HALTED (the secret is wrong)"
    assert said[2] == "There is no six; there are: one, two."
    assert said[3] == said[4] == "Only an admin of this bot may do that."
    assert rooms.supervisor.commands == [("two", "restart"), ("one", "restart")]


def test_hooks_are_told_of_the_commands_that_are_obeyed_and_of_no_others(open_rooms):
    rooms = open_rooms(access=Access(dm="allowlist", users=["friend"], admins=["boss"]))
    for number, (text, user) in enumerate(
        (("/help me", "boss"), ("/adapters", "friend"), ("/new", "stranger"), ("/dance", "boss"), ("／新对话", "boss"))
    ):
        rooms.say(text, key=f"k{number}", user_id=user)
    settled(rooms)
    assert rooms.commands == [("help", "me", "one:c"), ("new", "", "one:c")]


def test_help_whoami_and_status_answer_in_chinese_too(open_rooms):
    rooms = open_rooms(policy={"locale": "zh"})
    for text in ("/帮助", "/我是谁", "/状态"):
        rooms.say(text, user_id="u7")
    eventually(lambda: len(rooms.texts) == 3)
    assert "/重试" in rooms.texts[0] and "u7" in rooms.texts[1] and "正在回答：否" in rooms.texts[2]
    assert rooms.agent.turns == []


def lines(rooms: Rooms) -> list[str]:
    return [line.text for line in rooms.store.history("one:c", 9)]


def talk(rooms: Rooms, *texts: str) -> None:
    for text in texts:
        before = len(rooms.texts)
        rooms.say(text, key=f"{text} {before}")
        eventually(lambda: len(rooms.texts) == before + 1)


def test_retry_asks_the_last_question_again_in_place_of_its_answer(open_rooms):
    rooms = open_rooms()
    talk(rooms, "a", "b", "/retry")
    assert [turn.text for turn in rooms.agent.turns] == ["a", "b", "b"]
    assert [line.text for line in rooms.agent.turns[-1].history] == ["a", "re: a"]
    assert lines(rooms) == ["a", "re: a", "b", "re: b"]


def test_retry_asks_again_what_failed_or_was_stopped(open_rooms):
    troubles = [AgentFailed("down")]

    def before(turn: Any) -> None:
        if turn.text == "b" and troubles:
            raise troubles.pop()

    rooms = open_rooms(ScriptedAgent(before))
    talk(rooms, "a", "b", "/retry")
    assert lines(rooms) == ["a", "re: a", "b", "re: b"]


@pytest.mark.parametrize("command", ["/new", "/undo"])
def test_what_failed_is_forgotten_with_the_conversation_and_by_undoing(open_rooms, command):
    def before(turn: Any) -> None:
        raise AgentFailed("down")

    rooms = open_rooms(ScriptedAgent(before))
    talk(rooms, "a", command, "/retry")
    assert [turn.text for turn in rooms.agent.turns] == ["a"]
    assert rooms.texts[-1] == "There is nothing here to go back to."


def test_an_agent_that_echoes_a_secret_has_it_told_to_nobody(open_rooms, monkeypatch):
    add_secrets([Secret("h0rse-battery")])
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(Bus, "publish", lambda self, name, **data: told.append({"name": name, **data}))

    def before(turn: Any) -> None:
        raise AgentFailed("Incorrect API key provided: h0rse-battery")

    rooms = open_rooms(ScriptedAgent(before))
    talk(rooms, "a")
    errors = [each["error"] for each in told if each["name"] == "agent:error"]
    assert errors == ["Incorrect API key provided: ***"]


def test_what_an_agents_failure_asks_for_is_in_the_log(open_rooms):
    def before(turn: Any) -> None:
        raise AgentFailed("the endpoint refused the key (HTTP 401)", action="Check agent.api_key.")

    said: list[str] = []
    handler = logger.add(lambda line: said.append(line.record["message"]), level="WARNING")
    try:
        talk(open_rooms(ScriptedAgent(before)), "a")
    finally:
        logger.remove(handler)
    assert said and said[0].endswith(": AgentFailed: the endpoint refused the key (HTTP 401); Check agent.api_key.")


def test_a_retry_that_fails_leaves_the_conversation_as_it_was(open_rooms):
    troubles: list[Exception] = []

    def before(turn: Any) -> None:
        if troubles:
            raise troubles.pop()

    rooms = open_rooms(ScriptedAgent(before))
    talk(rooms, "a")
    troubles.append(AgentFailed("down"))
    talk(rooms, "/retry")
    assert lines(rooms) == ["a", "re: a"]
    talk(rooms, "/retry")
    assert lines(rooms) == ["a", "re: a"] and [turn.text for turn in rooms.agent.turns] == ["a", "a", "a"]


def test_undo_forgets_the_last_exchange_and_says_when_there_is_none(open_rooms):
    rooms = open_rooms()
    talk(rooms, "a", "b", "/undo")
    assert lines(rooms) == ["a", "re: a"]
    talk(rooms, "/undo", "/undo", "/retry")
    assert lines(rooms) == [] and rooms.texts[-1] == rooms.texts[-2] == "There is nothing here to go back to."
    assert len(rooms.agent.turns) == 2


def test_a_new_conversation_has_another_name_for_its_agent_and_keeps_the_old_one(open_rooms):
    rooms = open_rooms()
    talk(rooms, "a", "/new", "b", "/new", "c")
    assert [turn.session_id for turn in rooms.agent.turns] == ["one:c", "one:c~1", "one:c~2"]
    assert [line.text for line in rooms.store.archived("one:c", 9)] == ["a", "re: a", "b", "re: b"]


def test_an_agent_is_given_no_more_history_than_there_is_room_for(open_rooms):
    rooms = open_rooms(history_tokens=20)
    talk(rooms, "x" * 200, "short", "now")
    assert [line.text for line in rooms.agent.turns[-1].history] == ["short", "re: short"]
