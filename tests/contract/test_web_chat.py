"""The page's chat: posted once, answered on the stream, nothing lost between two listens."""

import gevent
import pytest

from hermes_green.adapters.web import mailbox as module
from hermes_green.core.errors import LinkLost, StoreAway, UnknownChat
from hermes_green.core.model import Part, Peer, Reply
from hermes_green.core.ports import Line
from hermes_green.web import streams
from tests.support.gateway import Listener, Site
from tests.support.port import FakePort, wait_for
from tests.support.stage import PATIENCE


@pytest.fixture
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def listen(site):
    opened = []

    def start(path, **headers):
        listener = Listener(site, path, **headers)
        opened.append(listener)
        return listener

    yield start
    for listener in opened:
        listener.close()


def test_a_post_is_answered_once_it_is_committed(site):
    site.run.port.hold()
    posting = gevent.spawn(site.post, "/api/chat", {"text": "hello", "chat": "c1"})
    gevent.sleep(0.1)
    assert not posting.ready()
    site.run.port.release()
    answer = posting.get(timeout=PATIENCE)
    assert answer.status == 202
    inbound = site.run.port.accepted[0]
    assert inbound.message_id == answer.json()["id"]
    assert (inbound.text, inbound.peer.chat_id, inbound.peer.chat_type, inbound.peer.user_id) == (
        "hello",
        "c1",
        "dm",
        "web",
    )


def test_the_default_chat_is_main(site):
    site.post("/api/chat", {"text": "hello"})
    assert site.run.port.accepted[0].peer.chat_id == "main"


def test_a_post_repeated_under_its_key_is_one_message(site):
    first = site.post("/api/chat", {"text": "hello"}, Idempotency_Key="abc")
    again = site.post("/api/chat", {"text": "hello"}, Idempotency_Key="abc")
    assert first.json() == again.json() == {"id": "abc"}
    assert len(site.run.port.accepted) == 1


def test_the_same_key_in_another_chat_is_another_message(site):
    for chat in ("one", "two"):
        site.post("/api/chat", {"text": "hello", "chat": chat}, Idempotency_Key="abc")
    assert len(site.run.port.accepted) == 2


def test_answers_come_on_the_chats_own_stream(site, listen):
    mine, other = listen("/api/events?chat=main"), listen("/api/events?chat=other")
    id = site.post("/api/chat", {"text": "hello"}).json()["id"]
    site.reply("elsewhere", chat="other", key="k0")
    site.reply("world", key="k1", to=id)
    said = mine.next()
    assert said["id"] == "k1"
    assert "event" not in said
    assert said["data"]["text"] == "world"
    assert said["data"]["role"] == "assistant"
    assert said["data"]["reply_to"] == id
    assert other.next()["data"]["text"] == "elsewhere"


def test_the_page_hears_in_one_stream_what_was_sent_answered_and_what_happened(site, listen):
    page = listen("/api/events?all=1&chat=main")
    site.post("/api/chat", {"text": "hello"}, Idempotency_Key="abc")
    sent = page.next()
    assert (sent["event"], sent["data"]["id"], sent["data"]["text"]) == ("sent", "abc", "hello")
    site.gateway.happen("adapter:lost", child="qq")
    happened = page.next()
    assert happened["event"] == "gateway"
    assert (happened["data"]["name"], happened["data"]["data"]) == ("adapter:lost", {"child": "qq"})


def test_a_question_is_older_than_its_answer_however_soon_that_comes(site, listen, monkeypatch):
    page = listen("/api/events?all=1&chat=main")
    accept, site.run.port.commit_delay = site.run.port.accept, 0.01

    def answered_before_the_page_is_told(inbound, ack):
        accept(inbound, lambda taken: (ack(taken), site.reply("at once")))

    monkeypatch.setattr(site.run.port, "accept", answered_before_the_page_is_told)
    site.post("/api/chat", {"text": "hello"})
    lines = sorted((page.next()["data"] for _ in range(2)), key=lambda line: line["at"])
    assert [line["text"] for line in lines] == ["hello", "at once"]


def test_without_a_chat_the_stream_tells_what_happens_in_the_gateway(site, listen):
    ears = listen("/api/events")
    site.gateway.happen("adapter:ready", child="web")
    assert ears.next()["data"]["name"] == "adapter:ready"


def test_a_listener_that_returns_gets_what_it_missed_and_nothing_twice(site, listen):
    site.gateway.lines = [
        ("main", Line(id, role, text, 1700000000.0))
        for id, role, text in (("a", "assistant", "1"), ("u", "user", "2"), ("b", "assistant", "3"))
    ]
    back = listen("/api/events?chat=main", Last_Event_ID="a")
    assert back.next()["data"]["text"] == "3"
    site.reply("3", key="b")
    site.reply("4", key="c")
    assert back.next()["data"]["text"] == "4"
    assert listen("/api/events?chat=main&since=gone").next()["data"]["text"] == "1"


def test_who_asks_first_and_listens_then_hears_the_answer_once(site, listen, monkeypatch):
    site.reply("already there", key="a")
    first = listen("/api/events?chat=main")
    assert first.next()["data"]["text"] == "already there"
    monkeypatch.setattr(streams, "KEEPALIVE", 0.05)
    assert listen("/api/events?chat=main").next() == {}, "it has been heard"
    for number in range(module.UNHEARD_CHATS + 5):
        site.mailbox.publish(module.line_of("x", f"c{number}", "assistant", "to nobody"))
    assert len(site.mailbox._unheard) == module.UNHEARD_CHATS


