"""The process's view of the fleet: its own observations and everybody's, as one world, kept in step."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import NoReturn

import redis.asyncio as redis
import structlog

from gslb.clock import Clock
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.store import keys
from gslb.store.commands import run
from gslb.store.connect import UNREACHABLE, reason
from gslb.store.events import Event, append_command, read_events
from gslb.store.ledger import Ledger
from gslb.store.link import BACKOFF_MOST, Link
from gslb.store.override import checked, cleared_event, delete_override, set_event, write_override
from gslb.store.publish import Batch, write
from gslb.store.server_changes import ServerChanges
from gslb.store.watch import Heard, read_everything, read_keys
from gslb.world import Observation, Override, RegionState, Report, Verdict, World

LOCAL_EVENTS = 1000
"""Events kept in a process that stands alone."""

MOST_COMPLAINTS = 1000
"""Keys complained about once each; beyond that many, foreign garbage goes unmentioned."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Due:
    """What waits to be written, by key (verdicts: by region), the latest of each."""

    observations: dict[str, Observation] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    verdicts: dict[str, RegionState] = field(default_factory=dict)

    def overtaken_by(self, later: _Due) -> _Due:
        return _Due(
            self.observations | later.observations,
            self.reports | later.reports,
            self.verdicts | later.verdicts,
        )


