"""The QQ adapter against the simulated platform: the common contract, and what only QQ has."""

from __future__ import annotations

import json
import random
import time
from typing import Any, Iterator, Mapping

import pytest

from hermes_green.adapters.qq import PLATFORM as qq, conversation
from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import (
    AuthRejected,
    ConfError,
    LinkLost,
    SendCollision,
    SendRefused,
    SendRetry,
    SendUnknown,
    Throttled,
)
from hermes_green.core.model import Inbound, Part, Peer, Receipt, Reply, Secret
from hermes_green.sim.qq import QQSim
from tests.contract.adapters import INTERVAL, TIMEOUT, AdapterContract, Bench, Driver
from tests.support.mutants import mutant
from tests.support.port import FakeContext, FakePort, Run, wait_for

BEAT = 0.4
SECRET = "sim-client-secret"

# close code -> the error, and whether the next run may resume
CODES = [
    (4001, AuthRejected, False),
    (4002, AuthRejected, False),
    (4003, LinkLost, False),
    (4004, LinkLost, True),
    (4005, LinkLost, False),
    (4006, LinkLost, False),
    (4007, LinkLost, False),
    (4008, Throttled, True),
    (4009, LinkLost, True),
    (4010, ConfError, False),
    (4013, ConfError, False),
    (4900, LinkLost, False),
    (4913, LinkLost, False),
    (4914, AuthRejected, False),
    (4915, AuthRejected, False),
    (1011, LinkLost, True),
    (4321, LinkLost, True),
]


class QQDriver(Driver):
    name = "qq"
    package = qq
    kinds = {"dm": "dm", "group": "group", "channel": "channel", "direct": "dm"}
    closes = {1000: None, 1001: None, **{code: error for code, error, _ in CODES}}
    keys = ("app_id", "client_secret", "qq.yaml")
    long_text = "\n\n".join(f"Paragraph {n}: " + "words and 中文 and more words. " * 20 for n in range(20))

    def simulator(self, **how: Any) -> QQSim:
        # Not the simulator, we shall be the first to notice; and identify and beat as often as a test likes.
        return QQSim(**{"heartbeat_interval": 0.5, "late": 600, "max_concurrency": 1000, **how})

    def quoting(self, inbound: Inbound) -> Mapping[str, Any]:
        return {"quote": inbound.text}

    def send_file(self, sim: Any, data: str) -> None:
        sim.say(text="", attachments=[{"content_type": "file", "filename": "report.pdf", "data": data}])

    def send_strange(self, sim: Any) -> None:
        sim.say(text="", chat="hologram")  # nothing of what is in it is told

    def settings(self, sim: Any, **more: Any) -> qq.Settings:
        given = {
            "app_id": sim.options.app_id,
            "client_secret": Secret(sim.options.secret),
            "api_base": sim.url,
            "ping_interval": INTERVAL,
            "ping_timeout": TIMEOUT,
            **more,
        }
        return qq.Settings(**given)

    def wrong(self, sim: Any) -> qq.Settings:
        return self.settings(sim, client_secret=Secret("not the secret"))

    def expire_tokens(self, sim: Any) -> None:
        sim.tokens.revoke()


class TestQQ(AdapterContract):
    driver = QQDriver()

    def test_reactions_in_guilds_are_told_of_where_they_are_asked_for(self, bench: Bench) -> None:
        asked = ["GROUP_AND_C2C", "PUBLIC_GUILD_MESSAGES", "GUILD_MESSAGE_REACTIONS"]
        adapter = qq.create(self.driver.settings(bench.sim, intents=asked), bench.ctx)
        run = Run(adapter, bench.ctx).until_ready()
        try:
            emoji, target = {"id": "4", "type": 1}, {"id": "08a", "type": 0}
            d = {"user_id": "99", "channel_id": "88", "emoji": emoji, "target": target}
            bench.sim.say(event="MESSAGE_REACTION_ADD", chat_type="channel", d=d)
            wait_for(lambda: run.port.accepted, what="the reaction")
            told = run.port.accepted[0]
            assert told.reaction is not None and (told.message_id, told.peer.chat_id) == ("08a", "88")
        finally:
            run.close()
            adapter.close()

    def test_five_hundred_mutated_frames_end_no_run_and_good_ones_between_are_answered(self, bench: Bench) -> None:
        run, draw = bench.ready(), random.Random(20261120)
        good = [f"good {number}" for number in range(0, 500, 25)]
        for number in range(500):
            bench.sim.links[0].send(mutated(number, draw))
            if number % 25 == 0:
                bench.sim.say(text=f"good {number}", chat="G-GOOD", chat_type="group")
        wait_for(lambda: bench.sim.state()["unacked"] == 0, what="every good frame to be acknowledged")
        heard = [inbound for inbound in run.port.accepted if inbound.peer.chat_id == "G-GOOD"]
        assert [inbound.text for inbound in heard] == good and not run.ended and len(run.port.quarantined) > 100
        for inbound in heard:
            (part,) = bench.parts(inbound, inbound.text)
            bench.adapter.send(part, run.port.link)
        assert [entry["text"] for entry in bench.sends()] == good and len(bench.sim.record(kind="open")) == 1


