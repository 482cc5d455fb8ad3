"""The simulated cards of Feishu and streams of QQ are as strict as what is known of the real ones."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest
import requests

from hermes_green.sim import feishu_cards, qq_streams
from hermes_green.sim.feishu import APP_ID, APP_SECRET, FeishuSim
from hermes_green.sim.qq import QQSim
from tests.support.port import wait_for
from tests.support.qqbot import Client, Make, call, simulators, violations
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime

CARDS = "/open-apis/cardkit/v1/cards"


class Cards:
    """A client of the card calls; answers are the platform's codes."""

    def __init__(self, **rules: Any) -> None:
        self.sim = FeishuSim(**rules).start()
        body = {"app_id": APP_ID, "app_secret": APP_SECRET}
        path = "/open-apis/auth/v3/tenant_access_token/internal"
        token = requests.post(self.sim.url + path, json=body, timeout=PATIENCE).json()["tenant_access_token"]
        self._head = {"Authorization": f"Bearer {token}"}
        element = {"tag": "markdown", "element_id": "e", "content": "…"}
        whole = {"schema": "2.0", "config": {"streaming_mode": True}, "body": {"elements": [element]}}
        made = self.ask("POST", CARDS, type="card_json", data=json.dumps(whole))
        self.card = made["data"]["card_id"]
        content = json.dumps({"type": "card", "data": {"card_id": self.card}})
        message = {"receive_id": "oc_1", "msg_type": "interactive", "content": content, "uuid": "u"}
        self.message = self.ask("POST", "/open-apis/im/v1/messages?receive_id_type=chat_id", **message)["data"]

    def ask(self, method: str, path: str, **body: Any) -> Any:
        return requests.request(method, self.sim.url + path, json=body, headers=self._head, timeout=PATIENCE).json()

    def write(self, content: str, sequence: Any, element: str = "e", **more: Any) -> int:
        path = f"{CARDS}/{self.card}/elements/{element}/content"
        return int(self.ask("PUT", path, content=content, sequence=sequence, **more)["code"])

    def grow(self, on: bool, sequence: int) -> int:
        settings = json.dumps({"config": {"streaming_mode": on}})
        return int(self.ask("PATCH", f"{CARDS}/{self.card}/settings", settings=settings, sequence=sequence)["code"])

    @property
    def shown(self) -> list[str]:
        return self.sim.shown()["oc_1"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingTime:
    """Where drafts take theirs from."""
    return StandingTime(monkeypatch, feishu_cards, qq_streams)


@pytest.fixture
def cards() -> Iterator[Cards]:
    cards = Cards()
    yield cards
    cards.sim.stop()


def test_numbers_rise_over_all_changes_of_a_card(cards: Cards) -> None:
    assert [cards.write("a", 5), cards.write("b", 5), cards.write("b", 4)] == [0, 300317, 300317]
    assert cards.write("ab", 6) == 0
    assert [cards.grow(True, 6), cards.grow(True, 7), cards.write("c", 7)] == [300317, 0, 300317]
    assert [cards.write("d", number) for number in (0, "9", 2**31)] == [99992402] * 3
    assert cards.shown == ["ab"]


def test_a_repeated_id_changes_nothing_and_serves_no_other_change(cards: Cards) -> None:
    assert [cards.write("a", 1, uuid="x"), cards.write("a", 1, uuid="x")] == [0, 0]
    assert cards.write("b", 2, uuid="x") == 200770
    assert cards.shown == ["a"]


def test_a_card_grows_until_it_is_ended_and_is_a_send_then(cards: Cards) -> None:
    assert cards.write("a", 1) == 0 and cards.sim.record(kind="send") == [] and cards.sim.sent == 0
    assert [cards.grow(False, 2), cards.write("b", 3), cards.grow(True, 4), cards.write("b", 5)] == [0, 300309, 0, 0]
    assert cards.grow(False, 6) == 0
    assert [entry["duplicate"] for entry in cards.sim.record(kind="send")] == [False, True] and cards.shown == ["b"]


def test_growing_ends_by_itself_which_is_said_once(clock: StandingTime, cards: Cards) -> None:
    assert cards.write("a", 1) == 0
    clock.advance(cards.sim.rules.streaming_seconds + 1)
    assert [cards.write("b", 2), cards.write("b", 3)] == [200850, 300309]
    assert [cards.grow(True, 4), cards.write("b", 5)] == [0, 0]


def test_what_is_too_large_or_unknown_is_refused(cards: Cards) -> None:
    assert cards.write("字" * 11_000, 1) == 200860 and cards.shown == ["…"]
    assert cards.write("x" * 100_001, 2) == 99992402
    assert cards.write("x", 3, element="other") == 300313
    assert cards.ask("POST", CARDS, type="card_json", data='{"elements": []}')["code"] == 200610
    assert cards.ask("POST", f"{CARDS}/id_convert", message_id=cards.message["message_id"])["data"] == {
        "card_id": cards.card
    }


def test_a_card_takes_ten_changes_a_second(clock: StandingTime, cards: Cards) -> None:
    codes = [cards.write(f"{number}", number) for number in range(1, 13)]
    assert codes == [0] * 10 + [99991400] * 2
    clock.advance(1.1)
    assert cards.write("more", 13) == 0


# --- streams ---------------------------------------------------------------------------------------


@pytest.fixture
def make() -> Iterator[Make]:
    yield from simulators()


def frame(sim: QQSim, said: Any, content: str, index: int, stream: str = "", state: int = 1, **more: Any) -> Any:
    body = {
        "input_mode": "replace",
        "input_state": state,
        "content_type": "markdown",
        "content_raw": content,
        "index": index,
        "msg_id": said["message_id"],
        "msg_seq": 1,
        **({"stream_msg_id": stream} if stream else {}),
        **more,
    }
    return call(sim, "POST", f"/v2/users/{said['chat']}/stream_messages", body)


def begun(sim: QQSim) -> tuple[Any, str]:
    Client(sim).identify()
    said = sim.say(text="hello")
    return said, frame(sim, said, " ", 0).json()["id"]


def test_a_stream_grows_by_its_end_only_and_takes_no_frame_after_the_last(make: Make) -> None:
    sim = make()
    said, id = begun(sim)
    assert [frame(sim, said, " a", 1, id).status_code, frame(sim, said, " ab", 3, id, 10).status_code] == [200, 200]
    assert frame(sim, said, " abc", 4, id, 10).status_code == 400
    assert sim.shown() == {said["chat"]: ["ab"]} and violations(sim) == []
    assert [entry["text"] for entry in sim.record(kind="send")] == ["ab"]


def test_what_was_shown_cannot_be_changed_and_no_number_is_used_twice(make: Make) -> None:
    sim = make()
    said, id = begun(sim)
    assert frame(sim, said, " ab", 1, id).status_code == 200
    assert frame(sim, said, " xb", 2, id).status_code == 400
    sim.fault("429", after=1, count=1)
    assert frame(sim, said, " abc", 3, id).status_code == 429
    assert frame(sim, said, " abc", 3, id).status_code == 400
    assert len(violations(sim)) == 2 and sim.shown() == {said["chat"]: ["ab"]}


def test_a_stream_without_an_end_falls_back_to_its_first_frame(clock: StandingTime, make: Make) -> None:
    sim = make()
    said, id = begun(sim)
    assert frame(sim, said, " half a text", 1, id).status_code == 200
    clock.advance(sim.options.stream_timeout + 1)
    wait_for(lambda: sim.record(kind="rolled_back"), what="the roll back")
    assert sim.shown() == {said["chat"]: [""]} and frame(sim, said, " half a text and", 2, id).status_code == 400


def test_a_stream_answers_a_message_and_is_one_of_its_replies(make: Make) -> None:
    sim = make(replies=1)
    said, id = begun(sim)
    assert frame(sim, said, " ", 0, msg_seq=2).json()["code"] == 40034128
    assert frame(sim, said, " ", 0, msg_id="").status_code == 500
    assert frame(sim, {**said, "chat": "OTHER"}, " a", 1, id).status_code == 400
