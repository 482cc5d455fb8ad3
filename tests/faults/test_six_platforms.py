"""All six platforms at once, two bots on two of them, every fault in rotation: what was handed over is answered."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Mapping, Sequence

import gevent

from tests.support.crowd import KEYED, Crowd, Verdict
from tests.support.load import beside
from tests.support.stage import Gateway, Sim, Stage, credentials, until

ORDERED = ("--hold-order",)
HELP_TOKENS = ("--app-token", "xapp-1-A0HELP-170-5eed", "--bot-token", "xoxb-170-help")
SIMS: Mapping[str, Sequence[str]] = {
    "feishu/sales": (*ORDERED, "--redelivery", "1,3,9,27", "--ack-deadline", "1"),
    "feishu/help": (*ORDERED, "--redelivery", "1,3,9,27", "--ack-deadline", "1", "--app-id", "cli_helphelphelphelp"),
    "slack/sales": (*ORDERED, "--redelivery", "0,1,3,9,27"),
    "slack/help": (*ORDERED, "--redelivery", "0,1,3,9,27", *HELP_TOKENS),
    "dingtalk": (*ORDERED, "--ping-every", "2"),
    "wecom": ORDERED,
    "qq": (*ORDERED, "--heartbeat-interval", "4", "--late", "14"),
    "telegram": ORDERED,
}
MORE: Mapping[str, Mapping[str, Any]] = {"dingtalk": {"card_template_id": "answers.schema"}}
PACE = {"ping_interval": 2, "ping_timeout": 2}

# name -> arguments; those in LINK end a link, or let it be lost.
LINK: Mapping[str, Mapping[str, Any]] = {
    "rst": {},
    "half_open": {},
    "close": {"code": 1000, "reason": "planned"},
    "mute_acks": {"seconds": 4},
    "fin": {},
    "stop_reading": {"seconds": 3},
    "refuse": {"status": 503, "seconds": 2},
}
OTHER: Mapping[str, Mapping[str, Any]] = {
    "lose_answer": {"count": 1},
    "429": {"after": 1, "seconds": 1.5},
    "slow": {"delay": 0.5, "seconds": 2},
    "duplicate": {"count": 2},
    "redeliver": {},
}
OWN: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "dingtalk": {"token": {}, "webhooks": {}, "disconnect": {"grace": 2}},
    # Not "stale": where a req_id is too old, no key lives any more, and an uncertain answer may be seen twice.
    "wecom": {"unsubscribe": {}},
    "qq": {"op7": {"grace": 1}, "op9": {"resumable": True}, "token": {}},
    "telegram": {"conflict": {"count": 1}, "close": {"code": 502}},
    "slack": {"refresh": {"notice": 2}},
    "feishu": {},
}
# What a platform's dial budget leaves for cuts: how many in how many seconds. Of DingTalk's four dials in 120 s one
# is the first, and one is kept for an end that is announced. A refusal is followed by some dials more.
CUTS: Mapping[str, Sequence[tuple[int, float]]] = {
    "dingtalk": ((2, 125.0), (5, 905.0)),
    "slack": ((6, 62.0),),
    "wecom": ((6, 62.0),),
}
# How many dials follow, where it may be more than one.
DIALS = {"refuse": 4, "mute_acks": 2}


@dataclass
class Rotation:
    """One platform's faults, one after the other, each in its turn until time is up; ``done``: which, how often."""

    child: str
    sim: Sim
    gateway: Gateway
    draw: random.Random
    done: dict[str, int] = field(default_factory=dict)
    over: bool = False
    _cuts: list[float] = field(default_factory=list)

    def run(self, gap: float) -> None:
        """Each begins elsewhere in its round, so that at any moment the platforms suffer from different things."""
        faults = list(self._round().items())
        start = list(SIMS).index(self.child) * len(faults) // len(SIMS)
        while not self.over:
            for name, arguments in faults[start:] + faults[:start]:
                gevent.sleep(self.draw.uniform(0.5, 1.0) * gap)
                if self.over:
                    return
                if self._may(name):
                    self._once(name, arguments)

    def _round(self) -> dict[str, Mapping[str, Any]]:
        """One fault of each kind in turn; what the platform knows by its own arguments has those."""
        own = OWN[self.child.partition("/")[0]]
        named = {**LINK, **OTHER, **own}
        turns = [name for names in zip_longest(LINK, OTHER, own) for name in names if name]
        return {name: named[name] for name in turns}

    def _may(self, name: str) -> bool:
        """Whether the budget of dials leaves room for this."""
        if name not in LINK and name != "disconnect":
            return True
        now, costs = time.monotonic(), DIALS.get(name, 1)
        for count, window in CUTS.get(self.child.partition("/")[0], ()):
            if sum(now - at < window for at in self._cuts) + costs > count:
                return False
        self._cuts += [now] * costs
        return True

    def _once(self, name: str, arguments: Mapping[str, Any]) -> None:
        losses = self._child()["losses"]
        self.sim.fault(name, **arguments)
        if name == "refuse":
            self.sim.fault("rst")
        self.done[name] = self.done.get(name, 0) + 1
        gevent.sleep(float(arguments.get("seconds", 0)))
        try:
            if name == "half_open":
                # No wire comes back to life having lost what was in it: it stays dead until it is given up.
                until(lambda: self._child()["losses"] > losses, 20)
            until(lambda: self._child()["state"] == "READY" or self.over, 20)
        except AssertionError:
            pass  # it cools down; the judge sees what came of it
        if name == "half_open":
            self.sim.post("clear", name=name)

    def _child(self) -> dict[str, Any]:
        child: dict[str, Any] = self.gateway.child(self.child)
        return child