class Rig:
    """A simulator, the adapters that talk to it and what a store would keep between them."""

    def __init__(self) -> None:
        self.ctx = FakeContext("qq")
        self._sims: list[QQSim] = []
        self._adapters: list[Any] = []
        self._runs: list[Run] = []

    def sim(self, **options: Any) -> QQSim:
        """A simulator that lets us identify as often as a test likes, and leaves it to us to notice what is late. A
        test of heartbeats has an interval of its own: it is also the time in which they must be answered."""
        sim = QQSim(**{"heartbeat_interval": 60, "late": 600, "max_concurrency": 1000, **options}).start()
        self._sims.append(sim)
        return sim

    def adapter(self, sim: QQSim, clock: Any = None, **keys: Any) -> Any:
        """A new adapter object, as a new process would make it."""
        given = {"app_id": sim.options.app_id, "client_secret": Secret(SECRET), "api_base": sim.url, **keys}
        settings = qq.Settings(**given)
        if clock is None:
            made = qq.create(settings, self.ctx)
        else:
            from hermes_green.adapters.qq.adapter import QQAdapter

            made = QQAdapter(settings, self.ctx, clock)
        self._adapters.append(made)
        return made

    def run(self, adapter: Any, **port: Any) -> Run:
        """One run, begun."""
        run = Run(adapter, self.ctx, FakePort(self.ctx, len(self._runs) + 1, **port))
        self._runs.append(run)
        return run

    def up(self, adapter: Any, **port: Any) -> Run:
        """One run, ready."""
        return self.run(adapter, **port).until_ready()

    def stop(self) -> None:
        for run in self._runs:
            run.close()
        for adapter in self._adapters:
            adapter.close()
        for sim in self._sims:
            sim.stop()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.stop()


def taken(run: Run, count: int) -> list[Inbound]:
    """The first ``count`` messages committed in a run, and no more."""
    wait_for(lambda: len(run.port.accepted) >= count, what=f"{count} messages")
    assert len(run.port.accepted) == count
    return run.port.accepted


def part_of(inbound: Inbound, text: str = "re", seq: int = 1, attempt: int = 1) -> Part:
    return Part("0" * 32, seq, 0, inbound.peer, {"content": text}, inbound.reply_ref, attempt=attempt)


def committed(rig: Rig, seq: int) -> None:
    wait_for(lambda: (rig.ctx.memos.get("session") or {}).get("seq") == seq, what=f"seq {seq} in the memo")


def faults_found(sim: QQSim) -> list[Any]:
    return sim.record(kind="violation")


# --- a link's life -------------------------------------------------------------------------------


def test_a_link_is_ready_once_the_platform_said_so_and_the_session_is_kept(rig):
    sim = rig.sim()
    run = rig.up(rig.adapter(sim))
    assert run.port.who == "sim-bot" and run.port.spent == ["identify"]
    assert run.port.proof_within == 2 * 60
    committed(rig, 1)
    assert rig.ctx.memos["session"]["app_id"] == sim.options.app_id
    assert run.close() is None
    assert not faults_found(sim)


def test_heartbeats_go_out_at_the_servers_pace_and_prove_the_link(rig):
    sim = rig.sim(heartbeat_interval=BEAT)
    began = time.monotonic()
    run = rig.up(rig.adapter(sim))
    wait_for(lambda: run.port.heartbeats["answered"] >= 3)  # at any pace of our own they would take a minute and more
    sent, took = run.port.heartbeats["sent"], time.monotonic() - began
    assert run.port.beats >= 4 and not run.port.heartbeats["missed"]
    assert sim.record(kind="beat")[-1]["d"] == 1 and sent <= took / BEAT, f"{sent} beats in {took:.2f} s"
    assert not faults_found(sim)


