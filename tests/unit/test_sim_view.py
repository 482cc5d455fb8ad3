"""What people on a simulated platform see, read out of its record."""

from hermes_green.sim.kit_record import Record
from hermes_green.sim.kit_view import View


def shown(view: View, since: int = 0) -> list[tuple[str, bool, bool, int]]:
    return [(each["text"], each["growing"], each["gone"], each["changes"]) for each in view.since(since)["bubbles"]]


def test_a_draft_grows_in_one_bubble_until_it_is_sent():
    log = Record()
    view = View(log)
    for text in ("one", "one two"):
        log.add("draft", chat="c", key="k", text=text)
    assert shown(view) == [("one two", True, False, 1)]
    log.add("send", chat="c", key="k", text="one two three", duplicate=False)
    assert shown(view) == [("one two three", False, False, 2)]


def test_the_same_id_in_two_chats_is_two_bubbles_and_an_edit_finds_its_own():
    log = Record()
    view = View(log)
    log.add("send", chat="a", message_id="1", text="x")
    log.add("send", chat="b", message_id="1", text="y")
    log.add("edit", chat="b", message_id="1", text="z")
    assert shown(view) == [("x", False, False, 0), ("z", False, False, 1)]


def test_what_the_platform_recognises_as_repeated_is_not_seen_twice():
    log = Record()
    view = View(log)
    log.add("send", chat="a", message_id="1", key="k", text="x", duplicate=False)
    log.add("send", chat="a", message_id="", key="k", text="x", duplicate=True)
    assert shown(view) == [("x", False, False, 0)]


def test_what_was_taken_back_is_gone_and_only_changes_are_told_again():
    log = Record()
    view = View(log)
    log.add("send", chat="a", message_id="1", text="x")
    log.add("send", chat="a", message_id="2", text="y")
    now = view.since()["now"]
    log.add("recall", chat="a", message_id="1")
    log.add("beat")
    assert shown(view, now) == [("x", False, True, 0)]
    assert shown(view, log.last) == []
