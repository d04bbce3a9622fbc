"""Keeps what an edge serves by in step with operators' changes of servers and with servers that are found."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

import structlog

from edge.changes import lines
from edge.discovery.follower import Follower
from edge.overlay import idle, overlay
from edge.reload import Configuration, Running
from edge.watching import Watching
from gslb.errors import GslbError
from gslb.fleet import Edge, Fleet, Server
from gslb.server_change import ServerChange, next_end
from gslb.store.server_changes import ServerChanges

COALESCE = 0.02
"""Seconds that changes are gathered for, so that a burst of them is taken up once."""

AGAIN = 5.0
"""Seconds after which is tried again what could not be taken up."""

MOST_COMPLAINTS = 1000

Servers = Mapping[str, tuple[Server, ...]]

_log = structlog.get_logger("edge")


class Process(Running, Protocol):
    """An edge, as far as its servers are concerned."""

    watching: Watching
    configuration: Configuration


class LiveServers:
    """Of one edge. Changes are taken up as a changed file is, and take turns with that.

    Invariant: what is served by is `effective` of the file's fleet, or soon will be. Servers that come are
    probed before that, without holding up other changes.
    """

    def __init__(self, process: Process, changes: ServerChanges) -> None:
        self._process = process
        self._region = process.edge.region
        self._changes = changes
        self._news = asyncio.Event()
        self._follower = Follower(self._region, self._news.set)
        self._taken: Fleet = process.fleet
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._looked_at: set[str] = set()  # and not taken up yet
        self._told: set[ServerChange] = set()
        changes.subscribe(self._news.set)

    async def look_ahead(self, fleet: Fleet) -> Fleet:
        """What is to be served by with `fleet`, whose places of servers have been looked at by then."""
        await self._follower.look_ahead(fleet, fleet.dns.initial_round)
        return self._effective(fleet)

    def use(self, fleet: Fleet, effective: Fleet) -> None:
        """`fleet` is in force, as `effective`, which `look_ahead` gave."""
        self._taken = effective
        self._looked_at -= {each.target for servers in self._servers(effective).values() for each in servers}
        self._follower.use(fleet)
        if self._differs():
            self._news.set()

    def _effective(self, fleet: Fleet, *, at_once: bool = True) -> Fleet:
        """at_once: without servers that are being looked at for the first time."""
        held_back = self._looking.keys() if at_once else frozenset[str]()
        found, now = self._follower.found(fleet), self._process.clock.now()
        return overlay(fleet, self._region, self._changes.held, found, now, but=held_back)

    def _servers(self, fleet: Fleet) -> Servers:
        return fleet.regions[self._region].servers

    def _differs(self) -> bool:
        return self._servers(self._effective(self._process.fleet)) != self._servers(self._taken)

    async def run(self) -> None:
        """Take up what changes, until cancelled."""
        while True:
            await self._wait_for_news()
            await asyncio.sleep(COALESCE)
            self._news.clear()
            try:
                self._tell_of_idle_changes()
                self._look_at_newcomers()
                if self._differs():
                    await self._process.configuration.in_turn(self._take_up)
            except GslbError as error:
                _log.error("changed servers not taken up, it is tried again", reason=str(error))
                asyncio.get_running_loop().call_later(AGAIN, self._news.set)
            except Exception:
                _log.exception("changed servers not taken up, it is tried again")
                asyncio.get_running_loop().call_later(AGAIN, self._news.set)

    async def stop(self) -> None:
        await self._follower.stop()
        looking = tuple(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    async def _wait_for_news(self) -> None:
        """Until something has changed, or a change has ended."""
        now = self._process.clock.now()
        end = next_end(self._changes.held, now)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if end is None else max(0.0, end - now)):
                await self._news.wait()

    async def _take_up(self) -> None:
        process, before = self._process, self._taken
        fleet: Fleet = process.fleet
        edge: Edge = process.edge
        await process.take_up(fleet, edge)
        changes = list(lines(before, edge, self._taken, edge))
        if changes:
            _log.info("servers changed", region=edge.region, edge=edge.name, changes=changes)

    def _look_at_newcomers(self) -> None:
        """Begin to probe servers that are to come; they are held back until that is done."""
        wanted = self._effective(self._process.fleet, at_once=False)
        known = {each.target for servers in self._servers(self._taken).values() for each in servers}
        new = {each.target for servers in self._servers(wanted).values() for each in servers}
        self._looked_at &= new
        for target in new - known - self._looking.keys() - self._looked_at:
            self._looking[target] = asyncio.create_task(
                self._look_at(target, wanted), name=f"first look at {target}"
            )

    async def _look_at(self, target: str, wanted: Fleet) -> None:
        try:
            await self._process.watching.look_at(target, wanted, self._process.edge)
        finally:
            del self._looking[target]
            self._looked_at.add(target)
            self._news.set()

    def _tell_of_idle_changes(self) -> None:
        """One line, once, for each change of a server that is not there."""
        fleet = self._process.fleet
        useless = set(idle(fleet, self._region, self._changes.held, self._follower.found(fleet)))
        for change in sorted(useless - self._told, key=lambda each: each.target):
            if len(self._told) < MOST_COMPLAINTS:
                self._told.add(change)
                _log.warning("a change of a server that is not there has no effect", server=change.target)
