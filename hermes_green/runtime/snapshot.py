"""Snapshot: the whole state as plain data, for status, page and metrics."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from hermes_green.core.clock import Clock, rfc3339
from hermes_green.core.machine import State
from hermes_green.core.ports import Counts
from hermes_green.runtime.child import Child

# Where the adapter named no deadline: a link not heard of for this long is not called connected.
PROOF_WITHIN = 120.0
LOCALES = ("en", "zh")


def child_status(child: Child, clock: Clock, dials: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One child as the status JSON shows it; ages in seconds."""
    now, wall = clock.monotonic(), clock.wall()
    run = child.run
    ready = child.state is State.READY and run is not None and run.ready_at is not None
    proof_age = now - run.proof_at if ready and run is not None and run.proof_at is not None else None
    within = run.proof_within if run is not None and run.proof_within is not None else PROOF_WITHIN
    cooling = child.cooldown_until
    return {
        "id": child.id,
        "platform": child.platform,
        "account": child.account,
        "state": str(child.state),
        "since": rfc3339(child.since),
        "connected": bool(ready and proof_age is not None and proof_age <= within),
        "reason": _reason(child),
        "link_age": round(now - run.ready_at, 3) if ready and run is not None and run.ready_at else None,
        "last_inbound_age": round(wall - child.last_inbound, 3) if child.last_inbound is not None else None,
        "last_proof_age": round(proof_age, 3) if proof_age is not None else None,
        "dials": [dict(window) for window in dials],
        "cooldown_until": rfc3339(cooling) if cooling is not None and cooling > wall else None,
        "restarts": child.restarts,
        "losses": child.losses,
        "suspect": child.suspect,
    }


def _reason(child: Child) -> dict[str, Any]:
    """In the operator's language, and in each for readers of another."""
    own = child.reason
    spoken = {locale: child.reason_for(locale) for locale in LOCALES}
    others = {locale: {"text": said.text, "action": said.action} for locale, said in spoken.items()}
    return {"code": own.code, "text": own.text, "action": own.action, **others}


def status(
    *,
    version: str,
    pid: int,
    started_at: float,
    hub_lag_ms: float,
    counts: Counts,
    turns: int,
    stale: int,
    locale: str,
    config: Mapping[str, Any],
    hooks: Sequence[Mapping[str, Any]],
    children: Mapping[str, Child],
    clock: Clock,
    dials: Callable[[str], list[Mapping[str, Any]]],
) -> dict[str, Any]:
    """The status JSON. Fields may be added, none removed. ``config``: how the last reading of the files
    ended; ``hooks``: each with how often it was called, failed, and was late; ``stale``: turns since the
    start whose messages were older than ``max_age``."""
    return {
        "version": version,
        "pid": pid,
        "started_at": rfc3339(started_at),
        "hub_lag_ms": hub_lag_ms,
        "inbox": counts.inbox,
        "outbox": counts.outbox,
        "dead": counts.dead,
        "quarantine": counts.quarantine,
        "turns": turns,
        "stale": stale,
        "oldest_undelivered": counts.oldest_undelivered,
        "locale": locale,
        "config": dict(config),
        "hooks": list(hooks),
        "children": [child_status(child, clock, dials(id)) for id, child in sorted(children.items())],
    }
