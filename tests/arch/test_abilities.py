"""What the platforms can do stands in both READMEs as the adapters say it: `python -m tests.arch.test_abilities`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Mapping

import pytest

from hermes_green.adapters import registry
from hermes_green.core.model import Caps, CapsTable, Secret, Unit
from tests.support.crowd import FORGETFUL
from tests.support.port import FakeContext

ROOT = Path(__file__).resolve().parents[2]
Words = Mapping[str, str]
PLATFORMS = ("feishu", "dingtalk", "wecom", "qq", "telegram", "slack")
KEYS: Mapping[str, Mapping[str, Any]] = {
    "feishu": {"app_id": "cli_x", "app_secret": Secret("s")},
    "dingtalk": {"client_id": "ding", "client_secret": Secret("s")},
    "wecom": {"bot_id": "b", "secret": Secret("s")},
    "qq": {"app_id": "1", "client_secret": Secret("s")},
    "telegram": {"token": Secret("1:t")},
    "slack": {"bot_token": Secret("xoxb-1"), "app_token": Secret("xapp-1-A0X-1-1")},
}
# What has to be set for an ability that is not there by itself.
EXTRA: Mapping[str, Mapping[str, Any]] = {"dingtalk": {"card_template_id": "x.schema"}}

ENGLISH: Words = {
    "file": "README.md", "": "ability", "yes": "yes", "no": "no", "if": "with `{}`", "any": "any number",
    "feishu": "Feishu, Lark", "dingtalk": "DingTalk", "wecom": "WeCom", "qq": "QQ", "telegram": "Telegram",
    "slack": "Slack", "ever": "any time",
    "dm": "direct chats", "group": "groups", "channel": "guild channels",
    "streaming": "answers grow while they are written", "typing": "a sign that it works on it",
    "quotes": "what a message answers or quotes reaches the agent",
    "reactions": "hooks are told of reactions",
    "media": "pictures, files and voice, in and out", "threads": "threads or topics are conversations of their own",
    "limit": "longest message", "bytes": "{} bytes", "chars": "{} characters", "utf16": "{} UTF-16 units",
    "parts": "messages to one answer", "window": "takes an answer only within", "key": "recognises a repeated send",
    "lookup": "can be asked", "redelivers": "repeats what was not acknowledged", "minutes": "{} min", "hours": "{} h",
    "handover": "a second link before the first ends", "link": "answers need the link",
    "list": ", ", "and": " + ", "of": "{}: {}", "then": "; ",
}  # fmt: skip
CHINESE: Words = {
    "file": "README.zh-CN.md", "": "能力", "yes": "是", "no": "否", "if": "需设置 `{}`", "any": "不限",
    "feishu": "飞书、Lark", "dingtalk": "钉钉", "wecom": "企业微信", "qq": "QQ", "telegram": "Telegram", "slack": "Slack",
    "dm": "单聊", "group": "群聊", "channel": "频道",
    "streaming": "回答边写边显示", "typing": "显示正在处理", "media": "图片、文件和语音的收与发",
    "quotes": "被引用、被回复的消息随之送达智能体", "reactions": "把表情回复通知钩子",
    "threads": "话题各自成为一个会话", "limit": "单条消息上限", "bytes": "{} 字节", "chars": "{} 字符",
    "utf16": "{} 个 UTF-16 单元", "parts": "一次回答的消息条数", "window": "只在此时限内接受回答", "key": "能识别重复发送",
    "lookup": "可以查询", "ever": "随时", "redelivers": "重复推送未确认的消息", "minutes": "{} 分钟", "hours": "{} 小时",
    "handover": "旧连接结束前先建立新连接", "link": "发送回答需要连接",
    "list": "、", "and": "、", "of": "{}：{}", "then": "；",
}  # fmt: skip


def caps_of(platform: str, **more: Any) -> CapsTable:
    """As the adapter says with these settings."""
    package = registry.package(platform)
    adapter = package.create(package.Settings(**KEYS[platform], **more), FakeContext(platform))
    try:
        return adapter.caps
    finally:
        adapter.close()


def by_kind(table: CapsTable, words: Words, tell: Callable[[Caps], str]) -> str:
    """One cell: what holds in every kind of chat, or what holds in which."""
    kinds = [kind for kind in ("dm", "group", "channel") if kind == "dm" or kind in table.by_type]
    told = {kind: tell(table.of(kind)) for kind in kinds}
    if len(set(told.values())) == 1:
        return told["dm"]
    if set(told.values()) == {words["yes"], words["no"]}:
        return words["list"].join(words[kind] for kind in kinds if told[kind] == words["yes"])
    # Kinds of which the same is told share a place.
    places: dict[str, list[str]] = {}
    for kind in kinds:
        places.setdefault(told[kind], []).append(words[kind])
    cells = (words["of"].format(words["and"].join(names), what) for what, names in places.items())
    return words["then"].join(cells)


def seconds(value: float | None, words: Words, never: str = "no") -> str:
    if value is None:
        return words[never]
    return words["minutes"].format(f"{value / 60:g}") if value < 7200 else words["hours"].format(f"{value / 3600:g}")


def flag(name: str) -> Callable[[str, CapsTable, Words], str]:
    """A row of yes and no."""

    def cell(platform: str, table: CapsTable, words: Words) -> str:
        said = by_kind(table, words, lambda caps: words["yes" if getattr(caps, name) else "no"])
        if said == words["no"] and platform in EXTRA:
            with_more = by_kind(caps_of(platform, **EXTRA[platform]), words, lambda caps: str(getattr(caps, name)))
            if with_more == "True":
                return words["if"].format(next(iter(EXTRA[platform])))
        return said

    return cell


def limit(platform: str, table: CapsTable, words: Words) -> str:
    units = {Unit.BYTES: "bytes", Unit.UTF16: "utf16", Unit.CHARS: "chars"}
    return by_kind(table, words, lambda caps: words[units[caps.unit]].format(f"{caps.limit:,}"))


def key(platform: str, table: CapsTable, words: Words) -> str:
    def tell(caps: Caps) -> str:
        return words["lookup"] if caps.lookup and caps.key_lifetime is None else seconds(caps.key_lifetime, words)

    return by_kind(table, words, tell)


ROWS: Mapping[str, Callable[[str, CapsTable, Words], str]] = {
    "streaming": flag("streaming"),
    "typing": flag("typing"),
    "media": flag("media"),
    "quotes": flag("quotes"),
    "reactions": flag("reactions"),
    "threads": flag("threads"),
    "limit": limit,
    "parts": lambda platform, table, words: by_kind(table, words, lambda caps: str(caps.parts or words["any"])),
    "window": lambda platform, table, words: by_kind(
        table, words, lambda caps: seconds(caps.reply_window, words, "ever")
    ),
    "key": key,
    # tests/faults/test_six_platforms.py holds the platforms to this.
    "redelivers": lambda platform, table, words: words["no" if platform in FORGETFUL else "yes"],
    "handover": flag("handover"),
    "link": flag("send_needs_link"),
}


def table_of(words: Words) -> str:
    """The table in one language."""
    tables = {platform: caps_of(platform) for platform in PLATFORMS}
    lines = [[words[""], *(words[platform] for platform in PLATFORMS)], ["---"] * (1 + len(PLATFORMS))]
    for name, cell in ROWS.items():
        lines.append([words[name], *(cell(platform, tables[platform], words) for platform in PLATFORMS)])
    rows = ["| " + " | ".join(cells) + " |" for cells in lines]
    rows[1] = rows[1].replace(" ", "")
    return "\n".join(rows)


@pytest.mark.parametrize("words", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_what_platforms_can_do_is_what_their_adapters_say(words: Words) -> None:
    shown = (ROOT / words["file"]).read_text("utf-8")
    for line in table_of(words).splitlines():
        assert line in shown.splitlines(), f"{words['file']} lacks a line that this module prints: {line}"


def test_every_platform_of_the_registry_is_told_of() -> None:
    assert {*PLATFORMS, "web"} == set(registry.BUILTIN)


if __name__ == "__main__":
    for each in (ENGLISH, CHINESE):
        print(table_of(each), end="\n\n")