def test_our_own_interval_wins_over_the_servers(rig):
    sim = rig.sim(heartbeat_interval=60)
    run = rig.up(rig.adapter(sim, ping_interval=0.2))
    wait_for(lambda: run.port.heartbeats["answered"] >= 3)


def test_each_kind_of_message_arrives_and_is_answered_where_it_came_from(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    run = rig.up(adapter)
    scenes = {"dm": "c2c", "group": "group", "channel": "guild", "direct": "direct"}
    for n, kind in enumerate(scenes, 1):
        said = sim.say(text=f"hello {kind}", chat_type=kind)
        inbound = taken(run, n)[-1]
        assert inbound.keys == (said["message_id"],) and inbound.text == f"hello {kind}"
        assert inbound.peer.chat_id == said["chat"]
        assert inbound.peer.user_id == (said["chat"] if kind == "dm" else said["user"])
        assert inbound.mentioned and abs(inbound.sent_at - time.time()) < 60
        receipt = adapter.send(part_of(inbound, f"re {kind}"), run.port.link)
        sent = sim.wait("send", text=f"re {kind}")
        assert sent["chat"] == said["chat"] and sent["chat_type"] == scenes[kind]
        assert sent["reply_to"] == said["message_id"] and receipt.id == sent["message_id"]
    assert not faults_found(sim)


def test_pictures_alone_become_a_word(rig):
    sim = rig.sim()
    run = rig.up(rig.adapter(sim))
    sim.say(text="", attachments=[{"content_type": "image/png", "filename": "a.png", "url": "https://h/a.png"}])
    inbound = taken(run, 1)[0]
    assert inbound.text == "[image]" and inbound.attachments[0].ref == {"url": "https://h/a.png"}


def test_events_that_are_no_messages_move_the_place_and_nothing_else(rig):
    sim = rig.sim()
    run = rig.up(rig.adapter(sim))
    committed(rig, 1)
    for _ in range(200):
        sim.say(event="FRIEND_ADD")
    committed(rig, 201)
    assert not run.port.accepted and len(run.port.memo_writes) < 100
    assert not faults_found(sim)


def test_a_message_pushed_twice_is_handed_in_under_one_key(rig):
    sim = rig.sim()
    sim.fault("duplicate", count=1)
    run = rig.up(rig.adapter(sim))
    sim.say(text="once")
    wait_for(lambda: run.port.duplicates)
    assert len(taken(run, 1)) == 1
    committed(rig, 3)


def test_a_frame_nobody_understands_is_quarantined_and_the_sequence_goes_on(rig):
    sim = rig.sim()
    run = rig.up(rig.adapter(sim))
    sim.say(event="C2C_MESSAGE_CREATE", d={"nonsense": True})
    sim.links[0].send("not even JSON")
    sim.say(text="after it")
    assert taken(run, 1)[0].text == "after it"
    assert len(run.port.quarantined) == 2
    committed(rig, 3)


# --- losing and resuming -------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["rst", "fin"])
@pytest.mark.parametrize("restart", [False, True])
def test_after_a_cut_the_next_run_resumes_and_gets_what_it_missed(rig, cut, restart):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    first = rig.up(adapter)
    sim.say(text="one")
    taken(first, 1)
    sim.fault(cut)
    assert isinstance(first.until_end(), LinkLost)
    for text in ("two", "three"):
        sim.say(text=text, chat_type="group")
    again = rig.up(rig.adapter(sim) if restart else adapter)
    assert [inbound.text for inbound in taken(again, 2)] == ["two", "three"]
    assert again.port.who == "sim-bot" and again.port.spent == []
    assert len(sim.record(kind="identify")) == 1 and len(sim.record(kind="resume")) == 1
    assert not faults_found(sim)


def test_only_what_is_committed_is_told_to_the_platform(rig):
    sim = rig.sim(heartbeat_interval=BEAT)
    adapter = rig.adapter(sim)
    first = rig.up(adapter)
    committed(rig, 1)
    first.port.hold()
    sim.say(text="not yet in the store")
    wait_for(lambda: first.port.offered)
    count = len(sim.record(kind="beat"))
    wait_for(lambda: len(sim.record(kind="beat")) > count + 1)
    assert sim.record(kind="beat")[-1]["d"] == 1
    sim.fault("rst")
    first.until_end()
    again = rig.up(adapter)
    assert [inbound.text for inbound in taken(again, 1)] == ["not yet in the store"]
    assert sim.record(kind="resume")[-1]["seq"] == 1


def test_events_replayed_before_resumed_are_not_held_back(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    first = rig.up(adapter)
    committed(rig, 1)
    first.close()
    for n in range(50):
        sim.say(text=str(n))
    again = rig.up(adapter)
    assert [inbound.text for inbound in taken(again, 50)] == [str(n) for n in range(50)]
    committed(rig, 52)


def test_a_planned_end_keeps_the_session_for_the_next_process(rig):
    sim = rig.sim()
    assert rig.up(rig.adapter(sim)).close() is None
    committed(rig, 1)
    rig.up(rig.adapter(sim))
    assert len(sim.record(kind="identify")) == 1 and len(sim.record(kind="resume")) == 1
    assert sim.record(kind="close")[0]["how"] == "client"


def test_another_bots_session_is_not_resumed(rig):
    sim = rig.sim()
    rig.ctx.memos["session"] = {"id": "theirs", "seq": 5, "app_id": "someone else"}
    rig.up(rig.adapter(sim))
    assert not sim.record(kind="resume") and not sim.record(kind="resume_refused")


def test_other_events_asked_for_need_a_new_session(rig):
    sim = rig.sim()
    rig.up(rig.adapter(sim)).close()
    committed(rig, 1)
    rig.up(rig.adapter(sim, intents=["GROUP_AND_C2C"]))
    assert [entry["intents"] for entry in sim.record(kind="identify")][-1] == 1 << 25


@pytest.mark.parametrize("bad_session", ["close", "op9"])
def test_a_session_the_platform_forgot_costs_one_run_and_a_new_one_begins(rig, bad_session):
    sim = rig.sim(bad_session=bad_session)
    adapter = rig.adapter(sim)
    rig.up(adapter).close()
    committed(rig, 1)
    sim.fault("session")
    assert isinstance(rig.run(adapter).until_end(), LinkLost)
    wait_for(lambda: "session" not in rig.ctx.memos)
    assert rig.up(adapter).port.spent == ["identify"]
    assert not faults_found(sim)


def test_op_7_is_left_at_once_and_resumed(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    first = rig.up(adapter)
    committed(rig, 1)
    sim.fault("op7", grace=600.0)
    assert first.until_end() is None
    rig.up(adapter)
    assert len(sim.record(kind="resume")) == 1 and not sim.record(kind="stayed_after_op7")
    assert not faults_found(sim)


def test_op_9_that_allows_it_is_resumed(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    for _ in range(2):
        run = rig.up(adapter)
        committed(rig, sim.sessions.valid()[0].last)
        sim.fault("op9", resumable=True)
        assert isinstance(run.until_end(), LinkLost)
    rig.up(adapter)
    assert len(sim.record(kind="identify")) == 1 and len(sim.record(kind="resume")) == 2


def test_op_9_otherwise_begins_anew(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    run = rig.up(adapter)
    committed(rig, 1)
    sim.fault("op9", resumable=False)
    assert isinstance(run.until_end(), LinkLost)
    wait_for(lambda: "session" not in rig.ctx.memos)
    rig.up(adapter)
    assert len(sim.record(kind="identify")) == 2


# --- close codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code, error, resumes", CODES)
def test_a_close_code_has_its_error_and_the_next_run_resumes_or_identifies(rig, code, error, resumes):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    run = rig.up(adapter)
    committed(rig, 1)
    sim.fault("close", code=code, reason="told so")
    raised = run.until_end()
    assert type(raised) is error and str(code) in str(raised)
    run.port.stop()
    assert ("session" in rig.ctx.memos) is resumes
    again = rig.up(adapter)
    assert (again.port.spent == []) is resumes
    assert len(sim.record(kind="identify")) == (1 if resumes else 2)
    assert not sim.record(kind="link_refused") and not faults_found(sim)


@pytest.mark.parametrize("code", [1000, 1001])
def test_a_drain_of_the_platform_is_a_clean_end(rig, code):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    run = rig.up(adapter)
    committed(rig, 1)
    sim.fault("close", code=code)
    assert run.until_end() is None
    rig.up(adapter)
    assert len(sim.record(kind="resume")) == 1


def test_events_not_permitted_are_given_up_for_the_least(rig):
    sim = rig.sim(permitted=1 << 25)
    adapter = rig.adapter(sim)
    assert isinstance(rig.run(adapter).until_end(), LinkLost)
    run = rig.up(adapter)
    assert sim.record(kind="identify")[-1]["intents"] == 1 << 25
    committed(rig, 1)
    run.close()
    rig.up(rig.adapter(sim))
    assert len(sim.record(kind="identify")) == 1 and len(sim.record(kind="link_refused")) == 1


def test_with_nothing_permitted_a_human_is_asked(rig):
    sim = rig.sim(permitted=1 << 30)
    adapter = rig.adapter(sim)
    assert isinstance(rig.run(adapter).until_end(), LinkLost)
    error = rig.run(adapter).until_end()
    assert isinstance(error, ConfError) and "qq.yaml" in error.action


# --- deaf links ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["half_open", "mute_acks", "stop_reading"])
@pytest.mark.parametrize("keys", [{}, {"ping_interval": 0.5, "ping_timeout": 0.2}])
def test_a_deaf_link_is_lost_within_its_deadline_and_the_next_run_resumes(rig, fault, keys):
    sim = rig.sim(heartbeat_interval=BEAT)
    adapter = rig.adapter(sim, **keys)
    run = rig.up(adapter)
    wait_for(lambda: run.ended or run.port.heartbeats["answered"])
    sim.fault(fault)
    sent, answered = run.port.heartbeats["sent"], run.port.heartbeats["answered"]
    assert isinstance(run.until_end(), LinkLost)
    assert run.port.heartbeats["sent"] - max(sent, answered) <= 2, "the first may have been answered already"
    assert run.port.heartbeats["missed"] == 1
    sim.clear()
    rig.up(adapter)
    assert sim.record(kind="resume") and not faults_found(sim)


def test_a_gateway_that_never_says_ready_is_left(rig, monkeypatch):
    monkeypatch.setattr(conversation, "READY_WITHIN", 0.3)
    sim = rig.sim(hello_delay=30)
    error = rig.run(rig.adapter(sim)).until_end()
    assert isinstance(error, LinkLost) and "READY" in str(error)


# --- who we are ----------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{"app_id": "1"}, {"client_secret": Secret("wrong")}])
def test_wrong_credentials_halt_and_name_the_keys_to_mend(rig, keys):
    run = rig.run(rig.adapter(rig.sim(), **keys))
    error = run.until_end()
    assert isinstance(error, AuthRejected) and not run.port.readies
    for word in ("app_id", "client_secret", "qq.yaml"):
        assert word in error.action
    assert "wrong" not in str(error).replace("is wrong", "")


def test_an_address_off_the_whitelist_halts_with_the_remedy(rig):
    sim = rig.sim()
    sim.fault("api_error", status=401, code=11298, message="IP", path="/gateway/bot")
    error = rig.run(rig.adapter(sim)).until_end()
    assert isinstance(error, AuthRejected) and "whitelist" in error.action


def test_without_session_starts_left_nothing_is_dialled(rig):
    sim = rig.sim()
    sim.fault("identifies", remaining=0)
    error = rig.run(rig.adapter(sim)).until_end()
    assert isinstance(error, Throttled) and error.after >= 1
    assert not sim.record(kind="open")


def test_a_spent_identify_budget_is_respected(rig):
    sim = rig.sim()
    port = FakePort(rig.ctx)
    port.budget["identify"] = 0
    error = Run(rig.adapter(sim), rig.ctx, port).until_end()
    port.stop()
    assert isinstance(error, Throttled) and not sim.record(kind="identify")


def test_a_token_refused_on_the_way_to_the_gateway_is_replaced_within_the_run(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    rig.up(adapter).close()
    sim.fault("token")
    rig.up(adapter)
    assert sim.tokens.issued == 2


def test_a_token_is_renewed_in_its_last_minute(rig):
    sim = rig.sim()
    clock = ManualClock()
    adapter = rig.adapter(sim, clock=clock)
    rig.up(adapter).close()
    clock.advance(7100)
    rig.up(adapter).close()
    assert len(sim.record(kind="token")) == 1
    clock.advance(50)
    rig.up(adapter)
    assert len(sim.record(kind="token")) == 2


def test_the_token_may_live_at_an_address_of_its_own(rig):
    sim, other = rig.sim(), rig.sim()
    assert isinstance(rig.run(rig.adapter(sim, token_base=other.url)).until_end(), LinkLost)
    assert other.record(kind="token") and not sim.record(kind="token")


# --- sending -------------------------------------------------------------------------------------


def asked(rig: Rig, sim: QQSim, chat_type: str = "dm") -> tuple[Any, Run, Inbound]:
    """An adapter that is up and has been asked something."""
    adapter = rig.adapter(sim)
    run = rig.up(adapter)
    sim.say(text="what?", chat_type=chat_type)
    return adapter, run, taken(run, 1)[0]


@pytest.mark.parametrize("chat_type, parts", [("dm", 4), ("group", 5)])
def test_a_long_answer_goes_out_in_numbered_parts(rig, chat_type, parts):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim, chat_type)
    payloads = adapter.render(Reply("words and words. " * 3000, inbound.peer, inbound.reply_ref))
    assert len(payloads) == adapter.caps.of(inbound.peer.chat_type).parts == parts
    adapter.typing(inbound.peer, run.port.link)
    adapter.typing(inbound.peer, run.port.link)
    assert len(sim.record(kind="typing")) == (1 if chat_type == "dm" else 0), "a minute long, once for a message"
    for n, payload in enumerate(payloads, 1):
        adapter.send(Part("0" * 32, n, n - 1, inbound.peer, payload, inbound.reply_ref), run.port.link)
    sent = sim.record(kind="send")
    assert [entry["msg_seq"] for entry in sent] == list(range(1, parts + 1))
    assert not any(entry["duplicate"] for entry in sent) and "left out" in sent[-1]["text"]
    with pytest.raises(SendRefused):
        adapter.send(part_of(inbound, seq=6), run.port.link)


@pytest.mark.parametrize("chat_type", ["dm", "group"])
def test_a_lost_answer_is_unknown_and_the_retry_makes_no_second_message(rig, chat_type):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim, chat_type)
    sim.fault("lose_answer", count=1)
    with pytest.raises(SendUnknown):
        adapter.send(part_of(inbound), run.port.link)
    assert isinstance(adapter.send(part_of(inbound, attempt=2), run.port.link), Receipt)
    assert [entry["duplicate"] for entry in sim.record(kind="send")] == [False, True]
    assert sim.sent == 1


def test_a_number_taken_on_a_first_attempt_is_a_collision_and_counted(rig):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim)
    adapter.send(part_of(inbound), run.port.link)
    with pytest.raises(SendCollision):
        adapter.send(part_of(inbound, "another"), run.port.link)
    assert rig.ctx.counts["sends", "collision"] == 1
    assert adapter.send(part_of(inbound, "another", seq=2), run.port.link).id


def test_guild_channels_wait_for_the_link(rig):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim, "channel")
    assert adapter.caps.of(inbound.peer.chat_type).send_needs_link
    run.close()
    with pytest.raises(SendRetry):
        adapter.send(part_of(inbound), None)
    assert not sim.record(kind="send_refused")


def test_guild_direct_messages_without_a_link_come_back_for_a_retry(rig):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim, "direct")
    run.close()
    wait_for(lambda: not sim.online)
    with pytest.raises(SendRetry):
        adapter.send(part_of(inbound), None)


def test_a_reply_window_that_is_over_is_said(rig):
    sim = rig.sim(window_scale=0.0)
    adapter, run, inbound = asked(rig, sim)
    with pytest.raises(SendRefused, match="window closed"):
        adapter.send(part_of(inbound), run.port.link)


def test_a_message_that_answers_nothing_is_refused_with_the_reason(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    for chat in ("user:U1", "group:G1"):
        with pytest.raises(SendRefused) as refused:
            adapter.send(Part("0" * 32, 1, 0, adapter.peer_of(chat), {"content": "hi"}), None)
        assert refused.value.action


def test_a_message_of_another_chat_cannot_be_answered(rig):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim)
    with pytest.raises(SendRefused, match="window closed"):
        adapter.send(Part("0" * 32, 1, 0, adapter.peer_of("user:X"), {"content": "hi"}, inbound.reply_ref), None)


@pytest.mark.parametrize(
    "status, code, error",
    [
        (400, 1100308, SendRetry),
        (400, 304018, SendRetry),
        (400, 304082, SendRetry),
        (400, 304027, SendRefused),
        (400, 304003, SendRefused),
        (403, 11253, SendRefused),
        (400, 22009, SendRefused),
        (400, 40034102, SendRefused),
        (400, 777777, SendRefused),
        (500, 777777, SendUnknown),
        (504, 0, SendUnknown),
        (429, 0, SendRetry),
    ],
)
def test_each_refusal_has_its_policy(rig, status, code, error):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim)
    sim.fault("api_error", status=status, code=code, message="told so", path="/messages")
    with pytest.raises(error):
        adapter.send(part_of(inbound), run.port.link)
    assert not rig.ctx.rejected


