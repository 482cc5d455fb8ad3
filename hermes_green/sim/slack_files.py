"""Files on the simulated Slack: addresses to upload to, bytes behind private addresses."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hermes_green.sim.kit import Answer, Request
from hermes_green.sim.slack_events import TEAM, new_id

if TYPE_CHECKING:
    from hermes_green.sim.slack import SlackSim

UPLOAD, PRIVATE = "/upload/v1/", "/files-pri/"


@dataclass(slots=True)
class File:
    """A file: announced, then uploaded, then shared."""

    id: str
    name: str
    mime: str = ""
    data: bytes | None = None
    length: int = 0
    shared: bool = False


class Shelf:
    """All files of one simulator."""

    def __init__(self, sim: SlackSim) -> None:
        self._sim = sim
        self.files: dict[str, File] = {}
        self._uploads: dict[str, File] = {}

    def put(self, name: str, mime: str, data: bytes) -> dict[str, Any]:
        """A user shares a file; how events tell of it."""
        file = File(new_id("F"), name, mime, data, len(data), True)
        self.files[file.id] = file
        return self.told(file)

    def told(self, file: File) -> dict[str, Any]:
        """A file object."""
        url = f"{self._sim.url}{PRIVATE}{TEAM}-{file.id}/{file.name}"
        return {
            "id": file.id,
            "name": file.name,
            "title": file.name,
            "mimetype": file.mime,
            "filetype": file.name.rpartition(".")[2],
            "size": file.length,
            "mode": "hosted",
            "file_access": "visible",
            "url_private": url,
            "url_private_download": url,
        }

    def announce(self, name: str, length: int) -> dict[str, Any]:
        """An address to upload to."""
        file = File(new_id("F"), name, length=length)
        ticket = secrets.token_hex(16)
        self.files[file.id] = self._uploads[ticket] = file
        return {"upload_url": f"{self._sim.url}{UPLOAD}{ticket}", "file_id": file.id}

    def answer(self, request: Request, authorised: bool) -> Answer:
        """An upload or a download."""
        if request.path.startswith(UPLOAD):
            return self._upload(request)
        file = self.files.get(request.path.split("/")[2].partition("-")[2])
        if file is None or file.data is None:
            return Answer(404, b"not found", {"Content-Type": "text/plain"})
        if not authorised:
            return Answer(200, b"<!DOCTYPE html><html>Sign in", {"Content-Type": "text/html; charset=utf-8"})
        return Answer(200, file.data, {"Content-Type": file.mime or "application/octet-stream"})

    def _upload(self, request: Request) -> Answer:
        file = self._uploads.pop(request.path[len(UPLOAD) :], None)
        if file is None or request.method != "POST":
            return Answer(404, b"no such upload", {"Content-Type": "text/plain"})
        data = request.body
        if len(data) != file.length:
            self._sim.violation(f"{len(data)} bytes uploaded, {file.length} announced", file=file.id)
        file.data = data
        self._sim.log.add("upload", file=file.id, name=file.name, size=len(data))
        return Answer(200, f"OK - {len(data)}".encode(), {"Content-Type": "text/plain"})
