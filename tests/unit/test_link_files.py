"""A file that an agent hands over is opened only if the platform would take it."""

import io
import os

import pytest
from gevent import monkey

from hermes_green.core.clock import ManualClock
from hermes_green.core.errors import SendRefused, SendRetry, SendUnknown
from hermes_green.link import disk
from hermes_green.link.files import Shown, Uploads, outgoing, read_file, shown_as
from hermes_green.link.multipart import Multipart
from tests.support.children import eventually


def test_a_file_is_handed_over_open_with_its_size_and_name(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    with outgoing({"path": str(path), "mime": "text/plain"}, 5) as file:
        assert (file.name, file.size, file.mime, file.file.read()) == ("a.txt", 5, "text/plain", b"hello")
    assert file.file.closed


@pytest.mark.parametrize("content, limit", [(b"", 5), (b"hello!", 5)])
def test_an_empty_or_too_large_file_is_refused_with_the_limit_in_words(tmp_path, content, limit):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(SendRefused, match=f"shown has {len(content)} bytes; the platform takes 1 to 5") as refused:
        with outgoing({"path": str(path), "name": "shown"}, limit):
            pass
    assert refused.value.limit == (limit if content else None)


@pytest.mark.parametrize("path", ["", "/no/such/file", "/", "/dev/null", "a\0b"])
def test_what_cannot_be_read_is_refused(path):
    media = {"path": path}
    with pytest.raises(SendRefused, match="cannot be read"):
        with outgoing(media, 5):
            pass
    with pytest.raises(SendRefused, match="cannot be read"):
        read_file(media, 5)


def test_a_pipe_that_nobody_writes_into_is_refused_and_waited_for_by_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    media = {"path": str(tmp_path / "pipe")}
    with pytest.raises(SendRefused, match="pipe cannot be read: it is no regular file"):
        with outgoing(media, 5):
            pass
    with pytest.raises(SendRefused, match="pipe cannot be read: it is no regular file"):
        read_file(media, 5)


def test_a_disk_that_hangs_is_asked_again_later_and_holds_nobody_else(tmp_path, monkeypatch):
    path, answers, closed = tmp_path / "a.txt", monkey.get_original("threading", "Event")(), []
    path.write_bytes(b"hello")

    def hang(path):
        answers.wait(60)
        file, size = opened(path)
        closed.append(file)
        return file, size

    opened = disk._open
    monkeypatch.setattr(disk, "_open", hang)
    monkeypatch.setattr(disk, "WITHIN", 0.02)
    for _ in range(6):  # more than there are threads
        with pytest.raises(SendRetry, match="has not answered"):
            read_file({"path": str(path)}, 5)
    answers.set()
    monkeypatch.setattr(disk, "WITHIN", 60)
    monkeypatch.setattr(disk, "_open", opened)
    assert read_file({"path": str(path)}, 5) == ("a.txt", b"hello")
    eventually(lambda: len(closed) >= 4 and all(file.closed for file in closed))


@pytest.mark.parametrize("told", ["", "text/plain\r\nContent-Disposition: form-data; name=chat_id", "image/png\n"])
def test_a_kind_of_file_that_is_no_line_is_guessed_from_the_name(told):
    form = b"".join(Multipart({}, "file", "a.png", io.BytesIO(b"x"), 1, told))
    assert form.count(b"Content-Type: image/png\r\n\r\nx") == 1 and b"chat_id" not in form


def test_a_form_that_is_sent_again_is_read_from_the_files_beginning(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    with outgoing({"path": str(path)}, 5) as file:
        form = file.form({"kind": "file"}, "media")
        first, second = b"".join(form), b"".join(form)
    assert first == second and first.count(b"hello") == 1 and len(first) == len(form)


def test_what_was_uploaded_for_a_part_is_used_again_while_it_lives():
    clock, brought = ManualClock(), iter("abcd")
    uploads: Uploads[str] = Uploads(clock, lives=lambda what: 10.0 if what == "a" else 1000.0)
    assert [uploads.once("part", lambda: next(brought)) for _ in range(2)] == ["a", "a"]
    clock.advance(10)
    assert uploads.once("part", lambda: next(brought)) == "b"
    clock.advance(999)
    assert uploads.once("part", lambda: next(brought)) == "b" and uploads.once("other", lambda: next(brought)) == "c"


def test_where_nothing_is_forgotten_an_upload_lives_for_ever():
    brought = iter("ab")
    uploads: Uploads[str] = Uploads()
    assert {uploads.once("part", lambda: next(brought)) for _ in range(3)} == {"a"}


def test_an_upload_without_an_answer_may_be_repeated():
    uploads: Uploads[str] = Uploads()

    def lost() -> str:
        raise SendUnknown("no answer")

    with pytest.raises(SendRetry):
        uploads.once("part", lost)
    assert uploads.once("part", lambda: "a") == "a"


@pytest.mark.parametrize(
    "kind, name, size, shown",
    [("image", "a.PNG", 5, 1), ("image", "a.gif", 5, None), ("image", "a.png", 6, None), ("file", "a.png", 5, None)],
)
def test_a_medium_is_shown_as_such_where_the_platform_knows_its_ending_and_size(kind, name, size, shown):
    kinds = {"image": Shown(1, (".png", ".jpg"), 5), "audio": Shown(2, (".silk",))}
    assert shown_as({"kind": kind, "path": f"/x/{name}"}, kinds, size) == shown
    assert shown_as({"kind": kind, "path": f"/x/{name}", "name": "called otherwise"}, kinds, size) == shown
    assert shown_as({"kind": "audio", "path": "/x/1", "name": "a.silk"}, kinds, 10**9) == 2


def test_a_whole_file_is_read_with_what_people_call_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    assert read_file({"path": str(path)}, 5) == ("a.txt", b"hello")
    assert read_file({"path": str(path), "name": "shown"}, 5)[0] == "shown"
    with pytest.raises(SendRefused, match="shown has 5 bytes"):
        read_file({"path": str(path), "name": "shown"}, 4)
    path.write_bytes(b"")
    with pytest.raises(SendRefused, match="a.txt is empty"):
        read_file({"path": str(path)}, 5)
