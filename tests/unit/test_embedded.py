"""Body: a file within a request's JSON is the base64 of its bytes, however it is read, and anew for each try."""

from __future__ import annotations

import base64
import json

import pytest

from hermes_green.link.embedded import Body, Embedded


@pytest.mark.parametrize("size", range(8))
@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_file_stands_in_the_json_as_its_base64_whatever_pieces_it_is_read_in(size: int, step: int) -> None:
    data = bytes(range(250, 250 + size)) if size < 6 else bytes(range(size))
    file = Embedded(size, lambda: [data[at : at + step] for at in range(0, size, step)])
    body = Body({"before": "é", "file": file.mark, "after": 1}, [file])
    sent = b"".join(body)
    assert json.loads(sent) == {"before": "é", "file": base64.b64encode(data).decode(), "after": 1}
    assert len(body) == len(sent)


def test_several_files_keep_their_places_and_each_try_reads_them_anew() -> None:
    reads: list[bytes] = []

    def file(data: bytes) -> Embedded:
        def read() -> list[bytes]:
            reads.append(data)
            return [data]

        return Embedded(len(data), read)

    one, two = file(b"one"), file(b"number two")
    body = Body({"parts": [{"url": f"data:;base64,{one.mark}"}, {"url": two.mark}]}, [one, two])
    first = b"".join(body)
    assert b"".join(body) == first and len(body) == len(first)
    assert reads == [b"one", b"number two"] * 2
    parts = json.loads(first)["parts"]
    assert parts[0]["url"] == "data:;base64," + base64.b64encode(b"one").decode()
    assert base64.b64decode(parts[1]["url"]) == b"number two"


def test_a_body_given_up_half_way_is_not_said_to_have_left() -> None:
    file = Embedded(3, lambda: [b"abc"])
    body = Body({"file": file.mark}, [file])
    pieces = iter(body)
    next(pieces)
    assert not body.left
    b"".join(body)
    assert body.left
