"""Decides when each target is probed, and passes on what its verdict is after each outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import structlog

from gslb.clock import Clock
from gslb.fleet import HealthCheck, SocketAddress
from gslb.health.checks.base import ProbeOutcome
from gslb.health.verdict import step
from gslb.world import Observation

CONCURRENT_PROBES = 256
"""Probes in flight at once in one process; further ones wait for their turn."""

JITTER = 0.1
"""Intervals vary by so much of themselves either way, so that observers do not march in step."""

_log = structlog.get_logger(__name__)


class Prober:
    """Probes `targets` (by target name: the check, and where to send it), at most once each at a time.

    on_observation is called on the event loop after every outcome; if it raises, that is logged, and probing
    goes on. `random` and `sleep` are for tests.
    """

    def __init__(
        self,
        targets: Mapping[str, tuple[HealthCheck, SocketAddress]],
        observer: str,
        clock: Clock,
        on_observation: Callable[[Observation], None],
        epoch: int,
        *,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._targets = dict(targets)
        self._observer = observer
        self._clock = clock
        self._on_observation = on_observation
        self._epoch = epoch
        self._random = random or Random()
        self._sleep = sleep
        self._slots = asyncio.Semaphore(CONCURRENT_PROBES)
        self._observations: dict[str, Observation] = {}
        self.probes = 0
        self.failures = 0

    @property
    def observations(self) -> Mapping[str, Observation]:
        """The latest observation of each target; those not probed yet are missing."""
        return self._observations

    async def initial_round(self, deadline: float) -> bool:
        """Probe every target once, all at the same time; True if all were known within `deadline` seconds.

        Probes still in flight at the deadline are abandoned: their targets stay unknown until `run`.
        """
        try:
            async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
                for target in self._targets:
                    group.create_task(self._probe(target))
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Probe every target at its interval until cancelled; starts are spread over the first interval."""
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(self._watch(target), name=f"probe {target}")

    async def _watch(self, target: str) -> None:
        interval = self._targets[target][0].interval
        await self._sleep(self._random.uniform(0, interval))
        while True:
            started = self._clock.monotonic()
            await self._probe(target)
            pause = interval * self._random.uniform(1 - JITTER, 1 + JITTER)
            await self._sleep(max(0.0, started + pause - self._clock.monotonic()))

    async def _probe(self, target: str) -> None:
        check, address = self._targets[target]
        async with self._slots:
            outcome = await self._outcome(target, check, address)
        self.probes += 1
        self.failures += not outcome.ok
        observation = step(
            self._observations.get(target),
            outcome,
            target=target,
            observer=self._observer,
            check=check,
            now=self._clock.now(),
            epoch=self._epoch,
        )
        self._observations[target] = observation
        self._tell(observation)

    def _tell(self, observation: Observation) -> None:
        # All targets share one task group: an error that escaped here would end the probing of all of them.
        try:
            self._on_observation(observation)
        except Exception:
            _log.exception("an observation could not be passed on", target=observation.target)

    async def _outcome(self, target: str, check: HealthCheck, address: SocketAddress) -> ProbeOutcome:
        # Checks promise not to raise. One that breaks its promise must not end the watch over its target,
        # and its fault says nothing about the target's health in a way we could hide: it counts as failure.
        try:
            return await check.check.probe(address, check.timeout)
        except Exception as error:
            _log.exception("a health check is broken", target=target, check=check.name)
            return ProbeOutcome(False, f"check {check.name} is broken: {type(error).__name__}", 0.0)
