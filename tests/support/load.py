"""Load: users who write to bots on simulated platforms, and the account of who was answered what."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

import gevent

from tests.support.stage import PATIENCE, Sim, until


@dataclass
class Load:
    """``messages`` over ``chats`` of several simulators at ``rate`` a second, each text unlike any other and
    as much longer as ``pad``. What counts as answered is what was sent, or with ``shown`` what people see."""

    sims: Sequence[Sim]
    chats: int
    messages: int
    rate: float
    seed: int = 0
    pad: str = ""
    shown: bool = False
    asked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    _written: int = 0

    def drive(self) -> None:
        """Let the users write; returns when the last has written."""
        self.more(self.messages)

    def more(self, messages: int) -> None:
        """Let them write so many more, at ``rate``."""
        draw = random.Random(f"{self.seed} {self._written}") if self._written else random.Random(self.seed)
        began, first = time.monotonic(), self._written
        for number in range(first, first + messages):
            self._written += 1
            chat = number % self.chats if number < self.chats else draw.randrange(self.chats)
            sim = self.sims[chat % len(self.sims)]
            name = f"oc_load{chat}" if sim.platform == "feishu" else f"load{chat}"
            text = f"s{self.seed} c{chat} n{number}{self.pad}"
            self.asked[f"{sim.platform} {name}"].append(text)
            said = sim.say(text=text, chat=name, user=f"ou_{name}" if sim.platform == "feishu" else name)
            self.texts[said["message_id"], sim.platform] = text
            gevent.sleep(max(0.0, began + (number + 1 - first) / self.rate - time.monotonic()))

    def answered(self) -> dict[str, list[str]]:
        """platform and chat -> the texts that were answered, in the order of arrival, repeats included."""
        return {
            chat: [text for text in texts if not self.shown or text in self.asked.get(chat, ())]
            for chat, texts in self._said().items()
        }

    def halves(self) -> list[str]:
        """What people see that is no whole answer, each beginning with its platform and chat."""
        said = self._said().items()
        return [f"{chat}: {text}" for chat, texts in said for text in texts if text not in self.asked.get(chat, ())]

    def _said(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for sim in self.sims:
            for chat, said in sim.shown() if self.shown else ((send["chat"], send["text"]) for send in sim.sends()):
                text = said.strip().removeprefix("echo: ")
                if text.startswith(f"s{self.seed} "):
                    found[f"{sim.platform} {chat}"].append(text)
        return found

    def count(self) -> int:
        """How many different questions have an answer."""
        return sum(len(set(texts)) for texts in self.answered().values())

    def until_answered(self, seconds: float = PATIENCE) -> None:
        """Wait until every question has an answer."""
        try:
            until(lambda: self.count() >= self.messages, seconds)
        except AssertionError:
            pass  # judge() says what is missing

    def faults(self) -> dict[str, list[str]]:
        """lost, twice, out of order, strangers -> what of it happened, each beginning with its platform."""
        answered = self.answered()
        lost, twice, disorder = [], [], []
        for chat, texts in self.asked.items():
            got = answered.get(chat, [])
            counts = Counter(got)
            lost += [f"{chat}: {text}" for text in texts if not counts[text]]
            twice += [f"{chat}: {text}" for text in texts if counts[text] > 1]
            firsts = list(dict.fromkeys(got))
            if firsts != [text for text in texts if text in counts]:
                disorder.append(f"{chat}: {firsts}")
        strangers = sorted(set(answered) - set(self.asked))
        return {"lost": lost, "twice": twice, "out of order": disorder, "strangers": strangers}

    def judge(self) -> str:
        """"" when each question was answered exactly once and in order, else what is wrong."""
        found = self.faults().items()
        return "; ".join(f"{name} {len(cases)}: {cases[:5]}" for name, cases in found if cases)


def beside(*work: Callable[[], Any]) -> list[Any]:
    """Run functions side by side; their answers, or the first error."""
    greenlets = [gevent.spawn(one) for one in work]
    gevent.joinall(greenlets, raise_error=True)
    return [greenlet.value for greenlet in greenlets]
