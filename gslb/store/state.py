"""The process's view of the fleet: its own observations and everybody's, as one world, kept in step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import redis.asyncio as redis
import structlog

from gslb.clock import Clock
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.store import keys
from gslb.store.commands import run
from gslb.store.connect import UNREACHABLE, reason
from gslb.store.disk_copy import DiskCopy
from gslb.store.emptied import Era
from gslb.store.events import Event, append_command, read_events
from gslb.store.inbox import Inbox
from gslb.store.ledger import Ledger
from gslb.store.link import BACKOFF_MOST, Link
from gslb.store.local_history import LocalHistory
from gslb.store.outbox import Outbox
from gslb.store.server_changes import ServerChanges
from gslb.store.watch import Heard, read_everything
from gslb.store.words import Words
from gslb.world import Intake, Observation, Override, RegionState, Report, Verdict, World

ENTITLED_LEASES = 2
"""Who was cut off from Redis for more leases (or polls, if longer) gives back nothing that it has lost."""

_log = structlog.get_logger(__name__)


class StateStore:
    """Always has a world, whether Redis is there or not; all methods belong on the event loop's thread.

    observer: this process's name among those who report; no colon. epoch: orders this process's writes
    after those of its predecessor of the same name; the start time in ms unless given.
    publishes_verdicts: whether this process (a DNS node) writes verdicts and their history for people.
    servers: gets what operators change of the servers that this process (an edge) sends requests to.
    copy: where what is known outlives the process.
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
        copy: DiskCopy | None = None,
    ) -> None:
        if ":" in observer or not observer:
            raise StoreError(f"{observer!r} cannot name an observer", hint="use a name without a colon")
        self._fleet = fleet
        self._observer = observer
        self._clock = clock
        self.epoch = int(clock.now() * 1000) if epoch is None else epoch
        self._copy = copy
        self._recalled_at: float | None = None
        # Targets that nobody here has looked at since.
        self._recalled: set[str] = set()
        self._ledger = Ledger(fleet, observer, clock)
        self._subscribers: list[Callable[[World], None]] = []
        self._link: Link | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._outbox = Outbox(
            self._ledger, fleet.redis, observer, clock, publishes_verdicts=publishes_verdicts
        )
        self._history = LocalHistory()
        self._words = Words(self._ledger, self._history, clock)
        entitled = ENTITLED_LEASES * max(fleet.redis.lease, fleet.redis.poll)
        era = Era(clock, observer, entitled)
        self._inbox = Inbox(self._ledger, self._words, era, observer, servers, self._renew_all)
        self._concluded: dict[str, RegionState] = {}

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
        return error or "; ".join(self._outbox.refusals)

    @property
    def recalled_at(self) -> float | None:
        """Of when what is known is, as long as it comes from this process's disk; None: it is of now.

        That is until Redis was read in full, or this process has looked at every target. Seconds since 1970.
        """
        return self._recalled_at

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

        heard: of its regions and services; what it says of new ones holds at once, and not after a poll.
        """
        new_regions = fleet.regions.keys() - self._fleet.regions.keys()
        new_services = fleet.services.keys() - self._fleet.services.keys()
        self._fleet = replace(fleet, redis=self._fleet.redis)
        self._ledger.use_fleet(self._fleet)
        if heard is not None:
            on_new = {
                (region, service)
                for region, service in heard.overrides
                if region in new_regions or service in new_services
            }
            self._inbox.take(heard, fleet, on_new)
            self._ledger.refold()
        self._concluded = {
            region: state for region, state in self._concluded.items() if region in fleet.regions
        }
        self._outbox.only_for(fleet.regions)
        self._conclude(self._ledger.world.regions)
        self._tell_subscribers()

    def observe(self, observation: Observation) -> None:
        """Hold this process's own observation: into the world at once, and out to the others."""
        previous = self._ledger.own_observation_of(observation.target)
        sequence = max(observation.sequence, previous.sequence + 1 if previous else 1)
        observation = replace(observation, observer=self._observer, epoch=self.epoch, sequence=sequence)
        self._recalled.discard(observation.target)
        if not self._recalled:
            self._recalled_at = None
        news = self._ledger.own(observation)
        if news:
            self._outbox.put_observation(observation)
            self._wake_writer()
        if observation.target in self._ledger.targets and (news or self._ledger.is_behind):
            self._fold()

    def report(self, report: Report) -> None:
        """Hold this process's own report: into the world at once, and out to the others.

        They read it at once if something that decides about the region has changed, else with their poll.
        """
        previous = self._ledger.own_report_of(report.region, report.edge)
        sequence = max(report.sequence, previous.sequence + 1 if previous else 1)
        report = replace(report, epoch=self.epoch, sequence=sequence)
        self._ledger.own_report(report)
        self._outbox.put_report(report, previous)
        self._wake_writer()
        self._fold()

    async def start(self) -> None:
        """Begin; returns after the first reading, or when it is clear that Redis is away for now.

        What the copy has holds before that. Raises StoreError only for a URL that can never work.
        """
        if self._tasks:
            return
        if self._copy is not None:
            await self._recall(self._copy)
            keeping = self._copy.keep(self._ledger.memory)
            self._tasks.append(asyncio.create_task(keeping, name="store copy"))
        self._tasks.append(asyncio.create_task(self._keep_folding(), name="store ages"))
        settings = self._fleet.redis
        if settings.url is None:
            return
        self._link = Link(
            settings,
            self._read,
            self._outbox.write,
            ignores=self._inbox.ignores,
            changed=self._link_changed,
        )
        self._tasks.append(asyncio.create_task(self._link.run(), name="store link"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.timeout):
                await self._link.first_attempt.wait()

    async def _recall(self, copy: DiskCopy) -> None:
        memory = await asyncio.to_thread(copy.load)
        if memory is not None:
            self._ledger.recall(memory)
            self._recalled_at = memory.at
            self._recalled = {each.target for each in memory.observations} & self._ledger.targets
            self._fold()

    async def stop(self) -> None:
        """End; others keep this process's last word until its lease is over, as for any silent observer."""
        tasks, self._tasks = self._tasks, []
        if self.connected:
            # A courtesy, which must keep nobody from ending: the link may be lost just now, and the client
            # raises anything when its connections are closed beneath it.
            with contextlib.suppress(Exception):
                await self._outbox.write(self._client(), False)
                await self._take_leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks and self._copy is not None:
            await asyncio.to_thread(self._copy.save, self._ledger.memory())

    async def set_override(self, override: Override) -> None:
        """Put an override in force here and everywhere; raises StoreError if it cannot be, and says why."""
        await self._words.set_override(self._fleet, self._client, override)
        self._fold()
        await self._save_word()

    async def clear_override(self, region: str, by: str = "", service: str = "") -> bool:
        """End an override here and everywhere; False if there was none. Raises as set_override.

        region: empty for that on a service wherever it is.
        """
        cleared = await self._words.clear_override(self._fleet, self._client, (region, service), by)
        self._fold()
        await self._save_word()
        return cleared

    async def _save_word(self) -> None:
        """Without Redis a word is nowhere but here: it is on disk before operators are told that it holds."""
        if self._copy is not None and self._fleet.redis.url is None:
            await self._copy.save_now(self._ledger.memory)

    async def propose_intake(self, region: str, intake: Intake) -> bool:
        """Have a region take so many clients from now on, here and everywhere; False if another was first.

        While Redis is away, or where there is none, it holds here.
        """
        won = await self._words.propose_intake(self._fleet, self._client, region, intake)
        self._fold()
        return won

    async def events(self, count: int = 100) -> list[dict[str, str]]:
        """The newest events, the newest first, as Event has them. Raises StoreError if Redis is away."""
        if self._fleet.redis.url is None:
            return self._history.newest(count)
        try:
            return await read_events(self._client(), count)
        except UNREACHABLE as error:
            raise StoreError(f"the history cannot be read: {reason(error)}") from None

    def _client(self) -> redis.Redis:
        if self._link is None or not self._link.connected:
            unknown = "this process is not started" if self._link is None else "it has not answered yet"
            why = self.last_error or unknown
            raise StoreError(f"Redis is away: {why}", hint="try again when it is back")
        return self._link.client

    def _renew_all(self) -> None:
        if self._link is not None:
            self._link.renew_now()

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

    async def _read(self, client: redis.Redis, wanted: Collection[str] | None) -> None:
        """Hear what Redis has under `wanted`, or everything; see Link."""
        if wanted is None:
            await self._inbox.read_everything(client, self._fleet)
            self._outbox.put_unlisted(self._inbox.gone)
            self._recalled_at = None
        else:
            await self._inbox.read_keys(client, self._fleet, wanted)
        if self._outbox.put_intakes(self._inbox.unwritten):
            self._wake_writer()
        self._fold()
        await self._inbox.read_servers(client, wanted)

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
        if self._copy is not None:
            self._copy.note_change()
        for callback in self._subscribers:
            try:
                callback(world)
            except Exception:
                _log.exception("a subscriber failed over a new world")

    def _conclude(self, states: Mapping[str, RegionState]) -> None:
        """Note which regions changed for those who read verdicts and history."""
        changed: dict[str, RegionState] = {}
        turned: set[str] = set()
        for name, state in states.items():
            before = self._concluded.get(name)
            if state == before or (before is None and state.verdict is Verdict.UNKNOWN):
                continue
            self._concluded[name] = changed[name] = state
            if before is not None and before.verdict is state.verdict:
                continue
            turned.add(name)
            if self._fleet.redis.url is None:
                text = f"{name} is {state.verdict}: {state.reason}"
                self._history.say(Event(self._clock.now(), "verdict", text, name, state=state.verdict.value))
        if self._fleet.redis.url is not None and self._outbox.put_verdicts(changed, turned):
            self._wake_writer()
