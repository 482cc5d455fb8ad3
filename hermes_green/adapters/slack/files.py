"""Files: what the bot sends beside text, in Slack's three steps; nobody sees a file before the last."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any, Mapping

from hermes_green.adapters.slack.rest import Rest
from hermes_green.core.errors import SendRefused

# docs.slack.dev/messaging/working-with-files: 1 GB a file.
LIMIT = 1_000_000_000
REMEMBERED = 500


class Files:
    """Uploads, and which file belongs to which part: a file carries no key of ours, but it has an id."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._ids: OrderedDict[str, str] = OrderedDict()

    def share(self, key: str, media: Mapping[str, Any], channel: str, thread: str) -> str:
        """Upload a file and share it in a chat; its id.

        Raises:
            SendError: SendRefused, with the reason in words, when it cannot be read or is too large.
            AuthRejected: the bot token is refused.
        """
        path, name = str(media.get("path") or ""), str(media.get("name") or "")
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not 0 < size <= LIMIT:
                    raise SendRefused(f"a file of {size} bytes: Slack takes 1 to {LIMIT}", code="file_size")
                name = name or os.path.basename(path)
                fields = {"filename": name, "length": size}
                place = self._rest.call("files.getUploadURLExternal", fields, form=True)
                self._rest.upload(str(place.get("upload_url") or ""), file)
        except OSError as error:
            raise SendRefused(f"the file {name or path} cannot be read: {error.strerror}", code="file") from error
        file_id = str(place.get("file_id") or "")
        self._ids[key] = file_id
        while len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)
        shared: dict[str, Any] = {"files": [{"id": file_id, "title": name}], "channel_id": channel}
        if thread:
            shared["thread_ts"] = thread
        self._rest.call("files.completeUploadExternal", shared)
        return file_id

    def known(self, key: str) -> str:
        """The file of a part that this process uploaded, or ""."""
        return self._ids.get(key, "")
