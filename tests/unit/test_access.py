"""Who gets a turn, decided without waiting for anything."""

from dataclasses import replace

import pytest

from hermes_green.core.model import Inbound, Peer
from hermes_green.core.options import Access, GroupAccess
from hermes_green.runtime.access import Verdict, judge, session_of


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


def test_other_bots_are_answered_only_where_they_are_wanted_and_are_never_told_a_code():
    bot = replace(message(), bot=True)
    assert judge(bot, Access(dm="open")) is Verdict.SILENT
    assert judge(bot, Access(dm="open", bots=True)) is Verdict.ALLOW
    assert judge(bot, Access(dm="pairing", bots=True)) is Verdict.SILENT
    assert judge(bot, Access(dm="pairing", bots=True, users=["u1"])) is Verdict.ALLOW


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


def test_one_group_may_be_answered_without_a_mention_while_the_others_keep_the_rule():
    access = Access(group="open", overrides={"g1": GroupAccess(require_mention=False)})
    assert judge(message("group", chat="g1", mentioned=False), access) is Verdict.ALLOW
    assert judge(message("group", chat="g2", mentioned=False), access) is Verdict.SILENT
    strict = Access(group="open", require_mention=False, overrides={"g1": GroupAccess(require_mention=True)})
    assert judge(message("group", chat="g1", mentioned=False), strict) is Verdict.SILENT
    assert judge(message("group", chat="g2", mentioned=False), strict) is Verdict.ALLOW


def test_an_override_lets_no_group_in_that_is_not_listed():
    access = Access(group="allowlist", overrides={"g1": GroupAccess(require_mention=False)})
    assert judge(message("group", chat="g1"), access) is Verdict.SILENT


def test_a_group_with_a_list_of_its_own_answers_those_and_admins():
    access = Access(group="open", admins=["boss"], overrides={"g1": GroupAccess(users=["u1"])})
    assert judge(message("group", user="u1", chat="g1"), access) is Verdict.ALLOW
    assert judge(message("group", user="boss", chat="g1"), access) is Verdict.ALLOW
    assert judge(message("group", user="u2", chat="g1"), access) is Verdict.SILENT
    assert judge(message("group", user=None, chat="g1"), access) is Verdict.SILENT
    assert judge(message("group", user="u2", chat="g2"), access) is Verdict.ALLOW


def peer(kind: str = "group", thread: str | None = None, chat: str = "g1") -> Peer:
    return Peer("web", chat, kind, thread_id=thread, user_id="u1")


def test_a_conversation_belongs_to_its_chat_or_thread_unless_the_rules_say_otherwise():
    assert session_of(peer()) == "web:g1"
    assert session_of(peer(thread="t1")) == "web:g1:t1"
    assert session_of(peer(thread="t1"), Access(threads="chat")) == "web:g1"
    assert session_of(peer(), Access(session="user")) == "web:g1:@u1"
    assert session_of(peer(thread="t1"), Access(session="user")) == "web:g1:t1:@u1"
    assert session_of(peer("dm", chat="c1"), Access(session="user")) == "web:c1", "a direct chat is one user's anyway"


def test_one_group_may_keep_conversations_otherwise_than_the_rest():
    access = Access(overrides={"g1": GroupAccess(threads="chat", session="user")})
    assert session_of(peer(thread="t1"), access) == "web:g1:@u1"
    assert session_of(peer(thread="t1", chat="g2"), access) == "web:g2:t1"
    user = Access(session="user", overrides={"g1": GroupAccess(session="chat")})
    assert session_of(peer(), user) == "web:g1"