def test_a_silent_stream_is_kept_alive(site, listen, monkeypatch):
    monkeypatch.setattr(streams, "KEEPALIVE", 0.05)
    assert listen("/api/events?chat=main").next() == {}


def test_streams_end_with_the_server(site, listen):
    stream = listen("/api/events?all=1&chat=main")
    site.server.stop()
    assert stream.next() in (None, {})


def test_a_listener_that_left_is_forgotten(site, listen, monkeypatch):
    monkeypatch.setattr(streams, "KEEPALIVE", 0.02)
    listener = listen("/api/events?all=1&chat=main")
    assert len(site.gateway.ears) == 1
    listener.response.close()
    listener.close()
    with gevent.Timeout(PATIENCE):
        while site.gateway.ears or site.mailbox._feeds:
            gevent.sleep(0.02)


def test_a_listener_that_does_not_keep_up_is_cut_off_and_not_waited_for(site, monkeypatch):
    monkeypatch.setattr(module, "FEED_BOUND", 3)
    feed = site.mailbox.listen("main")
    for n in range(5):
        site.reply(str(n), key=f"k{n}")
    assert feed.lagging
    assert [feed.get(0.1)["text"] for _ in range(3)] == ["0", "1", "2"]
    feed.close()
    assert not site.mailbox._feeds


def test_too_many_listeners_are_refused_and_leave_nothing_behind(site, listen, monkeypatch):
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    listen("/api/events")
    assert site.get("/api/events?chat=main").status == 503
    assert not site.mailbox._feeds


@pytest.mark.parametrize("chat", ["a b", "", "/etc", "x" * 200, "group:1", "channel:1", "дом", "a\nb"])
def test_a_chat_the_page_could_not_have_chosen_is_refused(site, chat):
    answer = site.post("/api/chat", {"text": "hi", "chat": chat})
    assert answer.status == 422
    assert answer.json()["error"]["field"] == "chat"


def test_while_the_child_is_stopped_a_post_says_so_and_how_to_start_it(site, monkeypatch):
    monkeypatch.setattr(module, "START_WAIT", 0.1)
    site.run.close()
    answer = site.post("/api/chat", {"text": "hi"})
    assert (answer.status, answer.code) == (503, "child_down")
    assert "adapters start web" in answer.json()["error"]["text"]
    with pytest.raises(LinkLost):
        site.mailbox.post("hi")


def test_a_post_waits_for_a_child_that_is_just_starting():
    mailbox, run = module.Mailbox(), FakePort()
    posting = gevent.spawn(mailbox.post, "hi")
    gevent.sleep(0.05)
    assert not posting.ready()
    mailbox.attach("web", run)
    posting.get(timeout=10)
    assert [inbound.text for inbound in run.accepted] == ["hi"]


def test_a_post_that_cannot_be_committed_ends_in_time_and_may_be_repeated(site, monkeypatch):
    monkeypatch.setattr(module, "COMMIT_WAIT", 0.1)
    site.run.port.hold()
    answer = site.post("/api/chat", {"text": "hi"}, Idempotency_Key="abc")
    assert answer.status == 503
    assert "same key" in answer.json()["error"]["text"]
    monkeypatch.undo()
    site.run.port.release()
    assert site.post("/api/chat", {"text": "hi"}, Idempotency_Key="abc").status == 202
    assert len(site.run.port.accepted) == 1


def test_a_run_that_ends_lets_nobody_wait(site, monkeypatch):
    monkeypatch.setattr(module, "COMMIT_WAIT", 600.0)
    site.run.port.hold()
    posting = gevent.spawn(site.mailbox.post, "hi")
    wait_for(lambda: site.run.port.offered)
    site.run.close()
    with pytest.raises(StoreAway):
        posting.get(timeout=PATIENCE)


def test_where_the_chat_is_off_the_page_says_how_to_turn_it_on():
    site = Site(chat=False)
    try:
        answer = site.post("/api/chat", {"text": "hi"})
        assert (answer.status, answer.code) == (404, "chat_off")
    finally:
        site.stop()


def test_a_part_sent_twice_carries_one_id(site):
    part = Part("key-1", 1, 0, Peer("web", "main", "dm"), {"text": "hi"})
    feed = site.mailbox.listen("main")
    assert site.adapter.send(part, None).id == site.adapter.send(part, None).id == "key-1"
    assert feed.get(1)["id"] == feed.get(1)["id"] == "key-1"
    feed.close()


def test_a_long_answer_comes_in_several_parts_and_none_is_empty(site):
    peer = Peer("web", "main", "dm")
    parts = site.adapter.render(Reply("word " * 50_000, peer))
    assert len(parts) == 3
    assert all(0 < len(part["text"]) <= 100_000 for part in parts)
    assert len(site.adapter.render(Reply("", peer))) == 1


def test_chats_given_by_hand_are_direct_chats_or_unknown(site):
    assert site.adapter.peer_of("main") == site.adapter.peer_of("dm:main") == site.adapter.peer_of("user:main")
    assert site.adapter.peer_of("main").chat_type == "dm"
    assert site.adapter.peer_of("group:main") is None
    with pytest.raises(UnknownChat):
        site.mailbox.listen("a b")


def test_the_child_is_ready_at_once_and_beats(site):
    assert site.run.port.who == "the page"
    assert site.run.close() is None
