"""Commands, modes, fresh beginnings and pairing as people meet them, on two platforms at once."""

from __future__ import annotations

import os
import re
import signal
from datetime import datetime, timedelta
from typing import Any, Callable

import gevent

from tests.support.scene import QUICK, Scene, hermes
from tests.support.stage import until

PLATFORMS = ("feishu", "telegram")
NO_DRAFTS = {name: {"streaming": "off", "dial_budget": []} for name in PLATFORMS}


class Talk:
    """One user in a direct chat of one platform."""

    def __init__(self, scene: Scene, platform: str, user: str) -> None:
        self.scene, self.platform, self.user = scene, platform, user

    def say(self, text: str) -> None:
        self.scene.say(self.platform, self.user, text)

    def texts(self) -> list[str]:
        return self.scene.texts(self.platform, self.user)

    def ask(self, text: str, seconds: float = 20.0) -> str:
        """Say it; the next text that comes back."""
        before = len(self.texts())
        self.say(text)
        return self.answers(before, 1, seconds)[0]

    def answers(self, since: int, count: int, seconds: float = 20.0) -> list[str]:
        what = f"{count} more texts for {self.user} on {self.platform}"
        until(lambda: len(self.texts()) >= since + count, seconds, what)
        return self.texts()[since:]


class Bench:
    """A scene with a model behind it."""

    def __init__(self, stage: Any, **gateway: Any) -> None:
        self.model = stage.model()
        agent = {"type": "openai", "base_url": self.model.url, "model": "test", "first_byte_timeout": 600}
        self.stage = stage
        self.scene = Scene(
            stage, platforms=PLATFORMS, files=NO_DRAFTS, gateway={"agent": agent, "supervisor": QUICK, **gateway}
        )

    def asked(self) -> list[list[str]]:
        """What the model was given, by request: the texts of its messages."""
        return [[each["content"] for each in request["messages"]] for request in self.model.record()]

    def outcomes(self, text: str) -> list[str]:
        """What became of each request whose last message this is."""
        return [request["outcome"] for request in self.model.record() if request["text"] == text]

    def set(self, **groups: Any) -> None:
        """Change groups of gateway.yaml while it runs."""
        self.scene.change("gateway", **groups)
        done = hermes(self.stage, "reload")
        assert done.code == 0, done.err


def both(scene: Scene, work: Callable[[Talk], None], user: str) -> None:
    """Do the same on both platforms, at the same time."""
    jobs = [gevent.spawn(work, Talk(scene, platform, f"{user}{platform[0]}")) for platform in PLATFORMS]
    gevent.joinall(jobs, raise_error=True)


def test_every_command_does_what_help_says_even_while_the_agent_hangs(stage: Any) -> None:
    bench = Bench(stage)
    scene = bench.scene
    admins: dict[str, str] = {}

    def work(talk: Talk) -> None:
        name = talk.platform
        assert talk.ask(f"one {name}") == f"echo: one {name}"
        assert talk.ask(f"two {name}") == f"echo: two {name}"
        assert talk.ask("/retry") == f"echo: two {name}"
        assert [f"one {name}", f"echo: one {name}", f"two {name}"] == [a for a in bench.asked() if name in a[-1]][-1]
        assert "forgotten" in talk.ask("/undo")
        assert talk.ask(f"three {name}") == f"echo: three {name}"
        assert [a for a in bench.asked() if name in a[-1]][-1][:-1] == [f"one {name}", f"echo: one {name}"]
        assert talk.ask("/new") == "A new conversation begins."
        assert talk.ask(f"four {name}") == f"echo: four {name}"
        assert [f"four {name}"] in bench.asked()
        assert "/retry" in talk.ask("/help")
        admins[name] = re.search(r"user (\S+)$", talk.ask("/whoami"))[1]  # type: ignore[index]
        talk.say(f"!hang for ever on {name}")
        until(lambda: bench.outcomes(f"for ever on {name}") == ["open"], what="the agent to hang")
        assert talk.ask("/status") == f"{name}: READY. Answering: yes. Waiting: 0."
        talk.say("/queue after that")
        talk.say("/steer and this")
        until(lambda: talk.ask("/status").endswith("Waiting: 2."), what="both to wait")
        assert bench.outcomes(f"for ever on {name}") == ["open"], "all this was said while the agent hung"
        before = len(talk.texts())
        assert talk.ask("/stop") == "Stopped."
        assert talk.answers(before, 3) == ["Stopped.", "echo: after that", "echo: and this"]
        assert "Only an admin" in talk.ask("/adapters")

    both(scene, work, "c")
    bench.set(access={"dm": "open", "admins": list(admins.values())}, locale="zh")

    def administer(talk: Talk) -> None:
        assert talk.ask("/通道") == "feishu: READY\ntelegram: READY\nweb: READY"
        assert "正在重启 web" in talk.ask("/adapters restart web")

    both(scene, administer, "c")
    scene.until_state("web", "READY")
    scene.no_violations()


