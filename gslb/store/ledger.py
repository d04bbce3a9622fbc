"""What this process has heard, from whom, and how long it holds: memory without I/O, folded into worlds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from gslb.clock import Clock
from gslb.fleet import Fleet
from gslb.health.fold import fold_world, region_targets
from gslb.health.verdict import is_news
from gslb.world import Observation, Override, Report, World


@dataclass(slots=True)
class _Held:
    """An observation under a lease. `told` is what the world shows: the last one that was news.

    lease_end: by the monotonic clock; None for this process's own, which always count.
    """

    told: Observation
    latest: Observation
    lease_end: float | None


class Ledger:
    """Keeps the newest of everything and makes worlds of it.

    Invariants: of one observer and target the greatest (epoch, sequence) is held. A foreign record ends
    with its lease and never before: that Redis no longer has it proves nothing. Own records end only when
    they are replaced. Overrides end when their time is over, or when Redis was read and has none.
    """

    def __init__(self, fleet: Fleet, observer: str, clock: Clock) -> None:
        self._clock = clock
        self._observer = observer
        self._observations: dict[tuple[str, str], _Held] = {}
        self._reports: dict[tuple[str, str], tuple[Report, float | None]] = {}
        self._overrides: dict[str, Override] = {}
        self._store_read_at: float | None = None
        self.use_fleet(fleet)

    def use_fleet(self, fleet: Fleet) -> None:
        """From now on fold for `fleet`; what is known stays known."""
        self._fleet = fleet
        self._targets = frozenset(
            target for region in fleet.regions.values() for target in region_targets(region).values()
        )
        self._world = fold_world(fleet, (), (), (), at=self._clock.now(), store_read_at=None)
        self.refold()

    @property
    def world(self) -> World:
        return self._world

    @property
    def targets(self) -> frozenset[str]:
        """Targets that decide about regions; others are published, but nobody folds them."""
        return self._targets

    def own(self, observation: Observation) -> bool:
        """Hold an observation of this process's; True if it is news."""
        held = self._observations.get((observation.target, self._observer))
        return self._hold(observation, None, held)

    def hear(self, observation: Observation, lease: float) -> bool:
        """Hold a foreign observation for `lease` seconds; True if it is news.

        This process's own name is not heard: it knows better. Nor is what is older than what is held.
        """
        if observation.observer == self._observer or observation.target not in self._targets:
            return False
        held = self._observations.get((observation.target, observation.observer))
        if held is not None and _order(observation) < _order(held.latest):
            return False
        return self._hold(observation, self._clock.monotonic() + lease, held)

    def _hold(self, observation: Observation, lease_end: float | None, held: _Held | None) -> bool:
        if held is None:
            held = self._observations[observation.target, observation.observer] = _Held(
                observation, observation, lease_end
            )
            return True
        news = is_news(held.told, observation)
        held.latest, held.lease_end = observation, lease_end
        if news:
            held.told = observation
        return news

    def own_report(self, report: Report) -> None:
        """Hold a report of this process's."""
        self._reports[report.region, report.edge] = (report, None)

    def hear_report(self, report: Report, lease: float) -> None:
        """Hold a foreign report for `lease` seconds, unless a newer one or this process's own is held."""
        key = (report.region, report.edge)
        held = self._reports.get(key)
        if held is not None and (
            held[1] is None or (report.epoch, report.sequence) < (held[0].epoch, held[0].sequence)
        ):
            return
        self._reports[key] = (report, self._clock.monotonic() + lease)

    def hear_override(self, region: str, override: Override | None) -> None:
        """What Redis, or the operator here, says of a region's override."""
        if override is None:
            self._overrides.pop(region, None)
        else:
            self._overrides[region] = override

    def read_in_full(self) -> None:
        """Everything that Redis has was heard just now."""
        self._store_read_at = self._clock.now()

    def own_observation_of(self, target: str) -> Observation | None:
        held = self._observations.get((target, self._observer))
        return held.latest if held is not None else None

    def own_report_of(self, region: str, edge: str) -> Report | None:
        report, lease_end = self._reports.get((region, edge), (None, None))
        return report if lease_end is None else None

    def own_observations(self) -> tuple[Observation, ...]:
        """The latest of each target that this process observes."""
        return tuple(held.latest for held in self._observations.values() if held.lease_end is None)

    def own_reports(self) -> tuple[Report, ...]:
        return tuple(report for report, lease_end in self._reports.values() if lease_end is None)

    def latest_observations(self) -> tuple[Observation, ...]:
        """The latest of every target by every observer whose lease holds, news or not."""
        now = self._clock.monotonic()
        return tuple(held.latest for held in self._observations.values() if _holds(held.lease_end, now))

    def next_end(self) -> float | None:
        """Seconds until the next lease or override ends; None if nothing held will end by itself."""
        monotonic, now = self._clock.monotonic(), self._clock.now()
        ends = [
            held.lease_end - monotonic for held in self._observations.values() if held.lease_end is not None
        ]
        ends += [end - monotonic for _, end in self._reports.values() if end is not None]
        ends += [override.until - now for override in self._overrides.values() if override.until is not None]
        return max(0.0, min(ends)) if ends else None

    def refold(self) -> bool:
        """Drop what has ended and swap in a new world; True if it differs in more than its ages.

        When no region's state differs, `world.regions` stays the identical object: caches hang on it.
        """
        self._drop_ended()
        old = self._world
        new = fold_world(
            self._fleet,
            (held.told for held in self._observations.values()),
            (report for report, _ in self._reports.values()),
            self._overrides.values(),
            at=self._clock.now(),
            store_read_at=self._store_read_at,
        )
        same_regions = _same_regions(old, new)
        if same_regions:
            new = replace(new, regions=old.regions)
        self._world = new
        return not (
            same_regions and old.observers == new.observers and _said(old.reports) == _said(new.reports)
        )

    def _drop_ended(self) -> None:
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._observations = {
            key: held for key, held in self._observations.items() if _holds(held.lease_end, monotonic)
        }
        self._reports = {
            key: (report, end) for key, (report, end) in self._reports.items() if _holds(end, monotonic)
        }
        self._overrides = {
            region: override
            for region, override in self._overrides.items()
            if override.until is None or override.until > now
        }


def _holds(lease_end: float | None, monotonic: float) -> bool:
    return lease_end is None or lease_end > monotonic


def _order(observation: Observation) -> tuple[int, int]:
    return observation.epoch, observation.sequence


def _same_regions(old: World, new: World) -> bool:
    """Whether all region states are equal, and in the same order: the order is the fleet's."""
    return old.regions == new.regions and list(old.regions) == list(new.regions)


def _said(reports: Mapping[str, Iterable[Report]]) -> list[Report]:
    """The reports' contents without their ages."""
    return list(_undated(report for of_region in reports.values() for report in of_region))


def _undated(reports: Iterable[Report]) -> Iterator[Report]:
    return (replace(report, at=0.0, epoch=0, sequence=0) for report in reports)
