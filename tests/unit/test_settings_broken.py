"""Every broken configuration is told with its place, the nearest key and one sentence of help."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key
from hermes_green.settings.load import load
from hermes_green.settings.problem import ConfErrors, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Pigeon(PlatformOptions):
    """A platform of the tests' own."""

    ring: str = key(help="the ring's number")
    whistle: Secret = key(help="the secret whistle")
    breed: Literal["homing", "racing"] = key("homing", help="which kind")
    lofts: list[str] | int | None = key(None, help="where they live")


PLATFORMS = {"pigeon": Pigeon}


def problems(conf: Path, env: dict[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(ConfErrors) as caught:
        load(conf, PLATFORMS, env or {})
    return caught.value.problems


BROKEN: dict[str, tuple[str, str | bytes, int, int, str, str]] = {
    # name: (file, text, line, column, nearest key, a word of the sentence)
    "unknown key": ("gateway.yaml", "locale: en\nagnet: {type: echo}\n", 2, 1, "agent", "unknown key"),
    "unknown inner key": ("gateway.yaml", "turns:\n  time_out: 5\n", 2, 3, "turns.timeout", "turns.time_out"),
    "inner key at the top": ("gateway.yaml", "port: 8080\n", 1, 1, "http.port", "unknown key"),
    "word for a number": ("gateway.yaml", "http: {port: many}\n", 1, 14, "http.port", "whole number"),
    "quoted number": ("gateway.yaml", 'turns:\n  timeout: "600"\n', 2, 12, "turns.timeout", "in quotes"),
    "fraction for a whole": ("gateway.yaml", "http:\n  port: 80.5\n", 2, 9, "http.port", "whole number"),
    "octal": ("gateway.yaml", "http:\n  port: 010\n", 2, 9, "http.port", "whole number"),
    "infinite": ("gateway.yaml", "turns: {timeout: .inf}\n", 1, 18, "turns.timeout", "not a number"),
    "too large": ("gateway.yaml", "http: {port: 70000}\n", 1, 14, "http.port", "more than 65535"),
    "too small": ("gateway.yaml", "turns: {max_parallel: 0}\n", 1, 23, "turns.max_parallel", "less than 1"),
    "not a choice": ("gateway.yaml", "log:\n  level: LOUD\n", 2, 10, "log.level", "one of DEBUG"),
    "not a yes": ("gateway.yaml", "access: {require_mention: eh}\n", 1, 27, "access.require_mention", "true or false"),
    "list for a mapping": ("gateway.yaml", "http:\n  - host\n", 2, 3, "http", "not a mapping"),
    "word for a list": ("gateway.yaml", "access: {users: me}\n", 1, 17, "access.users", "not a list"),
    "nothing for text": ("gateway.yaml", "data_dir:\nlocale: en\n", 1, 10, "data_dir", "text"),
    "list item": ("gateway.yaml", "access:\n  users: [a, [b]]\n", 2, 14, "access.users", "not text"),
    "bad address": (
        "gateway.yaml",
        "agent:\n  type: openai\n  model: m\n  base_url: localhost:80/v1\n",
        4,
        13,
        "agent.base_url",
        "http://host",
    ),
    "missing key": ("gateway.yaml", "agent:\n  type: openai\n  base_url: http://h\n", 2, 3, "agent.model", "missing"),
    "no such agent": ("gateway.yaml", "agent: {type: opneai}\n", 1, 15, "agent", "nearest: openai"),
    "agent without type": ("gateway.yaml", "agent: {model: m}\n", 1, 8, "agent", '"type" is missing'),
    "no time": ("gateway.yaml", "sessions:\n  dm: {daily_at: 25}\n", 2, 18, "sessions.dm.daily_at", "not a time"),
    "no such event": (
        "gateway.yaml",
        "hooks:\n- event: agent:begin\n  run: a:b\n",
        2,
        10,
        "hooks[0].event",
        "agent:start",
    ),
    "no callable": ("gateway.yaml", "agent: {type: python, target: mine}\n", 1, 31, "agent.target", ":function"),
    "no program": ("gateway.yaml", "agent: {type: command, argv: []}\n", 1, 30, "agent.argv", "a program"),
    "no name of one": ("gateway.yaml", "fallback: {type: command, argv: ['']}\n", 1, 33, "fallback.argv", "a program"),
    "no hook": ("gateway.yaml", "hooks: [{event: agent:end, run: []}]\n", 1, 33, "hooks[0].run", "a program"),
    "no such hook": ("gateway.yaml", "hooks: [{event: agent:end, run: mine}]\n", 1, 33, "hooks[0].run", "no package"),
    "half a hook": ("gateway.yaml", "hooks: [{event: agent:end, run: 'a:'}]\n", 1, 33, "hooks[0].run", ":function"),
    "host with a scheme": ("gateway.yaml", "http: {host: 'http://h'}\n", 1, 14, "http.host", "without http://"),
    "host in brackets": ("gateway.yaml", "http:\n  host: '[::1]'\n", 2, 9, "http.host", "brackets"),
    "host with a port": ("gateway.yaml", "http:\n  host: 'h:80'\n", 2, 9, "http.host", "no address or name"),
    "token that no header carries": ("gateway.yaml", "http: {token: 密码}\n", 1, 15, "http.token", "cannot carry"),
    "token with a blank": ("gateway.yaml", "http:\n  token: 'a '\n", 2, 10, "http.token", "blank"),
    "no host": ("gateway.yaml", "http:\n  host: ''\n", 2, 9, "http.host", "no address or name"),
    "key that no header carries": (
        "gateway.yaml",
        "agent: {type: openai, base_url: 'http://h', model: m, api_key: 密}\n",
        1,
        64,
        "agent.api_key",
        "cannot carry",
    ),
    "header that none carries": (
        "gateway.yaml",
        'fallback: {type: openai, base_url: "http://h", model: m, headers: {A: "b\\nc"}}\n',
        1,
        67,
        "fallback.headers",
        "of A: ",
    ),
    "no name of a header": (
        "gateway.yaml",
        "agent: {type: openai, base_url: 'http://h', model: m, headers: {A B: c}}\n",
        1,
        64,
        "agent.headers",
        '"A B"',
    ),
    "token needed": ("gateway.yaml", "http:\n  host: 0.0.0.0\n", 2, 9, "http.token", "must be set"),
    "unset variable": ("gateway.yaml", "http:\n  token: ${NOWHERE}\n", 2, 10, "http.token", "NOWHERE is not set"),
    "odd variable": ("gateway.yaml", "http:\n  token: ${A B}\n", 2, 10, "http.token", "form ${NAME}"),
    "open variable": ("gateway.yaml", "http:\n  token: 'x${HOME'\n", 2, 10, "http.token", "form ${NAME}"),
    "variable in brackets": ("gateway.yaml", "access:\n  users: [${ME}]\n", 2, 12, "access.users", "quotes"),
    "a name that is none": ("gateway.yaml", 'data_dir: "a\\0b"\n', 1, 11, "data_dir", "cannot be the name"),
    "half a character": ("gateway.yaml", 'data_dir: "\\ud800"\n', 1, 11, "data_dir", "cannot be the name"),
    "missing file": ("gateway.yaml", "http:\n  token: file:none.txt\n", 2, 10, "http.token", "cannot be read"),
    "twice": ("gateway.yaml", "locale: en\nhttp: {}\nlocale: zh\n", 3, 1, "locale", "twice"),
    "tab": ("gateway.yaml", "http:\n\thost: x\n", 2, 1, "http.host", "tab"),
    "byte order mark": ("gateway.yaml", b"\xef\xbb\xbflocale: en\n", 1, 1, "locale", "byte order mark"),
    "nul": ("gateway.yaml", b"locale: en\nhttp:\n  host: a\x00b\n", 3, 10, "http.host", "U+0000"),
    "not utf-8": ("gateway.yaml", b"locale: en\ndata_dir: caf\xe9\n", 2, 14, "data_dir", "UTF-8"),
    "utf-16": ("gateway.yaml", "locale: en\n".encode("utf-16"), 1, 1, "data_dir", "UTF-8"),
    "two documents": ("gateway.yaml", "locale: en\n---\nlocale: zh\n", 2, 1, "locale", "second document"),
    "anchor loop": ("gateway.yaml", "access: &a\n  users: [*a]\n", 1, 9, "access", "contains itself"),
    "unknown alias": ("gateway.yaml", "access: *rules\n", 1, 9, "access", "undefined alias"),
    "python tag": ("gateway.yaml", "data_dir: !!python/name:os.system x\n", 1, 11, "data_dir", "tag"),
    "tagged mapping": ("gateway.yaml", "http: !x {port: 1}\n", 1, 7, "http", "tags"),
    "tagged list": ("gateway.yaml", "routes: !x []\n", 1, 9, "routes", "tags"),
    "unclosed": ("gateway.yaml", "access: {users: [a, b}\n", 1, 22, "access.users", "expected"),
    "colon of a Chinese keyboard": ("gateway.yaml", "watch: true\nlocale：zh\nhttp: {}\n", 2, 7, "locale", "a blank"),
    "such a colon alone": ("gateway.yaml", "locale：zh\n", 1, 7, "locale", "a blank"),
    "such a colon above more": ("gateway.yaml", "http：\n  port: 1\n", 1, 5, "http", "a blank"),
    "no blank": ("pigeon.yaml", "enabled: true\nring:r\nwhistle: w\n", 2, 5, "ring", "a blank"),
    "equals sign": ("pigeon.yaml", "enabled=true\n", 1, 8, "enabled", "a blank"),
    "no colon": ("gateway.yaml", "locale: en\nlocal\nwatch: true\n", 2, 1, "locale", "a blank must follow"),
    "unclosed quote": ("pigeon.yaml", 'ring: "r\nwhistle: w\n', 1, 7, "ring", "never closed"),
    "after a quote": ("pigeon.yaml", "ring: 'r'x\n", 1, 10, "ring", "follow a value in quotes"),
    "mark of YAML's": ("pigeon.yaml", "ring: @r\n", 1, 7, "ring", "begins with @ must stand in quotes"),
    "indented": ("pigeon.yaml", "ring: r\n  breed: homing\n", 2, 8, "breed", "same column"),
    "less indented": ("pigeon.yaml", " ring: r\nbreed: homing\n", 2, 1, "breed", "same column"),
    "variable in quotes": ("gateway.yaml", 'http: {port: "${PORT:-x}"}\n', 1, 14, "http.port", "stands for"),
    "a list": ("gateway.yaml", "- locale: en\n", 1, 1, "locale", "must be a mapping"),
    "key that is a list": ("gateway.yaml", "? [a, b]\n: c\n", 1, 3, "data_dir", "single word"),
    "platform key": ("pigeon.yaml", "enabled: false\nwhistel: x\n", 2, 1, "whistle", "unknown key"),
    "platform required": ("pigeon.yaml", "enabled: true\nring: r\n", 1, 1, "whistle", "missing"),
    "platform type": ("pigeon.yaml", "ping_interval: soon\n", 1, 16, "ping_interval", "not a number"),
    "platform secret": ("pigeon.yaml", "enabled: yes\nring: r\nwhistle:\n  - a\n", 4, 3, "whistle", "is not text"),
    "platform switch": ("pigeon.yaml", "enabled: perhaps\n", 1, 10, "enabled", "true or false"),
    "platform budget": ("pigeon.yaml", "dial_budget: [[4, 120], [8]]\n", 1, 14, "dial_budget", "pair"),
    "platform address": ("pigeon.yaml", "api_base: ftp://x\n", 1, 11, "api_base", "https://host"),
    "platform access": ("pigeon.yaml", "access: [open]\n", 1, 9, "access", "not a mapping"),
    "platform union": ("pigeon.yaml", "lofts: {}\n", 1, 8, "lofts", "a mapping is not"),
    "account name": ("pigeon.yaml", "accounts:\n  a/b: {}\n", 2, 3, "accounts", "cannot name an account"),
    "account is a word": ("pigeon.yaml", "accounts:\n  sales: x\n", 2, 10, "accounts", "not a mapping"),
    "wrong account": ("pigeon.yaml", "enabled: true\naccounts:\n  a/b: {ring: r}\n", 3, 3, "accounts", "cannot name"),
    "account key": ("pigeon.yaml", "accounts:\n  sales: {rings: 1}\n", 2, 11, "ring", "unknown key"),
    "account in account": ("pigeon.yaml", "accounts:\n  sales: {accounts: {}}\n", 2, 11, "accounts", "of its own"),
    "accounts a list": ("pigeon.yaml", "accounts: [sales]\n", 1, 11, "accounts", "mapping"),
    "no such platform": ("pidgeon.yaml", "enabled: true\n", 1, 1, "enabled", "nearest: pigeon"),
    "other ending": ("pigeon.yml", "enabled: true\n", 1, 1, "enabled", "pigeon.yaml"),
    "other ending of ours": ("gateway.yml", "locale: zh\n", 1, 1, "data_dir", "gateway.yaml"),
    "local file": ("gateway.local.yaml", "\nlocal: en\n", 2, 1, "locale", "unknown key"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.thorough
def test_a_broken_file_is_told_with_its_place_and_the_nearest_key(tmp_path: Path, case: str) -> None:
    name, text, line, column, nearest, word = BROKEN[case]
    conf = tmp_path / "conf"
    conf.mkdir()
    path = conf / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = problems(conf)
    assert [(each.spot.line, each.spot.column) for each in found] == [(line, column)], found
    (problem,) = found
    assert problem.spot.file == str(path)
    assert problem.nearest == nearest
    assert word in problem.what
    assert re.fullmatch(rf"{re.escape(str(path))}:{line}:{column}: .+; nearest known key: .+; .+", str(problem))


def test_a_variable_that_is_no_text_is_an_error_and_not_repeated(tmp_path: Path) -> None:
    """Python hands over the bytes that are not UTF-8 as halves of characters, which no call could carry."""
    (tmp_path / "gateway.yaml").write_text("http:\n  token: ${TOKEN}\n")
    (problem,) = problems(tmp_path, {"TOKEN": os.fsdecode(b"sesame\xff")})
    assert (problem.spot.line, problem.spot.column, problem.nearest) == (2, 10, "http.token")
    assert "TOKEN is not UTF-8 text" in problem.what and "sesame" not in str(problem)


def test_all_errors_of_all_files_come_at_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("locale: de\nhttp: {port: x}\nturns: {timeout: 0}\n")
    (tmp_path / "pigeon.yaml").write_text("enabled: true\nring: ${RING}\nbreed: fat\n")
    found = [(Path(each.spot.file).name, each.spot.line) for each in problems(tmp_path)]
    assert found == [
        ("gateway.yaml", 1),
        ("gateway.yaml", 2),
        ("gateway.yaml", 3),
        ("pigeon.yaml", 1),
        ("pigeon.yaml", 2),
        ("pigeon.yaml", 3),
    ]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "nowhere")
    assert "no such directory" in problem.what


@pytest.mark.parametrize("name", ["gateway.yaml", "pigeon.yaml"])
def test_what_is_not_a_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (problem,) = problems(tmp_path)
    assert "cannot be read" in problem.what


def test_a_dangling_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pigeon.yaml").symlink_to(tmp_path / "gone.yaml")
    (problem,) = problems(tmp_path)
    assert "cannot be read" in problem.what


@pytest.mark.thorough
def test_a_file_that_names_billions_of_values_is_refused_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "gateway.yaml").write_text("\n".join(lines))
    assert any("too large" in each.what for each in problems(tmp_path))


@pytest.mark.thorough
def test_a_file_nested_beyond_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("a: " + "[" * 5000)
    (problem,) = problems(tmp_path)
    assert "nested too deeply" in problem.what


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("# " + "x" * (1 << 20))
    (problem,) = problems(tmp_path)
    assert "1 MiB" in problem.what


def test_a_secret_is_never_repeated_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "pigeon.yaml").write_text("enabled: true\nring: r\nwhistle: {x: hunter2}\nbreed: ${HUNTER}\n")
    told = "\n".join(map(str, problems(tmp_path, {"HUNTER": "hunter2"})))
    assert "hunter2" not in told


@pytest.mark.parametrize("mark", ["*", "!", "!!", "&", "@", "%", "`"])
def test_a_secret_that_begins_with_a_mark_of_yamls_is_not_told_and_its_quotes_are_asked_for(
    tmp_path: Path, mark: str
) -> None:
    (tmp_path / "pigeon.yaml").write_text(f"enabled: true\nring: a\nwhistle: {mark}h0rseBattery\n")
    found = problems(tmp_path)
    told = " ".join(map(str, found))
    assert "h0rse" not in told, told
    assert all(problem.spot.line in (1, 3) for problem in found), told
    assert mark not in "*!" or "quotes" in told
