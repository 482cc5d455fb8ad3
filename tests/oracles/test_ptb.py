"""python-telegram-bot works against our simulated Telegram, which finds nothing wrong with it."""

from __future__ import annotations

import base64
import signal
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from hermes_green.sim.telegram import TelegramSim

LIBRARY = "python-telegram-bot==22.8"
START = 120.0
SOON = 60.0


@pytest.fixture(scope="module")
def python(sdk_python: Callable[..., Path]) -> Path:
    return sdk_python(LIBRARY)


@pytest.fixture
def sim() -> Iterator[TelegramSim]:
    with TelegramSim() as running:
        yield running


@pytest.fixture
def bot(sim: TelegramSim, python: Path, run_client: Callable[..., Any]) -> Any:
    child = run_client(python, "ptb_client.py", sim.url, sim.token)
    sim.wait("beat", timeout=START)
    return child


def answered(sim: TelegramSim, text: str, answer: str = "re: {}", **how: Any) -> dict[str, Any]:
    """Say it, and return the bot's answer."""
    since = sim.log.last
    sim.say(text=text, **how)
    return sim.wait("send", since, SOON, text=answer.format(text))


def unfaulted(sim: TelegramSim) -> None:
    assert sim.record(kind="violation") == []
    assert sim.record(kind="send_refused") == []


def test_it_polls_receives_and_replies_in_every_kind_of_chat(sim: TelegramSim, bot: Any) -> None:
    assert answered(sim, "hello 😀")["entities"][0]["type"] == "bold"
    assert answered(sim, "all of you", "re: @sim_green_bot {}", chat_type="group")["reply_to"]
    assert answered(sim, "in here", chat_type="topic", mention=False)["thread"] == 4
    assert answered(sim, "news", chat_type="channel", mention=False)["chat_type"] == "channel"
    assert len(sim.record(kind="typing")) == 4
    unfaulted(sim)


def test_it_understands_edits_and_edits_itself(sim: TelegramSim, bot: Any) -> None:
    said = sim.say(text="teh")
    sim.wait("send", timeout=SOON, text="re: teh")
    answered(sim, "the", "edited: {}", kind="edit", message_id=said["message_id"])
    sim.say(text="stream it")
    sim.wait("edit", timeout=SOON, text="half and whole")
    unfaulted(sim)


def test_it_fetches_a_file_and_sends_one(sim: TelegramSim, bot: Any) -> None:
    sim.say(kind="document", data=base64.b64encode(b"small words").decode(), name="a.txt")
    sent = sim.wait("send", timeout=SOON, msg_type="document")
    assert (sent["name"], sent["text"], sim.uploads[sent["name"]]) == ("back-a.txt", "back", b"SMALL WORDS")
    unfaulted(sim)


@pytest.mark.parametrize("how", ["rst", "fin", {"code": 502}, {"code": 500}, "conflict"])
def test_it_goes_on_after_its_poll_was_cut_or_refused(sim: TelegramSim, bot: Any, how: Any) -> None:
    answered(sim, "before")
    if isinstance(how, dict):
        sim.fault("close", **how)
    else:
        sim.fault(how, count=1) if how == "conflict" else sim.fault(how)
    answered(sim, "meanwhile")
    answered(sim, "after")
    texts = [entry["text"] for entry in sim.record(kind="send")]
    assert texts == ["re: before", "re: meanwhile", "re: after"]
    unfaulted(sim)


def test_it_waits_for_as_long_as_it_is_told(sim: TelegramSim, bot: Any) -> None:
    answered(sim, "before")
    told = "Too Many Requests: retry after 2"
    sim.fault("api_error", method="getUpdates", code=429, description=told, retry_after=2, count=1)
    answered(sim, "after")
    unfaulted(sim)


def test_it_stops_with_everything_confirmed(sim: TelegramSim, bot: Any) -> None:
    answered(sim, "last words")
    bot.send_signal(signal.SIGTERM)
    assert bot.wait(timeout=SOON) == 0
    assert sim.state()["unacked"] == 0 and sim.links == []
    unfaulted(sim)
