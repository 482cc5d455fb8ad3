"""The documents say what is so: what they name exists, and both languages say the same."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Iterator, get_args, get_type_hints

import pytest

from hermes_green import __version__, blueprint, cli
from hermes_green.adapters import registry
from hermes_green.agents import calling
from hermes_green.core.machine import State
from hermes_green.core.model import Attachment, Delta, Message, Peer, Turn
from hermes_green.ops.metrics import Metrics
from hermes_green.runtime.commands import KNOWN
from hermes_green.runtime.facts import facts_of
from hermes_green.runtime.words import GENERAL
from hermes_green.settings.reference import markdown
from hermes_green.settings.schema import Gateway
from hermes_green.web.guard import Guard
from hermes_green.web.views import Views

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.zh-CN.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORT = re.compile(r"(adapters|dead|sessions|sim|run|status) [\w-]")
CODE = re.compile(r"`([^`\n]+)`")
# What stands in a command for something of the reader's own.
PLACEHOLDERS = {
    "CHILD": "web",
    "CHAT": "main",
    "TEXT": "hi",
    "NAME": "web",
    "PLATFORM": "qq",
    "ID": "out-1",
    "KEY": "k",
    "CODE": "ABCD-EFGH",
    "USER": "ou_1",
}
# Fields of what the gateway is asked and answers, which look like keys of the configuration.
ANSWERED = {"reply_to", "cooldown_until", "app_mention", "reaction_added", "reaction_removed"}
# What hooks are told of a message.
TOLD = {*facts_of(Peer("", "", "dm"), None, "", None), "user_name"}
VARIABLES = (
    "FEISHU_APP_SECRET",
    "DINGTALK_CLIENT_SECRET",
    "WECOM_SECRET",
    "QQ_CLIENT_SECRET",
    "AGENT_API_KEY",
    "API_SERVER_KEY",
)
# Tokens whose form is looked at.
FORMED = {
    "TELEGRAM_BOT_TOKEN": "110000001:AAabcdefghijklmnopqrstuvwxyz0123456",
    "SLACK_BOT_TOKEN": "xoxb-170000000000-170000000001-abcdef",
    "SLACK_APP_TOKEN": "xapp-1-A0APP-1700000000000-abcdef",
}


@cache
def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str]]:
    return BLOCK.findall(read(name))


def prose(name: str) -> str:
    return BLOCK.sub("", read(name))


def codes(name: str) -> set[str]:
    return set(CODE.findall(prose(name)))


def without_comments(block: str) -> str:
    """Comments are prose, and stand in the reader's language."""
    lines = [re.sub(r"\s*(?<!\S)#(?! conf/).*", "", line) for line in block.splitlines()]
    return "\n".join(lines)


# --- two languages ---------------------------------------------------------------------------------


def test_both_readmes_have_the_same_headings() -> None:
    levels = [[len(mark) for mark in re.findall(r"^(#+) ", prose(name), re.MULTILINE)] for name in READMES]
    assert levels[0] == levels[1]


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = ([(kind, without_comments(text)) for kind, text in blocks(name)] for name in READMES)
    assert english == chinese


def test_both_readmes_have_the_same_tables_and_lists() -> None:
    def shape(name: str) -> list[str]:
        """The kind of every line that is a row, an item or a heading, in order."""
        found = re.findall(r"^ *(\||- |\d+\. |#+ )", prose(name), re.MULTILINE)
        return [mark.strip() for mark in found]

    assert shape(READMES[0]) == shape(READMES[1])


def test_both_readmes_name_the_same_things() -> None:
    english, chinese = (codes(name) for name in READMES)
    assert english - chinese == set() and chinese - english == set()


# --- what they name exists -------------------------------------------------------------------------


@pytest.mark.parametrize("name", READMES)
def test_every_example_of_a_configuration_is_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**dict.fromkeys(VARIABLES, "secret"), **FORMED}.items():
        monkeypatch.setenv(variable, value)
    examples = [text for kind, text in blocks(name) if kind == "yaml" and not text.startswith("# hooks/")]
    assert len(examples) >= 6
    for number, text in enumerate(examples):
        file = re.match(r"# conf/(\S+)\.local\.yaml\n", text)
        assert file, f"the first line of an example names its file: {text}"
        conf = tmp_path / str(number) / "conf"
        conf.mkdir(parents=True)
        for secret in re.findall(r"file:([\w.]+)", text):
            (conf / secret).write_text("secret\n")
        for shipped in (ROOT / "conf").glob("*.yaml"):
            if not shipped.name.endswith(".local.yaml"):
                (conf / shipped.name).write_text(shipped.read_text())
        (conf / f"{file[1]}.local.yaml").write_text(text)
        config = blueprint.load_config(conf)
        assert file[1] == "gateway" or file[1] in {child.platform for child in config.children}


