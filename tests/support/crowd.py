"""Crowd: users of all platforms at once, and the account of what each of them sees in the end."""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Mapping

import gevent

from tests.support.stage import PATIENCE, Sim, http, until

# Where the platform recognises a repeated send, an answer may not be seen twice.
KEYED = frozenset({"feishu", "qq", "wecom"})
# These push a message once; what comes in a gap is gone.
FORGETFUL = frozenset({"dingtalk", "wecom"})
GROUPS = {"slack": "channel", "telegram": "supergroup"}
CHATS = {"feishu": "oc_{}", "slack": "D0{}"}
USERS = {"feishu": "ou_{}", "slack": "U0{}"}


@dataclass
class Asked:
    """One message of a user, and where the platform says it stands."""

    text: str
    message_id: str


@dataclass
class Verdict:
    """What became of a platform's messages. ``twice`` is a fault of ours where there is a key; ``unanswered``,
    ``disorder`` and ``halves`` (bubbles that are not a whole answer) always are."""

    unanswered: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    halves: list[str] = field(default_factory=list)
    lost: int = 0
    ambiguous: int = 0


@dataclass
class Crowd:
    """``messages`` over ``chats`` of the simulators behind ``sims`` (child -> simulator), ``rate`` a second;
    every fourth chat is a group. Each text is unlike any other."""

    sims: Mapping[str, Sim]
    chats: int
    messages: int
    rate: float
    seed: int = 0
    asked: dict[str, dict[str, list[Asked]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    bubbles: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    _seen: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def drive(self) -> None:
        """Let the users write; returns when the last has written."""
        draw, began = random.Random(self.seed), time.monotonic()
        names = list(self.sims)
        for number in range(self.messages):
            chat = number % self.chats if number < self.chats else draw.randrange(self.chats)
            child = names[chat % len(names)]
            platform = child.partition("/")[0]
            group = chat // len(names) % 4 == 3
            name = f"CROWD{chat}"
            where = ("C0{}" if platform == "slack" and group else CHATS.get(platform, "{}")).format(name)
            text = f"s{self.seed} c{chat} n{number}."
            kind = GROUPS.get(platform, "group") if group else "dm"
            user = USERS.get(platform, "{}").format(name)
            told = self.sims[child].say(text=text, chat=where, user=user, chat_type=kind)
            self.asked[child][told["chat"]].append(Asked(text, told["message_id"]))
            gevent.sleep(max(0.0, began + (number + 1) / self.rate - time.monotonic()))

    def look(self) -> None:
        """What the users see now."""
        for child, sim in self.sims.items():
            seen = http("GET", f"{sim.url}/_sim/seen?since={self._seen[child]}")[1]
            self._seen[child] = seen["now"]
            for bubble in seen["bubbles"]:
                self.bubbles[child][bubble["id"]] = bubble

    def texts(self, child: str) -> dict[str, list[str]]:
        """chat -> the questions that stand answered there, in the order in which the answers appeared."""
        found: dict[str, list[str]] = defaultdict(list)
        for bubble in self.bubbles[child].values():
            match = self._question(bubble)
            if match and not bubble["gone"]:
                found[bubble["chat"]].append(match)
        return found

    def _question(self, bubble: Mapping[str, Any]) -> str:
        match = re.search(rf"s{self.seed} c\d+ n\d+\.$", bubble["text"].strip())
        return match[0] if match else ""

    def shaky(self, child: str) -> set[str]:
        """Ids of messages that the platform pushed to nobody, or of which nobody could tell at one time. If they
        come all the same (the fault ``redeliver``), they come late."""
        return {entry["message_id"] for entry in self.sims[child].record() if entry["kind"] in ("lost", "uncertain")}

    def lost(self, child: str) -> set[str]:
        """Those of them that never came."""
        record = self.sims[child].record("ack")
        return self.shaky(child) - {entry["message_id"] for entry in record if entry.get("message_id")}

    def missing(self) -> dict[str, list[str]]:
        """child -> texts that the platform has handed over, or still holds, and that have no answer yet."""
        self.look()
        found = {}
        for child in self.sims:
            texts, gone = self.texts(child), self.lost(child) if child.partition("/")[0] in FORGETFUL else set()
            found[child] = [
                asked.text
                for chat, many in self.asked[child].items()
                for asked in many
                if asked.text not in texts[chat] and asked.message_id not in gone
            ]
        return found

    def until_answered(self, seconds: float = PATIENCE) -> None:
        """Wait until nothing is missing; ``judge`` says what is."""
        try:
            until(lambda: not any(self.missing().values()), seconds)
        except AssertionError:
            pass

    def judge(self) -> dict[str, Verdict]:
        """child -> what became of its messages."""
        found = {}
        for child, missing in self.missing().items():
            texts, shaky = self.texts(child), self.shaky(child)
            verdict = found[child] = Verdict(unanswered=missing)
            for chat, many in self.asked[child].items():
                counts = Counter(texts[chat])
                verdict.twice += [f"{text} {count} times" for text, count in counts.items() if count > 1]
                if child.startswith("slack") and chat.startswith("C"):
                    continue  # each question there is a thread of its own, and threads do not wait for one another
                steady = [asked.text for asked in many if asked.text in counts and asked.message_id not in shaky]
                firsts = [text for text in dict.fromkeys(texts[chat]) if text in steady]
                if firsts != steady:
                    verdict.disorder.append(f"{chat}: {firsts}")
            verdict.halves = [
                f"{bubble['chat']}: {bubble['text']!r}"
                for bubble in self.bubbles[child].values()
                if not bubble["gone"] and (bubble["growing"] or not self._question(bubble))
            ]
            verdict.lost = sum(
                asked.text not in texts[chat] for chat, many in self.asked[child].items() for asked in many
            ) - len(missing)
            verdict.ambiguous = len(self.sims[child].record("lost_answer"))
        return found
