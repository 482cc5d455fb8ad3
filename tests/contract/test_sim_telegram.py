"""The simulated Telegram, spoken to over plain HTTP: as the facts say, and strict."""

from __future__ import annotations

import json
import time
from typing import Any, Iterator

import gevent
import pytest
import requests

from hermes_green.sim import telegram_rest, telegram_updates
from hermes_green.sim.telegram import TelegramSim
from tests.support.port import wait_for
from tests.support.stage import PATIENCE
from tests.support.standing import StandingTime


class Client:
    """A hand that polls and sends; each ``Client`` has a connection of its own."""

    def __init__(self, sim: TelegramSim) -> None:
        self._sim = sim
        self._base = f"{sim.url}/bot{sim.token}/"
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, files: Any = None, **params: Any) -> dict[str, Any]:
        how = {"data": params, "files": files} if files else {"json": params}
        return self._session.post(self._base + method, timeout=PATIENCE, **how).json()

    def ok(self, method: str, files: Any = None, **params: Any) -> Any:
        answer = self.call(method, files, **params)
        assert answer["ok"], answer
        return answer["result"]

    def fails(self, method: str, code: int, said: str, **params: Any) -> dict[str, Any]:
        answer = self.call(method, **params)
        assert (answer["ok"], answer["error_code"]) == (False, code), answer
        assert said in answer["description"], answer
        return answer.get("parameters", {})

    def polling(self, **params: Any) -> Any:
        """A poll in a greenlet that is waiting now."""
        polls = len(self._sim.record(kind="beat"))
        greenlet = gevent.spawn(self.call, "getUpdates", **params)
        wait_for(lambda: len(self._sim.record(kind="beat")) > polls, what="the poll")
        return greenlet

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def sim() -> Iterator[TelegramSim]:
    with TelegramSim(guard_timeout=0, guard_limit=0) as running:
        yield running


@pytest.fixture
def client(sim: TelegramSim) -> Client:
    return Client(sim)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingTime:
    """Where polls take theirs from."""
    return StandingTime(monkeypatch, telegram_updates)


def violations(sim: TelegramSim) -> list[str]:
    return [entry["text"] for entry in sim.record(kind="violation")]


# --- polls -------------------------------------------------------------------------------------------


def test_updates_come_again_until_an_offset_confirms_them(sim: TelegramSim, client: Client) -> None:
    sim.say(text="one")
    sim.say(text="two")
    first = client.ok("getUpdates")
    assert client.ok("getUpdates") == first and [u["message"]["text"] for u in first] == ["one", "two"]
    assert sim.record(kind="ack") == []
    (second,) = client.ok("getUpdates", offset=first[0]["update_id"] + 1)
    assert second["message"]["text"] == "two"
    assert [ack["update_id"] for ack in sim.record(kind="ack")] == [first[0]["update_id"]]


def test_a_waiting_poll_ends_with_the_first_message(sim: TelegramSim, client: Client) -> None:
    poll = client.polling(timeout=50)
    sim.say(text="now")
    assert poll.get(timeout=25)["result"][0]["message"]["text"] == "now"


def test_an_empty_poll_ends_after_its_timeout(sim: TelegramSim, client: Client) -> None:
    began = time.monotonic()
    assert client.ok("getUpdates", timeout=1) == []
    assert 0.9 < time.monotonic() - began < 25


def test_the_same_offset_soon_again_is_held_to_one_update_and_three_seconds(clock: StandingTime) -> None:
    with TelegramSim(guard_timeout=3, guard_limit=0.5) as sim:
        client = Client(sim)
        sim.say(text="a")
        sim.say(text="b")
        assert len(client.ok("getUpdates")) == 2
        assert len(client.ok("getUpdates")) == 1
        assert client.ok("getUpdates", offset=sim.feed._next) == []
        poll = client.polling(offset=sim.feed._next, timeout=1)
        clock.advance(2.5)
        gevent.sleep(0.2)
        assert not poll.ready()
        clock.advance(1)
        assert poll.get(timeout=PATIENCE)["result"] == []