class Six:
    """The stage with all of it."""

    def __init__(self, stage: Stage) -> None:
        model = stage.model()
        model.behave(delay=0.1)
        helper = {"type": "openai", "base_url": model.url, "model": "test"}
        routes = [{"child": f"{platform}/help", "agent": helper} for platform in ("feishu", "slack")]
        stage.write(
            "gateway",
            {
                "http": {"port": 0},
                "access": {"dm": "open", "group": "open"},
                "agent": {"type": "echo", "pace": 0.15},
                "routes": routes,
                "supervisor": {"healthy_after": 1, "backoff_max": 4},
            },
        )
        self.sims: dict[str, Sim] = {}
        files: dict[str, dict[str, Any]] = {}
        for child, arguments in SIMS.items():
            platform, _, account = child.partition("/")
            sim = self.sims[child] = stage.sim(platform, *arguments)
            file = files.setdefault(platform, {"enabled": True, **PACE, **MORE.get(platform, {})})
            if account:
                file.setdefault("accounts", {})[account] = credentials(sim)
            else:
                file.update(credentials(sim))
        for platform, file in files.items():
            stage.write(platform, file)
        self.gateway = stage.gateway()
        self.gateway.until_ready()

    def waiting(self) -> dict[str, int]:
        """How much the gateway has not done yet."""
        status = self.gateway.status()
        return {name: status[name] for name in ("inbox", "outbox", "turns")}

    def end(self) -> None:
        """No more faults: every platform works again, and everything that waits is sent."""
        for sim in self.sims.values():
            sim.clear()


def throttled(sim: Sim) -> list[dict[str, Any]]:
    """Requests that the platform refused for their number, but for those that a fault told it to refuse."""
    record, found, told = sim.record(), [], 0.0
    for entry in record:
        if entry["kind"] == "fault" and entry["name"] == "429":
            told = entry["t"] + entry["seconds"]
        if entry["kind"] == "throttled" and entry["t"] > told + 0.5:
            found.append(entry)
    return found


def wrong(child: str, verdict: Verdict) -> list[str]:
    """What may not be, as sentences."""
    found = [f"{len(many)} {what}: {many[:5]}" for what, many in (
        ("unanswered", verdict.unanswered), ("out of order", verdict.disorder), ("left half", verdict.halves),
    ) if many]  # fmt: skip
    if verdict.twice and child.partition("/")[0] in KEYED:
        found.append(f"{len(verdict.twice)} twice, although there is a key: {verdict.twice[:5]}")
    if len(verdict.twice) > verdict.ambiguous:
        found.append(f"{len(verdict.twice)} twice after {verdict.ambiguous} ambiguous sends: {verdict.twice[:5]}")
    return found


def test_what_any_platform_handed_over_is_answered_whatever_happens_on_the_way(
    stage: Stage, long_run: bool, seed: int
) -> None:
    six = Six(stage)
    chats, messages, rate, gap = (120, 1200, 5.0, 4.0) if long_run else (40, 120, 6.0, 1.5)
    crowd = Crowd(six.sims, chats=chats, messages=messages, rate=rate, seed=seed)
    rotations = [
        Rotation(child, sim, six.gateway, random.Random(f"{seed} {child}")) for child, sim in six.sims.items()
    ]

    known = {*LINK, *OTHER, *(name for own in OWN.values() for name in own)}
    wanted = known if long_run else {*LINK, *OTHER}

    def met() -> set[str]:
        return {name for rotation in rotations for name in rotation.done}

    def drive() -> None:
        crowd.drive()
        # Where this machine is slow, some faults may not have had their turn yet.
        until(lambda: met() >= wanted, what="each fault to be met")
        for rotation in rotations:
            rotation.over = True

    beside(drive, *(lambda one=one: one.run(gap) for one in rotations))
    six.end()
    crowd.until_answered(240 if long_run else 60)
    # An answer that may have arrived is still tried again: whether it is seen twice shows when nothing waits any more.
    until(lambda: not any(six.waiting().values()), 120, "everything to be settled")
    gevent.sleep(1.0)
    verdicts = crowd.judge()
    faults = {}
    for rotation, (child, verdict) in zip(rotations, verdicts.items()):
        asked = sum(map(len, crowd.asked[child].values()))
        print(
            f"{child}: {asked} asked, lost in gaps {verdict.lost}, twice {len(verdict.twice)} after"
            f" {verdict.ambiguous} ambiguous sends, losses {six.gateway.child(child)['losses']}, faults {rotation.done}"
        )
        faults[child] = wrong(child, verdict)
        assert verdict.lost <= asked / 2, f"{child} was away more than it was there"
    assert {child: found for child, found in faults.items() if found} == {}
    for child, sim in six.sims.items():
        assert sim.record("violation") == [], child
        assert throttled(sim) == [], child
    assert six.gateway.status()["dead"] == 0 and not any(six.waiting().values())
    assert met() >= wanted, f"never met: {wanted - met()}"


def test_two_bots_of_one_platform_answer_through_agents_of_their_own(stage: Stage) -> None:
    six = Six(stage)
    crowd = Crowd(six.sims, chats=8, messages=8, rate=4.0, seed=1)
    crowd.drive()
    crowd.until_answered()
    assert not any(wrong(child, verdict) for child, verdict in crowd.judge().items())
    for platform in ("feishu", "slack"):
        for account, begins in (("sales", "s1 "), ("help", "echo: s1 ")):
            texts = [bubble["text"] for bubble in crowd.bubbles[f"{platform}/{account}"].values()]
            assert texts and all(text.startswith(begins) for text in texts), (platform, account, texts)
