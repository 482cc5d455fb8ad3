"""What the configuration means: defaults, variables, local files, accounts, access."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key
from hermes_green.settings.load import load, load_outline
from hermes_green.settings.problem import ConfErrors
from hermes_green.settings.schema import Config, EchoAgent, OpenaiAgent, PythonAgent
from hermes_green.settings.show import effective


@dataclass(frozen=True, slots=True, kw_only=True)
class Pigeon(PlatformOptions):
    """A platform of the tests' own."""

    ring: str = key(help="the ring's number")
    whistle: Secret = key(Secret(""), help="the secret whistle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(PlatformOptions):
    """One that is on by default."""

    enabled: bool = key(True, help="false turns it off")


PLATFORMS = {"web": Page, "pigeon": Pigeon}


def write(conf: Path, **files: str) -> None:
    conf.mkdir(exist_ok=True)
    for name, text in files.items():
        (conf / f"{name.replace('__', '.')}.yaml").write_text(text)


def read(conf: Path, env: dict[str, str] | None = None, **more: Any) -> Config:
    return load(conf, PLATFORMS, env or {}, **more)


def test_an_empty_directory_means_the_defaults_of_the_contract(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert config.data_dir == tmp_path.parent / "var"
    shown = effective(config)
    del shown["conf"], shown["data_dir"], shown["children"]
    assert shown == {
        "locale": "en",
        "http": {"host": "127.0.0.1", "port": 8787, "token": ""},
        "log": {"level": "INFO", "format": "text", "file": "", "max_mb": 20, "keep": 5},
        "agent": {"type": "echo", "pace": 0},
        "fallback": None,
        "routes": [],
        "turns": {
            "busy_input_mode": "queue",
            "max_parallel": 256,
            "queue_per_session": 32,
            "timeout": 600,
            "on_crash": "rerun",
            "poison_limit": 3,
            "merge_window": 0,
        },
        "access": {
            "dm": "pairing",
            "group": "allowlist",
            "users": [],
            "groups": [],
            "admins": [],
            "require_mention": True,
            "bots": False,
            "threads": "thread",
            "session": "chat",
            "overrides": {},
        },
        "sessions": {
            "dm": {"reset": "none", "idle_minutes": 1440, "daily_at": "04:00"},
            "group": {"reset": "none", "idle_minutes": 1440, "daily_at": "04:00"},
            "chats": {},
            "history_tokens": 0,
        },
        "limits": {
            "user": {"messages_per_minute": 0, "turns_per_day": 0, "tokens_per_day": 0},
            "chat": {"messages_per_minute": 0, "turns_per_day": 0, "tokens_per_day": 0},
        },
        "supervisor": {
            "backoff_min": 1,
            "backoff_max": 60,
            "healthy_after": 30,
            "crashes": 5,
            "crash_window": 300,
            "escalate_after": 30,
            "drain_seconds": 25,
            "lock_wait": 10,
            "stall_warn": 0.25,
            "stall_kill": 30,
            "max_rss_mb": 0,
        },
        "delivery": {"max_age": 86400, "give_up_after": 14400, "on_unknown": "resend", "dedup_days": 8},
        "retention": {
            "inbox_days": 8,
            "outbox_days": 8,
            "history_turns": 200,
            "dead_days": 90,
            "media_days": 7,
        },
        "audit": {"contents": False},
        "hooks": [],
        "hooks_dir": "hooks",
        "watch": True,
    }


def test_every_platforms_file_has_the_keys_and_defaults_of_the_contract() -> None:
    options = PlatformOptions()
    assert {item.name: getattr(options, item.name) for item in fields(options)} == {
        "enabled": False,
        "accounts": {},
        "api_base": "",
        "ws_base": "",
        "ca_file": "",
        "proxy": "",
        "ping_interval": None,
        "ping_timeout": None,
        "access": None,
        "dial_budget": None,
        "streaming": "auto",
    }


def test_the_agents_have_the_keys_and_defaults_of_the_contract(tmp_path: Path) -> None:
    write(tmp_path, gateway="agent: {type: openai, base_url: http://h/v1, model: m}\n")
    assert read(tmp_path).agent == OpenaiAgent(
        type="openai",
        base_url="http://h/v1",
        api_key=Secret(""),
        model="m",
        system_prompt="",
        history_turns=20,
        timeout=600,
        connect_timeout=10,
        first_byte_timeout=120,
        chunk_timeout=60,
        headers={},
        session="local",
        stream=True,
    )
    write(tmp_path, gateway="agent: {type: python, target: 'a.b:c'}\n")
    assert read(tmp_path).agent == PythonAgent(
        type="python",
        target="a.b:c",
        isolation="process",
        workers=4,
        worker_max_rss_mb=512,
        max_turns_per_worker=200,
        timeout=600,
    )
    write(tmp_path, gateway="agent: {type: command, argv: [bc, -l]}\n")
    assert read(tmp_path).agent.argv == ["bc", "-l"] and read(tmp_path).agent.timeout == 600


def test_a_platform_without_a_file_is_off_and_the_page_is_on(tmp_path: Path) -> None:
    assert [child.id for child in read(tmp_path).children] == ["web"]
    write(tmp_path, web="enabled: false\n")
    assert read(tmp_path).children == ()


def test_the_page_is_open_on_loopback_only_and_unless_its_file_says_otherwise(tmp_path: Path) -> None:
    def dm() -> str:
        return read(tmp_path).children[0].options.access.dm

    assert dm() == "open"
    write(tmp_path, gateway="access: {dm: closed}\n")
    assert dm() == "open"
    write(tmp_path, web="access: {dm: allowlist}\n")
    assert dm() == "allowlist"
    write(tmp_path, gateway="http: {host: 0.0.0.0, token: t}\n", web="")
    assert dm() == "pairing"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_token(tmp_path: Path, host: str) -> None:
    write(tmp_path, gateway=f"http: {{host: '{host}'}}\n")
    assert read(tmp_path).http.host == host


def test_variables_and_files_are_put_in(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("from a file\n")
    write(
        tmp_path,
        gateway="http:\n  port: ${PORT}\n  token: file:secret.txt\nlocale: ${LOCALE:-zh}\n"
        'turns: {timeout: "${T:-30}"}\ndata_dir: ${HOME}/x$${y}\n',
    )
    config = read(tmp_path, {"PORT": "9", "HOME": "/h", "LOCALE": ""})
    assert (config.http.port, config.http.token.reveal(), config.locale) == (9, "from a file", "zh")
    assert (config.turns.timeout, config.data_dir) == (30, Path("/h/x${y}"))


def test_a_line_end_behind_a_secret_is_none_of_its_characters(tmp_path: Path) -> None:
    """Files of variables saved elsewhere, and secrets of a cluster, end in one; Notepad begins with a mark."""
    (tmp_path / "s").write_bytes(b"\xef\xbb\xbffrom a file\r\n")
    write(tmp_path, pigeon="enabled: true\nring: ${RING}\nwhistle: file:s\n", gateway="turns: {timeout: '${T}'}\n")
    config = read(tmp_path, {"RING": "a ring\r\n", "T": "5\r"})
    pigeon = config.children[1].options
    assert (pigeon.ring, pigeon.whistle.reveal(), config.turns.timeout) == ("a ring", "from a file", 5)


def test_a_file_may_be_named_absolutely(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    write(tmp_path / "conf", gateway=f"http: {{token: 'file:{tmp_path}/s'}}\n")
    assert read(tmp_path / "conf").http.token == Secret("x")


def test_numbers_are_not_made_of_words_but_ids_may_be_digits(tmp_path: Path) -> None:
    write(tmp_path, pigeon="enabled: true\nring: 007\naccess: {users: [12, ab]}\n", gateway="turns: {timeout: 5}\n")
    config = read(tmp_path)
    pigeon = config.children[1].options
    assert (pigeon.ring, pigeon.access.users) == ("007", ["12", "ab"])
    assert config.turns.timeout == 5


def test_off_is_a_word_where_a_word_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, pigeon="enabled: on\nring: r\nstreaming: off\n")
    assert read(tmp_path).children[1].options.streaming == "off"


def test_a_group_may_have_rules_of_its_own_and_a_platform_more_of_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        gateway="access: {threads: chat, overrides: {'77': {require_mention: false}, g2: {session: user}}}\n",
        pigeon="enabled: true\nring: r\naccess: {overrides: {'77': {users: [bob]}}}\n",
    )
    access = next(child.options.access for child in read(tmp_path).children if child.platform == "pigeon")
    assert access is not None and access.threads == "chat"
    assert access.within("77").require_mention is False and access.overrides["77"].users == ["bob"]
    assert access.within("g2").session == "user" and access.within("g2").require_mention is True


def test_a_wrong_key_of_one_group_is_told_at_its_place(tmp_path: Path) -> None:
    write(tmp_path, gateway="access:\n  overrides:\n    g1: {mention: false}\n")
    with pytest.raises(ConfErrors) as wrong:
        read(tmp_path)
    (problem,) = wrong.value.problems
    assert problem.spot.line == 3 and 'unknown key "access.overrides.g1.mention"' in problem.what


def test_a_local_file_overrides_key_by_key(tmp_path: Path) -> None:
    write(
        tmp_path,
        gateway="http: {port: 1, token: a}\naccess: {users: [x, y]}\n",
        gateway__local="http: {port: 2}\naccess: {users: [z]}\n",
        pigeon__local="enabled: true\nring: r\n",
    )
    config = read(tmp_path)
    assert (config.http.port, config.http.token.reveal(), config.access.users) == (2, "a", ["z"])
    assert [child.id for child in config.children] == ["web", "pigeon"]


def test_each_account_is_a_child_with_its_own_overrides(tmp_path: Path) -> None:
    write(
        tmp_path,
        gateway="access: {dm: open, users: [boss]}\n",
        pigeon="enabled: true\nring: shared\nwhistle: w\naccess: {group: open}\n"
        "accounts:\n  sales: {ring: s, access: {dm: closed}}\n  support:\n  old: {enabled: false}\n",
    )
    children = {child.id: child for child in read(tmp_path).children}
    assert set(children) == {"web", "pigeon/sales", "pigeon/support"}
    sales, support = children["pigeon/sales"].options, children["pigeon/support"].options
    assert (sales.ring, sales.whistle.reveal(), support.ring) == ("s", "w", "shared")
    assert (sales.access.dm, sales.access.group, sales.access.users) == ("closed", "open", ["boss"])
    assert (support.access.dm, support.access.group) == ("open", "open")
    assert children["pigeon/sales"].account == "sales" and children["pigeon/sales"].platform == "pigeon"
    assert sales.accounts == {}


def test_a_key_may_be_missing_in_the_file_when_every_account_has_it(tmp_path: Path) -> None:
    write(tmp_path, pigeon="enabled: true\naccounts:\n  a: {ring: 1}\n  b: {}\n")
    with pytest.raises(ConfErrors) as caught:
        read(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.spot.line, problem.spot.column, problem.nearest) == (4, 3, "ring")


def test_what_is_switched_off_needs_neither_keys_nor_variables_nor_files(tmp_path: Path) -> None:
    write(tmp_path, pigeon="enabled: false\nring: ${NOWHERE}\nwhistle: file:/nowhere\n")
    assert [child.id for child in read(tmp_path).children] == ["web"]


def test_files_of_platforms_that_do_not_exist_are_ignored_while_off(tmp_path: Path) -> None:
    write(tmp_path, owl="enabled: false\nwisdom: ${NOWHERE}\n")
    assert read(tmp_path).children[0].id == "web"


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    write(
        tmp_path,
        pigeon="enabled: true\nring: r\naccounts:\n  a: &a {whistle: w, proxy: 'http://x'}\n  b: {<<: *a, ring: q}\n",
    )
    options = {child.account: child.options for child in read(tmp_path).children}
    assert (options["b"].whistle.reveal(), options["b"].ring, options["a"].ring) == ("w", "q", "r")


def test_what_an_adapter_says_against_its_settings_stands_at_the_key_it_names(tmp_path: Path) -> None:
    write(tmp_path, pigeon="enabled: true\nwhistle: w\nring: short\n")
    with pytest.raises(ConfErrors) as caught:
        read(tmp_path, checks={"pigeon": lambda settings: [f"the ring {settings.ring} must have ten letters."]})
    (problem,) = caught.value.problems
    assert (problem.spot.line, problem.nearest) == (3, "ring")
    assert "ten letters" in str(problem)


def test_an_authority_that_cannot_be_used_is_told_before_a_child_needs_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (tmp_path / "none.pem", empty):
        write(tmp_path / "conf", pigeon=f"enabled: true\nring: A\nca_file: {path}\n")
        with pytest.raises(ConfErrors) as caught:
            read(tmp_path / "conf")
        (problem,) = caught.value.problems
        assert problem.spot.line == 3 and str(path) in str(problem)
    write(tmp_path / "conf", pigeon=f"enabled: false\nring: A\nca_file: {empty}\n")
    assert not any(child.platform == "pigeon" for child in read(tmp_path / "conf").children)


def test_the_outline_needs_no_variable_but_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        gateway="data_dir: ${DATA}\nhttp: {port: 1}\nagent: {type: openai, api_key: '${KEY}'}\n",
        pigeon="enabled: true\nring: ${RING}\n",
    )
    outline = load_outline(tmp_path, {"DATA": "/d"})
    assert (outline.data_dir, outline.http.port) == (Path("/d"), 1)
    with pytest.raises(ConfErrors):
        load_outline(tmp_path, {})


def test_an_agent_of_another_package_gets_its_options_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "parrots-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[hermes_green.agents]\nparrot = parrots:make\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    write(tmp_path / "conf", gateway="agent: {type: parrot, words: [a, 2, 1.5, true, null], deep: {x: '7'}}\n")
    agent = read(tmp_path / "conf").agent
    assert agent.type == "parrot"
    assert agent.options == {"words": ["a", 2, 1.5, True, None], "deep": {"x": "7"}}


def test_no_secret_is_shown_or_serialised(tmp_path: Path) -> None:
    write(
        tmp_path,
        gateway="http: {token: hunter2}\nagent:\n  type: openai\n  base_url: http://u:hunter2@h/v1\n  model: m\n"
        "  api_key: hunter2\n  headers: {X-Key: hunter2}\n",
        pigeon="enabled: true\nring: r\nwhistle: hunter2\nproxy: http://me:hunter2@proxy:1\n",
    )
    config = read(tmp_path)
    shown = json.dumps(effective(config))
    assert "hunter2" not in shown and "***" in shown
    assert "hunter2" not in repr(config.http) + repr(config.children[1].options.whistle)
    with pytest.raises(TypeError):
        json.dumps(config.http.token)


@pytest.mark.parametrize("address", ["http://me:pass@hunter2@proxy:1", "http://me:a:hunter2@proxy:1"])
def test_all_of_a_password_in_an_address_is_hidden(tmp_path: Path, address: str) -> None:
    write(tmp_path, pigeon=f"enabled: true\nring: r\nwhistle: w\nproxy: {address}\n")
    shown = json.dumps(effective(read(tmp_path)))
    assert "hunter2" not in shown and "//me:***@proxy:1" in shown


def test_the_shipped_configuration_is_valid_and_says_the_defaults(tmp_path: Path) -> None:
    from hermes_green.adapters import registry

    shipped = Path(__file__).parents[2] / "conf"
    packages = {name: registry.package(name) for name in registry.names()}
    platforms = {name: package.Settings for name, package in packages.items()}
    config = load(shipped, platforms, {})
    assert [child.id for child in config.children] == ["web"]
    assert config.agent == EchoAgent()
    ours, defaults = effective(config), effective(load(tmp_path, platforms, {}))
    for shown in (ours, defaults):
        del shown["conf"], shown["data_dir"]
    assert ours == defaults
    for name in registry.BUILTIN:
        assert (shipped / f"{name}.yaml").is_file()
