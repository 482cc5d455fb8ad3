"""What travels between the gateway and the processes outside of it, and what becomes of a user's answers."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import Any

import pytest

from hermes_green.agents import calling, frames, kernel, registry
from hermes_green.agents.command import Answer
from hermes_green.agents.output import Output
from hermes_green.agents.pool import FRAME, _Worker, epitaph
from hermes_green.agents.sources import Sources
from hermes_green.agents.yard import Ward
from hermes_green.core.errors import AgentFailed, AgentTimeout
from hermes_green.core.model import Attachment, Delta, Message, Turn
from hermes_green.settings.schema import AGENTS

TURN = Turn(
    "t1", 2, "s", "web", "web", "", "c", "group", "th", "u", "Ü", "hi \ud800 🎉",
    (Attachment("image", {"key": "k"}, "a.png", "image/png", 3, "/tmp/a.png"),),
    (Message("user", "a"), Message("assistant", "b")), "zh",
)  # fmt: skip


def test_frames_come_out_as_they_went_in_however_they_are_cut() -> None:
    told = [{"n": n, "text": "x" * n, "turn": frames.turn_out(TURN)} for n in range(0, 3000, 500)]
    data = b"".join(map(frames.pack, told))
    for size in (1, 3, 7, 1000, len(data)):
        incoming, heard = frames.Unpacker(), []
        for at in range(0, len(data), size):
            incoming.feed(data[at : at + size])
            heard += list(incoming)
        assert heard == told


def test_a_turn_is_the_same_turn_on_the_other_side() -> None:
    incoming = frames.Unpacker()
    incoming.feed(frames.pack({"turn": frames.turn_out(TURN)}))
    (frame,) = incoming
    assert frames.turn_in(frame["turn"]) == TURN


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2{]", b"\0\0\0\2[]", b"\0\0\0\1\xff"])
def test_what_is_no_frame_is_said_to_be_none(data: bytes) -> None:
    incoming = frames.Unpacker()
    incoming.feed(data)
    with pytest.raises(frames.BadFrames):
        list(incoming)


class Worker:
    """Stands for the socket of a worker that says one thing."""

    def __init__(self, said: bytes) -> None:
        self._said = io.BytesIO(said)
        self.recv = self._said.read

    def settimeout(self, seconds: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        pass


def test_a_frame_that_takes_long_to_parse_is_none() -> None:
    """What a worker says is parsed on the hub, in one go, and its code is foreign."""
    sock: Any = Worker(frames.pack({"end": True, "left": "x" * FRAME}))
    heard = _Worker(Ward(1, "x"), sock, "z").ask({}, time.monotonic() + 60, AgentTimeout("late"))
    with pytest.raises(AgentFailed, match="a frame of [0-9]+ bytes"):
        list(heard)


def test_a_delta_is_the_same_delta_on_the_other_side() -> None:
    delta = Delta("x", (Attachment("file", {}, "a", "", None, "/a"),), {"tokens": 3})
    assert frames.delta_in(frames.delta_out(delta)) == delta
    assert frames.delta_out(Delta()) == {}


@pytest.mark.parametrize("plain", [{"text": 3}, {"media": "x"}, {"media": [3]}, {"media": [{"kind": "smell"}]},
                                   {"media": [{}] * (frames.MEDIA + 1)}])  # fmt: skip
def test_a_delta_that_is_none_is_refused(plain: Any) -> None:
    with pytest.raises(frames.BadFrames):
        frames.delta_in(plain)


# --- what a callable gives ---


@pytest.mark.parametrize(
    "answer, texts",
    [
        (None, []),
        ("a", ["a"]),
        (Delta("a"), ["a"]),
        (["a", Delta("b")], ["a", "b"]),
        (iter("ab"), ["a", "b"]),
    ],
)
def test_an_answer_is_a_string_a_delta_or_many(answer: Any, texts: list[str]) -> None:
    assert [delta.text for delta in calling.deltas(answer)] == texts


@pytest.mark.parametrize("answer", [b"a", 3, {"text": "a"}, [3], ["a", b"b"]])
def test_anything_else_is_refused_by_its_type(answer: Any) -> None:
    with pytest.raises(TypeError, match="int|bytes|dict"):
        list(calling.deltas(answer))


def test_an_async_callable_is_told_what_to_do() -> None:
    async def fn() -> str:
        return "a"

    async def gen() -> Any:
        yield "a"

    for answer in (fn(), gen()):
        with pytest.raises(TypeError, match="asyncio.run"):
            list(calling.deltas(answer))


def test_the_paths_of_media_are_absolute() -> None:
    (delta,) = calling.deltas(Delta(media=(Attachment("file", path="a/b"), Attachment("file"))))
    assert delta.media[0].path == os.path.abspath("a/b") and delta.media[1].path is None


@pytest.mark.parametrize(
    "target, said",
    [
        ("nothing", "package.module:function"),
        ("no_such_module:fn", 'no module "no_such_module"'),
        ("os.nothing:fn", 'no module "os.nothing"'),
        ("os:nothing", 'has no "nothing"'),
        ("os:name", "cannot be called"),
    ],
)
def test_a_target_that_is_none_is_named(target: str, said: str) -> None:
    with pytest.raises(calling.BadTarget, match=said):
        calling.resolve(target)
    assert calling.resolve("os:path.join") is os.path.join


def test_a_failure_is_one_short_line() -> None:
    assert calling.sentence(ValueError("a\n b")) == "ValueError: a b"
    assert calling.sentence(KeyError()) == "KeyError"
    assert calling.sentence(SystemExit(3)) == "it called sys.exit(3)"
    assert len(calling.sentence(ValueError("x" * 9999))) < 600


@pytest.mark.parametrize(
    "why, said",
    [
        ({"signal": 11}, "segmentation fault"),
        ({"signal": 9}, "out of memory"),
        ({"exit": 0}, "exit code 0"),
        ({"memory": 612.3, "cap": 512}, "612 MB of memory; it may have 512"),
        ({"start": "x: No such file"}, "could not be started: x: No such file"),
        ({}, "is gone"),
    ],
)
def test_every_end_of_a_process_has_its_sentence(why: Any, said: str) -> None:
    assert said in epitaph(why)


# --- what a command prints ---


def parsed(*pieces: str) -> list[Delta]:
    parse = Answer()
    return [delta for piece in pieces for delta in parse.feed(piece)] + list(parse.end())


def text(*pieces: str) -> str:
    return "".join(delta.text for delta in parsed(*pieces))


def test_plain_text_is_the_answer_but_for_its_last_line_break() -> None:
    assert text("hello\n") == "hello"
    assert text("a\n", "\nb", "\n", "\n") == "a\n\nb"
    assert text(" a", "b ") == " ab "
    assert text("") == "" and text("\n") == ""


def test_plain_text_is_passed_on_as_it_comes() -> None:
    parse = Answer()
    assert [delta.text for delta in parse.feed("so far")] == ["so far"]


def test_lines_of_deltas_are_deltas() -> None:
    found = parsed('\n{"text": "a"}\n{"te', 'xt": "b"}\n\n', '{"usage": {"n": 1}}')
    assert found == [Delta("a"), Delta("b"), Delta(usage={"n": 1})]
    assert parsed('{"text": "a"}') == [Delta("a")]


def test_json_that_is_no_delta_is_plain_text() -> None:
    for said in ('{"answer": 3}', "{}", "{ not json", '[{"text": "a"}]', '{"text": 3}'):
        assert text(said + "\n", "more") == said + "\nmore"


def test_a_broken_line_among_deltas_is_named() -> None:
    with pytest.raises(AgentFailed, match="line 2 of the answer is no delta: oops"):
        parsed('{"text": "a"}\noops\n')
    with pytest.raises(AgentFailed, match="longer than"):
        parsed('{"text": "a"}\n{"text": "' + "x" * 2_000_000)


# --- what is printed, and what is loaded ---


def test_what_is_printed_is_bounded_and_what_is_left_out_is_counted() -> None:
    readable, writable = os.pipe()
    lines: list[str] = []
    output = Output(readable, lines.extend)
    assert output.read()
    for _ in range(5):
        os.write(writable, b"%s\n" % (b"x" * 999) * 60)
        assert output.read()
    os.write(writable, b"last")
    os.close(writable)
    output.read()
    output.close()
    assert sum(map(len, lines)) < 70_000
    assert "bytes of output were left out" in lines[-2] and lines[-1] == "last"


def test_a_changed_file_is_noticed_and_an_installed_one_is_not_looked_at(tmp_path, monkeypatch) -> None:
    (tmp_path / "looked_at.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("looked_at")
    sources = Sources()
    sources.look()
    assert sources.changed() == "" and not any("site-packages" in path for path in sources._seen)
    (tmp_path / "looked_at.py").write_text("x = 1000")
    first = sources.changed()
    assert first and sources.changed() == first
    (tmp_path / "looked_at.py").unlink()
    assert sources.changed() not in ("", first)
    del sys.modules["looked_at"]


def test_a_family_is_everybody_below() -> None:
    assert os.getpid() in kernel.children(os.getppid())
    assert os.getpid() in kernel.family([os.getppid()])
    assert os.getpid() in kernel._below_all()(os.getppid()), "as it is told where there is no /proc"
    assert kernel.resident_mb(os.getpid()) > 1 and kernel.resident_mb(2**22 + 1) == 0


def test_what_check_accepts_run_has() -> None:
    assert {*registry.AGENTS, *registry.OUTSIDE} == set(AGENTS)


@pytest.mark.parametrize("begin", ["", "said"])
@pytest.mark.thorough
def test_a_program_that_prints_line_breaks_without_end_has_failed(begin: str) -> None:
    answer = Answer()
    list(answer.feed(begin))
    with pytest.raises(AgentFailed, match="blank"):
        for _ in range(50):
            list(answer.feed("\n" * 65_536))
