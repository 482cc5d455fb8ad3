"""The doctor says what is wrong, and where to mend it; it dials nobody and never takes long."""

from __future__ import annotations

import socket
from typing import Any, Iterator

import gevent
import pytest

from tests.support.scene import hermes
from tests.support.stage import PATIENCE, Stage, credentials

PLATFORMS = ("feishu", "qq", "dingtalk", "wecom", "telegram", "slack")
SECRETS = {
    "feishu": "app_secret",
    "qq": "client_secret",
    "dingtalk": "client_secret",
    "telegram": "token",
    "slack": "bot_token",
}

WRONG = {"telegram": "123456:wrong-token-of-the-right-form-0123456789", "slack": "xoxb-wrong"}


def write(stage: Stage, name: str, values: dict[str, Any]) -> None:
    stage.write(name, values)
    (stage.conf / f"{name}.yaml").chmod(0o600)


def examined(stage: Stage) -> tuple[int, list[dict[str, Any]]]:
    done = hermes(stage, "doctor", "--json")
    assert done.seconds < PATIENCE, done.seconds
    assert "Traceback" not in done.err, done.err
    said = done.json()
    assert said["ok"] == (done.code == 0)
    return done.code, said["findings"]


def wrong(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in findings if each["level"] == "wrong"]


def of(findings: list[dict[str, Any]], check: str) -> list[dict[str, Any]]:
    return [each for each in findings if each["check"] == check]


def test_six_platforms_that_are_well_are_called_so_and_none_is_dialled(stage: Stage) -> None:
    sims = {name: stage.sim(name) for name in PLATFORMS}
    for name, sim in sims.items():
        write(stage, name, credentials(sim))
    code, findings = examined(stage)
    assert code == 0 and not wrong(findings), wrong(findings)
    for name in PLATFORMS:
        (said,) = [each for each in of(findings, f"credentials {name}") if each["level"] == "ok" or name == "wecom"]
        assert said["text"]
    assert len([each for each in findings if each["check"].startswith("network ")]) >= 6
    checks = {each["check"] for each in findings}
    assert {"configuration", "python", "libraries", "units", "permissions", "locks", "clock", "agent"} <= checks
    for sim in sims.values():
        # The simulated Telegram takes the first call of any kind for a dial.
        assert all(each["path"].endswith("/getMe") for each in sim.record("dial")) and not sim.record("open")
        # Whoever asks for the time asks for "/", with no credentials.
        assert all(each.get("path") == "/" for each in sim.record("violation")), sim.record("violation")
    assert not list(stage.state.glob("*.ledger"))


def test_wrong_credentials_are_named_with_the_key_to_mend(stage: Stage) -> None:
    for name, key in SECRETS.items():
        values = credentials(stage.sim(name))
        write(stage, name, {**values, key: WRONG.get(name, "wrong")})
    code, findings = examined(stage)
    assert code == 1
    for name in SECRETS:
        (said,) = of(findings, f"credentials {name}")
        assert said["level"] == "wrong" and f"{name}.yaml" in said["action"], said
        assert "wrong-token-of-the-right-form" not in str(findings) and "xoxb-wrong" not in str(findings)
    stage.write("gateway", {"http": {"port": 0}, "locale": "zh"})
    (said,) = of(examined(stage)[1], "credentials feishu")
    assert "App Secret" in said["text"] and "请" in said["action"], said


def test_a_broken_configuration_is_told_with_its_place_and_the_rest_is_looked_at_all_the_same(stage: Stage) -> None:
    (stage.conf / "qq.yaml").write_text("enabled: true\napp_id: '1'\nping_intervall: 3\n")
    code, findings = examined(stage)
    assert code == 1
    told = of(findings, "configuration")
    assert any("qq.yaml:3:1" in each["text"] for each in told) and len(told) == 2
    assert {"python", "disk data_dir", "locks"} <= {each["check"] for each in findings}
    done = hermes(stage, "doctor")
    assert done.code == 1 and "qq.yaml:3:1" in done.out and "things are wrong" in done.out


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                taken.append(server.accept()[0])

        greenlet = gevent.spawn(serve)
        yield f"127.0.0.1:{server.getsockname()[1]}"
        greenlet.kill()
        for each in taken:
            each.close()


def test_what_does_not_answer_is_told_within_its_deadline(stage: Stage, silent: str) -> None:
    write(stage, "feishu", {"enabled": True, "app_id": "a", "app_secret": "b", "api_base": f"https://{silent}"})
    way = {"api_base": "http://127.0.0.1:9", "proxy": f"http://{silent}"}
    write(stage, "telegram", {"enabled": True, "token": "1:b", **way})
    agent = {"type": "openai", "base_url": f"http://{silent}/v1", "model": "m", "api_key": "k-canary"}
    write(stage, "gateway", {"http": {"port": 0}, "agent": agent})
    code, findings = examined(stage)
    assert code == 1 and "k-canary" not in str(findings)
    bad = {each["check"]: each["text"] for each in wrong(findings)}
    assert "TLS" in bad[f"network {silent}"], bad
    assert {"credentials feishu", "credentials telegram", "agent"} <= set(bad)


def test_a_running_gateway_is_looked_at_and_a_bot_owned_elsewhere_is_wrong(stage: Stage, tmp_path: Any) -> None:
    sim = stage.sim("feishu")
    write(stage, "feishu", credentials(sim))
    gateway = stage.gateway()
    gateway.until_ready()
    code, findings = examined(stage)
    assert code == 0, wrong(findings)
    assert f"process {gateway.pid}" in of(findings, "gateway")[0]["text"]
    other = Stage(tmp_path / "other")
    other.state = stage.state
    write(other, "feishu", credentials(sim))
    code, findings = examined(other)
    (said,) = wrong(of(findings, "locks"))
    assert code == 1 and f"process {gateway.pid}" in said["text"]
    other.close()
