"""The composition root: the only file that names concrete classes and puts them together."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from loguru import logger

from hermes_green import __version__
from hermes_green.adapters.web.mailbox import Mailbox
from hermes_green.blueprint import credentials, hide_secrets, load_config, pace_of, policy_of, sentences
from hermes_green.core.clock import SystemClock, rfc3339
from hermes_green.core.errors import ConfError, LinkLost, StoreAway, StoreBroken
from hermes_green.core.ports import Store
from hermes_green.link.trust import trust
from hermes_green.live import Live
from hermes_green.nursery import Nursery
from hermes_green.ops import log as logs
from hermes_green.ops.files import drop_output, write_private
from hermes_green.ops.hublag import HubLag
from hermes_green.ops.ledger import Ledger
from hermes_green.ops.lock import state_dir
from hermes_green.ops.metrics import Metrics
from hermes_green.ops.notify import Notifier
from hermes_green.ops.offhub import OffHub
from hermes_green.ops.ownership import Ownership, own
from hermes_green.ops.places import database_path, media_path, published_path, require, understood
from hermes_green.ops.watchdog import Watchdog, resident_mb
from hermes_green.ops.whereabouts import tell
from hermes_green.runtime.closing import Deadline, side_by_side
from hermes_green.runtime.delivery import Delivery
from hermes_green.runtime.escalation import Escalation
from hermes_green.runtime.events import Bus
from hermes_green.runtime.gateway import Gateway, Identity
from hermes_green.runtime.house import House
from hermes_green.runtime.lanes import Lanes
from hermes_green.runtime.media import Media
from hermes_green.runtime.supervisor import Supervisor
from hermes_green.runtime.turn import Turns
from hermes_green.runtime.upkeep import PULSE, Upkeep
from hermes_green.runtime.weight import Weight
from hermes_green.runtime.witness import Witness
from hermes_green.settings.schema import Config
from hermes_green.store.sqlite import SqliteStore
from hermes_green.web.facade import Lab
from hermes_green.web.guard import Guard
from hermes_green.web.history import History
from hermes_green.web.server import Server
from hermes_green.web.views import Views

EXIT_OK = 0
EXIT_RESTART = 75
# Seconds that a start takes at least which the disk, or a bug, has brought to nothing: some managers start us again
# at once.
RESTART_PAUSE = 5.0
EXIT_CONFIG = 78
# Taking over waits for a drain of the other process and this much more.
EVICT_SLACK = 8.0
# Seconds a commit waits for another process that holds the file. Two such waits (the one under way, and
# its own) must end before the pulse takes a locked store for a hung one and the watchdog ends us.
STORE_BUSY = 2.0
# Of stall_kill: so long may the store be silent before it counts as hung.
STORE_PATIENCE = 0.7
# From the end of drain_seconds to the exit; service managers are told 5 s.
CLOSE_WITHIN = 4.5
# So long hooks may take over the end of the process, where draining has left it.
PARTING = 5.0
PROBE_TIMEOUT = 90.0


def open_store(data_dir: Path) -> SqliteStore:
    """The store of a data directory. Raises StoreBroken, StoreAway."""
    return SqliteStore(database_path(data_dir), busy_timeout=STORE_BUSY)


class Application:
    """One process from its locks to its last line."""

    def __init__(self, config: Config, ownership: Ownership, states: Path, lab: Lab | None = None) -> None:
        self.exit_code = EXIT_OK
        self._ownership = ownership
        self._clock = SystemClock()
        self._started_at = self._clock.wall()
        self._over = Event()
        self._offhub = OffHub(2)
        self._renderer = OffHub(1, "render")
        self._notifier = Notifier()
        self._metrics = Metrics(__version__)
        self._metrics.before_render.append(self._refresh_metrics)
        self._lag = HubLag(self._metrics.hub_lag)
        self._watchdog = Watchdog(
            config.supervisor.stall_warn,
            config.supervisor.stall_kill,
            lambda late, stack: logger.warning("the hub has been blocked for {:.2f} s at:\n{}", late, stack),
        )
        self._bus = Bus(self._clock)
        self._live = Live(config, self._offhub, self._notifier, self._clock)
        self._states = states
        self._published: list[Path] = []
        self._media = Media(media_path(config.data_dir), self._offhub.call, logger)
        self._store: Store = open_store(config.data_dir)
        worker = f"{os.getpid()}-{self._started_at:.0f}"
        self._build_runtime(config, worker)
        self._build_outside(self._house)
        self._mailbox = Mailbox()
        self._nursery = Nursery(
            store=self._store,
            clock=self._clock,
            offhub=self._offhub,
            renderer=self._renderer,
            metrics=self._metrics,
            ownership=ownership,
            state_dir=states,
            data_dir=config.data_dir,
            worker=worker,
            injected={"web": {"mailbox": self._mailbox}},
        )
        self._live.connect(self._house, self._nursery, ownership, self._watchdog)
        guard = Guard(config.http.host, config.http.token.reveal())
        self._history = History(
            self._metrics.spreads, lambda: self._lag.current_ms, lambda: self._upkeep.counts, self._clock
        )
        views = Views(self._gateway, self._page_chat, self._metrics.render, guard, logger, lab, self._history)
        self._build_restarts(Ledger(states / "gateway.ledger", self._clock))
        self._server = Server(config.http.host, config.http.port, views, logger)

    def _build_restarts(self, ledger: Ledger) -> None:
        """What may ask for a fresh process, and seldom does."""
        seldom: dict[str, Any] = dict(
            ledger=ledger,
            offhub=self._offhub.call,
            restart=lambda: self.stop(EXIT_RESTART),
            clock=self._clock,
            log=logger,
        )
        self._weight = Weight(
            **seldom, most=lambda: self._live.config.supervisor.max_rss_mb, resident=resident_mb
        )
        self._escalation = Escalation(
            **seldom,
            book=lambda child: self._house.members[child].dials.before_dial(handover=False),
            probe=self._probe,
        )

    def _build_runtime(self, config: Config, worker: str) -> None:
        common: dict[str, Any] = dict(store=self._store, clock=self._clock, log=logger)
        witness = Witness(
            clock=self._clock,
            bus=self._bus,
            meters=self._metrics,
            log=logger,
            on_moved=lambda child: self._house.moved(child),
            on_failing=lambda child: self._escalation.consider(child),
            lag_ms=lambda seconds: self._lag.worst_ms(seconds),
        )
        supervisor = Supervisor(self._clock, logger, witness)
        told: dict[str, Any] = dict(common, bus=self._bus, hooks=self._live.hooks)
        house = self._house = House(**told, supervisor=supervisor, policy=policy_of(config), media=self._media)
        shared: dict[str, Any] = dict(told, meters=self._metrics, place=house.place)
        turns = Turns(
            **shared,
            agent=self._live.agent,
            wake=house.wake,
            offhub=self._renderer.call,
            rules=lambda: house.policy.turns,
            progress=house.progress,
            media=self._media,
            admit=house.door.admits,
            spent=house.door.limits.spent,
        )
        lanes = Lanes(
            **common,
            turn=turns.run,
            cancelled=turns.cancelled,
            worker=worker,
            max_parallel=config.turns.max_parallel,
            timeout=config.turns.timeout,
            manner=lambda: house.policy.manner(self._clock.wall()),
            aside=lambda lease: house.desk.take(lease),
            look=house.look,
        )
        delivery = Delivery(**shared, rules=lambda: house.policy.delivery, session=lambda p: house.policy.session_of(p))
        house.connect(lanes, turns, delivery)

    def _build_outside(self, house: House) -> None:
        """What looks after the runtime, and what the outside sees of it."""
        common: dict[str, Any] = dict(store=self._store, clock=self._clock, log=logger)
        self._upkeep = Upkeep(
            **common,
            notifier=self._notifier,
            turning=house.supervisor.ping,
            summary=house.summary,
            retention=lambda: house.policy.retention,
            broken=self._broken,
            alive=self._alive,
            back=house.look,
            pulse=self._pulse,
            patience=lambda: STORE_PATIENCE * self._live.config.supervisor.stall_kill,
            sweep=lambda: self._offhub.call(self._media.sweep, self._live.config.retention.media_days),
        )
        self._gateway = Gateway(
            **common,
            identity=Identity(__version__, os.getpid(), self._started_at),
            house=house,
            upkeep=self._upkeep,
            bus=self._bus,
            offhub=self._renderer.call,
            lag_ms=lambda: self._lag.current_ms,
            reload=self._live.reload,
            told=self._live.told,
            stop=self.stop,
        )

    # --- from the first line to the last ---

    def serve(self) -> int:
        """Run until asked to stop; the exit code."""
        found = self._store.recover(self._clock.wall())
        if found.cut or found.undelivered:
            logger.info("found {} turns cut in the middle, {} replies undelivered", found.cut, found.undelivered)
        for sign, then in ((signal.SIGTERM, self.stop), (signal.SIGINT, self.stop), (signal.SIGHUP, self._on_hup)):
            gevent.signal_handler(sign, then)
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            gevent.signal_handler(signal.SIGTSTP, self._watchdog.suspend)
        # All adapters are imported and built, and the authorities of TLS are read, before anybody is
        # served or dialled: each of these stops the hub for a while.
        trust()
        config = self._live.config
        pace = pace_of(config)
        members = [self._nursery.build(child, pace, self._house) for child in config.children]
        # What is loaded by now stays as long as we do. Looking through it again and again for garbage
        # would stop every heartbeat for some 35 ms each time.
        gc.collect()
        gc.freeze()
        self._lag.start()
        self._history.start()
        self._watchdog.start()
        self._server.listen()
        platforms = sorted({child.platform for child in config.children})
        self._live.hooks.fire("gateway:startup", {"version": __version__, "platforms": platforms})
        for member in members:
            self._house.enlist(member)
        self._house.resume()
        # Whoever waits for our port gets no answer before there are children: none would be called READY.
        self._server.start()
        self._announce()
        self._live.begin()
        self._over.wait()
        self._shut_down()
        return self.exit_code

    def stop(self, exit_code: int = EXIT_OK) -> None:
        """Begin to stop; returns at once."""
        if not self._over.is_set():
            self.exit_code = exit_code
            logger.info("stopping")
            self._over.set()

    def _announce(self) -> None:
        facts = {
            "pid": os.getpid(),
            "http": self._server.url,
            "version": __version__,
            "started_at": rfc3339(self._started_at),
            "conf": str(self._live.config.conf_dir),
        }
        config = self._live.config
        self._published.append(published_path(config.data_dir))
        self._offhub.call(write_private, self._published[0], json.dumps(facts).encode())
        try:
            self._published.append(self._offhub.call(tell, config.conf_dir, config.data_dir, self._states, os.getpid()))
        except OSError as error:
            logger.warning("once data_dir is changed, no command will find this process: {}", error)
        try:
            print(f"hermes-green ready {self._server.url} pid={os.getpid()}", flush=True)
        except OSError as error:  # who wants to know finds it in gateway.json
            logger.warning("standard output does not take the address: {}", error)
            drop_output()
        self._notifier.ready(self._house.summary())

    def _shut_down(self) -> None:
        seconds = self._live.config.supervisor.drain_seconds
        end = Deadline(self._clock, seconds + CLOSE_WITHIN)
        self._notifier.stopping("draining")
        self._notifier.extend(seconds + 5)
        self._live.end()
        self._live.hooks.fire("gateway:shutdown", {"version": __version__})
        self._house.drain(seconds, end)
        self._live.hooks.part(end.left(PARTING, leaving=2.5))
        side_by_side(
            end.left(1.5, leaving=0.8),
            server=lambda: self._server.stop(0.5),
            upkeep=self._upkeep.close,
            escalation=self._escalation.close,
            hooks=lambda: self._live.hooks.close(0.5),
        )
        self._history.stop()
        self._lag.stop()
        self._watchdog.stop()
        # What a store that is away has not taken by now was not acknowledged either.
        with gevent.Timeout(end.left(leaving=0.3), False):
            self._store.close()
        self._live.close(end.left() or 0.1)
        for path in self._published:
            path.unlink(missing_ok=True)
        self._ownership.release()
        logs.tell_repeats(at_once=True)
        logger.info("stopped")

    def _pulse(self) -> float:
        """Seconds between two proofs of life: often enough for our own watchdog and for the service manager's."""
        granted = self._notifier.watchdog_interval or PULSE
        return max(0.1, min(PULSE, granted, self._live.config.supervisor.stall_kill / 4 or PULSE))

    def _alive(self) -> None:
        """Everything that must turn has turned; also the moment to look at our own size."""
        self._watchdog.put_off()
        logs.tell_repeats()
        self._weight.look()

    def _probe(self, child: str) -> tuple[bool, str]:
        """One dial of a child in a fresh process."""
        argv = [sys.executable, "-m", "hermes_green.probe", str(self._live.config.conf_dir), child]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise LinkLost(f"the fresh process did not end within {PROBE_TIMEOUT:.0f} s") from error
        return done.returncode == 0, done.stdout.decode("utf-8", "replace").strip()

    def _page_chat(self) -> Mailbox | None:
        """The page's side of the web chat, where it is on."""
        return self._mailbox if any(child.platform == "web" for child in self._live.config.children) else None

    def _refresh_metrics(self) -> None:
        """Bring up to date what is measured rather than counted."""
        counts = self._upkeep.counts
        self._metrics.depths(counts.inbox, counts.outbox, counts.dead, counts.oldest_undelivered)
        now = self._clock.monotonic()
        for child in self._house.supervisor.children.values():
            proof = child.run.proof_at if child.run is not None else None
            self._metrics.proof_age(child.id, now - proof if proof is not None else None)

    def _broken(self, error: StoreBroken) -> None:
        logger.critical("{}; {}", error, error.action)
        self.stop(EXIT_CONFIG)

    def _on_hup(self) -> None:
        gevent.spawn(self._live.reload).name = "reload"