@pytest.mark.parametrize("status", [201, 202])
def test_a_message_that_awaits_its_audit_is_delivered(rig, status):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim)
    sim.fault("api_error", status=status, code=304023, message="push message is waiting for audit now")
    assert adapter.send(part_of(inbound), run.port.link).at > 0


def test_a_token_that_stays_refused_waits_and_does_not_loop(rig):
    sim = rig.sim()
    adapter, run, inbound = asked(rig, sim)
    sim.fault("api_error", status=401, code=11244, message="token", path="/messages")
    with pytest.raises(SendRetry) as told:
        adapter.send(part_of(inbound), run.port.link)
    assert told.value.scope == "account" and told.value.after == 60
    assert len(sim.record(kind="token")) == 2 and not rig.ctx.rejected


def test_credentials_refused_during_a_send_halt_the_child_and_the_message_waits(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim, client_secret=Secret("wrong"))
    part = Part("0" * 32, 1, 0, adapter.peer_of("user:U"), {"content": "hi"}, {"msg_id": "M"})
    with pytest.raises(SendRetry) as told:
        adapter.send(part, None)
    assert told.value.scope == "account"
    assert [type(error) for error in rig.ctx.rejected] == [AuthRejected]


def test_no_token_to_be_had_means_that_nothing_was_sent(rig):
    sim = rig.sim()
    adapter = rig.adapter(sim)
    sim.stop()
    with pytest.raises(SendRetry) as told:
        adapter.send(Part("0" * 32, 1, 0, Peer("qq", "U", "dm"), {"content": "hi"}, {"msg_id": "M"}), None)
    assert told.value.scope == "account"


