"""Chats: what the bot writes into them: messages, drafts, files, status lines; and whether it is there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping

from hermes_green.adapters.slack.codes import LOST_THREAD
from hermes_green.adapters.slack.render import LIMIT, shown
from hermes_green.adapters.slack.rest import Rest
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendError, SendRefused, SendRetry, SendUnknown
from hermes_green.core.loose import dict_of, objects_of, text_at
from hermes_green.core.model import Part, Peer
from hermes_green.core.pacing import Bucket
from hermes_green.core.ports import Context
from hermes_green.core.remembered import Remembered
from hermes_green.link.files import outgoing
from hermes_green.link.progress import Progress
from hermes_green.link.said import alone

# docs.slack.dev/messaging/message-metadata: what the bot writes into its own messages it can read again.
EVENT_TYPE = "hermes_green"
OPENING = "…"
STATUS = "is thinking…"
# docs.slack.dev/messaging/working-with-files: 1 GB a file.
LARGEST_FILE = 1_000_000_000
# Of the 50 calls of chat.update a minute, those for drafts: their updates, and for each one its final text;
# in seconds that leave no long silence when many talk at once.
EDITS, EDIT_SECONDS = 15, 20.0
PAGE, PAGES = 200, 5
KNOWN = 1_000
# A method that is limited answers with its own wait; until then the question is not asked again.
ANY = 1_000_000
Wanted = Callable[[Mapping[str, Any]], bool]


class Chats:
    """What one account writes. Methods raise SendError, or AuthRejected for the bot token."""

    def __init__(self, rest: Rest, ctx: Context, clock: Clock) -> None:
        self._rest = rest
        self._ctx = ctx
        self._clock = clock
        self._dms: Remembered[str, str] = Remembered(KNOWN)
        self._files: Remembered[str, str] = Remembered(KNOWN)  # a file carries no key of ours, but it has an id
        self._progress = Progress(clock, shown, LIMIT, ctx.beside)
        self._drafts = Bucket(EDITS, EDIT_SECONDS)
        self._edits = Bucket(ANY, 1.0)
        self._lookups = Bucket(ANY, 1.0)
        self._lost: Remembered[str, None] = Remembered(KNOWN)  # drafts whose answer never came
        self._statuses = True

    # --- messages --------------------------------------------------------------------------------

    def finish(self, part: Part) -> str:
        """Make the part's text the draft's last one; the message's id."""
        handle = part.handle or {}
        self._edit(handle, str(part.payload["text"]), metadata=_metadata(part.key))
        return str(handle.get("ts") or "")

    def _edit(self, handle: Mapping[str, Any], text: str, **more: Any) -> None:
        with self._paced(self._edits), alone():
            self._rest.call("chat.update", {**handle, "text": text, **more})

    def retract(self, part: Part) -> None:
        """Take away what the draft showed; the whole text stands elsewhere already."""
        try:
            self._rest.call("chat.delete", part.handle or {})
        except SendError as error:
            self._ctx.log.debug("a draft stays behind: {}", error)

    def post(self, part: Part) -> str:
        """Bring a part to its thread, else to its chat; its id there."""
        bring = self._share if "media" in part.payload else self._say
        thread = thread_of(part.peer, part.reply_ref)
        try:
            return bring(part, thread)
        except SendRefused as refused:
            if not thread or refused.code not in LOST_THREAD:
                raise
        self._ctx.count("sends", "thread_lost")
        return bring(part, "")

    def _say(self, part: Part, thread: str) -> str:
        return self._post(part.peer, str(part.payload.get("text", "")), thread, part.key)["ts"]

    def _post(self, peer: Peer, text: str, thread: str, key: str) -> dict[str, str]:
        fields = {"channel": peer.chat_id, "text": text, "thread_ts": thread or None, "metadata": _metadata(key)}
        body = self._rest.call("chat.postMessage", fields)
        # To a person it goes by the user's id, and comes back with the direct chat's.
        return {"channel": str(body.get("channel") or peer.chat_id), "ts": str(body.get("ts") or "")}

    def _share(self, part: Part, thread: str) -> str:
        """Upload a file and share it in the chat, in Slack's three steps; nobody sees it before the last."""
        channel = self._channel(part.peer)
        with outgoing(part.payload["media"], LARGEST_FILE) as file:
            fields = {"filename": file.name, "length": file.size}
            place = self._rest.call("files.getUploadURLExternal", fields, form=True)
            self._rest.upload(str(place.get("upload_url") or ""), file)
        id = self._files[part.key] = str(place.get("file_id") or "")
        shared = {"files": [{"id": id, "title": file.name}], "channel_id": channel, "thread_ts": thread or None}
        self._rest.call("files.completeUploadExternal", shared)
        return id

    def _channel(self, peer: Peer) -> str:
        """The chat's own id: history and files know no chats by their user's."""
        user = peer.chat_id
        if user[:1] not in ("U", "W"):
            return user
        if user not in self._dms:
            found = text_at(dict_of(self._rest.call("conversations.open", {"users": user}).get("channel")), "id")
            if not found:
                raise SendRefused(f"Slack opens no direct chat with {user}", code="no_channel")
            self._dms[user] = found
        return self._dms[user]

    # --- what was said before --------------------------------------------------------------------

    def find(self, part: Part) -> str:
        """The id of the message that carries the part's key, or "" when there is none, or when the app
        may not read the chat."""
        found = self._look_up(part.peer, part.reply_ref, lambda message: self._is(message, part))
        if found and part.handle is not None and found != part.handle.get("ts"):
            self.retract(part)
        return found

    def _is(self, message: Mapping[str, Any], part: Part) -> bool:
        if "media" not in part.payload:
            return _key_of(message) == part.key
        file_id = self._files.get(part.key, "")
        return file_id != "" and any(each.get("id") == file_id for each in objects_of(message.get("files")))

    def _look_up(self, peer: Peer, ref: Mapping[str, Any], wanted: Wanted) -> str:
        """The id of the newest wanted message among the answers to ``ref``, or ""."""
        thread = thread_of(peer, ref)
        method = "conversations.replies" if thread else "conversations.history"
        # An answer cannot be older than its question.
        since = {"ts": thread or None, "oldest": ref.get("message_id") or None}
        try:
            with self._paced(self._lookups):
                fields = {"channel": self._channel(peer), "limit": PAGE, "include_all_metadata": "true", **since}
                return self._search(method, fields, wanted)
        except SendRefused as refused:
            self._ctx.log.warning(f"whether a message arrived could not be looked up: {refused} {refused.action}")
            self._ctx.count("lookups", "refused")
            return ""

    def _search(self, method: str, fields: dict[str, Any], wanted: Wanted) -> str:
        for _ in range(PAGES):
            body = self._rest.call(method, fields, form=True)
            for message in objects_of(body.get("messages")):
                if wanted(message):
                    return text_at(message, "ts")
            fields["cursor"] = text_at(dict_of(body.get("response_metadata")), "next_cursor")
            if not fields["cursor"]:
                break
        return ""

    # --- drafts and signs ------------------------------------------------------------------------

    def open(self, peer: Peer, ref: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Post the message that will grow; its channel and ts. One whose answer was lost is looked for,
        so that none is left standing without a text."""
        self._gate(self._drafts)
        self._drafts.spend(self._clock.monotonic())  # for its end
        found = self._opened(peer, ref, key) if key in self._lost else None
        if found is not None:
            return found
        try:
            return self._post(peer, OPENING, thread_of(peer, ref), key)
        except SendUnknown:
            self._lost[key] = None
            found = self._opened(peer, ref, key)
            if found is None:
                raise
            return found

    def _opened(self, peer: Peer, ref: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
        ts = self._look_up(peer, ref, lambda message: _key_of(message) == key)
        if not ts:
            return None
        del self._lost[key]
        return {"channel": self._channel(peer), "ts": ts}

    def show(self, handle: Mapping[str, Any], text: str, n: int) -> None:
        """Show the beginning of the text so far; what does not fit into one message waits for the end."""
        draft = f"{handle.get('channel')} {handle.get('ts')}"  # stamps tell messages of one channel apart
        content = self._progress.next(draft, text)
        if not content:
            return
        self._gate(self._drafts)
        self._edit(handle, content)
        self._drafts.spend(self._clock.monotonic())
        self._progress.shown(draft, content)

    def status(self, peer: Peer) -> None:
        """Say in a thread that an answer is being made; the app may not be one that can."""
        if not self._statuses or not peer.thread_id:
            return
        fields = {"channel_id": peer.chat_id, "thread_ts": peer.thread_id, "status": STATUS}
        try:
            self._rest.call("assistant.threads.setStatus", fields)
        except SendRefused:
            self._statuses = False  # every further pulse would be refused too

    # --- pace ------------------------------------------------------------------------------------

    def _gate(self, bucket: Bucket) -> None:
        wait = bucket.wait(self._clock.monotonic())
        if wait > 0:
            raise SendRetry("Slack asked to wait", after=wait, code="ratelimited")

    @contextmanager
    def _paced(self, bucket: Bucket) -> Iterator[None]:
        """For calls of one method: where Slack asks to wait, it is not called before."""
        self._gate(bucket)
        try:
            yield
        except SendRetry as error:
            bucket.close(self._clock.monotonic(), error.after)
            raise


def thread_of(peer: Peer, ref: Mapping[str, Any]) -> str:
    """The thread a message belongs into, or "": the peer's, that of the message answered, or for a
    message to answer that was named by hand, the one it begins."""
    return str(peer.thread_id or ref.get("thread_ts", ref.get("message_id")) or "")


def _key_of(message: Mapping[str, Any]) -> str:
    return text_at(dict_of(dict_of(message.get("metadata")).get("event_payload")), "key")


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}
