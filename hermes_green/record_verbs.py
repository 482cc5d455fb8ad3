"""Record verbs: dead letters, conversations and pairing, from the running gateway or out of its store."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any, Callable, Mapping, Sequence

from hermes_green.core.clock import SystemClock, rfc3339
from hermes_green.core.errors import HermesError
from hermes_green.core.tokens import tokens_of
from hermes_green.ops.places import database_path, require
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


def audit(arguments: Namespace) -> int:
    """Show who asked what kind of thing when, what it cost, and whether the answer arrived."""
    contents = outline_of(arguments).audit.contents
    limit = arguments.limit
    lines = recorded(
        arguments,
        lambda remote: body_of(remote.get(f"/api/audit?since={max(1, int(arguments.since))}&limit={limit}"))["audit"],
        lambda store: [
            {**asdict(each), "at": rfc3339(each.at)} for each in store.audit(arguments.since, limit, contents)
        ],
        [],
    )
    shown = {"since": rfc3339(arguments.since), "audit": lines, "totals": _totals(lines)}
    show(arguments, shown, lambda: _audit_lines(shown))
    return OK


def _totals(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    states = [line["state"] for line in lines]
    return {
        "messages": sum(line["kind"] != "send" for line in lines),
        "sends": sum(line["kind"] == "send" for line in lines),
        **{state: states.count(state) for state in ("done", "refused", "dead")},
        "tokens": sum(tokens_of(line["usage"]) for line in lines),
        **{name: sum(line[name] for line in lines) for name in ("delivered", "undelivered", "given_up")},
    }


def _audit_lines(shown: Mapping[str, Any]) -> list[str]:
    rows = []
    for line in shown["audit"]:
        seconds, tokens = line["seconds"], tokens_of(line["usage"])
        rows.append(
            {
                **line,
                "user": line["user_id"] or "",
                "chat": line["chat_id"],
                "seconds": "" if seconds is None else f"{seconds:.1f}",
                "tokens": tokens or "",
                "arrived": f"{line['delivered']}/{line['delivered'] + line['undelivered'] + line['given_up']}",
            }
        )
    columns = ["at", "child", "user", "chat", "kind", "state", "seconds", "tokens", "arrived", "reason"]
    if any(line["text"] or line["answer"] for line in shown["audit"]):
        columns += ["text", "answer"]
    end = ", ".join(f"{name} {count}" for name, count in shown["totals"].items())
    return [*(table(tuple(columns), rows) if rows else ["nothing came in"]), f"since {shown['since']}: {end}"]


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


def rescue(arguments: Namespace) -> int:
    """Put what can be read of a damaged database into a new one."""
    from hermes_green.ops.lock import FileLock, data_lock_path
    from hermes_green.store import rescue as rescuing

    data_dir = outline_of(arguments).data_dir
    require(data_dir)
    path = database_path(data_dir)
    if not path.exists():
        say(f"there is no {path}: nothing to rescue")
        return OK
    with FileLock(data_lock_path(data_dir), what=f"data_dir {data_dir}", data_dir=str(data_dir)):
        try:
            done = rescuing.rescue(path)
        except OSError as error:
            raise HermesError(str(error)) from error
    if done is None:
        print(f"{path} is sound; nothing was changed")
        return OK
    rows = [
        {"table": name, "rows": each.rows, "all of them": "yes" if each.whole else "no"}
        for name, each in done.tables.items()
    ]
    print("\n".join(table(("table", "rows", "all of them"), rows)))
    print(f"the damaged file is {done.aside} now; the gateway can be started")
    return OK


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
    require(outline.data_dir)
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
