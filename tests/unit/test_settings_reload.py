"""What a changed configuration asks for: nothing, a live change, a restart of children, of the process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hermes_green.core.model import Secret
from hermes_green.core.options import PlatformOptions, key
from hermes_green.settings.load import load
from hermes_green.settings.schema import Config
from hermes_green.settings.show import Difference, diff


@dataclass(frozen=True, slots=True, kw_only=True)
class Pigeon(PlatformOptions):
    """A platform of the tests' own."""

    ring: Secret = key(Secret("r"), help="the ring's number")


def config(conf: Path, gateway: str = "", pigeon: str = "enabled: true\n") -> Config:
    conf.mkdir(exist_ok=True)
    (conf / "gateway.yaml").write_text(gateway)
    (conf / "pigeon.yaml").write_text(pigeon)
    return load(conf, {"pigeon": Pigeon}, {})


def change(tmp_path: Path, **changed: str) -> Difference:
    return diff(config(tmp_path / "conf"), config(tmp_path / "conf", **changed))


def ids(children: tuple) -> list[str]:
    return [child.id for child in children]


def test_a_comment_changes_nothing(tmp_path: Path) -> None:
    assert not change(tmp_path, gateway="# nothing\n")


@pytest.mark.parametrize("text", ["access: {dm: open}", "streaming: off", "dial_budget: [[4, 120]]"])
def test_access_streaming_and_budgets_are_live(tmp_path: Path, text: str) -> None:
    assert change(tmp_path, pigeon=f"enabled: true\n{text}\n") == Difference(live=("pigeon",))


@pytest.mark.parametrize("text", ["ring: other", "api_base: 'http://x'", "ping_interval: 5", "proxy: 'socks5://h:1'"])
def test_every_other_key_of_a_platform_restarts_its_children(tmp_path: Path, text: str) -> None:
    found = change(tmp_path, pigeon=f"enabled: true\nstreaming: off\n{text}\n")
    assert ids(found.restart) == ["pigeon"] and found.live == ()


def test_children_come_and_go_with_their_accounts(tmp_path: Path) -> None:
    found = change(tmp_path, pigeon="enabled: true\naccounts: {a: {}, b: {}}\n")
    assert (ids(found.start), ids(found.stop), ids(found.restart)) == (["pigeon/a", "pigeon/b"], ["pigeon"], [])
    found = change(tmp_path, pigeon="enabled: false\n")
    assert (ids(found.start), ids(found.stop)) == ([], ["pigeon"])


def test_one_account_restarts_alone(tmp_path: Path) -> None:
    old = config(tmp_path / "conf", pigeon="enabled: true\naccounts: {a: {ring: 1}, b: {ring: 2}}\n")
    new = config(tmp_path / "conf", pigeon="enabled: true\naccounts: {a: {ring: 1}, b: {ring: 3}}\n")
    assert ids(diff(old, new).restart) == ["pigeon/b"]


@pytest.mark.parametrize(
    "text, group",
    [
        ("turns: {timeout: 5}", "turns"),
        ("delivery: {max_age: 5}", "delivery"),
        ("retention: {dead_days: 5}", "retention"),
        ("agent: {type: openai, base_url: 'http://h', model: m}", "agent"),
        ("routes: [{chat: c, agent: {type: echo}}]", "routes"),
        ("hooks: [{event: 'agent:end', run: 'a:b'}]", "hooks"),
        ("log: {level: DEBUG}", "log"),
        ("supervisor: {healthy_after: 1}", "supervisor"),
        ("locale: zh", "locale"),
    ],
)
def test_groups_of_the_gateway_are_live(tmp_path: Path, text: str, group: str) -> None:
    assert change(tmp_path, gateway=text) == Difference(groups=(group,))


def test_the_gateways_access_is_live_for_the_children_that_follow_it(tmp_path: Path) -> None:
    assert change(tmp_path, gateway="access: {dm: open}") == Difference(live=("pigeon",), groups=("access",))


@pytest.mark.parametrize(
    "text, name",
    [
        ("data_dir: elsewhere", "data_dir"),
        ("http: {port: 1}", "http.port"),
        ("http: {token: t}", "http.token"),
        ("log: {file: x.log}", "log.file"),
    ],
)
def test_what_only_a_new_process_takes_up_is_named(tmp_path: Path, text: str, name: str) -> None:
    assert change(tmp_path, gateway=text) == Difference(restart_required=(name,))
