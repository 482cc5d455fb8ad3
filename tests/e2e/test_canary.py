"""Secrets, at DEBUG, with everything failing: never in a log, a status, a metric, a page or an error."""

from __future__ import annotations

import signal
from typing import Any
from urllib.parse import quote

from tests.support.scene import QUICK, hermes
from tests.support.stage import Gateway, Stage, credentials, http, until

# Each has characters that are written otherwise in an address and in JSON.
CANARIES = {
    "feishu": "canary-feishu/+=secret",
    "qq": "canary-qq/+=secret",
    "dingtalk": "canary-dingtalk/+=secret",
    "wecom": "canary-wecom/+=secret",
    "telegram": "110000001:canary-telegram-0123456789abcdef-secret",
    "bot": "xoxb-canary-slack-bot-secret",
    "app": "xapp-1-A0CANARY-canary-slack-app-secret",
    "http": "canary-http/+=token",
    "agent": "canary-agent/+=key",
    "proxy": "canary-proxy-password",
}
PLATFORMS = ("feishu", "qq", "dingtalk", "wecom", "telegram", "slack")


def configure(stage: Stage) -> dict[str, Any]:
    sims = {name: stage.sim(name) for name in PLATFORMS if name != "feishu"}
    sims["feishu"] = stage.sim("feishu", "--app-secret", CANARIES["feishu"])
    own = {"feishu": {"app_secret": CANARIES["feishu"]}, "qq": {"client_secret": CANARIES["qq"]},
           "dingtalk": {"client_secret": CANARIES["dingtalk"]}, "wecom": {"secret": CANARIES["wecom"]},
           "telegram": {"token": CANARIES["telegram"]},
           "slack": {"bot_token": CANARIES["bot"], "app_token": CANARIES["app"]}}  # fmt: skip
    for name in PLATFORMS:
        stage.write(name, {**credentials(sims[name]), **own[name]})
    # One bot more, behind a proxy that is not there.
    ghost = {"app_id": "cli_ghost", "proxy": f"http://user:{CANARIES['proxy']}@127.0.0.1:9"}
    accounts = {"accounts": {"main": {}, "ghost": ghost}}
    stage.write("feishu", {**credentials(sims["feishu"]), **own["feishu"], **accounts})
    write_gateway(stage)
    return sims


def write_gateway(stage: Stage, **more: Any) -> None:
    agent = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key": CANARIES["agent"],
             "headers": {"X-Key": CANARIES["agent"]}}  # fmt: skip
    values = {
        "http": {"port": 0, "token": CANARIES["http"]},
        "log": {"level": "DEBUG", "file": str(stage.home / "file.log")},
        "agent": agent,
        "access": {"dm": "open", "group": "open"},
        "supervisor": {**QUICK, "escalate_after": 3},
        "hooks": [{"event": "message:received", "run": "nowhere:fn"}, {"event": "agent:error", "run": ["false"]}],
    }
    stage.write("gateway", {**values, **more})


def ask(gateway: Gateway, path: str, body: Any = None) -> str:
    headers = {"Authorization": f"Bearer {CANARIES['http']}"}
    return str(http("GET" if body is None else "POST", gateway.url + path, body, headers))


def leaks(text: str) -> list[str]:
    """Which canaries a text holds, as they are or as they stand in an address or in JSON."""
    forms = {name: {value, quote(value, safe=""), value.replace("/", "\\/")} for name, value in CANARIES.items()}
    return [name for name, written in forms.items() if any(form in text for form in written)]


def test_no_secret_is_ever_told(stage: Stage) -> None:
    sims = configure(stage)
    gateway = stage.gateway()
    seen: dict[str, str] = {}
    until(lambda: "'id': 'qq'" in ask(gateway, "/api/status") and "HALTED" in ask(gateway, "/api/status"))
    until(lambda: '"feishu/main"' in ask(gateway, "/metrics"))
    sims["feishu"].say(text="hello", chat="oc_a", user="ou_a")
    until(lambda: sims["feishu"].sends(), what="the apology")
    for name in ("rst", "garbage"):
        try:
            sims["feishu"].fault(name)
        except AssertionError:
            pass  # not every simulator knows every fault
    sims["feishu"].fault("api_error", code=99991400, count=2)
    sims["feishu"].say(text="again", chat="oc_a", user="ou_a")
    ask(gateway, "/api/adapters/qq/restart", {})
    ask(gateway, "/api/send", {"child": "feishu/main", "chat": "dm:oc_a", "text": "out"})
    secret = CANARIES["qq"]
    (stage.conf / "qq.yaml").write_text(f"enabled: true\nclient_secret: {secret}\nclient_secrett: {secret}\n")
    seen["reload"] = ask(gateway, "/api/reload", {})
    write_gateway(stage, agent={"type": "openai", "model": "m", "api_key": CANARIES["agent"], "base_url": "no address"})
    seen["reload 2"] = ask(gateway, "/api/reload", {})
    write_gateway(stage)
    (stage.conf / "qq.yaml").unlink()
    for path in ("/", "/page.js", "/healthz", "/readyz", "/api/status", "/metrics", "/api/dead", "/api/sessions",
                 "/api/audit", "/api/pairing", "/nothing", "/api/send/x"):  # fmt: skip
        seen[path] = ask(gateway, path)
    wrong = {"Authorization": f"Bearer x{CANARIES['http']}"}
    seen["refused"] = str(http("GET", gateway.url + "/api/status", None, wrong))
    for words in ("status", "check", "doctor", "adapters list", "dead list", "sessions list", "audit", "reload"):
        done = hermes(stage, *words.split())
        seen[words] = done.out + done.err
    assert gateway.kill(signal.SIGTERM) == 0
    seen["log"] = gateway.log.read_text(errors="replace")
    seen["file"] = (stage.home / "file.log").read_text(errors="replace")
    assert "DEBUG" in seen["log"] and "HALTED" in seen["log"] and len(seen["file"]) > 2_000
    assert {where: leaks(text) for where, text in seen.items() if leaks(text)} == {}
    state = {path.name: leaks(path.read_bytes().decode("utf-8", "replace")) for path in stage.state.glob("*")}
    assert not any(state.values()), state
