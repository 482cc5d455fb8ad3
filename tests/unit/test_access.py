"""Who gets a turn, decided without waiting for anything."""

import pytest

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import Access
from hermes_green.runtime.access import Verdict, judge


def message(kind: str = "dm", user: str | None = "u1", chat: str = "c1", mentioned: bool = True) -> Inbound:
    return Inbound(("k",), Peer("web", chat, kind, user_id=user), "m", "hello", mentioned=mentioned)


@pytest.mark.parametrize(
    ("policy", "stranger", "listed"),
    [
        ("open", Verdict.ALLOW, Verdict.ALLOW),
        ("pairing", Verdict.PAIR, Verdict.ALLOW),
        ("allowlist", Verdict.SILENT, Verdict.ALLOW),
        ("closed", Verdict.SILENT, Verdict.SILENT),
    ],
)
def test_direct_chats_obey_the_policy(policy, stranger, listed):
    access = Access(dm=policy, users=["u2"])
    assert judge(message(user="u1"), access) is stranger
    assert judge(message(user="u2"), access) is listed


def test_a_sender_without_an_id_is_nobody_that_is_listed():
    assert judge(message(user=None), Access(dm="allowlist", users=["None"])) is Verdict.SILENT


@pytest.mark.parametrize(
    ("policy", "stranger"),
    [("open", Verdict.ALLOW), ("allowlist", Verdict.SILENT), ("pairing", Verdict.SILENT), ("closed", Verdict.SILENT)],
)
def test_strangers_in_groups_are_ignored_in_silence(policy, stranger):
    assert judge(message("group", chat="g1"), Access(group=policy, groups=["g2"])) is stranger


def test_a_listed_group_is_answered_when_the_bot_is_mentioned():
    access = Access(groups=["g1"])
    assert judge(message("group", chat="g1"), access) is Verdict.ALLOW
    assert judge(message("group", chat="g1", mentioned=False), access) is Verdict.SILENT
    loose = Access(groups=["g1"], require_mention=False)
    assert judge(message("group", chat="g1", mentioned=False), loose) is Verdict.ALLOW
