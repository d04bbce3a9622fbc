"""Decides when each target is probed, and passes on what its verdict is after each outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import Random

import structlog

from gslb.clock import Clock
from gslb.fleet import HealthCheck, SocketAddress
from gslb.health.checks.base import ProbeOutcome
from gslb.health.verdict import Seen, pause_after, see
from gslb.world import Observation

CONCURRENT_PROBES = 256
"""Probes in flight at once in one process; further ones wait for their turn."""

Targets = Mapping[str, tuple[HealthCheck, SocketAddress]]
"""By target name: the check, and where to send it."""

_log = structlog.get_logger(__name__)


class Prober:
    """Probes `targets`, at most once each at a time.

    on_observation is called on the event loop after every outcome, and on_load after those that tell a load
    (0 to 1), and once, with None, when a target that told one tells none any more. If they raise, that is
    logged, and probing goes on. `random` and `sleep` are for tests.
    """

    def __init__(
        self,
        targets: Targets,
        observer: str,
        clock: Clock,
        on_observation: Callable[[Observation], None],
        epoch: int,
        *,
        on_load: Callable[[str, float | None], None] | None = None,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._targets = dict(targets)
        self._observer = observer
        self._clock = clock
        self._on_observation = on_observation
        self._on_load = on_load
        self._epoch = epoch
        self._random = random or Random()
        self._sleep = sleep
        self._slots = asyncio.Semaphore(CONCURRENT_PROBES)
        self._seen: dict[str, Seen] = {}
        self._loads: dict[str, float] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._running: asyncio.TaskGroup | None = None
        self.probes = 0
        self.failures = 0

    @property
    def observations(self) -> Mapping[str, Observation]:
        """The latest observation of each target; those not probed yet are missing."""
        return {target: seen.observation for target, seen in self._seen.items()}

    @property
    def loads(self) -> Mapping[str, float]:
        """The latest load, 0 to 1, of each target that tells one."""
        return self._loads

    async def initial_round(self, deadline: float) -> bool:
        """Probe every target once, all at the same time; True if all were known within `deadline` seconds.

        Probes still in flight at the deadline are abandoned: their targets stay unknown until `run`.
        """
        return await self._round(self._targets, deadline)

    async def first_look(self, targets: Targets, deadline: float) -> bool:
        """Like the initial round, of those among `targets` that are not known: ahead of `use`."""
        new = {
            name: target
            for name, target in targets.items()
            if name not in self._targets and name not in self._seen
        }
        return await self._round(new, deadline)

    async def _round(self, targets: Targets, deadline: float) -> bool:
        try:
            async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
                for target, (check, address) in targets.items():
                    group.create_task(self._probe(target, check, address))
        except TimeoutError:
            return False
        return True

    def use(self, targets: Targets) -> None:
        """Go on with other targets, from the event loop's thread.

        Those that stay keep their history and their schedule. One that is probed otherwise than before keeps
        its history alone. It, and whatever nobody has looked at yet, is probed at once.
        """
        before, self._targets = self._targets, dict(targets)
        for target in before:
            if self._targets.get(target) != before[target] and target in self._watches:
                self._watches.pop(target).cancel()
        self._seen = {target: seen for target, seen in self._seen.items() if target in self._targets}
        self._loads = {target: load for target, load in self._loads.items() if target in self._targets}
        if self._running is not None:
            for target in [name for name in self._targets if name not in self._watches]:
                known = target in self._seen and target not in before
                self._begin(self._running, target, self._spread(target) if known else 0.0)

    async def run(self) -> None:
        """Probe every target at its interval until cancelled; starts are spread over the first interval.

        While a verdict is in doubt, or there is none yet, the interval is the check's `fast_interval`.
        """
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                self._begin(group, target, self._spread(target))
            self._running = group
            try:
                # `use` may bring targets when there are none.
                await asyncio.get_running_loop().create_future()
            finally:
                self._running = None
                self._watches.clear()

    def _spread(self, target: str) -> float:
        return self._random.uniform(0, self._pause(target, self._targets[target][0]))

    def _pause(self, target: str, check: HealthCheck) -> float:
        seen = self._seen.get(target)
        return pause_after(seen.observation if seen is not None else None, check)

    def _begin(self, group: asyncio.TaskGroup, target: str, delay: float) -> None:
        self._watches[target] = group.create_task(self._watch(target, delay), name=f"probe {target}")

    async def _watch(self, target: str, delay: float) -> None:
        check, address = self._targets[target]
        await self._sleep(delay)
        while True:
            started = self._clock.monotonic()
            await self._probe(target, check, address)
            pause = self._pause(target, check) * self._random.uniform(1 - check.jitter, 1 + check.jitter)
            await self._sleep(max(0.0, started + pause - self._clock.monotonic()))

    async def _probe(self, target: str, check: HealthCheck, address: SocketAddress) -> None:
        async with self._slots:
            outcome = await self._outcome(target, check, address)
        self.probes += 1
        self.failures += not outcome.ok
        self._seen[target] = seen = see(
            self._seen.get(target),
            outcome,
            target=target,
            observer=self._observer,
            check=check,
            now=self._clock.now(),
            monotonic=self._clock.monotonic(),
            epoch=self._epoch,
        )
        self._tell("an observation", target, partial(self._on_observation, seen.observation))
        self._take_load(target, outcome.load)

    def _take_load(self, target: str, load: float | None) -> None:
        if load is not None:
            self._loads[target] = load
        elif self._loads.pop(target, None) is None:
            return
        if self._on_load is not None:
            self._tell("a load", target, partial(self._on_load, target, load))

    def _tell(self, what: str, target: str, tell: Callable[[], None]) -> None:
        # All targets share one task group: an error that escaped here would end the probing of all of them.
        try:
            tell()
        except Exception:
            _log.exception(f"{what} could not be passed on", target=target)

    async def _outcome(self, target: str, check: HealthCheck, address: SocketAddress) -> ProbeOutcome:
        # Checks promise not to raise. One that breaks its promise must not end the watch over its target,
        # and its fault says nothing about the target's health in a way we could hide: it counts as failure.
        try:
            return await check.check.probe(address, check.timeout)
        except Exception as error:
            _log.exception("a health check is broken", target=target, check=check.name)
            return ProbeOutcome(False, f"check {check.name} is broken: {type(error).__name__}", 0.0)