class StateStore:
    """Always has a world, whether Redis is there or not; all methods belong on the event loop's thread.

    observer: this process's name among those who report; no colon. epoch: orders this process's writes
    after those of its predecessor of the same name; the start time in ms unless given.
    publishes_verdicts: whether this process (a DNS node) writes verdicts and their history for people.
    servers: gets what operators change of the servers that this process (an edge) sends requests to.
    Without `fleet.redis.url` it stands alone: own observations and overrides, forgotten at its end.
    """

    def __init__(
        self,
        fleet: Fleet,
        observer: str,
        clock: Clock,
        *,
        epoch: int | None = None,
        publishes_verdicts: bool = False,
        servers: ServerChanges | None = None,
    ) -> None:
        if ":" in observer or not observer:
            raise StoreError(f"{observer!r} cannot name an observer", hint="use a name without a colon")
        self._fleet = fleet
        self._observer = observer
        self._clock = clock
        self.epoch = int(clock.now() * 1000) if epoch is None else epoch
        self._publishes_verdicts = publishes_verdicts
        self._servers = servers
        self._ledger = Ledger(fleet, observer, clock)
        self._subscribers: list[Callable[[World], None]] = []
        self._link: Link | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._due = _Due()
        self._concluded: dict[str, RegionState] = {}
        self._complained: set[str] = set()
        self._local_events: list[dict[str, str]] = []
        self._refusals: tuple[str, ...] = ()
        self._rivalled = False
        self._override_changes: Counter[str] = Counter()

    @property
    def world(self) -> World:
        """The current snapshot; another object after every change and every poll."""
        return self._ledger.world

    @property
    def connected(self) -> bool:
        """Whether Redis answers; False as well for a process that stands alone."""
        return self._link is not None and self._link.connected

    @property
    def last_error(self) -> str:
        """Why Redis is away, or what it refuses to store; empty when all is well."""
        error = self._link.last_error if self._link is not None else ""
        return error or "; ".join(self._refusals)

    @property
    def observations(self) -> tuple[Observation, ...]:
        """The latest fresh observations with their latest reasons.

        `world` keeps each one as it was when it last was news, lest every probe make a new world.
        """
        return self._ledger.latest_observations()

    def subscribe(self, callback: Callable[[World], None]) -> None:
        """Have `callback` called with every world that differs in more than its ages from the one before."""
        self._subscribers.append(callback)

    async def read_ahead(self, fleet: Fleet) -> Heard:
        """What Redis has on the regions of another fleet, for `use_fleet`; nothing if it is away."""
        with contextlib.suppress(StoreError, TimeoutError, *UNREACHABLE):
            async with asyncio.timeout(self._fleet.redis.timeout):
                return await read_everything(self._client(), fleet, but_of=self._observer)
        return Heard()

    def use_fleet(self, fleet: Fleet, heard: Heard | None = None) -> None:
        """Go on with another fleet (a reloaded file); what is known stays known, and Redis the same.

        heard: of its regions; what it says of those that are new holds at once, and not after a poll.
        """
        new = fleet.regions.keys() - self._fleet.regions.keys()
        self._fleet = replace(fleet, redis=self._fleet.redis)
        self._ledger.use_fleet(self._fleet)
        if heard is not None:
            self._hear(heard, new)
            self._ledger.refold()
        self._concluded = {
            region: state for region, state in self._concluded.items() if region in fleet.regions
        }
        self._conclude(self._ledger.world.regions)
        self._tell_subscribers()

    def observe(self, observation: Observation) -> None:
        """Hold this process's own observation: into the world at once, and out to the others."""
        key = keys.observation(observation.target, self._observer)
        previous = self._ledger.own_observation_of(observation.target)
        sequence = max(observation.sequence, previous.sequence + 1 if previous else 1)
        observation = replace(observation, observer=self._observer, epoch=self.epoch, sequence=sequence)
        if not self._ledger.own(observation):
            return
        self._due.observations[key] = observation
        self._wake_writer()
        if observation.target in self._ledger.targets:
            self._fold()

    def report(self, report: Report) -> None:
        """Hold this process's own report: into the world at once, and out to the others."""
        previous = self._ledger.own_report_of(report.region, report.edge)
        sequence = max(report.sequence, previous.sequence + 1 if previous else 1)
        report = replace(report, epoch=self.epoch, sequence=sequence)
        self._ledger.own_report(report)
        self._due.reports[keys.report(report.region, report.edge)] = report
        self._wake_writer()
        self._fold()

    async def start(self) -> None:
        """Begin; returns after the first reading, or when it is clear that Redis is away for now.

        Raises StoreError only for a URL that can never work.
        """
        if self._tasks:
            return
        self._tasks.append(asyncio.create_task(self._keep_folding(), name="store ages"))
        settings = self._fleet.redis
        if settings.url is None:
            return
        self._link = Link(
            settings, self._read, self._write, ignores=self._is_no_news, changed=self._link_changed
        )
        self._tasks.append(asyncio.create_task(self._link.run(), name="store link"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.timeout):
                await self._link.first_attempt.wait()

    async def stop(self) -> None:
        """End; others keep this process's last word until its lease is over, as for any silent observer."""
        tasks, self._tasks = self._tasks, []
        if self.connected:
            with contextlib.suppress(StoreError, *UNREACHABLE):
                await self._write(self._client(), False)
                await self._take_leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def set_override(self, override: Override) -> None:
        """Put an override in force here and everywhere; raises StoreError if it cannot be, and says why."""
        override = checked(override, self._fleet, self._clock.now())
        if self._fleet.redis.url is None:
            self._say(set_event(override, self._clock.now()))
        else:
            try:
                await write_override(self._client(), override, self._clock.now())
            except UNREACHABLE as error:
                self._refuse(error, "set")
        self._decide_override(override.region, override)

    async def clear_override(self, region: str, by: str = "") -> bool:
        """End a region's override here and everywhere; False if there was none. Raises as set_override."""
        if self._fleet.redis.url is None:
            cleared = self._ledger.world.region(region).override is not None
            if cleared:
                self._say(cleared_event(region, by, self._clock.now()))
        else:
            try:
                cleared = await delete_override(self._client(), region, by, self._clock.now())
            except UNREACHABLE as error:
                self._refuse(error, "cleared")
        self._decide_override(region, None)
        return cleared

    def _decide_override(self, region: str, override: Override | None) -> None:
        self._override_changes[region] += 1
        self._ledger.hear_override(region, override)
        self._fold()

    async def events(self, count: int = 100) -> list[dict[str, str]]:
        """The newest events, the newest first: at, kind, region, text. Raises StoreError if Redis is away."""
        if self._fleet.redis.url is None:
            return self._local_events[: -count - 1 : -1]
        try:
            return await read_events(self._client(), count)
        except UNREACHABLE as error:
            raise StoreError(f"the history cannot be read: {reason(error)}") from None

    def _client(self) -> redis.Redis:
        if self._link is None or not self._link.connected:
            why = self.last_error or "this process is not started"
            raise StoreError(f"Redis is away: {why}", hint="try again when it is back")
        return self._link.client

    def _refuse(self, error: BaseException, done: str) -> NoReturn:
        raise StoreError(f"the override was not {done}: {reason(error)}") from None

    def _is_no_news(self, key: str) -> bool:
        """Whether a nudge is for what this process wrote itself, or for what no world is made of."""
        if keys.server_region_of(key) is not None:
            return self._servers is None or not self._servers.concerned_by(key)
        observation = keys.observation_of(key)
        return observation is not None and (
            observation[1] == self._observer or observation[0] not in self._ledger.targets
        )

    def _wake_writer(self) -> None:
        if self._link is not None:
            self._link.wake_writer()

    def _link_changed(self, connected: bool) -> None:
        if connected:
            # Others renew within a lease, once they have found Redis again themselves.
            redis_settings = self._fleet.redis
            self._ledger.store_back(max(redis_settings.lease, BACKOFF_MOST + redis_settings.timeout))
            self._fold()
        else:
            self._ledger.store_lost()

    async def _read(self, client: redis.Redis, wanted: Iterable[str] | None) -> None:
        """Hear what Redis has under `wanted`, or everything; see Link."""
        changes_before = self._override_changes.copy()
        if wanted is None:
            heard = await read_everything(client, self._fleet, but_of=self._observer)
        else:
            heard = await read_keys(client, self._fleet, wanted)
        # What was set or cleared here meanwhile may be newer than what was read; the next reading tells.
        self._hear(heard, {r for r in heard.overrides if self._override_changes[r] == changes_before[r]})
        if wanted is None:
            self._ledger.read_in_full()
        self._complain(heard.unreadable)
        self._fold()
        servers = self._servers
        if servers is not None and (wanted is None or any(map(servers.concerned_by, wanted))):
            self._complain(await servers.read(client))

    def _hear(self, heard: Heard, overridable: Set[str]) -> None:
        """Take what was read into the ledger; overrides only of the regions in `overridable`."""
        longest = 2 * self._fleet.redis.lease
        for observation, lease in heard.observations:
            self._ledger.hear(observation, min(lease, longest))
        for report, lease in heard.reports:
            self._ledger.hear_report(report, min(lease, longest))
        for region, override in heard.overrides.items():
            if region in overridable:
                self._ledger.hear_override(region, override)

    async def _write(self, client: redis.Redis, renew: bool) -> None:
        """Write what is due, or with `renew` everything of our own; see Link."""
        due, self._due = self._due, _Due()
        try:
            written = await write(
                client,
                self._fleet.redis,
                self._batch(due, renew),
                author=self._observer,
                now=self._clock.now(),
            )
        except BaseException:
            self._due = due.overtaken_by(self._due)
            raise
        self._note_rival(written.superseded, renew)
        if written.refusals and written.refusals != self._refusals:
            _log.warning("redis refuses what we write", errors=written.refusals)
        self._refusals = written.refusals

    def _batch(self, due: _Due, renew: bool) -> Batch:
        observations, reports = dict(due.observations), dict(due.reports)
        verdicts = [(state, True) for state in due.verdicts.values()]
        if renew:
            for observation in self._ledger.own_observations():
                observations[keys.observation(observation.target, self._observer)] = observation
            for report in self._ledger.own_reports():
                reports[keys.report(report.region, report.edge)] = report
            verdicts += [
                (state, False)
                for region, state in self._concluded.items()
                if self._publishes_verdicts and region not in due.verdicts
            ]
        observes = any(each.target in self._ledger.targets for each in observations.values())
        return Batch(
            observations=tuple(observations.values()),
            reports=tuple(reports.values()),
            nudge=frozenset(due.observations),
            verdicts=verdicts,
            observer=self._observer if observes else None,
            look_for_gone=renew and self._publishes_verdicts,
        )

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

    def _complain(self, about: Mapping[str, str]) -> None:
        """One line a key, once."""
        for key, what in about.items():
            if key not in self._complained and len(self._complained) < MOST_COMPLAINTS:
                self._complained.add(key)
                _log.warning("a key in redis is not as it should be", key=key, problem=what)

    async def _take_leave(self) -> None:
        """Say that this observer is gone on purpose; its votes stay for their lease, to bridge a restart."""
        client = self._client()
        event = Event(self._clock.now(), "observer_left", f"{self._observer} was stopped")
        removed = await run(client, [("ZREM", keys.OBSERVERS, self._observer)])
        if removed == [1]:
            await run(client, [append_command(event)])

    async def _keep_folding(self) -> None:
        """Let leases and overrides end on time, also while Redis is away."""
        while True:
            pause = poll = self._fleet.redis.poll
            try:
                if self._ledger.next_end() == 0:
                    self._fold()
                end = self._ledger.next_end()
                pause = poll if end is None else min(end, poll)
            except Exception:
                _log.exception("folding what is known failed; it is tried again")
            await asyncio.sleep(max(pause, 0.01))

    def _fold(self) -> None:
        if self._ledger.refold():
            self._conclude(self._ledger.changed)
            self._tell_subscribers()

    def _tell_subscribers(self) -> None:
        world = self._ledger.world
        for callback in self._subscribers:
            try:
                callback(world)
            except Exception:
                _log.exception("a subscriber failed over a new world")

    def _conclude(self, states: Mapping[str, RegionState]) -> None:
        """Note which regions changed for those who read verdicts and history."""
        for name, state in states.items():
            before = self._concluded.get(name)
            if state == before or (before is None and state.verdict is Verdict.UNKNOWN):
                continue
            self._concluded[name] = state
            if self._fleet.redis.url is None:
                if before is None or before.verdict is not state.verdict:
                    text = f"{name} is {state.verdict}: {state.reason}"
                    self._say(Event(self._clock.now(), "verdict", text, name))
            elif self._publishes_verdicts:
                self._due.verdicts[name] = state
                self._wake_writer()

    def _say(self, event: Event) -> None:
        """Enter an event into the history of a process that stands alone."""
        self._local_events.append(event.fields())
        del self._local_events[:-LOCAL_EVENTS]
