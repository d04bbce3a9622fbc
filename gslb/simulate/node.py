"""A DNS node in simulated time: it probes, hears, concludes and controls with what real ones do it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from random import Random

from gslb.capacity.memory import Memory
from gslb.capacity.step import step as step_intakes
from gslb.clock import Clock
from gslb.fleet import Fleet, HealthCheck
from gslb.health.checks.base import ProbeOutcome
from gslb.health.fold import region_targets
from gslb.health.verdict import Seen, pause_after, see
from gslb.simulate.shared import Shared, Taken, Word
from gslb.store.keys import RENEWALS_PER_LEASE
from gslb.store.ledger import Ledger
from gslb.world import Intake, Observation, Report, World

_WELL = ProbeOutcome(True, "200 in 20 ms", 0.02)
_ILL = ProbeOutcome(False, "no answer", 2.0)


class Node:
    """answers: whether a region can be reached now, by its name. random: when within its interval a target is
    probed; nodes that are to differ have different ones.

    While `cut_off`, it neither reads nor writes Redis.
    """

    def __init__(
        self,
        name: str,
        fleet: Fleet,
        clock: Clock,
        shared: Shared,
        answers: Callable[[str], bool],
        random: Random,
    ) -> None:
        self.name = name
        self.ledger = Ledger(fleet, name, clock)
        self.cut_off = False
        self._fleet = fleet
        self._clock = clock
        self._shared = shared
        self._answers = answers
        self._random = random
        self._targets = _targets(fleet)
        self._seen: dict[str, Seen] = {}
        self._due = [(clock.monotonic(), target) for target in self._targets]
        heapify(self._due)
        self._memory = Memory()
        self._linked = True
        self._renewal = clock.monotonic()

    @property
    def world(self) -> World:
        return self.ledger.world

    @property
    def reaches_redis(self) -> bool:
        return not (self.cut_off or self._shared.away)

    def probe(self) -> None:
        """All targets whose time has come."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            _, target = heappop(self._due)
            region, check = self._targets[target]
            self._seen[target] = seen = see(
                self._seen.get(target),
                _WELL if self._answers(region) else _ILL,
                target=target,
                observer=self.name,
                check=check,
                now=self._clock.now(),
                monotonic=now,
                epoch=1,
            )
            observation = seen.observation
            if self.ledger.own(observation) and self.reaches_redis:
                self._shared.write(observation, now + self._fleet.redis.lease)
            pause = pause_after(observation, check)
            heappush(
                self._due, (now + pause * self._random.uniform(1 - check.jitter, 1 + check.jitter), target)
            )

    def exchange(self) -> None:
        """Renew what is its own, if that is due, and hear what others wrote; or notice that Redis is away."""
        now, redis = self._clock.monotonic(), self._fleet.redis
        if not self.reaches_redis:
            if self._linked:
                self._linked = False
                self._shared.forget(self.name)
                self.ledger.store_lost()
            return
        back = not self._linked
        if back:
            self._linked = True
            self.ledger.store_back(redis.lease)
            for region, intake in self.ledger.intakes.items():
                self._shared.propose(region, intake)
        if back or now >= self._renewal:
            self._renewal = now + redis.lease / RENEWALS_PER_LEASE
            for observation in self.ledger.own_observations():
                self._shared.write(observation, now + redis.lease)
        self._hear(now)

    def _hear(self, now: float) -> None:
        ledger = self.ledger
        for record, end in self._shared.read(self.name, now):
            if isinstance(record, Observation):
                ledger.hear(record, end - now)
            elif isinstance(record, Report):
                ledger.hear_report(record, end - now)
            elif isinstance(record, Word):
                ledger.hear_override(record.region, "", record.override)
            elif isinstance(record, Taken):
                ledger.hear_intake(record.region, record.intake, from_store=True)
        ledger.read_in_full()

    def conclude(self) -> None:
        """Make a new world of what is known, and move on the intakes that it calls for."""
        self.ledger.refold()
        moved = step_intakes(self._fleet, self.world, self._memory, self._clock.monotonic())
        if moved:
            self._propose(moved)

    def _propose(self, moved: Mapping[str, Intake]) -> None:
        for region, intake in moved.items():
            if not self.reaches_redis:
                self.ledger.hear_intake(region, intake, from_store=False)
            elif self._shared.propose(region, intake):
                self.ledger.hear_intake(region, intake, from_store=True)
        self.ledger.refold()


def _targets(fleet: Fleet) -> dict[str, tuple[str, HealthCheck]]:
    """What nodes probe, with the region that it belongs to and how it is probed."""
    return {
        target: (name, region.check)
        for name, region in fleet.regions.items()
        for target in region_targets(region).values()
    }
