"""What this process hears of the others, and what of it is news to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Set

import redis.asyncio as redis
import structlog

from gslb.fleet import Fleet
from gslb.store import keys
from gslb.store.emptied import Era
from gslb.store.ledger import Ledger
from gslb.store.override import Subject, subject_of
from gslb.store.server_changes import ServerChanges, read_server_changes
from gslb.store.watch import Heard, read_everything, read_keys
from gslb.store.words import Words
from gslb.world import Intake

MOST_COMPLAINTS = 1000
"""Keys complained about once each; beyond that many, foreign garbage goes unmentioned."""

_log = structlog.get_logger(__name__)


class Inbox:
    """Reads into the ledger; `words` tells what was decided here while a reading was under way.

    emptied: called when Redis turns out to have lost its memory. gone: overrides that the index in Redis has
    although they are gone. unwritten: intakes that Redis had not, or older ones, when they were last read.
    """

    def __init__(
        self,
        ledger: Ledger,
        words: Words,
        era: Era,
        observer: str,
        servers: ServerChanges | None,
        emptied: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._words = words
        self._era = era
        self._observer = observer
        self._servers = servers
        self._emptied = emptied
        self._complained: set[str] = set()
        self.gone: tuple[Subject, ...] = ()
        self.unwritten: Mapping[str, Intake] = {}

    async def read_everything(self, client: redis.Redis, fleet: Fleet) -> None:
        """Hear all that Redis has. Raises as the client."""

        async def read() -> Heard:
            held = [subject_of(override) for override in self._ledger.overrides]
            return await read_everything(client, fleet, but_of=self._observer, held=held)

        await self._mend(client)
        heard = await self._read(client, fleet, read)
        self._ledger.read_in_full()
        self._era.read_in_full()
        self.gone = heard.gone

    async def read_keys(self, client: redis.Redis, fleet: Fleet, wanted: Collection[str]) -> None:
        """Hear what is under these keys. Raises as the client."""
        await self._read(client, fleet, lambda: read_keys(client, fleet, wanted))

    async def read_servers(self, client: redis.Redis, wanted: Iterable[str] | None) -> None:
        """Hear what operators changed of servers, if `wanted` (None: everything) has anything of that."""
        servers = self._servers
        if servers is None or not (wanted is None or any(map(servers.concerned_by, wanted))):
            return
        found, unreadable = await read_server_changes(client, servers.region)
        lost = {each.target for each in servers.held} - {each.target for each in found}
        if lost and await self._mend(client):
            found, unreadable = await read_server_changes(client, servers.region)
        servers.take(found)
        self._complain(unreadable)

    async def _read(self, client: redis.Redis, fleet: Fleet, read: Callable[[], Awaitable[Heard]]) -> Heard:
        before = self._words.changes
        heard = await read()
        lost = [
            each for each in self._ledger.overrides if heard.overrides.get(subject_of(each), each) is None
        ]
        # A word that is gone was taken back, or has ended; or Redis was emptied a moment ago.
        if lost and await self._mend(client):
            heard = await read()
        # What was set or cleared here meanwhile may be newer than what was read; the next reading tells.
        now = self._words.changes
        self.take(heard, fleet, {each for each in heard.overrides if now[each] == before[each]})
        self._complain(heard.unreadable)
        return heard

    async def _mend(self, client: redis.Redis) -> bool:
        """Give Redis back what it has lost; whether it had lost its memory since this was called before."""
        changes = self._servers.held if self._servers is not None else ()
        emptied = await self._era.check(client, self._ledger.overrides, changes)
        if emptied:
            self._emptied()
        return emptied

    def ignores(self, key: str) -> bool:
        """Whether a nudge is for what this process wrote itself, or for what no world is made of."""
        if keys.server_region_of(key) is not None:
            return self._servers is None or not self._servers.concerned_by(key)
        report = keys.report_of(key)
        if report is not None:
            return self._ledger.own_report_of(*report) is not None
        observation = keys.observation_of(key)
        return observation is not None and (
            observation[1] == self._observer or observation[0] not in self._ledger.targets
        )

    def take(self, heard: Heard, fleet: Fleet, overridable: Set[Subject]) -> None:
        """Take what was read into the ledger; of overrides only those in `overridable`."""
        longest = 2 * fleet.redis.lease
        for observation, lease in heard.observations:
            self._ledger.hear(observation, min(lease, longest))
        for report, lease in heard.reports:
            self._ledger.hear_report(report, min(lease, longest))
        for subject, override in heard.overrides.items():
            if subject in overridable:
                self._ledger.hear_override(*subject, override)
        self._take_intakes(heard.intakes)

    def _take_intakes(self, intakes: Mapping[str, Intake | None]) -> None:
        unwritten: dict[str, Intake] = {}
        for region, found in intakes.items():
            if found is not None:
                self._ledger.hear_intake(region, found, from_store=True)
            held = self._ledger.intakes.get(region)
            if held is not None and (found is None or found.sequence < held.sequence):
                unwritten[region] = held
        self.unwritten = unwritten

    def _complain(self, about: Mapping[str, str]) -> None:
        """One line a key, once."""
        for key, what in about.items():
            if key not in self._complained and len(self._complained) < MOST_COMPLAINTS:
                self._complained.add(key)
                _log.warning("a key in redis is not as it should be", key=key, problem=what)