def test_what_comes_while_the_agent_works_goes_the_way_of_the_mode(stage: Any) -> None:
    bench = Bench(stage)
    # The model cannot be steered; of what interrupts, how fast the next one came decides whether it met the first,
    # joined it or interrupted it, too.
    fates = {
        "queue": [["echo: slow", "echo: a", "echo: b"]],
        "merge": [["echo: slow", "echo: a\nb"]],
        "interrupt": [["echo: b"], ["echo: a", "echo: b"], ["echo: a\nb"]],
        "steer": [["echo: slow", "echo: a", "echo: b"]],
    }
    for mode, wanted in fates.items():
        bench.set(turns={"busy_input_mode": mode})
        before: dict[str, int] = {}

        def ask(talk: Talk) -> None:
            before[talk.platform] = len(talk.texts())
            asked = len(bench.outcomes(f"slow {talk.platform}"))
            talk.say(f"!hold slow {talk.platform}")
            until(lambda: len(bench.outcomes(f"slow {talk.platform}")) > asked, what="the agent to work")
            for text in ("a", "b"):
                talk.say(text)

        def read(talk: Talk) -> None:
            since = before[talk.platform]
            last = [texts[-1:] for texts in wanted]
            until(lambda: talk.texts()[since:][-1:] in last, what=f"{mode} on {talk.platform}")
            gevent.sleep(0.5)
            assert [text.replace(f"slow {talk.platform}", "slow") for text in talk.texts()[since:]] in wanted

        both(bench.scene, ask, "m")
        if mode == "interrupt":
            both(bench.scene, read, "m")  # nobody lets the first one go on: it was ended
        else:
            until(lambda: bench.scene.gateway.status()["inbox"] == 3 * len(PLATFORMS), what="both to have come")
        bench.model.release()
        if mode != "interrupt":
            both(bench.scene, read, "m")
    bench.scene.no_violations()


def test_bursts_become_one_turn_and_conversations_begin_anew_by_their_kind(stage: Any) -> None:
    bench = Bench(stage, turns={"merge_window": 1.0})

    def say(talk: Talk) -> None:
        for text in ("x", "y", "z"):
            talk.say(text)

    def read(talk: Talk) -> None:
        assert talk.answers(0, 1) == ["echo: x\ny\nz"]

    # However long it takes until all is said, it comes in a burst.
    pid = bench.scene.gateway.pid
    os.kill(pid, signal.SIGSTOP)
    both(bench.scene, say, "w")
    os.kill(pid, signal.SIGCONT)
    both(bench.scene, read, "w")
    bench.set(turns={}, sessions={"dm": {"reset": "idle", "idle_minutes": 0.03}})

    def forget(talk: Talk) -> None:
        name = talk.platform
        talk.ask(f"before {name}")
        gevent.sleep(2.5)
        talk.ask(f"after {name}")
        assert [f"after {name}"] in bench.asked()
        listed = hermes(stage, "sessions", "list", "--json").json()
        mine = next(each for each in listed if each["child"] == name)
        assert mine["generation"] >= 1
        kept = hermes(stage, "sessions", "show", mine["session_id"], "--archived")
        assert f"user: before {name}" in kept.out

    def daily(talk: Talk) -> None:
        talk.ask(f"again {talk.platform}")
        talk.ask(f"still {talk.platform}")
        given = next(each for each in bench.asked() if each[-1] == f"still {talk.platform}")
        assert f"again {talk.platform}" in given, "not before the time of day comes"

    both(bench.scene, forget, "w")
    later = datetime.now() + timedelta(hours=12)
    bench.set(sessions={"dm": {"reset": "daily", "daily_at": f"{later:%H:%M}"}})
    both(bench.scene, daily, "d")


