#!/usr/bin/env python3
"""Watches a gateway from outside: says whether it lives, and restarts one that lives and does nothing.

Needs nothing but Python (3.9 or later) and the rights of the user who runs the gateway.

  monitor_gateway.py --once             one look. Exit 0: fine. 1: stale, or what was asked could not be
                                        done. 69: no gateway runs.
  monitor_gateway.py --interval 60      a look every 60 s; what is stale is restarted
  monitor_gateway.py --once --force-restart      for cron: one look; what is stale is restarted
  monitor_gateway.py --force-restart    drain and restart now, whatever it looks like
  monitor_gateway.py --force-kill       TERM, after --deadline seconds KILL, until its locks are free
  monitor_gateway.py --supervisord      as an event listener of supervisord (conf/supervisord.conf)

Stale means: a process holds the data directory and does not answer on /healthz, or a child calls itself
READY and has not proved it within its deadline; both seen twice. A child that waits, cools down or is
HALTED is reported, and nothing is ever restarted for it: that would not mend it. However often and by
whomever this is called, at most one restart is made in five minutes.

Who may not ask the service manager (for a unit of systemd's: who is neither root nor allowed to) restarts
nothing that works, for it would stay down; what hangs is killed, and the manager restarts what was killed.

Each decision is one line of JSON appended to DATA_DIR/monitor.log (--log names another file).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import quote

from gateway_outside import ROOT, Command, Home, Look, Refused, Supervisord, detected, environ_of, glance, look, way_of

FINE, FAILED, NOT_RUNNING = 0, 1, 69
RESTART_EVERY = 300.0  # seconds: no two restarts are closer together
DRAIN = 45.0  # what the shipped units grant an orderly end, and a little more
HUNG = 5.0  # granted to one that does not answer: it cannot drain, but may still notice a TERM
POLL = 0.1


class Log:
    """One line of JSON per decision, appended; and the same in words on ``out``."""

    def __init__(self, path: Path, out: Any) -> None:
        self._path, self._out = path, out
        if hasattr(out, "reconfigure"):
            out.reconfigure(errors="backslashreplace")  # a path may be no text, and a terminal may not show it

    def __call__(self, decision: str, text: str, **more: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": now, "decision": decision, **more, "text": text}, ensure_ascii=False) + "\n"
        print(f"{decision}: {text}" if text else decision, file=self._out, flush=True)
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError:
            return  # without a directory there is no gateway to log about
        try:
            os.write(fd, line.encode("utf-8", "backslashreplace"))
        finally:
            os.close(fd)


class Monitor:
    """One gateway, watched; ``options`` as the command line says."""

    def __init__(self, options: argparse.Namespace, out: Any) -> None:
        self._options = options
        self._home = Home(Path(options.conf), options.data_dir)
        self._log = Log(Path(options.log) if options.log else self._home.data / "monitor.log", out)
        self._said = ""
        self._asked: set[str] = set()

    def see(self, *, always: bool = True) -> Look:
        """Look, and log it: always, or only what is new."""
        seen = look(self._home, self._options.timeout, self._options.confirm)
        text = "; ".join(part for part in (f"pid {seen.pid}" if seen.pid else "", seen.why, *seen.notes) if part)
        new = f"{seen.state} {seen.pid} {[note.partition(':')[0] for note in seen.notes]} {seen.deaf}"
        if always or new != self._said:
            self._log(seen.state, text, pid=seen.pid)
        self._said = new
        return seen

    def mend(self, seen: Look) -> int:
        """Restart what is stale: first the deaf children alone, and when that was no help the gateway."""
        fresh = [child for child in seen.deaf if child not in self._asked]
        if seen.state != "stale":
            self._asked.clear()
            return FINE if seen.state != "down" else NOT_RUNNING
        if seen.deaf and fresh and not self._options.force_restart:
            for child in fresh:
                self._asked.add(child)
                self._log("restart-child", child, pid=seen.pid)
                try:
                    path = f"/api/adapters/{quote(child, safe='')}/restart"
                    self._home.ask("POST", path, seen.pid, self._options.timeout)
                except OSError as error:
                    self._log("failed", f"{child}: {error}", pid=seen.pid)
            return FINE
        return self.restart()

    def note(self, event: str, text: str) -> None:
        """Log what supervisord tells."""
        self._log(event.lower(), text)

    def restart(self) -> int:
        """Drain, end, start again; refused within five minutes of the last time."""
        holder = self._home.owner()
        pid = holder[0] if holder else 0
        try:
            if holder and not pid:
                raise Refused("the holder of the data directory has not written its pid yet")
            self._sure(pid)
            way = way_of(self._home, pid, self._options.via, self._options.name)
            hung = bool(pid) and glance(self._home, self._options.timeout).state == "stale"
            willing = not pid or self._willing(way, hung)
            with self._turn():
                self._log("restart", f"pid {pid}, through {way.says}", pid=pid)
                if pid:
                    self._end(pid, HUNG if hung else DRAIN, politely=willing)
                now = self._begin(way if willing else None, pid)
            self._log("restarted", f"pid {pid} is now pid {now}", pid=now)
            return FINE
        except Refused as refusal:
            self._log("refused", str(refusal), pid=pid)
            return FAILED

    def _willing(self, way: Supervisord | Command, hung: bool) -> bool:
        """Whether it would be started again: who must not ask a service manager is told so before anything has ended,
        for what has drained stays down. One that hangs is ended all the same: killed it has failed, and is
        restarted unasked. Raises Refused."""
        try:
            if not getattr(way, "apart", False):
                way.start()  # it runs, so this does nothing but ask
            return True
        except Refused as refusal:
            if hung:
                return False
            raise Refused(f"it would not be started again: {refusal}") from None

    def kill(self) -> int:
        """TERM, after the deadline KILL, until none of its locks is held."""
        holder = self._home.owner()
        if holder is None or not holder[0]:
            self._log("down" if holder is None else "refused", "nobody to kill", pid=0)
            return NOT_RUNNING if holder is None else FAILED
        pid = holder[0]
        try:
            self._sure(pid)
            way = detected(pid, environ_of(pid))
            if way == "own":
                self._end(pid, self._options.deadline)
            else:
                with self._turn():  # its service manager will start it again
                    self._end(pid, self._options.deadline)
            return FINE
        except Refused as refusal:
            self._log("refused", str(refusal), pid=pid)
            return FAILED

    def _sure(self, pid: int) -> None:
        """Raises Refused: this number is not the gateway's here."""
        if pid and not self._home.names(pid) and (self._home.owner() or (0, 0.0))[0] == pid:
            raise Refused(f"the lock names pid {pid}, which is another process here: look where the gateway runs")

    def _end(self, pid: int, grace: float, politely: bool = True) -> None:
        """Until none of its locks is held any more. Raises Refused."""
        locks = self._home.locks_of(pid)  # a process that has ended does not tell
        for sign, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0))[not politely :]:
            self._sure(pid)
            self._log("signal", f"{sign.name} to pid {pid}, {wait:g} s to end", pid=pid)
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                pass
            except PermissionError:
                raise Refused(f"pid {pid} belongs to another user") from None
            deadline = time.monotonic() + wait
            while True:
                holder = self._home.owner()
                if (holder is None or holder[0] != pid) and not self._home.held_by(pid, locks):
                    self._log("ended", f"pid {pid}; its locks are free", pid=pid)
                    return
                if time.monotonic() >= deadline:
                    break
                time.sleep(POLL)
        held = self._home.held_by(pid, locks) or [str(self._home.lock)]
        raise Refused(f"after KILL, locks of pid {pid} are still held: {', '.join(held)}")

    def _begin(self, way: Supervisord | Command | None, old: int) -> int:
        """The pid of the next one, once it answers; None: somebody starts it unasked. Raises Refused."""
        deadline = time.monotonic() + self._options.start_timeout
        tried = 0.0
        while time.monotonic() < deadline:
            holder = self._home.owner()
            if holder and holder[0] not in (0, old):
                try:
                    self._home.ask("GET", "/healthz", holder[0], self._options.timeout)
                    return holder[0]
                except OSError:
                    pass
            # A manager that has not yet noticed the end says "already started": hence again and again.
            elif way and (not tried or (time.monotonic() - tried > 2 and not getattr(way, "apart", False))):
                way.start()
                tried = time.monotonic()
            time.sleep(POLL)
        how = way.says if way else "it was to be restarted unasked"
        raise Refused(f"no new process answers after {self._options.start_timeout:g} s ({how})")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The right to restart, written down before it is used. Raises Refused."""
        self._home.data.mkdir(parents=True, exist_ok=True)
        with open(self._home.data / "monitor.json", "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused("another monitor is restarting it right now") from None
            file.seek(0)
            try:
                last = float(json.load(file)["restarted_at"])
            except (ValueError, KeyError, TypeError):
                last = 0.0
            now = time.time()
            since = max(0.0, now - last)
            if last <= now and since < RESTART_EVERY:
                left = RESTART_EVERY - since
                raise Refused(f"the last restart was {since:.0f} s ago; the next is due in {left:.0f} s")
            file.seek(0)
            file.truncate()
            # A time in the future, left by a clock that was put back, counts as now.
            json.dump({"restarted_at": now}, file)
            file.flush()
            os.fsync(file.fileno())
            if last > now:
                raise Refused("the clock has been put back since the last restart")
            yield


def listen(monitor: Monitor, name: str) -> int:
    """Event listener: a look at each TICK_60, a line at each change of the gateway's process.

    Source of the protocol: supervisord's documentation, "Event Listeners".
    """
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return FINE
        header = dict(word.split(":", 1) for word in line.split())
        payload = sys.stdin.read(int(header.get("len", 0)))
        event = header.get("eventname", "")
        if event.startswith("PROCESS_STATE_"):
            said = dict(word.split(":", 1) for word in payload.split() if ":" in word)
            if said.get("processname") == (name or "hermes-green").rpartition(":")[2]:
                monitor.note(event, payload)
        elif event.startswith("TICK"):
            monitor.mend(monitor.see(always=False))
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


def parsed(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_argument_group("what to do")
    modes.add_argument("--once", action="store_true", help="one look")
    modes.add_argument("--interval", type=float, metavar="S", help="a look every S seconds, for ever")
    modes.add_argument("--supervisord", action="store_true", help="speak supervisord's event listener protocol")
    modes.add_argument("--force-restart", action="store_true", help="drain and restart")
    modes.add_argument("--force-kill", action="store_true", help="end it, whatever it takes")
    parser.add_argument("--conf", default=str(ROOT / "conf"), metavar="DIR", help="configuration directory")
    parser.add_argument("--data-dir", default="", metavar="DIR", help="where its data is, if not as DIR says")
    parser.add_argument("--log", default="", metavar="FILE", help="default: monitor.log in the data directory")
    parser.add_argument("--via", default="auto", choices=("auto", "supervisord", "systemd", "launchd", "own"))
    parser.add_argument("--name", default="", help="program, unit or label there; default: as its process shows")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="for an answer (5)")
    parser.add_argument("--confirm", type=float, default=3.0, metavar="S", help="until the second look (3)")
    parser.add_argument("--deadline", type=float, default=10.0, metavar="S", help="from TERM to KILL (10)")
    parser.add_argument("--start-timeout", type=float, default=90.0, metavar="S", help="for the new one (90)")
    options = parser.parse_args(argv)
    asked = [options.once, options.interval is not None, options.supervisord, options.force_kill]
    if sum(map(bool, asked)) > 1 or (options.force_restart and any(asked[1:])):
        parser.error("--once, --interval, --supervisord and --force-kill exclude one another")
    if not any(asked) and not options.force_restart:
        parser.error("say what to do: --once, --interval, --supervisord, --force-restart or --force-kill")
    return options


def main(argv: list[str]) -> int:
    """Do what the command line says; the exit code."""
    options = parsed(argv)
    # As a listener, standard output is the wire to supervisord.
    monitor = Monitor(options, sys.stderr if options.supervisord else sys.stdout)
    if options.supervisord:
        return listen(monitor, options.name)
    if options.force_kill:
        return monitor.kill()
    if options.once:
        seen = monitor.see()
        if options.force_restart:
            return monitor.mend(seen)
        return {"stale": FAILED, "down": NOT_RUNNING}.get(seen.state, FINE)
    if options.force_restart:
        return monitor.restart()
    while True:
        monitor.mend(monitor.see(always=False))
        time.sleep(options.interval)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
