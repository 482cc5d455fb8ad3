"""Who answers: the first route that fits, with its prompt, and the fallback where an agent fails."""

from __future__ import annotations

from typing import Any, Iterator

import gevent
import pytest
from loguru import logger

from hermes_green.core.errors import AgentFailed, AgentTimeout, TurnTimeout
from hermes_green.core.model import Delta, Turn
from hermes_green.runtime.routes import Prompted, Route, Routes, WithFallback


class Says:
    """Answers its name after ``fails``, if that is an error; ``late``: after its first word."""

    def __init__(self, name: str, fails: Exception | None = None, late: bool = False, steers: bool = False) -> None:
        self.name, self.fails, self.late, self.steers = name, fails, late, steers
        self.prompts: list[str] = []
        self.steered: list[str] = []
        self.closed = 0

    def run(self, turn: Turn) -> Iterator[Delta]:
        self.prompts.append(turn.system_prompt)
        if self.fails and not self.late:
            raise self.fails
        yield Delta(self.name)
        if self.fails:
            raise self.fails

    def steer(self, turn_id: str, text: str) -> bool:
        self.steered.append(text)
        return True

    def close(self) -> None:
        self.closed += 1


def turn(text: str = "hi", **more: Any) -> Turn:
    place: dict[str, Any] = dict(child="c", platform="c", account="", chat_id="x", chat_type="dm", thread_id=None)
    return Turn(id="t", attempt=1, session_id="s", user_id="u", user_name=None, text=text, **{**place, **more})


def said(agent: Any, asked: Turn | None = None) -> str:
    return "".join(delta.text for delta in agent.run(asked or turn()))


def test_the_first_route_that_fits_decides():
    found = [Route(Says("p"), prefix="?"), Route(Says("u"), user="u", chat="y"), Route(Says("c"), child="z")]
    routes = Routes(Says("d"), found)
    assert said(routes.agent(turn("?x"))) == "p"
    assert said(routes.agent(turn(chat_id="y"))) == "u"
    assert said(routes.agent(turn(child="z"))) == "c"
    assert said(routes.agent(turn())) == "d"


@pytest.mark.parametrize("error", [AgentFailed("down"), AgentTimeout("slow")])
def test_the_fallback_answers_where_the_first_fails_before_it_has_said_anything(error):
    agent = WithFallback(Says("one", error), Says("two"), logger)
    assert said(agent) == "two"


def test_an_answer_that_has_begun_is_not_begun_again_by_another():
    with pytest.raises(AgentFailed):
        said(WithFallback(Says("one", AgentFailed("cut"), late=True), Says("two"), logger))


def test_when_the_turns_time_is_spent_nobody_else_is_asked():
    second = Says("two")
    with pytest.raises(TurnTimeout):
        said(WithFallback(Says("one", TurnTimeout("over")), second, logger))
    assert second.prompts == []


def test_a_bug_is_not_hidden_by_a_fallback():
    with pytest.raises(ZeroDivisionError):
        said(WithFallback(Says("one", ZeroDivisionError()), Says("two"), logger))


def test_when_both_fail_the_second_says_why():
    with pytest.raises(AgentTimeout):
        said(WithFallback(Says("one", AgentFailed("x")), Says("two", AgentTimeout("y")), logger))


def test_a_routes_prompt_reaches_the_agent_and_only_through_that_route():
    agent = Says("d")
    routes = Routes(agent, [Route(Prompted(agent, "be brief"), chat="y")], own=[agent])
    said(routes.agent(turn(chat_id="y")), turn(chat_id="y"))
    said(routes.agent(turn()))
    assert agent.prompts == ["be brief", ""]
    routes.close()
    assert agent.closed == 1, "an agent that two routes share is closed once"


def test_a_message_for_a_running_turn_goes_to_the_one_that_answers_it():
    first, second = Says("one", AgentFailed("x"), steers=True), Says("two", steers=True)
    agent = WithFallback(first, second, logger)
    answer = agent.run(turn())
    assert next(answer).text == "two"
    assert agent.steers and agent.steer("t", "more") and not agent.steer("other", "x")
    plain: Any = object()  # steering is an ability that agents declare
    assert not WithFallback(plain, plain, logger).steers and not Prompted(plain, "brief").steers
    assert (first.steered, second.steered) == ([], ["more"])
    list(answer)
    assert not agent.steer("t", "late")


def test_an_agent_that_does_not_close_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package's may raise, or wait for ever."""

    class Stuck(Says):
        def close(self) -> None:
            if self.fails:
                raise self.fails
            gevent.sleep(60)

    monkeypatch.setattr("hermes_green.runtime.routes.CLOSING", 0.02)
    whole, second = Says("whole"), Says("second")
    torn = Stuck("torn", ZeroDivisionError("bug"))
    with gevent.Timeout(30):
        Routes(Stuck("stuck"), [], [Stuck("stuck"), WithFallback(torn, second, logger), whole]).close()
    assert (whole.closed, second.closed) == (1, 1)
