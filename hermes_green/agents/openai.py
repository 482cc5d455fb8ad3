"""Openai: any endpoint that speaks the OpenAI chat protocol, streamed, with a deadline on each step."""

from __future__ import annotations

import random
import time
from typing import Any, Iterator, Literal, Mapping, Protocol, Sequence

import gevent

from hermes_green.agents import hermes, pictures
from hermes_green.agents.completion import Completion, said
from hermes_green.agents.pictures import Picture
from hermes_green.core.errors import AgentError, AgentFailed, AgentTimeout, ConfError, LinkLost
from hermes_green.core.model import Attachment, Delta, Secret, Turn
from hermes_green.link.embedded import Body
from hermes_green.link.http import Http, RequestNotSent, Streamed, retry_after
from hermes_green.link.proxy import near

_TRIES = 3
_DEADLINES = ("connect_timeout", "first_byte_timeout", "chunk_timeout", "timeout")
_REFUSAL = 64 * 1024  # bytes of an error's body that are read


class OpenaiOptions(Protocol):
    """What the agent reads of its settings; times in seconds."""

    @property
    def base_url(self) -> str: ...
    @property
    def api_key(self) -> Secret: ...
    @property
    def model(self) -> str: ...
    @property
    def system_prompt(self) -> str: ...
    @property
    def history_turns(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def connect_timeout(self) -> float: ...
    @property
    def first_byte_timeout(self) -> float: ...
    @property
    def chunk_timeout(self) -> float: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def session(self) -> Literal["local", "hermes"]: ...
    @property
    def stream(self) -> bool: ...


class Openai:
    """One pooled session to one endpoint; turns run side by side, each in its caller's greenlet.

    The environment's proxies apply, unless the endpoint is on this machine. Before the first byte of an
    answer a refusal that may pass (429, 5xx, no connection) is tried again, within the turn's time; after it
    nothing is. Every call carries the turn's id as Idempotency-Key. Hermes Agent, which restarts when its user
    says so, is waited for, and asked again also where an answer of its broke off that had not said anything yet.
    """

    def __init__(self, options: OpenaiOptions, log: Any) -> None:
        self._options = options
        self._log = log
        key = options.api_key.reveal()
        self._secrets = [value for value in (key, *options.headers.values()) if len(value) >= 6]
        auth = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = Http(
            options.base_url, connect=options.connect_timeout, headers={**auth, **options.headers}, environment=True
        )
        self._ask_usage = True
        self._near = near(options.base_url)

    def run(self, turn: Turn) -> Iterator[Delta]:
        """The answer; the last delta carries ``usage`` where the endpoint tells it.

        Raises:
            AgentTimeout: naming the deadline of the settings that was missed.
            AgentFailed: refused, broken off, or not this protocol.
        """
        until = time.monotonic() + self._options.timeout
        tries = _TRIES if self._options.session == "hermes" else 1
        while True:
            tries -= 1
            answer, begun = self._answer(turn, until), False
            try:
                for delta in self._deltas(answer):
                    begun = True
                    yield delta
                return
            except AgentError as error:
                if begun or not tries or error.code != "cut":
                    raise self._clean(error) from None
                self._log.info("turn {}: {}; asking again", turn.id, self._clean(error).text)
            finally:
                answer.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    def _answer(self, turn: Turn, until: float) -> Streamed:
        """An answer of status 200, its body still to be read; what may pass is tried again."""
        attempt, shown = 1, pictures.seen(turn.attachments)
        patient = time.monotonic() + (hermes.PATIENCE if self._options.session == "hermes" else 0)
        while True:
            try:
                return self._ask(turn, shown, until)
            except _Passing as failure:
                shown = [] if failure.blind else shown
                pause = failure.after
                if pause is None:
                    pause = random.uniform(0.5, 1.0) * 2 ** min(attempt - 1, 2)
                over = attempt >= failure.tries and time.monotonic() + pause >= patient
                if over or time.monotonic() + pause >= until:
                    raise self._clean(AgentFailed(failure.text, code=failure.code, action=failure.action)) from None
                self._log.info("turn {}: {}; asking again in {:.1f} s", turn.id, self._clean(failure).text, pause)
            except AgentError as failure:
                raise self._clean(failure) from None
            gevent.sleep(pause)
            attempt += 1

    def _ask(self, turn: Turn, shown: Sequence[Picture], until: float) -> Streamed:
        options, json = self._options, self._body(turn, shown)
        body = Body(json, [picture.data for picture in shown]) if shown else None
        try:
            answer = self._http.stream(
                "POST",
                "chat/completions",
                json=None if shown else json,
                data=body,
                headers=self._headers(turn),
                first=options.first_byte_timeout,
                pause=options.chunk_timeout,
                total=max(0.001, until - time.monotonic()),
            )
        except LinkLost as error:
            if body is not None and not body.left and error.code == "answer_lost":
                # It hung up while the request was leaving: as a rule because that is too large.
                raise _Passing(error.text, after=0.0, blind=True) from None
            raise _failed(error) from None
        except ConfError as error:
            raise AgentFailed(error.text, action="Correct agent.base_url, agent.api_key or agent.headers.") from None
        if answer.status == 200:
            return answer
        try:
            refusal = answer.read(_REFUSAL)
        except LinkLost:
            refusal = b""  # the status alone must do
        finally:
            answer.close()
        if shown and pictures.refused(answer.status, refusal):
            text = f"the endpoint takes no pictures, or not these (HTTP {answer.status}: {said(refusal)})"
            raise _Passing(text, after=0.0, blind=True)
        raise self._refused(answer, refusal)

    def _body(self, turn: Turn, shown: Sequence[Picture]) -> Mapping[str, Any]:
        options = self._options
        prompt = turn.system_prompt or options.system_prompt
        messages: list[dict[str, Any]] = [{"role": "system", "content": prompt}] if prompt else []
        if options.session == "local" and options.history_turns:
            lines = turn.history[-2 * options.history_turns :]
            messages += [{"role": line.role, "content": _worded(line.text)} for line in lines]
        paths = {picture.path for picture in shown}
        notes = [self._note(each, each.path in paths) for each in turn.attachments]
        text = "\n".join([turn.asked, *notes] if turn.asked else notes)
        parts = [{"type": "text", "text": text}, *(picture.part() for picture in shown)]
        messages.append({"role": "user", "content": parts if shown else _worded(text)})
        body: dict[str, Any] = {"model": options.model, "messages": messages, "stream": options.stream}
        if options.stream and self._ask_usage:
            body["stream_options"] = {"include_usage": True}
        return body

    def _note(self, each: Attachment, shown: bool) -> str:
        """A line that names what came along, and where it lies for who can open it there and does not see it."""
        name = f"[{each.kind}: {each.name}]" if each.name else f"[{each.kind}]"
        return f"{name} {each.path}" if self._near and each.path and not shown else name

    def _headers(self, turn: Turn) -> Mapping[str, str]:
        headers = {"Idempotency-Key": turn.id, "Content-Type": "application/json"}
        if self._options.session == "hermes":
            headers |= hermes.headers(turn)
        return headers

    def _refused(self, answer: Streamed, body: bytes) -> AgentFailed:
        """The failure that a status other than 200 means."""
        status = answer.status
        if status in (400, 422) and b"stream_options" in body and self._ask_usage:
            self._ask_usage = False  # an endpoint of before usage was streamed
            return _Passing(f"the endpoint does not know stream_options (HTTP {status})", after=0.0)
        text = f"the endpoint answered HTTP {status}: {said(body)}"
        if status in (401, 403):
            text = f"the endpoint refused the key (HTTP {status})"
            return AgentFailed(text, code=str(status), action="Check agent.api_key.")
        if status == 404:
            return AgentFailed(text, code="404", action="Check agent.base_url and agent.model.")
        if status == 429 or (status >= 500 and status not in (501, 505)):
            return _Passing(text, after=retry_after(answer.headers), code=str(status))
        return AgentFailed(text, code=str(status))

    # --- listening ---

    def _deltas(self, answer: Streamed) -> Iterator[Delta]:
        completion = Completion()
        kind = answer.headers.get("Content-Type", "").lower()
        try:
            if "event-stream" in kind or (self._options.stream and "json" not in kind):
                yield from completion.streamed(answer.pieces())
            else:
                yield completion.whole(answer.read())
                return
        except LinkLost as error:
            if not completion.finished:
                raise _failed(error, begun=True) from None
        except UnicodeDecodeError:
            raise AgentFailed("the endpoint's answer is not UTF-8", code="protocol") from None
        if not completion.finished:
            raise AgentFailed("the answer broke off: neither finish_reason nor [DONE] came", code="cut")
        if completion.closed:
            answer.finish()
        if completion.usage is not None:
            yield Delta(usage=completion.usage)

    def _clean(self, error: AgentError) -> AgentError:
        """The same error; should the endpoint have quoted a secret of ours, without it."""
        text = error.text
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return type(error)(text, code=error.code, action=error.action)


class _Passing(AgentFailed):
    """A failure that may pass: ask again ``after`` seconds (None: as we like), ``tries`` times in all; ``blind``:
    without pictures."""

    def __init__(
        self,
        text: str,
        *,
        after: float | None = None,
        tries: int = _TRIES,
        blind: bool = False,
        code: str = "",
        action: str = "",
    ) -> None:
        super().__init__(text, code=code, action=action)
        self.after = after
        self.tries = tries
        self.blind = blind


def _worded(text: str) -> str:
    """The content of a message: for one of nothing, as a bare mention is, something stands that endpoints take."""
    return text if text.strip() else "…"


def _failed(error: LinkLost, begun: bool = False) -> AgentError:
    """What an error of the call means for the turn; ``begun``: a part of the answer was taken."""
    if error.code in _DEADLINES:
        return AgentTimeout(f"the endpoint was too slow: {error.text}", code=error.code)
    if isinstance(error, RequestNotSent):
        return _Passing(error.text, code="unreachable", action="Check agent.base_url.")
    if begun or error.code == "too_big":
        return AgentFailed(error.text, code="cut")
    return _Passing(error.text, tries=2, code="cut")


def create(options: OpenaiOptions, log: Any) -> Openai:
    """Raises ConfError: base_url cannot be used."""
    return Openai(options, log)
