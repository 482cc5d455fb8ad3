"""What the page's tests share: a gateway with something of everything, and a judge of accessibility."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from typing import Any, Literal, Mapping, Sequence

from hermes_green.adapters import registry
from hermes_green.core.clock import SystemClock, rfc3339
from hermes_green.core.ports import Counts, DeadLetter
from hermes_green.ops.metrics import Metrics
from hermes_green.runtime.snapshot import LOCALES
from hermes_green.runtime.words import Reason, Words
from hermes_green.web.history import INTERVAL, History
from tests.support.browser import Page
from tests.support.gateway import Site, child
from tests.support.stage import ROOT

VIEWS = ("lab", "chat", "board", "dead", "sessions", "events", "pairing")
AXE = "axe-core@4.10.3"
MISSING = "node and npm are needed to judge how accessible the page is: `apt-get install nodejs npm` puts them here"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_DIALS = [{"window": 120, "used": 1, "limit": 4}, {"window": 900, "used": 3, "limit": 8}]


class _Past(SystemClock):
    back = 0.0

    def wall(self) -> float:
        return time.time() - self.back


def history(points: int = 120) -> History:
    """A past with some traffic in it."""
    metrics, clock = Metrics("0.0.0"), _Past()
    kept = History(metrics.spreads, lambda: 1.0, lambda: Counts(inbox=2, outbox=1), clock)
    for n in range(points):
        clock.back = (points - n) * INTERVAL
        for _ in range(n % 3):
            metrics.turn("web", "answered", 0.3 + n % 7)
            metrics.delivery("web", "delivered", 0.02 * (n % 5))
        kept.take(1.5 + n % 4)
    return kept


class FakeLab:
    """Two simulated platforms on which a little was said."""

    def platforms(self) -> Sequence[Mapping[str, Any]]:
        faults = [{"id": f"fault{n}", "label": f"Something breaks, number {n}", "lasts": n % 2 == 0} for n in range(12)]
        return [{"name": name, "title": name.title(), "kinds": ("dm", "group"), "faults": faults} for name in "ab"]

    def seen(self, platform: str, since: int = 0) -> dict[str, Any]:
        facts = {"chat": "c", "at": time.time(), "growing": False, "changes": 0, "gone": False}
        lines = [
            {**facts, "id": "1", "role": "user", "kind": "dm", "text": "How far is it to the moon?"},
            {**facts, "id": "2", "role": "assistant", "text": "Far: 384400 km. " * 9, "changes": 3},
            {**facts, "id": "3", "role": "assistant", "text": "And", "growing": True},
            {**facts, "id": "4", "role": "assistant", "text": "Never mind", "gone": True},
        ]
        return {"now": 1, "lines": lines if not since else [], "on": ["fault2"], "links": 1, "sent": 2, "violations": 0}

    def say(self, platform: str, text: str, kind: str = "dm") -> dict[str, Any]:
        return {}

    def fault(self, platform: str, id: str) -> None:
        """Nothing breaks."""

    def clear(self, platform: str, id: str | None = None) -> None:
        """Nothing was broken."""


def because(platform: str, code: str, text: str, action: str = "") -> dict[str, Any]:
    """A reason as the status tells it."""
    words = Words(getattr(registry.package(platform), "HELP", {}), lambda: "en")
    spoken = {locale: words.spoken(Reason(code, text, action), locale) for locale in LOCALES}
    told = {locale: {"text": said.text, "action": said.action} for locale, said in spoken.items()}
    return {"code": code, **told["en"], **told}


def children() -> list[dict[str, Any]]:
    """One child in each state that a reader may meet."""
    until = f"cooling down until {time.strftime('%H:%M:%S', time.localtime(time.time() + 300))}"
    spent = because("dingtalk", "budget_spent", until)
    wrong = registry.package("qq").CODES[100016].build(100016)
    refused = because("qq", wrong.code, wrong.text, f"{wrong.action.rstrip('.')}; next try at 12:30:00")
    down = because("telegram", "stopped", "stopped by the operator", "hermes-green adapters start telegram")
    bug = because("slack", "crash_limit", "crashed 5 times in 300 s: KeyError('ts')", "this is a bug; see the log")
    return [
        child("dingtalk", "WAITING", reason=spent, cooldown_until=rfc3339(time.time() + 300), losses=4, suspect=True,
              dials=[{"window": 120, "used": 4, "limit": 4}], last_proof_age=None),
        child("feishu", dials=_DIALS, losses=2),
        child("qq", "HALTED", reason=refused, last_proof_age=None, last_inbound_age=None),
        child("slack/sales", "FAILED", reason=bug, restarts=5, last_proof_age=None),
        child("telegram", "STOPPED", reason=down, last_proof_age=None),
        child("web"),
        child("wecom", connected=False, last_proof_age=400.0),
    ]  # fmt: skip


def letter(id: str, kind: Literal["inbox", "outbox"] = "outbox", text: str = "What you asked for.") -> DeadLetter:
    """A message or reply given up."""
    return DeadLetter(id, kind, "feishu", "oc_7a8b9c", "window closed", time.time() - 500, text)


def fill(site: Site) -> None:
    """Something of everything that the page can show."""
    gateway = site.gateway
    gateway.children = children()
    gateway.letters = [letter("out-1"), letter("in-2", "inbox", "A long story. " * 60)]
    gateway.talks = {"feishu/oc_7a8b9c/-/ou_1": ["hi", "and how are you? " * 12], "web/main": ["hello"]}
    soon, lately = rfc3339(time.time() + 3000), rfc3339(time.time() - 900)
    gateway.pairing.waiting = [
        {"code": "ABCD2345", "child": "feishu", "user": "ou_12", "name": "Li Lei", "at": lately, "until": soon}
    ]
    gateway.pairing.paired = [{"child": "qq", "user": "u1", "name": "Han Meimei", "at": lately}]
    gateway.more = {
        "inbox": 2, "outbox": 1, "turns": 1, "oldest_undelivered": 75.0,
        "hooks": [{"event": "agent:end", "hook": "mine:count", "calls": 7, "failed": 2, "late": 1}],
    }  # fmt: skip


def happen(site: Site) -> None:
    """Two of the gateway's events."""
    site.gateway.happen("adapter:lost", child="dingtalk", platform="dingtalk", state="WAITING", reason="no close frame")
    site.gateway.happen("message:received", child="web", chat_id="main", user_id="u", thread_id=None)


def axe() -> str:
    """The judge's script; fetched once. Raises AssertionError with what to install."""
    npm = shutil.which("npm")
    assert npm and shutil.which("node"), MISSING
    folder = ROOT / ".cache" / "page" / AXE
    folder.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            argv = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "complete").touch()
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def faults(page: Page, judge: str) -> list[str]:
    """What keeps people from using the page as it stands, in the judge's words."""
    if not page.eval("typeof axe === 'object'"):
        # Through the debugger's door: the page itself would refuse it.
        page.eval(f"(() => {{ {judge} }})()")
    options = json.dumps({"runOnly": _RULES, "resultTypes": ["violations"]})
    found = page.eval(f"axe.run(document, {options}).then((said) => said.violations)")
    return [
        f"{each['impact']} {each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