def test_a_second_waiting_poll_aborts_the_first_and_not_the_other_way(
    clock: StandingTime, sim: TelegramSim, client: Client
) -> None:
    first = client.polling(timeout=20)
    second = Client(sim).polling(timeout=20)
    assert first.get(timeout=PATIENCE)["error_code"] == 409
    third = Client(sim).polling(timeout=20)
    clock.advance(2.5)
    gevent.sleep(0.2)
    assert not second.ready() and not third.ready(), "at most one abort at once in three seconds"
    clock.advance(1)
    assert second.get(timeout=PATIENCE)["error_code"] == 409
    sim.say(text="for whoever is left")
    assert third.get(timeout=PATIENCE)["ok"]


def test_a_poll_that_need_not_wait_aborts_nobody(sim: TelegramSim, client: Client) -> None:
    first = client.polling(timeout=20)
    assert Client(sim).ok("getUpdates", timeout=0) == []
    assert not first.ready()
    sim.say(text="still mine")
    assert first.get(timeout=PATIENCE)["ok"]


def test_an_offset_from_nowhere_is_not_believed(sim: TelegramSim, client: Client) -> None:
    sim.say(text="keep me")
    assert client.ok("getUpdates", offset=2_000_000_000)[0]["message"]["text"] == "keep me"
    assert violations(sim) == []


def test_a_webhook_keeps_polls_away_until_it_is_deleted(sim: TelegramSim, client: Client) -> None:
    sim.say(text="kept")
    client.ok("setWebhook", url="https://example.org/x")
    client.fails("getUpdates", 409, "webhook is active")
    client.ok("deleteWebhook", drop_pending_updates=False)
    assert len(client.ok("getUpdates")) == 1 and violations(sim) == []


@pytest.mark.parametrize(
    "method, params",
    [
        ("deleteWebhook", {"drop_pending_updates": True}),
        ("getUpdates", {"offset": -1}),
        ("getUpdates", {"timeout": 0.5}),
        ("getUpdates", {"offset": 500_000_003}),
    ],
)
def test_a_client_that_loses_messages_or_asks_nonsense_is_faulted(
    sim: TelegramSim, client: Client, method: str, params: dict[str, Any]
) -> None:
    sim.say(text="a")
    sim.say(text="b")
    client.ok(method, **params)
    assert len(violations(sim)) >= 1


def test_an_offset_that_goes_back_is_faulted(sim: TelegramSim, client: Client) -> None:
    for text in "abc":
        sim.say(text=text)
    last = client.ok("getUpdates")[-1]["update_id"]
    client.ok("getUpdates", offset=last + 1)
    client.ok("getUpdates", offset=last - 1)
    assert violations(sim) == ["the offset went back"]


def test_kinds_that_nobody_asked_for_are_not_sent(sim: TelegramSim, client: Client) -> None:
    client.ok("getUpdates", allowed_updates=["message"])
    said = sim.say(text="x")
    sim.say(kind="edit", text="y", message_id=said["message_id"])
    assert [list(update)[1] for update in client.ok("getUpdates")] == ["message"]


def test_updates_end_after_their_time() -> None:
    with TelegramSim(keep=0.2) as sim:
        sim.say(text="old")
        gevent.sleep(0.3)
        assert Client(sim).ok("getUpdates") == []
        assert len(sim.record(kind="lost")) == 1


def test_hold_order_lets_a_chat_go_on_when_its_message_is_confirmed() -> None:
    with TelegramSim(hold_order=True, guard_limit=0, guard_timeout=0) as sim:
        client = Client(sim)
        assert not sim.say(text="1", chat="a")["held"]
        assert sim.say(text="2", chat="a")["held"]
        assert not sim.say(text="1", chat="b")["held"]
        updates = client.ok("getUpdates")
        assert [update["message"]["text"] for update in updates] == ["1", "1"]
        (again,) = client.ok("getUpdates", offset=updates[-1]["update_id"] + 1)
        assert again["message"]["text"] == "2" and sim.state()["held"] == 0


# --- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_a_cut_ends_the_connection_that_is_polled_over(sim: TelegramSim, client: Client, how: str) -> None:
    poll = client.polling(timeout=20)
    assert len(sim.links) == 1
    sim.fault(how)
    with pytest.raises(requests.RequestException):
        poll.get(timeout=PATIENCE)
    sim.wait("close", how=how)
    assert sim.links == []
    assert client.ok("getUpdates") == []


