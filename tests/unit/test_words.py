"""Every code of every platform has a sentence and a remedy in both languages, and the status shows them."""

from __future__ import annotations

import re

import pytest

from hermes_green.adapters import registry
from hermes_green.core.model import Secret
from hermes_green.ops.log import add_secrets
from hermes_green.runtime.words import GENERAL, Reason, Words

PLATFORMS = [name for name in registry.names() if registry.package(name).CODES]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_code_has_a_sentence_and_a_remedy_in_both_languages(name: str) -> None:
    package = registry.package(name)
    for key, code in package.CODES.items():
        help = package.HELP.get(key)
        assert help, f"{name} {key} has no Chinese in codes.txt"
        assert code.text and (code.action or help.action), f"{name} {key} has no English remedy"
        assert CHINESE.search(help.zh) and CHINESE.search(help.zh_action), f"{name} {key} has no Chinese"
        assert not (code.action and help.action), f"{name} {key} has two English remedies"


def test_a_reason_in_which_a_platform_echoes_a_secret_does_not_tell_it() -> None:
    add_secrets([Secret("h0rse-battery")])
    reason = Reason("10003", "no app has the secret h0rse-battery", "set h0rse-battery anew")
    assert (reason.text, reason.action) == ("no app has the secret ***", "set *** anew")


def test_the_tables_hold_what_was_promised() -> None:
    assert len(PLATFORMS) == 6
    assert sum(len(registry.package(name).CODES) for name in PLATFORMS) >= 60


def shown(name: str, reason: Reason, locale: str = "zh") -> Reason:
    return Words(registry.package(name).HELP, lambda: locale)(reason)


def test_a_vendors_code_keeps_its_number_and_the_vendors_own_words() -> None:
    error = registry.package("feishu").CODES[10014].build(10014, "app secret invalid")
    reason = shown("feishu", Reason(error.code, error.text, error.action))
    assert reason.text == "App Secret 错误（10014: app secret invalid）"
    assert "feishu.yaml" in reason.action and CHINESE.search(reason.action)


def test_a_reader_is_told_in_his_own_language_whatever_the_operators_is() -> None:
    raised = Reason("100016", "app_id or client_secret is wrong (100016)", "Check")
    words = Words(registry.package("qq").HELP, lambda: "zh")
    assert CHINESE.search(words(raised).text) and words(raised) == words.spoken(raised, "zh")
    assert words.spoken(raised, "en") == raised


def test_english_gets_the_remedy_that_the_error_did_not_bring() -> None:
    error = registry.package("wecom").CODES[846609].build(846609)
    assert shown("wecom", Reason(error.code, error.text, error.action), "en").action.startswith("Nothing to do")
    assert shown("wecom", Reason(error.code, error.text, "own"), "en").action == "own"


def test_codes_of_our_own_keep_what_is_special_to_the_case() -> None:
    spent = shown("qq", Reason("budget_spent", "cooling down until 12:00:00"))
    assert spent.text == "拨号次数已达上限（冷却至 12:00:00）"
    boots = shown("qq", Reason("boot_spacing", "several starts in 300 s without a link: the first dial waits 4 s"))
    assert boots.text == "启动过于频繁（300 秒内多次，4 秒后拨号）"
    assert shown("qq", Reason("ready", "connected as the page")).text == "已连接（网页）"
    assert shown("qq", Reason("closed", "the platform closed the link")).text == "平台关闭了连接"
    assert shown("qq", Reason("stopped", "stopped by the operator", "hermes-green adapters start qq")) == Reason(
        "stopped", "已按要求停止", "hermes-green adapters start qq"
    )


def test_a_bot_that_may_be_deaf_is_told_so_in_chinese_too() -> None:
    text = "cooling down until 12:00:00: dialled often and nothing heard since, the routing may be stuck"
    reason = shown("dingtalk", Reason("suspect", text, "wait"))
    assert reason.text.endswith("（冷却至 12:00:00）") and "Stream" in reason.action and CHINESE.search(reason.action)


def test_the_next_try_is_told_in_chinese_too() -> None:
    reason = shown("telegram", Reason("401", "Telegram does not know this token (401)", "Check; next try at 12:30:00"))
    assert reason.action.endswith("；下次尝试 12:30:00") and "。；" not in reason.action


def test_an_unknown_code_is_shown_as_it_came() -> None:
    reason = Reason("whatever", "some words", "some action")
    assert shown("qq", reason) is reason


def test_our_own_codes_are_chinese() -> None:
    assert all(CHINESE.search(help.zh) for help in GENERAL.values())
