"""Chats: what the bot writes into them: messages, drafts, files, status lines; and whether it is there."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from hermes_green.adapters.slack.codes import LOST_THREAD
from hermes_green.adapters.slack.files import Files
from hermes_green.adapters.slack.rest import Rest
from hermes_green.core.clock import Clock
from hermes_green.core.errors import SendError, SendRefused, SendRetry, SendUnknown
from hermes_green.core.model import Part, Peer
from hermes_green.core.pacing import Bucket
from hermes_green.core.ports import Context
from hermes_green.core.remembered import Remembered

# docs.slack.dev/messaging/message-metadata: what the bot writes into its own messages it can read again.
EVENT_TYPE = "hermes_green"
OPENING = "…"
STATUS = "is thinking…"
# Of the 50 calls of chat.update a minute, those for drafts: their updates, and for each one its final text;
# in seconds that leave no long silence when many talk at once.
EDITS, EDIT_SECONDS = 15, 20.0
PAGE, PAGES = 200, 5
KNOWN_DMS = KNOWN_DRAFTS = 1_000
# A method that is limited answers with its own wait; until then the question is not asked again.
ANY = 1_000_000


class Chats:
    """What one account writes. Methods raise SendError, or AuthRejected for the bot token."""

    def __init__(self, rest: Rest, ctx: Context, clock: Clock) -> None:
        self._rest = rest
        self._ctx = ctx
        self._clock = clock
        self._files = Files(rest)
        self._dms: Remembered[str, str] = Remembered(KNOWN_DMS)
        self._drafts = Bucket(EDITS, EDIT_SECONDS)
        self._edits = Bucket(ANY, 1.0)
        self._lookups = Bucket(ANY, 1.0)
        self._lost: Remembered[str, None] = Remembered(KNOWN_DRAFTS)  # drafts whose answer never came
        self._statuses = True

    # --- messages --------------------------------------------------------------------------------

    def finish(self, part: Part) -> str:
        """Make the part's text the draft's last one; the message's id."""
        handle = part.handle or {}
        edited = self._edit(handle, str(part.payload["text"]), metadata=_metadata(part.key))
        return str(edited.get("ts") or handle.get("ts") or "")

    def _edit(self, handle: Mapping[str, Any], text: str, **more: Any) -> Mapping[str, Any]:
        self._gate(self._edits)
        try:
            fields = {"channel": handle.get("channel"), "ts": handle.get("ts"), "text": text, **more}
            return self._rest.call("chat.update", fields)
        except SendRetry as error:
            self._edits.close(self._clock.monotonic(), error.after)
            raise

    def retract(self, part: Part) -> None:
        """Take away what the draft showed; the whole text stands elsewhere already."""
        handle = part.handle or {}
        try:
            self._rest.call("chat.delete", {"channel": handle.get("channel"), "ts": handle.get("ts")})
        except SendError as error:
            self._ctx.log.debug("a draft stays behind: {}", error)

    def post(self, part: Part) -> str:
        """Bring a part to its thread, else to its chat; its id there."""
        thread = thread_of(part.peer, part.reply_ref)
        while True:
            try:
                if "media" in part.payload:
                    return self._files.share(part.key, part.payload["media"], self._channel(part.peer), thread)
                return str(self._post(part.peer.chat_id, str(part.payload.get("text", "")), thread, part.key)["ts"])
            except SendRefused as refused:
                if not thread or refused.code not in LOST_THREAD:
                    raise
                thread = ""
                self._ctx.count("sends", "thread_lost")

    def _post(self, channel: str, text: str, thread: str, key: str) -> dict[str, str]:
        fields: dict[str, Any] = {"channel": channel, "text": text, "metadata": _metadata(key)}
        if thread:
            fields["thread_ts"] = thread
        body = self._rest.call("chat.postMessage", fields)
        # To a person it goes by the user's id, and comes back with the direct chat's.
        return {"channel": str(body.get("channel") or channel), "ts": str(body.get("ts") or "")}

    def _channel(self, peer: Peer) -> str:
        """The chat's own id: history and files know no chats by their user's."""
        user = peer.chat_id
        if user[:1] not in ("U", "W"):
            return user
        if user not in self._dms:
            channel = self._rest.call("conversations.open", {"users": user}).get("channel")
            found = str(channel.get("id") or "") if isinstance(channel, dict) else ""
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
        file_id, files = self._files.known(part.key), message.get("files")
        listed = files if isinstance(files, list) else ()
        return file_id != "" and any(isinstance(each, dict) and each.get("id") == file_id for each in listed)

    def _look_up(self, peer: Peer, ref: Mapping[str, Any], wanted: Callable[[Mapping[str, Any]], bool]) -> str:
        """The id of the newest wanted message among the answers to ``ref``, or ""."""
        self._gate(self._lookups)
        thread, oldest = thread_of(peer, ref), str(ref.get("message_id") or "")
        method = "conversations.replies" if thread else "conversations.history"
        try:
            fields: dict[str, Any] = {"channel": self._channel(peer), "limit": PAGE, "include_all_metadata": "true"}
            if oldest:  # an answer cannot be older than its question
                fields["oldest"] = oldest
            if thread:
                fields["ts"] = thread
            return self._search(method, fields, wanted)
        except SendRefused as refused:
            self._ctx.log.warning(f"whether a message arrived could not be looked up: {refused} {refused.action}")
            self._ctx.count("lookups", "refused")
            return ""
        except SendRetry as error:
            self._lookups.close(self._clock.monotonic(), error.after)
            raise

    def _search(self, method: str, fields: dict[str, Any], wanted: Callable[[Mapping[str, Any]], bool]) -> str:
        for _ in range(PAGES):
            body = self._rest.call(method, fields, form=True)
            messages = body.get("messages")
            for message in messages if isinstance(messages, list) else ():
                if isinstance(message, dict) and wanted(message):
                    return str(message.get("ts") or "")
            following = body.get("response_metadata")
            fields["cursor"] = str(following.get("next_cursor") or "") if isinstance(following, dict) else ""
            if not fields["cursor"]:
                break
        return ""

    # --- drafts and signs ------------------------------------------------------------------------

    def open(self, peer: Peer, ref: Mapping[str, Any], key: str) -> dict[str, str]:
        """Post the message that will grow; its channel and ts. One whose answer was lost is looked for,
        so that none is left standing without a text."""
        self._gate(self._drafts)
        self._drafts.spend(self._clock.monotonic())  # for its end
        if key in self._lost:
            return self._opened(peer, ref, key) or self._open(peer, ref, key)
        return self._open(peer, ref, key)

    def _open(self, peer: Peer, ref: Mapping[str, Any], key: str) -> dict[str, str]:
        try:
            return self._post(peer.chat_id, OPENING, thread_of(peer, ref), key)
        except SendUnknown:
            self._lost[key] = None
            handle = self._opened(peer, ref, key)
            if handle is None:
                raise
            return handle

    def _opened(self, peer: Peer, ref: Mapping[str, Any], key: str) -> dict[str, str] | None:
        ts = self._look_up(peer, ref, lambda message: _key_of(message) == key)
        if not ts:
            return None
        del self._lost[key]
        return {"channel": self._channel(peer), "ts": ts}

    def show(self, handle: Mapping[str, Any], text: str) -> None:
        """Replace a draft's text."""
        self._gate(self._drafts)
        self._edit(handle, text)
        self._drafts.spend(self._clock.monotonic())

    def status(self, peer: Peer) -> None:
        """Say in a thread that an answer is being made; the app may not be one that can."""
        if not self._statuses or not peer.thread_id:
            return
        fields = {"channel_id": peer.chat_id, "thread_ts": peer.thread_id, "status": STATUS}
        try:
            self._rest.call("assistant.threads.setStatus", fields)
        except SendRefused:
            self._statuses = False  # every further pulse would be refused too

    def _gate(self, bucket: Bucket) -> None:
        wait = bucket.wait(self._clock.monotonic())
        if wait > 0:
            raise SendRetry("Slack asked to wait", after=wait, code="ratelimited")


def thread_of(peer: Peer, ref: Mapping[str, Any]) -> str:
    """The thread a message belongs into, or "": the peer's, that of the message answered, or for a
    message to answer that was named by hand, the one it begins."""
    return str(peer.thread_id or ref.get("thread_ts", ref.get("message_id")) or "")


def _key_of(message: Mapping[str, Any]) -> str:
    metadata = message.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
    return str(payload.get("key") or "") if isinstance(payload, dict) else ""


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}
