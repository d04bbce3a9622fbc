"""What this process has heard, from whom, and how long it holds: memory without I/O, folded into worlds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gslb.clock import Clock
from gslb.fleet import Fleet
from gslb.health.fold import fold_region, region_targets
from gslb.health.quorum import brought_down_by_silence, kept
from gslb.health.verdict import is_news
from gslb.store.reports import Reports
from gslb.world import Observation, Override, RegionState, Report, TargetState, Verdict, World

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

    A region is folded when something about it was heard or has ended, and only then: one observation costs
    the same however many regions there are, and all others stay the identical objects.
    """

    def __init__(self, fleet: Fleet, observer: str, clock: Clock) -> None:
        self._clock = clock
        self._observer = observer
        # By target and observer.
        self._voices: dict[str, dict[str, _Held]] = {}
        self._reports = Reports()
        self._overrides: dict[str, Override] = {}
        # No lease ends before the first moment (monotonic), and no override before the second (wall clock).
        self._leases_hold_until = math.inf
        self._overrides_hold_until = math.inf
        # Regions of which something was heard or has ended since they were folded.
        self._unfolded: set[str] = set()
        self._observers: Counter[str] = Counter()
        self._store_read_at: float | None = None
        self._store_is_away = False
        self._back_until = 0.0
        self._down_at_loss: dict[str, float] = {}
        self._held_up: dict[str, TargetState] = {}
        self.use_fleet(fleet)

    def use_fleet(self, fleet: Fleet) -> None:
        """From now on fold for `fleet`; what is known stays known."""
        self._targets_of = {name: region_targets(region) for name, region in fleet.regions.items()}
        self._region_of = {
            target: name for name, targets in self._targets_of.items() for target in targets.values()
        }
        self._targets = frozenset(self._region_of)
        checks = [region.check for region in fleet.regions.values()]
        checks += [pool.check for pool in fleet.pools.values()]
        slowest = max((check.interval + check.timeout for check in checks), default=0.0)
        self._silent_after = max(SILENT_AFTER_LEASES * fleet.redis.lease, SILENT_AFTER_ROUNDS * slowest)
        self._observers = Counter(
            observer for target in self._targets for observer in self._voices.get(target, ())
        )
        self._unfolded = set(fleet.regions)
        self._reports.gather_all()
        self._world = World(self._clock.now(), {name: RegionState(name) for name in fleet.regions})
        self.refold()

    @property
    def world(self) -> World:
        return self._world

    @property
    def changed(self) -> Mapping[str, RegionState]:
        """The regions whose states the last `refold` changed, with what they are now."""
        return self._changed

    @property
    def targets(self) -> frozenset[str]:
        """Targets that decide about regions; others are published, but nobody folds them."""
        return self._targets

    def own(self, observation: Observation) -> bool:
        """Hold an observation of this process's; True if it is news."""
        return self._hold(observation, None, self._held(observation.target, self._observer))

    def hear(self, observation: Observation, lease: float) -> bool:
        """Hold a foreign observation for `lease` seconds; True if it is news.

        This process's own name is not heard: it knows better. Nor is what is older than what is held.
        """
        if observation.observer == self._observer or observation.target not in self._targets:
            return False
        held = self._held(observation.target, observation.observer)
        if held is not None and _order(observation) < _order(held.latest):
            return False
        return self._hold(observation, self._clock.monotonic() + lease, held)

    def _held(self, target: str, observer: str) -> _Held | None:
        return self._voices.get(target, {}).get(observer)

    def _hold(self, observation: Observation, lease_end: float | None, held: _Held | None) -> bool:
        if lease_end is not None:
            self._leases_hold_until = min(self._leases_hold_until, lease_end)
        if held is None:
            held = _Held(observation, observation, lease_end, self._clock.monotonic())
            self._voices.setdefault(observation.target, {})[observation.observer] = held
            if observation.target in self._targets:
                self._observers[observation.observer] += 1
            self._unfold(observation.target)
            return True
        # Most of what is read from Redis was read before.
        news = observation != held.latest and is_news(held.told, observation)
        held.latest, held.lease_end, held.heard_at = observation, lease_end, self._clock.monotonic()
        if news:
            held.told = observation
            self._unfold(observation.target)
        return news

    def _unfold(self, target: str) -> None:
        """Something about the target's region is other than it was folded."""
        region = self._region_of.get(target)
        if region is not None:
            self._unfolded.add(region)

    def own_report(self, report: Report) -> None:
        """Hold a report of this process's."""
        self._reports.own(report)

    def hear_report(self, report: Report, lease: float) -> None:
        """Hold a foreign report for `lease` seconds, unless a newer one or this process's own is held."""
        lease_end = self._clock.monotonic() + lease
        if self._reports.hear(report, lease_end):
            self._leases_hold_until = min(self._leases_hold_until, lease_end)

    def hear_override(self, region: str, override: Override | None) -> None:
        """What Redis, or the operator here, says of a region's override."""
        if override == self._overrides.get(region):
            return
        self._unfolded.add(region)
        if override is None:
            del self._overrides[region]
        else:
            self._overrides[region] = override
            if override.until is not None:
                self._overrides_hold_until = min(self._overrides_hold_until, override.until)

    def read_in_full(self) -> None:
        """Everything that Redis has was heard just now."""
        self._store_read_at = self._clock.now()

    def store_lost(self) -> None:
        """Redis is away: from now on nothing follows from silence."""
        if not self._store_is_away:
            self._store_is_away = True
            self._unfold_held_up()
            self._down_at_loss = {
                own.told.target: own.told.since for own in self._own() if own.told.verdict is Verdict.DOWN
            }

    def store_back(self, grace: float) -> None:
        """Redis is read and written again; within `grace` seconds all others that are alive will be heard."""
        if self._store_is_away:
            self._store_is_away = False
            self._unfold_held_up()
            self._back_until = self._clock.monotonic() + grace

    def own_observation_of(self, target: str) -> Observation | None:
        held = self._held(target, self._observer)
        return held.latest if held is not None else None

    def own_report_of(self, region: str, edge: str) -> Report | None:
        return self._reports.own_of(region, edge)

    def own_observations(self) -> tuple[Observation, ...]:
        """The latest of each target that this process observes, but for those it has not looked at for long.

        A check may be slower than a lease: what counts is whether several rounds were missed.
        """
        since = self._clock.monotonic() - self._silent_after
        return tuple(own.latest for own in self._own() if own.heard_at >= since)

    def _own(self) -> Iterator[_Held]:
        for voices in self._voices.values():
            held = voices.get(self._observer)
            if held is not None:
                yield held

    def own_reports(self) -> tuple[Report, ...]:
        return self._reports.all_own()

    def latest_observations(self) -> tuple[Observation, ...]:
        """The latest of every target by every observer whose lease holds, news or not."""
        now = self._clock.monotonic()
        return tuple(
            held.latest
            for voices in self._voices.values()
            for held in voices.values()
            if _holds(held.lease_end, now)
        )

    def next_end(self) -> float | None:
        """Seconds until the next lease or override ends; None if nothing held will end by itself."""
        self._find_ends()
        monotonic, now = self._clock.monotonic(), self._clock.now()
        end = min(self._leases_hold_until - monotonic, self._overrides_hold_until - now)
        if self._held_up and not self._store_is_away:
            end = min(end, self._back_until - monotonic)
        return max(0.0, end) if end < math.inf else None

    def _find_ends(self) -> None:
        """Until when everything that is held holds."""
        voices = [held.lease_end for voices in self._voices.values() for held in voices.values()]
        leases = [*(end for end in voices if end is not None), *self._reports.lease_ends()]
        self._leases_hold_until = min(leases, default=math.inf)
        overrides = [override.until for override in self._overrides.values() if override.until is not None]
        self._overrides_hold_until = min(overrides, default=math.inf)

    def refold(self) -> bool:
        """Drop what has ended and swap in a new world; True if it differs in more than its ages.

        When no region's state differs, `world.regions` stays the identical object: caches hang on it. So
        does every state that is what it was.
        """
        self._drop_ended()
        holding = self._holds_up()
        old = self._world
        changed: dict[str, RegionState] = {}
        for name in self._unfolded:
            before = old.regions.get(name)
            if before is not None and (state := self._fold(name, before, holding)) != before:
                changed[name] = state
        self._unfolded.clear()
        reports, news = self._reports.gathered(old.reports, old.regions)
        self._changed = changed
        observers = tuple(sorted(self._observers))
        self._world = World(
            at=self._clock.now(),
            # What is there keeps its place: the order is the fleet's.
            regions={**old.regions, **changed} if changed else old.regions,
            reports=reports,
            observers=observers if observers != old.observers else old.observers,
            store_read_at=self._store_read_at,
        )
        return bool(changed) or news or observers != old.observers

    def _fold(self, name: str, before: RegionState, holding: bool) -> RegionState:
        targets = self._targets_of[name]
        heard = {
            target: [held.told for held in self._voices.get(target, {}).values()]
            for target in targets.values()
        }
        override = self._overrides.get(name)
        if holding:
            return fold_region(name, targets, heard, override, self._settling(before))
        return fold_region(name, targets, heard, override)

    def _holds_up(self) -> bool:
        """Whether nothing follows from silence now; when that is over, what was held is folded as it is."""
        if self._store_is_away or self._clock.monotonic() < self._back_until:
            return True
        self._unfold_held_up()
        self._held_up.clear()
        return False

    def _unfold_held_up(self) -> None:
        for target in self._held_up:
            self._unfold(target)

    def _settling(self, region: RegionState) -> Callable[[TargetState], TargetState]:
        """What holds for a target: what was heard, but a verdict that silence alone would end is held.

        region: as it was. Its last verdicts, and those from before silence began to tell, may be held.
        """
        last = {state.target: state for state in region.targets.values()}

        def settle(now: TargetState) -> TargetState:
            before = self._held_up.get(now.target) or last.get(now.target)
            own = self._held(now.target, self._observer)
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

        return settle

    def _drop_ended(self) -> None:
        monotonic, now = self._clock.monotonic(), self._clock.now()
        if monotonic < self._leases_hold_until and now < self._overrides_hold_until:
            return
        self._drop_observations(monotonic)
        self._reports.drop_ended(monotonic)
        for region, override in list(self._overrides.items()):
            if override.until is not None and override.until <= now:
                self.hear_override(region, None)
        self._find_ends()

    def _drop_observations(self, monotonic: float) -> None:
        for target, voices in list(self._voices.items()):
            ended = [name for name, held in voices.items() if not _holds(held.lease_end, monotonic)]
            for observer in ended:
                del voices[observer]
                if target in self._targets:
                    self._observers -= Counter((observer,))
            if ended:
                self._unfold(target)
            if not voices:
                del self._voices[target]


def _holds(lease_end: float | None, monotonic: float) -> bool:
    return lease_end is None or lease_end > monotonic


def _order(observation: Observation) -> tuple[int, int]:
    return observation.epoch, observation.sequence