@pytest.mark.parametrize("how", ["half_open", "mute_acks", "stop_reading"])
def test_a_deaf_platform_answers_no_poll(sim: TelegramSim, client: Client, how: str) -> None:
    client.ok("getUpdates")
    sim.fault(how)
    poll = client.polling(timeout=1)
    gevent.sleep(1.5)
    assert not poll.ready()
    sim.clear()
    assert poll.get(timeout=PATIENCE)["ok"]


def test_a_half_open_wire_does_not_hinder_a_new_one(sim: TelegramSim, client: Client) -> None:
    client.ok("getUpdates")
    sim.fault("half_open")
    sim.say(text="over the new one")
    assert len(Client(sim).ok("getUpdates")) == 1


def test_polls_are_answered_with_a_status_as_told(sim: TelegramSim, client: Client) -> None:
    for status, body in ((502, b"<html>"), (409, b'{"ok"')):
        polls, url = len(sim.record(kind="beat")), f"{sim.url}/bot{sim.token}/getUpdates"
        poll = gevent.spawn(requests.post, url, json={"timeout": 50}, timeout=PATIENCE)
        wait_for(lambda: len(sim.record(kind="beat")) > polls, what="the poll")
        sim.fault("close", code=status)
        answer = poll.get(timeout=PATIENCE)
        assert (answer.status_code, answer.content[: len(body)]) == (status, body)
        gevent.sleep(0.05)


def test_a_method_answers_as_told(sim: TelegramSim, client: Client) -> None:
    sim.fault("api_error", method="getMe", code=429, description="Too Many Requests: retry after 3", retry_after=3)
    assert client.fails("getMe", 429, "retry after 3") == {"retry_after": 3}
    sim.clear()
    assert client.ok("getMe")["username"] == "sim_green_bot"


def test_the_control_api_serves_other_processes(sim: TelegramSim) -> None:
    def control(verb: str, **args: Any) -> Any:
        return requests.post(f"{sim.url}/_sim/{verb}", json=args, timeout=PATIENCE).json()

    said = control("say", text="hello", chat="somebody")
    assert said["chat"] == "somebody" and said["message_id"] == "1"
    assert control("fault", name="conflict", count=1) == {"faults": []}
    state = requests.get(f"{sim.url}/_sim/state", timeout=PATIENCE).json()
    assert (state["bot"], state["unacked"], state["links"]) == (110000001, 1, [])


# --- methods -----------------------------------------------------------------------------------------


def test_tokens_and_methods_that_are_none(sim: TelegramSim) -> None:
    for token, code in (("1:wrong", 401), ("nonsense", 404), (sim.token, 404)):
        answer = requests.get(f"{sim.url}/bot{token}/getNothing", timeout=PATIENCE)
        assert (answer.status_code, answer.json()["error_code"]) == (code, code)


def test_method_names_have_no_case_and_parameters_come_in_every_shape(sim: TelegramSim, client: Client) -> None:
    chat = sim.say(text="hi", chat="7001")["chat"]
    base = f"{sim.url}/bot{sim.token}/SENDMESSAGE"
    reply = json.dumps({"message_id": 1})
    for how in (
        {"params": {"chat_id": chat, "text": "a b"}},
        {"data": {"chat_id": chat, "text": "a b", "reply_parameters": reply}},
        {"json": {"chat_id": int(chat), "text": "a b"}},
        {"data": {"chat_id": chat, "text": "a b"}, "files": {"x": ("x", b"1")}},
    ):
        assert requests.post(base, timeout=PATIENCE, **how).json()["ok"]
    assert [entry["reply_to"] for entry in sim.record(kind="send")] == ["", "1", "", ""]


