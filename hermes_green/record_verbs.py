"""Record verbs: dead letters, conversations and pairing, from the running gateway or out of its store."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any, Callable

from hermes_green.core.clock import SystemClock, rfc3339
from hermes_green.core.errors import HermesError
from hermes_green.remote import Answer, NotRunning, Remote, quoted
from hermes_green.verbs import FAILED, OK, body_of, outline_of, say, show, table


def dead_list(arguments: Namespace) -> int:
    """Show what was given up."""
    letters = recorded(
        arguments,
        lambda remote: body_of(remote.get(f"/api/dead?limit={arguments.limit}"))["dead"],
        lambda store: [{**asdict(each), "at": rfc3339(each.at)} for each in store.dead(arguments.limit)],
        [],
    )
    columns = ("id", "at", "child", "chat_id", "reason", "text")
    show(arguments, letters, lambda: table(columns, letters) if letters else ["no dead letters"])
    return OK


def dead_command(arguments: Namespace) -> int:
    """Retry or drop one dead letter."""
    def settle(store: Any) -> bool:
        return bool(getattr(store, f"dead_{arguments.command}")(arguments.id, time.time()))

    path = f"/api/dead/{quoted(arguments.id)}/{arguments.command}"
    done = recorded(arguments, lambda remote: was_found(remote.post(path)), settle, False)
    if not done:
        say(f"no dead letter has the id {arguments.id}; hermes-green dead list shows them")
    return OK if done else FAILED


def sessions_list(arguments: Namespace) -> int:
    """Show the conversations."""
    sessions = recorded(
        arguments,
        lambda remote: body_of(remote.get(f"/api/sessions?limit={arguments.limit}"))["sessions"],
        lambda store: [{**asdict(each), "last_at": rfc3339(each.last_at)} for each in store.sessions(arguments.limit)],
        [],
    )
    columns = ("session_id", "last_at", "messages", "child", "chat_id")
    show(arguments, sessions, lambda: table(columns, sessions) if sessions else ["no sessions"])
    return OK


def sessions_show(arguments: Namespace) -> int:
    """Show what the agent remembers of one, or what was put aside."""
    def local(store: Any) -> dict[str, Any] | None:
        read = store.archived if arguments.archived else store.history
        lines = [asdict(line) for line in read(arguments.id, arguments.limit)]
        return {"session_id": arguments.id, "history": lines} if lines else None

    def asked(remote: Remote) -> Any:
        which = f"turns={arguments.limit}&archived={int(arguments.archived)}"
        answer = remote.get(f"/api/sessions/{quoted(arguments.id)}?{which}")
        return body_of(answer) if was_found(answer) else None

    session = recorded(arguments, asked, local, None)
    if session is None:
        say(f"no session has the id {arguments.id}; hermes-green sessions list shows them")
        return FAILED
    show(arguments, session, lambda: [f"{line['role']}: {line['text']}" for line in session["history"]])
    return OK


def sessions_reset(arguments: Namespace) -> int:
    """Make the agent forget one."""
    path = f"/api/sessions/{quoted(arguments.id)}/reset"
    done = recorded(
        arguments,
        lambda remote: was_found(remote.post(path)),
        lambda store: store.reset_session(arguments.id, time.time()),
        False,
    )
    if not done:
        say(f"no session has the id {arguments.id}; hermes-green sessions list shows them")
    return OK if done else FAILED


def pairing_list(arguments: Namespace) -> int:
    """Show who waits with a code, and who was let in."""
    said = recorded(
        arguments,
        lambda remote: body_of(remote.get("/api/pairing")),
        lambda store: _pairing(store).shown(),
        {"waiting": [], "paired": []},
    )
    rows = [{"code": "", "until": "", **each} for each in (*said["waiting"], *said["paired"])]
    columns = ("code", "child", "user", "name", "at", "until")
    show(arguments, said, lambda: table(columns, rows) if rows else ["nobody waits, and nobody was let in"])
    return OK


def pairing_approve(arguments: Namespace) -> int:
    """Let in who was told a code."""
    paired = recorded(
        arguments,
        lambda remote: body_of(remote.post("/api/pairing/approve", {"code": arguments.code})),
        lambda store: asdict(_pairing(store).approve(arguments.code)),
        None,
    )
    if paired is None:
        raise HermesError("nobody waits: this gateway has never run")
    print(f"{paired['user']} may write to {paired['child']} now")
    return OK


def pairing_revoke(arguments: Namespace) -> int:
    """Let somebody out again."""
    body = {"child": arguments.child, "user": arguments.user}
    done = recorded(
        arguments,
        lambda remote: was_found(remote.post("/api/pairing/revoke", body)),
        lambda store: _pairing(store).revoke(arguments.child, arguments.user),
        False,
    )
    if not done:
        say(f"{arguments.user} was not let in at {arguments.child}; hermes-green pairing list shows who was")
    return OK if done else FAILED


def _pairing(store: Any) -> Any:
    from hermes_green.runtime.saved import pairing

    return pairing(store, SystemClock())


def recorded(
    arguments: Namespace, ask: Callable[[Remote], Any], look: Callable[[Any], Any], nothing: Any
) -> Any:
    """What is written down: from the running gateway, or out of its store while none runs."""
    outline = outline_of(arguments)
    try:
        return ask(Remote(outline))
    except NotRunning:
        pass
    if not outline.data_dir.is_dir():
        return nothing
    from hermes_green import app

    store = app.open_store(outline.data_dir)
    try:
        return look(store)
    finally:
        store.close()


def was_found(answer: Answer) -> bool:
    if answer.status == 404:
        return False
    body_of(answer)
    return True
