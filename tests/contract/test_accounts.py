"""Several bots of one platform in one process: each its own child, with lock, ledger, link and access of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Iterator, Mapping

import gevent
import pytest

from hermes_green.ops.lock import credential_id, owner
from tests.support.scene import hermes
from tests.support.stage import Gateway, Sim, Stage, credentials, until

APPS = {"sales": "cli_salessalessales1", "help": "cli_helphelphelphel1"}
GROUP = "oc_both_of_them"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


class Office:
    """Two Feishu apps of one organisation, ``sales`` and ``help``, behind one gateway."""

    def __init__(self, stage: Stage, **over: Mapping[str, Any]) -> None:
        self.stage = stage
        self.sims: dict[str, Sim] = {name: stage.sim("feishu", "--app-id", app) for name, app in APPS.items()}
        self.accounts = {name: {**credentials(sim), **over.get(name, {})} for name, sim in self.sims.items()}
        self.write()
        self.gateway: Gateway = stage.gateway()
        self.gateway.until_ready()

    def write(self) -> None:
        self.stage.write("feishu", {"enabled": True, "accounts": self.accounts})

    def texts(self, account: str) -> list[str]:
        return [send["text"] for send in self.sims[account].sends()]

    def group(self, account: str, text: str, mentions: list[str]) -> None:
        """What this bot is told of a message in the group in which both are."""
        self.sims[account].say(text=text, chat=GROUP, chat_type="group", mentions=mentions)


def test_each_account_is_a_child_with_a_link_a_lock_and_a_ledger_of_its_own(stage: Stage) -> None:
    office = Office(stage)
    children = {child["id"]: child for child in office.gateway.status()["children"]}
    for name, sim in office.sims.items():
        child = children[f"feishu/{name}"]
        assert (child["platform"], child["account"], child["state"]) == ("feishu", name, "READY")
        assert len(sim.state()["links"]) == 1 and sim.state()["dials"] == 1
        stem = credential_id("feishu", sim.url, APPS[name])
        held = owner(stage.state / f"{stem}.lock")
        assert held is not None and held.pid == office.gateway.pid
        assert (stage.state / f"{stem}.ledger").stat().st_size > 0
    assert sorted(children) == ["feishu/help", "feishu/sales", "web"]


def test_what_befalls_one_bot_leaves_the_other_alone(stage: Stage) -> None:
    office = Office(stage)
    links = office.sims["help"].state()["links"]
    office.sims["sales"].fault("rst")
    until(lambda: office.gateway.child("feishu/sales")["losses"] == 1, what="the loss")
    office.gateway.until_ready()
    assert office.gateway.post("/api/adapters/feishu/sales/restart")[0] == 202
    office.gateway.until_ready()
    assert office.gateway.child("feishu/help")["losses"] == 0 and office.sims["help"].state()["links"] == links
    for name in APPS:
        office.sims[name].say(text=f"to {name}", chat=f"oc_{name}")
    for name in APPS:
        until(lambda name=name: office.texts(name) == [f"to {name}"], what=f"{name}'s own answer")


def test_only_the_bot_that_is_mentioned_answers_in_a_group_with_both(stage: Stage) -> None:
    office = Office(stage)
    office.group("sales", "what does it cost?", ["bot"])
    office.group("help", "what does it cost?", ["ou_the_other_bot"])
    until(lambda: office.texts("sales"), what="the answer of the one that was asked")
    office.group("sales", "it does not work", ["ou_the_other_bot"])
    office.group("help", "it does not work", ["bot"])
    until(lambda: office.texts("help"), what="the answer of the one that was asked")
    office.group("sales", "both of you", ["bot", "ou_the_other_bot"])
    office.group("help", "both of you", ["ou_the_other_bot", "bot"])
    until(lambda: len(office.texts("sales")) == len(office.texts("help")) == 2, what="an answer from each")
    gevent.sleep(1.0)
    asked = [[text.partition(" ")[0] for text in office.texts(name)] for name in APPS]
    assert [len(texts) for texts in asked] == [2, 2], (office.texts("sales"), office.texts("help"))


def test_a_bot_may_let_in_whom_the_other_does_not(stage: Stage) -> None:
    office = Office(stage, help={"access": {"dm": "allowlist", "users": ["ou_staff"]}})
    for name in APPS:
        office.sims[name].say(text="let me in", chat="oc_stranger", user="ou_stranger")
    until(lambda: office.texts("sales") == ["let me in"], what="the open bot")
    office.sims["help"].say(text="mine", chat="oc_staff", user="ou_staff")
    until(lambda: office.texts("help"), what="the other bot's own")
    assert office.texts("help") == ["mine"]


def test_an_account_that_is_taken_away_ends_alone(stage: Stage) -> None:
    office = Office(stage)
    links = office.sims["help"].state()["links"]
    del office.accounts["sales"]
    office.write()
    assert hermes(stage, "reload").code == 0
    until(lambda: office.sims["sales"].state()["links"] == [], what="the link's end")
    assert sorted(child["id"] for child in office.gateway.status()["children"]) == ["feishu/help", "web"]
    assert office.sims["help"].state()["links"] == links
    stem = credential_id("feishu", office.sims["sales"].url, APPS["sales"])
    until(lambda: owner(stage.state / f"{stem}.lock") is None, what="its lock to be free")


def test_the_same_bot_twice_is_refused_naming_both(stage: Stage) -> None:
    sim = stage.sim("feishu")
    stage.write("feishu", {"enabled": True, "accounts": {"sales": credentials(sim), "help": credentials(sim)}})
    refused = hermes(stage, "run")
    assert refused.code == 78
    assert "feishu/sales" in refused.err and "feishu/help" in refused.err and "same bot" in refused.err
    assert sim.state()["dials"] == 0


# --- bots among themselves -------------------------------------------------------------------------


def feishu_bot_writes(sim: Sim) -> None:
    message = {
        "message_id": "om_from_a_bot",
        "create_time": str(int(time.time() * 1000)),
        "chat_id": "oc_bots",
        "chat_type": "p2p",
        "message_type": "text",
        "content": json.dumps({"text": "beep"}),
    }
    sender = {"sender_id": {"open_id": "ou_machine"}, "sender_type": "app", "tenant_key": "t"}
    sim.say(kind="raw", event_type="im.message.receive_v1", event={"sender": sender, "message": message})


def slack_bot_writes(sim: Sim) -> None:
    sim.say(text="beep", chat_type="channel", more={"bot_id": "B0MACHINE"})
    sim.say(text="beep", chat_type="channel", subtype="bot_message")


def telegram_bot_writes(sim: Sim) -> None:
    sim.say(text="beep", chat_type="supergroup", bot=True)


@pytest.mark.parametrize("platform", ["feishu", "slack", "telegram"])
def test_a_bot_answers_no_bot(stage: Stage, platform: str) -> None:
    sim = stage.sim(platform)
    stage.write(platform, credentials(sim))
    gateway = stage.gateway()
    gateway.until_ready()
    {"feishu": feishu_bot_writes, "slack": slack_bot_writes, "telegram": telegram_bot_writes}[platform](sim)
    sim.say(text="hello from a person")
    until(lambda: sim.sends(), what="the answer to the person")
    gevent.sleep(0.5)
    assert len(sim.sends()) == 1 and "person" in sim.sends()[0]["text"]
    assert sim.record("violation") == []


@pytest.mark.parametrize(
    ("platform", "other"),
    [
        ("slack", {"chat_type": "channel", "mention": False, "raw": "<@U0ANOTHER> hello"}),
        ("telegram", {"chat_type": "supergroup", "mention": False, "text": "@another_bot hello"}),
        ("dingtalk", {"chat_type": "group", "mentions": ["another"], "text": "hello"}),
    ],
)
def test_a_message_that_mentions_another_bot_is_left_to_it(stage: Stage, platform: str, other: dict[str, Any]) -> None:
    sim = stage.sim(platform)
    stage.write(platform, credentials(sim))
    gateway = stage.gateway()
    gateway.until_ready()
    sim.say(**other)
    sim.say(text="hello from a person")
    until(lambda: sim.sends(), what="the answer to the one that was meant for us")
    gevent.sleep(0.5)
    assert [send["text"].strip() for send in sim.sends()] == ["hello from a person"]