@pytest.mark.parametrize("name", READMES)
def test_the_example_of_a_hook_is_one_and_is_called(name: str, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for _, text in blocks(name):
        file = re.match(r"# (hooks/\S+)\n", text)
        if file:
            path = tmp_path / file[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    config = blueprint.load_config(tmp_path / "conf")
    assert not config.notes and {hook.event for hook in config.hooks} == {"agent:end", "command:*"}
    for hook in config.hooks:
        with pytest.raises(StopIteration):
            calling.resolve(str(hook.run))(hook.event, {"user_id": "u", "args": hook.event}).send(None)
    assert (tmp_path / "hooks/night-watch/asked.txt").read_text().splitlines() == [
        f"{hook.event} u {hook.event}" for hook in config.hooks
    ]


@pytest.mark.parametrize("name", READMES)
def test_the_example_of_an_agent_answers_and_a_turn_has_what_is_said_of_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = (text for kind, text in blocks(name) if text.startswith("# my_agent.py\n"))
    (tmp_path / "my_agent.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_agent", raising=False)
    who = {"child": "web", "platform": "web", "account": "", "chat_id": "c", "chat_type": "dm", "thread_id": None}
    turn = Turn(id="t", attempt=1, session_id="s", user_id="u", user_name="Ann", text="hi", **who)
    answer = "".join(delta.text for delta in calling.deltas(calling.resolve("my_agent:answer")(turn)))
    assert answer == "Hello Ann. You said: hi"
    section = prose(name)[prose(name).index("`history`") : prose(name).index("{type: command")]
    named = set(re.findall(r"`([a-z_]+)`", section))
    had = {each.name for kind in (Turn, Message, Attachment, Delta) for each in fields(kind)}
    assert {"history", "chat_id", "path", "role", "usage"} <= named <= had


def keys_of(declaration: Any, path: str = "") -> Iterator[str]:
    """Every key of a group of settings, with its dotted path."""
    hints = get_type_hints(declaration)
    for item in fields(declaration):
        yield path + item.name
        for kind in (hints[item.name], *get_args(hints[item.name])):
            if is_dataclass(kind):
                yield from keys_of(kind, f"{path}{item.name}.")


@pytest.mark.parametrize("name", READMES)
def test_every_key_named_exists(name: str) -> None:
    known = set(keys_of(Gateway)) | {key for settings in blueprint.platforms().values() for key in keys_of(settings)}
    groups = {key.partition(".")[0] for key in known if "." in key}
    for code in codes(name):
        key = code.partition(":")[0]
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", key) and key.partition(".")[0] in groups:
            assert key in known, f"{code}: no such key"
    last_words = {key.rpartition(".")[2] for key in known} | ANSWERED | TOLD | set(GENERAL)
    for code in codes(name):
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", code) and not code.startswith("hermes_green_"):
            assert code in last_words, f"{code}: no such key"


def parses(words: list[str]) -> bool:
    try:
        cli._parser().parse_args(words)
        return True
    except SystemExit as end:
        return not end.code


def commands(name: str) -> Iterator[str]:
    """Whatever follows ``hermes-green``, in blocks and in the text; and the short forms beside it."""
    for kind, text in blocks(name):
        if kind == "bash":
            yield from re.findall(r"^\.venv/bin/hermes-green (.*?)(?: > \S+)?$", without_comments(text), re.MULTILINE)
    for code in codes(name):
        if code.startswith("hermes-green "):
            yield code.removeprefix("hermes-green ")
        elif SHORT.match(code):
            yield code


@pytest.mark.parametrize("name", READMES)
def test_every_command_named_is_understood(name: str) -> None:
    found = sorted(set(commands(name)))
    assert len(found) >= 15, found
    for command in found:
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
        bare = len(words) == 1 and parses([*words, "--help"])
        assert bare or parses(words), f"hermes-green {command}"
    verbs = {words.split()[0] for words in found}
    assert verbs >= set(re.findall(r"^    (\w+)  ", cli._parser().format_help(), re.MULTILINE)), "a verb is not told of"


@pytest.mark.parametrize("name", READMES)
def test_every_address_named_is_served(name: str) -> None:
    views = Views(None, lambda: None, lambda: b"", Guard("127.0.0.1"), None)  # type: ignore[arg-type]
    told = set()
    for method, address in re.findall(r"`(GET|POST) (/[^`?]*)`", prose(name)):
        path = re.sub(r"\b(ID|CHILD|PLATFORM)\b", "x", address)
        matching = [view for wanted, pattern, view in views._routes if wanted == method and pattern.fullmatch(path)]
        assert matching, f"{method} {address}"
        told.add(matching[0])
    untold = {view.__name__ for _, _, view in views._routes if view not in told}
    assert untold == {"_login"}, "the page's own"


@pytest.mark.parametrize("name", READMES)
def test_every_metric_is_named_and_no_other(name: str) -> None:
    there = set(re.findall(r"^# TYPE (\w+)", Metrics("0").render().decode(), re.MULTILINE))
    assert {code for code in codes(name) if code.startswith("hermes_green_")} == there


@pytest.mark.parametrize("name", READMES)
def test_every_chat_command_is_named_and_no_other(name: str) -> None:
    rows = re.findall(r"^\| `/(\w+)` \|", prose(name), re.MULTILINE)
    assert set(rows) == KNOWN


@pytest.mark.parametrize("name", READMES)
def test_the_reference_of_the_configuration_is_the_printed_one(name: str) -> None:
    found = re.search(r"^<!-- configuration: .* -->\n(.*)^<!-- end of configuration -->$", read(name), re.M | re.S)
    printed = "run: .venv/bin/hermes-green check --reference, and put that between the two marks"
    assert found and found[1] == markdown(blueprint.platforms()), printed


@pytest.mark.parametrize("name", READMES)
def test_every_reason_code_of_ours_is_explained_and_no_other(name: str) -> None:
    section = prose(name)[prose(name).index("`reason.code`") :]
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", section[: section.index("\n## ")], re.MULTILINE)
    assert sorted(rows) == sorted(GENERAL)


@pytest.mark.parametrize("name", READMES)
def test_states_exit_codes_and_platforms_are_the_real_ones(name: str) -> None:
    rows = re.findall(r"^\| ([A-Z]{5,}) \|", prose(name), re.MULTILINE)
    assert set(rows) <= set(State) and {State.HALTED, State.FAILED, State.WAITING} <= set(rows)
    assert set(re.findall(r"^\| (\d+) \|", prose(name), re.MULTILINE)) == {"0", "1", "2", "69", "75", "78"}
    for platform in registry.names():
        assert (ROOT / "conf" / f"{platform}.yaml").is_file()
        assert platform in read(name).lower()


@pytest.mark.parametrize("name", [*READMES, "ARCHITECTURE.md", "CHANGELOG.md"])
def test_every_file_named_is_there(name: str) -> None:
    if not (ROOT / name).exists():
        pytest.fail(f"{name} is missing")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", read(name))
    text = re.sub(r"<\w+>", "*", read(name))
    paths = re.findall(r"(?<![\w/.])((?:scripts|conf|tests|hermes_green|\.ci)/[\w./*-]*[\w*])", text)
    for path in {*links, *paths}:
        if path.endswith((".local.yaml", ".secret")):
            continue
        assert any(ROOT.glob(path)), f"{name} names {path}"


def test_the_change_log_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", read("CHANGELOG.md"), re.MULTILINE)
    assert versions and versions[0] == __version__


@pytest.mark.parametrize("name", READMES)
def test_the_first_screen_holds_both_commands(name: str) -> None:
    screen = read(name).splitlines()[:20]
    assert any(line.startswith("scripts/run_gateway.sh") for line in screen)
    assert any(line.startswith("scripts/test.sh") for line in screen)


@pytest.mark.parametrize(
    ("name", "absent", "words"),
    [
        ("README.md", "not in this release", {}),
        ("README.zh-CN.md", "尚不支持", {"dingtalk": "钉钉", "wecom": "企业微信", "feishu": "飞书"}),
    ],
)
def test_a_platform_is_called_absent_exactly_while_it_is(name: str, absent: str, words: dict[str, str]) -> None:
    all_of_them = {"feishu", "dingtalk", "wecom", "qq", "telegram", "slack"}
    line = next((line for line in read(name).splitlines() if absent in line), "")
    sentences = re.split(r"(?<=[.。]) ?", line)
    told = next((sentence for sentence in sentences if absent in sentence), "").lower()
    for platform in all_of_them:
        assert (words.get(platform, platform) in told) == (platform not in registry.names()), f"{platform}: {told!r}"
