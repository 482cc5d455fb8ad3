"""Nursery: a configuration becomes children, and a changed one changes only the children it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

from loguru import logger

from hermes_green.adapters import registry as adapters
from hermes_green.blueprint import credential
from hermes_green.core.clock import Clock
from hermes_green.core.errors import ConfError, HermesError, StoreAway
from hermes_green.core.ports import Store
from hermes_green.ops import log as logs
from hermes_green.ops.ledger import Ledger
from hermes_green.ops.lock import credential_id
from hermes_green.ops.metrics import Metrics
from hermes_green.ops.offhub import OffHub
from hermes_green.ops.ownership import Ownership
from hermes_green.ops.shelter import Shelter, place_of
from hermes_green.runtime.child import Child
from hermes_green.runtime.context import AdapterContext
from hermes_green.runtime.dials import DialBook, Windows
from hermes_green.runtime.express import Express
from hermes_green.runtime.house import House, Member
from hermes_green.runtime.intake import Intake
from hermes_green.runtime.redial import Pace
from hermes_green.runtime.suspicion import Suspicion
from hermes_green.runtime.words import Words
from hermes_green.settings.schema import ChildConfig

# Dials kept back for the second link that a platform asks for when it recycles the first.
HANDOVER_RESERVE = 1


class Nursery:
    """``injected``: keyword arguments for the ``create`` of single platforms (the page's mailbox)."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        offhub: OffHub,
        renderer: OffHub,
        metrics: Metrics,
        ownership: Ownership,
        state_dir: Path,
        data_dir: Path,
        worker: str,
        injected: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._offhub = offhub
        self._renderer = renderer
        self._metrics = metrics
        self._ownership = ownership
        self._state_dir = state_dir
        self._data_dir = data_dir
        self._worker = worker
        self._injected = injected
        self._budgets: dict[str, Windows | None] = {}
        self._shelters: dict[Path, Shelter] = {}

    def build(self, config: ChildConfig, pace: Pace, house: House) -> Member:
        """A child in IDLE, with what belongs to it; nothing is dialled yet."""
        package = adapters.package(config.platform)
        log = logger.bind(child=config.id)
        context = AdapterContext(
            child=config.id,
            account=config.account,
            log=log,
            store=self._store,
            halt=house.supervisor.halt,
            count=lambda child, name, outcome: log.info("{} {}", name, outcome),
            hide=lambda token: logs.add_secrets([token], short_lived=True),
            rekeyed=house.rekeyed.tell,
            beside=self._renderer.call,
        )
        adapter = package.create(config.options, context, **self._injected.get(config.platform, {}))
        self.set_budget(config)
        ledger = self._ledger(config)
        dials = DialBook(
            ledger,
            self._offhub.call,
            package.BUDGETS,
            lambda: self._budgets.get(config.id),
            "\0".join(secret.reveal() for secret in package.secrets(config.options)),
            HANDOVER_RESERVE if adapter.caps.default.handover else 0,
            lambda outcome: self._metrics.dial(config.id, outcome),
            Suspicion(ledger, self._offhub.call, self._clock, adapter.caps.default.suspect),
        )
        intake = Intake(
            config.id,
            self._store,
            self._clock,
            log,
            lambda peer: house.policy.session_of(peer),
            house.route,
            house.desk.foresee,
            house.desk.judge,
            house.lanes.unforesee,
            lambda inbound: house.policy.addressed(house.rekeyed.inbound(inbound)),
            None if adapter.caps.default.resends else self._shelter(config, log),
        )
        child = Child(
            id=config.id,
            platform=config.platform,
            account=config.account,
            adapter=adapter,
            intake=intake,
            dials=dials,
            pace=pace,
            clock=self._clock,
            log=log,
            post=house.supervisor.post,
            observer=house.supervisor.witness,
            words=Words(getattr(package, "HELP", {}), lambda: house.policy.locale),
        )
        return Member(child, Express(config.id, self._store, self._clock, log, self._worker), dials)

    def _shelter(self, config: ChildConfig, log: Any) -> Shelter:
        """One for all that bear this name and are this bot after each other: two would write over each other's
        frames."""
        place = place_of(self._data_dir, config.id, credential(config) or "")
        if place not in self._shelters:
            self._shelters[place] = Shelter(place, log)
        return self._shelters[place]

    def set_budget(self, config: ChildConfig) -> None:
        """The operator's dial budget for a child; applies to its next dial."""
        pairs = config.options.dial_budget
        self._budgets[config.id] = None if pairs is None else tuple((count, seconds) for count, seconds in pairs)

    def _ledger(self, config: ChildConfig) -> Ledger:
        # A child without a bot to own (the page) has a ledger as well, so that one way serves all.
        stem = credential(config) or credential_id(config.platform, str(self._state_dir), config.id)
        return Ledger(self._state_dir / f"{stem}.ledger", self._clock)

    def admit(self, config: ChildConfig, pace: Pace, house: House, previous: Child | None = None) -> str:
        """Own its bot, build, dial. A bot that is somebody else's halts this child only; "" or why."""
        refused: HermesError | None = None
        bot = credential(config)
        if bot is not None:
            try:
                self._ownership.take_credential(bot, config.id, 0.0)
            except (ConfError, StoreAway) as error:
                refused = error
        member = self.build(config, pace, house)
        if previous is not None:
            member.child.carry_over(previous)
        house.enlist(member, refused)
        return str(refused) if refused is not None else ""