def run(conf_dir: Path, *, replace: bool = False, lab: Lab | None = None) -> int:
    """Run the gateway of a configuration directory until it is asked to stop; the exit code.

    ``replace``: ask another owner of the data directory or of a bot to drain, and take over. ``lab``: the
    simulated platforms behind it, for the page.
    """
    sys.setswitchinterval(0.001)
    began = time.monotonic()
    try:
        return _run(conf_dir, replace, lab)
    except Exception as error:  # border: a bug that ends each start at once must not make a storm of starts
        print(f"ended by {error!r}", file=sys.stderr, flush=True)
        gevent.sleep(max(0.0, began + RESTART_PAUSE - time.monotonic()))
        raise


def _run(conf_dir: Path, replace: bool, lab: Lab | None) -> int:
    try:
        config = load_config(conf_dir)
        states = state_dir()
        require(config.data_dir, [states], [Path(name) for name in [config.log.file] if name])
        logs.setup(config.log.level, config.log.format, config.log.file, config.log.max_mb, config.log.keep)
        hide_secrets(config)
        numbers = config.supervisor
        drain = numbers.drain_seconds + EVICT_SLACK if replace else None
        ownership = own(config.data_dir, states, credentials(config.children), numbers.lock_wait, drain)
        return Application(config, ownership, states, lab).serve()
    except (ConfError, StoreBroken, StoreAway, OSError) as error:
        told = understood(error) if isinstance(error, OSError) else error
        if told is None:
            raise
        print("\n".join(sentences(told)), file=sys.stderr, flush=True)
        if not isinstance(told, StoreAway):
            return EXIT_CONFIG
        gevent.sleep(RESTART_PAUSE)  # not now, but without a change of anything of ours
        return EXIT_RESTART