# --- chats by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chat, chat_type, kind",
    [
        ("user:U", "dm", "c2c"),
        ("group:G", "group", "group"),
        ("channel:C", "channel", "channel"),
        ("dm:D", "dm", "guild_dm"),
    ],
)
def test_a_chat_is_named_with_its_kind(rig, chat, chat_type, kind):
    peer = rig.adapter(rig.sim()).peer_of(chat)
    assert (peer.child, peer.chat_id, peer.chat_type) == ("qq", chat[-1], chat_type)
    assert peer.extra == {"kind": kind}


@pytest.mark.parametrize("chat", ["E4F4AEA33253A2797FB897C50B81D7ED", "", "user:", "room:1"])
def test_an_id_alone_does_not_tell_its_kind(rig, chat):
    assert rig.adapter(rig.sim()).peer_of(chat) is None


# --- the way there -------------------------------------------------------------------------------


def test_an_address_of_the_socket_given_by_hand_is_taken(rig):
    sim = rig.sim()
    rig.up(rig.adapter(sim, ws_base=sim.ws_url))
    assert not [entry for entry in sim.record(kind="dial") if entry["path"] == "/gateway/bot"]


def mutated(number: int, draw: random.Random) -> str | bytes:
    """A damaged dispatch. It stays one, and its number stays small: an end or a number would be believed."""
    d: Any = {"id": f"BAD{number}", "author": {"member_openid": "M0", "bot": False}, "group_openid": "G-BAD"}
    d |= {"content": "hi", "timestamp": "2023-11-06T13:37:18+08:00", "mentions": [{"is_you": True}]}
    d["attachments"] = [{"content_type": "image/png", "filename": "a.png", "size": 12, "url": "https://h/a"}]
    frame = {"op": 0, "s": 1, "t": "GROUP_AT_MESSAGE_CREATE", "d": d}
    if draw.random() < 0.5:
        frame = {**mutant(frame, draw), "op": 0, "s": draw.choice([None, 1, 0, -1, "7", {}])}
        return json.dumps(frame)
    raw, head = bytearray(json.dumps(frame).encode()), len(b'{"op": 0, "s": 1,')
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(head, len(raw))
        raw[at : at + draw.randint(0, 5)] = draw.choice([b"", b"\x00", b"[", b"}", b'"', b"null", b"\\ud800", b"\xff"])
    return bytes(raw)