@pytest.mark.parametrize(
    "params, text",
    [
        ({"text": ""}, "text is empty"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities"),
        ({"text": "<x>y</x>", "parse_mode": "HTML"}, "Unsupported start tag"),
        ({"text": "a.b", "parse_mode": "MarkdownV2"}, "is reserved"),
        ({"text": "*a", "parse_mode": "MarkdownV2"}, "Can't find end"),
        ({"text": "x", "parse_mode": "RTF"}, "unsupported parse_mode"),
        ({"text": "x", "message_thread_id": 9}, "thread not found"),
        ({"text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
        ({"text": "x", "chat_id": 4711}, "chat not found"),
    ],
)
def test_what_no_server_takes_is_refused(sim: TelegramSim, client: Client, params: dict[str, Any], text: str) -> None:
    sim.say(text="hi", chat="7001")
    client.fails("sendMessage", 400, text, **{"chat_id": 7001, **params})
    assert sim.record(kind="send") == []


def test_the_limit_counts_what_is_left_after_parsing(sim: TelegramSim, client: Client) -> None:
    sim.say(text="hi", chat="7001")
    client.ok("sendMessage", chat_id=7001, text="<b>" + "x" * 4096 + "</b>", parse_mode="HTML")
    assert violations(sim) == []


def test_only_the_bot_s_own_messages_are_edited_and_only_to_something_else(sim: TelegramSim, client: Client) -> None:
    theirs = sim.say(text="hi", chat="7001")["message_id"]
    sent = client.ok("sendMessage", chat_id=7001, text="a")
    client.fails("editMessageText", 400, "can't be edited", chat_id=7001, message_id=int(theirs), text="b")
    client.fails("editMessageText", 400, "not modified", chat_id=7001, message_id=sent["message_id"], text="a")
    client.fails("editMessageText", 400, "to edit not found", chat_id=7001, message_id=99, text="b")
    assert client.ok("editMessageText", chat_id=7001, message_id=sent["message_id"], text="b")["text"] == "b"
    client.ok("deleteMessage", chat_id=7001, message_id=sent["message_id"])
    client.fails("editMessageText", 400, "to edit not found", chat_id=7001, message_id=sent["message_id"], text="c")


def test_limits_are_kept_and_who_does_not_wait_is_faulted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingTime(monkeypatch, telegram_rest)
    with TelegramSim(chat_rate=1, chat_burst=2) as sim:
        client = Client(sim)
        sim.say(text="hi", chat="7001")
        sim.say(text="hi", chat="7002")
        for _ in range(2):
            client.ok("sendMessage", chat_id=7001, text="x")
        assert client.fails("sendMessage", 429, "retry after 1", chat_id=7001, text="x") == {"retry_after": 1}
        assert violations(sim) == []
        client.ok("sendMessage", chat_id=7002, text="others may go on")
        client.fails("sendMessage", 429, "retry after", chat_id=7001, text="x")
        assert "before retry_after was over" in violations(sim)[0]
        clock.advance(1.1)
        client.ok("sendMessage", chat_id=7001, text="x")


def test_groups_move_and_say_where_to(sim: TelegramSim, client: Client) -> None:
    sim.say(text="hi", chat_type="group")
    new = sim.say(kind="migrate", chat_type="group")["id"]
    assert client.fails("sendMessage", 400, "upgraded", chat_id=-5001, text="x") == {"migrate_to_chat_id": new}
    client.ok("sendMessage", chat_id=new, text="x")
    told = [update["message"] for update in client.ok("getUpdates")]
    assert told[1]["migrate_to_chat_id"] == new and told[2]["migrate_from_chat_id"] == -5001


def test_files_go_up_and_down(sim: TelegramSim, client: Client) -> None:
    sim.say(kind="document", chat="7001", data="aGVsbG8=", name="a.txt")
    file_id = client.ok("getUpdates")[0]["message"]["document"]["file_id"]
    path = client.ok("getFile", file_id=file_id)["file_path"]
    assert requests.get(f"{sim.url}/file/bot{sim.token}/{path}", timeout=PATIENCE).content == b"hello"
    client.ok("sendDocument", files={"document": ("b.txt", b"world", "text/plain")}, chat_id=7001, caption="see")
    sent = sim.record(kind="send")[-1]
    assert (sent["name"], sent["mime"], sent["text"], sim.uploads["b.txt"]) == ("b.txt", "text/plain", "see", b"world")


def test_newer_methods_are_taken_and_noted(sim: TelegramSim, client: Client) -> None:
    sim.say(text="hi", chat="7001")
    client.ok("sendMessageDraft", chat_id=7001, draft_id=1, text="so far")
    client.ok("sendChatAction", chat_id=7001, action="typing")
    client.fails("sendChatAction", 400, "action", chat_id=7001, action="yawning")
    assert sim.record(kind="draft")[0]["text"] == "so far"
