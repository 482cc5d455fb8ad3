"""Every sentence a chat may read exists in both languages, and commands are told from talk."""

from hermes_green.runtime import texts
from hermes_green.runtime.commands import recognise


def test_every_sentence_exists_in_both_languages():
    assert all(texts.locales(name) == {"en", "zh"} for name in texts.names())


def test_an_unknown_language_falls_back_to_english():
    assert texts.say("stopped", "fr") == texts.say("stopped", "en")


def test_a_known_command_is_recognised_whatever_its_case_and_rest():
    command = recognise("  /STOP now please ")
    assert command is not None and command.name == "stop" and command.rest == "now please" and command.immediate


def test_a_new_conversation_waits_its_turn():
    command = recognise("/new")
    assert command is not None and not command.immediate


def test_unknown_commands_and_paths_are_for_the_agent():
    assert recognise("/etc/passwd") is None
    assert recognise("/dance") is None
    assert recognise("hello /stop") is None
