"""What this process has heard, from whom, and how long it holds: memory without I/O, folded into worlds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gslb.clock import Clock
from gslb.fleet import Fleet
from gslb.health.fold import (
    Known,
    Settle,
    as_concluded,
    fold_region,
    holds,
    region_targets,
    services_of_regions,
)
from gslb.store.held_overrides import HeldOverrides
from gslb.store.memory import Memory
from gslb.store.reports import Reports
from gslb.store.silence import Silence
from gslb.store.voices import Voices
from gslb.world import EVERYBODY, Intake, Observation, Override, RegionState, Report, World

SILENT_AFTER_LEASES = 3
SILENT_AFTER_ROUNDS = 3
"""So many leases, and so many of the fleet's slowest rounds of probing, without an outcome, and this process
no longer says to others what it once saw: its prober is stuck or dead."""

_NO_SERVICES: frozenset[str] = frozenset()


class Ledger:
    """Keeps the newest of everything and makes worlds of it.

    Invariants: of one observer and target the greatest (epoch, sequence) is held. A foreign record ends
    with its lease and never before: that Redis no longer has it proves nothing. Own records end only when
    they are replaced. Overrides end when their time is over, when Redis was read and has none, or when the
    fleet no longer has what they are on. Intakes do not end: of one region the greatest sequence is held.

    While Redis is away nothing follows from silence; see `Silence`.

    A region is folded when something that decides about it was heard or has ended, and only then: one
    observation costs the same however many regions there are, reports that tell of the same servers cost
    nothing, and all others stay the identical objects.
    """

    def __init__(self, fleet: Fleet, observer: str, clock: Clock) -> None:
        self._clock = clock
        self._observer = observer
        self._voices = Voices(observer)
        self._reports = Reports()
        self._overrides = HeldOverrides()
        self._intakes: dict[str, Intake] = {}
        self._silence = Silence(self._own_told)
        # No lease of a report ends before.
        self._reports_hold_until = math.inf
        # Regions of which something was heard or has ended since they were folded.
        self._unfolded: set[str] = set()
        self._store_read_at: float | None = None
        self.use_fleet(fleet)

    def use_fleet(self, fleet: Fleet) -> None:
        """From now on fold for `fleet`; what is known of it stays known."""
        self._fleet = fleet
        self._services = services_of_regions(fleet)
        self._targets_of = {
            name: tuple(region_targets(region).values()) for name, region in fleet.regions.items()
        }
        self._region_of = {target: name for name, targets in self._targets_of.items() for target in targets}
        self._targets = frozenset(self._region_of)
        checks = [region.check for region in fleet.regions.values()]
        checks += [pool.check for pool in fleet.pools.values()]
        slowest = max((check.interval + check.timeout for check in checks), default=0.0)
        self._silent_after = max(SILENT_AFTER_LEASES * fleet.redis.lease, SILENT_AFTER_ROUNDS * slowest)
        self._voices.count(self._targets)
        self._overrides.keep(self._has)
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

    @property
    def is_behind(self) -> bool:
        """Whether something was observed that the world does not tell of yet."""
        return bool(self._voices.changed)

    @property
    def overrides(self) -> tuple[Override, ...]:
        """Those in force."""
        return self._overrides.in_force(self._clock.now())

    @property
    def intakes(self) -> Mapping[str, Intake]:
        """The newest of each region of which any was heard."""
        return dict(self._intakes)

    def own(self, observation: Observation) -> bool:
        """Hold an observation of this process's; True if it is news to others."""
        now = self._clock.monotonic()
        holding = not self._silence.tells(now)
        if holding and self._voices.own_of(observation.target) is None:
            self._silence.looks_first(observation)
        news = self._voices.own(observation, now)
        if holding and observation.target in self._targets:
            # Each look may make this process sure of a target, and news of one that it can judge others.
            remembered = self._voices.others_remembered
            self._voices.changed.update(remembered if news else remembered & {observation.target})
        return news

    def hear(self, observation: Observation, lease: float) -> bool:
        """Hold a foreign observation for `lease` seconds; True if it is news.

        This process's own name is not heard: it knows better. Nor is what is older than what is held.
        """
        if observation.observer == self._observer or observation.target not in self._targets:
            return False
        now = self._clock.monotonic()
        return self._voices.hear(observation, now + lease, now)

    def own_report(self, report: Report) -> None:
        """Hold a report of this process's."""
        self._reports.own(report)

    def hear_report(self, report: Report, lease: float) -> None:
        """Hold a foreign report for `lease` seconds, unless a newer one or this process's own is held."""
        lease_end = self._clock.monotonic() + lease
        if self._reports.hear(report, lease_end):
            self._reports_hold_until = min(self._reports_hold_until, lease_end)

    def hear_override(self, region: str, service: str, override: Override | None) -> None:
        """What Redis, or the operator here, says; None: nothing.

        It is on a region if there is no `service`, and on a service wherever it is if there is no `region`.
        """
        if self._has(region, service) and self._overrides.hear(region, service, override):
            self._unfold_said_of(region, service)

    def _has(self, region: str, service: str) -> bool:
        """Whether the fleet has what a word is on: nobody here would notice that it was taken back."""
        return (not region or region in self._fleet.regions) and (
            not service or service in self._fleet.services
        )

    def _unfold_said_of(self, region: str, service: str) -> None:
        if region:
            self._unfolded.add(region)
        else:
            self._unfolded.update(name for name, served in self._services.items() if service in served)

    def hear_intake(self, region: str, intake: Intake, *, from_store: bool) -> None:
        """What Redis, or this process, says of a region's intake.

        The greater sequence counts, and of two that are equal that of Redis, which all others have as well.
        """
        held = self._intakes.get(region)
        if held is not None and (intake.sequence, from_store) <= (held.sequence, False):
            return
        if intake != held:
            self._intakes[region] = intake
            self._unfolded.add(region)

    def read_in_full(self) -> None:
        """Everything that Redis has was heard just now."""
        self._store_read_at = self._clock.now()

    def store_lost(self) -> None:
        """Redis is away: from now on nothing follows from silence."""
        if self._silence.begins(voice.told for voice in self._voices.all_own()):
            self._voices.changed.update(self._silence.held)

    def store_back(self, grace: float) -> None:
        """Redis is read and written again; within `grace` seconds all others that are alive will be heard."""
        if self._silence.ends(self._clock.monotonic() + grace):
            self._voices.changed.update(self._silence.held)

    def memory(self) -> Memory:
        """What one who follows this process should know, for `recall`.

        Of targets whose verdicts are held now, although those who were heard are not any more, these too.
        """
        observations = {(each.target, each.observer): each for each in self.latest_observations()}
        for state in self._silence.held.values():
            for voice in state.observations:
                observations.setdefault((voice.target, voice.observer), voice)
        return Memory(
            at=self._clock.now(),
            observations=tuple(each for each in observations.values() if each.target in self._targets),
            reports=self._reports.all(),
            overrides=self.overrides,
            intakes=dict(self._intakes),
        )

    def recall(self, memory: Memory) -> None:
        """Know what another process of this name knew, before anything is heard from anyone.

        Overrides and intakes hold; observations, this name's own among them, and reports for one lease. What
        a target was then it stays beyond that, until anybody is heard of it. Redis counts as away until
        `store_back`, so that nothing follows from the silence of those who are only remembered.
        """
        now, lease = self._clock.monotonic(), self._fleet.redis.lease
        alone = self._fleet.redis.url is None
        for observation in memory.observations:
            # Who stands alone never hears from others again, so their words would hold for ever.
            if observation.target in self._targets and (not alone or observation.observer == self._observer):
                self._voices.recall(observation, now + lease, now)
        for report in memory.reports:
            self.hear_report(report, lease)
        for override in memory.overrides:
            known = self._overrides.knows(override.region, override.service)
            if not known and holds(override, self._clock.now()):
                self.hear_override(override.region, override.service, override)
        for region, intake in memory.intakes.items():
            self.hear_intake(region, intake, from_store=False)
        if not alone:
            self.store_lost()

    def own_observation_of(self, target: str) -> Observation | None:
        voice = self._voices.own_of(target)
        return voice.latest if voice is not None else None

    def _own_told(self, target: str) -> Observation | None:
        voice = self._voices.own_of(target)
        return voice.told if voice is not None else None

    def own_report_of(self, region: str, edge: str) -> Report | None:
        return self._reports.own_of(region, edge)

    def own_observations(self) -> tuple[Observation, ...]:
        """The latest of each target that this process observes, but for those it has not looked at for long.

        A check may be slower than a lease: what counts is whether several rounds were missed.
        """
        since = self._clock.monotonic() - self._silent_after
        return tuple(own.latest for own in self._voices.all_own() if own.heard_at >= since)

    def own_reports(self) -> tuple[Report, ...]:
        return self._reports.all_own()

    def latest_observations(self) -> tuple[Observation, ...]:
        """The latest of every target by every observer whose lease holds, news or not."""
        return self._voices.latest(self._clock.monotonic())

    def next_end(self) -> float | None:
        """Seconds until the next lease or override ends; None if nothing held will end by itself."""
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._reports_hold_until = min(self._reports.lease_ends(), default=math.inf)
        leases = min(self._voices.next_end(), self._reports_hold_until, self._silence.next_end)
        end = min(leases - monotonic, self._overrides.next_end() - now)
        return max(0.0, end) if end < math.inf else None

    def refold(self) -> bool:
        """Drop what has ended and swap in a new world; True if it differs in more than its ages.

        When no region's state differs, `world.regions` stays the identical object: caches hang on it. So
        does every state that is what it was.
        """
        self._drop_ended()
        holding = not self._silence.tells(self._clock.monotonic())
        self._unfold(holding)
        old = self._world
        changed: dict[str, RegionState] = {}
        for name in self._unfolded:
            before = old.regions.get(name)
            if before is not None and (state := self._fold(before, holding)) != before:
                changed[name] = state
        self._unfolded.clear()
        reports, news = self._reports.gathered(old.reports, old.regions)
        self._changed = changed
        observers = tuple(sorted(self._voices.observers))
        self._world = World(
            at=self._clock.now(),
            # What is there keeps its place: the order is the fleet's.
            regions={**old.regions, **changed} if changed else old.regions,
            reports=reports,
            observers=observers if observers != old.observers else old.observers,
            store_read_at=self._store_read_at,
        )
        return bool(changed) or news or observers != old.observers

    def _unfold(self, holding: bool) -> None:
        """Note the regions of which anything is other than it was folded."""
        if not holding:
            # What was held is folded as it is.
            self._voices.changed.update(self._silence.held)
            self._silence.held.clear()
        self._unfolded.update(
            self._region_of[target] for target in self._voices.changed if target in self._region_of
        )
        self._unfolded |= self._reports.deciding
        self._voices.changed.clear()
        self._reports.deciding.clear()

    def _fold(self, before: RegionState, holding: bool) -> RegionState:
        name = before.region
        region = self._fleet.regions[name]
        known = Known(
            override=self._overrides.on_region(name),
            overrides=self._overrides.on_services(name, self._services.get(name, _NO_SERVICES)),
            reports=self._reports.of(name),
            intake=self._intakes.get(name, EVERYBODY),
        )
        heard = {target: self._voices.told_of(target) for target in self._targets_of[name]}
        settle: Settle = as_concluded
        if holding:
            fall = region.check.fall
            settle = self._silence.settling(before, lambda target: self._voices.surely_down(target, fall))
        return fold_region(region, heard, known, settle)

    def _drop_ended(self) -> None:
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._voices.drop_ended(monotonic)
        if monotonic >= self._reports_hold_until:
            self._reports.drop_ended(monotonic)
            self._reports_hold_until = min(self._reports.lease_ends(), default=math.inf)
        for region, service in self._overrides.drop_ended(now):
            self._unfold_said_of(region, service)
