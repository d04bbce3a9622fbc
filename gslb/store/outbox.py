"""What this process has to say to the others, and what of it is due to be written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import redis.asyncio as redis
import structlog

from gslb.clock import Clock
from gslb.fleet import RedisSettings
from gslb.store import keys
from gslb.store.ledger import Ledger
from gslb.store.override import Subject
from gslb.store.publish import Batch, write
from gslb.world import Intake, Observation, RegionState, Report

INTAKES_RENEWED = 300.0
"""Seconds after which the leases of intakes are renewed; these are long."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Due:
    """What waits to be written, by key (verdicts, intakes: by region), the latest of each.

    turned: regions whose verdict has become another; of others no more is written than what stands beside it.
    nudge: keys of it that others shall read at once. unlisted: overrides that may go from the index.
    """

    observations: dict[str, Observation] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    verdicts: dict[str, RegionState] = field(default_factory=dict)
    turned: set[str] = field(default_factory=set)
    intakes: dict[str, Intake] = field(default_factory=dict)
    nudge: set[str] = field(default_factory=set)
    unlisted: set[Subject] = field(default_factory=set)

    def overtaken_by(self, later: _Due) -> _Due:
        return _Due(
            self.observations | later.observations,
            self.reports | later.reports,
            self.verdicts | later.verdicts,
            self.turned | later.turned,
            self.intakes | later.intakes,
            self.nudge | later.nudge,
            self.unlisted | later.unlisted,
        )


class Outbox:
    """Writes what is due, and from time to time everything of this process's own, so that no lease ends.

    What could not be written stays due. publishes_verdicts: whether verdicts and intakes are its own too.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: RedisSettings,
        observer: str,
        clock: Clock,
        *,
        publishes_verdicts: bool,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._publishes_verdicts = publishes_verdicts
        self._due = _Due()
        self._verdicts: dict[str, RegionState] = {}
        self._intakes_renewed_at = clock.monotonic()
        self._refusals: tuple[str, ...] = ()
        self._rivalled = False

    @property
    def refusals(self) -> tuple[str, ...]:
        """What Redis said to the last writing but for a yes."""
        return self._refusals

    def put_observation(self, observation: Observation) -> None:
        key = keys.observation(observation.target, self._observer)
        self._due.observations[key] = observation
        self._due.nudge.add(key)

    def put_report(self, report: Report, before: Report | None) -> None:
        """before: the last one. Others read it at once if what decides is another, else with their poll."""
        key = keys.report(report.region, report.edge)
        self._due.reports[key] = report
        if before is None or _what_decides(before) != _what_decides(report):
            self._due.nudge.add(key)

    def put_verdicts(self, states: Mapping[str, RegionState], turned: Collection[str]) -> bool:
        """Regions whose states have changed; whether there is anything to write for that.

        turned: those of them whose verdict has. Who sees something else new must not undo another's verdict.
        """
        if self._publishes_verdicts:
            self._verdicts |= states
            self._due.verdicts |= states
            self._due.turned.update(turned)
        return self._publishes_verdicts and bool(states)

    def put_intakes(self, intakes: Mapping[str, Intake]) -> bool:
        """Intakes that Redis has not, or has older; whether they are for this process to write."""
        if self._publishes_verdicts:
            self._due.intakes |= intakes
        return self._publishes_verdicts and bool(intakes)

    def put_unlisted(self, subjects: Iterable[Subject]) -> None:
        """Overrides that were found gone; the index is tidied with the next renewal."""
        if self._publishes_verdicts:
            self._due.unlisted.update(subjects)

    def only_for(self, regions: Iterable[str]) -> None:
        """Go on without the verdicts of all other regions: they are the fleet's no more."""
        regions = set(regions)
        self._verdicts = {name: state for name, state in self._verdicts.items() if name in regions}

    async def write(self, client: redis.Redis, renew: bool) -> None:
        """Write what is due, or with `renew` everything of our own; raises what the client raises."""
        due, self._due = self._due, _Due()
        try:
            batch = self._batch(due, renew)
            now = self._clock.now()
            written = await write(client, self._settings, batch, author=self._observer, now=now)
        except BaseException:
            self._due = due.overtaken_by(self._due)
            raise
        self._note_rival(written.superseded, renew)
        if written.refusals and written.refusals != self._refusals:
            _log.warning("redis refuses what we write", errors=written.refusals)
        # What was refused is tried again with the renewal; until then nothing else shows that it is well.
        if written.refusals or renew:
            self._refusals = written.refusals

    def _batch(self, due: _Due, renew: bool) -> Batch:
        observations, reports, intakes = dict(due.observations), dict(due.reports), dict(due.intakes)
        verdicts = [(state, region in due.turned) for region, state in due.verdicts.items()]
        if renew:
            for observation in self._ledger.own_observations():
                observations[keys.observation(observation.target, self._observer)] = observation
            for report in self._ledger.own_reports():
                reports[keys.report(report.region, report.edge)] = report
            verdicts += [
                (state, False) for region, state in self._verdicts.items() if region not in due.verdicts
            ]
            intakes |= self._intakes_to_renew()
        observes = any(each.target in self._ledger.targets for each in observations.values())
        batch = Batch(
            observations=tuple(observations.values()),
            reports=tuple(reports.values()),
            nudge=frozenset(due.nudge),
            verdicts=verdicts,
            observer=self._observer if observes else None,
            look_for_gone=renew and self._publishes_verdicts,
            intakes=tuple(intakes.items()),
        )
        if not renew:
            self._due.unlisted |= due.unlisted
            return batch
        return replace(batch, unlisted=sorted(due.unlisted))

    def _intakes_to_renew(self) -> Mapping[str, Intake]:
        if (
            self._clock.monotonic() - self._intakes_renewed_at < INTAKES_RENEWED
            or not self._publishes_verdicts
        ):
            return {}
        self._intakes_renewed_at = self._clock.monotonic()
        regions = self._ledger.world.regions
        return {name: intake for name, intake in self._ledger.intakes.items() if name in regions}

    def _note_rival(self, superseded: tuple[str, ...], renew: bool) -> None:
        """One line when somebody newer turns out to write what is ours, however many keys it is."""
        if superseded and not self._rivalled:
            self._rivalled = True
            _log.warning(
                "another process runs under our name, or our clock was set back",
                observer=self._observer,
                key=superseded[0],
            )
        elif renew and not superseded:
            self._rivalled = False


def _what_decides(report: Report) -> object:
    """What decides where clients are sent: how many servers are healthy, and not how busy they are."""
    return sorted((pool.pool, pool.healthy, pool.servers) for pool in report.pools)
