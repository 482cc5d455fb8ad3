"""Files: what the bot sends beside text, in Slack's three steps; nobody sees a file before the last."""

from __future__ import annotations

from typing import Any, Mapping

from hermes_green.adapters.slack.rest import Rest
from hermes_green.core.remembered import Remembered
from hermes_green.link.files import outgoing

# docs.slack.dev/messaging/working-with-files: 1 GB a file.
LIMIT = 1_000_000_000
REMEMBERED = 500


class Files:
    """Uploads, and which file belongs to which part: a file carries no key of ours, but it has an id."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._ids: Remembered[str, str] = Remembered(REMEMBERED)

    def share(self, key: str, media: Mapping[str, Any], channel: str, thread: str) -> str:
        """Upload a file and share it in a chat; its id.

        Raises:
            SendError: SendRefused when it cannot be read or is too large; the sentence says the limit.
            AuthRejected: the bot token is refused.
        """
        with outgoing(media, LIMIT) as file:
            fields = {"filename": file.name, "length": file.size}
            place = self._rest.call("files.getUploadURLExternal", fields, form=True)
            self._rest.upload(str(place.get("upload_url") or ""), file.file)
        file_id = str(place.get("file_id") or "")
        self._ids[key] = file_id
        shared: dict[str, Any] = {"files": [{"id": file_id, "title": file.name}], "channel_id": channel}
        if thread:
            shared["thread_ts"] = thread
        self._rest.call("files.completeUploadExternal", shared)
        return file_id

    def known(self, key: str) -> str:
        """The file of a part that this process uploaded, or ""."""
        return self._ids.get(key, "")
