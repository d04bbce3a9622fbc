"""What this process has heard, from whom, and how long it holds: memory without I/O, folded into worlds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from gslb.clock import Clock
from gslb.fleet import Fleet
from gslb.health.fold import fold_world, region_targets
from gslb.health.quorum import brought_down_by_silence, kept
from gslb.health.verdict import is_news
from gslb.world import Observation, Override, Report, TargetState, Verdict, World

SILENT_AFTER_LEASES = 3
SILENT_AFTER_ROUNDS = 3
"""So many leases, and so many of the fleet's slowest rounds of probing, without an outcome, and this process
no longer says to others what it once saw: its prober is stuck or dead."""


@dataclass(slots=True)
class _Held:
    """An observation under a lease. `told` is what the world shows: the last one that was news.

    lease_end: by the monotonic clock; None for this process's own, which always count. heard_at: likewise.
    """

    told: Observation
    latest: Observation
    lease_end: float | None
    heard_at: float


class Ledger:
    """Keeps the newest of everything and makes worlds of it.

    Invariants: of one observer and target the greatest (epoch, sequence) is held. A foreign record ends
    with its lease and never before: that Redis no longer has it proves nothing. Own records end only when
    they are replaced. Overrides end when their time is over, or when Redis was read and has none.

    While Redis is away, and for a grace after it is back, in which everyone alive is heard again, leases
    that end take no target from UP to DOWN: that others are not heard is then no news of the target. What
    was UP is held until this process itself sees it go down, or until a majority of those who were heard
    before says so.
    """

    def __init__(self, fleet: Fleet, observer: str, clock: Clock) -> None:
        self._clock = clock
        self._observer = observer
        self._observations: dict[tuple[str, str], _Held] = {}
        self._reports: dict[tuple[str, str], tuple[Report, float | None]] = {}
        self._overrides: dict[str, Override] = {}
        self._store_read_at: float | None = None
        self._store_is_away = False
        self._back_until = 0.0
        self._down_at_loss: dict[str, float] = {}
        self._before: dict[str, TargetState] = {}
        self._held_up: dict[str, TargetState] = {}
        self.use_fleet(fleet)

    def use_fleet(self, fleet: Fleet) -> None:
        """From now on fold for `fleet`; what is known stays known."""
        self._fleet = fleet
        self._targets = frozenset(
            target for region in fleet.regions.values() for target in region_targets(region).values()
        )
        checks = [region.check for region in fleet.regions.values()]
        checks += [pool.check for pool in fleet.pools.values()]
        slowest = max((check.interval + check.timeout for check in checks), default=0.0)
        self._silent_after = max(SILENT_AFTER_LEASES * fleet.redis.lease, SILENT_AFTER_ROUNDS * slowest)
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
                observation, observation, lease_end, self._clock.monotonic()
            )
            return True
        news = is_news(held.told, observation)
        held.latest, held.lease_end, held.heard_at = observation, lease_end, self._clock.monotonic()
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

    def store_lost(self) -> None:
        """Redis is away: from now on nothing follows from silence."""
        if not self._store_is_away:
            self._store_is_away = True
            self._down_at_loss = {
                target: own.told.since
                for (target, observer), own in self._observations.items()
                if observer == self._observer and own.told.verdict is Verdict.DOWN
            }

    def store_back(self, grace: float) -> None:
        """Redis is read and written again; within `grace` seconds all others that are alive will be heard."""
        if self._store_is_away:
            self._store_is_away = False
            self._back_until = self._clock.monotonic() + grace

    def own_observation_of(self, target: str) -> Observation | None:
        held = self._observations.get((target, self._observer))
        return held.latest if held is not None else None

    def own_report_of(self, region: str, edge: str) -> Report | None:
        report, lease_end = self._reports.get((region, edge), (None, None))
        return report if lease_end is None else None

    def own_observations(self) -> tuple[Observation, ...]:
        """The latest of each target that this process observes, but for those it has not looked at for long.

        A check may be slower than a lease: what counts is whether several rounds were missed.
        """
        since = self._clock.monotonic() - self._silent_after
        return tuple(
            own.latest
            for own in self._observations.values()
            if own.lease_end is None and own.heard_at >= since
        )

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
        if self._held_up and not self._store_is_away:
            ends.append(self._back_until - monotonic)
        return max(0.0, min(ends)) if ends else None

    def refold(self) -> bool:
        """Drop what has ended and swap in a new world; True if it differs in more than its ages.

        When no region's state differs, `world.regions` stays the identical object: caches hang on it.
        """
        self._drop_ended()
        old = self._world
        self._before = self._verdicts_to_hold(old)
        new = fold_world(
            self._fleet,
            (held.told for held in self._observations.values()),
            (report for report, _ in self._reports.values()),
            self._overrides.values(),
            at=self._clock.now(),
            store_read_at=self._store_read_at,
            settle=self._settle,
        )
        same_regions = _same_regions(old, new)
        if same_regions:
            new = replace(new, regions=old.regions)
        self._world = new
        return not (
            same_regions and old.observers == new.observers and _said(old.reports) == _said(new.reports)
        )

    def _verdicts_to_hold(self, world: World) -> dict[str, TargetState]:
        """The last verdicts on all targets before silence began to tell; none while Redis is there."""
        if not self._store_is_away and self._clock.monotonic() >= self._back_until:
            self._held_up.clear()
            return {}
        states = (state for region in world.regions.values() for state in region.targets.values())
        return {state.target: state for state in states} | self._held_up

    def _settle(self, now: TargetState) -> TargetState:
        """What holds for a target: what was heard, but a verdict that silence alone would end is held."""
        before = self._before.get(now.target)
        own = self._observations.get((now.target, self._observer))
        saw_it_go_down = (
            own is not None
            and own.told.verdict is Verdict.DOWN
            and own.told.since != self._down_at_loss.get(now.target)
        )
        if before is None or saw_it_go_down or not brought_down_by_silence(before, now):
            self._held_up.pop(now.target, None)
            return now
        self._held_up[now.target] = before
        return kept(before, now, "as Redis is away" if self._store_is_away else "as Redis was away")

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
