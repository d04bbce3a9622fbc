"""Operators' words that are in force, by what they are on: memory without I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set

from gslb.health.fold import holds, overrides_here
from gslb.world import Override


class HeldOverrides:
    """Times are of the wall clock, seconds since 1970: operators say until when by their own clocks."""

    def __init__(self) -> None:
        # By region (empty: wherever the service is) and service (empty: the region itself).
        self._held: dict[str, dict[str, Override]] = {}
        # No override ends before.
        self._hold_until = math.inf

    def hear(self, region: str, service: str, override: Override | None) -> bool:
        """Hold what is said now, None for nothing; False if that is no news."""
        here = self._held.setdefault(region, {})
        before = here.pop(service, None)
        if override is not None:
            here[service] = override
            if override.until is not None:
                self._hold_until = min(self._hold_until, override.until)
        if not here:
            del self._held[region]
        return override != before

    def knows(self, region: str, service: str) -> bool:
        return service in self._held.get(region, {})

    def keep(self, wanted: Callable[[str, str], bool]) -> None:
        """Forget all but those on `wanted` regions and services."""
        subjects = [(region, service) for region, here in self._held.items() for service in here]
        for region, service in subjects:
            if not wanted(region, service):
                self.hear(region, service, None)

    def on_region(self, region: str) -> Override | None:
        return self._held.get(region, {}).get("") if region else None

    def on_services(self, region: str, services: Set[str]) -> Mapping[str, Override]:
        """By service; services: of this region."""
        return overrides_here(self._held.get(region, {}), self._held.get("", {}), services)

    def in_force(self, now: float) -> tuple[Override, ...]:
        """All that hold."""
        return tuple(each for here in self._held.values() for each in here.values() if holds(each, now))

    def next_end(self) -> float:
        """When the next one ends; infinity if none does."""
        ends = (
            each.until for here in self._held.values() for each in here.values() if each.until is not None
        )
        self._hold_until = min(ends, default=math.inf)
        return self._hold_until

    def drop_ended(self, now: float) -> list[tuple[str, str]]:
        """Forget those that have ended; the regions and services they were on."""
        if now < self._hold_until:
            return []
        ended = [
            (region, service)
            for region, here in self._held.items()
            for service, each in here.items()
            if not holds(each, now)
        ]
        for region, service in ended:
            self.hear(region, service, None)
        self.next_end()
        return ended
