"""Which texts are commands, in both languages and however they are typed."""

import pytest

from hermes_green.runtime.commands import KNOWN, recognise, spoken


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("/stop", "stop", ""),
        ("  /STOP \n", "stop", ""),
        ("/queue and\nthen this ", "queue", "and\nthen this"),
        ("/queue\nthis", "queue", "this"),
        ("/new@my_bot", "new", ""),
        ("/adapters restart web", "adapters", "restart web"),
        ("/新对话", "new", ""),
        ("／停止", "stop", ""),
        ("/排队 明天", "queue", "明天"),
    ],
)
def test_a_command_is_known_by_its_first_word(text, name, rest):
    found = recognise(text)
    assert (found.name, found.rest) == (name, rest)


@pytest.mark.parametrize("text", ["stop", "/etc/passwd", "/stopp", "/", "/ stop", "see /stop", "/dance with me", ""])
def test_anything_else_is_for_the_agent(text):
    assert recognise(text) is None and spoken(text) == text


def test_what_carries_a_message_says_that_message():
    assert spoken("/queue do it") == "do it" and spoken("/引导 快点") == "快点"
    assert spoken("/retry now") == "/retry now"


def test_commands_that_lack_their_text_are_answered_at_once_with_help():
    assert recognise("/queue").immediate and not recognise("/queue x").immediate
    assert {name for name in KNOWN if recognise(f"/{name} x").immediate} == {
        *("help", "stop", "status", "whoami", "adapters", "approve")
    }
