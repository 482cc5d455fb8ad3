"""A hook's answer comes back from wherever it ran, and so does what it died of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from hermes_green import blueprint
from hermes_green.agents import hookdirs
from hermes_green.agents.calling import BadTarget
from hermes_green.agents.hooks import Call, HookCalls
from hermes_green.agents.yard import Yard
from hermes_green.core.errors import AgentError, AgentFailed, ConfError
from hermes_green.settings.schema import Hook as HookOptions
from tests.support.outside import Log

CODE = '''
import asyncio
def refuse(event, context): return {"decision": "deny", "text": context["text"][::-1]}
def nothing(event, context): pass
def odd(event, context): return {"when": asyncio}
async def later(event, context):
    await asyncio.sleep(0.01)
    return {"decision": "answer", "text": event}
'''
HANDLER = '''
from __future__ import annotations
import dataclasses
@dataclasses.dataclass
class Note:
    text: str
async def handle(event_type, context):
    return {"decision": "answer", "text": Note(f"{event_type} {context['chat_id']}").text}
'''
CONTEXT = {"chat_id": "c", "text": "abc"}


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def call(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "answering.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yard = Yard(log, tmp_path)
    made: list[HookCalls] = []

    def call(run: Any, **more: Any) -> Call:
        hook = HookOptions(event="message:received", run=run, **more)
        made.append(HookCalls([hook], yard, log))
        return made[-1].call(hook)

    yield call
    for each in made:
        each.close()
    yard.close()
    sys.modules.pop("answering", None)


@pytest.mark.parametrize("isolation", ["process", "thread", "greenlet"])
def test_what_a_callable_returns_is_its_answer(call: Any, isolation: str) -> None:
    assert call("answering:refuse", isolation=isolation)("e", CONTEXT) == {"decision": "deny", "text": "cba"}
    assert call("answering:nothing", isolation=isolation)("e", CONTEXT) is None


def test_an_async_hook_is_awaited_in_its_process_and_refused_elsewhere(call: Any) -> None:
    assert call("answering:later")("e", CONTEXT) == {"decision": "answer", "text": "e"}
    for isolation in ("thread", "greenlet"):
        with pytest.raises(TypeError, match="isolation: process"):
            call("answering:later", isolation=isolation)("e", CONTEXT)


def test_a_value_that_is_no_json_does_not_harm_the_worker(call: Any) -> None:
    ask = call("answering:odd")
    assert set(ask("e", CONTEXT)) == {"when"}
    assert set(ask("e", CONTEXT)) == {"when"}


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("""echo '{"decision": "deny"}'""", {"decision": "deny"}),
        ("true", None),
        ("echo noted", None),
        ("echo '[1]'", None),
    ],
)
def test_what_a_program_prints_is_its_answer_where_it_is_an_object(call: Any, script: str, answer: Any) -> None:
    assert call(["sh", "-c", script])("e", CONTEXT) == answer


@pytest.mark.parametrize("script", ["exit 3", "echo '{\"decision\": '"])
def test_a_program_that_fails_or_prints_half_an_object_has_failed(call: Any, script: str) -> None:
    with pytest.raises(AgentError):
        call(["sh", "-c", script])("e", CONTEXT)


def test_a_handler_of_a_directory_is_called_and_called_anew_when_its_file_changes(call: Any, tmp_path: Path) -> None:
    home = tmp_path / "hooks" / "mine"
    home.mkdir(parents=True)
    (home / "HOOK.yaml").write_text("name: mine\nevents: [message:received]\n")
    (home / "handler.py").write_text(HANDLER)
    (found,), _ = hookdirs.find(tmp_path / "hooks")
    ask = call(found.target)
    assert ask("e", CONTEXT) == {"decision": "answer", "text": "e c"}
    fresh = "def handle(event_type, context):\n    return {'text': 'sync now, and longer than before'}\n"
    (home / "handler.py").write_text(fresh)
    assert ask("e", CONTEXT) == {"text": "sync now, and longer than before"}
    (home / "handler.py").unlink()


def test_a_handler_without_handle_says_so(call: Any, tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("x = 1\n")
    with pytest.raises(AgentFailed, match='has no "handle"'):
        call(f"{tmp_path}/handler.py:handle")("e", CONTEXT)
    with pytest.raises(BadTarget, match="there is no file"):
        call(f"{tmp_path}/absent.py:handle", isolation="greenlet")("e", CONTEXT)


# --- hooks that another package brings ---


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as pip installs it, which offers a hook; a configuration beside it."""
    site = tmp_path / "site"
    package = site / "greetings-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[hermes_green.hooks]\ngreeter = greetings:Greeter.greet\n")
    (site / "greetings.py").write_text(
        "class Greeter:\n"
        "    def greet(event, context):\n"
        "        return {'decision': 'answer', 'text': f'welcome, {context[\"text\"]}'}\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    (tmp_path / "conf").mkdir()
    return tmp_path / "conf" / "gateway.yaml"


@pytest.mark.parametrize("isolation", ["process", "greenlet"])
def test_a_package_offers_a_hook_by_its_entry_point(installed: Path, log: Log, isolation: str) -> None:
    installed.write_text(f"hooks: [{{event: 'message:received', run: greeter, isolation: {isolation}}}]\n")
    (hook,) = blueprint.load_config(installed.parent).hooks
    assert hook.run == "greetings:Greeter.greet"
    yard = Yard(log, installed.parent.parent)
    calls = HookCalls([hook], yard, log)
    try:
        assert calls.call(hook)("message:received", CONTEXT) == {"decision": "answer", "text": "welcome, abc"}
    finally:
        calls.close()
        yard.close()
        sys.modules.pop("greetings", None)


def test_a_hook_that_no_package_offers_is_an_error_that_says_what_to_write(installed: Path) -> None:
    installed.write_text("hooks: [{event: 'message:received', run: stranger}]\n")
    with pytest.raises(ConfError, match='gateway.yaml:1:42: no package offers a hook called "stranger"') as caught:
        blueprint.load_config(installed.parent)
    assert "package.module:function" in caught.value.text