def test_a_stranger_is_let_in_by_command_line_and_chat_and_with_the_gateway_down(stage: Any) -> None:
    bench = Bench(stage, access={"dm": "pairing"})
    scene = bench.scene
    codes: dict[str, str] = {}

    def come(talk: Talk) -> None:
        codes[talk.platform] = re.search(r"\w{4}-\w{4}", talk.ask("hello"))[0]  # type: ignore[index]
        talk.say("hello?")

    both(scene, come, "s")
    listed = hermes(stage, "pairing", "list", "--json").json()
    assert {each["child"] for each in listed["waiting"]} == set(PLATFORMS) and listed["paired"] == []
    assert hermes(stage, "pairing", "approve", "WRONG-ONE").code == 1
    done = hermes(stage, "pairing", "approve", codes["feishu"].lower())
    assert done.code == 0, done.err
    assert Talk(scene, "feishu", "sf").ask("let me in") == "echo: let me in"

    assert hermes(stage, "stop").code == 0
    assert hermes(stage, "pairing", "approve", codes["telegram"]).code == 0
    assert len(hermes(stage, "pairing", "list", "--json").json()["paired"]) == 2
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()
    assert Talk(scene, "telegram", "st").ask("and me") == "echo: and me"

    paired = hermes(stage, "pairing", "list", "--json").json()["paired"]
    user = next(each["user"] for each in paired if each["child"] == "feishu")
    assert hermes(stage, "pairing", "revoke", "feishu", user).code == 0
    assert hermes(stage, "pairing", "revoke", "feishu", user).code == 1
    assert "code" in Talk(scene, "feishu", "sf").ask("still there?")
    assert all("hello" not in each[-1] for each in bench.asked()), "no agent call for those who waited"


def test_a_fallback_answers_for_an_agent_that_is_down_and_a_route_has_its_own_prompt(stage: Any) -> None:
    bench = Bench(stage)
    up = bench.scene.files["gateway"]["agent"]
    down = {**up, "base_url": "http://127.0.0.1:9/v1", "connect_timeout": 1}
    bench.set(agent=down, fallback=up, routes=[{"child": "telegram", "system_prompt": "Be brief."}])

    def work(talk: Talk) -> None:
        assert talk.ask(f"to {talk.platform}") == f"echo: to {talk.platform}"

    both(bench.scene, work, "f")
    asked = {request[-1]: request[:-1] for request in bench.asked()}
    assert asked == {"to feishu": [], "to telegram": ["Be brief."]}


def test_who_is_over_the_limit_of_the_day_is_so_after_a_restart_and_others_are_not(stage: Any) -> None:
    bench = Bench(stage, limits={"user": {"turns_per_day": 2}})
    scene = bench.scene

    def spend(talk: Talk) -> None:
        talk.ask("one")
        talk.ask("two")
        assert "tomorrow" in talk.ask("three")
        talk.say("four")

    both(scene, spend, "l")
    assert hermes(stage, "stop").code == 0
    scene.gateway = stage.gateway()
    scene.gateway.until_ready()

    def again(talk: Talk) -> None:
        talk.say("five")
        assert talk.ask("/status").endswith("Waiting: 0.")
        gevent.sleep(1.0)
        assert len(talk.texts()) == 4, "it was said already"
        assert Talk(scene, talk.platform, f"m{talk.platform[0]}").ask("fresh") == "echo: fresh"

    both(scene, again, "l")
    assert not [request for request in bench.asked() if request[-1] in ("three", "four", "five")]
    assert scene.gateway.status()["dead"] == 0
